"""A collection's table as CSV, and people's ids for files that carry none."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from hilum.collection import Collection
from hilum.errors import TableError
from hilum.sources import Listing, check
from hilum.sources.listing import FIXED_COLUMNS, arrange

_NESTED: Final = ("boxes", "geometry")  # have no place in a CSV
_OURS: Final = ("source", "file_bytes", "sha256", "geometry")  # columns of a collection alone
_IN_PATHS: Final = re.compile(r"(?:^|/)(patient\d+|p\d{8})/(study\d+|s\d{8})(?:/|$)")


def export_table(collection: Collection, path: str | Path) -> Path:
    """Write ids, metadata, labels and reports as one CSV, a line for each image.

    Labels are 1, 0, -1 (uncertain) or empty (unknown), so the file is also a label table
    (`hilum.tables.read_table`).

    Parameters
    ----------
    collection
        A view; its filter decides which rows are written.
    path
        The file; it appears complete or not at all.
    """
    path = Path(path)
    frame = collection.table([c for c in collection.columns if c not in _NESTED])
    write_csv(frame, path)
    return path


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as CSV in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    frame.write_csv(unfinished)
    unfinished.replace(path)


def read_csv(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Read a CSV as text.

    Raises
    ------
    TableError
        If it cannot be read, or lacks one of `columns`.
    """
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"{path}: cannot be read as CSV: {reason}") from error
    for column in columns:
        if column not in frame.columns:
            raise TableError(
                f"{path}: no column {column!r}; the columns are {', '.join(frame.columns)}"
            )
    return frame


def people_of(images: Sequence[str], table: Path) -> pl.DataFrame:
    """Say whose images these are.

    Parameters
    ----------
    images
        Ids, or paths as CheXpert and MIMIC-CXR write them.
    table
        What `export_table` wrote beside the files, if it is there; without it patient and study
        are read from the paths, and where these do not say, every image is a patient.

    Returns
    -------
    One row per image, in order: image_id and the columns of a listing that are known.
    """
    frame = pl.DataFrame({"image_id": pl.Series(images, dtype=pl.String)})
    if table.exists():
        known = read_csv(table, ["image_id", "patient_id", "study_id", "visit"])
        kept = [c for c in known.columns if c in FIXED_COLUMNS and c not in ("file", *_NESTED)]
        labels = [c for c in known.columns if c not in (*FIXED_COLUMNS, *_OURS)]
        return frame.join(known.select(*kept, *labels), on="image_id", how="left")
    found = [_IN_PATHS.search(image) for image in images]
    patients = [m[1] if m else image for m, image in zip(found, images, strict=True)]
    studies = [f"{m[1]}/{m[2]}" if m else image for m, image in zip(found, images, strict=True)]
    return frame.with_columns(
        patient_id=pl.Series(patients, dtype=pl.String),
        study_id=pl.Series(studies, dtype=pl.String),
        visit=pl.lit(0),
    )


def as_listing(frame: pl.DataFrame, layout: str, folder: Path) -> Listing:
    """Return a checked listing of a frame whose other columns are findings.

    Raises
    ------
    TableError
        If a column is not of its kind.
    """
    known = (*FIXED_COLUMNS, *_OURS)
    findings = tuple(column for column in frame.columns if column not in known)
    try:
        listing = Listing(arrange(frame, findings), findings, layout, folder)
    except pl.exceptions.PolarsError as error:
        raise TableError(f"{folder}: {str(error).splitlines()[0]}") from error
    check(listing)
    return listing
