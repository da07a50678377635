"""Find a source's files without ever leaving its folder.

A table is input like any other: ``../../etc/passwd`` in its file column, or a link in the folder
that leads out of it, is an error and not a radiograph.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from hilum.errors import SourceError

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
"""Files that may be radiographs when no table says so, without regard to case."""

_SHOWN: Final = 5
_WITHOUT_PIXELS: Final = "or list the table alone, without pixels (--no-pixels)"


@dataclass(frozen=True)
class Tree:
    """The files below a folder.

    Parameters
    ----------
    files
        Paths below the folder, with ``/``, sorted. Hidden files and folders are left out, and
        linked folders are not entered, so that a circle of links cannot hold us.
    odd_files
        More of them, whose names are not UTF-8: no table can name them.
    links_left_out
        How many links lead to a folder, to nothing, or out of the tree.
    """

    files: tuple[str, ...]
    odd_files: tuple[str, ...]
    links_left_out: int


def walk(root: Path) -> Tree:
    """List every file below a folder; 112,000 take about half a second.

    Raises
    ------
    SourceError
        If a folder below it may not be read.
    """
    files: list[str] = []
    links = 0
    for entry in _entries(root):
        if entry.is_symlink():
            target = Path(entry.path).resolve()
            if not (target.is_file() and target.is_relative_to(root)):
                links += 1
                continue
        elif not entry.is_file(follow_symlinks=False):
            continue  # sockets, pipes and devices: reading one could wait for ever
        files.append(os.path.relpath(entry.path, root).replace(os.sep, "/"))
    plain = sorted(file for file in files if _is_utf8(file))
    odd = sorted(file for file in files if not _is_utf8(file))
    return Tree(tuple(plain), tuple(odd), links)


@dataclass(frozen=True)
class Found:
    """Files that were looked for by name.

    Parameters
    ----------
    files
        Name to path below the folder.
    missing
        Names that no file has, in the order asked.
    others
        How many image files were not asked for.
    links_left_out
        As for `Tree`.
    """

    files: dict[str, str]
    missing: tuple[str, ...]
    others: int
    links_left_out: int

    @property
    def notes(self) -> list[str]:
        """What a user should know."""
        note = f"{self.others:,} image files are not in the table and are left out"
        return [note] if self.others else []

    def refuse_missing(self, names: Sequence[str] | None = None) -> None:
        """Raise if a file is missing.

        Parameters
        ----------
        names
            Those that must not be; all that were looked for if None.

        Raises
        ------
        SourceError
            Naming some of them, and how many links were not followed.
        """
        links = f" ({self.links_left_out} links were not followed)" if self.links_left_out else ""
        total = len(self.files) + len(self.missing)
        _refuse_missing(self.missing if names is None else names, total, links)


def _as_it_is(name: str) -> str:
    return name


def find(
    root: Path, names: Collection[str], known_as: Callable[[str], str | None] = _as_it_is
) -> Found:
    """Look for files by name alone, wherever below a folder they are.

    Parameters
    ----------
    root
        The folder, resolved.
    names
        What is looked for.
    known_as
        The name that a file's own, without its folders, stands for, or None.

    Raises
    ------
    SourceError
        If one of them is there twice.
    """
    wanted, others = set(names), 0
    found: dict[str, str] = {}
    tree = walk(root)
    for file in tree.files:
        own = file.rpartition("/")[2]
        name = known_as(own)
        if name is None or name not in wanted:
            others += own.lower().endswith(IMAGE_SUFFIXES)
        elif name in found:
            raise SourceError(f"{name}: found twice, as {found[name]} and {file}; keep one of them")
        else:
            found[name] = file
    missing = tuple(name for name in names if name not in found)
    return Found(found, missing, others, tree.links_left_out)


def locate(root: Path, names: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Find files by name alone, wherever below a folder they are.

    Parameters
    ----------
    root
        The folder, resolved.
    names
        File names, without folders.

    Returns
    -------
    Name to path below `root`, and a note about image files that were not asked for.

    Raises
    ------
    SourceError
        If some are not there, or one is there twice.
    """
    found = find(root, names)
    found.refuse_missing()
    return found.files, found.notes


def require(root: Path, files: Iterable[str]) -> None:
    """Check that files are inside a folder, and there.

    Parameters
    ----------
    root
        The folder, resolved.
    files
        Paths below it, already checked with `is_inside`.

    Raises
    ------
    SourceError
        Naming the first that a link leads out of the folder, or those that are missing.
    """
    missing, total = [], 0
    folders: dict[str, bool] = {"": True}  # a folder below root -> does it stay inside?
    for file in files:
        total += 1
        if not _folder_stays_inside(root, file.rpartition("/")[0], folders):
            raise SourceError(f"{file}: a link leads out of {root}; put the files inside it")
        kind = _kind(root, file)
        if kind == "outside":
            raise SourceError(f"{file}: this link leads out of {root}; put the file inside it")
        if kind == "missing":
            missing.append(file)
    _refuse_missing(missing, total)


def is_there(root: Path, file: str, folders: dict[str, bool]) -> bool:
    """Tell whether a file is below a folder, and no link on the way to it leads out.

    Parameters
    ----------
    root
        The folder, resolved.
    file
        A path below it, already checked with `is_inside`.
    folders
        What is known of the folders on the way; starts as ``{}`` and grows.
    """
    folders.setdefault("", True)
    inside = _folder_stays_inside(root, file.rpartition("/")[0], folders)
    return inside and _kind(root, file) == "file"


def is_inside(file: str) -> bool:
    """Tell whether a path of a table, as text, stays below the folder it is relative to."""
    parts = file.split("/")
    plain = "\\" not in file and "\0" not in file and ":" not in parts[0]
    return plain and not file.startswith("/") and not {"", ".", ".."} & set(parts)


def stem(file: str) -> str:
    """Return a file's name without folder and suffix."""
    return PurePosixPath(file).stem


def _entries(root: Path) -> Iterator["os.DirEntry[str]"]:
    folders: list[str] = [os.fspath(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                entries = list(found)
        except OSError as error:
            raise SourceError(
                f"{root}: a folder below it cannot be listed ({type(error).__name__})"
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue  # .git, .DS_Store, and ._00000001_000.png as macOS leaves them
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                yield entry


def _is_utf8(file: str) -> bool:
    return file.isascii() or file.encode(errors="replace").decode() == file


def _folder_stays_inside(root: Path, folder: str, known: dict[str, bool]) -> bool:
    """Look at each folder once: a table of 10^5 files has few."""
    if folder not in known:
        above = _folder_stays_inside(root, folder.rpartition("/")[0], known)
        path = root / folder
        known[folder] = above and (not path.is_symlink() or path.resolve().is_relative_to(root))
    return known[folder]


def _kind(root: Path, file: str) -> str:
    try:
        mode = os.lstat(f"{root}/{file}").st_mode
    except (OSError, ValueError):
        return "missing"
    if stat.S_ISLNK(mode):
        target = (root / file).resolve()
        if not target.is_relative_to(root):
            return "outside"
        return "file" if target.is_file() else "missing"
    return "file" if stat.S_ISREG(mode) else "missing"


def _refuse_missing(missing: Sequence[str], total: int, aside: str = "") -> None:
    if missing:
        more = ", …" if len(missing) > _SHOWN else ""
        raise SourceError(
            f"{len(missing):,} of {total:,} image files are missing{aside}: "
            f"{', '.join(missing[:_SHOWN])}{more}; complete the folder {_WITHOUT_PIXELS}"
        )
