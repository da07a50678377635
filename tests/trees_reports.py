"""Small valid folders of the data sets that come with reports: MIMIC-CXR-JPG, OpenI, PadChest.

None of it is real: ids, dates, labels and texts are made up in the forms of the real tables.
"""

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from hilum.sources.chexpert import FINDINGS as CHEXPERT
from trees_sources import lines, png, write

# --------------------------------------------------------------------------- MIMIC-CXR-JPG

MIMIC_METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,"
    "StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning"
)
MIMIC_ROWS = (
    # Two studies of one day: the one with the larger number was eleven hours earlier.
    "02aa804e-01,10000032,50414267,CHEST (PA AND LAT),PA,9,8,21800506,213014.531,C,p,Erect",
    "02aa804e-02,10000032,50414267,CHEST (PA AND LAT),LATERAL,9,8,21800506,213014.531,C,l,Erect",
    "2a2277a9-03,10000032,53189527,CHEST (PORTABLE AP),AP,9,8,21800506,80556.875,C,a,",
    "96b271a1-04,10000764,57375967,CHEST (PA AND LAT),,9,8,21321015,93847.0,C,,",
)
MIMIC_SPLIT = (
    "02aa804e-01,50414267,10000032,train",
    "02aa804e-02,50414267,10000032,train",
    "2a2277a9-03,53189527,10000032,train",
    "96b271a1-04,57375967,10000764,validate",
)
MIMIC_FINDINGS = tuple(sorted(CHEXPERT))
MIMIC_LABELS = (
    {"subject_id": "10000032", "study_id": "50414267", "No Finding": "1.0"},
    {"subject_id": "10000032", "study_id": "53189527", "Edema": "-1.0", "Pneumonia": "0.0"},
    {"subject_id": "10000764", "study_id": "57375967", "Consolidation": "1.0"},
)
MIMIC_REPORTS = {
    "p10/p10000032/s50414267.txt": (
        "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n"
        " INDICATION:  ___F with cough\n\n FINDINGS: \n\n The lungs are clear.\n\n"
        " IMPRESSION: \n\n No acute cardiopulmonary process.\n"
    ),
    "p10/p10000764/s57375967.txt": (
        " FINDINGS:  PA and lateral views.  Opacity at the left base.\n\n IMPRESSION:\n"
    ),
}


def table(rows: tuple[Mapping[str, str], ...], columns: tuple[str, ...]) -> str:
    """Return a CSV of rows that name only the cells they fill."""
    return lines(",".join(columns), *(",".join(row.get(c, "") for c in columns) for row in rows))


def mimic_files() -> tuple[str, ...]:
    names = (row.split(",") for row in MIMIC_ROWS)
    return tuple(f"files/p{p[:2]}/p{p}/s{s}/{d}.jpg" for d, p, s, *_ in names)


def mimic(root: Path, image: Callable[[str], bytes] = lambda _: b"jpeg") -> Path:
    labels = table(MIMIC_LABELS, ("subject_id", "study_id", *MIMIC_FINDINGS))
    return write(
        root,
        {
            "mimic-cxr-2.0.0-metadata.csv": lines(MIMIC_METADATA, *MIMIC_ROWS),
            "mimic-cxr-2.0.0-split.csv.gz": gzip.compress(
                lines("dicom_id,study_id,subject_id,split", *reversed(MIMIC_SPLIT)).encode()
            ),
            "mimic-cxr-2.0.0-chexpert.csv": labels,
            **{f"files/{name}": text for name, text in MIMIC_REPORTS.items()},
            **{name: image(name) for name in mimic_files()},
        },
    )


# --------------------------------------------------------------------------- OpenI

OPENI_HEADERS = "imageid,Patient ID,Patient's Birth Date,Study Date,View Position"
OPENI_HEADER_ROWS = (
    "CXR1_IM-0001-3001,1,19550820,20110328,PA",  # the reports say CXR1_1_IM-0001-3001
    "CXR1_IM-0001-4001,1,19550820,20110328,PA",
    "CXR12_IM-0050-1001,12,19900101,20100101,AP",
    "CXR12_IM-0050-0001-0002,12,19900101,20100101,",
)
OPENI_LOOKS = ("CXR1_1_IM-0001-4001,L",)  # what the header calls PA


def openi_report(
    number: int,
    images: tuple[str, ...] = (),
    headings: tuple[str, ...] = ("normal",),
    findings: str = "",
    impression: str = "",
) -> str:
    """Return a report as XML, as short as the reader allows."""
    figures = "".join(
        f'<parentImage id="{image}"><caption>Chest</caption></parentImage>' for image in images
    )
    majors = "".join(f"<major>{heading}</major>" for heading in headings)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<eCitation><uId id="CXR{number}"/>'
        "<MedlineCitation><Article><Abstract>"
        '<AbstractText Label="INDICATION">Cough</AbstractText>'
        f'<AbstractText Label="FINDINGS">{findings}</AbstractText>'
        f'<AbstractText Label="IMPRESSION">{impression}</AbstractText>'
        f"</Abstract></Article></MedlineCitation><MeSH>{majors}<automatic>edema</automatic></MeSH>"
        f"{figures}</eCitation>"
    )


OPENI_REPORTS = {
    "12.xml": openi_report(
        12,
        ("CXR12_IM-0050-1001", "CXR12_IM-0050-0001-0002"),
        ("Cardiomegaly/borderline", "Opacity/lung/base/left ", "Subcutaneous Emphysema/neck"),
        "The heart is XXXX enlarged &amp; the left base opaque.",
    ),
    "1.xml": openi_report(
        1,
        ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"),
        findings="The lungs are clear.",
        impression=" Normal chest x-XXXX. ",
    ),
    "7.xml": openi_report(7, headings=("No Indexing",), impression="Comparison needed."),
}


def archive(files: Mapping[str, str]) -> bytes:
    """Return a gzipped tar archive of reports."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"ecgen-radiology/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return body.getvalue()


def openi(root: Path, image: Callable[[str], bytes] = lambda _: png()) -> Path:
    """Write the reports and, under the names that a well-known copy has, the images."""
    names = (
        *("CXR1_1_IM-0001-3001.png", "1_IM-0001-4001.dcm.png", "12_IM-0050-1001.dcm.png"),
        "CXR12_IM-0050-0001-0002.png",
    )
    return write(
        root,
        {
            **{f"ecgen-radiology/{name}": text for name, text in OPENI_REPORTS.items()},
            "nlmcxr_dicom_metadata.csv": lines(OPENI_HEADERS, *OPENI_HEADER_ROWS),
            "nlmcxr_tsne_pa.csv": lines("imageid,tsne-view", *OPENI_LOOKS),
            **{f"NLMCXR_png/{name}": image(name) for name in names},
        },
    )


# --------------------------------------------------------------------------- PadChest

PADCHEST_TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
PADCHEST_COLUMNS = (
    *("", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth"),
    *("PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric"),
    *("ReportID", "Report", "MethodLabel", "Labels", "Localizations"),
)
PADCHEST_PLAIN = {
    "ImageDir": "0",
    "StudyDate_DICOM": "20140505",
    "PatientBirth": "1940.0",
    "PatientSex_DICOM": "M",
    "ViewPosition_DICOM": "nan",
    "Projection": "PA",
    "Report": " sin hallazg patolog .",
    "MethodLabel": "Physician",
    "Labels": "\"['normal']\"",
}


def padchest_row(image: str, patient: str, study: str, **cells: str) -> dict[str, str]:
    """Return a row; its report has the study's name unless `ReportID` is given."""
    ids = {"ImageID": image, "PatientID": patient, "StudyID": study, "ReportID": f"r{study}"}
    return {**PADCHEST_PLAIN, **ids, **cells}


PADCHEST_ROWS = (
    padchest_row("100_a1.png", "100", "11"),
    padchest_row(
        *("100_b1.png", "100", "10"),
        StudyDate_DICOM="20120101",
        Projection="AP_horizontal",
        Labels="\"['COPD signs', ' pleural effusion', 'nsg tube', '']\"",
        MethodLabel="RNN_model",
    ),
    padchest_row("200_a1.png", "200", "20", ImageDir="54", Projection="L", PatientSex_DICOM="F"),
    padchest_row(
        *("300_a1.png", "300", "30"),
        ImageDir="54",
        Projection="COSTAL",
        PatientBirth="",
        PatientSex_DICOM="nan",
        Labels="\"['unchanged', 'hydropneumothorax']\"",
    ),
)


def padchest_table(*rows: Mapping[str, str]) -> str:
    numbered = ({"": str(n), **row} for n, row in enumerate(rows))
    return table(tuple(numbered), PADCHEST_COLUMNS)


def padchest(root: Path, image: Callable[[str], bytes] = lambda _: png()) -> Path:
    return write(
        root,
        {
            PADCHEST_TABLE: padchest_table(*PADCHEST_ROWS),
            **{
                f"{row['ImageDir']}/{row['ImageID']}": image(row["ImageID"])
                for row in PADCHEST_ROWS
            },
        },
    )


REPORT_TREES: dict[str, Callable[[Path], Path]] = {
    "mimic": mimic,
    "openi": openi,
    "padchest": padchest,
}
