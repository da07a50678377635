"""Intervals and p-values from resamples: hand-worked, against scipy, and as laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from hilum.evaluate.intervals import Measure, bca, bca_p_value, chexzero, p_value, percentile

Floats = NDArray[np.float64]


def test_the_interval_is_the_middle_of_the_replicates() -> None:
    measure = percentile(0.4, np.arange(101) / 100, 0.9)
    assert [measure.low, measure.high] == pytest.approx([0.05, 0.95])
    assert (measure.estimate, measure.undefined, measure.reason) == (0.4, 0, None)


def test_undefined_replicates_are_left_out_and_counted() -> None:
    measure = percentile(0.5, np.array([0.2, np.nan, 0.6]), 0.95)
    assert measure.undefined == 1
    assert measure.high == pytest.approx(0.59)


def test_mostly_undefined_replicates_make_no_interval() -> None:
    measure = percentile(0.5, np.array([0.2, np.nan, np.nan]), 0.95)
    assert (measure.low, measure.high, measure.undefined) == (None, None, 2)
    assert measure.reason == "no interval: undefined in 2 of 3 resamples"


def test_no_resamples_make_no_interval_and_no_fuss() -> None:
    assert percentile(0.5, np.array([]), 0.95) == Measure(0.5)
    assert bca(0.5, np.array([]), np.zeros(3), 0.95) == Measure(0.5)


def means(n: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return skewed data, 30,000 resampled means of it, and the mean's influence values."""
    rng = np.random.default_rng(seed)
    data = rng.exponential(size=n)
    drawn = data[rng.integers(n, size=(30_000, n))].mean(axis=1)
    return data, drawn, (data - data.mean()) / n


def test_bca_is_scipys() -> None:
    data, drawn, influence = means(30, 0)
    ours = bca(float(data.mean()), drawn, influence, 0.95)
    theirs = stats.bootstrap(
        (data,), np.mean, n_resamples=30_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.03)
    plain = percentile(float(data.mean()), drawn, 0.95)
    assert ours.high is not None
    assert plain.high is not None
    assert ours.high > plain.high  # the data lean to the right: the correction is at work


def test_bca_without_bias_and_skewness_is_the_percentile_interval() -> None:
    drawn = np.linspace(-1, 1, 2001)
    found = bca(0.0, drawn, np.array([-1.0, 1.0, -2.0, 2.0]), 0.9)
    expected = percentile(0.0, drawn, 0.9)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high])


def test_bca_has_no_interval_where_all_resamples_lie_on_one_side() -> None:
    found = bca(1.0, np.array([0.2, 0.4, np.nan]), np.array([0.1, -0.1]), 0.95)
    assert found.reason == "no interval: every resample lies on one side of the estimate"
    assert (found.low, found.undefined) == (None, 1)


def test_chexzeros_ends_are_one_place_lower_than_a_quantile() -> None:
    found = chexzero(0.0, np.arange(1000.0)[::-1], 0.95)
    assert (found.low, found.high) == (24.0, 974.0)
    assert found.bootstrap_mean == 499.5


def test_chexzero_sorts_undefined_resamples_last_but_counts_them() -> None:
    values = np.arange(1000.0)
    values[983:] = np.nan  # as many as Pleural Other has in the CheXpert test set
    found = chexzero(0.0, values, 0.95)
    assert (found.low, found.high, found.undefined) == (24.0, 974.0, 17)
    assert found.bootstrap_mean == 491.0
    values[970:] = np.nan
    found = chexzero(0.0, values, 0.95)
    assert found.high is None
    assert found.reason == "no interval: undefined in 30 of 1000 resamples"


def test_a_p_value_counts_the_resamples_beyond_zero() -> None:
    drawn = np.array([-1.0] * 3 + [1.0] * 96)
    assert p_value(drawn) == pytest.approx(2 * 4 / 100)
    assert p_value(-drawn) == pytest.approx(2 * 4 / 100)
    assert p_value(np.ones(99)) == pytest.approx(2 / 100)
    assert p_value(np.zeros(99)) == 1.0
    assert p_value(np.array([])) is None
    assert p_value(np.array([1.0, np.nan, np.nan])) is None


@given(st.integers(0, 10**6), st.floats(-1, 1))
def test_a_p_value_is_below_5_percent_when_the_interval_leaves_zero_out(
    seed: int, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    data = rng.exponential(size=20)
    estimate = float(data.mean()) - 1 + shift
    drawn = data[rng.integers(20, size=(999, 20))].mean(axis=1) - 1 + shift
    influence = (data - data.mean()) / 20
    for found, p in (
        (percentile(estimate, drawn, 0.95), p_value(drawn)),
        (bca(estimate, drawn, influence, 0.95), bca_p_value(estimate, drawn, influence)),
    ):
        assert found.low is not None
        assert found.high is not None
        assert p is not None
        if found.low > 0 or found.high < 0:
            assert p <= 0.05 + 0.005
        else:
            assert p >= 0.05 - 0.005


def test_bca_p_values_are_bounded_by_the_resamples_and_undefined_without_them() -> None:
    influence = np.array([0.1, -0.1])
    assert bca_p_value(1.0, np.array([]), influence) is None
    assert bca_p_value(2.0, np.array([0.5, 1.0]), influence) is None  # no bias can be found
    assert bca_p_value(1.0, np.array([0.5, 1.5] * 50), influence) == pytest.approx(2 / 101)
    assert bca_p_value(0.0, np.zeros(99), influence) == 1.0
