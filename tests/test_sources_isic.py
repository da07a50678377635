"""ISIC 2017, part 3: three classes of lesions, their numbers, and colour to the end."""

import io
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from hilum.cli import app
from hilum.collection import open_collection
from hilum.errors import CollectionError, LeakError, SourceError, UsageError
from hilum.ingest import ingest
from hilum.sources import Listing, SourceOptions, read_source
from trees_readers import ISIC_HEADER, isic
from trees_sources import lines, write

TRAIN = "ISIC-2017_Training_Part3_GroundTruth.csv"
TEST = "ISIC-2017_Test_v2_Part3_GroundTruth.csv"
BALANCED = "ISIC-2017_Test_v2_Part3_GroundTruth_balanced.csv"
METADATA = "ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return isic(tmp_path / "isic")


def lesion(name: str) -> bytes:
    """Return a JPEG of smooth colours, other ones for each name."""
    rng = np.random.default_rng(sum(name.encode()))
    shown = cv2.resize(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8), (48, 36))
    body = io.BytesIO()
    Image.fromarray(np.asarray(shown, np.uint8)).save(body, "JPEG", quality=95)
    return body.getvalue()


def listed(root: Path, **options: object) -> Listing:
    return read_source(root, "isic", SourceOptions(**options))  # type: ignore[arg-type]


def test_rows_worked_by_hand(root: Path) -> None:
    listing = listed(root)
    assert listing.channels == 3
    assert listing.findings == ("Melanoma", "Seborrheic Keratosis", "Nevus")
    columns = ("image_id", "split", "age", "sex", *listing.findings)
    assert listing.frame.select(columns).rows() == [
        ("ISIC_0000000", "train", 55.0, "F", 0, 0, 1),
        ("ISIC_0000002", "train", None, None, 1, 0, 0),
        ("ISIC_0001769", "val", 35.0, "M", 0, 1, 0),
        ("ISIC_0012086", "test", None, "F", 0, 0, 1),
    ]
    assert listing.frame["file"][0] == "ISIC-2017_Training_Data/ISIC_0000000.jpg"
    assert listing.frame["view"].null_count() == 4
    assert listing.notes[0].startswith("nothing tells which images are of one patient")
    assert "4 image files are not in the table and are left out" in listing.notes  # superpixels


def test_x_mirs_coding_numbers_a_nevus_nought_and_a_melanoma_two(root: Path) -> None:
    ours, theirs = listed(root), listed(root, coding="x-mir")
    assert theirs.findings == ("Nevus", "Seborrheic Keratosis", "Melanoma")
    numbers = [
        table.frame.select(table.findings).to_numpy().argmax(axis=1).tolist()
        for table in (ours, theirs)
    ]
    assert numbers == [[2, 0, 1, 2], [0, 2, 1, 0]]
    assert ours.frame.equals(theirs.frame.select(ours.frame.columns))
    with pytest.raises(UsageError, match="'mine' is not a coding; choose from isic, x-mir"):
        listed(root, coding="mine")


def test_x_mirs_balanced_list_is_its_test_set_and_no_one_elses(root: Path) -> None:
    write(root, {TEST: lines(ISIC_HEADER, "ISIC_0012086,0.0,0.0", "ISIC_0012090,1.0,0.0"),
                 "ISIC-2017_Test_v2_Data/ISIC_0012090.jpg": b"jpeg",
                 BALANCED: lines(ISIC_HEADER, "ISIC_0012090,1.0,0.0")})  # fmt: skip
    theirs = listed(root, coding="x-mir")
    assert theirs.frame.filter(pl.col("split") == "test")["image_id"].to_list() == ["ISIC_0012090"]
    assert any("X-MIR's balanced list" in note for note in theirs.notes)
    assert listed(root).frame.filter(pl.col("split") == "test").height == 2


def test_parts_that_were_not_downloaded_are_left_out(root: Path) -> None:
    (root / "ISIC-2017_Validation_Data/ISIC_0001769.jpg").unlink()
    listing = listed(root)
    assert set(listing.frame["split"]) == {"train", "test"}
    assert "1 images of splits none of whose files is here are left out" in listing.notes
    (root / TEST).unlink()
    assert set(listed(root).frame["split"]) == {"train"}


def test_without_metadata_people_are_unknown(root: Path) -> None:
    (root / METADATA).unlink()
    listing = listed(root)
    assert listing.frame["age"].to_list() == [None, None, 35.0, None]
    assert any("no ISIC-2017_Training_Data_metadata.csv: ages and" in n for n in listing.notes)


def test_tables_may_lie_beside_the_images(root: Path) -> None:
    before = listed(root).frame
    (root / TRAIN).rename(root / "ISIC-2017_Training_Data" / TRAIN)
    assert listed(root).frame.equals(before)
    write(root, {TRAIN: lines(ISIC_HEADER, "ISIC_0000000,0.0,0.0")})
    with pytest.raises(SourceError, match=rf"{TRAIN}: found twice, as .* and .*; keep one of them"):
        listed(root)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("a,1.0,1.0",), r":2:seborrheic_keratosis: a cannot be a melanoma and a seborrheic kera"),
        (("a,0.5,0.0",), r":2:melanoma: expected 0\.0 or 1\.0, got '0\.5'"),
        (("a,,0.0",), r":2:melanoma: expected a value, got an empty cell"),
        (("a,0.0,0.0", "a,1.0,0.0"), r":3:image_id: 'a' has a line already"),
    ],
)
def test_a_bad_line_is_named_by_its_cell(root: Path, rows: tuple[str, ...], said: str) -> None:
    write(root, {TRAIN: lines(ISIC_HEADER, *rows)})
    with pytest.raises(SourceError, match=rf"{TRAIN}{said}"):
        listed(root)


def test_another_table_is_not_read_for_it(root: Path) -> None:
    write(root, {TRAIN: "image,MEL,NV\nISIC_0000000,1.0,0.0\n"})
    with pytest.raises(
        SourceError, match=r"expected a column 'image_id' and 'melanoma' and 'sebor"
    ):
        listed(root)


def test_a_bad_age_is_named_by_its_cell(root: Path) -> None:
    write(root, {METADATA: "image_id,age_approximate,sex\nISIC_0000000,old,male\n"})
    with pytest.raises(
        SourceError, match=r"metadata\.csv:2:age_approximate: expected an age, unkn"
    ):
        listed(root)


def test_an_image_in_two_splits_is_a_leak(root: Path) -> None:
    write(root, {TEST: lines(ISIC_HEADER, "ISIC_0000000,0.0,0.0")})
    with pytest.raises(LeakError, match="ISIC_0000000: is in the tables of train and test images"):
        listed(root)


def test_a_missing_file_is_named(root: Path) -> None:
    (root / "ISIC-2017_Training_Data/ISIC_0000002.jpg").unlink()
    with pytest.raises(SourceError, match="1 of 4 image files are missing: ISIC_0000002; complete"):
        listed(root)


# ------------------------------------------------------------------------ into a collection


def test_lesions_come_in_colour_unless_grey_is_asked_for(tmp_path: Path) -> None:
    source = isic(tmp_path / "isic", lesion)
    colour = ingest(source, tmp_path / "c.lance", layout="isic", size=16).collection
    grey = ingest(source, tmp_path / "g.lance", layout="isic", size=16, channels=1).collection
    assert colour.pixels().shape == (4, 16, 16, 3)
    assert grey.pixels().shape == (4, 16, 16)
    luma = colour.pixels() @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - grey.pixels()).mean() < 1.5


def test_lesions_come_into_a_grey_collection_only_when_it_is_said(tmp_path: Path) -> None:
    source, uri = isic(tmp_path / "isic", lesion), str(tmp_path / "c.lance")
    ingest(source, uri, layout="isic", size=16, channels=1, name="first")
    with pytest.raises(CollectionError, match=r"holds grey images and this source has colour; giv"):
        ingest(source, uri, layout="isic", name="first")
    assert ingest(source, uri, layout="isic", channels=1, name="first").already == 4


def test_the_command_reads_lesions_and_classes_have_x_mirs_numbers(tmp_path: Path) -> None:
    source, uri = isic(tmp_path / "isic", lesion), str(tmp_path / "c.lance")
    command = ["ingest", str(source), uri, "--layout", "isic", "--size", "16", "--coding", "x-mir"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    made = open_collection(uri)
    assert made.settings.channels == 3
    assert made.findings == ("Nevus", "Seborrheic Keratosis", "Melanoma")
    assert made.labels().values.argmax(axis=1).tolist() == [0, 2, 1, 0]
    bad = {"ISIC-2017_Training_Data/ISIC_0000000.jpg": b"\xff\xd8\xff not a lesion"}
    again = ["ingest", str(write(source, bad)), str(tmp_path / "d.lance"), "--layout", "isic"]
    assert CliRunner().invoke(app, [*again, "--size", "16"]).exit_code == 3  # in quarantine
