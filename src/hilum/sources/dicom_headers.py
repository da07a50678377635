"""Read what a listing needs from the header of one DICOM file, or say why it cannot be read.

Nothing here raises for a bad file and nothing repeats a value of one: a header's text may be a
patient's name, so messages hold the kind of the fault alone. References are to the DICOM standard,
PS3.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hilum.progress import Progress
from hilum.workers import processors

if TYPE_CHECKING:
    from pydicom import Dataset

_PREAMBLE: Final = 132  # 128 bytes of anything and "DICM" (PS3.10, 7.1)
_DIRECTORY: Final = "1.2.840.10008.1.3.10"  # Media Storage Directory: a DICOMDIR
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"  # the whole data set is compressed (PS3.5, A.5)
_META_SPAN: Final = 4096  # bytes; the transfer syntax is named in the file's meta information
_DICOM_SUFFIXES: Final = (".dcm", ".dicom")
_CHUNK: Final = 64  # files per message to a worker; fewer are not worth one

_KEYWORDS: Final = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "image": "SOPInstanceUID",
    "accession": "AccessionNumber",
    "modality": "Modality",
    "view": "ViewPosition",
    "age": "PatientAge",
    "birth": "PatientBirthDate",
    "sex": "PatientSex",
    "rows": "Rows",
    "columns": "Columns",
}
# The first pair whose date is there; a study's own comes first (PS3.3, C.7.2.1).
_DATES: Final = (
    ("StudyDate", "StudyTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
)
_CODES_OF_VIEW: Final = {  # PS3.16, CID 4010: SNOMED CT, and SNOMED RT of older files
    "AP": ("399348003", "R-10206"),
    "PA": ("272479007", "R-40888", "R-10214"),
    "LATERAL": ("399173006", "R-10236", "399198007", "R-10232", "399067008", "R-102CD"),
}
_VIEW_CODES: Final = {code: view for view, codes in _CODES_OF_VIEW.items() for code in codes}


@dataclass(frozen=True)
class Header:
    """The text of the tags that a listing needs, stripped; None where absent or empty.

    Parameters
    ----------
    patient, study, image, accession, modality, view, age, birth, sex, rows, columns
        As in the file (`view` from the code sequence where the plain tag is empty).
    date
        ``YYYYMMDD`` of the study, or else of the acquisition or content.
    time
        Digits ``HHMMSS`` that go with it, as far as they are known.
    """

    patient: str | None
    study: str | None
    image: str | None
    accession: str | None
    modality: str | None
    view: str | None
    age: str | None
    birth: str | None
    sex: str | None
    rows: str | None
    columns: str | None
    date: str | None
    time: str | None


@dataclass(frozen=True)
class Unread:
    """A file that gave no header.

    Parameters
    ----------
    reason
        ``"not-dicom"``, ``"directory"`` (a DICOMDIR), ``"unreadable"``, ``"deflated"`` or
        ``"header"``.
    message
        A sentence without anything from the file.
    """

    reason: str
    message: str


def read_header(path: Path) -> Header | Unread:
    """Read one header; pixel data are not touched, and a file without ``DICM`` is not forced."""
    try:
        with path.open("rb") as file:
            start = file.read(_META_SPAN)
    except OSError as error:
        return Unread("unreadable", f"the file cannot be opened ({type(error).__name__})")
    if start[_PREAMBLE - 4 : _PREAMBLE] != b"DICM":
        return Unread("not-dicom", "no DICM after the preamble: not a DICOM file (PS3.10, 7.1)")
    if _DEFLATED in start:
        # Inflating could fill the memory, and no radiograph needs this transfer syntax.
        return Unread("deflated", "deflated transfer syntax; store it as explicit VR little endian")
    return _parse(path)


def read_headers(
    paths: Sequence[Path], workers: int | None, progress: Progress
) -> Iterator[Header | Unread]:
    """Read many headers, in the order of `paths`, in this process or in several."""
    progress(0, len(paths))
    processes = min(workers or processors(), -(-len(paths) // _CHUNK))
    if processes <= 1:
        yield from _counted(map(read_header, paths), len(paths), progress)
        return
    # Spawned, not forked: the caller may hold threads and open stores that do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from _counted(pool.map(read_header, paths, chunksize=_CHUNK), len(paths), progress)


def is_named_dicom(path: Path) -> bool:
    """Tell whether a file's name claims that it is a DICOM file."""
    return path.name.lower().endswith(_DICOM_SUFFIXES)


def _counted(
    headers: Iterator[Header | Unread], total: int, progress: Progress
) -> Iterator[Header | Unread]:
    for done, header in enumerate(headers, start=1):
        yield header
        progress(done, total)


def _parse(path: Path) -> Header | Unread:
    import pydicom  # a third of a second; other layouts do not need it

    tags = [*_KEYWORDS.values(), "ViewCodeSequence", *(tag for pair in _DATES for tag in pair)]
    try:
        with _quiet():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
            media = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
            if media == _DIRECTORY:
                return Unread("directory", "a DICOMDIR lists files and is none itself")
            return _header(dataset)
    except Exception as error:  # noqa: BLE001  hostile bytes make pydicom raise nearly anything
        return Unread("header", f"the header cannot be read ({type(error).__name__})")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom from printing and logging the values that it finds odd."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _header(dataset: "Dataset") -> Header:
    texts = {name: _text(dataset.get(keyword)) for name, keyword in _KEYWORDS.items()}
    texts["view"] = texts["view"] or _coded_view(dataset)
    for date_tag, time_tag in _DATES:
        date = _date(_text(dataset.get(date_tag)))
        if date:
            return Header(**texts, date=date, time=_time(_text(dataset.get(time_tag))))
    return Header(**texts, date=None, time=None)


def _text(value: Any) -> str | None:
    """Return a value as text; several values keep the backslash that is between them."""
    if value is None:
        return None
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        value = "\\".join(map(str, value))
    return str(value).strip(" \0\t\r\n") or None


def _date(text: str | None) -> str | None:
    """Return YYYYMMDD, also from the ``YYYY.MM.DD`` of files before 1993 (PS3.5, 6.2, DA)."""
    digits = (text or "").replace(".", "")
    return (
        digits if re.fullmatch(r"(1[89]|2\d)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])", digits) else None
    )


def _time(text: str | None) -> str | None:
    digits = re.match(r"\d{2,6}", (text or "").replace(":", ""))
    return digits[0] if digits else None


def _coded_view(dataset: "Dataset") -> str | None:
    """Return the view that digital radiography must state in code (PS3.3, C.8.11.5)."""
    for item in dataset.get("ViewCodeSequence") or ():
        view = _VIEW_CODES.get(str(item.get("CodeValue", "")))
        if view:
            return view
    return None
