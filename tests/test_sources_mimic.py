"""MIMIC-CXR-JPG: order by date and time alone, joined tables, labels per study, reports apart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import LeakError, SourceError
from hilum.sources import Listing, SourceOptions, mimic_reports, read_source
from trees_reports import (
    MIMIC_FINDINGS,
    MIMIC_LABELS,
    MIMIC_METADATA,
    MIMIC_REPORTS,
    MIMIC_ROWS,
    MIMIC_SPLIT,
    mimic,
    mimic_files,
    table,
)
from trees_sources import lines, write

METADATA = "mimic-cxr-2.0.0-metadata.csv"
SPLIT = "mimic-cxr-2.0.0-split.csv"
LABELS = "mimic-cxr-2.0.0-chexpert.csv"
NEGBIO = "mimic-cxr-2.0.0-negbio.csv.gz"
RADIOLOGIST = "mimic-cxr-2.1.0-test-set-labeled.csv"
TABLES_ALONE = SourceOptions(pixels=False)
COLUMNS = MIMIC_METADATA.split(",")


def image(
    dicom: str, subject: str = "10000032", study: str = "50000001", **cells: str
) -> dict[str, str]:
    """Return a line of the metadata."""
    ids = {"dicom_id": dicom, "subject_id": subject, "study_id": study, "ViewPosition": "PA"}
    return {**ids, "StudyDate": "21800506", "StudyTime": "120000.0", **cells}


def metadata(*rows: Mapping[str, str]) -> dict[str, str]:
    return {METADATA: table(rows, tuple(COLUMNS))}


def tables_of(root: Path, *rows: Mapping[str, str]) -> Listing:
    write(root, metadata(*rows))
    return read_source(root, "mimic", TABLES_ALONE)


def row_of(listing: Listing, image_id: str) -> dict[str, Any]:
    return listing.frame.row(by_predicate=pl.col("image_id") == image_id, named=True)


# --------------------------------------------------------------------------- rows


def test_rows_worked_by_hand(tmp_path: Path) -> None:
    listing = read_source(mimic(tmp_path), "mimic")
    row = row_of(listing, "02aa804e-02")
    expected = {
        "patient_id": "p10000032",
        "study_id": "s50414267",
        "visit": 1,  # 21:30 of the day on which s53189527 was at 8:05
        "view": "LATERAL",
        "age": None,
        "sex": None,
        "split": "train",
        "file": "files/p10/p10000032/s50414267/02aa804e-02.jpg",
        "No Finding": 1,
        "Edema": None,
        "report_findings": "The lungs are clear.",
        "report_impression": "No acute cardiopulmonary process.",
    }
    assert {key: row[key] for key in expected} == expected
    assert listing.findings == MIMIC_FINDINGS
    assert listing.notes == (
        "no patients.csv of MIMIC-IV: age and sex are unknown",
        "1 studies have no report",
    )


def test_studies_are_in_the_order_of_date_and_time_and_not_of_their_numbers(
    tmp_path: Path,
) -> None:
    frame = read_source(mimic(tmp_path), "mimic").frame
    assert frame["visit"].to_list() == [1, 1, 0, 0]
    assert frame["split"].to_list() == ["train", "train", "train", "val"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["21800506", "21800507", "21791231"]),
            st.sampled_from(["0.0", "509", "80556.875", "93847.5", "213014.531", "235959.999"]),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=40)
def test_visits_are_the_ranks_of_the_moments(
    tmp_path_factory: pytest.TempPathFactory, studies: list[tuple[int, str, str]]
) -> None:
    rows = [
        image(f"d{n}", f"1000000{patient}", f"5000000{n}", StudyDate=date, StudyTime=time)
        for n, (patient, date, time) in enumerate(studies)
    ]
    frame = tables_of(tmp_path_factory.mktemp("m"), *rows).frame
    moments = [(patient, (int(date), float(time))) for patient, date, time in studies]
    for (patient, moment), visit in zip(moments, frame["visit"], strict=True):
        earlier = {other for p, other in moments if p == patient and other < moment}
        assert visit == len(earlier)


def test_images_of_a_study_share_its_earliest_moment(tmp_path: Path) -> None:
    listing = tables_of(
        tmp_path,
        image("a", study="50000001", StudyTime="100000.0"),
        image("b", study="50000001", StudyTime="120000.0"),
        image("c", study="50000002", StudyTime="110000.0"),
        image("d", study="50000002", StudyTime=""),
    )
    assert listing.frame["visit"].to_list() == [0, 0, 1, 1]


def test_a_missing_date_leaves_the_order_unknown(tmp_path: Path) -> None:
    listing = tables_of(
        tmp_path,
        image("a", study="50000001", StudyDate=""),
        image("b", study="50000002"),
        image("c", "10000033", "50000003", StudyTime=""),
    )
    assert listing.frame["visit"].to_list() == [0, 0, 0]
    assert listing.notes[0].startswith("the order of the visits of 1 patients is unknown")


def test_blank_views_are_unknown_without_a_note_and_rare_ones_with_one(tmp_path: Path) -> None:
    views = ("AP", "PA", "LATERAL", "LL", "", "SWIMMERS", "AP LLD")
    rows = [image(f"d{n}", ViewPosition=view) for n, view in enumerate(views)]
    listing = tables_of(tmp_path, *rows)
    assert listing.frame["view"].to_list() == ["AP", "PA", "LATERAL", "LATERAL", None, None, None]
    assert listing.notes[0] == (
        "2 rows have a view that is none of PA, AP, LATERAL ('AP LLD', 'SWIMMERS'): unknown here"
    )


def test_tables_of_either_version_plain_or_gzipped_read_the_same(tmp_path: Path) -> None:
    plain = read_source(mimic(tmp_path), "mimic", TABLES_ALONE)
    for file in list(tmp_path.glob("mimic-cxr-2.0.0-*")):
        file.rename(tmp_path / file.name.replace("2.0.0", "2.1.0"))
    assert read_source(tmp_path, "mimic", TABLES_ALONE).frame.equals(plain.frame)
    write(tmp_path, {METADATA: ""})
    with pytest.raises(
        SourceError,
        match=r"mimic-cxr-2\.0\.0-metadata\.csv and mimic-cxr-2\.1\.0-metadata\.csv are both tabl",
    ):
        read_source(tmp_path, "mimic", TABLES_ALONE)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"subject_id": "1000003"}, r"metadata\.csv:3:subject_id: expected a number of eight digi"),
        ({"study_id": "s50000001"}, r"metadata\.csv:3:study_id: expected a number of eight digits"),
        (
            {"dicom_id": "../x"},
            r"metadata\.csv:3:dicom_id: expected letters, digits and hyphens, g",
        ),
        ({"dicom_id": ""}, r"metadata\.csv:3:dicom_id: expected a value, got an empty cell"),
        (
            {"dicom_id": "ok"},
            r"metadata\.csv:3:dicom_id: 'ok' has a line already; keep one of them",
        ),
        ({"StudyDate": "2180-05-06"}, r"csv:3:StudyDate: expected a date such as 21800506, got '2"),
        ({"StudyTime": "noon"}, r"metadata\.csv:3:StudyTime: expected a time such as 213014\.531"),
        (
            {"StudyTime": "240000"},
            r"metadata\.csv:3:StudyTime: expected a time such as 213014\.531",
        ),
        ({"subject_id": "10000033"}, r"study_id: expected a study to have one patient"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    tmp_path: Path, cells: dict[str, str], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        tables_of(tmp_path, image("ok"), image("d") | cells)


# --------------------------------------------------------------------------- split


SPLIT_HEAD = "dicom_id,study_id,subject_id,split"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (MIMIC_SPLIT[1:], r"split\.csv: 1 images of the metadata have no line, first 02aa804e-01;"),
        ((*MIMIC_SPLIT, MIMIC_SPLIT[0]), r"split\.csv:6:dicom_id: '02aa804e-01' has a line alr"),
        (("02aa804e-01,1,10000032,valid",), r"split\.csv:2:split: expected train, validate or te"),
        (("02aa804e-01,1,10000032,",), r"split\.csv:2:split: expected a value, got an empty cell"),
        (
            ("02aa804e-01,50414267,10000764,train", *MIMIC_SPLIT[1:]),
            r"split\.csv:2:subject_id: expected p10000032 for 02aa804e-01 as in the metadata, go",
        ),
    ],
)
def test_a_split_that_does_not_fit_is_refused(
    tmp_path: Path, rows: tuple[str, ...], message: str
) -> None:
    mimic(tmp_path)
    write(tmp_path, {SPLIT: lines(SPLIT_HEAD, *rows)})
    (tmp_path / f"{SPLIT}.gz").unlink()
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path, "mimic", TABLES_ALONE)


def test_a_patient_on_both_sides_is_a_leak(tmp_path: Path) -> None:
    rows = (MIMIC_SPLIT[0].replace("train", "test"), *MIMIC_SPLIT[1:])
    write(mimic(tmp_path), {SPLIT: lines(SPLIT_HEAD, *rows)})
    (tmp_path / f"{SPLIT}.gz").unlink()
    with pytest.raises(LeakError, match=r"patient 'p10000032' has images in test and train"):
        read_source(tmp_path, "mimic", TABLES_ALONE)


def test_no_split_is_noted_and_lines_of_others_are_counted(tmp_path: Path) -> None:
    mimic(tmp_path)
    write(tmp_path, {SPLIT: lines(SPLIT_HEAD, *MIMIC_SPLIT, "other,50000009,10000009,test")})
    (tmp_path / f"{SPLIT}.gz").unlink()
    listing = read_source(tmp_path, "mimic", TABLES_ALONE)
    assert f"1 lines of {SPLIT} are of images not in the metadata" in listing.notes
    (tmp_path / SPLIT).unlink()
    listing = read_source(tmp_path, "mimic", TABLES_ALONE)
    assert listing.frame["split"].null_count() == 4
    assert "no mimic-cxr-2.0.0-split.csv: the images have no split" in listing.notes


# --------------------------------------------------------------------------- labels


def test_every_image_has_the_labels_of_its_study(tmp_path: Path) -> None:
    frame = read_source(mimic(tmp_path), "mimic").frame
    assert frame["No Finding"].to_list() == [1, 1, None, None]
    assert frame["Edema"].to_list() == [None, None, -1, None]
    assert frame["Pneumonia"].to_list() == [None, None, 0, None]
    assert frame["Consolidation"].to_list() == [None, None, None, 1]


def test_negbios_labels_are_read_by_name_or_alone(tmp_path: Path) -> None:
    other = (MIMIC_LABELS[0] | {"No Finding": "", "Edema": "1.0"}, *MIMIC_LABELS[1:])
    columns = ("subject_id", "study_id", *MIMIC_FINDINGS)
    write(mimic(tmp_path), {NEGBIO.removesuffix(".gz"): table(other, columns)})
    both = read_source(tmp_path, "mimic", TABLES_ALONE)
    assert both.frame["Edema"][0] is None
    note = "labels come from mimic-cxr-2.0.0-chexpert.csv, not mimic-cxr-2.0.0-negbio.csv; name it"
    assert any(text.startswith(note) for text in both.notes)
    named = SourceOptions(pixels=False, table=NEGBIO.removesuffix(".gz"))
    assert read_source(tmp_path, "mimic", named).frame["Edema"][0] == 1
    (tmp_path / LABELS).unlink()
    assert read_source(tmp_path, "mimic", TABLES_ALONE).frame["Edema"][0] == 1


def test_the_radiologists_labels_of_version_two_one_are_read(tmp_path: Path) -> None:
    text = lines("study_id,No Findings,Airspace Opacity,Edema", "57375967,0,1,-1.0")
    write(mimic(tmp_path), {RADIOLOGIST: text})
    listing = read_source(tmp_path, "mimic", SourceOptions(pixels=False, table=RADIOLOGIST))
    assert listing.findings == ("No Finding", "Lung Opacity", "Edema")
    assert listing.frame["Lung Opacity"].to_list() == [None, None, None, 1]
    assert f"2 studies have no line in {RADIOLOGIST}: their labels are unknown" in listing.notes


def test_without_labels_there_are_no_findings(tmp_path: Path) -> None:
    (mimic(tmp_path) / LABELS).unlink()
    listing = read_source(tmp_path, "mimic")
    assert listing.findings == ()
    note = "no mimic-cxr-2.0.0-chexpert.csv or -negbio.csv: the images have no labels"
    assert note in listing.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines("subject_id,Edema"), r"chexpert\.csv:1: expected a column 'study_id', got 'subj"),
        (
            lines("study_id,note", "50414267,x"),
            r"chexpert\.csv:1: no column is a finding, got study",
        ),
        (lines("study_id,Edema", "50414267,x"), r"chexpert\.csv:2:Edema: expected 1 \(present\)"),
        (lines("study_id,Edema", "50414267,1", "50414267,0"), r"csv:3:study_id: 's50414267' has a"),
        (
            lines("subject_id,study_id,Edema", "10000764,50414267,1"),
            r"chexpert\.csv:2:subject_id: expected p10000032 for s50414267 as in the metadata, got",
        ),
    ],
)
def test_labels_that_cannot_be_read_are_refused(tmp_path: Path, text: str, message: str) -> None:
    write(mimic(tmp_path), {LABELS: text})
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path, "mimic", TABLES_ALONE)


def test_a_table_of_labels_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no table of labels mine\.csv \(or \.gz\)"):
        read_source(mimic(tmp_path), "mimic", SourceOptions(table="mine.csv"))


# --------------------------------------------------------------------------- people


PEOPLE = "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod"


def test_ages_are_counted_from_the_anchor_year(tmp_path: Path) -> None:
    people = lines(PEOPLE, "10000032,F,52,2180,2014 - 2016,", "10000764,M,86,2134,2014 - 2016,")
    write(mimic(tmp_path), {"patients.csv": people})
    listing = read_source(tmp_path, "mimic", TABLES_ALONE)
    assert listing.frame["age"].to_list() == [52.0, 52.0, 52.0, 84.0]  # 86 in 2134, so 84 in 2132
    assert listing.frame["sex"].to_list() == ["F", "F", "F", "M"]


def test_people_who_are_not_in_the_table_and_those_over_89_are_noted(tmp_path: Path) -> None:
    write(mimic(tmp_path), {"patients.csv": lines(PEOPLE, "10000764,M,91,2130,x,")})
    listing = read_source(tmp_path, "mimic", TABLES_ALONE)
    assert listing.frame["age"].to_list() == [None, None, None, 93.0]
    assert "1 patients are not in patients.csv" in listing.notes
    assert (
        "1 images are of patients over 89, whose age patients.csv counts from 91" in listing.notes
    )


def test_an_age_below_zero_is_unknown(tmp_path: Path) -> None:
    write(mimic(tmp_path), {"patients.csv": lines(PEOPLE, "10000764,M,20,2190,x,")})
    listing = read_source(tmp_path, "mimic", TABLES_ALONE)
    assert listing.frame["age"].null_count() == 4
    assert "1 ages below 0 years are unknown here" in listing.notes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ("10000032,F,old,2180,x,",),
            r"patients\.csv:2:anchor_age: expected a whole number, got 'o",
        ),
        (
            ("10000032,F,5,2180,x,",) * 2,
            r"patients\.csv:3:subject_id: 'p10000032' has a line alrea",
        ),
    ],
)
def test_a_table_of_people_that_cannot_be_read_is_named(
    tmp_path: Path, rows: tuple[str, ...], message: str
) -> None:
    write(mimic(tmp_path), {"patients.csv": lines(PEOPLE, *rows)})
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path, "mimic", TABLES_ALONE)


# --------------------------------------------------------------------------- files


def test_a_patient_who_is_not_here_is_left_out_and_one_in_part_is_an_error(tmp_path: Path) -> None:
    mimic(tmp_path)
    last = tmp_path / mimic_files()[-1]
    last.unlink()
    last.parent.rmdir()
    (last.parent.with_name("s57375967.txt")).unlink()
    last.parent.parent.rmdir()
    listing = read_source(tmp_path, "mimic")
    assert listing.frame["patient_id"].unique().to_list() == ["p10000032"]
    assert "1 images of 1 patients that are not here are left out" in listing.notes
    (tmp_path / mimic_files()[0]).unlink()
    with pytest.raises(
        SourceError, match=r"1 of 3 image files are missing: files/p10/p10000032/s50414267/02aa"
    ):
        read_source(tmp_path, "mimic")


def test_no_patient_at_all_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, metadata(image("a")))
    with pytest.raises(
        SourceError, match=r"expected folders such as files/p10/p10000032, found none of 1; compl"
    ):
        read_source(tmp_path, "mimic")


# --------------------------------------------------------------------------- reports


@pytest.mark.parametrize("place", ["files", "mimic-cxr-reports/files", "."])
def test_reports_may_be_in_a_folder_of_their_own(tmp_path: Path, place: str) -> None:
    beside = read_source(mimic(tmp_path / "m"), "mimic")
    for name in MIMIC_REPORTS:
        (tmp_path / "m/files" / name).unlink()
    write(tmp_path / "r" / place, MIMIC_REPORTS)
    options = SourceOptions(reports=tmp_path / "r")
    assert read_source(tmp_path / "m", "mimic", options).frame.equals(beside.frame)


def test_reports_unpacked_beside_the_images_are_found(tmp_path: Path) -> None:
    beside = read_source(mimic(tmp_path), "mimic")
    for name in MIMIC_REPORTS:
        (tmp_path / "files" / name).unlink()
    bare = read_source(tmp_path, "mimic")
    assert bare.frame["report_findings"].null_count() == 4
    assert bare.notes[-1] == (
        "no reports beside the images; name their folder with the option reports (--reports)"
    )
    write(tmp_path / "mimic-cxr-reports/files", MIMIC_REPORTS)
    assert read_source(tmp_path, "mimic").frame.equals(beside.frame)


def test_a_folder_without_reports_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    with pytest.raises(
        SourceError, match=r"MIMIC-CXR's reports, such as files/p10/p10000032/s50414267\.txt; none"
    ):
        read_source(mimic(tmp_path / "m"), "mimic", SourceOptions(reports=tmp_path / "r"))


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        ("FINDINGS: Clear.\n\nIMPRESSION: Normal.", "Clear.", "Normal."),
        ("findings:Clear.\n\nimpression:Normal.", "Clear.", "Normal."),
        ("FINDINGS: Clear.\n\nIMPRESSION:\n", "Clear.", None),
        ("FINDINGS: Clear.\n\nIMPRESSION: ___\n", "Clear.", None),
        ("IMPRESSION: Normal.", None, "Normal."),
        ("IMPRESSION: Old.\n\nIMPRESSION: New.", None, "New."),
        ("FINDINGS: A.\n\nIMPRESSION: B.\n\nRECOMMENDATION(S): CT.", "A.", "B."),
        ("WET READ: x\n\nFINDINGS: Wet.\n\nFINAL REPORT\n\nFINDINGS: Final.", "Final.", None),
        ("FINDINGS: One.\n\nFINDINGS: Two.", "One.\n\nTwo.", None),
        ("INDICATION: Cough.\n\nThe heart is large.", "The heart is large.", None),
        ("No pneumothorax.", "No pneumothorax.", None),
        ("INDICATION: Cough.", None, None),
        ("", None, None),
    ],
)
def test_sections_worked_by_hand(
    tmp_path: Path, text: str, findings: str | None, impression: str | None
) -> None:
    write(mimic(tmp_path), {"files/p10/p10000032/s50414267.txt": text})
    row = read_source(tmp_path, "mimic", TABLES_ALONE).frame.row(0, named=True)
    assert (row["report_findings"], row["report_impression"]) == (findings, impression)


def test_reports_that_are_missing_broken_or_without_headings_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mimic_reports, "_LARGEST", 100)
    texts = {
        "1": b"FINDINGS: Clear.",
        "2": b"\xff\xfe",
        "3": b"x" * 101,
        "4": b"The heart is large.",
        "5": b" \n",
    }
    write(tmp_path, metadata(*(image(f"d{n}", study=f"5000000{n}") for n in range(7))))
    write(tmp_path / "files/p10/p10000032", {f"s5000000{n}.txt": t for n, t in texts.items()})
    (tmp_path / "secret.txt").write_text("FINDINGS: Secret.")
    (tmp_path / "files/p10/p10000032/s50000006.txt").symlink_to("/etc/passwd")
    listing = read_source(tmp_path, "mimic", TABLES_ALONE)
    told = listing.frame["report_findings"].to_list()
    assert told == [None, "Clear.", None, None, "The heart is large.", None, None]
    assert listing.notes[-4:] == (
        "2 studies have no report",  # the link is none: it leads out of the folder
        "2 reports are not UTF-8 text of at most 100 bytes: left out",
        "1 reports have neither findings nor an impression under a heading: their last paragraph "
        "is in report_findings",
        "1 reports have nothing that tells what is seen",
    )


def test_a_linked_folder_of_reports_that_leads_out_is_not_read(tmp_path: Path) -> None:
    mimic(tmp_path / "m")
    outside = write(tmp_path / "outside", {"s53189527.txt": "FINDINGS: Another person's."})
    patient = tmp_path / "m/files/p10/p10000032"
    patient.rename(tmp_path / "before")
    patient.symlink_to(outside)
    listing = read_source(tmp_path / "m", "mimic", TABLES_ALONE)
    assert listing.frame["report_findings"].null_count() == 3
    assert "2 studies have no report" in listing.notes


def test_reading_reports_is_told_as_progress(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        told.append((done, total))

    read_source(mimic(tmp_path), "mimic", SourceOptions(progress=progress))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_order_of_lines_does_not_matter(tmp_path: Path) -> None:
    one = read_source(mimic(tmp_path / "a"), "mimic").frame.sort("image_id")
    mimic(tmp_path / "b")
    write(tmp_path / "b", {METADATA: lines(MIMIC_METADATA, *reversed(MIMIC_ROWS))})
    assert read_source(tmp_path / "b", "mimic").frame.sort("image_id").equals(one)
