"""CheXpert (Irvin et al., AAAI 2019, arXiv:1901.07031), full size or small.

::

    root/
      train.csv  valid.csv           Path,Sex,Age,Frontal/Lateral,AP/PA and 14 labels
      test_labels.csv                the same without people, or
      groundtruth.csv                Study and 14 labels: every image of a study shares its labels
      train/patient00001/study1/view1_frontal.jpg
      valid/...  test/...

Any of the tables may be absent or gzipped. Labels are 1.0 present, 0.0 absent, -1.0 uncertain, and
blank where the report does not mention the finding, which stays unknown here. Paths start with the
name of the release, which is not a folder below the root. Study numbers are the order in time.
"""

from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import SourceError
from hilum.sources import attributes
from hilum.sources.delimited import TextTable, find_table, read_text_table
from hilum.sources.files import IMAGE_SUFFIXES, require, walk
from hilum.sources.label_columns import labels
from hilum.sources.listing import Listing, arrange
from hilum.sources.options import SourceOptions

_TABLES: Final = ("train.csv", "valid.csv", "test.csv", "test_labels.csv", "groundtruth.csv")
FINDINGS: Final = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)
_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}
_STUDY: Final = r"^[^/]+/(train|valid|test)/(patient\d+)/study(\d+)"
_TOP_CODED: Final = 90  # years: "90" means 90 or older


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of CheXpert.

    Raises
    ------
    SourceError
        If no table is there, one holds something else, or an image file is missing.
    """
    names = (options.table,) if options.table else _TABLES
    paths = [path for path in (find_table(root, (name,)) for name in names) if path]
    if not paths:
        raise SourceError(
            f"{root}: expected one of CheXpert's tables {', '.join(names)} (or .gz); "
            "name another with the option table"
        )
    parts = [_rows(root, read_text_table(path)) for path in paths]
    frame = pl.concat([rows for rows, _ in parts], how="diagonal")
    frame, visit_notes = attributes.number_visits(frame, "order")
    if options.pixels:
        require(root, frame["file"])
    else:
        frame = frame.drop("file")
    notes = [note for _, some in parts for note in some]
    return Listing(
        frame=arrange(frame, FINDINGS),
        findings=FINDINGS,
        source="chexpert",
        root=root,
        notes=tuple(dict.fromkeys([*notes, *visit_notes])),
    )


def _rows(root: Path, table: TextTable) -> tuple[pl.DataFrame, list[str]]:
    table.need(FINDINGS, "the chexpert layout reads CheXpert's tables")
    if "Path" not in table.columns and "Study" in table.columns:
        return _studies(root, table), []
    table.need(["Path"], "the chexpert layout reads CheXpert's tables")
    frame = _ids(table, "Path", r"/([^/]+)\.[A-Za-z]+$")
    frame = frame.with_columns(
        image_id=pl.concat_str("study_id", "name", separator="_"),
        file=table.frame["Path"].str.replace(r"^[^/]+/", ""),
    )
    people, notes = _people(table)
    whole = [frame.drop("name"), people, labels(table, {name: name for name in FINDINGS})]
    return pl.concat(whole, how="horizontal"), notes


def _ids(table: TextTable, column: str, ending: str) -> pl.DataFrame:
    """Take patient, study, order, split and the rest of a path apart."""
    table.texts(column)
    whole = _STUDY + ending
    text = pl.col("text")
    expected = "RELEASE/train|valid|test/patientNNNNN/studyN and the file's name or nothing"
    checked = pl.when(text.str.contains(whole)).then(text)
    paths = table.values(column, checked, expected)
    split, patient, study, name = (
        paths.str.extract(whole, group).rename(title)
        for group, title in enumerate(("split", "patient_id", "order", "name"), start=1)
    )
    return pl.DataFrame([split.replace_strict(_SPLITS), patient, study, name]).with_columns(
        study_id=pl.concat_str("patient_id", pl.lit("_study"), "order"),
        order=pl.col("order").cast(pl.Int64),
    )


def _people(table: TextTable) -> tuple[pl.DataFrame, list[str]]:
    """Return age, sex and view where the table has them."""
    columns: list[pl.Series] = []
    notes: list[str] = []
    if "Age" in table.columns:
        years = table.values("Age", attributes.age_years(pl.col("text")), "an age in years")
        age, notes = _adult_ages(years)
        columns.append(age.rename("age"))
    if "Sex" in table.columns:
        sex, sex_notes = attributes.sexes(table.frame["Sex"])
        columns.append(sex.rename("sex"))
        notes += sex_notes
    if "Frontal/Lateral" in table.columns:
        table.need(["AP/PA"], "it goes with Frontal/Lateral")
        view, view_notes = _views(table.frame)
        columns.append(view)
        notes += view_notes
    return pl.DataFrame(columns), notes


def _adult_ages(years: pl.Series) -> tuple[pl.Series, list[str]]:
    """Read 0 as unknown: the patients are adults, and the next age in the table is 18."""
    age = pl.col("age")
    ages = years.to_frame("age").select(pl.when(age > 0).then(age)).to_series()
    ages, notes = attributes.plausible(ages)
    zeros, top = int((years == 0).sum()), int((years == _TOP_CODED).sum())
    if zeros:
        notes.append(f"{zeros:,} ages of 0 are unknown here: the patients are adults")
    if top:
        notes.append(f"{top:,} ages of {_TOP_CODED} mean {_TOP_CODED} or older")
    return ages, notes


def _views(frame: pl.DataFrame) -> tuple[pl.Series, list[str]]:
    """Return AP, PA or LATERAL; 17 rows of train.csv are "Frontal" and "LL" or "RL": unknown."""
    side, beam = pl.col("Frontal/Lateral"), pl.col("AP/PA")
    view = (
        pl.when(side == "Lateral")
        .then(pl.lit("LATERAL"))
        .when((side == "Frontal") & beam.is_in(["AP", "PA"]))
        .then(beam)
        .alias("view")
    )
    views = frame.select(view).to_series()
    unknown = views.null_count()
    note = f"{unknown:,} rows are neither lateral nor frontal with AP or PA: their view is unknown"
    return views, [note] if unknown else []


def _studies(root: Path, table: TextTable) -> pl.DataFrame:
    """Return one row per image file of each study of a table of studies."""
    ids = _ids(table, "Study", r"()/?$").drop("name")
    folder = table.frame["Study"].str.replace(r"^[^/]+/", "").str.strip_chars_end("/")
    rows = pl.concat(
        [ids, folder.to_frame("folder"), labels(table, {name: name for name in FINDINGS})],
        how="horizontal",
    )
    images = _images_of_studies(root, rows["split"].unique().to_list())
    found = rows.join(images, on="folder", how="left", maintain_order="left_right")
    bare = found.filter(pl.col("file").is_null())
    if bare.height:
        raise SourceError(
            f"{table.path.name}: {bare.height:,} of {rows.height:,} studies have no image file, "
            f"first {bare['folder'][0]}; this table lists studies, and the images are known by "
            "their files alone"
        )
    # The file's name tells lateral from frontal, but not PA from AP.
    lateral = pl.col("file").str.contains("_lateral")
    return found.with_columns(
        image_id=pl.concat_str("study_id", pl.col("file").str.extract(r"([^/]+)\.[A-Za-z]+$"),
                               separator="_"),
        view=pl.when(lateral).then(pl.lit("LATERAL")),
    ).drop("folder")  # fmt: skip


def _images_of_studies(root: Path, splits: list[str]) -> pl.DataFrame:
    folders = [name for name, split in _SPLITS.items() if split in splits]
    files = [
        f"{name}/{file}"
        for name in folders
        if (root / name).is_dir()
        for file in walk(root / name).files
        if file.lower().endswith(IMAGE_SUFFIXES)
    ]
    frame = pl.DataFrame({"file": files}, schema={"file": pl.String})
    return frame.with_columns(folder=pl.col("file").str.replace(r"/[^/]+$", ""))
