"""The RSNA Pneumonia Detection Challenge, stage 2 (Shih et al., Radiology: AI 1:e180041, 2019).

::

    root/
      stage_2_train_labels.csv           patientId,x,y,width,height,Target: a line per box
      stage_2_detailed_class_info.csv    patientId,class (optional)
      stage_2_train_images/*.dcm         or PNG, JPEG, at any depth, named by patientId
      pneumonia-challenge-dataset-mappings_2018.json   (optional): which image of ChestX-ray14 it is
      train_val_list.txt  test_list.txt                (optional): ChestX-ray14's official split

The images are 26,684 of ChestX-ray14, read again by radiologists; a ``patientId`` names an image.
RSNA publishes which image of ChestX-ray14 each of them is: a JSON list of objects with
``subset_img_id`` (the patientId) and ``img_id`` (ChestX-ray14's file). With it patients are
ChestX-ray14's, and with its lists so is the split: 7,193 of the images are among its test images,
and a model that was trained on them cannot be tested there.

What the classes say of the findings::

    class                           No Finding   Lung Opacity   Pneumonia
    Normal                          1            0              0
    No Lung Opacity / Not Normal    0            unknown        0
    Lung Opacity                    0            1              1

Readers boxed opacities that may be pneumonia, and no others: of those the middle class says
nothing.
"""

import json
import re
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import SourceError
from hilum.sources import boxes, nih
from hilum.sources.delimited import TextTable, find_table, read_text_table
from hilum.sources.files import find
from hilum.sources.listing import Listing, arrange
from hilum.sources.options import SourceOptions
from hilum.sources.seen import SIZES, fit_boxes, image_stem, look

FINDINGS: Final = ("No Finding", "Lung Opacity", "Pneumonia")
_LABELS: Final = "stage_2_train_labels.csv"
_CLASSES: Final = "stage_2_detailed_class_info.csv"
_MAPPING: Final = "pneumonia-challenge-dataset-mappings_2018.json"
_COLUMNS: Final = ("patientId", "x", "y", "width", "height", "Target")
_MEANING: Final[dict[str, tuple[int, int | None, int]]] = {
    "Normal": (1, 0, 0),
    "No Lung Opacity / Not Normal": (0, None, 0),
    "Lung Opacity": (0, 1, 1),
}
_BY_TARGET: Final[dict[int, tuple[int | None, int | None, int]]] = {
    0: (None, None, 0),
    1: (0, 1, 1),
}
_DRAWN_ON: Final = 1024  # pixels: every image of the challenge is so large
_NIH_FILE: Final = re.compile(r"(\d{8})_\d{3}\.png")
_LONGEST: Final = 64 << 20  # bytes of the mapping; RSNA's has 14 million
_ADVICE: Final = "every image of the challenge has 1024 × 1024 pixels; use those"
_UNMAPPED: Final = (
    f"no {_MAPPING}: nothing tells which images are of one patient, so two of one person may end "
    "up on both sides of a split, and 7,193 of the challenge's 26,684 images are test images of "
    "ChestX-ray14"
)


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of the challenge's labelled images.

    Raises
    ------
    SourceError
        If a table is absent, holds something else or contradicts another, an image file is
        missing, or the mapping lacks an image.
    LeakError
        If ChestX-ray14's lists have a patient on two sides.
    """
    path = find_table(root, (_LABELS,))
    if path is None:
        raise SourceError(f"{root}: expected the challenge's {_LABELS} (or .gz)")
    table = read_text_table(path)
    table.need(_COLUMNS, f"the rsna layout reads {_LABELS}")
    frame, drawn = _labels(table, _classes(root))
    frame, people_notes = _patients(root, frame, options.mapping)
    found = find(root, frame["image_id"].to_list(), image_stem)
    if options.pixels:
        found.refuse_missing()
    seen, seen_notes = look(root, found.files, options)
    frame = frame.join(seen, on="image_id", how="left", maintain_order="left")
    full = seen.select("image_id", width=pl.lit(_DRAWN_ON), height=pl.lit(_DRAWN_ON)).cast(SIZES)
    drawn, box_notes = fit_boxes(drawn, seen, full, _ADVICE)
    frame = boxes.attach(frame, drawn)
    if options.pixels:
        file = pl.col("image_id").replace_strict(found.files, return_dtype=pl.String)
        frame = frame.with_columns(file=file)
    return Listing(
        frame=arrange(frame, FINDINGS),
        findings=FINDINGS,
        source="rsna",
        root=root,
        notes=(*people_notes, *(found.notes if options.pixels else ()), *seen_notes, *box_notes),
    )


# --------------------------------------------------------------------------- labels


def _labels(table: TextTable, classes: TextTable | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return ids and labels, one row per image, and the boxes."""
    target = pl.col("text").replace_strict({"0": 0, "1": 1}, default=None, return_dtype=pl.Int8)
    table.texts("Target")
    said = pl.DataFrame(
        [table.texts("patientId").rename("image_id"), table.values("Target", target, "0 or 1")]
    )
    _refuse_odd_lines(table, said)
    positive = table.frame.filter(said["Target"] == 1).with_columns(finding=pl.lit("Pneumonia"))
    columns = ("patientId", "finding", *_COLUMNS[1:5])
    drawn = boxes.parse(TextTable(table.path, positive), columns)
    frame = said.group_by("image_id", maintain_order=True).first()
    if classes is None:
        meanings = [_BY_TARGET[value] for value in frame["Target"]]
    else:
        meanings = _meanings(classes, frame)
    values = pl.DataFrame(meanings, schema=dict.fromkeys(FINDINGS, pl.Int8), orient="row")
    ids = frame.select("image_id", study_id="image_id", patient_id="image_id", visit=pl.lit(0))
    return pl.concat([ids, values], how="horizontal"), drawn


def _refuse_odd_lines(table: TextTable, said: pl.DataFrame) -> None:
    """Accept one line with Target 0 and no box, or one for each box with Target 1."""
    corners = pl.any_horizontal(pl.col(_COLUMNS[1:5]).is_not_null())
    boxed = table.frame.select(corners).to_series()
    mixed = said.select(pl.col("Target").n_unique().over("image_id") > 1).to_series()
    doubled = said.select((pl.len().over("image_id") > 1) & (pl.col("Target") == 0)).to_series()
    for wrong, what in (
        (mixed, "one Target for all lines of an image"),
        (doubled, "one line for an image with Target 0"),
        (boxed & (said["Target"] == 0), "no box beside Target 0"),
    ):
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise SourceError(
                f"{table.where(row, 'Target')}: expected {what} ({said['image_id'][row]})"
            )


def _classes(root: Path) -> TextTable | None:
    path = find_table(root, (_CLASSES,))
    if path is None:
        return None
    table = read_text_table(path)
    table.need(("patientId", "class"), f"expected the challenge's {_CLASSES}")
    return table


def _meanings(classes: TextTable, frame: pl.DataFrame) -> list[tuple[int | None, int | None, int]]:
    known = pl.col("text").replace_strict({name: name for name in _MEANING}, default=None)
    names = classes.values("class", known, " or ".join(map(repr, _MEANING)))
    classes.texts("class")
    by_image = dict(zip(classes.texts("patientId"), names, strict=True))
    meanings: list[tuple[int | None, int | None, int]] = []
    for image, target in frame.select("image_id", "Target").iter_rows():
        if image not in by_image:
            raise SourceError(f"{classes.path.name}: has no class for {image}, which {_LABELS} has")
        meaning = _MEANING[by_image[image]]
        if meaning[2] != target:
            raise SourceError(
                f"{classes.path.name}: {image} is {by_image[image]!r}, but its Target is {target} "
                f"in {_LABELS}"
            )
        meanings.append(meaning)
    return meanings


# --------------------------------------------------------------------------- ChestX-ray14


def _patients(
    root: Path, frame: pl.DataFrame, named: Path | None
) -> tuple[pl.DataFrame, list[str]]:
    """Say whose image it is in ChestX-ray14, and on which side of its split."""
    path = named or (root / _MAPPING)
    if not path.is_file():
        if named:
            raise SourceError(f"{named}: there is no such mapping")
        return frame, [_UNMAPPED]
    files = _mapping(path)
    absent = [image for image in frame["image_id"] if image not in files]
    if absent:
        raise SourceError(
            f"{path.name}: has no entry for {absent[0]} ({len(absent):,} images have none); "
            "it is not the mapping of this challenge"
        )
    file = pl.col("image_id").replace_strict(files, return_dtype=pl.String)
    frame = frame.with_columns(nih=file)
    frame = frame.with_columns(
        # Numbers as ChestX-ray14's table writes them, and the study as the nih layout names it.
        patient_id=pl.col("nih").str.head(8).cast(pl.Int32).cast(pl.String),
        study_id=pl.col("nih").str.strip_suffix(".png"),
    )
    again = frame.filter(pl.col("nih").is_duplicated())
    if again.height:
        first, second = again.filter(pl.col("nih") == again["nih"][0])["image_id"][:2]
        raise SourceError(f"{path.name}: {first} and {second} are both {again['nih'][0]}")
    return _official_split(frame, (root, path.parent))


def _mapping(path: Path) -> dict[str, str]:
    """Return patientId -> ChestX-ray14's file."""
    wrong = (
        f"{path.name}: expected RSNA's {_MAPPING}, a JSON list of objects with subset_img_id and "
        "img_id such as 00000061_003.png"
    )
    if path.stat().st_size > _LONGEST:
        raise SourceError(f"{wrong}; got {path.stat().st_size:,} bytes")
    try:
        entries = json.loads(path.read_bytes())
        found = {str(entry["subset_img_id"]): str(entry["img_id"]) for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SourceError(f"{wrong}; got {type(error).__name__}") from None
    strange = [file for file in found.values() if not _NIH_FILE.fullmatch(file)]
    if strange or not found:
        raise SourceError(f"{wrong}; got {strange[0]!r}" if strange else wrong)
    return found


def _official_split(
    frame: pl.DataFrame, folders: tuple[Path, ...]
) -> tuple[pl.DataFrame, list[str]]:
    lists = next((found for folder in folders if (found := nih.official_lists(folder))), None)
    note = "patients are those of ChestX-ray14"
    if lists is None:
        return frame, [
            f"{note}; without its {' and '.join(nih.LISTS.values())} nothing keeps the images "
            "that are among its test images (7,193 of 26,684) out of training"
        ]
    split = {name: kind for kind, names in lists.items() for name in names}
    told = pl.col("nih").replace_strict(split, default=None, return_dtype=pl.String)
    frame = frame.with_columns(split=told)
    neither = frame.filter(pl.col("split").is_null())
    if neither.height:
        raise SourceError(
            f"{neither['nih'][0]}: in neither {' nor '.join(nih.LISTS.values())} "
            f"({neither.height:,} images are); use the lists of the whole data set"
        )
    tests = frame.filter(pl.col("split") == "test").height
    return frame, [
        f"{note}, and so is the split: {tests:,} of {frame.height:,} images are among its test "
        "images"
    ]
