"""CheXpert: -1 and blank, paths that start with the release, studies in order, test labels."""

from pathlib import Path

import polars as pl
import pytest

from hilum.errors import SourceError
from hilum.sources import Listing, SourceOptions, read_source
from hilum.sources.chexpert import FINDINGS
from reference_sources import chexpert_rows
from trees_sources import CHEXPERT_HEADER, chexpert, chexpert_row, lines, write


def table_of(root: Path, *rows: str) -> Listing:
    write(root, {"train.csv": lines(CHEXPERT_HEADER, *rows)})
    return read_source(root, "chexpert", SourceOptions(pixels=False))


def test_a_row_worked_by_hand(tmp_path: Path) -> None:
    listing = read_source(chexpert(tmp_path), "chexpert")
    row = listing.frame.row(0, named=True)
    assert {finding: row[finding] for finding in FINDINGS if row[finding] is not None} == {
        "No Finding": 1,
        "Pneumothorax": 0,
        "Support Devices": 1,
    }
    expected = {
        "image_id": "patient00001_study2_view1_frontal",
        "patient_id": "patient00001",
        "study_id": "patient00001_study2",
        "visit": 0,  # study 2 comes before study 10
        "view": "AP",
        "age": 68.0,
        "sex": "F",
        "split": "train",
        "file": "train/patient00001/study2/view1_frontal.jpg",
    }
    assert {key: row[key] for key in expected} == expected


def test_studies_are_ordered_as_numbers_and_their_images_share_a_visit(tmp_path: Path) -> None:
    frame = read_source(chexpert(tmp_path), "chexpert").frame
    assert frame["visit"].to_list() == [0, 1, 1, 0]
    assert frame["view"].to_list() == ["AP", "AP", "LATERAL", "PA"]
    assert frame["split"].to_list() == ["train", "train", "train", "val"]


def test_uncertain_and_blank_stay_apart(tmp_path: Path) -> None:
    frame = read_source(chexpert(tmp_path), "chexpert").frame
    assert frame["Lung Opacity"].to_list() == [None, -1, None, 0]


def test_a_frontal_image_with_a_lateral_beam_has_an_unknown_view(tmp_path: Path) -> None:
    listing = table_of(tmp_path, chexpert_row("train/patient1/study1/a.jpg", "Male,5,Frontal,LL"))
    assert listing.frame["view"][0] is None
    assert "1 rows are neither lateral nor frontal with AP or PA: their view" in listing.notes[0]


def test_ages_zero_and_ninety_and_an_unknown_sex_are_noted(tmp_path: Path) -> None:
    listing = table_of(
        tmp_path,
        chexpert_row("train/patient1/study1/a.jpg", "Unknown,0,Frontal,AP"),
        chexpert_row("train/patient2/study1/a.jpg", "Male,90,Frontal,AP"),
    )
    assert listing.frame["age"].to_list() == [None, 90.0]
    assert listing.frame["sex"].to_list() == [None, "M"]
    assert listing.notes == (
        "1 ages of 0 are unknown here: the patients are adults",
        "1 ages of 90 mean 90 or older",
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (chexpert_row("train/p1/study1/a.jpg"), r"train\.csv:2:Path: expected RELEASE/tr"),
        (chexpert_row("train/patient1/study1/../a.jpg"), r"train\.csv:2:Path: expected RELEASE/tr"),
        ("a.jpg,Male,5,Frontal,AP" + "," * 14, r"train\.csv:2:Path: .* got 'a\.jpg'"),
        (chexpert_row("train/patient1/study1/a.jpg", labels="yes" + "," * 13),
         r"train\.csv:2:No Finding: expected 1 \(present\), 0 \(absent\).* got 'yes'"),
        (chexpert_row("train/patient1/study1/a.jpg", "Male,old,Frontal,AP"),
         r"train\.csv:2:Age: expected an age in years, got 'old'"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_read_is_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        table_of(tmp_path, row)


def test_a_table_without_a_finding_names_it(tmp_path: Path) -> None:
    write(tmp_path, {"train.csv": lines(CHEXPERT_HEADER.replace("Fracture", "Broken"))})
    with pytest.raises(SourceError, match=r"train\.csv:1: expected a column 'Fracture', got 'Path"):
        read_source(tmp_path, "chexpert")


def test_a_missing_file_is_named_below_the_root(tmp_path: Path) -> None:
    chexpert(tmp_path)
    (tmp_path / "valid/patient64541/study1/view1_frontal.jpg").unlink()
    with pytest.raises(SourceError, match=r"1 of 4 .* missing: valid/patient64541/study1/view1_fr"):
        read_source(tmp_path, "chexpert")


def test_a_table_of_studies_gives_its_labels_to_every_image_of_each(tmp_path: Path) -> None:
    header = "Study," + ",".join(reversed(FINDINGS))  # the order of columns is free
    row = "CheXpert-v1.0/test/patient64741/study1," + ",".join(["1"] + ["0"] * 13)
    images = (
        "test/patient64741/study1/view1_frontal.jpg",
        "test/patient64741/study1/view2_lateral.jpg",
    )
    write(tmp_path, {"groundtruth.csv": lines(header, row), **dict.fromkeys(images, b"jpeg")})
    frame = read_source(tmp_path, "chexpert").frame
    assert frame["file"].to_list() == list(images)
    assert frame["split"].to_list() == ["test", "test"]
    assert frame["view"].to_list() == [None, "LATERAL"]
    assert frame["Support Devices"].to_list() == [1, 1]
    assert frame["No Finding"].to_list() == [0, 0]
    assert frame["study_id"].n_unique() == 1
    (tmp_path / images[0]).unlink()
    (tmp_path / images[1]).unlink()
    with pytest.raises(SourceError, match=r"groundtruth\.csv: 1 of 1 studies have no image file"):
        read_source(tmp_path, "chexpert")


def test_the_real_table_has_its_published_counts(data_dir: Path) -> None:
    options = SourceOptions(pixels=False, table="chexpert_train.csv")
    listing = read_source(data_dir / "metadata", "chexpert", options)
    frame = listing.frame
    assert len(listing) == 223_414
    assert (frame["patient_id"].n_unique(), frame["study_id"].n_unique()) == (64_540, 187_641)
    assert dict(frame["view"].value_counts().iter_rows()) == {
        "AP": 161_590, "PA": 29_420, "LATERAL": 32_387, None: 17,
    }  # fmt: skip
    counts = {name: dict(frame[name].value_counts().iter_rows()) for name in FINDINGS}
    assert counts["Consolidation"] == {1: 14_783, -1: 27_742, 0: 28_097, None: 152_792}
    assert counts["No Finding"] == {1: 22_381, None: 201_033}
    assert counts["Support Devices"] == {1: 116_001, -1: 1_079, 0: 6_137, None: 100_197}
    assert frame["sex"].null_count() == 1
    assert "7,579 ages of 90 mean 90 or older" in listing.notes


def test_the_real_table_reads_as_a_row_by_row_reader_reads_it(data_dir: Path) -> None:
    options = SourceOptions(pixels=False, table="chexpert_train.csv.gz")
    frame = read_source(data_dir / "metadata", "chexpert", options).frame
    expected = chexpert_rows(data_dir / "metadata/chexpert_train.csv.gz")
    assert frame["image_id"].to_list() == list(expected)
    for column in ("patient_id", "visit", *FINDINGS):
        assert frame[column].equals(
            pl.Series(column, [row[column] for row in expected.values()], dtype=frame[column].dtype)
        ), column


def test_the_real_test_labels_describe_five_hundred_studies(data_dir: Path, tmp_path: Path) -> None:
    table = data_dir / "chexpert-test-labels/groundtruth.csv"
    folders = [line.split(",")[0].split("/", 1)[1] for line in table.read_text().splitlines()[1:]]
    files = {f"{folder}/view1_frontal.jpg": b"jpeg" for folder in folders}
    write(tmp_path, {"groundtruth.csv": table.read_bytes(), **files})
    frame = read_source(tmp_path, "chexpert").frame
    assert frame.height == frame["study_id"].n_unique() == 500
    for name, positives in (("Atelectasis", 153), ("Pneumothorax", 9), ("Pleural Other", 4)):
        assert frame[name].sum() == positives
