"""PadChest (Bustos et al., Med. Image Anal. 66:101797, 2020, arXiv:1901.07441).

::

    root/
      PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv      (or .gz)
      0/*.png  1/*.png  ...  54/*.png        or the files at any other depth

160,861 images, 16-bit PNG. What is unlike other tables: missing cells are ``nan`` or ``None``;
birth is a year (``1940.0``), so an age is off by up to one; a study has a date and no time; and
1,121 pairs of PatientIDs are one person each, as the report that they share shows.

The data set has no split. Of its many archives a user often has a few: images of an archive none
of whose files is there are left out, and single files that are missing go into quarantine, as a few
do even in the whole release.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import SourceError, UsageError
from hilum.sources import attributes
from hilum.sources.delimited import TextTable, find_table, read_text_table
from hilum.sources.files import find
from hilum.sources.listing import Listing, Rejected, arrange
from hilum.sources.options import SourceOptions
from hilum.sources.padchest_labels import (
    choose,
    is_contradictory,
    is_partial,
    is_silent,
    parse,
    values,
)

_TABLE: Final = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
_COLUMNS: Final = (
    *("ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth"),
    *("PatientSex_DICOM", "Projection", "ReportID", "Report", "MethodLabel", "Labels"),
)
_NOTHING: Final[dict[str, str | None]] = {"nan": None, "None": None, "UNK": None}
_LYING: Final = {"AP_horizontal": "AP"}  # supine; hilum's views do not tell it from upright
_STEMS: Final = (
    "the reports are Spanish, cut to word stems, and stand in report_findings as a whole"
)
_WORKING: Final = ("archive", "method", "labels")  # columns that do not reach the listing


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of PadChest, whole or some of its archives.

    Raises
    ------
    SourceError
        If the table is absent or holds something else, or no image file is there.
    UsageError
        If an option names a label or a method that the table has not.
    """
    table = _read_table(root, options)
    frame, notes = _people(table)
    frame = frame.with_columns(
        image_id=table.texts("ImageID"),
        report_findings=table.frame["Report"],
        archive=table.texts("ImageDir"),
        method=table.frame["MethodLabel"],
        labels=table.frame["Labels"].replace(_NOTHING),
    )
    known = _parse(table, frame["labels"])
    chosen = choose(options.findings, frozenset().union(*known.values()))
    frame, method_notes = _keep_method(frame, options.method)
    frame, missing, file_notes = _files(root, frame) if options.pixels else (frame, (), [])
    if frame["report_findings"].is_not_null().any():
        notes.append(_STEMS)
    notes += [*method_notes, *_label_notes(frame["labels"], known), *file_notes]
    rows = {text: values(labels, chosen) for text, labels in known.items()}
    unknown = values(None, chosen)
    labels = pl.DataFrame(
        [rows.get(text, unknown) for text in frame["labels"]],
        schema=dict.fromkeys(chosen, pl.Int8),
        orient="row",
    )
    frame = pl.concat([frame.drop(_WORKING), labels], how="horizontal")
    return Listing(
        frame=arrange(frame, tuple(chosen)),
        findings=tuple(chosen),
        source="padchest",
        root=root,
        notes=tuple(notes),
        rejected=missing,
    )


def _read_table(root: Path, options: SourceOptions) -> TextTable:
    name = options.table or _TABLE
    path = find_table(root, (name,))
    if path is None:
        raise SourceError(
            f"{root}: expected PadChest's table {name} (or .gz); name another with the option table"
        )
    table = read_text_table(path)
    table.need(_COLUMNS, "the padchest layout reads PadChest's table of images and labels")
    return table


# --------------------------------------------------------------------------- people


def _people(table: TextTable) -> tuple[pl.DataFrame, list[str]]:
    """Return patient, study, visit, age, sex and view."""
    day = pl.col("text").str.to_date("%Y%m%d", strict=False)
    dates = table.values("StudyDate_DICOM", day, "a date such as 20140505")
    births = table.values("PatientBirth", _year(pl.col("text")), "a year such as 1940.0")
    age, age_notes = attributes.counted_ages(dates.dt.year().cast(pl.Float64) - births)
    sex, sex_notes = attributes.sexes(table.frame["PatientSex_DICOM"].replace(_NOTHING))
    beams = table.frame["Projection"].replace({**_NOTHING, **_LYING})
    view, view_notes = attributes.views(beams)
    studies = table.texts("StudyID")
    patients, people_notes = _persons(
        table.texts("PatientID"), [studies, table.frame["ReportID"].replace(_NOTHING)]
    )
    frame = pl.DataFrame(
        {"patient_id": patients, "study_id": studies, "age": age, "sex": sex, "view": view}
    ).with_columns(dates.alias("order"))
    earliest = pl.col("order").min().over("study_id")
    frame, visit_notes = attributes.number_visits(frame.with_columns(order=earliest), "order")
    notes = [*people_notes, *age_notes, *sex_notes, *view_notes, *visit_notes]
    return frame.drop("order"), notes


def _year(text: pl.Expr) -> pl.Expr:
    year = text.cast(pl.Float64, strict=False)
    return pl.when((year == year.floor()) & year.is_between(1800, 2200)).then(year)


def _persons(patients: pl.Series, shared: Iterable[pl.Series]) -> tuple[list[str], list[str]]:
    """Make one patient of ids that share a study or a report: a report is about one person.

    Two ids for a person would put one examination on both sides of a split. The first of the ids,
    as text, names them all.
    """
    person = {patient: patient for patient in patients.unique()}

    def head(patient: str) -> str:
        while person[patient] != patient:
            person[patient] = patient = person[person[patient]]
        return patient

    for column in shared:
        seen: dict[str, str] = {}
        for patient, key in zip(patients, column, strict=True):
            if key is not None:
                pair = head(patient), head(seen.setdefault(key, patient))
                person[max(pair)] = min(pair)
    heads = {patient: head(patient) for patient in person}
    merged = len(heads) - len(set(heads.values()))
    note = f"{merged:,} PatientIDs share a report or a study with another one: one person each"
    return [heads[patient] for patient in patients], [note] if merged else []


# --------------------------------------------------------------------------- labels


def _parse(table: TextTable, texts: pl.Series) -> dict[str, frozenset[str]]:
    """Parse each distinct cell once: there are 28,809 among 160,861."""
    known: dict[str, frozenset[str]] = {}
    for text in texts.drop_nulls().unique(maintain_order=True):
        labels = parse(text)
        if labels is None:
            row = int((texts == text).arg_max() or 0)
            # Not quoted: where a line has slipped, the cell holds the text of the report.
            raise SourceError(
                f"{table.where(row, 'Labels')}: expected a list of labels such as ['normal'], "
                f"got {len(text):,} other characters"
            )
        known[text] = labels
    return known


def _label_notes(texts: pl.Series, known: dict[str, frozenset[str]]) -> list[str]:
    counts = dict.fromkeys(("bare", "silent", "partial", "contradictory"), 0)
    for text in texts:
        if text is None:
            counts["bare"] += 1
            continue
        counts["silent"] += is_silent(known[text])
        counts["partial"] += is_partial(known[text])
        counts["contradictory"] += is_contradictory(known[text])
    says = {
        "bare": "have no labels: all are unknown",
        "silent": "have labels that name no finding (unchanged, exclude or none): all are unknown",
        "partial": "are labelled unchanged or exclude beside findings: what is not listed is "
        "unknown, not absent",
        "contradictory": "are labelled normal beside something else: No Finding is unknown",
    }  # fmt: skip
    return [f"{counts[kind]:,} images {text}" for kind, text in says.items() if counts[kind]]


def _keep_method(frame: pl.DataFrame, method: str | None) -> tuple[pl.DataFrame, list[str]]:
    if method is None:
        return frame, []
    kept = frame.filter(pl.col("method") == method)
    if kept.is_empty():
        there = ", ".join(map(repr, frame["method"].unique().sort()))
        raise UsageError(f"no image was labelled by {method!r}; the methods are {there}")
    left_out = frame.height - kept.height
    note = f"{left_out:,} images whose labels do not come from {method} are left out"
    return kept, [note] if left_out else []


# --------------------------------------------------------------------------- files


def _files(root: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Rejected, ...], list[str]]:
    """Find the files; leave out archives that are not here, and reject single files."""
    found = find(root, frame["image_id"].unique(maintain_order=True).to_list())
    if not found.files:
        found.refuse_missing()
    files = pl.col("image_id").replace_strict(found.files, default=None, return_dtype=pl.String)
    frame = frame.with_columns(file=files)
    there = pl.col("file").is_not_null()
    here = there.any().over("archive")
    elsewhere = frame.filter(~here)
    notes = found.notes
    if elsewhere.height:
        archives = elsewhere["archive"].n_unique()
        notes.append(f"{elsewhere.height:,} images of {archives} archives that are not here are "
                     "left out")  # fmt: skip
    missing = frame.filter(here & ~there)["image_id"]
    message = "the table names this file, and it is not there"
    rejected = tuple(Rejected(image, "missing", message) for image in missing)
    return frame.filter(there), rejected, notes
