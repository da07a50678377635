"""RSNA's challenge: what its classes say, and whose images of ChestX-ray14 its images are."""

import json
from pathlib import Path

import polars as pl
import pytest

from hilum.errors import LeakError, SourceError
from hilum.sources import Listing, SourceOptions, read_source
from trees_readers import RSNA_MAPPING, RSNA_MAPPING_FILE, RSNA_ROWS, mapping, rsna
from trees_sources import lines, png, write

HEADER = "patientId,x,y,width,height,Target"
LABELS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return rsna(tmp_path / "rsna")


def listed(root: Path, **options: object) -> Listing:
    return read_source(root, "rsna", SourceOptions(**options))  # type: ignore[arg-type]


def test_a_row_worked_by_hand(root: Path) -> None:
    row = listed(root).frame.row(by_predicate=pl.col("image_id") == "aa-01", named=True)
    expected = {
        "patient_id": "61",
        "study_id": "00000061_003",  # the image of ChestX-ray14, as the nih layout names its study
        "visit": 0,
        "view": "AP",
        "age": 51.0,
        "sex": "M",
        "split": "test",
        "file": "stage_2_train_images/aa-01.dcm",
        "boxes": [
            {"finding": "Pneumonia", "x": 100.0, "y": 200.5, "w": 300.0, "h": 400.0},
            {"finding": "Pneumonia", "x": 600.0, "y": 200.0, "w": 300.0, "h": 400.0},
        ],
    }
    assert {key: row[key] for key in expected} == expected


def test_classes_say_of_other_opacities_that_they_are_unknown(root: Path) -> None:
    listing = listed(root)
    assert listing.findings == ("No Finding", "Lung Opacity", "Pneumonia")
    said = dict(zip(listing.frame["image_id"], listing.frame.select(listing.findings).rows(),
                    strict=True))  # fmt: skip
    assert said == {
        "aa-01": (0, 1, 1),
        "aa-02": (1, 0, 0),
        "aa-03": (0, None, 0),
        "aa-04": (0, 1, 1),
    }


def test_without_the_classes_a_target_of_nought_says_nothing_of_health(root: Path) -> None:
    (root / CLASSES).unlink()
    frame = listed(root).frame
    assert frame["No Finding"].to_list() == [0, None, None, 0]
    assert frame["Lung Opacity"].to_list() == [1, None, None, 1]
    assert frame["Pneumonia"].to_list() == [1, 0, 0, 1]


# ------------------------------------------------------------------------ ChestX-ray14


def test_images_of_a_patient_stand_on_one_side_of_chestxray14s_split(root: Path) -> None:
    listing = listed(root)
    people = listing.frame.select("patient_id", "split").rows()
    assert people == [("61", "test"), ("61", "test"), ("28173", "trainval"), ("2", "trainval")]
    assert (
        "patients are those of ChestX-ray14, and so is the split: 2 of 4 images are among its "
        "test images"
    ) in listing.notes


def test_patients_and_studies_are_named_as_by_the_nih_layout(root: Path, tmp_path: Path) -> None:
    from trees_sources import nih

    theirs = read_source(nih(tmp_path / "nih"), "nih").frame
    ours = listed(root).frame
    assert set(theirs.select("patient_id", "study_id").rows()) & set(
        ours.select("patient_id", "study_id").rows()
    ) == {("2", "00000002_000")}


def test_without_the_lists_a_note_warns_of_the_test_images(root: Path) -> None:
    for name in ("train_val_list.txt", "test_list.txt"):
        (root / name).unlink()
    listing = listed(root)
    assert listing.frame["split"].null_count() == 4
    assert "(7,193 of 26,684)" in listing.notes[0]
    assert listing.frame["patient_id"].to_list() == ["61", "61", "28173", "2"]


def test_without_the_mapping_a_note_warns_of_patients_too(root: Path) -> None:
    (root / RSNA_MAPPING_FILE).unlink()
    listing = listed(root)
    assert listing.frame["patient_id"].to_list() == listing.frame["image_id"].to_list()
    assert "nothing tells which images are of one patient" in listing.notes[0]


def test_the_mapping_and_the_lists_may_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    for name in (RSNA_MAPPING_FILE, "train_val_list.txt", "test_list.txt"):
        (root / name).rename(tmp_path / name)
    listing = listed(root, mapping=tmp_path / RSNA_MAPPING_FILE)
    assert listing.frame["split"].to_list() == ["test", "test", "trainval", "trainval"]
    with pytest.raises(SourceError, match=r"nowhere\.json: there is no such mapping"):
        listed(root, mapping=tmp_path / "nowhere.json")


def test_a_patient_on_two_sides_is_a_leak(root: Path) -> None:
    others = [file for file in RSNA_MAPPING.values() if file != "00000061_003.png"]
    write(root, {"train_val_list.txt": lines(*others), "test_list.txt": "00000061_003.png"})
    with pytest.raises(LeakError, match=r"patient '61' has images in test and trainval"):
        listed(root)


def test_an_image_in_neither_list_is_named(root: Path) -> None:
    write(root, {"train_val_list.txt": "00000001_000.png\n"})
    with pytest.raises(SourceError, match=r"00028173_003\.png: in neither train_val_list\.txt nor"):
        listed(root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"expected RSNA's .*; got JSONDecodeError"),
        ('{"a": 1}', r"expected RSNA's .*; got TypeError"),
        ('[{"img_id": "00000001_000.png"}]', r"expected RSNA's .*; got KeyError"),
        ("[]", r"a JSON list of objects with subset_img_id and img_id such as 00000061_003\.png$"),
        (mapping({**RSNA_MAPPING, "aa-01": "../x.png"}), r"got '\.\./x\.png'"),
        (mapping({"aa-01": "00000061_003.png"}), r"has no entry for aa-02 \(3 images have none\)"),
        (
            mapping({**RSNA_MAPPING, "aa-02": "00000061_003.png"}),
            r"aa-01 and aa-02 are both 00000061_003\.png",
        ),
    ],
)
def test_a_bad_mapping_says_what_it_should_be(root: Path, text: str, said: str) -> None:
    write(root, {RSNA_MAPPING_FILE: text})
    with pytest.raises(SourceError, match=said):
        listed(root)


def test_the_mapping_is_read_whatever_else_it_tells(root: Path) -> None:
    entries = json.loads(mapping())
    write(
        root, {RSNA_MAPPING_FILE: json.dumps([{**e, "StudyInstanceUID": "1.2"} for e in entries])}
    )
    assert listed(root).frame["patient_id"][0] == "61"


# ------------------------------------------------------------------------ tables, files


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("a,1,2,3,4,1", "a,,,,,0"), r":2:Target: expected one Target for all lines of .* \(a\)"),
        (("a,,,,,0", "a,,,,,0"), r":2:Target: expected one line for an image with Target 0 \(a\)"),
        (("a,1,2,3,4,0",), r":2:Target: expected no box beside Target 0 \(a\)"),
        (("a,1,2,3,,1",), r":2:height: expected a value, got an empty cell"),
        (("a,1,2,0,4,1",), r":2:width: expected a number of pixels, above 0, got '0'"),
        (("a,,,,,2",), r":2:Target: expected 0 or 1, got '2'"),
        ((",,,,,0",), r":2:patientId: expected a value, got an empty cell"),
    ],
)
def test_a_bad_line_is_named_by_its_cell(root: Path, rows: tuple[str, ...], said: str) -> None:
    write(root, {LABELS: lines(HEADER, *rows)})
    with pytest.raises(SourceError, match=rf"stage_2_train_labels\.csv{said}"):
        listed(root)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("aa-01,Sick",), r":2:class: expected 'Normal' or .*, got 'Sick'"),
        (("aa-01,Normal",), r"aa-01 is 'Normal', but its Target is 1 in stage_2_train_labels"),
        (("aa-09,Normal",), r"has no class for aa-01, which stage_2_train_labels\.csv has"),
    ],
)
def test_classes_that_contradict_the_labels_are_refused(
    root: Path, rows: tuple[str, ...], said: str
) -> None:
    write(root, {CLASSES: lines("patientId,class", *rows)})
    with pytest.raises(SourceError, match=said):
        listed(root)


def test_boxes_follow_a_smaller_copy(root: Path) -> None:
    write(root, {"stage_2_train_images/aa-04.png": png(256, 256)})
    row = listed(root).frame.row(by_predicate=pl.col("image_id") == "aa-04", named=True)
    assert row["boxes"] == [{"finding": "Pneumonia", "x": 2.5, "y": 5.0, "w": 7.5, "h": 10.0}]


def test_a_box_beyond_the_image_is_refused(root: Path) -> None:
    write(root, {LABELS: lines(HEADER, *RSNA_ROWS[:4], "aa-04,900,20,300,40,1")})
    with pytest.raises(SourceError, match=r"1 boxes reach beyond .* that of aa-04 with a width of"):
        listed(root)


def test_a_missing_file_is_named(root: Path) -> None:
    (root / "stage_2_train_images/aa-04.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 4 image files are missing: aa-04"):
        listed(root)
