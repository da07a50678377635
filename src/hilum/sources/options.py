"""What a caller may ask of a reader."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hilum.progress import Progress, silent

RADIOGRAPHY = ("CR", "DX", "RG")
"""DICOM modalities that hold projection radiographs (PS3.3, C.7.3.1.1.1)."""


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source; an option that a layout does not know is refused, not ignored.

    Parameters
    ----------
    pixels
        Look for the image files and require them. False lists the table alone.
    views
        Keep only images of these views (``"PA"``, ``"AP"``, ``"LATERAL"``); None keeps all.
        Visits are numbered before this, so the order in time does not change.
    table
        The table's file, relative to the source's folder (``nih``, ``chexpert``, ``folder``,
        ``padchest``; ``mimic``: the table of labels).
    columns
        The table's own name for a column or finding: ``{"patient_id": "MRN"}`` (``folder``, and
        ``labels`` of ``dicom``).
    findings
        The table's columns that hold labels, where they are not all in the vocabulary (``folder``,
        and ``labels`` of ``dicom``); findings or labels to read (``padchest``).
    labels
        A table of labels to join to a tree of DICOM files (``dicom``).
    method
        Keep only images whose labels come from it: ``"Physician"`` or ``"RNN_model"``
        (``padchest``).
    consensus
        What several readers say together (``vindr``); see `hilum.sources.readers`.
    coding
        How classes are numbered (``isic``): ``"isic"`` or ``"x-mir"``.
    mapping
        The file that says which image of ChestX-ray14 each image is (``rsna``).
    reports
        The folder of the reports, where they are not beside the images (``mimic``).
    keep_ids
        Keep patient, study and image identifiers and file names as they are (``dicom``).
    key_file
        The key of the pseudonyms (``dicom``); see `hilum.pseudonyms`.
    modalities
        DICOM modalities to keep (``dicom``).
    workers
        Processes that read DICOM headers (``dicom``, ``vindr``, ``rsna``); one for each processor
        if None.
    progress
        Told how many DICOM headers (``dicom``, ``vindr``, ``rsna``) or reports (``mimic``) are
        read.
    """

    pixels: bool = True
    views: tuple[str, ...] | None = None
    table: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] | None = None
    labels: Path | None = None
    method: str | None = None
    consensus: str = "majority"
    coding: str = "isic"
    mapping: Path | None = None
    reports: Path | None = None
    keep_ids: bool = False
    key_file: Path | None = None
    modalities: tuple[str, ...] = RADIOGRAPHY
    workers: int | None = 1
    progress: Progress = field(default=silent, compare=False, repr=False)
