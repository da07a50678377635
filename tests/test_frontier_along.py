"""One number of a whole curve: labels needed and areas, by hand and by law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hilum.frontier.along import Needed, between, crossing, height, labels_needed, mean_along

HEIGHTS = st.floats(0.3, 1.0)


def test_a_target_between_two_points_lies_on_the_line_over_the_logarithm() -> None:
    found = crossing([10, 100], [[0.6, 0.8], [0.6, 0.7], [0.4, 0.9]], [0.7, 0.7, 0.5])
    # half-way in the logarithm; exactly at the last point; a fifth of the way
    np.testing.assert_allclose(found, [10**1.5, 100, 10**1.2])


def test_a_curve_may_be_there_at_once_never_or_be_unknown() -> None:
    found = crossing([5, 20], [[0.9, 0.5], [0.5, 0.6], [0.5, np.nan], [0.5, 0.6]],
                     [0.8, 0.8, 0.4, np.nan])  # fmt: skip
    np.testing.assert_allclose(found, [5, np.inf, np.nan, np.nan])


def test_the_first_crossing_counts_where_a_curve_falls_again() -> None:
    assert crossing([1, 10, 100], [[0.0, 1.0, 0.0]], [0.5])[0] == pytest.approx(10**0.5)


@given(arrays(float, 5, elements=HEIGHTS), arrays(float, 5, elements=st.floats(0, 0.3)), HEIGHTS)
def test_a_higher_curve_never_needs_more_labels(
    curve: np.ndarray, rise: np.ndarray, target: float
) -> None:
    labels = [5, 10, 20, 50, 100]
    lower, higher = crossing(labels, [curve, curve + rise], [target, target])
    assert higher <= lower * (1 + 1e-9)


@given(arrays(float, 4, elements=HEIGHTS), st.integers(2, 9), HEIGHTS)
def test_counting_labels_by_the_dozen_changes_nothing_else(
    curve: np.ndarray, factor: int, target: float
) -> None:
    labels = np.array([5, 10, 20, 50])
    few, many = (crossing(x, curve[None], [target])[0] for x in (labels, labels * factor))
    np.testing.assert_allclose(few * factor, many)
    np.testing.assert_allclose(mean_along(labels, curve), mean_along(labels * factor, curve))


def test_an_interval_reaches_beyond_the_points_where_resamples_do() -> None:
    curves = np.array([[0.5, 0.8]] * 60 + [[0.5, 0.6]] * 40)
    found = labels_needed((10, 100), np.array([0.5, 0.8]), curves, 0.65, np.full(100, 0.65), 0.95)
    assert found.estimate == pytest.approx(10**1.5)
    assert found.low == pytest.approx(10**1.5)
    assert found.high is None
    assert found.reached == 0.6
    assert found.as_text() == "32 (32 to more than 100)"


def test_resamples_without_the_statistic_are_left_out() -> None:
    curves = np.array([[0.5, 0.7]] * 3 + [[np.nan, 0.7]] * 7)
    found = labels_needed((10, 100), curves[0], curves, 0.6, np.full(10, 0.6), 0.95)
    assert found.low == found.high == pytest.approx(10**1.5)
    assert found.reached == 1


def test_each_resample_has_a_target_of_its_own() -> None:
    curves = np.array([[0.5, 0.7]] * 2)
    found = labels_needed((10, 100), curves[0], curves, 0.6, np.array([0.6, 0.7]), 0.95)
    assert found.low == pytest.approx(10**1.5)
    assert found.high == pytest.approx(100)


@pytest.mark.parametrize(
    ("needed", "text"),
    [
        (Needed(None, None, None, 500, 5, 0.0), "more than 500"),
        (Needed(None, 480.0, None, 1000, 5, 0.1), "more than 1,000 (480 to more than 1,000)"),
        (Needed(5.0, 5.0, 12.4, 500, 5, 1.0), "5 or fewer (5 or fewer to 12)"),
    ],
)
def test_labels_needed_are_said_as_far_as_they_are_known(needed: Needed, text: str) -> None:
    assert needed.as_text() == text


def test_the_mean_along_labels_is_the_area_by_hand() -> None:
    # 10 to 100 is one decade at 0.6 on average, 100 to 10,000 two at 0.8
    assert mean_along([10, 100, 10_000], [0.5, 0.7, 0.9]) == pytest.approx((0.6 + 2 * 0.8) / 3)
    assert mean_along([7], [0.4]) == pytest.approx(0.4)


@given(arrays(float, (2, 3), elements=HEIGHTS), arrays(float, (2, 30, 3), elements=HEIGHTS))
def test_the_area_between_curves_changes_its_sign_with_their_order(
    curves: np.ndarray, drawn: np.ndarray
) -> None:
    labels = (5, 10, 50)
    one, other = ((curves[at], drawn[at]) for at in (0, 1))
    first, second = between(labels, one, other, 0.9), between(labels, other, one, 0.9)
    assert first.estimate is not None
    assert first.low is not None
    assert second.estimate == pytest.approx(-first.estimate)
    assert second.high == pytest.approx(-first.low)
    assert first.p_value == second.p_value
    heights = [height(labels, *side, 0.9).estimate for side in (one, other)]
    assert first.estimate == pytest.approx(heights[0] - heights[1])  # type: ignore[operator]
