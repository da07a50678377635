"""ISIC 2017, part 3: classes of skin lesions, in colour (Codella et al., arXiv:1710.05006).

::

    root/
      ISIC-2017_Training_Part3_GroundTruth.csv     image_id,melanoma,seborrheic_keratosis
      ISIC-2017_Validation_Part3_GroundTruth.csv   any of the three will do
      ISIC-2017_Test_v2_Part3_GroundTruth.csv
      ISIC-2017_Training_Data_metadata.csv         image_id,age_approximate,sex (optional) and so on
      ISIC-2017_Training_Data/ISIC_0000000.jpg     or at any depth, named by image_id

The tables, too, may lie at any depth. A lesion that is neither a melanoma nor a seborrheic
keratosis is a nevus. Nothing tells which images are of one patient, nor their order.

The number of a class is the place of its finding in the listing, from 0. In the order of the tables
it is 0 melanoma, 1 seborrheic keratosis, 2 nevus; with the coding ``x-mir`` it is 0 nevus, 1
seborrheic keratosis, 2 melanoma (Hu et al., WACV 2022), and where that project's balanced list of
270 test images is there, ``ISIC-2017_Test_v2_Part3_GroundTruth_balanced.csv``, it is the test set.
"""

from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import LeakError, SourceError, UsageError
from hilum.sources import attributes
from hilum.sources.delimited import TextTable, read_text_table
from hilum.sources.files import walk
from hilum.sources.listing import Listing, arrange
from hilum.sources.options import SourceOptions
from hilum.sources.seen import find_halves

MELANOMA, KERATOSIS, NEVUS = FINDINGS = ("Melanoma", "Seborrheic Keratosis", "Nevus")
CODINGS: Final = {"isic": FINDINGS, "x-mir": (NEVUS, KERATOSIS, MELANOMA)}
"""Findings in the order in which they number the classes."""

_PARTS: Final = {"train": "Training", "val": "Validation", "test": "Test_v2"}
_COLUMNS: Final = ("image_id", "melanoma", "seborrheic_keratosis")
_BALANCED: Final = "ISIC-2017_Test_v2_Part3_GroundTruth_balanced.csv"
_UNKNOWN: Final = "unknown"
_ALONE: Final = (
    "nothing tells which images are of one patient: each counts as a patient of its own, so two "
    "lesions of one person may end up on both sides of a split"
)


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of ISIC 2017, part 3: the splits whose tables are there.

    Raises
    ------
    SourceError
        If no table of classes is there, one is there twice, a cell cannot be understood, or an
        image file is missing.
    LeakError
        If an image is in two splits.
    UsageError
        If there is no such coding.
    """
    if options.coding not in CODINGS:
        raise UsageError(f"{options.coding!r} is not a coding; choose from {', '.join(CODINGS)}")
    findings = CODINGS[options.coding]
    tables = _tables(root)
    balanced = options.coding == "x-mir" and _BALANCED in tables
    named = {split: f"ISIC-2017_{part}_Part3_GroundTruth.csv" for split, part in _PARTS.items()}
    named |= {"test": _BALANCED} if balanced else {}
    there = {split: tables[name] for split, name in named.items() if name in tables}
    if not there:
        raise SourceError(f"{root}: expected one of {', '.join(named.values())}, at any depth")
    frame = pl.concat([_classes(read_text_table(path), split) for split, path in there.items()])
    _refuse_doubles(frame)
    frame, file_notes = find_halves(root, frame, required=options.pixels)
    people, people_notes = _people(tables)
    frame = frame.join(people, on="image_id", how="left", maintain_order="left")
    if not options.pixels:
        frame = frame.drop("file")
    said = [f"the test images are those of X-MIR's balanced list ({_BALANCED})"] if balanced else []
    return Listing(
        frame=arrange(frame, findings),
        findings=findings,
        source="isic",
        root=root,
        notes=(_ALONE, *said, *people_notes, *file_notes),
        channels=3,
    )


def _tables(root: Path) -> dict[str, Path]:
    """Return the data set's tables by name, wherever they are."""
    found: dict[str, Path] = {}
    for file in walk(root).files:
        name = file.rpartition("/")[2].removesuffix(".gz")
        if not (name.startswith("ISIC-2017_") and name.endswith(".csv")):
            continue
        if name in found:
            here = found[name].relative_to(root).as_posix()
            raise SourceError(f"{name}: found twice, as {here} and {file}; keep one of them")
        found[name] = root / file
    return found


def _classes(table: TextTable, split: str) -> pl.DataFrame:
    """Return ids, split and labels; every image has one of the three classes."""
    table.need(_COLUMNS, "the isic layout reads the classes of ISIC 2017, part 3")
    images = table.texts("image_id")
    table.once("image_id", images)
    yes_or_no = pl.col("text").replace_strict(
        {"0": 0, "0.0": 0, "1": 1, "1.0": 1}, default=None, return_dtype=pl.Int8
    )
    marks = {}
    for column, finding in zip(_COLUMNS[1:], FINDINGS, strict=False):
        table.texts(column)
        marks[finding] = table.values(column, yes_or_no, "0.0 or 1.0")
    both = (marks[MELANOMA] == 1) & (marks[KERATOSIS] == 1)
    if both.any():
        row = int(both.arg_max() or 0)
        raise SourceError(
            f"{table.where(row, _COLUMNS[2])}: {images[row]} cannot be a melanoma and a seborrheic "
            "keratosis"
        )
    neither = 1 - marks[MELANOMA] - marks[KERATOSIS]
    return pl.DataFrame({"image_id": images, **marks, NEVUS: neither}).with_columns(
        patient_id="image_id", study_id="image_id", visit=pl.lit(0), split=pl.lit(split)
    )


def _refuse_doubles(frame: pl.DataFrame) -> None:
    again = frame.filter(pl.col("image_id").is_duplicated())
    if again.height:
        image = again["image_id"][0]
        splits = again.filter(pl.col("image_id") == image)["split"]
        raise LeakError(f"{image}: is in the tables of {' and '.join(splits)} images")


def _people(tables: dict[str, Path]) -> tuple[pl.DataFrame, list[str]]:
    """Return age and sex, as far as the metadata tell."""
    parts, notes, absent = [], [], []
    for part in _PARTS.values():
        name = f"ISIC-2017_{part}_Data_metadata.csv"
        if name in tables:
            rows, some = _metadata(read_text_table(tables[name]))
            parts.append(rows)
            notes += some
        elif f"ISIC-2017_{part}_Part3_GroundTruth.csv" in tables:
            absent.append(name)
    if absent:
        notes.append(f"no {' and no '.join(absent)}: ages and sexes there are unknown")
    empty = pl.DataFrame(schema={"image_id": pl.String, "age": pl.Float64, "sex": pl.String})
    return pl.concat([empty, *parts]).unique("image_id", keep="first", maintain_order=True), notes


def _metadata(table: TextTable) -> tuple[pl.DataFrame, list[str]]:
    table.need(("image_id", "age_approximate", "sex"), "expected ISIC 2017's metadata")
    told = pl.when(pl.col("age_approximate") != _UNKNOWN).then(pl.col("age_approximate"))
    known = TextTable(table.path, table.frame.with_columns(told.alias("age_approximate")))
    years = known.values("age_approximate", attributes.age_years(pl.col("text")), "an age, unknown")
    age, age_notes = attributes.plausible(years)
    sex, sex_notes = attributes.sexes(table.frame["sex"])
    images = table.texts("image_id")
    table.once("image_id", images)
    frame = pl.DataFrame([images, age.cast(pl.Float64).rename("age"), sex.rename("sex")])
    return frame, [*age_notes, *sex_notes]
