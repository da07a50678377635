"""Verdicts on a margin, by hand, by law and from a bootstrap."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from hilum.errors import UsageError
from hilum.evaluate.noninferiority import (
    NonInferiority,
    bootstrap_noninferiority,
    noninferiority,
)


@pytest.mark.parametrize(
    ("estimate", "low", "noninferior", "superior"),
    [
        (0.05, 0.05 - 0.0391993, True, True),
        (0.00, 0.00 - 0.0391993, True, False),
        (-0.02, -0.02 - 0.0391993, False, False),
    ],
)
def test_a_hand_worked_case(estimate: float, low: float, noninferior: bool, superior: bool) -> None:
    # 1.959964 * 0.02 = 0.0391993, to be kept above -0.05
    found = noninferiority(estimate, 0.02, margin=0.05)
    assert found.low == pytest.approx(low, abs=1e-7)
    assert (found.noninferior, found.superior) == (noninferior, superior)
    assert found.p_value == pytest.approx(stats.norm.sf((estimate + 0.05) / 0.02))


def test_few_degrees_of_freedom_ask_for_more() -> None:
    assert noninferiority(0, 0.02, margin=0.05).noninferior
    strict = noninferiority(0, 0.02, margin=0.05, df=3)
    assert not strict.noninferior
    assert strict.low == pytest.approx(-0.02 * 3.182446, abs=1e-7)
    assert strict.p_value == pytest.approx(stats.t.sf(2.5, 3))


@given(
    st.floats(-1, 1),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
    st.one_of(st.floats(1, 100), st.just(math.inf)),
    st.floats(0.5, 0.99),
)
@settings(max_examples=50)
def test_the_interval_and_the_one_sided_p_value_agree(
    estimate: float, error: float, margin: float, df: float, level: float
) -> None:
    found = noninferiority(estimate, error, margin, df=df, level=level)
    assert found.p_value is not None
    assume(abs(found.p_value - (1 - level) / 2) > 1e-9)
    assert found.noninferior == (found.p_value < (1 - level) / 2)


@given(st.integers(0, 10**6), st.floats(0.01, 2), st.floats(0.5, 0.99))
@settings(max_examples=30)
def test_what_is_superior_is_not_inferior_and_a_wider_margin_asks_for_less(
    seed: int, margin: float, level: float
) -> None:
    drawn = np.random.default_rng(seed).normal(size=200)
    found = bootstrap_noninferiority(drawn, margin, level=level)
    wider = bootstrap_noninferiority(drawn, 2 * margin, level=level)
    assert found.noninferior or not found.superior
    assert wider.noninferior or not found.noninferior
    assert wider.low == found.low
    assert found.p_value is not None
    assert wider.p_value is not None
    assert wider.p_value <= found.p_value


def test_a_bootstrap_is_judged_by_its_lower_percentile() -> None:
    replicates = np.arange(1001) / 1000 - 0.1  # the 2.5th percentile is -0.075
    found = bootstrap_noninferiority(replicates, margin=0.08)
    assert found.low == pytest.approx(-0.075)
    assert (found.noninferior, found.superior) == (True, False)
    assert found.p_value == pytest.approx((1 + 20) / 1002, abs=1.1 / 1002)
    assert bootstrap_noninferiority(replicates, margin=0.07).noninferior is False
    assert bootstrap_noninferiority(replicates + 0.2, margin=0.07).superior is True


def test_a_normal_bootstrap_gives_the_verdict_of_its_standard_error() -> None:
    drawn = stats.norm.ppf((np.arange(4000) + 0.5) / 4000, loc=0.01, scale=0.02)
    found = bootstrap_noninferiority(drawn, margin=0.03)
    expected = noninferiority(0.01, 0.02, margin=0.03)
    assert found.low == pytest.approx(expected.low, abs=1e-4)
    assert found.p_value == pytest.approx(expected.p_value, abs=1e-3)


def test_undefined_resamples_are_left_out_and_too_many_leave_no_verdict() -> None:
    drawn = np.array([0.1, 0.2, np.nan])
    assert bootstrap_noninferiority(drawn, margin=0.5).p_value == pytest.approx(1 / 3)
    found = bootstrap_noninferiority([0.1, np.nan, np.nan], margin=0.5)
    assert found == NonInferiority(
        0.5, 0.95, None, None, None, None, "no verdict: undefined in 2 of 3 resamples"
    )


def test_no_standard_error_makes_no_verdict() -> None:
    found = noninferiority(0.0, 0.0, margin=0.05)
    assert (found.noninferior, found.superior, found.p_value) == (None, None, None)
    assert found.reason == "no verdict: the standard error is 0"


@pytest.mark.parametrize("margin", [0, -0.05, math.inf, math.nan])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(UsageError, match="a non-inferiority margin must be above 0, got"):
        noninferiority(0.1, 0.1, margin)
    with pytest.raises(UsageError, match="superiority, a margin of 0, is judged along with it"):
        bootstrap_noninferiority([0.1], margin)


def test_other_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="level must lie between 0 and 1, got 1"):
        noninferiority(0.1, 0.1, 0.1, level=1)
    with pytest.raises(UsageError, match="level must lie between 0 and 1, got 0"):
        bootstrap_noninferiority([0.1], 0.1, level=0)


@pytest.mark.parametrize(
    ("estimate", "error", "df"), [(math.nan, 1, 1), (0, -1, 1), (0, math.nan, 1), (0, 1, 0)]
)
def test_numbers_that_are_no_difference_are_refused(
    estimate: float, error: float, df: float
) -> None:
    with pytest.raises(ValueError, match=r"expected a finite estimate, a standard error of 0 or"):
        noninferiority(estimate, error, 0.1, df=df)


def test_no_replicates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one-dimensional, not empty; got \(0,\)"):
        bootstrap_noninferiority([], 0.1)
