"""NIH ChestX-ray14 (Wang et al., CVPR 2017, arXiv:1705.02315), tables of 2017 and 2020.

::

    root/
      Data_Entry_2017_v2020.csv      or Data_Entry_2017.csv, or sample_labels.csv
      train_val_list.txt  test_list.txt          the official split (both or neither)
      BBox_List_2017.csv                         boxes (optional)
      images/*.png                   or images_001/images/*.png and so on: any depth

The tables may be gzipped. What is unlike other tables: two header cells hold commas, so that only
the columns before them can be trusted; visits are ordered by ``Follow-up #``, which in the table of
2020 differs from the number in the file's name for 24,106 images; and the boxes, one per finding
and image, say ``Infiltrate`` where the labels say ``Infiltration``.
"""

from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import LeakError, SourceError
from hilum.findings import canonical
from hilum.sources import attributes, boxes
from hilum.sources.delimited import TextTable, find_table, read_lines, read_text_table
from hilum.sources.files import locate
from hilum.sources.listing import Listing, arrange
from hilum.sources.options import SourceOptions

_TABLES: Final = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "sample_labels.csv")
_BOXES: Final = "BBox_List_2017.csv"
LISTS: Final = {"trainval": "train_val_list.txt", "test": "test_list.txt"}
"""The official split: what the images of each list are for."""

_COLUMNS: Final = (
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
_HEALTHY: Final = "No Finding"
_SPELLINGS: Final = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"),
    *("Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening"),
    *("Hernia", _HEALTHY),
)
FINDINGS: Final = tuple(canonical(spelling) or spelling for spelling in _SPELLINGS)
"""The fourteen in the order of CheXNet, and No Finding."""


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of NIH ChestX-ray14, whole or a part of it.

    Raises
    ------
    SourceError
        If a table is absent or holds something else, a list does not fit the table, or an image
        file is missing.
    LeakError
        If an image is in both lists.
    """
    table = read_text_table(_table(root, options), ragged=True)
    table.need(_COLUMNS, "the nih layout reads NIH ChestX-ray14's Data_Entry table")
    frame, notes = _people(table)
    frame = pl.concat([frame, _labels(table)], how="horizontal")
    frame, split_notes = _split(root, frame)
    frame, box_notes = _boxes(root, frame)
    file_notes: list[str] = []
    if options.pixels:
        found, file_notes = locate(root, frame["image_id"].to_list())
        frame = frame.with_columns(pl.col("image_id").replace_strict(found).alias("file"))
    return Listing(
        frame=arrange(frame, FINDINGS),
        findings=FINDINGS,
        source="nih",
        root=root,
        notes=(*notes, *split_notes, *box_notes, *file_notes),
    )


def _table(root: Path, options: SourceOptions) -> Path:
    names = (options.table,) if options.table else _TABLES
    found = find_table(root, names)
    if found is None:
        raise SourceError(
            f"{root}: expected NIH's table {' or '.join(names)} (or .gz); "
            "name another with the option table"
        )
    return found


def _people(table: TextTable) -> tuple[pl.DataFrame, list[str]]:
    """Return ids, visits, age, sex and view; one image is one study."""
    text = pl.col("text")
    follow_up = table.values("Follow-up #", text.cast(pl.Int32, strict=False), "a whole number")
    years = table.values("Patient Age", attributes.age_years(text), "an age such as 58 or 058Y")
    age, age_notes = attributes.plausible(years)
    sex, sex_notes = attributes.sexes(table.frame["Patient Gender"])
    view, view_notes = attributes.views(table.frame["View Position"])
    images = table.texts("Image Index")
    frame = pl.DataFrame(
        {
            "image_id": images,
            "patient_id": table.texts("Patient ID"),
            "study_id": images.str.replace(r"\.[A-Za-z]+$", ""),
            "order": follow_up,
            "age": age,
            "sex": sex,
            "view": view,
        }
    )
    _refuse_equal_follow_ups(table, frame)
    frame, visit_notes = attributes.number_visits(frame, "order")
    return frame.drop("order"), [*age_notes, *sex_notes, *view_notes, *visit_notes]


def _refuse_equal_follow_ups(table: TextTable, frame: pl.DataFrame) -> None:
    """Two visits cannot be one: in no release does a patient have a Follow-up # twice."""
    table.texts("Follow-up #")
    again = ~pl.struct("patient_id", "order").is_first_distinct()
    repeated = frame.select(again).to_series()
    if repeated.any():
        row = int(repeated.arg_max() or 0)
        raise SourceError(
            f"{table.where(row, 'Follow-up #')}: patient {frame['patient_id'][row]} has "
            f"follow-up {frame['order'][row]} twice, so the order of the visits is unknown"
        )


def _labels(table: TextTable) -> pl.DataFrame:
    """Return one 0/1 column per finding; every image is labelled for every finding."""
    texts = table.texts("Finding Labels")
    # 836 distinct texts in 112,120 rows: split each once.
    distinct = texts.unique(maintain_order=True).to_frame("text")
    parts = pl.col("text").str.split("|")
    distinct = distinct.with_columns(
        strange=parts.list.set_difference(list(_SPELLINGS)).list.len() > 0,
        contrary=parts.list.contains(_HEALTHY) & (parts.list.len() > 1),
        **{
            name: parts.list.contains(spelling).cast(pl.Int8)
            for name, spelling in zip(FINDINGS, _SPELLINGS, strict=True)
        },
    )
    rows = texts.to_frame("text").join(distinct, on="text", how="left", maintain_order="left")
    for fault, expected in (
        ("strange", f"labels among {', '.join(_SPELLINGS)}, with | between them"),
        ("contrary", f"{_HEALTHY} to stand alone"),
    ):
        if rows[fault].any():
            row = int(rows[fault].arg_max() or 0)
            place = table.where(row, "Finding Labels")
            raise SourceError(f"{place}: expected {expected}, got {texts[row]!r}")
    return rows.select(FINDINGS)


def official_lists(root: Path) -> dict[str, set[str]] | None:
    """Read the lists of the official split, where they are in a folder.

    Returns
    -------
    The names of the images by split; None where neither list is there.

    Raises
    ------
    SourceError
        If only one of them is there.
    LeakError
        If an image is in both.
    """
    lists = {split: find_table(root, (name,)) for split, name in LISTS.items()}
    found = [path for path in lists.values() if path]
    if not found:
        return None
    if len(found) < len(LISTS):
        absent = [name for split, name in LISTS.items() if not lists[split]]
        raise SourceError(f"{root}: there is {found[0].name} but no {absent[0]}; add it")
    members = {
        split: {name for _, name in read_lines(path)} for split, path in lists.items() if path
    }
    both = sorted(members["trainval"] & members["test"])
    if both:
        raise LeakError(f"{both[0]}: in {' and in '.join(LISTS.values())} ({len(both):,} are)")
    return members


def _split(root: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    members = official_lists(root)
    if members is None:
        return frame, [f"no {' and '.join(LISTS.values())}: the images have no split"]
    split = {name: kind for kind, names in members.items() for name in names}
    frame = frame.with_columns(
        pl.col("image_id")
        .replace_strict(split, default=None, return_dtype=pl.String)
        .alias("split")
    )
    neither = frame.filter(pl.col("split").is_null())
    if neither.height:
        raise SourceError(
            f"{neither['image_id'][0]}: in neither {' nor '.join(LISTS.values())} "
            f"({neither.height:,} images are); add them, or remove both lists"
        )
    others = len(split) - frame.height
    return frame, [f"{others:,} names in the lists are not in the table"] if others else []


def _boxes(root: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    path = find_table(root, (_BOXES,))
    if path is None:
        return frame, []
    table = read_text_table(path, ragged=True)
    columns = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
    table.need(columns, f"expected NIH's {_BOXES}")
    found = boxes.parse(table, columns)
    others = boxes.count_others(frame, found)
    # A part of the data set usually comes with the whole list of boxes.
    notes = [f"{others:,} boxes are of images that are not in the table"] if others else []
    return boxes.attach(frame, found), notes
