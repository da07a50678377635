"""CheXzero's files: images as HDF5, their paths and their impressions as CSV.

Layout (Tiu et al., Nat. Biomed. Eng. 2022, doi:10.1038/s41551-022-00936-9, and the released
preprocessing)::

    cxr.h5             dataset `cxr`, (n, size, size) float32, 0 to 255
    cxr_paths.csv      column Path: one row per image, in the order of the HDF5
    impressions.csv    columns filename (the study's report), impression: one row per image
    table.csv          not CheXzero's: `export_table`, so that patients and labels come back

There, rows belong together by position and nothing else, and an image that could not be read is
left black. Here positions are checked against ids, and a black image goes into quarantine.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import h5py
import numpy as np
import polars as pl

from hilum.collection import Collection, store
from hilum.decoding import Decoded, pack
from hilum.errors import CollectionError, TableError
from hilum.export.hdf5 import open_dataset
from hilum.export.table import (
    as_listing,
    export_table,
    people_of,
    place_of,
    read_csv,
    write_csv,
)
from hilum.files import replacing
from hilum.images import Geometry
from hilum.ingest.admission import Admission, IngestReport, Outcome
from hilum.ingest.folder import LARGEST_SIZE, Wanted
from hilum.reports.chexzero import NO_IMPRESSION
from hilum.sources import Listing
from hilum.workers import Failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE: Final = 64  # rows of the HDF5 held in memory


def export_chexzero(collection: Collection, folder: str | Path) -> Path:
    """Write a view's images and reports as CheXzero reads them.

    Its training takes 409,600 bytes for an image of 320 × 320, so mind the disk. `Path` is the
    image id, `filename` the study id with ``.txt``; a missing impression is ``NO IMPRESSION``.

    Raises
    ------
    CollectionError
        If the collection has no pixels, or colour.
    """
    folder = Path(folder)
    collection.pixels([])  # no pixels: say so before any file is made
    if collection.settings.channels > 1:
        raise CollectionError(
            f"{collection.uri}: has images in colour, and CheXzero's files hold grey ones; ingest "
            "its sources with --channels 1"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "cxr.h5") as temporary, h5py.File(temporary, "w") as file:
        shape = (len(collection), collection.size, collection.size)
        images = file.create_dataset("cxr", shape=shape, dtype="float32")
        for rows, pixels in collection.pixel_batches(_AT_ONCE):
            images[rows[0] : rows[-1] + 1] = pixels
    frame = collection.table(["image_id", "study_id", "report_impression"])
    write_csv(frame.select(Path="image_id"), folder / "cxr_paths.csv")
    texts = frame.select(
        filename=pl.col("study_id") + ".txt",
        impression=pl.col("report_impression").fill_null(NO_IMPRESSION),
    )
    write_csv(texts, folder / "impressions.csv")
    export_table(collection, folder / "table.csv")
    return folder


def import_chexzero(
    folder: str | Path, uri: str | Path, *, name: str | None = None, prefix: str = ""
) -> IngestReport:
    """Bring CheXzero's files into a collection.

    Parameters
    ----------
    folder
        With ``cxr.h5`` and ``cxr_paths.csv``, and perhaps ``impressions.csv`` and ``table.csv``.
        Without the last, ids are read from paths as CheXpert and MIMIC-CXR write them, and are
        those of hilum's layouts of these data sets; where a path does not say, the path is the id
        and the image a patient.
    uri
        The collection; its size is that of the images.
    name, prefix
        As for `hilum.ingest`.

    Raises
    ------
    TableError
        If the files do not fit each other or are something else.
    ClashError, LeakError, CollectionError
        As for `hilum.ingest`.
    """
    folder = Path(folder).resolve()
    images = _paths(folder / "cxr_paths.csv")
    with _open_images(folder / "cxr.h5", len(images)) as pixels, store.writer(str(uri)):
        listing = _listing(folder, images)
        return Admission(
            uri=str(uri),
            settings=Wanted(size=pixels.shape[1], resize="chexzero").settings(
                str(uri), listing.findings
            ),
            listing=listing,
            name=name or folder.name,
            decode=_decoder(pixels, listing.frame["image_id"]),
            prefix=prefix,
        ).run()


def _paths(path: Path) -> list[str]:
    column = read_csv(path, ["Path"])["Path"]
    if column.null_count() or column.is_duplicated().any():
        raise TableError(f"{path}: expected a different path on every line; some are empty or "
                         "there twice")  # fmt: skip
    return column.to_list()


def _listing(folder: Path, images: list[str]) -> Listing:
    """List the images, in the order of their paths."""
    table = folder / "table.csv"
    frame = people_of(images, table)
    if not table.exists():
        # A path is where a file was on another disk; CheXpert and MIMIC-CXR have better ids.
        places = map(place_of, images)
        ids = [place.image if place else path for place, path in zip(places, images, strict=True)]
        frame = frame.with_columns(image_id=pl.Series(ids, dtype=pl.String))
    texts = folder / "impressions.csv"
    if texts.exists():
        found = _impressions(texts, images)
        if "report_impression" in frame.columns:
            _refuse_other_words(texts, found, frame)
        else:
            frame = frame.with_columns(report_impression=found)
    return as_listing(frame, "chexzero", folder)


def _impressions(path: Path, images: list[str]) -> pl.Series:
    """Return an impression per image, null where there is none."""
    lines = read_csv(path, ["impression"])
    if lines.height != len(images):
        raise TableError(
            f"{path}: {lines.height} impressions for {len(images)} images of cxr_paths.csv; they "
            "belong together line by line"
        )
    if "filename" in lines.columns:
        _refuse_other_studies(path, lines["filename"], images)
    text = lines["impression"].str.strip_chars()
    return text.replace({NO_IMPRESSION: None, "": None})


def _refuse_other_studies(path: Path, reports: pl.Series, images: list[str]) -> None:
    """Raise where a line names a report of MIMIC-CXR, and the same line's image another study."""
    for number, (report, image) in enumerate(zip(reports, images, strict=True), start=1):
        place = place_of(image)
        is_named = re.fullmatch(r"s\d{8}\.txt", report or "") is not None
        if is_named and place and report != f"{place.study}.txt":
            raise TableError(
                f"{path}: row {number}: expected the report {place.study}.txt of the image in the "
                f"same row of cxr_paths.csv, got {report}; the two files do not belong together"
            )


def _refuse_other_words(path: Path, texts: pl.Series, table: pl.DataFrame) -> None:
    """Raise where a line and the table do not say the same: one of the two was changed."""
    known = table["report_impression"].str.strip_chars().replace({NO_IMPRESSION: None, "": None})
    other = texts.ne_missing(known)
    if other.any():
        row = int(other.arg_true()[0])
        raise TableError(
            f"{path}: {int(other.sum())} of {len(texts)} impressions are not those of table.csv, "
            f"the first in row {row + 1}, image {table['image_id'][row]!r}: keep the file that is "
            "right and take the other away"
        )


@contextmanager
def _open_images(path: Path, expected: int) -> Iterator[h5py.Dataset]:
    with open_dataset(path, "cxr") as images:
        shape = images.shape
        if len(shape) != 3 or shape[1] != shape[2] or not 1 <= shape[1] <= LARGEST_SIZE:
            raise TableError(f"{path}: expected images of shape (n, size, size), got {shape}")
        if shape[0] != expected:
            raise TableError(
                f"{path}: {shape[0]} images, but cxr_paths.csv names {expected}; they belong "
                "together by position, so this cannot be mended here"
            )
        yield images


def _decoder(pixels: h5py.Dataset, images: pl.Series) -> Callable[[pl.Series], Iterator[Outcome]]:
    place = {image: row for row, image in enumerate(images)}

    def decode(wanted: pl.Series) -> Iterator[Outcome]:
        for start in range(0, len(wanted), _AT_ONCE):
            rows = [place[image] for image in wanted[start : start + _AT_ONCE]]
            yield from map(_as_stored, pixels[rows])

    return decode


def _as_stored(values: "NDArray[np.float64]") -> Outcome:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        return Failure("range", "expected values from 0 to 255")
    if not values.any():
        return Failure("blank", "the image is black: its file could not be read at the time")
    image = np.rint(values).astype(np.uint8)
    side = image.shape[0]
    geometry = Geometry(side, side, side, 0, 0, side, side)
    return Decoded(pack(image), geometry, hashlib.sha256(image.tobytes()).hexdigest(), image.nbytes)
