"""PadChest: labels as a list in text, years of birth, one person under two ids, few archives."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import SourceError, UsageError
from hilum.findings import FINDINGS
from hilum.sources import Listing, SourceOptions, read_source
from hilum.sources.padchest_labels import LABELS, parse, values
from reference_sources import chexzero_labels, padchest_rows
from trees_reports import PADCHEST_TABLE, padchest, padchest_row, padchest_table
from trees_sources import png, write


def table_of(root: Path, *rows: Mapping[str, str], **options: Any) -> Listing:
    write(root, {PADCHEST_TABLE: padchest_table(*rows)})
    return read_source(root, "padchest", SourceOptions(**{"pixels": False, **options}))


def labelled(text: str, image: str = "a.png") -> dict[str, str]:
    return padchest_row(image, "1", "2", Labels=f'"{text}"')


# --------------------------------------------------------------------------- rows


def test_a_row_worked_by_hand(tmp_path: Path) -> None:
    listing = read_source(padchest(tmp_path), "padchest")
    row = listing.frame.row(1, named=True)
    present = {finding for finding in listing.findings if row[finding] == 1}
    assert present == {"Pleural Effusion", "Support Devices"}  # "COPD signs" is no finding of ours
    assert {row[finding] for finding in set(listing.findings) - present} == {0}
    expected = {
        "image_id": "100_b1.png",
        "patient_id": "100",
        "study_id": "10",
        "visit": 0,  # 2012 comes before 2014
        "view": "AP",
        "age": 72.0,  # 2012 - 1940
        "sex": "M",
        "split": None,
        "file": "0/100_b1.png",
        "report_findings": "sin hallazg patolog .",
        "report_impression": None,
    }
    assert {key: row[key] for key in expected} == expected
    assert listing.frame["visit"].to_list() == [1, 0, 0, 0]


def test_what_is_missing_is_unknown_and_what_is_no_view_is_noted(tmp_path: Path) -> None:
    listing = read_source(padchest(tmp_path), "padchest")
    assert listing.frame.select("view", "age", "sex").row(3) == (None, None, None)
    assert listing.frame["view"].to_list() == ["PA", "AP", "LATERAL", None]
    assert listing.notes == (
        "1 rows have a view that is none of PA, AP, LATERAL ('COSTAL'): unknown here",
        "the reports are Spanish, cut to word stems, and stand in report_findings as a whole",
        "1 images are labelled unchanged or exclude beside findings: what is not listed is "
        "unknown, not absent",
    )


def test_a_year_of_birth_after_the_study_is_an_unknown_age(tmp_path: Path) -> None:
    listing = table_of(
        tmp_path,
        padchest_row("a.png", "1", "1", PatientBirth="2015.0"),
        padchest_row("b.png", "2", "2", PatientBirth="1880.0"),
        padchest_row("c.png", "3", "3", PatientBirth="2014"),
    )
    assert listing.frame["age"].to_list() == [None, None, 0.0]
    assert listing.notes[:2] == (
        "1 ages below 0 years are unknown here",
        "1 ages above 120 years are unknown here",
    )


def test_studies_of_one_day_are_one_visit(tmp_path: Path) -> None:
    listing = table_of(
        tmp_path,
        padchest_row("a.png", "1", "8", StudyDate_DICOM="20140505"),
        padchest_row("b.png", "1", "9", StudyDate_DICOM="20140505"),
        padchest_row("c.png", "1", "7", StudyDate_DICOM="20140506"),
    )
    assert listing.frame["visit"].to_list() == [0, 0, 1]


def test_patients_who_share_a_report_or_a_study_are_one_person(tmp_path: Path) -> None:
    listing = table_of(
        tmp_path,
        padchest_row("a.png", "91", "1", ReportID="r1", StudyDate_DICOM="20150101"),
        padchest_row("b.png", "85", "2", ReportID="r1"),
        padchest_row("c.png", "85", "3", ReportID="r3", StudyDate_DICOM="20130101"),
        padchest_row("d.png", "70", "4", ReportID="r3", StudyDate_DICOM="20130101"),
        padchest_row("e.png", "60", "4", ReportID="nan", StudyDate_DICOM="20130101"),
        padchest_row("f.png", "50", "6", ReportID="nan"),
        padchest_row("g.png", "40", "7", ReportID="nan"),  # no report is no report to share
    )
    assert listing.frame["patient_id"].to_list() == ["60"] * 5 + ["50", "40"]
    assert listing.frame["visit"].to_list() == [2, 1, 0, 0, 0, 0, 0]
    assert listing.notes[0] == (
        "3 PatientIDs share a report or a study with another one: one person each"
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
@settings(max_examples=25)
def test_one_person_is_who_a_chain_of_reports_joins(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]]
) -> None:
    rows = [
        padchest_row(f"{n}.png", f"p{patient}", f"s{n}", ReportID=f"r{report}")
        for n, (patient, report) in enumerate(pairs)
    ]
    listing = table_of(tmp_path_factory.mktemp("p"), *rows)
    groups: list[set[int]] = []  # of rows, grown until nothing joins any more
    for n, pair in enumerate(pairs):
        joined = [g for g in groups if any(pair[0] == pairs[m][0] or pair[1] == pairs[m][1]
                                           for m in g)]  # fmt: skip
        groups = [g for g in groups if g not in joined] + [{n}.union(*joined)]
    names = listing.frame["patient_id"].to_list()
    for group in groups:
        assert {names[n] for n in group} == {min(f"p{pairs[n][0]}" for n in group)}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"Labels": "\"['a'\""}, r"160K_01\.02\.19\.csv:3:Labels: expected a list of labels such"),
        ({"Labels": "normal"}, r"csv:3:Labels: expected a list of labels .* got 6 other char"),
        ({"Labels": "\"['a', 3]\""}, r"csv:3:Labels: expected a list of labels"),
        ({"Labels": "'a'"}, r"csv:3:Labels: expected a list of labels"),
        ({"Labels": "[" * 900 + "]" * 900}, r"csv:3:Labels: expected a list of labels"),
        ({"Labels": f"\"['{'a' * 10_000}']\""}, r"csv:3:Labels: expected a list of labels"),
        ({"StudyDate_DICOM": "2014"}, r"csv:3:StudyDate_DICOM: expected a date such as 20140505"),
        ({"PatientBirth": "old"}, r"csv:3:PatientBirth: expected a year such as 1940\.0, got 'ol"),
        ({"PatientBirth": "1940.5"}, r"csv:3:PatientBirth: expected a year such as 1940\.0"),
        ({"ImageDir": ""}, r"csv:3:ImageDir: expected a value, got an empty cell"),
        ({"ImageID": ""}, r"csv:3:ImageID: expected a value"),
        ({"PatientID": ""}, r"csv:3:PatientID: expected a value"),
        ({"StudyID": ""}, r"csv:3:StudyID: expected a value"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    tmp_path: Path, cells: dict[str, str], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        table_of(tmp_path, padchest_row("a.png", "1", "1"), padchest_row("b.png", "2", "2") | cells)


def test_another_table_is_refused_by_its_columns(tmp_path: Path) -> None:
    write(tmp_path, {"my.csv": "ImageID,Labels\na.png,['normal']\n"})
    with pytest.raises(SourceError, match=r"my\.csv:1: expected a column 'ImageDir' and 'StudyDa"):
        read_source(tmp_path, "padchest", SourceOptions(table="my.csv", pixels=False))


# --------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("['normal']", {"normal"}),
        ("['COPD signs', ' air trapping']", {"copd signs", "air trapping"}),
        ("['unchanged', 'alveolar pattern', ' interstitial pattern ']",
         {"unchanged", "alveolar pattern", "interstitial pattern"}),
        ("['']", set()),
        ("[]", set()),
        ("['pneumonia', '', 'pneumonia']", {"pneumonia"}),
        ('["double J stent", \'NSG tube\']', {"double j stent", "nsg tube"}),
        ("['pleural effusion (small), left']", {"pleural effusion (small), left"}),
        ("nan", None),
        ("", None),
        ("['a'", None),
        ("('a',)", None),
        ("[['a']]", None),
        ("[a]", None),
        ("__import__('os').getcwd()", None),
        ("-" * 9_000 + "1", None),
        ("1+" * 4_000 + "1", None),
    ],
)  # fmt: skip
def test_cells_of_labels_worked_by_hand(text: str, labels: set[str] | None) -> None:
    assert parse(text) == (None if labels is None else frozenset(labels))


@given(st.lists(st.text(st.sampled_from("abcDE  -"), min_size=1, max_size=8), min_size=1))
def test_where_chexzeros_rule_reads_a_cell_ours_reads_the_same(labels: list[str]) -> None:
    text = repr(labels)
    assert parse(text) == frozenset(chexzero_labels(text)) - {""}


@given(st.lists(st.text(max_size=6)))
def test_every_list_of_texts_is_read(labels: list[str]) -> None:
    assert parse(repr(labels)) == frozenset(label.strip().lower() for label in labels) - {""}


U = None
MEANINGS: list[tuple[set[str] | None, dict[str, int | None]]] = [
    ({"normal"}, {"No Finding": 1, "Pneumonia": 0, "Mass": 0}),
    ({"pneumonia"}, {"No Finding": 0, "Pneumonia": 1, "Mass": 0}),
    ({"copd signs"}, {"No Finding": 0, "Pneumonia": 0}),
    ({"mediastinal mass", "breast mass", "soft tissue mass"}, {"Mass": 0, "No Finding": 0}),
    ({"pericardial effusion"}, {"Pleural Effusion": 0}),
    ({"subcutaneous emphysema"}, {"Emphysema": 0}),
    ({"pseudonodule"}, {"Nodule": 0}),
    ({"hydropneumothorax"}, {"Pleural Effusion": 1, "Pneumothorax": 1}),
    ({"laminar atelectasis"}, {"Atelectasis": 1}),
    ({"unchanged"}, {"No Finding": U, "Pneumonia": U}),
    ({"unchanged", "pneumonia"}, {"No Finding": 0, "Pneumonia": 1, "Mass": U}),
    ({"exclude", "pneumonia"}, {"No Finding": 0, "Pneumonia": 1, "Mass": U}),
    ({"suboptimal study", "pneumonia"}, {"No Finding": 0, "Pneumonia": 1, "Mass": 0}),
    ({"suboptimal study"}, {"No Finding": U, "Mass": U}),
    ({"suboptimal study", "normal"}, {"No Finding": 1, "Mass": 0}),
    (set(), {"No Finding": U, "Mass": U}),
    ({"normal", "nodule"}, {"No Finding": U, "Nodule": 1, "Mass": 0}),
    ({"normal", "unchanged"}, {"No Finding": 1, "Mass": U}),
    (None, {"No Finding": U, "Pneumonia": U}),
]


@pytest.mark.parametrize(("labels", "meaning"), MEANINGS, ids=map(str, range(len(MEANINGS))))
def test_what_labels_mean(labels: set[str] | None, meaning: dict[str, int | None]) -> None:
    found = values(None if labels is None else frozenset(labels), LABELS)
    assert meaning.items() <= dict(zip(LABELS, found, strict=True)).items()


def test_every_finding_is_of_the_vocabulary_and_labels_are_in_lower_case() -> None:
    assert set(LABELS) <= set(FINDINGS)
    labels = Counter(label for names in LABELS.values() for label in names)
    assert {label for label, count in labels.items() if count > 1} == {"hydropneumothorax"}
    assert all(label == label.strip().lower() for label in labels)


def test_labels_that_say_nothing_are_counted(tmp_path: Path) -> None:
    texts = ("['unchanged']", "nan", "['']", "['normal', 'nodule']", "['exclude', 'nodule']")
    rows = [labelled(text, f"{n}.png") for n, text in enumerate(texts)]
    listing = table_of(tmp_path, *rows)
    assert listing.frame["Nodule"].to_list() == [None, None, None, 1, 1]
    assert listing.notes[1:] == (
        "1 images have no labels: all are unknown",
        "2 images have labels that name no finding (unchanged, exclude or none): all are unknown",
        "1 images are labelled unchanged or exclude beside findings: what is not listed is "
        "unknown, not absent",
        "1 images are labelled normal beside something else: No Finding is unknown",
    )


# --------------------------------------------------------------------------- options


def test_other_labels_become_columns_by_name(tmp_path: Path) -> None:
    padchest(tmp_path)
    wanted = ("COPD signs", "effusion", "unchanged")
    options = SourceOptions(pixels=False, findings=wanted)
    frame = read_source(tmp_path, "padchest", options).frame
    assert frame["copd signs"].to_list() == [0, 1, 0, None]
    assert frame["Pleural Effusion"].to_list() == [0, 1, 0, 1]
    assert frame["unchanged"].to_list() == [0, 0, 0, 1]
    assert "No Finding" not in frame.columns


def test_all_labels_are_the_findings_and_each_other_label(tmp_path: Path) -> None:
    padchest(tmp_path)
    options = SourceOptions(pixels=False, findings=("all",))
    listing = read_source(tmp_path, "padchest", options)
    assert listing.findings == (*LABELS, "copd signs", "unchanged")


def test_a_label_that_is_not_there_is_refused_with_those_like_it(tmp_path: Path) -> None:
    message = (
        r"'copd sign' is neither a finding of the padchest layout \(No Finding, .*\) nor one of "
        r"the table's 6 labels; do you mean 'copd signs'\?"
    )
    with pytest.raises(UsageError, match=message):
        read_source(padchest(tmp_path), "padchest", SourceOptions(findings=("copd sign",)))


def test_a_method_keeps_its_rows_and_visits_are_numbered_before(tmp_path: Path) -> None:
    options = SourceOptions(method="Physician")
    listing = read_source(padchest(tmp_path), "padchest", options)
    assert listing.frame["image_id"].to_list() == ["100_a1.png", "200_a1.png", "300_a1.png"]
    assert listing.frame["visit"].to_list() == [1, 0, 0]
    assert "1 images whose labels do not come from Physician are left out" in listing.notes
    assert "1 image files are not in the table and are left out" in listing.notes
    with pytest.raises(
        UsageError, match=r"by 'physician'; the methods are 'Physician', 'RNN_model'"
    ):
        read_source(tmp_path, "padchest", SourceOptions(method="physician"))


# --------------------------------------------------------------------------- files


def test_an_archive_that_is_not_here_is_left_out_and_a_single_file_is_rejected(
    tmp_path: Path,
) -> None:
    padchest(tmp_path)
    (tmp_path / "54/200_a1.png").unlink()
    listing = read_source(tmp_path, "padchest")
    assert listing.frame.height == 3
    assert [(r.name, r.reason) for r in listing.rejected] == [("200_a1.png", "missing")]
    (tmp_path / "54/300_a1.png").unlink()
    listing = read_source(tmp_path, "padchest")
    assert listing.frame["patient_id"].to_list() == ["100", "100"]
    assert listing.rejected == ()
    assert "2 images of 1 archives that are not here are left out" in listing.notes


def test_no_file_at_all_is_an_error_and_so_is_a_file_twice(tmp_path: Path) -> None:
    padchest(tmp_path)
    write(tmp_path, {"flat/200_a1.png": png()})
    with pytest.raises(SourceError, match=r"200_a1\.png: found twice, as 54/200_a1\.png and flat/"):
        read_source(tmp_path, "padchest")
    only = padchest_row("nowhere.png", "1", "1")
    with pytest.raises(
        SourceError, match=r"1 of 1 image files are missing: nowhere\.png; complete"
    ):
        table_of(tmp_path / "bare", only, pixels=True)


def test_a_flat_folder_reads_the_same(tmp_path: Path) -> None:
    archives = read_source(padchest(tmp_path / "a"), "padchest")
    padchest(tmp_path / "b")
    for file in list((tmp_path / "b").glob("*/*.png")):
        file.rename(tmp_path / "b" / file.name)
    flat = read_source(tmp_path / "b", "padchest")
    assert flat.frame.drop("file").equals(archives.frame.drop("file"))
    assert flat.frame["file"].to_list() == archives.frame["image_id"].to_list()


# --------------------------------------------------------------------------- the real table


@pytest.fixture(scope="module")
def real_table(data_dir: Path) -> Path:
    path = data_dir / "metadata" / f"{PADCHEST_TABLE}.gz"
    if not path.is_file():
        pytest.skip(f"PadChest's table is not at {path}")
    return path


@pytest.fixture(scope="module")
def real(real_table: Path) -> Listing:
    return read_source(real_table.parent, "padchest", SourceOptions(pixels=False))


def test_the_real_table_has_its_published_counts(real: Listing) -> None:
    frame = real.frame
    assert (len(real), frame["study_id"].n_unique()) == (160_861, 109_931)
    assert frame["patient_id"].n_unique() == 67_625 - 1_121
    assert dict(frame["view"].value_counts().iter_rows()) == {
        "PA": 91_728, "LATERAL": 49_579, "AP": 14_346 + 4_559, None: 630 + 11 + 8,
    }  # fmt: skip
    assert dict(frame["sex"].value_counts().iter_rows()) == {"M": 80_920, "F": 79_919, None: 22}
    assert (frame["age"].null_count(), frame["age"].max()) == (6, 105.0)
    assert frame["No Finding"].sum() == 50_616 - 221  # of all that are normal, alone


def test_the_real_table_reads_as_a_row_by_row_reader_reads_it(
    real: Listing, real_table: Path
) -> None:
    expected, frame = padchest_rows(real_table), real.frame
    assert frame["image_id"].to_list() == list(expected)
    for column in ("view", "age"):
        assert frame[column].to_list() == [row[column] for row in expected.values()]
    people: dict[object, set[str]] = {}
    dates: dict[str, set[str]] = {}
    for row, patient in zip(expected.values(), frame["patient_id"], strict=True):
        people.setdefault(row["report"], set()).add(patient)
        dates.setdefault(patient, set()).add(str(row["date"]))
    assert {len(patients) for patients in people.values()} == {1}
    assert frame["visit"].to_list() == [
        sorted(dates[patient]).index(str(row["date"]))
        for row, patient in zip(expected.values(), frame["patient_id"], strict=True)
    ]
    for finding, names in LABELS.items():
        if finding == "No Finding":
            continue  # which is unknown beside another label
        present = [bool(row["labels"] and names & row["labels"]) for row in expected.values()]  # type: ignore[operator]
        assert (frame[finding] == 1).fill_null(value=False).to_list() == present, finding


def test_the_radiologists_part_of_the_real_table_has_its_published_size(real_table: Path) -> None:
    options = SourceOptions(pixels=False, method="Physician", findings=("all",))
    listing = read_source(real_table.parent, "padchest", options)
    assert len(listing) == 39_053
    assert set(listing.findings) > set(LABELS)
