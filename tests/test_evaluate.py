"""From tables to metrics: joins, policies, undefined findings, files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilum.errors import TableError, UsageError
from hilum.evaluate import Measure, auroc, compare, evaluate
from hilum.evaluate.text import as_text
from hilum.tables import Table

FINDINGS = ("Edema", "Mass", "Pneumonia")


def tables(n: int = 120, seed: int = 0) -> tuple[Table, Table]:
    """Two images per patient; Edema is scored well, Mass by chance, Pneumonia never seen."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"i{i}" for i in range(n))
    truth = (rng.random((n, 3)) < 0.4).astype(float)
    truth[:, 2] = 0
    truth[rng.random(n) < 0.1, 0] = np.nan
    scores = rng.normal(size=(n, 3))
    scores[:, 0] += 2 * np.nan_to_num(truth[:, 0])
    patients = tuple(f"p{i // 2}" for i in range(n))
    return Table(ids, FINDINGS, scores), Table(ids, FINDINGS, truth, {"patient_id": patients})


def test_metrics_hold_counts_estimates_and_intervals() -> None:
    scores, truth = tables()
    metrics = evaluate(scores, truth, bootstrap=200)
    edema = metrics.findings["Edema"]
    known = ~np.isnan(truth.values[:, 0])
    assert edema.n == int(known.sum())
    assert edema.positives == int(np.nansum(truth.values[:, 0]))
    measure = edema.measures["auroc"]
    assert measure.estimate == auroc(scores.values[:, 0], truth.values[:, 0])
    assert measure.low is not None
    assert measure.high is not None
    assert measure.low < measure.estimate < measure.high
    assert metrics.settings["resampled"] == "patient_id"
    assert metrics.settings["units"] == 60


def test_rows_columns_and_spare_scores_in_any_order_change_nothing() -> None:
    scores, truth = tables()
    turned = scores.take(np.arange(len(scores))[::-1]).select(FINDINGS[::-1])
    extra = Table(("spare",), turned.findings, np.zeros((1, 3)))
    more = Table(extra.ids + turned.ids, turned.findings, np.vstack([extra.values, turned.values]))
    plain, other = (evaluate(table, truth, bootstrap=50) for table in (scores, more))
    assert other.findings == plain.findings
    assert other.settings["scored_without_truth"] == 1
    assert "1 scored ids are not in the truth." in other.remarks()


def test_one_class_is_null_with_a_reason_and_not_in_the_mean() -> None:
    metrics = evaluate(*tables(), bootstrap=50)
    found = metrics.to_json()
    assert found["findings"]["Pneumonia"]["auroc"] == {
        "estimate": None, "low": None, "high": None
    }  # fmt: skip
    assert (found["findings"]["Pneumonia"]["n"], found["findings"]["Pneumonia"]["positives"]) == (
        120,
        0,
    )
    reason = "none of the 120 known labels is positive"
    assert found["undefined"]["Pneumonia"]["auroc"] == {"reason": reason, "resamples": 0}
    assert found["mean"]["auroc"]["findings"] == 2
    estimates = [metrics.findings[name].measures["auroc"].estimate for name in ("Edema", "Mass")]
    assert metrics.mean["auroc"].estimate == pytest.approx(np.mean(np.array(estimates, float)))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([np.nan, np.nan, np.nan], "no image has a known label"),
        ([1, 1, np.nan], "none of the 2 known labels is negative"),
    ],
)
def test_reasons_name_what_is_missing(labels: list[float], reason: str) -> None:
    values = np.array([labels, [1, 0, 1]]).T
    truth = Table(("a", "b", "c"), ("Edema", "Mass"), values)
    scores = Table(truth.ids, truth.findings, np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0.4]]))
    metrics = evaluate(scores, truth, bootstrap=20)
    assert metrics.findings["Edema"].measures["auroc"] == Measure(None, reason=reason)


def test_nothing_defined_has_a_mean_of_nothing() -> None:
    one = Table(("a", "b"), ("Edema",), np.ones((2, 1)))
    metrics = evaluate(one, one, bootstrap=20)
    assert metrics.mean["auroc"] == Measure(None, reason="no finding is defined")
    assert "undefined" in metrics.to_text()


def test_a_finding_that_could_not_be_scored_says_why() -> None:
    scores, truth = tables()
    values = scores.values.copy()
    values[:, 0] = np.nan
    empty = Table(scores.ids, FINDINGS, values, notes={"Edema": "no labelled image"})
    metrics = evaluate(empty, truth, bootstrap=20)
    assert metrics.findings["Edema"].measures["auroc"].reason == "no scores: no labelled image"


def test_a_score_missing_for_some_images_is_an_error_that_counts_them() -> None:
    scores, truth = tables()
    values = scores.values.copy()
    values[[3, 5], 1] = np.nan
    with pytest.raises(TableError, match=r"Mass has no score for 2 of the 120 .* first is 'i3'"):
        evaluate(Table(scores.ids, FINDINGS, values), truth)


def test_scores_in_the_place_of_the_truth_are_noticed() -> None:
    scores, truth = tables()
    with pytest.raises(
        TableError, match=r"the truth of 'i0' for Edema is .* scores in the place of"
    ):
        evaluate(truth, scores)


@pytest.mark.parametrize(
    ("policy", "n", "positives"), [("ignore", 3, 1), ("positive", 4, 2), ("negative", 4, 1)]
)
def test_uncertain_labels_count_as_the_policy_says(policy: Any, n: int, positives: int) -> None:
    truth = Table(("a", "b", "c", "d"), ("Edema",), np.array([[1], [-1], [0], [0]]))
    scores = Table(truth.ids, ("Edema",), np.array([[4], [3], [2], [1]]))
    found = evaluate(scores, truth, bootstrap=0, policy=policy).findings["Edema"]
    assert (found.n, found.positives) == (n, positives)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "keep"}, "choose the policy ignore, positive or negative"),
        ({"policy": "coin"}, "'coin' is not a label policy"),
        ({"bootstrap": -1}, "bootstrap must be 0 or more resamples, got -1"),
        ({"level": 1.0}, r"level must lie between 0 and 1, got 1\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(*tables(), **settings)


def test_no_resamples_leave_the_estimates() -> None:
    metrics = evaluate(*tables(), bootstrap=0)
    assert metrics.findings["Edema"].measures["auroc"].low is None
    assert metrics.findings["Edema"].measures["auroc"].reason is None


def test_without_patients_images_are_resampled_and_it_is_said() -> None:
    scores, truth = tables()
    bare = Table(truth.ids, truth.findings, truth.values)
    metrics = evaluate(scores, bare, bootstrap=20)
    assert metrics.settings["resampled"] == "image"
    assert any("intervals are too narrow" in line for line in metrics.remarks())
    assert evaluate(scores, truth, by=None, bootstrap=20).findings == metrics.findings


def test_a_column_to_resample_by_must_be_there_and_full() -> None:
    scores, truth = tables()
    with pytest.raises(TableError, match=r"cannot resample by 'site': .* are: patient_id"):
        evaluate(scores, truth, by="site")
    holes = Table(truth.ids, truth.findings, truth.values, {"patient_id": (None, "") * 60})
    with pytest.raises(TableError, match="'patient_id': it is empty for 120 of the truth's 120"):
        evaluate(scores, holes)


def test_one_patient_alone_has_estimates_but_no_interval() -> None:
    scores, truth = tables()
    alone = Table(truth.ids, truth.findings, truth.values, {"patient_id": ("p",) * 120})
    metrics = evaluate(scores, alone, bootstrap=20)
    assert metrics.mean["auroc"].reason == "no interval: there is one unit only"
    reason = metrics.findings["Edema"].measures["auroc"].reason
    assert reason == "no interval: all positive images belong to one patient"


def test_a_mean_of_a_resample_needs_every_finding() -> None:
    # the second finding has two positives: about 13 % of resamples have none, and in those the
    # mean is undefined too
    truth = np.zeros((40, 2))
    truth[::2, 0] = 1
    truth[:2, 1] = 1
    ids = tuple(map(str, range(40)))
    scores = Table(ids, FINDINGS[:2], np.random.default_rng(0).normal(size=(40, 2)))
    metrics = evaluate(scores, Table(ids, FINDINGS[:2], truth), bootstrap=400)
    lost = metrics.findings["Mass"].measures["auroc"].undefined
    assert 20 < lost < 100
    assert metrics.mean["auroc"].undefined == lost
    assert any(line.startswith(f"Mass: undefined in {lost} of 400") for line in metrics.remarks())


def test_a_comparison_is_paired() -> None:
    scores, truth = tables()
    rng = np.random.default_rng(1)
    near = Table(scores.ids, FINDINGS, scores.values + 0.01 * rng.normal(size=(120, 3)))
    found = compare(scores, near, truth, bootstrap=200)
    own, gap = (m.findings["Edema"].measures["auroc"] for m in (found.first, found.difference))
    assert None not in (own.low, own.high, gap.low, gap.high)
    assert gap.high - gap.low < (own.high - own.low) / 5  # type: ignore[operator]
    assert found.first.findings == evaluate(scores, truth, bootstrap=200).findings


def test_a_table_does_not_differ_from_itself() -> None:
    scores, truth = tables()
    found = compare(scores, scores, truth, bootstrap=20)
    assert found.difference.mean["auroc"] == Measure(0.0, 0.0, 0.0, p_value=1.0)
    assert found.difference.findings["Pneumonia"].measures["auroc"].estimate is None
    assert all(len(line) <= 80 for line in found.to_text().splitlines())


def test_a_comparison_needs_a_finding_in_all_three() -> None:
    scores, truth = tables()
    with pytest.raises(TableError, match="no finding is in the truth and in both score tables"):
        compare(scores.select(["Edema"]), scores.select(["Mass"]), truth)


def test_files_hold_the_same_numbers(tmp_path: Path) -> None:
    metrics = evaluate(*tables(), bootstrap=50)
    metrics.save(tmp_path / "new" / "folder")
    saved = json.loads((tmp_path / "new" / "folder" / "metrics.json").read_text())
    assert saved == metrics.to_json()
    rows = (tmp_path / "new" / "folder" / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("finding,n,positives,auroc,auroc_low,auroc_high,average_precision")
    assert rows[3] == "Pneumonia,120,0" + "," * 3 * len(metrics.mean)
    assert rows[4].startswith(f"mean,,,{metrics.mean['auroc'].estimate}")


def test_the_terminal_table_fits_80_columns() -> None:
    scores, truth = tables()
    names = ("Enlarged Cardiomediastinum", "A finding with a name that is far too long", "Mass")
    text = evaluate(
        Table(scores.ids, names, scores.values), Table(truth.ids, names, truth.values)
    ).to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "A finding with a name tha… " in text


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (Measure(0.5, 0.25, 0.75), "0.500 (0.250-0.750)"),
        (Measure(0.0, -0.25, 0.25), "0.000 (-0.250 to 0.250)"),
        (Measure(0.5), "0.500"),
        (Measure(0.5, reason="x"), "0.500 (undefined)"),
        (Measure(None, reason="x"), "undefined"),
    ],
)
def test_a_measure_as_text(measure: Measure, text: str) -> None:
    assert as_text(measure) == text
