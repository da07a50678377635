"""COVIDx (Wang, Lin and Wong, Sci. Rep. 10:19549, 2020), any release with a label per line.

::

    root/
      train_split.txt   or train_COVIDx4.txt and so on
      test_split.txt    or test_COVIDx4.txt and so on
      train/*  test/*

A line is ``patient file class [source]`` with single spaces between, but patients and files may
hold spaces too (``COVID 1 COVID(1).png positive sirm``), so it is read from the right, where the
class is one of a few known words.

The classes are not findings. What they say of each::

    class      No Finding   Pneumonia   COVID-19
    normal     1            0           0
    pneumonia  0            1           0
    COVID-19   0            unknown     1
    positive   unknown      unknown     1
    negative   unknown      unknown     0

A COVID-19 image may well show pneumonia, but its class only says that it is not counted among the
other pneumonias; and the two-class releases call normal and other pneumonia alike "negative".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import LeakError, SourceError
from hilum.sources.delimited import read_lines
from hilum.sources.files import IMAGE_SUFFIXES, is_inside, require
from hilum.sources.listing import Listing, arrange
from hilum.sources.options import SourceOptions

FINDINGS: Final = ("No Finding", "Pneumonia", "COVID-19")
_CLASSES: Final[dict[str, tuple[int | None, int | None, int | None]]] = {
    "normal": (1, 0, 0),
    "pneumonia": (0, 1, 0),
    "COVID-19": (0, None, 1),
    "positive": (None, None, 1),
    "negative": (None, None, 0),
}
_LISTS: Final = re.compile(r"(train|test)_(split|COVIDx)\w*\.txt")
_SOURCES: Final = {"rnsa": "rsna"}  # misspelt in 199 lines of releases 9A and 9B


@dataclass(frozen=True)
class Line:
    """One line of a list.

    Parameters
    ----------
    patient, file
        As written; `file` is a name below ``train/`` or ``test/``.
    label
        The class.
    source
        The collection that the image came from, or None.
    """

    patient: str
    file: str
    label: str
    source: str | None


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of COVIDx. Nothing tells the order of a patient's images: all are visit 0.

    Raises
    ------
    SourceError
        If there is no list, two for one split, a line that cannot be read, or a missing file.
    LeakError
        If a patient is in both lists.
    """
    rows: list[tuple[str, Line]] = []
    for split, path in _lists(root).items():
        rows += [(split, line) for line in _read_list(root, split, path)]
    _refuse_leaks(rows)
    files = [f"{split}/{line.file}" for split, line in rows]
    if options.pixels:
        require(root, files)
    lines = [line for _, line in rows]
    frame = pl.DataFrame(
        {
            "image_id": [line.file for line in lines],
            "patient_id": [line.patient for line in lines],
            "study_id": [line.file for line in lines],
            "visit": [0] * len(lines),
            "split": [split for split, _ in rows],
            "file": files if options.pixels else [None] * len(lines),
        }
    )
    values = [_CLASSES[line.label] for line in lines]
    labels = pl.DataFrame(values, schema=dict.fromkeys(FINDINGS, pl.Int8), orient="row")
    return Listing(
        frame=arrange(pl.concat([frame, labels], how="horizontal"), FINDINGS),
        findings=FINDINGS,
        source="covidx",
        root=root,
        notes=_origins(lines),
    )


def parse_line(text: str, exists: Callable[[str], bool] | None = None) -> Line | None:
    """Read one line from the right.

    Parameters
    ----------
    text
        The line.
    exists
        Tells whether a file of this name is there, which settles where the patient ends and the
        file begins when both may hold spaces. Without it, or when no such file is there, the file
        is the last word.

    Returns
    -------
    None if the line is none of COVIDx's.
    """
    words = text.split(" ")
    source = None
    if words[-1] not in _CLASSES:
        source = _SOURCES.get(words[-1], words[-1])
        words = words[:-1]
    if len(words) < 3 or words[-1] not in _CLASSES:  # patient, file, class
        return None
    *names, label = words
    cuts = range(len(names) - 1, 0, -1)  # the shortest file name first
    there = [cut for cut in cuts if exists and exists(" ".join(names[cut:]))]
    if len(there) > 1:
        return None
    cut = there[0] if there else len(names) - 1
    patient, file = " ".join(names[:cut]).strip(), " ".join(names[cut:])
    if not (patient and is_inside(file) and file.lower().endswith(IMAGE_SUFFIXES)):
        return None
    return Line(patient, file, label, source)


def _lists(root: Path) -> dict[str, Path]:
    names = sorted(path.name for path in root.iterdir())
    matches = [match for match in map(_LISTS.fullmatch, names) if match]
    found: dict[str, Path] = {}
    for split in ("train", "test"):
        mine = [match[0] for match in matches if match[1] == split]
        if len(mine) > 1:
            raise SourceError(
                f"{root}: {' and '.join(mine)} are all lists of {split} images; keep the one of "
                "your release"
            )
        if mine:
            found[split] = root / mine[0]
    if not found:
        raise SourceError(
            f"{root}: expected train_split.txt and test_split.txt, or train_COVIDx*.txt and "
            "test_COVIDx*.txt"
        )
    return found


def _read_list(root: Path, split: str, path: Path) -> list[Line]:
    folder = root / split
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    lines: list[Line] = []
    for number, text in read_lines(path):
        line = parse_line(text, there.__contains__)
        if line is None:
            raise SourceError(
                f"{path.name}:{number}: expected "
                f"'patient file class [source]' with a class among {', '.join(_CLASSES)} and one "
                f"image file, got {text!r}"
            )
        lines.append(line)
    return lines


def _refuse_leaks(rows: list[tuple[str, Line]]) -> None:
    splits: dict[str, str] = {}
    for split, line in rows:
        other = splits.setdefault(line.patient, split)
        if other != split:
            raise LeakError(
                f"patient {line.patient!r} is in the lists of {other} and {split} images; remove "
                "the patient's lines from one of them"
            )


def _origins(lines: list[Line]) -> tuple[str, ...]:
    """Say when the source gives the class away: a model may learn the hospital instead."""
    origins: dict[str, set[str]] = {}
    for line in lines:
        if line.source:
            origins.setdefault(line.label, set()).add(line.source)
    telling = [
        f"every {label} image comes from {' or '.join(sorted(sources))}"
        for label, sources in sorted(origins.items())
        if not any(sources & others for name, others in origins.items() if name != label)
    ]
    if not telling or len(origins) < 2:
        return ()
    return (f"{', '.join(telling)}: no other class does, so the source gives the class away",)
