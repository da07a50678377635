"""Small valid folders of VinDr-CXR, RSNA's challenge and ISIC 2017.

None of it is real: ids, labels and boxes are made up in the forms of the real tables.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from trees_sources import dataset, lines, png, save, write

# --------------------------------------------------------------------------- VinDr-CXR

VINDR_LABELS = (
    *("Aortic enlargement", "Cardiomegaly", "Enlarged PA", "Nodule/Mass", "Pulmonary fibrosis"),
    *("COPD", "Other diseases", "No finding"),
)
VINDR_READINGS = (  # image, reader, and what the reader sees
    ("0a1b", "R8", ("Cardiomegaly", "Aortic enlargement")),
    ("0a1b", "R9", ("Cardiomegaly",)),
    ("0a1b", "R10", ("Nodule/Mass", "COPD")),
    ("0a2c", "R8", ("No finding",)),
    ("0a2c", "R9", ("No finding",)),
    ("0a2c", "R11", ("No finding",)),
    ("0a3d", "R1", ("Pulmonary fibrosis",)),
    ("0a3d", "R2", ("Pulmonary fibrosis",)),
    ("0a3d", "R3", ("Pulmonary fibrosis",)),
)
VINDR_BOXES = (
    "0a1b,R8,Cardiomegaly,10,20.5,40,60.5",
    "0a1b,R9,Cardiomegaly,12,20,42,60",
    "0a1b,R10,Nodule/Mass,70,10,80,20",
    "0a2c,R8,No finding,,,,",
    "0a3d,R1,Pulmonary fibrosis,0,0,100,80",
)


def marks(found: tuple[str, ...], columns: tuple[str, ...] = VINDR_LABELS) -> str:
    return ",".join(str(int(name in found)) for name in columns)


def vindr(root: Path, image: Callable[[str], bytes] = lambda _: png(100, 80)) -> Path:
    """Write PhysioNet's layout; of the films of 100 × 80 pixels two are DICOM."""
    consensus = tuple(name.replace("diseases", "disease") for name in VINDR_LABELS)
    readings = (f"{image},{reader},{marks(seen)}" for image, reader, seen in VINDR_READINGS)
    save(dataset("1.2.1.1", Rows=80, Columns=100, PatientAge="051Y"), root / "train/0a1b.dicom")
    odd = dataset("1.2.1.2", Rows=80, Columns=100, PatientAge="000Y", PatientSex="O")
    save(odd, root / "train/0a2c.dicom")
    return write(
        root,
        {
            "annotations/image_labels_train.csv": lines(
                ",".join(("image_id", "rad_id", *VINDR_LABELS)), *readings
            ),
            "annotations/image_labels_test.csv": lines(
                ",".join(("image_id", *consensus)), f"0b9e,{marks(('No finding',))}"
            ),
            "annotations/annotations_train.csv": lines(
                "image_id,rad_id,class_name,x_min,y_min,x_max,y_max", *VINDR_BOXES
            ),
            "annotations/annotations_test.csv": lines(
                "image_id,class_name,x_min,y_min,x_max,y_max", "0b9e,No finding,,,,"
            ),
            **{f"{name}.png": image(name) for name in ("train/0a3d", "test/0b9e")},
        },
    )


# --------------------------------------------------------------------------- RSNA

RSNA_ROWS = (
    "aa-01,100,200.5,300,400,1",
    "aa-01,600,200,300,400,1",
    "aa-02,,,,,0",
    "aa-03,,,,,0",
    "aa-04,10,20,30,40,1",
)
RSNA_CLASSES = (
    *("aa-01,Lung Opacity", "aa-01,Lung Opacity", "aa-02,Normal"),
    *("aa-03,No Lung Opacity / Not Normal", "aa-04,Lung Opacity"),
)
RSNA_MAPPING = {
    "aa-01": "00000061_003.png",
    "aa-02": "00000061_011.png",
    "aa-03": "00028173_003.png",
    "aa-04": "00000002_000.png",
    "zz-99": "00000007_000.png",  # of the challenge's test images, which have no labels here
}
RSNA_MAPPING_FILE = "pneumonia-challenge-dataset-mappings_2018.json"


def mapping(files: Mapping[str, str] = RSNA_MAPPING) -> str:
    """Return RSNA's file, with some of the other things that it tells."""
    return json.dumps(
        [
            {"subset_img_id": image, "img_id": file, "orig_labels": ["Mass"], "subset_group": "x"}
            for image, file in files.items()
        ]
    )


def rsna(root: Path, image: Callable[[str], bytes] = lambda _: png(1024, 1024)) -> Path:
    """Write the challenge's tables, DICOM and PNG, RSNA's mapping and ChestX-ray14's lists."""
    views = {"aa-01": "AP", "aa-02": "PA", "aa-03": "AP"}
    for name, view in views.items():
        tags = {"ViewPosition": view, "PatientAge": "051Y", "PatientSex": "M"}
        made = dataset(f"1.2.3.{name[-1]}", Rows=1024, Columns=1024, **tags)
        save(made, root / f"stage_2_train_images/{name}.dcm")
    test = [file for file in RSNA_MAPPING.values() if file.startswith("00000061")]
    train = [file for file in RSNA_MAPPING.values() if file not in test]
    return write(
        root,
        {
            "stage_2_train_labels.csv": lines("patientId,x,y,width,height,Target", *RSNA_ROWS),
            "stage_2_detailed_class_info.csv": lines("patientId,class", *RSNA_CLASSES),
            RSNA_MAPPING_FILE: mapping(),
            "train_val_list.txt": lines(*train),
            "test_list.txt": lines(*test),
            "stage_2_train_images/aa-04.png": image("aa-04"),
        },
    )


# --------------------------------------------------------------------------- ISIC

ISIC_HEADER = "image_id,melanoma,seborrheic_keratosis"
ISIC_CLASSES = {
    "Training": ("ISIC_0000000,0.0,0.0", "ISIC_0000002,1.0,0.0"),
    "Validation": ("ISIC_0001769,0.0,1.0",),
    "Test_v2": ("ISIC_0012086,0.0,0.0",),
}
ISIC_PEOPLE = {
    "Training": ("ISIC_0000000,55,female", "ISIC_0000002,unknown,unknown"),
    "Validation": ("ISIC_0001769,35,male",),
    "Test_v2": ("ISIC_0012086,unknown,female",),
}


def isic(root: Path, image: Callable[[str], bytes] = lambda _: b"jpeg") -> Path:
    """Write the three parts as they are unpacked, superpixels and all."""
    files: dict[str, str | bytes] = {}
    for part, rows in ISIC_CLASSES.items():
        data = f"ISIC-2017_{part}_Data"
        files[f"ISIC-2017_{part}_Part3_GroundTruth.csv"] = "\r\n".join((ISIC_HEADER, *rows))
        files[f"{data}/{data}_metadata.csv"] = lines(
            "image_id,age_approximate,sex", *ISIC_PEOPLE[part]
        )
        for name in (row.split(",")[0] for row in rows):
            files[f"{data}/{name}.jpg"] = image(name)
            files[f"{data}/{name}_superpixels.png"] = png()
    return write(root, files)


READER_TREES: dict[str, Callable[[Path], Path]] = {"vindr": vindr, "rsna": rsna, "isic": isic}
