"""Every listing is checked before anyone uses it, whichever reader made it.

The readers name file, line and column of what they cannot understand; this is the second net, which
looks at the rows as a whole: ids, ranges, studies and patients.
"""

import re
from collections.abc import Callable
from typing import Final

import polars as pl

from hilum.errors import ClashError, LeakError, SourceError
from hilum.sources.attributes import OLDEST
from hilum.sources.files import is_inside
from hilum.sources.listing import SEXES, SPLITS, VIEWS, Listing, schema

LONGEST_ID: Final = 128
_IDS: Final = ("image_id", "patient_id", "study_id")
# No control, format, private or unassigned characters, no line ends, no space at either end.
_SANE_ID: Final = r"^[^\p{C}\p{Zl}\p{Zp}]+$"
_READER: Final = re.compile(r"[\w\-][\w\- ]{0,63}")  # names a file
_FURTHEST: Final = 1e5  # pixels; no detector has an edge this long


def check(listing: Listing) -> None:
    """Check a listing against the contract.

    Raises
    ------
    SourceError
        If a column, type, id, label, age, box or file is not as `Listing` says; the message names
        the row (from 1) and the value.
    ClashError
        If two rows have one `image_id`.
    LeakError
        If a patient's images are in more than one split.
    """
    expected, got = list(schema(listing.findings).items()), list(listing.frame.schema.items())
    if got != expected:
        raise SourceError(f"{listing.source}: expected the columns {expected}, got {got}")
    if listing.frame.is_empty():
        raise SourceError(f"{listing.source}: expected at least one image, got an empty table")
    for column in _IDS:
        _check_ids(listing, column)
    _check_unique(listing)
    _check_values(listing)
    _check_boxes(listing)
    _check_files(listing)
    _check_studies(listing)
    _check_leaks(listing)
    _check_readings(listing)


def _check_ids(listing: Listing, column: str) -> None:
    text = pl.col(column)
    sane = text.str.contains(_SANE_ID) & (text.str.strip_chars() == text)
    wrong = ~(sane & (text.str.len_chars() <= LONGEST_ID)).fill_null(value=False)
    _refuse(listing, wrong, column, f"1 to {LONGEST_ID} printable characters")


def _check_unique(listing: Listing) -> None:
    repeated = listing.frame.select(pl.col("image_id").is_duplicated()).to_series()
    if repeated.any():
        row = int(repeated.arg_max() or 0)
        count = int(repeated.sum())
        raise ClashError(
            f"{_place(listing, row)}: {count:,} rows share their image_id with another; every "
            "image needs an id of its own"
        )


def _check_values(listing: Listing) -> None:
    for column, allowed in (("view", VIEWS), ("sex", SEXES), ("split", SPLITS)):
        wrong = ~pl.col(column).is_in(allowed)
        _refuse(listing, wrong, column, f"{', '.join(allowed)} or null")
    _refuse(listing, ~pl.col("age").is_between(0, OLDEST), "age", f"0 to {OLDEST:.0f} years")
    _refuse(listing, (pl.col("visit") < 0).fill_null(value=True), "visit", "0 or more")
    for finding in listing.findings:
        _refuse(listing, ~pl.col(finding).is_in([-1, 0, 1]), finding, "1, 0, -1 or null")


def _check_boxes(listing: Listing) -> None:
    boxes = listing.frame.select(row=pl.int_range(pl.len()), box="boxes").explode("box")
    boxes = boxes.drop_nulls().unnest("box")
    numbers = pl.col("x", "y", "w", "h")
    inside = pl.all_horizontal(numbers.is_finite(), numbers >= 0, numbers < _FURTHEST)
    wrong = ~(inside & (pl.col("w") > 0) & (pl.col("h") > 0)).fill_null(value=False)
    strange = ~pl.col("finding").is_in(listing.findings).fill_null(value=False)
    for fault, what in (
        (wrong, "finite x and y from 0, and w and h above 0, in pixels"),
        (strange, f"a finding of this source ({', '.join(listing.findings)})"),
    ):
        bad = boxes.filter(fault)
        if bad.height:
            row, *box = bad.row(0)
            raise SourceError(f"{_place(listing, row)}: box: expected {what}, got {box}")


def _check_files(listing: Listing) -> None:
    for row, file in enumerate(listing.frame["file"]):
        if file is not None and not is_inside(file):
            raise SourceError(
                f"{_place(listing, row)}: file: expected a path below the source's folder, with "
                f"/ between its parts, got {file!r}"
            )


def _check_studies(listing: Listing) -> None:
    for column, what in (("patient_id", "patient"), ("visit", "visit")):
        mixed = pl.col(column).n_unique().over("study_id") > 1
        _refuse(listing, mixed, "study_id", f"a study to have one {what}", SourceError)


def _check_leaks(listing: Listing) -> None:
    # No split counts as one more: such an image could be dealt to the other side later.
    mixed = pl.col("split").n_unique().over("patient_id") > 1
    rows = listing.frame.select(row=pl.int_range(pl.len()), mixed=mixed).filter("mixed")
    if rows.height:
        first = listing.frame[int(rows["row"][0])]
        same = listing.frame.filter(pl.col("patient_id") == first["patient_id"][0])
        splits = [split or "no split" for split in same["split"].unique().sort(nulls_last=True)]
        raise LeakError(
            f"{_patient(listing, first)} has images in {' and '.join(splits)}; give all images of "
            "a patient the same split"
        )


def _check_readings(listing: Listing) -> None:
    """Check that readings are of images that are here, one by each reader."""
    readings = listing.readings
    if readings is None:
        return
    findings = set(readings.columns[2:])
    if readings.columns[:2] != ["image_id", "reader"] or not findings <= set(listing.findings):
        raise SourceError(f"{listing.source}: readings: expected image_id, reader and findings of "
                          f"the source, got {readings.columns}")  # fmt: skip
    names = readings["reader"].unique().to_list()
    strange = [name for name in names if not _READER.fullmatch(name)]
    if strange:
        raise SourceError(f"{listing.source}: readings: expected names of readers of at most 64 "
                          f"letters, digits, -, _ and spaces, got {strange[0]!r}")  # fmt: skip
    twice = readings.select(pl.struct("image_id", "reader").is_duplicated()).to_series()
    elsewhere = ~readings["image_id"].is_in(listing.frame["image_id"].implode())
    for wrong, what in ((twice, "one by each reader"), (elsewhere, "none of an image elsewhere")):
        if wrong.any():
            image, reader, *_ = readings.row(int(wrong.arg_max() or 0))
            raise SourceError(f"{listing.source}: readings of {image} by {reader}: expected {what}")


def _refuse(
    listing: Listing,
    wrong: pl.Expr,
    column: str,
    expected: str,
    kind: Callable[[str], Exception] = SourceError,
) -> None:
    bad = listing.frame.select(wrong.fill_null(value=False)).to_series()
    if bad.any():
        row = int(bad.arg_max() or 0)
        got = "another value" if _is_private(listing) else repr(listing.frame[column][row])
        raise kind(f"{_place(listing, row)}: {column}: expected {expected}, got {got}")


def _is_private(listing: Listing) -> bool:
    return listing.source == "dicom"


def _place(listing: Listing, row: int) -> str:
    """Say which row it is, and which image unless that may identify a patient."""
    image_id = listing.frame["image_id"][row]
    known = "" if _is_private(listing) else f" ({image_id})"
    return f"{listing.source}: row {row + 1}{known}"


def _patient(listing: Listing, row: pl.DataFrame) -> str:
    return "a patient" if _is_private(listing) else f"patient {row['patient_id'][0]!r}"
