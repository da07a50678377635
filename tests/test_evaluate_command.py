"""`hilum evaluate`: what it prints, what it writes, and how it says no."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from evaluation_cases import FINDINGS, another, made, some_readers, written
from hilum.cli import evaluate as command
from hilum.cli import main
from hilum.evaluate import evaluate
from hilum.evaluate.calibrators import CALIBRATORS
from hilum.evaluate.intervals import Interval
from hilum.tables import Table, read_table

FEW = ("--bootstrap", "40")
FIGURES_OF_READERS = {
    f"{kind}_{statistic}.svg"
    for kind in ("readers", "model_minus_readers")
    for statistic in ("f1", "mcc")
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two models, a truth, three readers, and validation tables."""
    scores, truth = made()
    tune_scores, tune_truth = made(80, seed=5, first=200)
    tables = {
        "scores": scores,
        "other": another(scores),
        "truth": truth,
        "tune-scores": tune_scores,
        "tune-other": another(tune_scores),
        "tune-truth": tune_truth,
        **some_readers(truth),
    }
    return written(tmp_path, tables)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    command.register(app)
    return app


def run(app: typer.Typer, folder: Path, *words: str, plots: bool = False) -> Result:
    """Run the command on the folder's tables; a word with a dot names a file there."""
    said = [str(folder / word) if word.endswith(".csv") else word for word in words]
    base = [str(folder / "scores.csv"), str(folder / "truth.csv"), "--out", str(folder / "out")]
    flags = [] if plots else ["--no-plots"]
    result = CliRunner().invoke(app, [*base, *said, *FEW, *flags], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str]:
    """Run the command line as a user would; return its exit code and the one line it says."""
    said = [str(folder / word) if word.endswith(".csv") else word for word in words]
    tables = [str(folder / "scores.csv"), str(folder / "truth.csv"), "--out", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", ["hilum", "evaluate", *tables, *said, *FEW])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert not out
    assert "Traceback" not in err
    assert isinstance(stop.value.code, int)
    return stop.value.code, err


def test_the_command_writes_and_prints_the_same_numbers(tmp_path: Path, app: typer.Typer) -> None:
    scores, truth = made()
    folder = written(tmp_path, {"scores": scores, "truth": truth}, "Study")
    result = run(app, folder, "--id", "Study", "--findings", "Edema, Mass", "--json")
    printed = json.loads(result.stdout)
    assert json.loads((folder / "out" / "metrics.json").read_text()) == printed
    two = ["Edema", "Mass"]
    expected = evaluate(scores.select(two), truth.select(two), bootstrap=40).to_json()
    files = printed["settings"].pop("files")
    assert printed == {**expected, "comparison": None}
    assert files["truth"]["name"] == "truth.csv"
    assert re.fullmatch("[0-9a-f]{64}", files["scores"]["sha256"])


def test_tables_go_to_standard_output_and_remarks_to_standard_error(
    folder: Path, app: typer.Typer
) -> None:
    written(folder, {"scores": made()[0].select(["Edema"])})
    result = run(app, folder, "--by", "image")
    assert "Left out, no scores: Mass, Pneumonia." in result.stderr
    assert "Images were resampled one by one" in result.stderr
    assert f"Tables: {folder / 'out'}" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "Intervals: percentiles, 40 resamples of 120 images."
    assert any(line.startswith("mean of 1 ") for line in lines)


def test_readers_are_called_after_their_files(folder: Path, app: typer.Typer) -> None:
    (folder / "ann.csv").rename(folder / "a.b.csv")
    result = run(
        app, folder, "--readers", "a.b.csv", "--readers", "bob.csv", "--threshold", "0.5",
        "--margin", "0.2", "--json",
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert list(found["readers"]) == ["a.b", "bob"]
    assert found["panel"]["noninferiority"]["mean"]["mcc"]["these_readers"]["margin"] == 0.2
    rows = (folder / "out" / "readers.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} >= {"a.b", "bob", "mean of readers"}


def test_a_reader_may_lack_a_finding_that_was_asked_for(folder: Path, app: typer.Typer) -> None:
    truth = made()[1]
    written(folder, {"ann": some_readers(truth)["ann"].select(["Edema"])})
    words = ("--readers", "ann.csv", "--findings", "Edema,Mass", "--json")
    found = json.loads(run(app, folder, *words).stdout)
    assert list(found["readers"]["ann"]["findings"]) == ["Edema"]
    assert list(found["findings"]) == ["Edema", "Mass"]


def test_two_models_are_compared_in_pairs(folder: Path, app: typer.Typer) -> None:
    result = run(app, folder, "--against", "other.csv", "--threshold", "0.5", "--holm")
    found = json.loads((folder / "out" / "metrics.json").read_text())["comparison"]
    assert found["names"] == ["scores", "other"]
    gap = found["difference"]["findings"]["Edema"]["auroc"]
    first, second = (found[side]["findings"]["Edema"]["auroc"] for side in ("first", "second"))
    assert gap["estimate"] == pytest.approx(first["estimate"] - second["estimate"])
    assert gap["p_value"] <= gap["p_adjusted"]
    assert found["difference"]["mean"]["f1"]["estimate"] is not None
    assert "first: scores\nsecond: other\n" in result.stdout
    rows = (folder / "out" / "comparison.csv").read_text().splitlines()
    assert rows[0].startswith("finding,statistic,n,positives,first,first_low,first_high,second")
    assert rows[1].startswith(
        f"Edema,auroc,120,{found['first']['findings']['Edema']['positives']},"
    )
    assert rows[1].split(",")[-2:] == [str(gap["p_value"]), str(gap["p_adjusted"])]
    assert len(rows) == 1 + 4 * len(found["difference"]["mean"])


@pytest.mark.parametrize("with_other", [False, True])
def test_what_is_tuned_for_one_model_is_tuned_for_the_other_or_for_none(
    folder: Path, app: typer.Typer, with_other: bool
) -> None:
    words = ["--against", "other.csv", "--threshold", "mcc", "--calibrate", "platt"]
    words += ["--tune-scores", "tune-scores.csv", "--tune-truth", "tune-truth.csv", "--json"]
    words += ["--tune-against", "tune-other.csv"] if with_other else []
    result = run(app, folder, *words)
    found = json.loads(result.stdout)
    assert found["thresholds"]["rule"] == "mcc"
    assert found["mean"]["mcc"]["estimate"] is not None
    for side in ("first", "second"):
        for part in ("thresholds", "calibration"):
            assert (found["comparison"][side][part] is not None) == with_other
    assert (found["comparison"]["difference"]["mean"]["mcc"]["estimate"] is not None) == with_other
    assert ("compared as their scores came" in result.stderr) != with_other
    assert "The thresholds are those of calibrated scores" in result.stderr
    if with_other:
        both = [found["comparison"][side]["thresholds"] for side in ("first", "second")]
        assert both[0] == found["thresholds"]
        assert both[0] != both[1]


def test_a_file_of_thresholds_is_for_one_model(folder: Path, app: typer.Typer) -> None:
    (folder / "limits.csv").write_text("finding,threshold\nEdema,0.5\n")
    result = run(app, folder, "--thresholds", "limits.csv", "--against", "other.csv", "--json")
    found = json.loads(result.stdout)
    assert found["mean"]["f1"]["findings"] == 1
    assert found["comparison"]["difference"]["mean"]["f1"]["estimate"] is None
    assert "compared as their scores came" in result.stderr


def test_thresholds_and_calibration_are_kept_for_another_run(
    folder: Path, app: typer.Typer
) -> None:
    tuning = ["--tune-scores", "tune-scores.csv", "--tune-truth", "tune-truth.csv"]
    run(app, folder, "--threshold", "sensitivity=0.9", *tuning)
    assert not (folder / "out" / "calibration.json").exists()
    kept = folder / "out" / "thresholds.csv"
    found = json.loads(run(app, folder, "--thresholds", str(kept), "--json").stdout)
    assert found["thresholds"]["source"] == "thresholds.csv"
    assert read_table(kept, "finding", ["threshold"]).ids == FINDINGS
    run(app, folder, "--calibrate", "isotonic", *tuning)
    assert (folder / "out" / "calibration.json").exists()
    assert kept.exists()  # what can be used again is never removed


def test_files_that_no_evaluation_wrote_are_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = folder / "own" / "readers.csv"
    mine.parent.mkdir()
    mine.write_text("what they said")
    code, said = refused(folder, capsys, monkeypatch, "--out", str(mine.parent))
    assert code == 2
    assert "readers.csv would be overwritten" in said
    assert "has no metrics.json, which an earlier run would have left" in said
    assert [path.name for path in mine.parent.iterdir()] == ["readers.csv"]
    assert mine.read_text() == "what they said"


def test_a_validation_truth_needs_no_columns_but_its_findings(
    folder: Path, app: typer.Typer
) -> None:
    tune = made(80, seed=5, first=200)[1].select(["Edema"])
    written(folder, {"tune-truth": Table(tune.ids, tune.findings, tune.values)})
    words = ["--threshold", "f1", "--tune-scores", "tune-scores.csv", "--tune-truth"]
    result = run(app, folder, *words, "tune-truth.csv", "--findings", "Edema,Mass", "--json")
    found = json.loads(result.stdout)
    assert found["findings"]["Edema"]["f1"]["estimate"] is not None
    assert found["findings"]["Mass"]["f1"]["estimate"] is None


def test_tuning_on_what_is_reported_is_said_on_both_streams(folder: Path, app: typer.Typer) -> None:
    result = run(app, folder, "--threshold", "mcc", "--tune-on-reported")
    assert "Tuned on what is reported (120 of the 120 validation images" in result.stdout
    assert "the figures are optimistic." in result.stderr


def test_subgroups_strata_and_statistics_come_from_columns(folder: Path, app: typer.Typer) -> None:
    words = ["--subgroup", "sex", "--subgroup", "age=40,60", "--stratify", "sex"]
    result = run(app, folder, *words, "--statistics", "auroc, partial_auroc", "--max-fpr", "0.3")
    found = json.loads((folder / "out" / "metrics.json").read_text())
    assert list(found["subgroups"]) == ["sex", "age"]
    assert list(found["subgroups"]["age"]) == ["below 40", "40 to below 60", "60 and over"]
    assert list(found["mean"]) == ["auroc", "partial_auroc"]
    assert found["settings"]["stratify"] == "sex"
    assert "stratified by sex." in result.stdout
    assert (folder / "out" / "subgroups.csv").exists()


@pytest.mark.parametrize("name", ["Edema", "pulmonary_edema"])
def test_a_finding_can_be_the_stratum(folder: Path, app: typer.Typer, name: str) -> None:
    run(app, folder, "--stratify", name)
    (folder / "out").rename(folder / "strata")
    run(app, folder)
    plain, strata = (
        json.loads((folder / out / "metrics.json").read_text())["findings"]["Edema"]["auroc"]
        for out in ("out", "strata")
    )
    assert plain["estimate"] == strata["estimate"]
    assert plain["low"] != strata["low"]


def test_chexzero_s_convention_keeps_the_mean_of_the_resamples(
    folder: Path, app: typer.Typer
) -> None:
    found = json.loads(run(app, folder, "--interval", "chexzero", "--json").stdout)
    assert found["settings"]["resampled"] == "image"
    assert "bootstrap_mean" in found["mean"]["auroc"]


def test_the_page_and_its_plots_are_the_same_bytes_every_time(
    folder: Path, app: typer.Typer
) -> None:
    words = ["--readers", "ann.csv", "--readers", "bob.csv", "--threshold", "0.5"]
    words += ["--against", "other.csv", "--subgroup", "sex", "--title", "A <title>"]
    result = run(app, folder, *words, plots=True)
    assert f"Report: {folder / 'out' / 'report.html'}" in result.stderr
    first = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert first.keys() == {
        *("metrics.json", "metrics.csv", "readers.csv", "subgroups.csv", "comparison.csv"),
        *("thresholds.csv", "report.html", "roc.svg", "precision_recall.svg", "reliability.svg"),
        *("subgroups.svg", "differences_auroc.svg", "differences_average_precision.svg"),
        *FIGURES_OF_READERS,
    }
    assert b"<title>A &lt;title&gt;</title>" in first["report.html"]
    run(app, folder, *words, plots=True)
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == first
    run(app, folder)  # nothing of an earlier evaluation stays beside other numbers
    left = {path.name for path in (folder / "out").iterdir()}
    assert left == {"metrics.json", "metrics.csv", "thresholds.csv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "mcc"], r"give their scores and truth \(--tune-scores and --tune-truth\)"),
        (["--threshold", "best"], "'best' is not a rule for thresholds; choose mcc, f1, youden"),
        (["--tune-scores", "tune-scores.csv"], "name --tune-scores and --tune-truth"),
        (["--tune-against", "tune-other.csv"], "it needs that, --tune-scores and --tune-truth"),
        (
            ["--margin", "0.05"],
            "a margin is for the model against readers, and no readers",
        ),
        (["--statistics", "auc"], "'auc' is not a statistic; there are auroc, average_precision"),
        (["--subgroup", "age=60,40"], "the bands of 'age' must be ascending numbers"),
        (["--interval", "chexzero", "--seed", "1"], "leave seed and stratify out"),
        (["--max-fpr", "2"], r"max_fpr must lie between 0 and 1, got 2\.0"),
        (
            ["--calibrate", "platt", "--tune-scores", "scores.csv", "--tune-truth", "truth.csv"],
            "On both sides: 120 of the 120 validation images and 60 patients",
        ),
    ],
)
def test_misuse_ends_with_a_hint(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    code, said = refused(folder, capsys, monkeypatch, *words)
    assert code == 2
    assert re.search(message, said), said


def test_two_readers_of_one_name_are_told_apart_by_their_paths(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "more").mkdir()
    (folder / "ann.csv").rename(folder / "more" / "bob.csv.gz")
    words = ["--readers", "bob.csv", "--readers", str(folder / "more" / "bob.csv.gz")]
    code, said = refused(folder, capsys, monkeypatch, *words)
    assert code == 2
    assert re.search(r"two readers are called 'bob': .*bob\.csv and .*more.bob\.csv\.gz; a", said)


def test_thresholds_come_from_a_file_or_a_rule(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "limits.csv").write_text("finding,threshold\nEdema,0.5\n")
    words = ["--thresholds", "limits.csv", "--threshold", "0.5"]
    code, said = refused(folder, capsys, monkeypatch, *words)
    assert code == 2
    assert "thresholds come from a file or from a rule: leave one of the two out" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--subgroup", "race"], r"truth\.csv: no column 'race'; the columns are image_id, pat"),
        (["--by", "site"], r"truth\.csv: no column 'site'; the columns are image_id, patient_id"),
        (["--stratify", "site"], r"truth\.csv: no column 'site'"),
        (["--findings", "Hernia"], r"scores\.csv: no column for the finding 'Hernia'"),
        (["--readers", "scores.csv"], "reader 'scores': the reading of 'i0' for Edema is 0"),
        (
            ["--thresholds", "truth.csv"],
            r"'threshold'; .* \(thresholds: the columns finding and threshold",
        ),
        (["--id", "Study"], r"scores\.csv: no column 'Study'"),
    ],
)
def test_a_wrong_table_ends_in_one_sentence(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    code, said = refused(folder, capsys, monkeypatch, *words)
    assert code == 1
    assert re.search(message, said), said
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_written_to_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = refused(folder, capsys, monkeypatch, "--out", str(folder / "truth.csv" / "out"))
    assert code == 2
    assert re.search(r"cannot write to .*truth\.csv.out: .*; name another folder", said)


def test_the_choices_of_the_command_are_those_of_the_engine() -> None:
    def choices(annotated: Any) -> set[str]:
        return {word for part in get_args(get_args(annotated)[0]) for word in words_of(part)}

    def words_of(part: Any) -> tuple[str, ...]:
        return (part,) if isinstance(part, str) else get_args(part)

    assert choices(command.Kind) == set(get_args(Interval))
    assert choices(command.Calibrate) == set(CALIBRATORS)


def test_the_help_is_in_groups() -> None:
    plain = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    call = [sys.executable, "-m", "hilum", "evaluate", "--help"]
    text = subprocess.run(call, capture_output=True, text=True, check=True, env=plain).stdout
    groups = ["Tables", "Thresholds and calibration", "Readers, subgroups, another model"]
    for title in [*groups, "Intervals and tests", "Output"]:
        assert f"─ {title} ─" in text


def test_the_published_readers_come_out_of_the_command(
    data_dir: Path, tmp_path: Path, app: typer.Typer
) -> None:
    data = data_dir / "chexpert-test-labels"
    words = [str(data / "predictions/hieupham_predictions.csv"), str(data / "groundtruth.csv")]
    for name in ("bc4", "bc6", "bc8"):
        words += ["--readers", str(data / "benchmark_radiologists" / f"{name}.csv")]
    words += ["--id", "Study", "--interval", "chexzero", "--out", str(tmp_path), "--no-plots"]
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    means = {
        name: (reader["mean"]["f1"]["estimate"], reader["mean"]["mcc"]["estimate"])
        for name, reader in found["readers"].items()
    }
    expected = {"bc4": (0.6192, 0.5450), "bc6": (0.5899, 0.4911), "bc8": (0.6389, 0.5527)}
    assert {name: tuple(np.round(pair, 4)) for name, pair in means.items()} == expected
    auroc = found["mean"]["auroc"]
    assert [round(auroc[k], 4) for k in ("estimate", "bootstrap_mean", "low", "high")] == [
        *(0.9243, 0.9242, 0.9104, 0.9375)
    ]
