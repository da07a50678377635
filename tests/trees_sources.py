"""Small valid folders in each layout, made by hand, for every test of the sources."""

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from pydicom import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from hilum.sources import SourceOptions
from hilum.sources.chexpert import FINDINGS as CHEXPERT

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
NIH_ROWS = (
    "00000001_000.png,Cardiomegaly|Effusion,2,1,58,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,0,1,57,M,PA,2894,2729,0.143,0.143",
    "00000001_002.png,Infiltration,5,1,59,M,AP,2500,2048,0.168,0.168",
    "00000002_000.png,Pleural_Thickening|Hernia,0,2,80,F,AP,2500,2048,0.171,0.171",
)
CHEXPERT_HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT)
COVIDX_TRAIN = (
    "1 a.png normal rsna",
    "1 b.png normal rsna",
    "COVID 1 COVID(1).png COVID-19 sirm",
)
COVIDX_TEST = ("7 c.png pneumonia",)
FOLDER_TABLE = (
    "image_id,patient_id,visit,view,age,sex,split,file,Pneumonia,Edema,report_impression",
    "a,p1,4,PA,61,M,train,x/a.png,1,0,Pneumonia.",
    "b,p1,2,AP,60,M,train,x/b.png,-1,,",
    "c,p2,0,LATERAL,6M,F,test,c.png,0,1,No change.",
)


def png(width: int = 1, height: int = 1) -> bytes:
    """Return a flat grey image; readers of sources never decode it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * width) * height
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder: text, or bytes."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def lines(*texts: str) -> str:
    return "".join(f"{text}\n" for text in texts)


def nih(root: Path) -> Path:
    names = [row.split(",")[0] for row in NIH_ROWS]
    boxes = "00000001_002.png,Infiltrate,10.5,20,30,40,,"
    return write(
        root,
        {
            "Data_Entry_2017_v2020.csv": lines(NIH_HEADER, *NIH_ROWS),
            "BBox_List_2017.csv": lines("Image Index,Finding Label,Bbox [x,y,w,h],,,", boxes),
            "train_val_list.txt": names[3],  # no final newline, as in the real lists
            "test_list.txt": "\n".join(names[:3]),
            **{f"images_001/images/{name}": png() for name in names[:2]},
            **{f"images_012/images/{name}": png() for name in names[2:]},
        },
    )


def chexpert_row(
    path: str, people: str = "Female,68,Frontal,AP", labels: str = "," * 13, release: str = "small"
) -> str:
    return f"CheXpert-v1.0-{release}/{path},{people},{labels}"


def chexpert(root: Path) -> Path:
    images = (
        "train/patient00001/study2/view1_frontal.jpg",
        "train/patient00001/study10/view1_frontal.jpg",
        "train/patient00001/study10/view2_lateral.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
    )
    train = (
        chexpert_row(images[0], labels="1.0,,,,,,,,,0.0,,,,1.0"),
        chexpert_row(images[1], labels=",,,-1.0,,,,,,,,,,"),
        chexpert_row(images[2], "Female,69,Lateral,"),
    )
    valid = (chexpert_row(images[3], "Male,73,Frontal,PA", ",".join(["0.0"] * 13 + ["1.0"])),)
    return write(
        root,
        {
            "train.csv": lines(CHEXPERT_HEADER, *train),
            "valid.csv": lines(CHEXPERT_HEADER, *valid),
            **dict.fromkeys(images, b"jpeg"),
        },
    )


def covidx(root: Path) -> Path:
    return write(
        root,
        {
            "train_split.txt": lines(*COVIDX_TRAIN),
            "test_COVIDx4.txt": lines(*COVIDX_TEST),
            **{f"train/{name}": png() for name in ("a.png", "b.png", "COVID(1).png")},
            "test/c.png": png(),
        },
    )


def folder(root: Path) -> Path:
    return write(
        root,
        {
            "table.csv": lines(*FOLDER_TABLE),
            "boxes.csv": lines("image_id,finding,x,y,w,h", "a,Pneumonia,1,2,3,4.5"),
            **{name: png() for name in ("x/a.png", "x/b.png", "c.png")},
        },
    )


def dataset(image: str, study: str = "1.2.1", patient: str = "MRN-0001", **tags: object) -> Dataset:
    """Return a radiograph's header; keyword arguments add tags, or remove them by None."""
    made = Dataset()
    made.SOPClassUID = ComputedRadiographyImageStorage
    made.SOPInstanceUID, made.StudyInstanceUID, made.PatientID = image, study, patient
    made.PatientName = "Garibaldi^Giuseppe"
    made.Modality, made.ViewPosition = "CR", "PA"
    made.StudyDate, made.StudyTime, made.PatientSex = "20170328", "101500", "F"
    made.PatientAge = "058Y"
    made.Rows = made.Columns = 2
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = UID(image)
    for keyword, value in tags.items():
        if value is None:
            del made[keyword]
        else:
            setattr(made, keyword, value)
    return made


def coded(value: str) -> DicomSequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "view"
    return DicomSequence([item])


def save(made: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def dicom(root: Path) -> Path:
    save(dataset("1.2.1.1", "1.2.1", "MRN-0001", StudyDate="20180102"), root / "PA1/IM0001")
    save(dataset("1.2.1.2", "1.2.1", "MRN-0001", StudyDate="20180102"), root / "PA1/IM0002.dcm")
    save(dataset("1.2.2.1", "1.2.2", "MRN-0001", ViewPosition="AP"), root / "PA1/IM0003")
    save(dataset("1.2.3.1", "1.2.3", "MRN-0002", ViewPosition="LL"), root / "PA2/IM0001")
    write(root, {"README.txt": "an export\n"})
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    "nih": nih,
    "chexpert": chexpert,
    "covidx": covidx,
    "folder": folder,
    "dicom": dicom,
}


def options(root: Path, layout: str, **changes: object) -> SourceOptions:
    """Return options that touch nothing outside the test: the key file lies beside the tree."""
    if layout == "dicom":
        changes = {"key_file": root.parent / "test.key", **changes}
    return SourceOptions(**changes)  # type: ignore[arg-type]
