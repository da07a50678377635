"""COVIDx: lines read from the right, classes that are not findings, patients in both lists."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import ClashError, LeakError, SourceError
from hilum.sources import SourceOptions, read_source
from hilum.sources.covidx import Line, parse_line
from trees_sources import covidx, lines, png, write

CLASSES = ("normal", "pneumonia", "COVID-19", "positive", "negative")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 a.png normal", Line("12", "a.png", "normal", None)),
        ("12 a.png pneumonia rsna", Line("12", "a.png", "pneumonia", "rsna")),
        ("12 a.png negative rnsa", Line("12", "a.png", "negative", "rsna")),
        ("COVID 1 COVID(1).png positive sirm", Line("COVID 1", "COVID(1).png", "positive", "sirm")),
        ("COVID 1 COVID(1).png positive", Line("COVID 1", "COVID(1).png", "positive", None)),
        ("positive x.jpg normal", Line("positive", "x.jpg", "normal", None)),
        ("12 a.png level1 x", None),
        ("12 a.png", None),
        ("a.png normal", None),
        ("12 ../a.png normal", None),
        ("12 notes.txt normal", None),
        ("", None),
    ],
)
def test_lines_worked_by_hand(text: str, expected: Line | None) -> None:
    assert parse_line(text) == expected


def test_a_file_name_with_spaces_is_found_by_what_is_there() -> None:
    text = "COVID 2 COVID (2).png COVID-19 sirm"
    assert parse_line(text, {"COVID (2).png"}.__contains__) == Line(
        "COVID 2", "COVID (2).png", "COVID-19", "sirm"
    )
    assert parse_line(text, {"COVID (2).png", "(2).png"}.__contains__) is None  # which is it?


words = st.text(
    st.characters(categories=("Lu", "Ll", "Nd"), include_characters="-_()."), min_size=1
)


@given(
    patient=st.lists(words, min_size=1, max_size=3).map(" ".join),
    file=words.map(lambda word: f"x{word}.png"),
    label=st.sampled_from(CLASSES),
    source=st.none() | words.filter(lambda word: word not in {*CLASSES, "rnsa"}),
)
def test_a_line_that_was_written_is_read_back(
    patient: str, file: str, label: str, source: str | None
) -> None:
    text = " ".join(part for part in (patient, file, label, source) if part)
    assert parse_line(text) == Line(patient, file, label, source)


def test_the_classes_become_findings(tmp_path: Path) -> None:
    rows = [f"{n} {n}.png {name}" for n, name in enumerate(CLASSES)]
    files = {f"train/{n}.png": png() for n in range(5)}
    write(tmp_path, {"train_COVIDx9A.txt": lines(*rows), **files})
    frame = read_source(tmp_path, "covidx").frame
    assert frame.select("No Finding", "Pneumonia", "COVID-19").rows() == [
        (1, 0, 0),
        (0, 1, 0),
        (0, None, 1),
        (None, None, 1),
        (None, None, 0),
    ]


def test_images_of_a_patient_have_no_order(tmp_path: Path) -> None:
    frame = read_source(covidx(tmp_path), "covidx").frame
    assert frame["patient_id"].to_list() == ["1", "1", "COVID 1", "7"]
    assert frame["visit"].to_list() == [0, 0, 0, 0]
    assert frame["study_id"].n_unique() == 4
    assert frame["split"].to_list() == ["train", "train", "train", "test"]
    assert frame["file"][2] == "train/COVID(1).png"


def test_a_patient_in_both_lists_is_a_leak_and_is_named(tmp_path: Path) -> None:
    covidx(tmp_path)
    write(tmp_path, {"test_COVIDx4.txt": "COVID 1 c.png COVID-19 sirm"})
    with pytest.raises(LeakError, match=r"patient 'COVID 1' is in the lists of train and test im"):
        read_source(tmp_path, "covidx")


def test_a_source_that_gives_the_class_away_is_noted(tmp_path: Path) -> None:
    (note,) = read_source(covidx(tmp_path), "covidx").notes
    assert note.startswith(
        "every COVID-19 image comes from sirm, every normal image comes from rsna"
    )


def test_two_lists_of_one_split_are_refused(tmp_path: Path) -> None:
    write(covidx(tmp_path), {"train_COVIDx8B.txt": ""})
    with pytest.raises(
        SourceError, match=r"train_COVIDx8B\.txt and train_split\.txt are all lists of tr"
    ):
        read_source(tmp_path, "covidx")


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(covidx(tmp_path), {"train_split.txt": "1 a.png normal\n\n2 b.png healthy rsna\n"})
    with pytest.raises(
        SourceError, match=r"train_split\.txt:3: expected .* got '2 b\.png healthy rsna'"
    ):
        read_source(tmp_path, "covidx")


def test_one_file_on_two_lines_is_a_clash(tmp_path: Path) -> None:
    write(covidx(tmp_path), {"train_split.txt": "1 a.png normal\n1 a.png pneumonia"})
    with pytest.raises(ClashError, match=r"covidx: row 1 \(a\.png\): 2 rows share their image_id"):
        read_source(tmp_path, "covidx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (covidx(tmp_path) / "test/c.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 4 image files are missing: test/c\.png"):
        read_source(tmp_path, "covidx")


def test_the_real_sample_has_its_published_counts(data_dir: Path) -> None:
    frame = read_source(data_dir / "covidx-sample", "covidx", SourceOptions()).frame
    assert dict(frame["split"].value_counts().iter_rows()) == {"train": 601, "test": 194}
    assert {name: frame[name].sum() for name in ("No Finding", "Pneumonia", "COVID-19")} == {
        "No Finding": 367, "Pneumonia": 328, "COVID-19": 100,
    }  # fmt: skip
    assert frame["Pneumonia"].null_count() == 100
