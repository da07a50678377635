"""VinDr-CXR: three readers an image, what they say together, boxes on copies of another size."""

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hilum.errors import LeakError, SourceError, UsageError
from hilum.images import Geometry, geometry_of
from hilum.ingest import ingest
from hilum.sources import Listing, SourceOptions, check, read_source
from hilum.sources.readers import CONSENSUS, agree, disagreement
from image_files import png as texture_png
from image_files import texture
from trees_readers import VINDR_BOXES, VINDR_LABELS, VINDR_READINGS, marks, vindr
from trees_sources import lines, png, write

LABELS = "annotations/image_labels_train.csv"
BOXES = "annotations/annotations_train.csv"
BOX_HEADER = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return vindr(tmp_path / "vindr")


def listed(root: Path, **options: object) -> Listing:
    return read_source(root, "vindr", SourceOptions(**options))  # type: ignore[arg-type]


def row_of(listing: Listing, image: str) -> dict[str, object]:
    return listing.frame.row(by_predicate=pl.col("image_id") == image, named=True)


def boxes_of(listing: Listing, image: str) -> list[tuple[object, ...]]:
    boxes = row_of(listing, image)["boxes"]
    assert isinstance(boxes, list)
    return [tuple(box.values()) for box in boxes]


# ------------------------------------------------------------------------ the rows


def test_a_row_worked_by_hand(root: Path) -> None:
    row = row_of(listed(root), "0a1b")
    expected = {
        "patient_id": "0a1b",
        "study_id": "0a1b",
        "visit": 0,
        "view": "PA",
        "age": 51.0,
        "sex": "F",
        "split": "trainval",
        "file": "train/0a1b.dicom",
        "Cardiomegaly": 1,  # two of three
        "Aortic Enlargement": 0,  # one of three
        "Nodule or Mass": 0,
        "COPD": 0,
        "Fibrosis": 0,
        "No Finding": 0,
    }
    assert {key: row[key] for key in expected} == expected


def test_labels_have_hilums_names_whatever_half_they_are_of(root: Path) -> None:
    assert listed(root).findings == (
        *("Aortic Enlargement", "Cardiomegaly", "Enlarged Pulmonary Artery", "Nodule or Mass"),
        *("Fibrosis", "COPD", "Other Disease", "No Finding"),
    )  # the halves write "Other diseases" and "Other disease"


def test_the_consensus_of_five_is_taken_as_it_is(root: Path) -> None:
    row = row_of(listed(root), "0b9e")
    assert (row["split"], row["No Finding"], row["Cardiomegaly"]) == ("test", 1, 0)


def test_an_age_of_nought_and_an_odd_sex_are_unknown(root: Path) -> None:
    listing = listed(root)
    row = row_of(listing, "0a2c")
    assert row["age"] is row["sex"] is None
    assert "1 ages of 0 are unknown here" in listing.notes


def test_a_note_says_that_patients_are_not_told_and_how_readers_agree(root: Path) -> None:
    notes = " | ".join(listed(root).notes)
    assert "nothing tells which images are of one patient" in notes
    assert "7 readers read 3 images and disagree about 1: labels are by consensus (maj" in notes


# ------------------------------------------------------------------------ consensus

VOTES = (1, 0, -1, None)


@pytest.mark.parametrize(
    ("votes", "majority", "anyone", "unanimous"),
    [
        ((1, 1, 0), 1, 1, -1),
        ((1, 0, 0), 0, 1, -1),
        ((1, 1, 1), 1, 1, 1),
        ((0, 0, 0), 0, 0, 0),
        ((1, 0, None), -1, 1, -1),  # one against one
        ((1, -1, 0), -1, 1, -1),
        ((None, None, None), None, None, None),
    ],
)
def test_votes_worked_by_hand(
    votes: tuple[int | None, ...], majority: int, anyone: int, unanimous: int
) -> None:
    said = pl.DataFrame(
        {"image_id": ["a"] * 3, "x": votes}, schema={"image_id": pl.String, "x": pl.Int8}
    )
    found = [agree(said, ["x"], rule)["x"][0] for rule in CONSENSUS]
    assert found == [majority, anyone, unanimous]


def test_consensus_is_that_of_a_slow_count() -> None:
    trios = list(product((1, 0), repeat=3))
    said = pl.DataFrame(
        {
            "image_id": [f"i{at}" for at, _ in enumerate(trios) for _ in range(3)],
            "x": [vote for trio in trios for vote in trio],
        },
        schema={"image_id": pl.String, "x": pl.Int8},
    )
    assert agree(said, ["x"], "majority")["x"].to_list() == [int(sum(t) >= 2) for t in trios]
    assert agree(said, ["x"], "any")["x"].to_list() == [max(t) for t in trios]
    assert agree(said, ["x"], "unanimous")["x"].to_list() == [
        t[0] if len(set(t)) == 1 else -1 for t in trios
    ]
    assert disagreement(said, ["x"]) == 6


def test_the_option_chooses_the_consensus(root: Path) -> None:
    assert row_of(listed(root, consensus="any"), "0a1b")["COPD"] == 1
    assert row_of(listed(root, consensus="unanimous"), "0a1b")["Cardiomegaly"] == -1
    with pytest.raises(UsageError, match="'all' is not a consensus; choose from majority, any, un"):
        listed(root, consensus="all")


def test_what_each_reader_said_is_kept(root: Path) -> None:
    said = listed(root).readings
    assert said is not None
    assert said.select("image_id", "reader").rows() == [row[:2] for row in VINDR_READINGS]
    first = said.row(0, named=True)
    assert (first["Cardiomegaly"], first["Aortic Enlargement"], first["COPD"]) == (1, 1, 0)
    assert listed(root, views=("PA",)).readings is not None


def test_readings_of_images_elsewhere_fail_the_check(root: Path) -> None:
    from dataclasses import replace

    listing = listed(root)
    assert listing.readings is not None
    for change, said in (
        (pl.lit("zz").alias("image_id"), r"vindr: readings of zz by R8: expected one by each"),
        (pl.lit("../R8").alias("reader"), r"expected names of readers .*, got '\.\./R8'"),
    ):
        wrong = replace(listing, readings=listing.readings.with_columns(change))
        with pytest.raises(SourceError, match=said):
            check(wrong)
    stray = listing.readings[:1].with_columns(image_id=pl.lit("zz"))
    with pytest.raises(SourceError, match=r"readings of zz by R8: expected none of an image else"):
        check(replace(listing, readings=stray))


# ------------------------------------------------------------------------ boxes


def test_boxes_of_what_the_consensus_denies_are_left_out_and_counted(root: Path) -> None:
    listing = listed(root)
    assert boxes_of(listing, "0a1b") == [
        ("Cardiomegaly", 10.0, 20.5, 30.0, 40.0),
        ("Cardiomegaly", 12.0, 20.0, 30.0, 40.0),
    ]
    assert boxes_of(listing, "0a2c") == []
    assert "1 boxes are of findings that the consensus denies, and are left out" in listing.notes
    assert len(boxes_of(listed(root, consensus="any"), "0a1b")) == 3


def test_boxes_follow_a_copy_of_another_size(root: Path) -> None:
    write(
        root, {"train/0a3d.png": png(50, 20), "train_meta.csv": "image_id,dim0,dim1\n0a3d,80,100"}
    )
    listing = listed(root)
    assert boxes_of(listing, "0a3d") == [("Fibrosis", 0.0, 0.0, 50.0, 20.0)]
    assert any(
        "1 images are of another size than their boxes were drawn on" in n for n in listing.notes
    )
    place = geometry_of(50, 20, 10)
    np.testing.assert_allclose(place.boxes_to_square([[0, 0, 50, 20]]), [[0, 3, 10, 4]])


def test_boxes_come_into_the_square_and_files_without_pixels_into_quarantine(
    tmp_path: Path,
) -> None:
    film = texture_png(texture(100, 80).astype(np.uint8))
    source = vindr(tmp_path / "vindr", lambda _: film)
    made = ingest(source, tmp_path / "c.lance", layout="vindr", size=50, workers=1)
    assert made.quarantined == {"bad-value": 2}  # the two DICOM headers
    frame = made.collection.boxes()
    assert frame.rows() == [("0a3d", "Fibrosis", 0.0, 0.0, 100.0, 80.0)]
    told = made.collection.table(["image_id", "geometry"]).row(0, named=True)["geometry"]
    square = Geometry(**told).boxes_to_square(frame.select("x", "y", "w", "h").to_numpy())
    np.testing.assert_allclose(square, [[0, 5, 50, 40]])


def test_boxes_beyond_a_smaller_copy_say_what_is_missing(root: Path) -> None:
    write(root, {"train/0a3d.png": png(50, 40)})
    with pytest.raises(
        SourceError, match=r"1 boxes reach .* of 0a3d with a width of 50 pixels: .* train_meta\.csv"
    ):
        listed(root)


def test_a_box_that_reaches_a_little_beyond_is_cut_at_the_edge(root: Path) -> None:
    write(root, {BOXES: lines(BOX_HEADER, "0a3d,R1,Pulmonary fibrosis,90,70,101.5,80")})
    assert boxes_of(listed(root), "0a3d") == [("Fibrosis", 90.0, 70.0, 10.0, 10.0)]


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("40,20,10,60", r"annotations_train\.csv:2:x_max: expected more than x_min, 40, got 10"),
        ("10,,40,60", r"annotations_train\.csv:2:y_min: expected a value, got an empty cell"),
        ("-1,2,40,60", r"annotations_train\.csv:2:x_min: expected a number of pixels, not below 0"),
        ("a,2,40,60", r"annotations_train\.csv:2:x_min: expected a number of pixels"),
    ],
)
def test_a_bad_box_is_named_by_its_cell(root: Path, box: str, said: str) -> None:
    write(root, {BOXES: lines(BOX_HEADER, f"0a1b,R8,Cardiomegaly,{box}")})
    with pytest.raises(SourceError, match=said):
        listed(root)


def test_a_box_of_a_finding_without_labels_is_refused(root: Path) -> None:
    write(root, {BOXES: lines(BOX_HEADER, "0a1b,R8,Goitre,1,2,3,4")})
    with pytest.raises(
        SourceError, match=r"vindr: row 1 \(0a1b\): box: expected a finding of this"
    ):
        listed(root)


# ------------------------------------------------------------------------ other layouts, faults


def test_the_challenge_on_kaggle_has_boxes_for_labels(tmp_path: Path) -> None:
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    rows = (
        "k1,Cardiomegaly,3,R8,1,2,30,40",
        "k1,Cardiomegaly,3,R9,1,2,31,40",
        "k1,No finding,14,R10,,,,",
        "k2,No finding,14,R8,,,,",
        "k2,No finding,14,R9,,,,",
        "k2,Nodule/Mass,8,R10,1,2,3,4",
    )
    files = {f"train/{name}.png": png(50, 50) for name in ("k1", "k2")}
    write(tmp_path, {"train.csv": lines(header, *rows), **files, "test/k9.png": png()})
    listing = listed(tmp_path)
    assert listing.findings == ("Cardiomegaly", "No Finding", "Nodule or Mass")
    assert listing.frame.select(listing.findings).rows() == [(1, 0, 0), (0, 1, 0)]
    assert len(boxes_of(listing, "k1")) == 2
    assert "1 image files are not in the table and are left out" in listing.notes


def test_a_half_that_is_not_here_is_left_out_and_a_single_file_is_not(root: Path) -> None:
    (root / "test/0b9e.png").unlink()
    listing = listed(root)
    assert set(listing.frame["split"]) == {"trainval"}
    assert "1 images of splits none of whose files is here are left out" in listing.notes
    (root / "train/0a3d.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 4 image files are missing: 0a3d; complete"):
        listed(root)


def test_a_film_in_two_formats_is_named(root: Path) -> None:
    write(root, {"train/0a1b.png": png(100, 80)})
    with pytest.raises(
        SourceError, match=r"0a1b: found twice, as train/0a1b\.dicom and train/0a1b"
    ):
        listed(root)


def test_a_file_that_is_no_image_waits_for_ingest(root: Path) -> None:
    write(root, {"train/0a1b.dicom": b"not DICOM", "train/0a3d.png": b"not PNG"})
    row = row_of(listed(root), "0a1b")
    assert row["age"] is None
    assert row["file"] == "train/0a1b.dicom"


def reading(image: str, reader: str, cell: str = "") -> str:
    return f"{image},{reader},{cell}{marks(())[1:] if cell else marks(())}"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((reading("a", "R1"), reading("a", "R1")), r":3:image_id: 'a by R1' has a line already"),
        ((reading("a", "R1", "2"),), r":2:Aortic enlargement: expected 1 \(present\).*got '2'"),
        ((reading("", "R1"),), r":2:image_id: expected a value, got an empty cell"),
        ((reading("a", ""),), r":2:rad_id: expected a value, got an empty cell"),
    ],
)
def test_a_bad_reading_is_named_by_its_cell(root: Path, rows: tuple[str, ...], said: str) -> None:
    write(root, {LABELS: lines(",".join(("image_id", "rad_id", *VINDR_LABELS)), *rows)})
    with pytest.raises(SourceError, match=rf"image_labels_train\.csv{said}"):
        listed(root, pixels=False)


def test_two_columns_of_one_finding_are_refused(root: Path) -> None:
    write(root, {LABELS: "image_id,rad_id,ILD,Interstitial lung disease\na,R1,0,1\n"})
    with pytest.raises(SourceError, match=r"'ILD' and 'Interstitial lung disease' are both Inter"):
        listed(root, pixels=False)


def test_an_image_in_both_halves_is_a_leak(root: Path) -> None:
    test = (root / "annotations/image_labels_test.csv").read_text()
    write(root, {"annotations/image_labels_test.csv": test.replace("0b9e", "0a1b")})
    with pytest.raises(LeakError, match="0a1b: is in the labels of train and of test images"):
        listed(root)


def test_boxes_of_images_elsewhere_are_counted(root: Path) -> None:
    write(root, {BOXES: lines(BOX_HEADER, *VINDR_BOXES, "zz,R1,Cardiomegaly,1,2,3,4")})
    assert "1 boxes are of images that are not in the table" in listed(root).notes
