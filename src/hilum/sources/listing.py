"""What every reader returns: one row per image, in one schema, and what it left out.

The schema is the contract between a source and a collection; `hilum.sources.checks` enforces it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import SourceError
from hilum.images import Channels

VIEWS: Final = ("PA", "AP", "LATERAL")
SEXES: Final = ("M", "F")
SPLITS: Final = ("train", "val", "test", "trainval")
"""``trainval``: the source says that the image is not for testing, and no more."""

BOX: Final = pl.Struct(
    {"finding": pl.String, "x": pl.Float32, "y": pl.Float32, "w": pl.Float32, "h": pl.Float32}
)

_BEFORE_FINDINGS: Final[dict[str, pl.DataType]] = {
    "image_id": pl.String(),
    "patient_id": pl.String(),
    "study_id": pl.String(),
    "visit": pl.Int32(),
    "view": pl.String(),
    "age": pl.Float32(),
    "sex": pl.String(),
    "split": pl.String(),
    "file": pl.String(),
}
_AFTER_FINDINGS: Final[dict[str, pl.DataType]] = {
    "boxes": pl.List(BOX),
    "report_findings": pl.String(),
    "report_impression": pl.String(),
}
_DIGEST_ROWS: Final = 10_000  # as text at once: reports are long
FIXED_COLUMNS: Final = (*_BEFORE_FINDINGS, *_AFTER_FINDINGS)
"""Every column but the findings."""


def schema(findings: Sequence[str]) -> dict[str, pl.DataType]:
    """Return the columns of a listing and their types, in order."""
    labels = {finding: pl.Int8() for finding in findings}
    return {**_BEFORE_FINDINGS, **labels, **_AFTER_FINDINGS}


def arrange(frame: pl.DataFrame, findings: Sequence[str]) -> pl.DataFrame:
    """Put a reader's columns in the order and types of the schema.

    Columns that the reader did not make are null; `boxes` is an empty list where there are none.
    """
    absent = [
        pl.lit(None, dtype).alias(name)
        for name, dtype in schema(findings).items()
        if name not in frame.columns
    ]
    whole = frame.with_columns(absent).select(
        pl.col(name).cast(dtype) for name, dtype in schema(findings).items()
    )
    return whole.with_columns(pl.col("boxes").fill_null(pl.lit([], pl.List(BOX))))


@dataclass(frozen=True)
class Rejected:
    """A file that belongs to the source but cannot become a row.

    Parameters
    ----------
    name
        The file's pseudonym, or its path below the source where identifiers are kept.
    reason
        A short code that stays the same between versions, such as ``"header"``.
    message
        What was expected and what was got, with nothing that identifies a patient.
    """

    name: str
    reason: str
    message: str


@dataclass(frozen=True)
class Listing:
    """The rows of one source.

    Parameters
    ----------
    frame
        One row per image. `image_id` (unique), `patient_id`, `study_id`; `visit`: the order in
        time within the patient, from 0, shared by the images of one study, and 0 for all images of
        a patient where the source does not tell their order; `view`, `age` (years), `sex`, `split`:
        null if unknown; `file`: below `root`, with ``/``, null if files were not looked for or
        their names may identify a patient; one column per finding (1, 0, -1 or null); `boxes`
        in pixels of the file as stored, from its top left corner; `report_findings` and
        `report_impression`.
    findings
        Their names, in the source's order.
    source
        The layout's name.
    root
        The source's folder.
    notes
        What a user should know: what was left out, what was assumed. One sentence each.
    rejected
        Files that ingest should put in quarantine.
    private_files
        ``image_id`` to path, for sources whose file names may identify a patient.
    channels
        Of its images: 1 grey, 3 colour.
    readings
        What each reader said, where several read an image: `image_id`, `reader` and the findings,
        1, 0, -1 or null (Int8). The labels of `frame` are what they say together.
    """

    frame: pl.DataFrame
    findings: tuple[str, ...]
    source: str
    root: Path
    notes: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    private_files: Mapping[str, Path] | None = field(default=None, repr=False, compare=False)
    channels: Channels = 1
    readings: pl.DataFrame | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return self.frame.height

    def paths(self, images: pl.Series) -> Iterator[Path]:
        """Return where the files of images are, in their order, each made when it is asked for.

        Raises
        ------
        SourceError
            If the listing has no such image, or was read without files.
        """
        if (private := self.private_files) is not None:
            self._refuse_unknown(images.filter([image not in private for image in images]))
            return (private[image] for image in images)
        files = self.frame.select("image_id", "file")
        wanted = images.alias("image_id").to_frame()
        found = wanted.join(files, on="image_id", how="left", maintain_order="left")
        self._refuse_unknown(found.filter(pl.col("file").is_null())["image_id"])
        return (self.root / file for file in found["file"])

    def _refuse_unknown(self, images: pl.Series) -> None:
        if images.len():
            raise SourceError(
                f"no file is known for image {images[0]!r} in this {self.source} listing of "
                f"{len(self)} images; list the source again with its pixels"
            )

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of the rows, to tell if a source has changed."""
        heading = "\n".join((self.source, *self.frame.columns))
        digest = hashlib.sha256(f"{heading}\n".encode())
        for frame in (self.frame, self.readings):
            for part in [] if frame is None else frame.iter_slices(_DIGEST_ROWS):
                digest.update(part.write_ndjson().encode())
        return digest.hexdigest()
