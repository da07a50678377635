"""Documents that cannot rot."""

import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import hilum
from hilum.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs/make_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_is_what_help_says() -> None:
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == maker().help_page(), "run `make docs`"


def test_every_public_verb_is_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [name for name in hilum.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:docs|tests|benchmarks|examples|src)/[\w./-]+\.\w+)`", text):
        assert (ROOT / name).exists(), name


def anchors(page: Path) -> set[str]:
    """The names of a page's headings as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", text):
        if not target.startswith("http"):
            assert anchor in anchors(page.parent / target if target else page), anchor


def shell_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if page.name != "commands.md":
            for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
                for line in block.replace("\\\n", " ").splitlines():
                    if line.startswith("hilum "):
                        yield page.name, line


@pytest.mark.parametrize(("page", "line"), list(shell_commands()))
def test_commands_on_a_page_are_understood(page: str, line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= known
    try:
        command.make_context(command.name, words)
    except typer.BadParameter as error:
        if "does not exist" not in str(error):  # the files of a page are not there
            raise


def named_modules() -> Iterator[tuple[str, str]]:
    for path in [*sorted((ROOT / "src").rglob("*.py")), *PAGES]:
        for name in re.findall(r"`(hilum(?:\.\w+)+)`", path.read_text(encoding="utf-8")):
            if not name.endswith(".NAME"):
                yield path.name, name


def test_names_in_backticks_are_there() -> None:
    missing = [(page, name) for page, name in named_modules() if not resolves(name)]
    assert missing == []


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or what a module or a class of it holds."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[depth:]:
                found = getattr(found, part)
        except AttributeError:
            continue
        return True
    return False
