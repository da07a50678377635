"""Tables that are wrong, and tables that are merely poor: what is said, and how a command ends."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import hilum
from hilum.cli import main
from hilum.errors import TableError, UsageError
from hilum.evaluate import Measure, evaluate, read_pair
from hilum.tables import Table, read_table, write_table

SCORES = """\
image_id,Edema,Mass
a,0.9,0.1
b,0.2,0.8
c,0.7,0.3
d,0.1,0.6
"""
TRUTH = """\
image_id,patient_id,Edema,Mass
a,p,1,0
b,p,0,1
c,q,1,-1
d,r,0,
"""


@dataclass(frozen=True)
class Wrong:
    """What is wrong with one of the two files or with what was asked for, and what is said."""

    message: str
    scores: str | bytes = SCORES
    truth: str | bytes = TRUTH
    options: tuple[str, ...] = ()
    findings: tuple[str, ...] | None = None
    by: str = "patient_id"


WRONG = {
    "a doubled id": Wrong(
        "{scores}:6:image_id: the id 'a' is already on line 2; each id may have one row",
        scores=SCORES + "a,0.5,0.5\n",
    ),
    "a doubled id in the truth": Wrong(
        "{truth}:6:image_id: the id 'd' is already on line 5; each id may have one row",
        truth=TRUTH + "d,r,0,1\n",
    ),
    "a row without an id": Wrong(
        "{scores}:3:image_id: expected an id, got an empty cell; name the row or delete it",
        scores=SCORES.replace("b,0.2", ",0.2"),
    ),
    "no column of ids": Wrong(
        "{scores}: no column 'image_id'; the columns are Study, Edema, Mass",
        scores=SCORES.replace("image_id", "Study"),
    ),
    "an id without scores": Wrong(
        "1 of the truth's 5 ids have no score, the first is 'e'; score them, or leave them out "
        "of the truth",
        truth=TRUTH + "e,r,1,1\n",
    ),
    "other ids altogether": Wrong(
        "no id is in both tables: the scores start with 'a.png', the truth with 'a'; are these "
        "the same images, and both columns their ids?",
        scores="image_id,Edema\na.png,0.5\nb.png,0.2\n",
    ),
    "a finding that is not there": Wrong(
        "{scores}: no column for the finding 'Fracture'; the columns are image_id, Edema, Mass",
        options=("--findings", "Edema,Fracture"),
        findings=("Edema", "Fracture"),
    ),
    "a finding that only one file has": Wrong(
        "{truth}: no column for the finding 'Hernia'; "
        "the columns are image_id, patient_id, Edema, Mass",
        scores=SCORES.replace("Mass", "Hernia"),
        options=("--findings", "Hernia"),
        findings=("Hernia",),
    ),
    "no finding in both": Wrong(
        "no finding is in both tables: the scores have Fracture, Hernia, the truth has Edema, Mass",
        scores=SCORES.replace("Edema,Mass", "Fracture,Hernia"),
    ),
    "no finding at all": Wrong(
        "{scores}: no column is a finding; the columns are image_id, score",
        scores="image_id,score\na,1\n",
    ),
    "text for a score": Wrong(
        "{scores}:4:Mass: expected a finite number (a label is 1, 0 or -1) or an empty cell, got "
        "'high'; leave a cell empty where it is unknown",
        scores=SCORES.replace("0.3", "high"),
    ),
    "text for a label": Wrong(
        "{truth}:2:Edema: expected a finite number (a label is 1, 0 or -1) or an empty cell, got "
        "'yes'; leave a cell empty where it is unknown",
        truth=TRUTH.replace("a,p,1", "a,p,yes"),
    ),
    "NaN as text": Wrong(
        "{truth}:5:Mass: expected a finite number (a label is 1, 0 or -1) or an empty cell, got "
        "'NaN'; leave a cell empty where it is unknown",
        truth=TRUTH.replace("d,r,0,", "d,r,0,NaN"),
    ),
    "an infinite score": Wrong(
        "{scores}:5:Edema: expected a finite number (a label is 1, 0 or -1) or an empty cell, got "
        "'inf'; leave a cell empty where it is unknown",
        scores=SCORES.replace("d,0.1", "d,inf"),
    ),
    "a label that is none": Wrong(
        "the truth of 'a' for Edema is 2: expected 1, 0, -1 (uncertain) or nothing; "
        "is this a table of scores in the place of labels?",
        truth=TRUTH.replace("a,p,1", "a,p,2"),
    ),
    "truth and scores the wrong way round": Wrong(
        "the truth of 'a' for Edema is 0.9: expected 1, 0, -1 (uncertain) or nothing; "
        "is this a table of scores in the place of labels?",
        scores=TRUTH,
        truth=SCORES,
    ),
    "a score missing for a known label": Wrong(
        "Mass has no score for 1 of the 2 images with a known label, the first is 'b'; score "
        "them, or leave them out of the truth",
        scores=SCORES.replace("0.8", ""),
    ),
    "a column twice": Wrong(
        "{scores}: the columns 'Edema' and 'oedema' are both 'Edema'; keep one",
        scores="image_id,Edema,oedema\na,1,1\n",
    ),
    "a finding asked for twice": Wrong(
        "finding 'Edema' is there more than once; each finding may have one place in a table",
        options=("--findings", "Edema,oedema"),
        findings=("Edema", "oedema"),
    ),
    "a header alone": Wrong(
        "{truth}: the table has a header but no rows", truth="image_id,patient_id,Edema\n"
    ),
    "an empty file": Wrong("{scores}: the file is empty; a table starts with a header", scores=""),
    "a line cut off": Wrong(
        "{scores}:5: expected 3 cells as in the header, got 2; is the line cut off, or is there "
        "a comma without quotes?",
        scores=SCORES.removesuffix(",0.6\n"),
    ),
    "no text": Wrong(
        "{scores}: not a CSV file in UTF-8: 'utf-8' codec can't decode byte 0xff in position 21: "
        "invalid start byte",
        scores=SCORES.encode().replace(b"a,0", b"\xff,0").replace(b"image_id,", b"image_id,,"),
    ),
    "patients without a name": Wrong(
        "cannot resample by 'patient_id': it is empty for 1 of the truth's 4 rows",
        truth=TRUTH.replace("c,q", "c,"),
    ),
    "a column that is not there": Wrong(
        "{truth}: no column 'site'; the columns are image_id, patient_id, Edema, Mass",
        options=("--by", "site"),
        by="site",
    ),
}


def written(folder: Path, scores: str | bytes, truth: str | bytes) -> tuple[Path, Path]:
    paths = folder / "scores.csv", folder / "truth.csv"
    for path, content in zip(paths, (scores, truth), strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return paths


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_table_ends_the_command_with_one_sentence(
    wrong: Wrong,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores, truth = written(tmp_path, wrong.scores, wrong.truth)
    out = tmp_path / "out"
    command = ["hilum", "evaluate", str(scores), str(truth), "--out", str(out), *wrong.options]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == 1
    assert said.err == f"Error: {wrong.message.format(scores=scores, truth=truth)}\n"
    assert said.out == ""
    assert not out.exists()


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_table_is_the_same_error_in_python(wrong: Wrong, tmp_path: Path) -> None:
    scores, truth = written(tmp_path, wrong.scores, wrong.truth)
    with pytest.raises(TableError) as error:
        evaluate(*read_pair(scores, truth, findings=wrong.findings, by=wrong.by), wrong.by)
    assert str(error.value) == wrong.message.format(scores=scores, truth=truth)


def test_a_process_of_its_own_shows_no_traceback(tmp_path: Path) -> None:
    scores, truth = written(tmp_path, SCORES.replace("0.3", "high"), TRUTH)
    command = ["-m", "hilum", "evaluate", str(scores), str(truth), "--out", str(tmp_path / "out")]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: {scores}:4:Mass: expected a finite number")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["", "absent.csv"])
def test_a_folder_or_nothing_in_the_place_of_a_file(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, truth = written(tmp_path, SCORES, TRUTH)
    place = tmp_path / name
    with pytest.raises(TableError, match=f"{place}: cannot be read: .*(directory|No such file)"):
        read_table(place)
    command = ["hilum", "evaluate", str(place), str(truth), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2  # the command line was wrong, not a table
    assert "invalid value for 'scores'" in capsys.readouterr().err.casefold()


def tables(n: int = 4) -> tuple[Table, Table]:
    """Return the two tables above, in memory, and only their first rows."""
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.1, 0.6]])[:n]
    truth = np.array([[1, 0], [0, 1], [1, -1], [0, np.nan]])[:n]
    ids, findings = tuple("abcd"[:n]), ("Edema", "Mass")
    patients = {"patient_id": tuple("ppqr"[:n])}
    return Table(ids, findings, scores), Table(ids, findings, truth, patients)


def test_a_table_in_memory_is_checked_when_it_is_made() -> None:
    scores, _ = tables()
    with pytest.raises(TableError, match="id 'a' is there more than once; each id may have one"):
        replace(scores, ids=("a", "b", "c", "a"))
    with pytest.raises(TableError, match="id 'a' is there more than once, and so are 1 others"):
        replace(scores, ids=("a", "b", "b", "a"))
    values = scores.values.copy()
    values[2, 1] = values[3, 0] = -np.inf
    message = "finite or NaN, 2 are infinite, the first is that of 'c' for Mass; NaN is unknown"
    with pytest.raises(TableError, match=message):
        replace(scores, values=values)
    text = np.array([["0.1", "high"]])
    with pytest.raises(TableError, match=r"values must be numbers, or NaN: could not .*high"):
        Table(("a",), ("Edema", "Mass"), text)


def test_tables_in_memory_that_do_not_fit_are_refused() -> None:
    scores, truth = tables()
    none = truth.take(np.zeros(4, dtype=bool))
    with pytest.raises(TableError, match="the truth has no rows: there is nothing to evaluate"):
        hilum.evaluate(scores, none)
    with pytest.raises(TableError, match="4 of the truth's 4 ids have no score, the first is 'a'"):
        hilum.evaluate(scores.take(np.zeros(4, dtype=bool)), truth)
    with pytest.raises(TableError, match=r"the truth of 'a' for Edema is 0\.9: expected 1, 0, -1"):
        hilum.evaluate(truth, scores)
    with pytest.raises(UsageError, match="'auc' is not a statistic; there are auroc, average_"):
        hilum.evaluate(scores, truth, statistics=("auc",))


def test_findings_of_one_class_are_null_with_a_reason(tmp_path: Path) -> None:
    scores, truth = tables()
    labels = np.column_stack([np.ones(4), [0, 0, np.nan, np.nan]])
    metrics = evaluate(scores, replace(truth, values=labels), bootstrap=20)
    reasons = {
        "Edema": "none of the 4 known labels is negative",
        "Mass": "none of the 2 known labels is positive",
    }
    saved = metrics.to_json()
    for name, reason in reasons.items():
        assert metrics.findings[name].measures["auroc"] == Measure(None, reason=reason)
        assert saved["findings"][name]["auroc"]["estimate"] is None
        assert saved["undefined"][name]["auroc"]["reason"] == reason
    assert metrics.mean["auroc"] == Measure(None, reason="no finding is defined")
    metrics.save(tmp_path / "out")
    assert "NaN" not in (tmp_path / "out" / "metrics.json").read_text()


@pytest.mark.parametrize("interval", ["percentile", "bca", "delong", "chexzero"])
def test_three_images_have_numbers_with_intervals_or_reasons(interval: str) -> None:
    metrics = evaluate(*tables(3), bootstrap=100, interval=interval)  # type: ignore[arg-type]
    for found in metrics.findings.values():
        auroc = found.measures["auroc"]
        assert auroc.estimate == 1.0
        assert (auroc.low is None) == (auroc.high is None) == (auroc.reason is not None)
    reason = metrics.findings["Mass"].measures["auroc"].reason
    unit = "image" if interval == "chexzero" else "patient"
    assert reason == f"no interval: all positive images belong to one {unit}"
    assert all(len(line) <= 80 for line in metrics.to_text().splitlines())


def test_one_image_ranks_nothing_and_says_so() -> None:
    metrics = evaluate(*tables(1), bootstrap=20)
    reasons = [found.measures["auroc"].reason for found in metrics.findings.values()]
    assert reasons == [
        "none of the 1 known labels is negative",
        "none of the 1 known labels is positive",
    ]


def test_the_tables_of_these_tests_are_right_before_they_are_made_wrong(tmp_path: Path) -> None:
    from_files = read_pair(*written(tmp_path, SCORES, TRUTH))
    metrics = evaluate(*from_files, bootstrap=20)
    assert metrics.findings == evaluate(*tables(), bootstrap=20).findings
    assert metrics.findings["Edema"].measures["auroc"].estimate == 1.0
    for table, name in zip(from_files, ("s.csv", "t.csv"), strict=True):
        write_table(table, tmp_path / name)
    again = read_pair(tmp_path / "s.csv", tmp_path / "t.csv")
    assert evaluate(*again, bootstrap=20).findings == metrics.findings
