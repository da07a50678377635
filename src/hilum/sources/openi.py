"""OpenI: Indiana University's chest X-rays with reports (Demner-Fushman et al., JAMIA 2016).

::

    root/
      ecgen-radiology/*.xml     or NLMCXR_reports.tgz, as downloaded
      NLMCXR_png/*.png          or DICOM files, or a renamed copy, at any depth
      nlmcxr_dicom_metadata.csv     views and dates from the DICOM headers (optional)
      nlmcxr_tsne_pa.csv            views from the images' looks (optional): they count more

3,955 reports name 7,470 images. The two tables, which may be gzipped, are those that come with
TorchXRayVision. A report is a patient, for nothing tells which reports are of one person. The data
set has no split. Labels come from the MeSH headings (`hilum.sources.openi_findings`).
"""

from pathlib import Path
from typing import Final

import polars as pl

from hilum.sources import attributes
from hilum.sources.delimited import TextTable, find_table, read_text_table
from hilum.sources.files import find
from hilum.sources.listing import Listing, Rejected, arrange
from hilum.sources.openi_findings import FINDINGS, values
from hilum.sources.openi_reports import Report, read_reports, short_name
from hilum.sources.options import SourceOptions

_HEADERS: Final = "nlmcxr_dicom_metadata.csv"
_LOOKS: Final = "nlmcxr_tsne_pa.csv"
_DAYS_PER_YEAR: Final = 365.25


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of OpenI, one row per image that a report names.

    Raises
    ------
    SourceError
        If the reports are absent or cannot be read, a table holds something else, or no image
        file is there.
    """
    reports = read_reports(root)
    frame, notes = _rows(reports)
    frame, people_notes = _people(root, frame)
    missing: tuple[Rejected, ...] = ()
    if options.pixels:
        frame, missing, file_notes = _files(root, frame)
        notes += file_notes
    return Listing(
        frame=arrange(frame.drop("short"), FINDINGS),
        findings=FINDINGS,
        source="openi",
        root=root,
        notes=(*notes, *people_notes),
        rejected=missing,
    )


def _rows(reports: list[Report]) -> tuple[pl.DataFrame, list[str]]:
    """Return ids, labels and texts, one row per image."""
    rows = [
        (image, short_name(image), report.uid, report.findings, report.impression, *labels)
        for report in reports
        for labels in (values(report.headings),)
        for image in report.images
    ]
    names = ("image_id", "short", "patient_id", "report_findings", "report_impression")
    kinds = dict.fromkeys(names, pl.String()) | dict.fromkeys(FINDINGS, pl.Int8())
    frame = pl.DataFrame(rows, schema=kinds, orient="row")
    frame = frame.with_columns(study_id="patient_id", visit=pl.lit(0))
    bare = sum(not report.images for report in reports)
    wordless = sum(not (report.findings or report.impression) for report in reports)
    counts = {
        "reports name no image and are left out": bare,
        "reports have neither findings nor an impression": wordless,
    }
    return frame, [f"{count:,} {what}" for what, count in counts.items() if count]


# --------------------------------------------------------------------------- tables


def _people(root: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Add view and age, as far as the tables tell."""
    frame = frame.with_columns(pl.lit(None, pl.String).alias("view"))
    notes: list[str] = []
    for name, read_table in ((_HEADERS, _headers), (_LOOKS, _looks)):
        path = find_table(root, (name,))
        if path is None:
            notes.append(
                f"no {name}: it would tell {'views and ages' if name == _HEADERS else 'views'}"
            )
            continue
        table, some = read_table(read_text_table(path))
        joined = frame.join(table, on="short", how="left", maintain_order="left", suffix="_told")
        frame = joined.with_columns(view=pl.coalesce("view_told", "view")).drop("view_told")
        notes += some
    return frame, notes


def _headers(table: TextTable) -> tuple[pl.DataFrame, list[str]]:
    columns = ("imageid", "View Position", "Study Date", "Patient's Birth Date")
    table.need(columns, f"expected {_HEADERS} as TorchXRayVision has it")
    view, notes = attributes.views(table.frame["View Position"])
    day = pl.col("text").str.to_date("%Y%m%d", strict=False)
    study, birth = (table.values(column, day, "a date such as 20110328") for column in columns[2:])
    age, age_notes = attributes.counted_ages((study - birth).dt.total_days() / _DAYS_PER_YEAR)
    return pl.DataFrame([_shorts(table), view.rename("view"), age.rename("age")]), [
        *notes,
        *age_notes,
    ]


def _looks(table: TextTable) -> tuple[pl.DataFrame, list[str]]:
    table.need(("imageid", "tsne-view"), f"expected {_LOOKS} as TorchXRayVision has it")
    view, notes = attributes.views(table.frame["tsne-view"])
    return pl.DataFrame([_shorts(table), view.rename("view")]), notes


def _shorts(table: TextTable) -> pl.Series:
    """Return the short names of a table's images, each of which may have one line."""
    names = pl.col("text").map_elements(short_name, return_dtype=pl.String)
    shorts = table.values("imageid", names, "an image id such as CXR1_1_IM-0001-3001")
    table.texts("imageid")
    table.once("imageid", shorts)
    return shorts.rename("short")


# --------------------------------------------------------------------------- files


def _files(root: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Rejected, ...], list[str]]:
    """Find the files under any of their names, and reject those that are missing."""
    found = find(root, frame["short"].to_list(), short_name)
    if not found.files:
        found.refuse_missing()
    files = pl.col("short").replace_strict(found.files, default=None, return_dtype=pl.String)
    frame = frame.with_columns(file=files)
    there = pl.col("file").is_not_null()
    message = "a report names this image, and its file is not there"
    missing = frame.filter(~there)["image_id"]
    rejected = tuple(Rejected(image, "missing", message) for image in missing)
    return frame.filter(there), rejected, found.notes
