"""VinDr-CXR (Nguyen et al., Scientific Data 9:429, 2022), as on PhysioNet or Kaggle.

::

    root/
      annotations/image_labels_train.csv   image_id, rad_id and 28 labels: three readers an image
      annotations/image_labels_test.csv    image_id and 28 labels: the consensus of five
      annotations/annotations_train.csv    image_id, rad_id, class_name, x_min, y_min, x_max, y_max
      annotations/annotations_test.csv     the same without rad_id
      train/*.dicom  test/*.dicom          or PNG, JPEG, at any depth, named by image_id

The tables may also lie in the folder itself, and be gzipped. The challenge on Kaggle has one table,
``train.csv``: each line is a box that one reader drew, or ``No finding``; what a reader drew no box
of is absent, and its test images have no labels. Copies as PNG are often smaller than the films
that the boxes were drawn on: then ``train_meta.csv`` (`image_id`, `dim0` = height, `dim1` = width)
says how large these were.

Nothing tells which images are of one patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import LeakError, SourceError
from hilum.findings import canonical
from hilum.sources import boxes
from hilum.sources.delimited import TextTable, find_table, read_text_table
from hilum.sources.label_columns import labels
from hilum.sources.listing import Listing, arrange
from hilum.sources.options import SourceOptions
from hilum.sources.readers import agree, disagreement
from hilum.sources.seen import SIZES, find_halves, fit_boxes, look

_SPLITS: Final = {"train": "trainval", "test": "test"}
_KAGGLE: Final = "train.csv"
_CORNERS: Final = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
_HEALTHY: Final = "No Finding"
_BOXES: Final = pl.Schema(
    {"image_id": pl.String, "finding": pl.String, **dict.fromkeys("xywh", pl.Float64)}
)
_ALONE: Final = (
    "nothing tells which images are of one patient: each counts as a patient of its own, so two "
    "images of one person may end up on both sides of a split"
)
_ADVICE: Final = (
    "use the original files, or add train_meta.csv (image_id, dim0, dim1: height and width of the "
    "original)"
)


@dataclass(frozen=True)
class _Part:
    """One half of the data set: labels by reader (`reader` null: the consensus) and boxes."""

    split: str
    readings: pl.DataFrame
    findings: tuple[str, ...]
    boxes: pl.DataFrame


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of VinDr-CXR, whole, or the half that is there.

    Raises
    ------
    SourceError
        If there is no table of labels, a cell cannot be understood, an image file is missing, or
        the boxes do not fit the images.
    LeakError
        If an image is in both halves.
    UsageError
        If there is no such consensus.
    """
    parts = _parts(root)
    findings = tuple(dict.fromkeys(name for part in parts for name in part.findings))
    frame = pl.concat([_rows(part, findings, options.consensus) for part in parts])
    _refuse_doubles(frame)
    frame, file_notes = find_halves(root, frame, required=options.pixels)
    files = dict(frame.select("image_id", "file").drop_nulls().iter_rows())
    seen, seen_notes = look(root, files, options)
    frame = frame.join(seen, on="image_id", how="left", maintain_order="left")
    frame, age_notes = _adults(frame)
    drawn = pl.concat([part.boxes for part in parts])
    drawn, box_notes = _boxes(root, drawn, frame, seen)
    readings = pl.concat([part.readings for part in parts], how="diagonal")
    readings = readings.filter(pl.col("reader").is_not_null())
    readings = readings.join(frame, on="image_id", how="semi", maintain_order="left")
    frame = boxes.attach(frame, drawn)
    if not options.pixels:
        frame = frame.drop("file")
    notes = (
        *(_ALONE, *_reader_notes(readings, findings, options.consensus)),
        *(*file_notes, *seen_notes, *age_notes, *box_notes),
    )
    return Listing(
        frame=arrange(frame, findings),
        findings=findings,
        source="vindr",
        root=root,
        notes=notes,
        readings=readings if readings.height else None,
    )


# --------------------------------------------------------------------------- tables


def _parts(root: Path) -> list[_Part]:
    parts = []
    for half, split in _SPLITS.items():
        path = _find(root, f"image_labels_{half}.csv")
        if path is not None:
            readings, findings = _read_labels(read_text_table(path))
            parts.append(_Part(split, readings, findings, _read_boxes(root, half)))
    if not parts and (path := find_table(root, (_KAGGLE,))):
        parts.append(_read_drawn(read_text_table(path)))
    if not parts:
        raise SourceError(
            f"{root}: expected VinDr-CXR's image_labels_train.csv or image_labels_test.csv, here "
            f"or in annotations/, or Kaggle's {_KAGGLE}"
        )
    return parts


def _find(root: Path, name: str) -> Path | None:
    return find_table(root / "annotations", (name,)) or find_table(root, (name,))


def _read_labels(table: TextTable) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return labels by image and reader."""
    table.need(["image_id"], "the vindr layout reads VinDr-CXR's tables of labels")
    images = table.texts("image_id")
    by_reader = "rad_id" in table.columns
    readers = (
        table.texts("rad_id") if by_reader else pl.Series([None] * len(images), dtype=pl.String)
    )
    key = pl.DataFrame({"image_id": images, "reader": readers})
    keys = key.select(pl.concat_str("image_id", pl.lit(" by "), "reader")) if by_reader else key
    table.once("image_id", keys.to_series())
    chosen: dict[str, str] = {}
    for column in table.columns:
        if column in ("image_id", "rad_id"):
            continue
        name = canonical(column) or column
        if name in chosen:
            raise SourceError(
                f"{table.path.name}:1: {chosen[name]!r} and {column!r} are both {name}"
            )
        chosen[name] = column
    if not chosen:
        raise SourceError(f"{table.path.name}:1: expected columns of labels, got none")
    return pl.concat([key, labels(table, chosen)], how="horizontal"), tuple(chosen)


def _read_boxes(root: Path, half: str) -> pl.DataFrame:
    path = _find(root, f"annotations_{half}.csv")
    if path is None:
        return pl.DataFrame(schema=_BOXES)
    table = read_text_table(path)
    table.need(_CORNERS, f"expected VinDr-CXR's annotations_{half}.csv")
    return boxes.parse_corners(table, _CORNERS).cast(_BOXES)


def _read_drawn(table: TextTable) -> _Part:
    """Read Kaggle's table: what a reader drew a box of is present, all else absent."""
    table.need((*_CORNERS, "rad_id"), f"expected the challenge's {_KAGGLE}")
    said = pl.DataFrame(
        {
            "image_id": table.texts("image_id"),
            "reader": table.texts("rad_id"),
            "finding": [canonical(name) or name for name in table.texts("class_name")],
        }
    )
    findings = tuple(sorted({*said["finding"], _HEALTHY}))
    by_reader = said.group_by("image_id", "reader", maintain_order=True)
    readings = by_reader.agg(
        (pl.col("finding") == name).any().cast(pl.Int8).alias(name) for name in findings
    )
    drawn = boxes.parse_corners(table, _CORNERS).cast(_BOXES)
    return _Part("trainval", readings, findings, drawn)


# --------------------------------------------------------------------------- rows


def _rows(part: _Part, findings: Sequence[str], rule: str) -> pl.DataFrame:
    """Return one row per image: what its readers say together."""
    agreed = agree(part.readings, part.findings, rule)
    absent = [pl.lit(None, pl.Int8).alias(n) for n in findings if n not in part.findings]
    return agreed.with_columns(
        *absent,
        patient_id="image_id",
        study_id="image_id",
        visit=pl.lit(0),
        view=pl.lit("PA"),  # the data set was chosen so
        split=pl.lit(part.split),
    ).select("image_id", "patient_id", "study_id", "visit", "view", "split", *findings)


def _refuse_doubles(frame: pl.DataFrame) -> None:
    again = frame.filter(pl.col("image_id").is_duplicated())
    if again.height:
        raise LeakError(f"{again['image_id'][0]}: is in the labels of train and of test images")


def _adults(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Make an age of 0 unknown: it stands for a missing one, for the patients are adults."""
    zero = int((frame["age"] == 0).sum())
    known = frame.with_columns(age=pl.when(pl.col("age") > 0).then(pl.col("age")))
    return known, [f"{zero:,} ages of 0 are unknown here"] if zero else []


def _boxes(
    root: Path, drawn: pl.DataFrame, frame: pl.DataFrame, seen: pl.DataFrame
) -> tuple[pl.DataFrame, list[str]]:
    """Keep the boxes of findings that the consensus does not deny, in the frame of the files."""
    mine = drawn.join(frame, on="image_id", how="semi", maintain_order="left")
    others = drawn.height - mine.height
    names = [name for name in mine["finding"].unique() if name in frame.columns]
    told = frame.select("image_id", *names).unpivot(
        index="image_id", variable_name="finding", value_name="label"
    )
    mine = mine.join(told, on=["image_id", "finding"], how="left", maintain_order="left")
    kept = mine.filter(pl.col("label").fill_null(-1) != 0).drop("label")
    denied = mine.height - kept.height
    fitted, notes = fit_boxes(kept, seen, _originals(root), _ADVICE)
    counts = {
        "boxes are of images that are not in the table": others,
        "boxes are of findings that the consensus denies, and are left out": denied,
    }
    return fitted, [*notes, *(f"{count:,} {what}" for what, count in counts.items() if count)]


def _originals(root: Path) -> pl.DataFrame | None:
    tables = [path for half in _SPLITS if (path := _find(root, f"{half}_meta.csv"))]
    if not tables:
        return None
    made = []
    for path in tables:
        table = read_text_table(path)
        table.need(("image_id", "dim0", "dim1"), "dim0 is the height and dim1 the width")
        whole = pl.col("text").cast(pl.Int32, strict=False)
        pixels = pl.when(whole > 0).then(whole)
        made.append(
            pl.DataFrame(
                {
                    "image_id": table.texts("image_id"),
                    "width": table.values("dim1", pixels, "a number of pixels"),
                    "height": table.values("dim0", pixels, "a number of pixels"),
                },
                schema=SIZES,
            )
        )
        table.once("image_id", table.frame["image_id"])
    return pl.concat(made)


def _reader_notes(readings: pl.DataFrame, findings: Sequence[str], rule: str) -> list[str]:
    if readings.is_empty():
        return []
    images = readings["image_id"].n_unique()
    apart = disagreement(readings, [name for name in findings if name in readings.columns])
    return [
        f"{readings['reader'].n_unique()} readers read {images:,} images and disagree about "
        f"{apart:,}: labels are by consensus ({rule}), and what each said is kept"
    ]
