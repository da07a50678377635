"""The files of an evaluation: what they are called, and what is read of them."""

from pathlib import Path

import pytest

from evaluation_cases import FINDINGS, made, some_readers, written
from hilum.appraisal import Files, appraise
from hilum.errors import TableError, UsageError
from hilum.tables import Table


def test_files_are_called_after_what_they_hold(tmp_path: Path) -> None:
    one, two = tmp_path / "scores.csv", tmp_path / "b" / "scores.csv.gz"
    assert Files(one, two).names() == ("scores", "")
    assert Files(one, one, against=two).names() == ("scores (1)", "scores (2)")
    assert Files(one, one, against=tmp_path / "net.csv").names() == ("scores", "net")


def test_a_prefix_belongs_to_score_tables_alone(tmp_path: Path) -> None:
    scores, truth = made()
    named = Table(scores.ids, tuple(f"prob_{name}" for name in FINDINGS), scores.values)
    folder = written(tmp_path, {"scores": named, "truth": truth, **some_readers(truth, 1)})
    given = Files(
        folder / "scores.csv", folder / "truth.csv", [folder / "ann.csv"],
        against=folder / "scores.csv", prefix="prob_", findings=["Edema", "Mass"],
    ).read()  # fmt: skip
    assert given.against is not None
    assert given.scores.findings == given.against.findings == ("Edema", "Mass")
    assert given.readers["ann"].findings == ("Edema", "Mass")


def test_a_table_without_any_finding_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    scores, truth = made()
    reader = some_readers(truth, 1)["ann"].select(["Pneumonia"])
    folder = written(tmp_path, {"scores": scores, "truth": truth, "ann": reader})
    files = Files(
        folder / "scores.csv", folder / "truth.csv", [folder / "ann.csv"], findings=["Edema"]
    )
    with pytest.raises(TableError, match=r"ann\.csv: no column for the finding 'Edema'"):
        files.read()


def test_a_finding_of_no_vocabulary_can_be_a_stratum_or_be_evaluated(tmp_path: Path) -> None:
    scores, truth = made()
    own = ("Thing", "Mass", "Pneumonia")
    tables = {
        "scores": Table(scores.ids, own, scores.values),
        "truth": Table(truth.ids, own, truth.values, truth.extra),
    }
    folder = written(tmp_path, tables)
    files = Files(folder / "scores.csv", folder / "truth.csv", findings=["Thing"])
    found = appraise(files.read(stratify="Thing"), bootstrap=20, stratify="Thing")
    assert list(found.metrics.findings) == ["Thing"]
    other = appraise(files.read(None, stratify="Mass"), None, bootstrap=20, stratify="Mass")
    assert other.metrics.settings["stratify"] == "Mass"


def test_a_validation_truth_carries_its_patients(tmp_path: Path) -> None:
    scores, truth = made()
    again = Table(tuple(f"x{i}" for i in truth.ids), FINDINGS, truth.values, truth.extra)
    theirs = Table(again.ids, FINDINGS, scores.values)
    folder = written(
        tmp_path, {"scores": scores, "truth": truth, "tune-scores": theirs, "tune-truth": again}
    )
    given = Files(
        folder / "scores.csv", folder / "truth.csv",
        tune_scores=folder / "tune-scores.csv", tune_truth=folder / "tune-truth.csv",
    ).read(by=None)  # fmt: skip
    with pytest.raises(UsageError, match="On both sides: 60 patients"):
        appraise(given, None, threshold="mcc")
