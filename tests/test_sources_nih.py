"""NIH ChestX-ray14: the quirks of its tables, and the counts of the real ones."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hilum.errors import LeakError, SourceError
from hilum.sources import Listing, SourceOptions, read_source
from hilum.sources.nih import FINDINGS
from reference_sources import nih_rows
from trees_sources import NIH_HEADER, NIH_ROWS, lines, nih, png, write

TABLE = "Data_Entry_2017_v2020.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return nih(tmp_path / "nih")


def table_of(root: Path, *rows: str, header: str = NIH_HEADER, **options: object) -> Listing:
    """List a table alone, without lists and boxes."""
    write(root, {TABLE: lines(header, *rows)})
    return read_source(root, "nih", SourceOptions(pixels=False, **options))  # type: ignore[arg-type]


def row_of(listing: Listing, image_id: str) -> dict[str, object]:
    return listing.frame.row(by_predicate=pl.col("image_id") == image_id, named=True)


def test_a_row_worked_by_hand(root: Path) -> None:
    row = row_of(read_source(root, "nih"), "00000001_000.png")
    present = {finding for finding in FINDINGS if row[finding] == 1}
    assert present == {"Cardiomegaly", "Pleural Effusion"}
    assert all(row[finding] == 0 for finding in set(FINDINGS) - present)
    expected = {
        "patient_id": "1",
        "study_id": "00000001_000",
        "visit": 1,  # follow-up 2 comes after follow-up 0, and before 5
        "age": 58.0,
        "sex": "M",
        "view": "PA",
        "split": "test",
        "file": "images_001/images/00000001_000.png",
        "boxes": [],
        "report_findings": None,
    }
    assert {key: row[key] for key in expected} == expected


def test_visits_follow_the_follow_up_number_and_not_the_file_name(root: Path) -> None:
    frame = read_source(root, "nih").frame
    visits = dict(frame.select("image_id", "visit").iter_rows())
    assert visits == {
        "00000001_000.png": 1,
        "00000001_001.png": 0,
        "00000001_002.png": 2,
        "00000002_000.png": 0,
    }


def test_boxes_are_in_pixels_of_the_file_and_infiltrate_is_infiltration(root: Path) -> None:
    row = row_of(read_source(root, "nih"), "00000001_002.png")
    assert row["boxes"] == [{"finding": "Infiltration", "x": 10.5, "y": 20.0, "w": 30.0, "h": 40.0}]


@pytest.mark.parametrize(
    ("header", "ending"),
    [
        (NIH_HEADER + ",", ","),  # older copies end every line with a comma
        (NIH_HEADER + ",", ""),
        ("\ufeff" + NIH_HEADER, ""),  # saved by a spreadsheet program
        (NIH_HEADER.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"'), ""),
        (NIH_HEADER.replace("[Width,Height]", "Width,OriginalImageHeight"), ""),
    ],
)
def test_every_known_header_reads_the_same(
    root: Path, tmp_path: Path, header: str, ending: str
) -> None:
    plain = table_of(tmp_path / "plain", *NIH_ROWS)
    rows = [row + ending for row in NIH_ROWS]
    assert table_of(tmp_path / "other", *rows, header=header).frame.equals(plain.frame)


def test_quoted_cells_and_windows_line_ends_and_gzip_read_the_same(tmp_path: Path) -> None:
    plain = table_of(tmp_path / "plain", *NIH_ROWS)
    quoted = [",".join(f'"{cell}"' for cell in row.split(",")) for row in NIH_ROWS]
    assert table_of(tmp_path / "quoted", *quoted).frame.equals(plain.frame)
    body = "\r\n".join([NIH_HEADER, *NIH_ROWS])
    write(tmp_path / "zipped", {f"{TABLE}.gz": gzip.compress(body.encode())})
    zipped = read_source(tmp_path / "zipped", "nih", SourceOptions(pixels=False))
    assert zipped.frame.equals(plain.frame)


@pytest.mark.parametrize(
    ("text", "years"),
    [("58", 58), ("058Y", 58), ("006M", 0.5), ("010D", 10 / 365.25), ("0", 0), ("120", 120)],
)
def test_ages_of_all_releases_are_years(tmp_path: Path, text: str, years: float) -> None:
    listing = table_of(tmp_path, f"a.png,Mass,0,1,{text},M,PA,1,1,1,1")
    assert listing.frame["age"][0] == pytest.approx(years)
    assert listing.notes[0].startswith("no train_val_list.txt")


def test_impossible_ages_are_unknown_and_counted(tmp_path: Path) -> None:
    rows = [f"{n}.png,Mass,0,{n},{age},M,PA,1,1,1,1" for n, age in enumerate(("414Y", "155", "9"))]
    listing = table_of(tmp_path, *rows)
    assert listing.frame["age"].to_list() == [None, None, 9.0]
    assert "2 ages above 120 years are unknown here" in listing.notes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "a.png,Mass|Rash,0,1,5,M,PA",
            r"csv:3:Finding Labels: expected labels among Atelec.*Rash'",
        ),
        ("a.png,Fracture,0,1,5,M,PA", r"csv:3:Finding Labels: expected labels .* got 'Fracture'"),
        ("a.png,No Finding|Mass,0,1,5,M,PA", r"csv:3:Finding Labels: expected No Finding to stan"),
        ("a.png,,0,1,5,M,PA", r"csv:3:Finding Labels: expected a value, got an empty cell"),
        ("a.png,Mass,x,1,5,M,PA", r"csv:3:Follow-up #: expected a whole number, got 'x'"),
        ("a.png,Mass,,1,5,M,PA", r"csv:3:Follow-up #: expected a value, got an empty cell"),
        ("a.png,Mass,0,1,old,M,PA", r"csv:3:Patient Age: expected an age such as 58 .* got 'old'"),
        (",Mass,0,1,5,M,PA", r"csv:3:Image Index: expected a value"),
        ("a.png,Mass,0,,5,M,PA", r"csv:3:Patient ID: expected a value"),
        (
            "a.png,Mass,0,1,5,M,PA\nb.png,Mass,0,1,5,M,PA",
            r"csv:4:Follow-up #: patient 1 has follow",
        ),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        table_of(tmp_path, "ok.png,Mass,0,9,5,M,PA", row)


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"csv:1: expected a column 'Patient Age', got 'Image I"):
        table_of(tmp_path, *NIH_ROWS, header=NIH_HEADER.replace("Patient Age", "Age"))


def test_an_unknown_view_or_sex_is_null_and_noted(tmp_path: Path) -> None:
    listing = table_of(tmp_path, "a.png,Mass,0,1,5,X,OBL,1,1,1,1")
    assert listing.frame.select("view", "sex").row(0) == (None, None)
    assert any("1 rows have a sex that is none of M, F ('X')" in note for note in listing.notes)
    assert any("view that is none of PA, AP, LATERAL ('OBL')" in note for note in listing.notes)


def test_an_image_in_neither_list_is_an_error(root: Path) -> None:
    (root / "train_val_list.txt").write_text("")
    message = (
        r"00000002_000\.png: in neither train_val_list\.txt nor test_list\.txt \(1 images are\)"
    )
    with pytest.raises(SourceError, match=message):
        read_source(root, "nih")


def test_an_image_in_both_lists_is_a_leak(root: Path) -> None:
    (root / "train_val_list.txt").write_text("00000002_000.png\n00000001_000.png")
    with pytest.raises(LeakError, match=r"00000001_000\.png: in train_val_list\.txt and in test_l"):
        read_source(root, "nih")


def test_a_patient_in_both_lists_is_a_leak(root: Path) -> None:
    (root / "train_val_list.txt").write_text("00000002_000.png\n00000001_000.png")
    (root / "test_list.txt").write_text("00000001_001.png\n00000001_002.png")
    with pytest.raises(LeakError, match=r"patient '1' has images in test and trainval; give all"):
        read_source(root, "nih")


def test_one_list_without_the_other_is_an_error(root: Path) -> None:
    (root / "test_list.txt").unlink()
    with pytest.raises(SourceError, match=r"there is train_val_list\.txt but no test_list\.txt"):
        read_source(root, "nih")


def test_the_whole_lists_and_boxes_serve_a_part_of_the_images(root: Path) -> None:
    write(root, {TABLE: lines(NIH_HEADER, *NIH_ROWS[:2])})
    listing = read_source(root, "nih")
    assert len(listing) == 2
    assert listing.notes == (
        "2 names in the lists are not in the table",
        "1 boxes are of images that are not in the table",
        "2 image files are not in the table and are left out",
    )


def test_missing_files_are_counted_and_named(root: Path) -> None:
    (root / "images_001/images/00000001_001.png").unlink()
    message = r"1 of 4 image files are missing: 00000001_001\.png; complete .*\(--no-pixels\)"
    with pytest.raises(SourceError, match=message):
        read_source(root, "nih")


def test_a_file_that_is_there_twice_is_an_error(root: Path) -> None:
    write(root, {"copy/00000001_001.png": png()})
    with pytest.raises(SourceError, match=r"found twice, as copy/00000001_001\.png and images_001"):
        read_source(root, "nih")


def test_a_linked_folder_of_images_is_not_followed_and_the_error_says_so(
    root: Path, tmp_path: Path
) -> None:
    (root / "images_012").rename(tmp_path / "elsewhere")
    (root / "images_012").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match=r"2 of 4 .* are missing \(1 links were not followed\)"):
        read_source(root, "nih")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (
            "00000001_002.png,Mass,1,2,0,4,,",
            r"BBox_List_2017\.csv:2:w: expected a number .* above 0",
        ),
        ("00000001_002.png,Mass,-1,2,3,4,,", r"csv:2:Bbox \[x: expected a number .* not below 0"),
        ("00000001_002.png,Mass,1,inf,3,4,,", r"csv:2:y: expected a number of pixels.* got 'inf'"),
        ("00000001_002.png,Mass,1,2,3,,,", r"csv:2:h\]: expected a value, got an empty cell"),
        ("00000001_002.png,Rash,1,2,3,4,,", r"row 3 \(00000001_002\.png\): box: expected a findin"),
    ],
)
def test_a_wrong_box_is_named(root: Path, box: str, message: str) -> None:
    write(root, {"BBox_List_2017.csv": lines("Image Index,Finding Label,Bbox [x,y,w,h],,,", box)})
    with pytest.raises(SourceError, match=message):
        read_source(root, "nih")


@given(order=st.permutations(range(len(NIH_ROWS))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
def test_the_order_of_the_lines_does_not_matter(tmp_path: Path, order: list[int]) -> None:
    plain = table_of(tmp_path, *NIH_ROWS).frame.sort("image_id")
    assert table_of(tmp_path, *(NIH_ROWS[i] for i in order)).frame.sort("image_id").equals(plain)


def test_the_real_sample_has_its_published_counts(data_dir: Path) -> None:
    listing = read_source(data_dir / "nih-sample", "nih")
    frame = listing.frame
    assert (len(listing), frame["patient_id"].n_unique()) == (1115, 893)
    assert dict(frame["split"].value_counts().iter_rows()) == {"trainval": 849, "test": 266}
    assert int(frame["boxes"].list.len().sum()) == 39
    assert listing.notes == ()
    counts = {
        "trainval": {"No Finding": 353, "Pneumonia": 242, "Infiltration": 140, "Atelectasis": 106,
                     "Pleural Effusion": 86, "Nodule": 60, "Consolidation": 57, "Edema": 55},
        "test": {"Pneumonia": 98, "No Finding": 87, "Infiltration": 64, "Pleural Effusion": 34,
                 "Atelectasis": 31, "Edema": 26},
    }  # fmt: skip
    for split, expected in counts.items():
        rows = frame.filter(pl.col("split") == split)
        assert {finding: rows[finding].sum() for finding in expected} == expected


def test_the_whole_real_table_has_its_published_counts(data_dir: Path) -> None:
    listing = read_source(data_dir / "metadata", "nih", SourceOptions(pixels=False))
    frame = listing.frame
    assert (len(listing), frame["patient_id"].n_unique()) == (112_120, 30_805)
    assert int((frame["visit"] > 0).sum()) == 81_315
    assert dict(frame["split"].value_counts().iter_rows()) == {"trainval": 86_524, "test": 25_596}
    boxes = frame["boxes"].list.len()
    assert (int(boxes.sum()), int((boxes > 0).sum())) == (984, 880)
    assert dict(frame["sex"].value_counts().iter_rows()) == {"M": 63_340, "F": 48_780}
    assert dict(frame["view"].value_counts().iter_rows()) == {"PA": 67_310, "AP": 44_810}
    assert {f: frame[f].sum() for f in ("No Finding", "Infiltration", "Hernia")} == {
        "No Finding": 60_361, "Infiltration": 19_894, "Hernia": 227,
    }  # fmt: skip
    later = frame.sort("patient_id", "visit")
    falls = later.filter(pl.col("age") < pl.col("age").shift(1).over("patient_id"))
    assert falls.is_empty(), "nobody grows younger along Follow-up #"


def test_the_whole_real_table_reads_as_a_row_by_row_reader_reads_it(data_dir: Path) -> None:
    folder = data_dir / "metadata"
    expected = nih_rows(folder / f"{TABLE}.gz")
    frame = read_source(folder, "nih", SourceOptions(pixels=False)).frame
    assert frame["image_id"].to_list() == list(expected)
    for column in ("patient_id", "visit", "age", "sex", "view"):
        assert frame[column].to_list() == [row[column] for row in expected.values()]
    for finding in FINDINGS:
        present = [int(finding in row["present"]) for row in expected.values()]  # type: ignore[operator]
        assert frame[finding].to_list() == present
