"""Files that appear whole or not at all: written beside their place, then renamed into it.

A process that is killed at any moment leaves the old file or the new one, never half of one.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, *, shared: bool = False, lasting: bool = True) -> Iterator[Path]:
    """Give a temporary path; when the block ends well, it becomes `path` in one step.

    Parameters
    ----------
    path
        The file. Its folder is made where it is not there.
    shared
        Whether several processes may write it at once: each then writes under a name of its own.
        Else there is one such name, so that what a killed process left is written over.
    lasting
        Wait until the disk has it, so that a power failure cannot take it back. Small files by
        the thousand, which can be made again, need not wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whose = f".{os.getpid()}" if shared else ""
    temporary = path.with_name(f".{path.name}{whose}.writing")
    temporary.touch()
    mode = temporary.stat().st_mode  # the user's own; safetensors would let no one else read
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.chmod(mode)
    if lasting:
        _sync(temporary)
    temporary.replace(path)
    if lasting:
        _sync(path.parent)


def write_text(path: Path, text: str) -> Path:
    """Write a text in UTF-8, whole or not at all; return its path."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, document: Any, *, indent: int = 2, allow_nan: bool = False) -> Path:
    """Write one JSON document, whole or not at all; return its path.

    Raises
    ------
    ValueError
        If it holds a number that is none or not finite, which JSON does not know, unless
        `allow_nan`.
    """
    text = json.dumps(document, indent=indent, allow_nan=allow_nan)
    return write_text(path, text + "\n")


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
