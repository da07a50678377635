"""A user's own table: columns mapped, cells named when wrong, files that must stay inside."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hilum.errors import ClashError, LeakError, SourceError, UsageError
from hilum.sources import Listing, SourceOptions, read_source
from hilum.sources.files import is_inside
from trees_sources import folder, lines, png, write


def table_of(root: Path, *rows: str, name: str = "table.csv", **options: Any) -> Listing:
    """Write a table and one file for each of a.png, b.png, c.png, and list them."""
    files = {f"{letter}.png": png() for letter in "abc"}
    write(root, {name: lines(*rows), **files})
    return read_source(root, "folder", SourceOptions(**options))


def test_rows_worked_by_hand(tmp_path: Path) -> None:
    listing = read_source(folder(tmp_path), "folder")
    assert listing.findings == ("Pneumonia", "Edema")
    first, second, third = listing.frame.rows(named=True)
    assert first == {
        "image_id": "a",
        "patient_id": "p1",
        "study_id": "p1_1",
        "visit": 1,  # visits 2 and 4 of the table are the patient's first and second
        "view": "PA",
        "age": 61.0,
        "sex": "M",
        "split": "train",
        "file": "x/a.png",
        "Pneumonia": 1,
        "Edema": 0,
        "boxes": [{"finding": "Pneumonia", "x": 1.0, "y": 2.0, "w": 3.0, "h": 4.5}],
        "report_findings": None,
        "report_impression": "Pneumonia.",
    }
    assert (second["visit"], second["Pneumonia"], second["Edema"]) == (0, -1, None)
    assert (third["age"], third["view"], third["report_impression"]) == (
        0.5, "LATERAL", "No change.",
    )  # fmt: skip
    assert listing.notes == ()


def test_a_file_column_is_enough_and_the_notes_say_what_was_assumed(tmp_path: Path) -> None:
    listing = table_of(tmp_path, "file,site", "a.png,north", "b.png,south")
    frame = listing.frame.select("image_id", "patient_id", "study_id", "visit")
    assert frame.rows() == [("a", "a", "a", 0), ("b", "b", "b", 0)]
    assert listing.findings == ()
    assert listing.notes[0].startswith("no patient_id: each image counts as a patient of its own")
    assert listing.notes[1] == "columns of table.csv that were not read: site"


def test_columns_are_mapped_by_option(tmp_path: Path) -> None:
    listing = table_of(
        tmp_path,
        "Image\tMRN\tPfad\tpneu",
        "i1\t007\ta.png\t1.0",
        name="meine.tsv",
        table="meine.tsv",
        columns={"image_id": "Image", "patient_id": "MRN", "file": "Pfad", "Pneumonia": "pneu"},
    )
    assert listing.frame.select("image_id", "patient_id", "file", "Pneumonia").row(0) == (
        "i1", "007", "a.png", 1,
    )  # fmt: skip


def test_findings_outside_the_vocabulary_are_named_by_option(tmp_path: Path) -> None:
    rows = ("file,Scoliosis,effusion,Edema", "a.png,1,0,-1")
    assert table_of(tmp_path, *rows).findings == ("Pleural Effusion", "Edema")
    listing = table_of(tmp_path, *rows, findings=("Scoliosis", "effusion"))
    assert listing.findings == ("Scoliosis", "Pleural Effusion")
    assert listing.frame.select(listing.findings).row(0) == (1, 0)


@pytest.mark.parametrize(
    ("dates", "visits"),
    [
        (("2017-03-28", "2016-12-31", "2017-03-28"), [1, 0, 1]),
        (("2017-03-28T14:05:00", "2017-03-28T14:04:59", "2017-03-28"), [2, 1, 0]),
    ],
)
def test_dates_order_the_visits(tmp_path: Path, dates: tuple[str, ...], visits: list[int]) -> None:
    rows = [f"{letter}.png,p,{date}" for letter, date in zip("abc", dates, strict=True)]
    frame = table_of(tmp_path, "file,patient_id,date", *rows).frame
    assert frame["visit"].to_list() == visits
    assert frame["study_id"].to_list() == [f"p_{visit}" for visit in visits]


def test_a_patient_with_an_undated_image_has_no_order_and_a_note(tmp_path: Path) -> None:
    rows = ("a.png,p,2017-03-28", "b.png,p,", "c.png,q,")
    listing = table_of(tmp_path, "file,patient_id,date", *rows)
    assert listing.frame["visit"].to_list() == [0, 0, 0]
    assert listing.notes == (
        "the order of the visits of 1 patients is unknown: all their images are visit 0",
    )


def test_splits_have_a_few_spellings(tmp_path: Path) -> None:
    rows = ("a.png,Valid", "b.png,train_val", "c.png,")
    assert table_of(tmp_path, "file,split", *rows).frame["split"].to_list() == [
        "val", "trainval", None,
    ]  # fmt: skip


def test_a_report_may_hold_line_ends_and_errors_still_name_the_right_line(tmp_path: Path) -> None:
    head = "file,report_findings,Edema"
    report = '"Clear lungs.\nNo effusion, no\n\npneumothorax."'
    listing = table_of(tmp_path, head, f"a.png,{report},0")
    assert listing.frame["report_findings"][0] == "Clear lungs.\nNo effusion, no\n\npneumothorax."
    with pytest.raises(SourceError, match=r"table\.csv:8:Edema: expected 1 \(present\).* got 'no'"):
        table_of(tmp_path, head, f"a.png,{report},0", "", "", "b.png,,no")


@pytest.mark.parametrize("cell", ["true", "yes", "2", "0.5", "nan", "x", "+1"])
def test_words_and_other_numbers_are_not_labels(tmp_path: Path, cell: str) -> None:
    message = rf"table\.csv:2:Edema: expected 1 .* got '{re.escape(cell)}'"
    with pytest.raises(SourceError, match=message):
        table_of(tmp_path, "file,Edema", f"a.png,{cell}")


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("file,age", "a.png,old", r"csv:2:age: expected an age such as 58, 58\.5.* got 'old'"),
        ("file,age", "a.png,-3", r"csv:2:age: expected an age"),
        ("file,split", "a.png,holdout", r"csv:2:split: expected train, val, test, trainval or an"),
        ("file,visit,patient_id", "a.png,-1,p", r"csv:2:visit: expected a whole number from 0, g"),
        ("file,date,patient_id", "a.png,28.3.2017,p", r"csv:2:date: expected a date such as 2017"),
        ("file,patient_id", "a.png,", r"csv:2:patient_id: expected a value, got an empty cell"),
        ("file,image_id", "a.png,", r"csv:2:image_id: expected a value, got an empty cell"),
        ("file,Edema", ",1", r"csv:2:file: expected a value, got an empty cell"),
        ("file,image_id", "a.png,a\tb", r"folder: row 1 \(a\tb\): image_id: expected 1 to 128 pr"),
        ("file,image_id", "a.png," + "x" * 129, r"image_id: expected 1 to 128 printable charact"),
        ("file,Edema,oedema", "a.png,1,1", r"csv:1: 'Edema' and 'oedema' are both Edema; leave"),
        ("file,Edema,Edema", "a.png,1,1", r"csv:1: the column 'Edema' is there twice"),
        ("image_id,Edema", "a,1", r"csv:1: expected a column 'file', got 'image_id', 'Edema'; or"),
        ("file", "a.png,1", r"table\.csv: expected a UTF-8 table .*more fields than defined"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, header: str, row: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        table_of(tmp_path, header, row)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"patient": "MRN"}}, r"'patient' is neither a column nor a finding; the colu"),
        ({"columns": {"patient_id": "MRN"}}, r"table\.csv has no column 'MRN'; its columns are 'f"),
        ({"findings": ("Rash",)}, r"'Rash' is not a column of labels in table\.csv; its columns"),
        ({"findings": ("file",)}, r"'file' is not a column of labels in table\.csv"),
        ({"columns": {"Edema": "file"}}, r"'file' is not a column of labels in table\.csv"),
    ],
)
def test_an_option_that_fits_nothing_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        table_of(tmp_path, "file,Edema", "a.png,1", **options)


@pytest.mark.parametrize(
    "file",
    ["../a.png", "/etc/passwd", "x/../../a.png", "./a.png", "x//a.png", "x\\a.png", "C:/a.png"],
)
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(SourceError, match=r"csv:2:file: expected a path inside the folder"):
        table_of(tmp_path, "file", file)


@given(file=st.text(st.sampled_from("ab./\\:\0~"), max_size=8))
@example("a/..")
@example("..")
def test_a_path_that_counts_as_inside_never_leaves(file: str) -> None:
    if is_inside(file):
        root = Path("/films/of/source")
        parts = (root / file).parts
        assert parts[: len(root.parts)] == root.parts
        assert len(parts) > len(root.parts)
        assert not {".", ".."} & set(parts)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere", {"secret.png": png()})
    root = tmp_path / "source"
    write(root, {"table.csv": lines("file", "x.png")})
    (root / "x.png").symlink_to(secret / "secret.png")
    with pytest.raises(SourceError, match=r"x\.png: this link leads out of .*; put the file insid"):
        read_source(root, "folder")
    write(root, {"table.csv": lines("file", "dir/sub/secret.png")})
    (root / "dir").mkdir()
    (root / "dir/sub").symlink_to(secret)
    with pytest.raises(SourceError, match=r"dir/sub/secret\.png: a link leads out of .*; put the"):
        read_source(root, "folder")


def test_a_link_that_stays_inside_is_a_file_like_any_other(tmp_path: Path) -> None:
    write(tmp_path, {"store/a.png": png(), "table.csv": lines("file", "x.png", "y/a.png")})
    (tmp_path / "x.png").symlink_to(tmp_path / "store/a.png")
    (tmp_path / "y").symlink_to(tmp_path / "store")
    assert len(read_source(tmp_path, "folder")) == 2


def test_missing_files_are_counted_and_the_first_named(tmp_path: Path) -> None:
    rows = [f"gone{n}.png" for n in range(7)]
    message = r"7 of 8 image files are missing: gone0\.png, .*gone4\.png, …; complete the folder"
    with pytest.raises(SourceError, match=message):
        table_of(tmp_path, "file", "a.png", *rows)
    (tmp_path / "gone0.png").mkdir()  # a folder is no file
    with pytest.raises(SourceError, match=r"7 of 8"):
        read_source(tmp_path, "folder")


def test_equal_file_names_need_ids(tmp_path: Path) -> None:
    with pytest.raises(ClashError, match=r"several files are called 'a' .* add a column image_id"):
        table_of(tmp_path, "file", "a.png", "x/a.png")


def test_a_patient_on_both_sides_of_a_split_is_a_leak(tmp_path: Path) -> None:
    head = "file,patient_id,split"
    with pytest.raises(LeakError, match=r"patient 'p' has images in test and train; give all"):
        table_of(tmp_path, head, "a.png,p,train", "b.png,p,test")
    with pytest.raises(LeakError, match=r"patient 'p' has images in test and no split"):
        table_of(tmp_path, head, "a.png,p,", "b.png,p,test")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("z,Pneumonia,1,2,3,4", r"boxes\.csv:2:image_id: 'z' is not in the table of images"),
        ("a,Pneumonia,1,2,3,zero", r"boxes\.csv:2:h: expected a number of pixels, above 0, got"),
        ("a,Pneumonia,1,2,nan,1", r"boxes\.csv:2:w: expected a number of pixels, above 0, got 'n"),
        ("a,Mass,1,2,3,4", r"box: expected a finding of this source \(Pneumonia, Edema\), got"),
        ("a,Pneumonia,1,2,3,1e9", r"row 1 \(a\): box: expected finite x and y from 0, and w and"),
    ],
)
def test_a_wrong_box_is_named(tmp_path: Path, box: str, message: str) -> None:
    write(folder(tmp_path), {"boxes.csv": lines("image_id,finding,x,y,w,h", box)})
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path, "folder")


def test_a_folder_without_a_table_is_a_pool_of_unlabelled_images(tmp_path: Path) -> None:
    write(tmp_path, {"x/b.PNG": png(), "a.jpeg": b"", "y/z/c.dcm": b"", "notes.txt": ""})
    listing = read_source(tmp_path, "folder")
    assert listing.frame.select("image_id", "file").rows() == [
        ("a.jpeg", "a.jpeg"),
        ("x__b.PNG", "x/b.PNG"),
        ("y__z__c.dcm", "y/z/c.dcm"),
    ]
    assert listing.notes[0] == "no table.csv: 3 image files without labels"


def test_a_file_name_that_is_not_utf8_is_left_out_and_noted(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": png(), os.fsdecode(b"\xff.png"): png()})
    listing = read_source(tmp_path, "folder")
    assert listing.frame["file"].to_list() == ["a.png"]
    assert "1 files whose names are not UTF-8 are left out" in listing.notes


def test_a_table_of_another_name_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": png(), "labels.csv": "file\na.png\n"})
    with pytest.raises(SourceError, match=r"no table\.csv, but labels\.csv; name the table with"):
        read_source(tmp_path, "folder")
    assert len(read_source(tmp_path, "folder", SourceOptions(table="labels.csv"))) == 1


def test_a_named_table_that_is_absent_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": png()})
    with pytest.raises(SourceError, match=r"expected the table labels\.csv"):
        read_source(tmp_path, "folder", SourceOptions(table="labels.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"table\.csv: expected a UTF-8 table with a header line .* empty CSV"),
        (b"file\n\xff\xfe.png\n", r"table\.csv: expected a UTF-8 table .* utf-8"),
        (b"file\n", r"folder: expected at least one image, got an empty table"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, {"table.csv": content})
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path, "folder")


@given(order=st.permutations(range(3)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=6)
def test_the_order_of_the_lines_does_not_matter(tmp_path: Path, order: list[int]) -> None:
    plain = read_source(folder(tmp_path), "folder").frame
    head, *rows = (tmp_path / "table.csv").read_text().splitlines()
    write(tmp_path, {"table.csv": lines(head, *(rows[i] for i in order))})
    assert read_source(tmp_path, "folder").frame.sort("image_id").equals(plain)
