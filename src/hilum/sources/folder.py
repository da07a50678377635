"""Any folder: a table and the files that it names, or just files.

::

    root/
      table.csv        one row per image; only `file` is required (or .tsv, or .gz)
      boxes.csv        image_id,finding,x,y,w,h (optional)
      ...              the files, at any depth

Columns of the table: image_id, patient_id, study_id, visit or date, view, age, sex, split, file,
report_findings, report_impression, and one per finding. Others are ignored, and a note says so.
Without a table every image file is an unlabelled row.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import ClashError, SourceError
from hilum.sources import attributes, boxes
from hilum.sources.delimited import TextTable, find_table, read_text_table
from hilum.sources.files import IMAGE_SUFFIXES, is_inside, require, stem, walk
from hilum.sources.label_columns import check_mapping, finding_columns, labels
from hilum.sources.listing import FIXED_COLUMNS, SPLITS, Listing, arrange
from hilum.sources.options import SourceOptions

_TABLES: Final = ("table.csv", "table.tsv")
_BOXES: Final = ("boxes.csv", "boxes.tsv")
_TABULAR: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_PLAIN: Final = ("image_id", "patient_id", "study_id", "report_findings", "report_impression")
KNOWN: Final = tuple(name for name in FIXED_COLUMNS if name != "boxes")
_ALONE: Final = (
    "no patient_id: each image counts as a patient of its own, so two images of one person may "
    "end up on both sides of a split"
)
_SPLIT_SPELLINGS: Final = {
    **{split: split for split in SPLITS},
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "train_val": "trainval",
}


def read(root: Path, options: SourceOptions) -> Listing:
    """List a folder with the user's own table, or with none.

    Raises
    ------
    UsageError
        If an option names a column that is not there.
    SourceError
        If a cell cannot be understood, or a file is missing or outside the folder.
    """
    path = find_table(root, (options.table,) if options.table else _TABLES)
    if path is None:
        return _read_bare(root, options)
    table = read_text_table(path)
    names = _columns(table, options)
    chosen = finding_columns(table, options.columns, options.findings, set(names.values()))
    frame, notes = _rows(table, names)
    frame = pl.concat([frame, labels(table, chosen)], how="horizontal")
    if options.pixels:
        require(root, frame["file"])
    else:
        frame = frame.drop("file", strict=False)
    ignored = [c for c in table.columns if c not in {*names.values(), *chosen.values()}]
    if ignored:
        notes.append(f"columns of {path.name} that were not read: {', '.join(ignored)}")
    return Listing(
        frame=arrange(_add_boxes(root, frame), tuple(chosen)),
        findings=tuple(chosen),
        source="folder",
        root=root,
        notes=tuple(notes),
    )


def _columns(table: TextTable, options: SourceOptions) -> dict[str, str]:
    """Return hilum's name to the table's, for the columns that are there."""
    known = {*KNOWN, "date"}
    check_mapping(table, options.columns, known)
    mapped = {name: options.columns.get(name, name) for name in sorted(known)}
    names = {name: column for name, column in mapped.items() if column in table.columns}
    if "file" not in names and (options.pixels or "image_id" not in names):
        table.need(["file"], "or say which column holds it: --column file=NAME")
    return names


def _rows(table: TextTable, names: dict[str, str]) -> tuple[pl.DataFrame, list[str]]:
    """Return everything but labels and boxes."""
    plain = [table.frame[names[name]].rename(name) for name in _PLAIN if name in names]
    frame = pl.DataFrame(plain) if plain else pl.DataFrame(height=table.frame.height)
    notes: list[str] = []
    if "file" in names:
        frame = frame.with_columns(_files(table, names["file"]))
    if "image_id" in names:
        table.texts(names["image_id"])
    else:
        frame = frame.with_columns(_stems(table, frame["file"]))
    if "patient_id" in names:
        table.texts(names["patient_id"])
    else:
        notes.append(_ALONE)
        frame = frame.with_columns(patient_id="image_id")
    for name, parse in _PARSERS.items():
        if name in names:
            series, some = parse(table, names[name])
            frame = frame.with_columns(series.rename(name))
            notes += some
    frame, some = _visits(table, names, frame)
    return frame, [*notes, *some]


def _files(table: TextTable, column: str) -> pl.Series:
    files = table.texts(column)
    for row, file in enumerate(files):
        if not is_inside(file):
            raise SourceError(
                f"{table.where(row, column)}: expected a path inside the folder, without .., with "
                f"/ between its parts, got {file!r}"
            )
    return files.rename("file")


def _stems(table: TextTable, files: pl.Series) -> pl.Series:
    stems = pl.Series("image_id", [stem(file) for file in files], dtype=pl.String)
    if stems.is_duplicated().any():
        row = int((~stems.is_first_distinct()).arg_max() or 0)
        raise ClashError(
            f"{table.path.name}: several files are called {stems[row]!r} (without suffix), so "
            "their names cannot be their ids; add a column image_id"
        )
    return stems


def _visits(
    table: TextTable, names: dict[str, str], frame: pl.DataFrame
) -> tuple[pl.DataFrame, list[str]]:
    """Order the visits by `visit`, or else `date`, and name studies where the table does not."""
    text = pl.col("text")
    if "visit" in names:
        number = text.cast(pl.Int32, strict=False)
        expected = "a whole number from 0"
        order = table.values(names["visit"], pl.when(number >= 0).then(number), expected)
    elif "date" in names:
        day = text.str.to_datetime("%Y-%m-%d", strict=False)
        moment = text.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False)
        expected = "a date such as 2017-03-28 or 2017-03-28T14:05:00"
        order = table.values(names["date"], pl.coalesce(day, moment), expected)
    else:
        apart = frame.with_columns(pl.lit(0, pl.Int32).alias("visit"))
        return _name_studies(apart, names, pl.col("image_id")), []
    frame, notes = attributes.number_visits(frame.with_columns(order.alias("order")), "order")
    one_visit = pl.concat_str("patient_id", pl.lit("_"), "visit")
    known = pl.when(pl.col("order").is_null()).then(pl.col("image_id")).otherwise(one_visit)
    return _name_studies(frame, names, known).drop("order"), notes


def _name_studies(frame: pl.DataFrame, names: dict[str, str], name: pl.Expr) -> pl.DataFrame:
    if "study_id" in names:
        return frame.with_columns(pl.coalesce("study_id", name))
    return frame.with_columns(study_id=name)


def _age(table: TextTable, column: str) -> tuple[pl.Series, list[str]]:
    expected = "an age such as 58, 58.5, 058Y, 6M or 11D"
    years = table.values(column, attributes.age_years(pl.col("text")), expected)
    return attributes.plausible(years)


def _sex(table: TextTable, column: str) -> tuple[pl.Series, list[str]]:
    return attributes.sexes(table.frame[column])


def _view(table: TextTable, column: str) -> tuple[pl.Series, list[str]]:
    return attributes.views(table.frame[column])


def _split(table: TextTable, column: str) -> tuple[pl.Series, list[str]]:
    lower = pl.col("text").str.to_lowercase()
    parse = lower.replace_strict(_SPLIT_SPELLINGS, default=None, return_dtype=pl.String)
    return table.values(column, parse, f"{', '.join(SPLITS)} or an empty cell"), []


_Parser = Callable[[TextTable, str], tuple[pl.Series, list[str]]]
_PARSERS: Final[dict[str, _Parser]] = {"age": _age, "sex": _sex, "view": _view, "split": _split}


def _add_boxes(root: Path, frame: pl.DataFrame) -> pl.DataFrame:
    path = find_table(root, _BOXES)
    if path is None:
        return frame
    table = read_text_table(path)
    table.need(boxes.COLUMNS, "a table of boxes has these six")
    boxes.refuse_strangers(table, "image_id", frame["image_id"])
    return boxes.attach(frame, boxes.parse(table))


def _read_bare(root: Path, options: SourceOptions) -> Listing:
    """List every image file of a folder without a table."""
    if options.table or options.columns or options.findings:
        raise SourceError(f"{root}: expected the table {options.table or _TABLES[0]}")
    tree = walk(root)
    others = [file for file in tree.files if "/" not in file and file.lower().endswith(_TABULAR)]
    if others:
        raise SourceError(
            f"{root}: no {_TABLES[0]}, but {', '.join(others)}; name the table with the option "
            "table (--table), or move it away to list the files alone"
        )
    files = [file for file in tree.files if file.lower().endswith(IMAGE_SUFFIXES)]
    if not files:
        raise SourceError(
            f"{root}: no {_TABLES[0]} and no file that ends in {', '.join(IMAGE_SUFFIXES)}"
        )
    ids = [file.replace("/", "__") for file in files]
    columns = {"image_id": ids, "patient_id": ids, "study_id": ids, "visit": [0] * len(ids)}
    frame = pl.DataFrame({**columns, "file": files if options.pixels else [None] * len(files)})
    notes = [f"no {_TABLES[0]}: {len(files):,} image files without labels", _ALONE]
    if tree.odd_files:
        notes.append(f"{len(tree.odd_files):,} files whose names are not UTF-8 are left out")
    if tree.links_left_out:
        notes.append(f"{tree.links_left_out:,} links were not followed")
    return Listing(arrange(frame, ()), (), "folder", root, tuple(notes))
