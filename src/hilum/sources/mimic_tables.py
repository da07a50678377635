"""The tables of MIMIC-CXR-JPG: metadata, and what is joined to them by image, patient or study.

Ids are given as the folders have them, ``p10000032`` and ``s50414267``; the tables have the number
alone.
"""

import re
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import SourceError
from hilum.sources import attributes
from hilum.sources.delimited import TextTable, find_table, read_text_table
from hilum.sources.label_columns import finding_columns, labels

_NAME: Final = r"mimic-cxr-\d+\.\d+\.\d+-{}\.csv(\.gz)?"
_LABELLERS: Final = ("chexpert", "negbio")  # the order of choice
_METADATA: Final = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime")
_PATIENTS: Final = "patients.csv"
_PEOPLE: Final = ("subject_id", "gender", "anchor_age", "anchor_year")
_SPLITS: Final = {"train": "train", "validate": "val", "test": "test"}
_NUMBER: Final = r"^\d{8}$"
_DICOM_ID: Final = r"^[0-9A-Za-z][0-9A-Za-z-]*$"
_TOP_CODED: Final = 91  # anchor_age of patients over 89

Joined = tuple[pl.DataFrame, list[str]]
"""The rows, and notes."""


def read_metadata(root: Path) -> Joined:
    """Return image_id, patient_id, study_id, visit, view and the date of the study.

    Raises
    ------
    SourceError
        If the table is absent, or a cell of it is something else.
    """
    path = _find(root, "metadata")
    if path is None:
        raise SourceError(f"{root}: expected MIMIC-CXR-JPG's mimic-cxr-2.0.0-metadata.csv (or .gz)")
    table = read_text_table(path)
    table.need(_METADATA, "the mimic layout reads MIMIC-CXR-JPG's metadata")
    text = pl.col("text")
    view, notes = attributes.views(table.frame["ViewPosition"])
    day = text.str.to_date("%Y%m%d", strict=False)
    clock = text.cast(pl.Float64, strict=False)  # 213014.531, and 80556.875 before ten o'clock
    daily = pl.when((clock >= 0) & (clock < 240_000)).then(clock)
    frame = pl.DataFrame(
        {
            "image_id": _images(table),
            "patient_id": _numbers(table, "subject_id", "p"),
            "study_id": _numbers(table, "study_id", "s"),
            "view": view,
            "date": table.values("StudyDate", day, "a date such as 21800506"),
            "time": table.values("StudyTime", daily, "a time such as 213014.531"),
        }
    )
    # The images of a study should agree; where they do not, it began with the earliest.
    moment = pl.col("date").to_physical() * 1_000_000 + pl.col("time")
    earliest = moment.min().over("study_id")
    frame, visit_notes = attributes.number_visits(frame.with_columns(order=earliest), "order")
    return frame.drop("order", "time"), [*notes, *visit_notes]


def add_split(root: Path, frame: pl.DataFrame) -> Joined:
    """Add the split, where its table is there; then every image needs a line.

    Raises
    ------
    SourceError
        If a cell is something else, an image has no line, or its patient is another one there.
    """
    path = _find(root, "split")
    if path is None:
        return frame, ["no mimic-cxr-2.0.0-split.csv: the images have no split"]
    table = read_text_table(path)
    table.need(("dicom_id", "split"), "the mimic layout reads MIMIC-CXR-JPG's split")
    table.texts("split")
    name = pl.col("text").replace_strict(_SPLITS, default=None, return_dtype=pl.String)
    split = table.values("split", name, "train, validate or test")
    given = pl.DataFrame({"image_id": _images(table), "split": split})
    _refuse_other_patients(table, given["image_id"], frame)
    joined = frame.join(given, on="image_id", how="left", maintain_order="left")
    bare = joined.filter(pl.col("split").is_null())["image_id"]
    if len(bare):
        raise SourceError(
            f"{path.name}: {len(bare):,} images of the metadata have no line, first {bare[0]}; "
            "add them, or remove the table"
        )
    others = given.height - frame.height
    note = f"{others:,} lines of {path.name} are of images not in the metadata"
    return joined, [note] if others else []


def add_people(root: Path, frame: pl.DataFrame) -> Joined:
    """Add sex and age of MIMIC-IV's patients, where their table is there.

    MIMIC-IV gives a patient's age in one year, shifted as the dates of the studies are; years
    between the two are added, so an age may be off by one.

    Raises
    ------
    SourceError
        If a cell of the table is something else.
    """
    path = find_table(root, (_PATIENTS,))
    if path is None:
        return frame, [f"no {_PATIENTS} of MIMIC-IV: age and sex are unknown"]
    table = read_text_table(path)
    table.need(_PEOPLE, "the mimic layout reads MIMIC-IV's table of patients")
    patients = _numbers(table, "subject_id", "p")
    table.once("subject_id", patients)
    sex, sex_notes = attributes.sexes(table.frame["gender"])
    whole = pl.col("text").cast(pl.Int64, strict=False)
    age, year = (table.values(column, whole, "a whole number") for column in _PEOPLE[2:])
    people = pl.DataFrame({"patient_id": patients, "sex": sex, "then": age, "year": year})
    frame = frame.join(people, on="patient_id", how="left", maintain_order="left")
    years = frame.select(age=pl.col("date").dt.year() - pl.col("year") + pl.col("then"))
    ages, age_notes = attributes.counted_ages(years["age"].cast(pl.Float64))
    strangers = frame.filter(~pl.col("patient_id").is_in(patients.implode()))
    old = int((frame["then"] == _TOP_CODED).sum())
    notes = _counted(
        (strangers["patient_id"].n_unique(), f"patients are not in {path.name}"),
        (old, f"images are of patients over 89, whose age {path.name} counts from {_TOP_CODED}"),
    )
    frame = frame.drop("then", "year").with_columns(age=ages)
    return frame, [*sex_notes, *age_notes, *notes]


def add_labels(
    root: Path, frame: pl.DataFrame, named: str | None
) -> tuple[pl.DataFrame, tuple[str, ...], list[str]]:
    """Give every image the labels of its study, where there is a table of labels.

    Parameters
    ----------
    root
        The folder.
    frame
        As from `read_metadata`.
    named
        The table's file; CheXpert's labels, or else NegBio's, if None.

    Returns
    -------
    The rows, the findings in the table's order, and notes.

    Raises
    ------
    SourceError
        If the table that is named is absent, a cell is something else, a study has two lines, or
        its patient is another one there.
    """
    path, notes = _label_table(root, named)
    if path is None:
        return frame, (), notes
    table = read_text_table(path)
    table.need(["study_id"], "labels are joined by study")
    studies = _numbers(table, "study_id", "s")
    table.once("study_id", studies)
    _refuse_other_patients(table, studies.rename("study_id"), frame)
    chosen = finding_columns(table, {}, None, {"study_id", "subject_id"})
    if not chosen:
        raise SourceError(f"{path.name}:1: no column is a finding, got {', '.join(table.columns)}")
    values = labels(table, chosen).with_columns(studies.rename("study_id"))
    joined = frame.join(values, on="study_id", how="left", maintain_order="left")
    known = frame["study_id"].unique()
    bare = int((~known.is_in(studies.implode())).sum())
    others = int((~studies.is_in(known.implode())).sum())
    notes += _counted(
        (bare, f"studies have no line in {path.name}: their labels are unknown"),
        (others, f"lines of {path.name} are of studies not in the metadata"),
    )
    return joined, tuple(chosen), notes


def _label_table(root: Path, named: str | None) -> tuple[Path | None, list[str]]:
    if named:
        path = find_table(root, (named,))
        if path is None:
            raise SourceError(f"{root}: there is no table of labels {named} (or .gz)")
        return path, []
    found = [path for path in (_find(root, kind) for kind in _LABELLERS) if path]
    if not found:
        return None, ["no mimic-cxr-2.0.0-chexpert.csv or -negbio.csv: the images have no labels"]
    first, *others = found
    why = "name it with the option table (--table) to change that"
    return first, [f"labels come from {first.name}, not {path.name}; {why}" for path in others]


# --------------------------------------------------------------------------- cells


def _find(root: Path, kind: str) -> Path | None:
    """Return the table of a kind, whatever its version; plain before gzipped."""
    pattern = re.compile(_NAME.format(kind))
    names = sorted(path.name for path in root.iterdir() if pattern.fullmatch(path.name))
    plain = sorted({name.removesuffix(".gz") for name in names})
    if len(plain) > 1:
        raise SourceError(
            f"{root}: {' and '.join(plain)} are both tables of {kind}; keep the one of your release"
        )
    return root / names[0] if names else None


def _images(table: TextTable) -> pl.Series:
    table.texts("dicom_id")
    named = pl.when(pl.col("text").str.contains(_DICOM_ID)).then(pl.col("text"))
    images = table.values("dicom_id", named, "letters, digits and hyphens")
    table.once("dicom_id", images)
    return images


def _numbers(table: TextTable, column: str, letter: str) -> pl.Series:
    table.texts(column)
    whole = pl.when(pl.col("text").str.contains(_NUMBER)).then(letter + pl.col("text"))
    return table.values(column, whole, "a number of eight digits")


def _refuse_other_patients(table: TextTable, keys: pl.Series, frame: pl.DataFrame) -> None:
    """Raise where a table says that an image or a study is another patient's."""
    if "subject_id" not in table.columns:
        return  # the radiologist's labels of version 2.1.0 have none
    owners = frame.select(keys.name, owner="patient_id").unique(
        keys.name, keep="first", maintain_order=True
    )
    said = pl.DataFrame([keys, _numbers(table, "subject_id", "p").rename("said")])
    rows = said.join(owners, on=keys.name, how="left", maintain_order="left")
    other = (rows["said"] != rows["owner"]).fill_null(value=False)
    if other.any():
        row = int(other.arg_max() or 0)
        raise SourceError(
            f"{table.where(row, 'subject_id')}: expected {rows['owner'][row]} for "
            f"{keys[row]} as in the metadata, got {rows['said'][row]}"
        )


def _counted(*notes: tuple[int, str]) -> list[str]:
    return [f"{count:,} {what}" for count, what in notes if count]
