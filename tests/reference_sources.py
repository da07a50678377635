"""The slow, obvious way to read NIH ChestX-ray14's and CheXpert's tables: one row at a time."""

import csv
import gzip
import io
from pathlib import Path

from hilum.findings import canonical


def _rows(path: Path) -> list[list[str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return list(csv.reader(io.StringIO(text)))


def nih_rows(path: Path) -> dict[str, dict[str, object]]:
    """Return visit, labels (the findings that are present) and age per image."""
    body = _rows(path)[1:]
    follow_ups: dict[str, list[int]] = {}
    for row in body:
        follow_ups.setdefault(row[3], []).append(int(row[2]))
    return {
        row[0]: {
            "patient_id": row[3],
            "visit": sorted(follow_ups[row[3]]).index(int(row[2])),
            "present": {canonical(label) for label in row[1].split("|")},
            "age": float(row[4]),
            "sex": row[5],
            "view": row[6],
        }
        for row in body
    }


def chexpert_rows(path: Path) -> dict[str, dict[str, object]]:
    """Return visit and labels per image id."""
    header, *body = _rows(path)
    studies: dict[str, set[int]] = {}
    for row in body:
        _, _, patient, study, _ = row[0].split("/")
        studies.setdefault(patient, set()).add(int(study.removeprefix("study")))
    rows: dict[str, dict[str, object]] = {}
    for row in body:
        _, _, patient, study, file = row[0].split("/")
        number = int(study.removeprefix("study"))
        rows[f"{patient}_{study}_{file.removesuffix('.jpg')}"] = {
            "patient_id": patient,
            "visit": sorted(studies[patient]).index(number),
            **{
                name: None if cell == "" else int(float(cell))
                for name, cell in zip(header[5:], row[5:], strict=True)
            },
        }
    return rows


def chexzero_labels(text: str) -> list[str]:
    """Read a cell of PadChest's labels by CheXzero's released rule, faults included.

    Raises
    ------
    IndexError
        Where a label is not in single quotes; the original drops such a row and says nothing.
    """
    parts = text.replace("[", "").replace("]", "").split(", ")
    return [part.split("'")[1].strip().lower() for part in parts]


def padchest_rows(path: Path) -> dict[str, dict[str, object]]:
    """Return date, birth, view and labels per image; None where the cell is ``nan``."""
    header, *body = _rows(path)
    at = {name: place for place, name in enumerate(header)}
    views = {"PA": "PA", "L": "LATERAL", "AP": "AP", "AP_horizontal": "AP"}
    rows: dict[str, dict[str, object]] = {}
    for row in body:
        labels, birth = row[at["Labels"]], row[at["PatientBirth"]]
        rows[row[at["ImageID"]]] = {
            "study": row[at["StudyID"]],
            "report": row[at["ReportID"]],
            "patient": row[at["PatientID"]],
            "date": row[at["StudyDate_DICOM"]],
            "age": int(row[at["StudyDate_DICOM"]][:4]) - int(float(birth)) if birth else None,
            "view": views.get(row[at["Projection"]]),
            "method": row[at["MethodLabel"]],
            "labels": None if labels == "nan" else set(chexzero_labels(labels)),
        }
    return rows
