"""A folder that a command writes again and again: what it wrote before goes, nothing else."""

from collections.abc import Iterable
from pathlib import Path

from hilum.errors import UsageError


def check_own(folder: str | Path, mark: str, names: Iterable[str]) -> list[Path]:
    """Return what an earlier run left in a folder.

    Parameters
    ----------
    folder
        Where a command is about to write; may be absent.
    mark
        The document that every such run leaves: a folder that has it is the command's own.
    names
        Patterns of all that a run may write.

    Raises
    ------
    UsageError
        If files of these names are there and the mark is not: somebody else made them.
    """
    there = sorted(path for name in names for path in Path(folder).glob(name))
    if there and not (Path(folder) / mark).exists():
        raise UsageError(
            f"{there[0]} would be overwritten, and {folder} has no {mark}, which an earlier run "
            "would have left: name another folder"
        )
    return there


def clear_own(folder: str | Path, mark: str, names: Iterable[str]) -> None:
    """Remove what an earlier run left in a folder, but for its mark.

    Raises
    ------
    UsageError
        As `check_own`.
    """
    for old in check_own(folder, mark, names):
        if old.name != mark:
            old.unlink()
