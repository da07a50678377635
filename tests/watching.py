"""What tests watch: which pixels are read, and what the command says of misuse."""

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hilum.cli import main
from hilum.collection import Collection


def record_pixels(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set that gets the id of every image whose pixels are read from now on."""
    read: set[str] = set()
    real = Collection.pixels

    def pixels(self: Collection, rows: Any = None) -> Any:
        ids = np.array(self.ids())
        read.update(ids if rows is None else ids[np.asarray(rows)])
        return real(self, rows)

    monkeypatch.setattr(Collection, "pixels", pixels)
    return read


def misuse(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and what it said, on one line."""
    monkeypatch.setattr("sys.argv", ["hilum", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert isinstance(stopped.value.code, int), shlex.join(words)
    return stopped.value.code, " ".join(capsys.readouterr().err.replace("│", "").split())
