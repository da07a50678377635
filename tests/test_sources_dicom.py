"""DICOM trees: nothing that identifies a patient gets out, and no bad file stops the listing."""

import os
import re
from pathlib import Path

import polars as pl
import pytest
from pydicom import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian

from hilum.errors import SourceError, UsageError
from hilum.pseudonyms import load_key, pseudonym
from hilum.sources import Listing, read_source
from hilum.sources.dicom_headers import Unread, read_header
from trees_sources import coded, dataset, dicom, lines, options, save, write

SECRETS = ("MRN-0001", "MRN-0002", "Garibaldi", "1.2.1", "1.2.2", "IM0001", "PA1", "2017", "2018")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return dicom(tmp_path / "export")


def listed(root: Path, **changes: object) -> Listing:
    return read_source(root, "dicom", options(root, "dicom", **changes))


def only(root: Path, **tags: object) -> dict[str, object]:
    """Return the row of a tree of one file with these tags."""
    save(dataset("1.2.9.1", **tags), root / "x/file")  # type: ignore[arg-type]
    return listed(root / "x", keep_ids=True).frame.row(0, named=True)


def test_rows_worked_by_hand_with_ids_kept(root: Path) -> None:
    frame = listed(root, keep_ids=True).frame
    columns = ("image_id", "patient_id", "study_id", "visit", "view", "age", "sex", "file")
    assert frame.select(columns).rows() == [
        ("1.2.1.1", "MRN-0001", "1.2.1", 1, "PA", 58.0, "F", "PA1/IM0001"),
        ("1.2.1.2", "MRN-0001", "1.2.1", 1, "PA", 58.0, "F", "PA1/IM0002.dcm"),
        ("1.2.2.1", "MRN-0001", "1.2.2", 0, "AP", 58.0, "F", "PA1/IM0003"),
        ("1.2.3.1", "MRN-0002", "1.2.3", 0, "LATERAL", 58.0, "F", "PA2/IM0001"),
    ]


def test_nothing_that_identifies_a_patient_is_in_the_listing(root: Path) -> None:
    write(root, {"PA1/broken.dcm": b"\0" * 128 + b"DICMMRN-0001"})
    listing = listed(root)
    text = f"{listing!r}{listing.frame.write_ndjson()}{listing.notes}{listing.rejected}"
    text = text.replace(str(listing.root), "")
    assert not [secret for secret in SECRETS if secret in text]
    assert listing.frame["file"].null_count() == 4
    assert all(re.fullmatch(r"[0-9a-f]{16}", i) for i in listing.frame["image_id"])


def test_the_order_of_the_rows_does_not_tell_the_order_of_the_files(root: Path) -> None:
    for number in range(20):
        save(dataset(f"1.2.5.{number}"), root / f"PA5/IM{number:04}")
    ids = listed(root).frame["image_id"].to_list()
    assert ids == sorted(ids)


def test_pseudonyms_are_keyed_and_kept_from_one_listing_to_the_next(
    root: Path, tmp_path: Path
) -> None:
    first = listed(root)
    assert first.frame.equals(listed(root).frame)
    key = load_key(tmp_path / "test.key")
    assert set(first.frame["patient_id"]) == {
        pseudonym(key, "patient", "MRN-0001"),
        pseudonym(key, "patient", "MRN-0002"),
    }
    other = listed(root, key_file=tmp_path / "other.key")
    assert not set(first.frame["patient_id"]) & set(other.frame["patient_id"])


def test_the_rows_of_hidden_ids_are_those_of_kept_ids(root: Path, tmp_path: Path) -> None:
    hidden, kept = listed(root), listed(root, keep_ids=True)
    key = load_key(tmp_path / "test.key")
    for row in kept.frame.rows(named=True):
        image_id = pseudonym(key, "image", row["image_id"])
        (other,) = [r for r in hidden.frame.rows(named=True) if r["image_id"] == image_id]
        assert all(other[c] == row[c] for c in ("visit", "view", "age", "sex"))
        assert other["study_id"] == pseudonym(key, "study", row["study_id"])
        ours, theirs = pl.Series([image_id]), pl.Series([row["image_id"]])
        assert list(hidden.paths(ours)) == list(kept.paths(theirs))


@pytest.mark.parametrize(
    ("tags", "age"),
    [
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "58Y"}, 58.0),
        ({"PatientAge": None, "PatientBirthDate": "19580328"}, 59.0),
        ({"PatientAge": "", "PatientBirthDate": "1958.03.28"}, 59.0),
        ({"PatientAge": None, "PatientBirthDate": "20200101"}, None),
        ({"PatientAge": None, "PatientBirthDate": "unknown"}, None),
        ({"PatientAge": "155Y"}, None),
        ({"PatientAge": None}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_ages_come_from_the_tag_or_from_the_birth_date(
    tmp_path: Path, tags: dict[str, object], age: float | None
) -> None:
    found = only(tmp_path, **tags)["age"]
    assert found == (age if age is None else pytest.approx(age, abs=0.01))


@pytest.mark.parametrize(
    ("tags", "view"),
    [
        ({"ViewPosition": "AP"}, "AP"),
        ({"ViewPosition": "RL"}, "LATERAL"),
        ({"ViewPosition": None, "ViewCodeSequence": coded("272479007")}, "PA"),
        ({"ViewPosition": "", "ViewCodeSequence": coded("R-10206")}, "AP"),
        ({"ViewPosition": "", "ViewCodeSequence": coded("399198007")}, "LATERAL"),
        ({"ViewPosition": "", "ViewCodeSequence": coded("399033003")}, None),
        ({"ViewPosition": None}, None),
        ({"ViewPosition": "LLO"}, None),
    ],
)
def test_views_come_from_the_tag_or_from_the_code(
    tmp_path: Path, tags: dict[str, object], view: str | None
) -> None:
    assert only(tmp_path, **tags)["view"] == view


@pytest.mark.parametrize("sex", ["O", "", None])
def test_another_sex_is_unknown(tmp_path: Path, sex: str | None) -> None:
    assert only(tmp_path, PatientSex=sex)["sex"] is None


def test_visits_follow_the_date_then_the_time_then_other_dates(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    for image, study, tags in (
        ("1", "1.2", {"StudyDate": "20170102", "StudyTime": "0900"}),
        ("2", "1.3", {"StudyDate": "20170102", "StudyTime": "085959.5"}),
        ("3", "1.4", {"StudyDate": None, "AcquisitionDate": "20161231"}),
        ("5", "1.6", {"StudyDate": "20180101", "AcquisitionDate": "20160101"}),
        ("4", "1.5", {"StudyDate": "", "ContentDate": "20170103"}),
    ):
        save(dataset(f"1.2.{image}", study, **tags), tree / image)
    frame = listed(tree, keep_ids=True).frame
    assert dict(frame.select("study_id", "visit").iter_rows()) == {
        "1.4": 0, "1.3": 1, "1.2": 2, "1.5": 3, "1.6": 4,
    }  # fmt: skip


def test_a_patient_with_an_undated_study_has_no_order_and_a_note(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    save(dataset("1.2.1", "1.2"), tree / "1")
    save(dataset("1.2.2", "1.3", StudyDate=None), tree / "2")
    listing = listed(tree)
    assert listing.frame["visit"].to_list() == [0, 0]
    assert "the order of the visits of 1 patients is unknown" in listing.notes[-1]


def test_other_files_are_left_out_and_counted(root: Path) -> None:
    save(dataset("1.2.7.1", Modality="CT"), root / "PA3/IM0001")
    save(dataset("1.2.7.2", Modality="DX"), root / "PA3/IM0002")
    save(dataset("1.2.7.3", SOPClassUID="1.2.840.10008.1.3.10"), root / "DICOMDIR")
    (root / "link").symlink_to(root / "PA1")
    listing = listed(root)
    assert len(listing) == 5
    assert listing.rejected == ()
    assert listing.notes == (
        "1 files that are not DICOM are left out",
        "1 DICOMDIR files are not followed",
        "1 DICOM files of other modalities than CR, DX, RG are left out",
        "1 links were not followed",
    )
    assert len(listed(root, modalities=("CT",))) == 1


def test_broken_files_are_rejected_with_a_reason_and_stop_nothing(root: Path) -> None:
    whole = (root / "PA1/IM0001").read_bytes()
    write(root, {"a.dcm": b"text", "b.dcm": whole[:300], "d.dcm": b""})
    deflated = dataset("1.2.8.1")
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(root / "c.dcm", deflated, enforce_file_format=True)
    listing = listed(root, keep_ids=True)
    assert len(listing) == 4
    reasons = {rejected.name: rejected.reason for rejected in listing.rejected}
    assert reasons == {
        "a.dcm": "not-dicom",
        "b.dcm": "no-image",
        "c.dcm": "deflated",
        "d.dcm": "not-dicom",
    }


def test_every_truncation_of_a_file_is_a_header_or_a_reason(root: Path, tmp_path: Path) -> None:
    whole = (root / "PA1/IM0001").read_bytes()
    for size in range(0, len(whole), 7):
        cut = write(tmp_path, {"cut": whole[:size]}) / "cut"
        found = read_header(cut)
        assert "MRN" not in found.message if isinstance(found, Unread) else True


def test_odd_values_are_neither_printed_nor_logged(
    root: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = (root / "PA2/IM0001").read_bytes().replace(b"20170328", b"MRN-0001")
    assert b"1.2.3" in raw  # pydicom quotes unique identifiers that are none
    write(root, {"PA2/IM0001": raw.replace(b"1.2.3", b"MRN-1").replace(b"058Y", b"\xff\xfe\\M")})
    caplog.clear()
    assert listed(root).rejected == ()
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_an_unreadable_file_is_rejected(root: Path) -> None:
    found = read_header(root / "nowhere")
    assert found == Unread("unreadable", "the file cannot be opened (FileNotFoundError)")


def test_a_file_name_that_is_not_utf8_is_no_obstacle(root: Path) -> None:
    odd = os.fsdecode(b"IM\xff1")
    save(dataset("1.2.6.1"), root / odd)
    write(root, {f"x{odd}.dcm": b"no"})
    for keep in (False, True):
        listing = listed(root, keep_ids=keep)
        assert len(listing) == 5
        assert root / odd in list(listing.paths(listing.frame["image_id"]))
        assert [r.reason for r in listing.rejected] == ["not-dicom"]
        assert listing.rejected[0].name.isascii()


def test_identical_copies_are_one_image(root: Path) -> None:
    write(root, {"copy/IM0001": (root / "PA1/IM0001").read_bytes()})
    listing = listed(root)
    assert len(listing) == 4
    assert listing.rejected == ()


def test_different_files_with_one_id_are_all_rejected(root: Path) -> None:
    save(dataset("1.2.1.1", PatientSex="M"), root / "PA9/IM0001")
    listing = listed(root, keep_ids=True)
    assert len(listing) == 3
    assert [(r.name, r.reason) for r in listing.rejected] == [
        ("PA1/IM0001", "clash"), ("PA9/IM0001", "clash"),
    ]  # fmt: skip
    assert listing.rejected[0].message == (
        "2 different files have one SOPInstanceUID; keep the right one"
    )


@pytest.mark.parametrize(("tag", "reason"), [("Modality", "no-modality"), ("Rows", "no-image")])
def test_a_header_without_a_needed_tag_is_rejected(root: Path, tag: str, reason: str) -> None:
    save(dataset("1.2.6.1", **{tag: None}), root / "a")  # type: ignore[arg-type]
    assert [rejected.reason for rejected in listed(root).rejected] == [reason]


def test_a_real_directory_is_not_followed(root: Path) -> None:
    from pydicom.data import get_testdata_file

    found = get_testdata_file("DICOMDIR", download=False)
    write(root, {"DICOMDIR": Path(str(found)).read_bytes()})
    listing = listed(root)
    assert len(listing) == 4
    assert "1 DICOMDIR files are not followed" in listing.notes


@pytest.mark.filterwarnings("ignore:The value length")
def test_ids_that_are_absent_or_not_sane_are_rejected_without_repeating_them(root: Path) -> None:
    save(dataset("1.2.6.1", patient="x" * 200), root / "long.dcm")
    nameless = dataset("1.2.6.2", SOPInstanceUID="")
    nameless.preamble = b"\0" * 128
    nameless.save_as(root / "nameless.dcm", enforce_file_format=False)
    rejected = {r.name: r for r in listed(root, keep_ids=True).rejected}
    assert rejected["long.dcm"].reason == "bad-id"
    assert "xx" not in rejected["long.dcm"].message
    assert rejected["nameless.dcm"].reason == "no-image-id"


def test_an_image_without_a_patient_is_a_patient_by_its_study_and_a_note(root: Path) -> None:
    save(dataset("1.2.6.1", "1.2.6", patient=""), root / "a")
    save(dataset("1.2.6.2", "1.2.6", PatientID=None), root / "b")
    listing = listed(root)
    assert listing.frame["patient_id"].n_unique() == 3
    assert "2 images have no PatientID: each of their studies counts" in listing.notes[1]


def test_a_study_of_two_patients_is_parted(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    save(dataset("1.2.1", "1.9", "p"), tree / "1")
    save(dataset("1.2.2", "1.9", "q"), tree / "2")
    listing = listed(tree, keep_ids=True)
    assert listing.frame["study_id"].to_list() == ["p/1.9", "q/1.9"]
    assert "1 studies hold images of several patients" in listing.notes


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        ("SOPInstanceUID,Edema", ("1.2.1.1,1", "1.2.3.1,-1"), [1, None, None, -1]),
        ("StudyInstanceUID,Edema", ("1.2.1,1", "1.2.3,0"), [1, 1, None, 0]),
        ("AccessionNumber,Edema", ("A7,1",), [None, None, 1, None]),
        ("study_id,Edema,remark", ("1.2.1,1,x",), [1, 1, None, None]),
    ],
)
def test_a_label_table_is_joined_by_image_study_or_accession(
    root: Path, tmp_path: Path, header: str, rows: tuple[str, ...], expected: list[int | None]
) -> None:
    save(dataset("1.2.2.1", "1.2.2", ViewPosition="AP", AccessionNumber="A7"), root / "PA1/IM0003")
    table = write(tmp_path, {"labels.csv": lines(header, *rows, "elsewhere,0")}) / "labels.csv"
    listing = listed(root, keep_ids=True, labels=table)
    assert listing.findings == ("Edema",)
    assert listing.frame["Edema"].to_list() == expected
    assert "1 lines of labels.csv belong to no image here" in listing.notes
    assert f"{expected.count(None)} images have no line in labels.csv" in listing.notes[-1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            lines("study_id,Edema", "MRN-1,1", "MRN-1,0"),
            r"csv:3:study_id: this study has a line ",
        ),
        (lines("patient,Edema", "MRN-1,1"), r"csv:1: expected one of the columns image_id, SOPIns"),
        (lines("study_id,Rash", "MRN-1,1"), r"csv:1: no column is a finding of the vocabulary"),
        (lines("study_id,Edema", "MRN-1,yes"), r"csv:2:Edema: expected 1 \(present\).*got 'yes'"),
    ],
)
def test_a_wrong_label_table_is_named_without_identifiers(
    root: Path, tmp_path: Path, table: str, message: str
) -> None:
    path = write(tmp_path, {"labels.csv": table}) / "labels.csv"
    with pytest.raises(SourceError, match=message) as caught:
        listed(root, labels=path)
    assert "MRN" not in str(caught.value)


def test_label_columns_are_mapped_by_option(root: Path, tmp_path: Path) -> None:
    path = write(tmp_path, {"l.csv": lines("Studie;ID,Befund", "1.2.1,1")}) / "l.csv"
    columns = {"study_id": "Studie;ID", "Pneumonia": "Befund"}
    listing = listed(root, labels=path, columns=columns)
    assert listing.findings == ("Pneumonia",)
    assert listing.frame["Pneumonia"].sum() == 2


def test_a_tree_of_other_modalities_says_what_it_found(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    save(dataset("1.2.7.1", Modality="CT"), tree / "a")
    write(tree, {"b.dcm": b"no"})
    message = r"modality CR, DX, RG; 1 DICOM files of other modalities.*; 1 rejected \[not-dicom\]"
    with pytest.raises(SourceError, match=message):
        listed(tree)


def test_a_key_file_that_others_may_read_is_refused(root: Path, tmp_path: Path) -> None:
    listed(root)
    (tmp_path / "test.key").chmod(0o644)
    with pytest.raises(UsageError, match=r"test\.key: others may read the pseudonym key \(mode"):
        listed(root)


def test_the_radiographs_of_pydicom_are_listed(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    folder = tmp_path / "real"
    folder.mkdir()
    for name in ("RG1_UNCR.dcm", "RG3_UNCR.dcm"):
        found = get_testdata_file(name, download=False)
        if found is None:
            pytest.skip(f"{name} is not installed (pip install pydicom-data)")
        (folder / name).write_bytes(Path(str(found)).read_bytes())
    assert len(listed(folder)) == 2
