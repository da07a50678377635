"""Repeats of one experiment: averages, paired, over the same patients."""

import numpy as np
import pytest

from hilum.errors import TableError, UsageError
from hilum.evaluate import compare, compare_repeats, evaluate, evaluate_repeats
from hilum.tables import Table

FINDINGS = ("Edema", "Mass")


def truth_and_scores(repeats: int, seed: int = 0) -> tuple[Table, list[Table]]:
    rng = np.random.default_rng(seed)
    present = rng.random((90, 2)) < 0.4
    ids = tuple(f"image-{n}" for n in range(90))
    patients = tuple(f"patient-{n // 3}" for n in range(90))
    truth = Table(ids, FINDINGS, present.astype(float), extra={"patient_id": patients})
    noisy = [Table(ids, FINDINGS, present + rng.normal(size=(90, 2))) for _ in range(repeats)]
    return truth, noisy


def test_the_estimate_is_the_plain_mean_over_repeats() -> None:
    truth, scores = truth_and_scores(4)
    each = [evaluate(table, truth, bootstrap=0) for table in scores]
    expected = [one.mean["auroc"].estimate for one in each]
    found = evaluate_repeats(scores, truth, bootstrap=50)
    assert found.mean.estimate == pytest.approx(np.mean(expected))  # type: ignore[arg-type]
    assert found.spread == pytest.approx(np.std(expected, ddof=1))  # type: ignore[arg-type]
    edema = [one.findings["Edema"].measures["auroc"].estimate for one in each]
    assert found.findings["Edema"].estimate == pytest.approx(np.mean(edema))  # type: ignore[arg-type]
    assert found.repeats == 4


def test_one_repeat_is_evaluate_to_the_last_digit() -> None:
    truth, scores = truth_and_scores(1)
    found = evaluate_repeats(scores, truth, seed=3)
    assert found.mean == evaluate(scores[0], truth, seed=3).mean["auroc"]
    assert found.spread is None


def test_one_pair_is_compare_to_the_last_digit() -> None:
    truth, scores = truth_and_scores(2)
    found = compare_repeats(scores[:1], scores[1:], truth, seed=3)
    assert found.mean == compare(scores[0], scores[1], truth, seed=3).difference.mean["auroc"]


def test_another_statistic_is_averaged_where_it_is_named() -> None:
    truth, scores = truth_and_scores(2)
    found = evaluate_repeats(scores, truth, statistics=("average_precision",))
    each = [evaluate(t, truth).mean["average_precision"].estimate for t in scores]
    assert found.mean.estimate == pytest.approx(np.mean(each))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="name one statistic to average; got auroc, brier"):
        evaluate_repeats(scores, truth, statistics=("auroc", "brier"))


def test_a_table_differs_from_itself_by_nothing() -> None:
    truth, scores = truth_and_scores(3)
    found = compare_repeats(scores, scores, truth, bootstrap=20)
    assert (found.mean.estimate, found.mean.low, found.mean.high) == (0.0, 0.0, 0.0)


def test_averaging_repeats_narrows_the_interval_less_than_independent_patients_would() -> None:
    truth, scores = truth_and_scores(6)
    one, six = (evaluate_repeats(scores[:n], truth) for n in (1, 6))
    assert one.mean.low is not None
    assert one.mean.high is not None
    assert six.mean.low is not None
    assert six.mean.high is not None
    narrowed = (six.mean.high - six.mean.low) / (one.mean.high - one.mean.low)
    assert 6**-0.5 / 2 < narrowed < 1


def test_a_finding_without_positives_is_undefined_and_left_out_of_the_mean() -> None:
    truth, scores = truth_and_scores(2)
    values = truth.values.copy()
    values[:, 1] = 0
    truth = Table(truth.ids, FINDINGS, values, extra=truth.extra)
    found = evaluate_repeats(scores, truth, bootstrap=20)
    assert found.findings["Mass"].estimate is None
    assert found.findings["Mass"].reason == "undefined in at least one repeat"
    assert found.mean.estimate == found.findings["Edema"].estimate


def test_nothing_to_average_and_unequal_pairs_are_refused() -> None:
    truth, scores = truth_and_scores(3)
    with pytest.raises(UsageError, match="no table of scores was given"):
        evaluate_repeats([], truth)
    with pytest.raises(UsageError, match="compared in pairs; got 2 and 1"):
        compare_repeats(scores[:2], scores[2:], truth)
    with pytest.raises(TableError, match="no finding 'Mass'"):
        evaluate_repeats([scores[0].select(["Edema"])], truth)
