"""Yes-or-no readings: hand-worked, against scikit-learn, where undefined, and their slopes."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

import reference
from hilum.evaluate.decisions import STATISTICS, WHY_UNDEFINED, Decisions, decide

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = tuple[int, int, int, int]  # TP, FP, FN, TN

few = settings(max_examples=40, deadline=None)

SCIKIT_LEARN: dict[str, Callable[..., float]] = {
    "f1": sklearn_metrics.f1_score,
    "sensitivity": sklearn_metrics.recall_score,
    "ppv": sklearn_metrics.precision_score,
    # of the other class
    "specificity": lambda *a, **k: sklearn_metrics.recall_score(*a, pos_label=0, **k),
    "npv": lambda *a, **k: sklearn_metrics.precision_score(*a, pos_label=0, **k),
}


@dataclass(frozen=True)
class Case:
    """Readings of some patients' images; the last patients may have none."""

    called: Floats
    truth: Floats
    units: Ints
    n_units: int

    def decisions(self) -> Decisions:
        return decide(self.called, self.truth, self.units, self.n_units)


@st.composite
def cases(draw: st.DrawFn, least: int = 0) -> Case:
    n, n_units = draw(st.integers(least, 25)), draw(st.integers(1, 8))
    values = st.sampled_from([0.0, 1.0, 1.0, 0.0, np.nan])
    called, truth = (draw(arrays.arrays(np.float64, n, elements=values)) for _ in range(2))
    called[:4], truth[:4] = (1, 1, 0, 0)[:n], (1, 0, 1, 0)[:n]
    units = draw(arrays.arrays(np.int64, n, elements=st.integers(0, n_units - 1)))
    return Case(called, truth, units, n_units + draw(st.integers(0, 2)))


def of_counts(counts: Counts) -> dict[str, float]:
    found = Decisions(np.array([counts], dtype=float)).measure(np.ones((1, 1)))
    return {name: float(values[0]) for name, values in found.items()}


def of_case(case: Case) -> dict[str, float]:
    found = case.decisions().measure(np.ones((case.n_units, 1)))
    return {name: float(values[0]) for name, values in found.items()}


def test_a_hand_worked_table() -> None:
    # 10 positives, 8 of them called; 20 negatives, 5 of them called
    found = of_counts((8, 5, 2, 15))
    assert found == {
        "f1": pytest.approx(16 / 23),
        "mcc": pytest.approx((8 * 15 - 5 * 2) / (13 * 17 * 10 * 20) ** 0.5),
        "sensitivity": pytest.approx(8 / 10),
        "specificity": pytest.approx(15 / 20),
        "ppv": pytest.approx(8 / 13),
        "npv": pytest.approx(15 / 17),
    }


def test_readings_are_counted_per_unit() -> None:
    called, truth = [1, 1, 1, 0, 0, 1, np.nan, 1], [1, 0, 0, 1, 0, 1, 1, np.nan]
    found = decide(called, truth, [0, 0, 0, 0, 2, 2, 2, 1], 4)
    assert found.counts.tolist() == [[1, 2, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    whole = found.confusion
    assert [float(n) for n in (whole.tp, whole.fp, whole.fn, whole.tn)] == [2, 2, 1, 1]


@few
@given(cases())
def test_statistics_are_scikit_learns(case: Case) -> None:
    both = ~np.isnan(case.called) & ~np.isnan(case.truth)
    called, truth = case.called[both], case.truth[both]
    ours = of_case(case)
    for name, theirs in SCIKIT_LEARN.items():
        expected = theirs(truth, called, zero_division=np.nan) if called.size else np.nan
        assert ours[name] == pytest.approx(expected, nan_ok=True), name
    if np.unique(called).size == np.unique(truth).size == 2:
        assert ours["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(truth, called))
    else:
        assert np.isnan(ours["mcc"])  # scikit-learn has 0 here


@pytest.mark.parametrize(
    ("counts", "undefined"),
    [
        ((1, 1, 1, 1), set()),
        ((1, 0, 0, 1), set()),
        ((0, 1, 1, 0), set()),
        ((0, 0, 0, 9), {"f1", "mcc", "sensitivity", "ppv"}),
        ((9, 0, 0, 0), {"mcc", "specificity", "npv"}),
        ((0, 3, 0, 4), {"mcc", "sensitivity"}),
        ((3, 0, 4, 0), {"mcc", "specificity"}),
        ((3, 4, 0, 0), {"mcc", "npv"}),
        ((0, 0, 3, 4), {"mcc", "ppv"}),
        ((0, 0, 0, 0), set(STATISTICS)),
    ],
)
def test_what_is_divided_by_nothing_is_undefined(counts: Counts, undefined: set[str]) -> None:
    found = of_counts(counts)
    assert {name for name, value in found.items() if np.isnan(value)} == undefined
    slopes = Decisions(np.array([counts, counts], dtype=float)).influence()
    for name, values in slopes.items():
        assert np.isnan(values).tolist() == [name in undefined] * 2, name


def test_each_statistic_that_may_be_undefined_says_why() -> None:
    assert set(WHY_UNDEFINED) == set(STATISTICS)


@few
@given(cases(least=4))
def test_influence_is_the_slope_of_each_statistic(case: Case) -> None:
    decisions = case.decisions()
    slow = reference.slopes_by_differences(decisions.measure, decisions.n_units)
    fast = decisions.influence()
    assert set(fast) == set(decisions.names) == set(STATISTICS)
    for name, values in fast.items():
        np.testing.assert_allclose(values, slow[name], atol=1e-6, err_msg=name)
        assert values.sum() == pytest.approx(0, abs=1e-12)


def test_hand_worked_influences() -> None:
    # one image in each cell: F1 = 2/4; a true positive more is 4/6, to first order + 1/4
    found = decide([1, 1, 0, 0], [1, 0, 1, 0]).influence()
    np.testing.assert_allclose(found["f1"], [0.25, -0.125, -0.125, 0])
    np.testing.assert_allclose(found["sensitivity"], [0.25, 0, -0.25, 0])
    np.testing.assert_allclose(found["npv"], [0, 0, -0.25, 0.25])
    np.testing.assert_allclose(found["mcc"], [0.25, -0.25, -0.25, 0.25])


@few
@given(cases(), st.data())
def test_a_weight_is_a_repetition_of_the_whole_unit(case: Case, data: st.DataObject) -> None:
    weights = data.draw(arrays.arrays(np.int64, case.n_units, elements=st.integers(0, 3)))
    times = weights[case.units]
    called, truth = np.repeat(case.called, times), np.repeat(case.truth, times)
    again = Case(called, truth, np.repeat(case.units, times), case.n_units)
    weighted = case.decisions().measure(weights[:, None].astype(float))
    for name, value in of_case(again).items():
        assert weighted[name] == pytest.approx(value, nan_ok=True), name


@few
@given(cases(least=4), st.integers(0, 1000), st.sampled_from([1e-9, 7.3, 1e90]))
def test_weightings_together_are_weightings_one_by_one_on_any_scale(
    case: Case, seed: int, factor: float
) -> None:
    weights = np.random.default_rng(seed).exponential(size=(case.n_units, 3))
    weights[:, 0] = 0
    decisions = case.decisions()
    together = decisions.measure(weights)
    for at in range(3):
        for name, value in decisions.measure(factor * weights[:, [at]]).items():
            np.testing.assert_allclose(value, together[name][[at]], rtol=1e-9, atol=1e-12)
    assert all(np.isnan(values[0]) for values in together.values())


@few
@given(st.tuples(*[st.integers(1, 10**8)] * 4))
def test_very_many_images_keep_every_digit_of_mcc(counts: Counts) -> None:
    tp, fp, fn, tn = counts
    margins = (tp + fp) * (fn + tn) * (tp + fn) * (fp + tn)  # whole numbers: exact
    squared = float(Fraction((tp * tn - fp * fn) ** 2, margins))
    found = of_counts(counts)["mcc"]
    assert found == pytest.approx(np.sign(tp * tn - fp * fn) * squared**0.5, abs=1e-9)


@pytest.mark.parametrize(
    ("called", "truth", "units", "message"),
    [
        ([1], [1, 0], None, r"one length; got shapes \(1,\), \(2,\) and \(1,\)"),
        ([[1, 0]], [[1, 0]], None, r"one-dimensional and of one length; got shapes \(1, 2\)"),
        ([[1, 0]], [[1, 0]], [[0, 0]], r"one-dimensional and of one length"),
        ([1, 0], [1, 0], [0], r"decisions, truth and units .* \(2,\), \(2,\) and \(1,\)"),
        ([0.5, 0], [1, 0], None, "decisions and truth must be 1, 0 or NaN"),
        ([1, 0], [1, -1], None, "decisions and truth must be 1, 0 or NaN"),
        ([1, 0], [1, 0], [0, 2], "units must be whole numbers from 0 to 1, got 0 to 2"),
    ],
)
def test_what_is_no_reading_is_refused(called: Any, truth: Any, units: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decide(called, truth, units, 2)
