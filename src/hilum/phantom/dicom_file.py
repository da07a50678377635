"""A phantom film as a DICOM file: CR for bedside films, DX for the others.

12 bits stored, as a detector gives them; MONOCHROME1 in about a third of the files. The
window says how to show them, so that a reader that applies it gets back the 8-bit film.
References are to the DICOM standard 2024.
"""

import hashlib
import io
from typing import TYPE_CHECKING, Final

import numpy as np

from hilum.phantom.patient import Film, Patient

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

_LOW: Final = 200  # stored value of black, with room below as a detector has
_SPAN: Final = 3600  # stored values from black to white
_TOP: Final = 4095
_CR: Final = "1.2.840.10008.5.1.4.1.1.1"
_DX: Final = "1.2.840.10008.5.1.4.1.1.1.1"  # for presentation
_VIEWS: Final = {  # PS3.16, CID 4010
    "PA": ("399348003", "postero-anterior"),
    "AP": ("399273001", "antero-posterior"),
}


def uid(*what: object) -> "UID":
    """Return a UID that depends on nothing but its arguments (PS3.5, B.2: derived from a UUID)."""
    digest = hashlib.sha256("/".join(str(part) for part in what).encode()).digest()
    from pydicom.uid import UID

    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def encode(patient: Patient, film: Film, seed: int) -> bytes:
    """Return the bytes of a DICOM file.

    Parameters
    ----------
    patient, film
        What it shows.
    seed
        The hospital's; UIDs follow from it.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_CR if film.visit.view == "AP" else _DX)
    meta.MediaStorageSOPInstanceUID = uid(seed, film.image_id, "image")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("hilum phantom")
    data = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    _describe(data, patient, film, seed)
    _describe_equipment(data, film)
    _store(data, film, inverted=uid(seed, film.image_id)[-1] in "147")
    stream = io.BytesIO()
    dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


def _describe(data: "Dataset", patient: Patient, film: Film, seed: int) -> None:
    """Fill the patient, study and series modules (PS3.3, C.7.1 to C.7.3)."""
    day = film.visit.day.strftime("%Y%m%d")
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
    data.PatientName = f"PHANTOM^{patient.patient_id.upper()}"
    data.PatientID = patient.patient_id
    data.PatientBirthDate = ""
    data.PatientSex = patient.history.sex
    data.PatientAge = f"{int(film.age):03d}Y"
    data.StudyInstanceUID = uid(seed, film.study_id, "study")
    data.SeriesInstanceUID = uid(seed, film.study_id, "series")
    data.StudyDate = data.SeriesDate = data.ContentDate = data.AcquisitionDate = day
    data.StudyTime = data.ContentTime = data.AcquisitionTime = "120000"
    data.StudyID = str(film.number + 1)
    data.AccessionNumber = ""
    data.ReferringPhysicianName = ""
    data.SeriesNumber = 1
    data.InstanceNumber = 1
    data.StudyDescription = "Chest radiograph (synthetic)"


def _describe_equipment(data: "Dataset", film: Film) -> None:
    """Fill the CR and DX modules (PS3.3, C.8.1 and C.8.11) and say what the view is."""
    from pydicom.dataset import Dataset

    view = film.visit.view
    bedside = view == "AP"
    data.Modality = "CR" if bedside else "DX"
    data.Manufacturer = "hilum phantom"
    data.BodyPartExamined = "CHEST"
    data.ViewPosition = view
    data.PatientOrientation = ["L", "F"]
    data.ImageType = ["ORIGINAL", "PRIMARY", ""]
    data.BurnedInAnnotation = "NO"
    data.LossyImageCompression = "00"
    if bedside:
        return
    data.PresentationIntentType = "FOR PRESENTATION"
    data.ImageLaterality = "U"
    data.PixelIntensityRelationship = "LOG"
    data.PixelIntensityRelationshipSign = -1
    data.PositionerType = "NONE"
    data.DetectorType = "DIRECT"
    data.AcquisitionContextSequence = []
    region, code = Dataset(), Dataset()
    region.CodeValue, region.CodingSchemeDesignator = "51185008", "SCT"
    region.CodeMeaning = "Chest"
    data.AnatomicRegionSequence = [region]
    code.CodeValue, code.CodeMeaning = _VIEWS[view]
    code.CodingSchemeDesignator = "SCT"
    code.ViewModifierCodeSequence = []
    data.ViewCodeSequence = [code]


def _store(data: "Dataset", film: Film, inverted: bool) -> None:
    """Fill the pixel and window modules (PS3.3, C.7.6.3 and C.11.2)."""
    stored = np.round(_LOW + film.shade * _SPAN).astype(np.uint16)
    centre = _LOW + _SPAN / 2
    if inverted:
        stored = (_TOP - stored).astype(np.uint16)
        centre = _TOP - centre
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    data.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    data.Rows, data.Columns = stored.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    spacing = round(film.pixel_mm, 4)
    data.ImagerPixelSpacing = [spacing, spacing]
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = 0, 1, "US"
    # C.11.2.1.2.1: the ramp is centred half a value below and one value narrower.
    data.WindowCenter, data.WindowWidth = centre + 0.5, _SPAN + 1
    data.PixelData = stored.astype("<u2").tobytes()
