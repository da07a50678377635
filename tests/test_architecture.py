"""The house rules that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "hilum"

# Rooms, lowest first: a module may import from its own room and from rooms above it in this list.
ROOMS = [
    "errors",
    "progress",
    "files",
    "findings",
    "tables",
    "reports",
    "images",
    "pseudonyms",
    "workers",
    "cluster",
    "decoding",
    "sources",
    "collection",
    "ingest",
    "export",
    "sheet",
    "phantom",
    "evaluate",
    "features",
    "tabular",
    "prompts",
    "encoders",
    "training",
    "embed",
    "predictors",
    "classify",
    "zeroshot",
    "retrieve",
    "explain",
    "plots",
    "report",
    "appraisal",
    "comparison",
    "select",
    "frontier",
    "cards",
    "demo",
    "cli",
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "hilum":
                names |= {f"hilum.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("hilum.")}


def test_every_room_is_listed() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms - {"__init__", "__main__"} == set(ROOMS)
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert [room for room in ROOMS if f"`{room}`" not in design] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    assert not {name for name in imported(path) if room_of(name) in above}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            doc = ast.get_docstring(node, clean=False) or ""
            lines = (node.end_lineno or 0) - node.lineno - doc.count("\n")
            assert lines <= 60, f"{node.name} has {lines} lines"


def test_heavy_libraries_are_imported_only_where_a_model_is_built() -> None:
    allowed = {"encoders", "training", "embed", "select", "explain"}
    for path in MODULES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in allowed:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            heads = {name.split(".")[0] for name in names}
            assert not heads & {"torch", "timm", "torchvision", "open_clip"}, path


def test_the_door_and_the_help_import_nothing_heavy() -> None:
    heavy = "torch timm lance polars numpy cv2 matplotlib scipy sklearn pydicom"
    code = f"import sys, hilum, hilum.cli; print(sorted(set('{heavy}'.split()) & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_nothing_names_a_place_of_one_machine_or_unpickles() -> None:
    for path in [*MODULES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"[\"'\s(]/(work|home|root|deep)/", text), path
        assert not re.search(r"\bimport pickle\b|allow_pickle=True|weights_only=False", text), path
    loads = [p for p in MODULES if "torch.load(" in p.read_text(encoding="utf-8")]
    assert len(loads) <= 1
