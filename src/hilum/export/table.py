"""A collection's table as CSV, and people's ids for files that carry none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import polars as pl

from hilum.collection import Collection
from hilum.errors import TableError
from hilum.files import replacing
from hilum.sources import Listing, check
from hilum.sources.attributes import number_visits
from hilum.sources.listing import FIXED_COLUMNS, arrange

_NESTED: Final = ("boxes", "geometry")  # have no place in a CSV
_OURS: Final = ("source", "file_bytes", "sha256", "geometry")  # columns of a collection alone
_OF_CHEXPERT: Final = re.compile(r"(?:^|/)(patient\d+)/study(\d+)(?:/(.*)|$)")
_OF_MIMIC: Final = re.compile(r"(?:^|/)(p\d{8})/(s\d{8})(?:/(.*)|$)")


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
    with replacing(path) as temporary:
        frame.write_csv(temporary)


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


@dataclass(frozen=True)
class Place:
    """Whose image a path names, where it is one of CheXpert's or MIMIC-CXR's.

    Parameters
    ----------
    image, patient, study
        Ids as hilum's layouts of these data sets have them.
    order
        The number of the study, where it tells the order in time (CheXpert); 0 otherwise.
    """

    image: str
    patient: str
    study: str
    order: int = 0


def place_of(path: str) -> Place | None:
    """Read a path as CheXpert or MIMIC-CXR write it, or return None.

    >>> place_of("files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg")
    Place(image='02aa804e-bde0afdd', patient='p10000032', study='s50414267', order=0)
    """
    if found := _OF_MIMIC.search(path):
        patient, study, name = found.groups(default="")
        return Place(_stem(name) or study, patient, study)
    if found := _OF_CHEXPERT.search(path):
        patient, number, name = found.groups(default="")
        study = f"{patient}_study{number}"
        return Place("_".join(filter(None, (study, _stem(name)))), patient, study, int(number))
    return None


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def people_of(images: Sequence[str], table: Path) -> pl.DataFrame:
    """Say whose images these are.

    Parameters
    ----------
    images
        Ids, or paths as CheXpert and MIMIC-CXR write them.
    table
        What `export_table` wrote beside the files, if it is there; without it patient, study and
        (CheXpert) order are read from the paths, and where these do not say, every image is a
        patient.

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
    places = [place_of(image) or Place(image, image, image) for image in images]
    frame = frame.with_columns(
        patient_id=pl.Series([place.patient for place in places], dtype=pl.String),
        study_id=pl.Series([place.study for place in places], dtype=pl.String),
        order=pl.Series([place.order for place in places], dtype=pl.Int64),
    )
    return number_visits(frame, "order")[0].drop("order")


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
