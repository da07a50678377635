"""Headers of DICOM files are read by one process or by several."""

from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from hilum.cli import app
from hilum.sources import read_source
from trees_sources import dicom, options


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return dicom(tmp_path / "export")


def test_several_workers_give_the_same_listing_and_report_progress(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hilum.sources.dicom_headers._CHUNK", 2)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        seen.append((done, total))

    several = read_source(root, "dicom", options(root, "dicom", workers=2, progress=progress))
    one = read_source(root, "dicom", options(root, "dicom"))
    assert several.frame.equals(one.frame)
    assert seen == [(n, 5) for n in range(6)]


@pytest.mark.parametrize(
    ("words", "processes"),
    [([], [3]), (["--workers", "2"], [2]), (["--workers", "1"], []), (["--workers", "9"], [5]),
     (["--engine", "ray", "--workers", "2"], [3])],
    ids=["all", "two", "one", "no more than files", "those of a cluster do not read headers"],
)  # fmt: skip
def test_as_many_processes_read_headers_as_the_command_says(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str],
    processes: list[int],
) -> None:  # fmt: skip
    asked: list[int] = []

    class Pool(nullcontext[None]):
        def __init__(self, processes: int, **_: object) -> None:
            asked.append(processes)
            super().__init__()

        def __enter__(self) -> Any:
            return SimpleNamespace(map=lambda work, items, **_: map(work, items))

    headers = "hilum.sources.dicom_headers"
    monkeypatch.setattr(f"{headers}.ProcessPoolExecutor", Pool)
    monkeypatch.setattr(f"{headers}._CHUNK", 1)
    monkeypatch.setattr(f"{headers}.processors", lambda: 3, raising=False)
    monkeypatch.setattr(import_module("hilum.ingest.folder"), "check_engine", lambda _: None)
    command = ["ingest", str(root), str(tmp_path / "c.lance"), "--layout", "dicom",
               "--no-pixels", "--key", str(tmp_path / "own.key"), *words]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert asked == processes
