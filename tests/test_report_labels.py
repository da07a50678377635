"""`hilum labels` and `hilum.report_labels`: a collection's reports to a label table."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import hilum
from hilum.errors import CollectionError, UsageError
from hilum.reports import count_labels, report_labels
from hilum.tables import read_table

ROWS = (
    # image, patient, study, findings, impression
    ("a1", "a", "a-1", "Small left effusion. No pneumothorax.", "Possible pneumonia."),
    ("a2", "a", "a-1", "Small left effusion. No pneumothorax.", "Possible pneumonia."),
    ("b1", "b", "b-1", "The heart is enlarged.", ""),
    ("c1", "c", "c-1", "", "No pneumothorax."),
    ("d1", "d", "d-1", "", ""),
    ("e1", "e", "e-1", "___", "As above."),
)
HEADER = "image_id,patient_id,study_id,report_findings,report_impression\n"


class Shelf:
    """A collection with reports."""

    def __init__(self, rows: tuple[tuple[str, ...], ...] = ROWS) -> None:
        names = HEADER.strip().split(",")
        cells = [[cell or None for cell in row] for row in rows]
        self.frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")

    def table(self, columns: object = None) -> pl.DataFrame:
        assert isinstance(columns, list)
        return self.frame.select(columns)


def as_dict(table: hilum.Table) -> dict[str, dict[str, float]]:
    return {
        image: {
            name: float(value)
            for name, value in zip(table.findings, row, strict=True)
            if not np.isnan(value)
        }
        for image, row in zip(table.ids, table.values, strict=True)
    }


FOUR = ["Pleural Effusion", "Pneumothorax", "Pneumonia", "Cardiomegaly", "Hernia"]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("both", {
            "a1": {"Pleural Effusion": 1, "Pneumothorax": 0, "Pneumonia": -1},
            "a2": {"Pleural Effusion": 1, "Pneumothorax": 0, "Pneumonia": -1},
            "b1": {"Cardiomegaly": 1}, "c1": {"Pneumothorax": 0}, "e1": {},
        }),
        ("findings", {
            "a1": {"Pleural Effusion": 1, "Pneumothorax": 0},
            "a2": {"Pleural Effusion": 1, "Pneumothorax": 0},
            "b1": {"Cardiomegaly": 1},
        }),
        ("impression", {
            "a1": {"Pneumonia": -1}, "a2": {"Pneumonia": -1}, "c1": {"Pneumothorax": 0}, "e1": {},
        }),
    ],
)  # fmt: skip
def test_each_image_with_a_report_gets_a_row(
    section: hilum.reports.ReportSection, expected: dict[str, dict[str, float]]
) -> None:
    found = report_labels(Shelf(), FOUR, section)
    assert as_dict(found) == expected
    assert found.extra["patient_id"] == tuple(image[0] for image in expected)


def test_all_findings_are_columns_by_default_and_silence_is_noted() -> None:
    found = report_labels(Shelf())
    assert found.findings == tuple(hilum.FINDINGS)
    assert found.notes["Hernia"] == "no report mentions it"
    assert "Pneumonia" not in found.notes
    counts = count_labels(found)
    assert counts["Pneumothorax"].absent == 3
    assert counts["Pneumonia"].uncertain == 2
    assert (counts["Hernia"].present, counts["Hernia"].not_mentioned) == (0, 5)


def test_findings_are_known_in_any_spelling() -> None:
    found = report_labels(Shelf(), ["effusion", "Edema", "Pleural Effusion"])
    assert found.findings == ("Pleural Effusion", "Edema")


def test_what_cannot_be_labelled_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'all' is not a section; choose from findings, imp"):
        report_labels(Shelf(), section="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"'Gout' is not a finding that reports are labelled for"):
        report_labels(Shelf(), ["Gout"])
    with pytest.raises(
        CollectionError, match=r"none of the 2 images has a text in report_findings, so there"
    ):
        report_labels(Shelf(ROWS[3:5]), section="findings")
    with pytest.raises(CollectionError, match="in report_findings or report_impression"):
        report_labels(Shelf((*ROWS[4:5],)))


def test_no_message_tells_what_a_report_says(tmp_path: Path) -> None:
    with pytest.raises(CollectionError) as caught:
        report_labels(Shelf((("x", "x", "x", "___ XXXX", ""),)))
    assert "XXXX" not in str(caught.value)


# ------------------------------------------------------------------------------ the command


def run(*words: object) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "hilum", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reports")
    (root / "in").mkdir()
    lines = [",".join(f'"{cell}"' for cell in row) for row in ROWS]
    (root / "in" / "table.csv").write_text(HEADER + "\n".join(lines) + "\n")
    hilum.ingest(root / "in", root / "c.lance", layout="folder", pixels=False)
    return root / "c.lance"


def test_the_command_writes_a_label_table_and_says_what_is_in_it(
    collection: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels.csv"
    status, stdout, stderr = run("labels", collection, "--out", out, "--findings", "Effusion, Mass")
    assert (status, stdout) == (0, f"{out}\n"), stderr
    assert stderr.splitlines() == [
        "1 of 6 images have no such text and are left out",
        "Pleural Effusion: 2 present, 0 absent, 0 uncertain, 3 not mentioned",
        "Mass: 0 present, 0 absent, 0 uncertain, 5 not mentioned",
    ]
    table = read_table(out)
    assert table.ids == ("a1", "a2", "b1", "c1", "e1")
    assert out.read_text().splitlines()[1] == "a1,a,1,"


def test_the_command_prints_one_document_and_keeps_to_a_section_and_a_condition(
    collection: Path, tmp_path: Path
) -> None:
    out = tmp_path / "some.csv.gz"
    options = ("--section", "impression", "--where", "patient_id <> 'e'", "--json")
    status, stdout, stderr = run("labels", collection, "--out", out, *options)
    assert status == 0, stderr
    facts = json.loads(stdout)
    assert (facts["labels"], facts["images"], facts["without_report"], facts["section"]) == (
        str(out), 3, 2, "impression",
    )  # fmt: skip
    assert facts["findings"]["Pneumonia"] == {
        "present": 0, "absent": 0, "uncertain": 2, "not_mentioned": 1,
    }  # fmt: skip
    assert list(facts["findings"]) == list(hilum.FINDINGS)


def test_where_the_table_goes_has_to_be_said(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("a radiologist's")
    status, stdout, stderr = run("labels", collection)
    assert (status, stdout) == (2, "")
    assert "--out" in stderr
    assert (tmp_path / "labels.csv").read_text() == "a radiologist's"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--findings", "Gout"), 2, "'Gout' is not a finding that reports are labelled for"),
        (("--where", "patient_id = 'd'"), 1, "none of the 1 images has a text"),
        (("--section", "history"), 2, "history"),
    ],
)
def test_the_command_says_what_is_wrong(
    collection: Path, tmp_path: Path, options: tuple[str, ...], status: int, message: str
) -> None:
    code, stdout, stderr = run("labels", collection, "--out", tmp_path / "x.csv", *options)
    assert (code, stdout) == (status, "")
    assert message in stderr
    assert not (tmp_path / "x.csv").exists()
