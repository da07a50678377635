"""MIMIC-CXR-JPG (Johnson et al., arXiv:1901.07042; PhysioNet), versions 2.0.0 and 2.1.0.

::

    root/
      mimic-cxr-2.0.0-metadata.csv       one line per image: ids, view, date and time
      mimic-cxr-2.0.0-split.csv          the split (optional)
      mimic-cxr-2.0.0-chexpert.csv       labels per study (optional); or -negbio, or another table
      files/p10/p10000032/s50414267/02aa804e-....jpg
      files/p10/p10000032/s50414267.txt  the reports of MIMIC-CXR (optional): here or elsewhere
      patients.csv                       MIMIC-IV's: sex and age (optional)

The tables may be gzipped; version 2.1.0 has them under the names of 2.0.0. Numbers of studies are
random: only date and time tell their order. Labels are 1.0 present, 0.0 absent, -1.0 uncertain, and
blank where the report does not mention the finding, which stays unknown here.

PhysioNet describes how to download some patients alone, so the images of a patient none of whose
files is there are left out; a patient whose files are there in part is an error.
"""

from pathlib import Path

import polars as pl

from hilum.errors import SourceError
from hilum.sources.files import require
from hilum.sources.listing import Listing, arrange
from hilum.sources.mimic_reports import read_reports
from hilum.sources.mimic_tables import add_labels, add_people, add_split, read_metadata
from hilum.sources.options import SourceOptions


def read(root: Path, options: SourceOptions) -> Listing:
    """List a copy of MIMIC-CXR-JPG, whole or of some patients.

    Raises
    ------
    SourceError
        If the metadata are absent, a table holds something else or does not fit them, an image
        file is missing, or the folder that is named holds no report.
    """
    frame, notes = read_metadata(root)
    frame, split_notes = add_split(root, frame)
    frame, people_notes = add_people(root, frame)
    frame, findings, label_notes = add_labels(root, frame, options.table)
    file_notes: list[str] = []
    if options.pixels:
        frame, file_notes = _files(root, frame)
    frame, report_notes = _add_reports(root, frame, options)
    return Listing(
        frame=arrange(frame, findings),
        findings=findings,
        source="mimic",
        root=root,
        notes=(*notes, *split_notes, *people_notes, *label_notes, *file_notes, *report_notes),
    )


def _files(root: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Require the files of every patient that is here."""
    patients = [str(patient) for patient in frame["patient_id"].unique().sort()]
    here = [patient for patient in patients if (root / "files" / _folder(patient)).is_dir()]
    if not here:
        raise SourceError(
            f"{root}: expected folders such as files/{_folder(patients[0])}, found none of "
            f"{len(patients):,}; complete the folder, or list the table alone, without pixels "
            "(--no-pixels)"
        )
    rows = frame.filter(pl.col("patient_id").is_in(here))
    names = rows.select("patient_id", "study_id", "image_id").iter_rows()
    files = [f"files/{_folder(patient)}/{study}/{image}.jpg" for patient, study, image in names]
    require(root, files)
    images, absent = frame.height - rows.height, len(patients) - len(here)
    note = f"{images:,} images of {absent:,} patients that are not here are left out"
    return rows.with_columns(file=pl.Series(files)), [note] if absent else []


def _add_reports(
    root: Path, frame: pl.DataFrame, options: SourceOptions
) -> tuple[pl.DataFrame, list[str]]:
    studies = frame.select("study_id", "patient_id").unique(maintain_order=True)
    files = {study: f"{_folder(patient)}/{study}.txt" for study, patient in studies.iter_rows()}
    texts = read_reports(root, options.reports, files, options.progress)
    study = pl.col("study_id")
    columns = {
        name: study.replace_strict(said, default=None, return_dtype=pl.String)
        for name, said in (
            ("report_findings", texts.findings),
            ("report_impression", texts.impressions),
        )
    }
    return frame.with_columns(**columns), list(texts.notes)


def _folder(patient: str) -> str:
    """Return where a patient's studies are: ``p10/p10000032``."""
    return f"{patient[:3]}/{patient}"
