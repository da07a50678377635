"""Curves against counting, scikit-learn, and the laws that tie them to AUROC and precision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from sklearn import metrics

import reference_curves as reference
from hilum.evaluate import curves
from hilum.evaluate.curves import (
    precision_recall_curve,
    roc_bands,
    roc_curve,
    roc_heights,
    staircase,
    thinned,
)
from hilum.evaluate.draws import Draws
from hilum.evaluate.ranking import rank

Floats = NDArray[np.float64]

SCORES, TRUTH = np.array([0.8, 0.6, 0.6, 0.4, 0.2]), np.array([1.0, 1.0, 0.0, 0.0, 0.0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Few distinct scores, so that ties are common; both classes."""
    n = draw(st.integers(2, 25))
    scores = draw(arrays.arrays(np.float64, n, elements=st.integers(-4, 4).map(float)))
    truth = draw(arrays.arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])))
    truth[:2] = (0.0, 1.0)
    return scores, truth


def many(n: int, prevalence: float, levels: int = 10**6) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(n)
    truth = (rng.random(n) < prevalence).astype(float)
    truth[:2] = (0, 1)
    return np.round((rng.normal(size=n) + 1.2 * truth) * levels) / levels, truth


# ------------------------------------------------------------------------------- points


def test_a_hand_worked_roc_curve_crosses_ties_on_a_slant() -> None:
    fpr, tpr, thresholds = roc_curve(SCORES, TRUTH)
    np.testing.assert_allclose(thresholds, [np.inf, 0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(fpr, [0, 0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(tpr, [0, 0.5, 1, 1, 1])


def test_a_hand_worked_precision_recall_curve_starts_at_the_first_image_called() -> None:
    precision, recall, thresholds = precision_recall_curve(SCORES, TRUTH)
    np.testing.assert_allclose(thresholds, [0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(precision, [1, 2 / 3, 2 / 4, 2 / 5])
    np.testing.assert_allclose(recall, [0.5, 1, 1, 1])


@pytest.mark.parametrize("levels", [2, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("prevalence", [0.1, 0.9])
def test_both_agree_with_scikit_learn_point_by_point(
    prevalence: float, weighted: bool, levels: int
) -> None:
    scores, truth = many(300, prevalence, levels)
    weights = np.random.default_rng(1).integers(0, 3, 300).astype(float) if weighted else None
    for ours, theirs in zip(
        roc_curve(scores, truth, weights),
        metrics.roc_curve(truth, scores, sample_weight=weights, drop_intermediate=False),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs)
    there = np.ones(300, dtype=bool) if weights is None else weights > 0
    precision, recall, thresholds = metrics.precision_recall_curve(
        truth[there], scores[there], sample_weight=None if weights is None else weights[there]
    )
    ours_pr = precision_recall_curve(scores, truth, weights)
    # scikit-learn goes the other way and ends with a point at recall 0, of invented precision 1
    np.testing.assert_allclose(ours_pr[0], precision[:-1][::-1])
    np.testing.assert_allclose(ours_pr[1], recall[:-1][::-1])
    np.testing.assert_allclose(ours_pr[2], thresholds[::-1])


@given(cases())
def test_the_roc_curve_agrees_with_counting_at_every_threshold(case: tuple[Floats, Floats]) -> None:
    fpr, tpr, _ = roc_curve(*case)
    np.testing.assert_allclose(list(zip(fpr, tpr, strict=True)), reference.roc_by_thresholds(*case))


@given(cases(), st.lists(st.integers(0, 3), min_size=25, max_size=25))
def test_a_weight_is_a_repetition(case: tuple[Floats, Floats], repeats: list[int]) -> None:
    times = np.array(repeats[: case[0].size])
    again = np.repeat(case[0], times), np.repeat(case[1], times)
    for curve in (roc_curve, precision_recall_curve):
        for weighted, repeated in zip(curve(*case, times), curve(*again), strict=True):
            np.testing.assert_allclose(weighted, repeated)


@given(cases())
def test_the_areas_are_auroc_and_average_precision(case: tuple[Floats, Floats]) -> None:
    scores, truth = case
    fpr, tpr, _ = roc_curve(*case)
    assert np.trapezoid(tpr, fpr) == pytest.approx(metrics.roc_auc_score(truth, scores))
    precision, recall, _ = precision_recall_curve(*case)
    x, y = staircase(recall, precision)
    area = metrics.average_precision_score(truth, scores)
    assert np.trapezoid(y, x) == pytest.approx(area)


def test_unknown_labels_take_no_part() -> None:
    fpr, tpr, thresholds = roc_curve([3, 2, 1, np.nan], [1, np.nan, 0, np.nan])
    assert (fpr.tolist(), tpr.tolist()) == ([0, 0, 1], [0, 1, 1])
    assert thresholds.tolist() == [np.inf, 3, 1]


def test_rates_of_a_class_that_is_absent_are_undefined() -> None:
    fpr, tpr, _ = roc_curve([3, 2], [0, 0])
    assert np.isnan(tpr).all()
    np.testing.assert_allclose(fpr, [0, 0.5, 1])
    precision, recall, _ = precision_recall_curve([3, 2], [0, 0])
    assert precision.tolist() == [0, 0]
    assert np.isnan(recall).all()
    fpr, tpr, thresholds = roc_curve([], [])
    assert (fpr.size, tpr.size, thresholds.size) == (1, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1, 0]), "one-dimensional and of one length"),
        (([1.0, 2.0], [1, -1]), "decide about uncertain labels first"),
        (([1.0, np.nan], [1, 0]), "NaN or infinite where the truth is known"),
        (([1.0, 2.0], [1, 0], [1.0, -1.0]), "weights must be 2 finite numbers, none below 0"),
        (([1.0, 2.0], [1, 0], [1.0]), "weights must be 2 finite numbers, none below 0"),
    ],
)
def test_what_has_no_curve_is_refused(arguments: tuple[list[float], ...], message: str) -> None:
    for curve in (roc_curve, precision_recall_curve):
        with pytest.raises(ValueError, match=message):
            curve(*arguments)


# ------------------------------------------------------------------------------- thinning


def test_the_inside_of_a_straight_run_goes_and_its_corners_stay() -> None:
    x, y = thinned([0, 0, 0, 1, 2, 2, 3], [0, 1, 2, 2, 2, 2, 3])
    assert (x.tolist(), y.tolist()) == ([0, 0, 2, 3], [0, 2, 2, 3])


@pytest.mark.parametrize("tolerance", [0, 0.01])
def test_a_tooth_that_stands_on_itself_stays(tolerance: float) -> None:
    tooth = [0.0, 0.5, 0.5, 0.5, 0.5, 1.0], [0.2, 0.2, 0.9, 0.9, 0.3, 0.3]
    _, y = thinned(*tooth, tolerance)
    assert 0.9 in y.tolist()


def test_a_tooth_that_sticks_out_beyond_both_ends_stays() -> None:
    x, y = thinned([0.5, 0.5, 0.5], [0.2, 0.9, 0.3], 0.01)
    assert (x.tolist(), y.tolist()) == ([0.5, 0.5, 0.5], [0.2, 0.9, 0.3])


@given(cases())
def test_thinning_without_tolerance_changes_no_area(case: tuple[Floats, Floats]) -> None:
    fpr, tpr, _ = roc_curve(*case)
    x, y = thinned(fpr, tpr)
    assert np.trapezoid(y, x) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-12)
    precision, recall, _ = precision_recall_curve(*case)
    stairs = staircase(recall, precision)
    x, y = thinned(*stairs)
    assert np.trapezoid(y, x) == pytest.approx(np.trapezoid(stairs[1], stairs[0]), abs=1e-12)


@settings(max_examples=40)
@given(cases(), st.sampled_from([0.01, 0.05, 0.2]))
def test_what_is_left_out_lies_within_the_tolerance_of_the_new_line(
    case: tuple[Floats, Floats], tolerance: float
) -> None:
    precision, recall, _ = precision_recall_curve(*case)
    for x, y in (roc_curve(*case)[:2], staircase(recall, precision)):
        thin_x, thin_y = thinned(x, y, tolerance)
        points = list(zip(x, y, strict=True))
        kept = list(zip(thin_x, thin_y, strict=True))
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert set(kept) <= set(points)
        far = max(reference.distance_to_line(point, thin_x, thin_y) for point in points)
        assert far <= tolerance + 1e-12


@pytest.mark.parametrize("prevalence", [0.01, 0.3])
def test_a_hundred_thousand_points_become_a_few_hundred_and_the_area_stays(
    prevalence: float,
) -> None:
    fpr, tpr, _ = roc_curve(*many(100_000, prevalence))
    assert fpr.size > 90_000
    x, y = thinned(fpr, tpr)
    assert x.size < fpr.size / 3
    assert np.trapezoid(y, x) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-12)
    x, y = thinned(fpr, tpr, 0.001)
    assert x.size < 400
    assert abs(float(np.trapezoid(y, x)) - float(np.trapezoid(tpr, fpr))) < 2 * 0.001


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([0.0, 1.0], [0.0], r"of one length; got shapes \(2,\) and \(1,\)"),
        ([0.0, np.nan], [0.0, 1.0], "must be finite: leave out what is undefined"),
    ],
)
def test_a_line_must_be_one(x: list[float], y: list[float], message: str) -> None:
    for function in (thinned, staircase):
        with pytest.raises(ValueError, match=message):
            function(x, y)


def test_lines_of_no_point_and_of_one_stay_as_they_are() -> None:
    assert [part.tolist() for part in thinned([], [], 0.1)] == [[], []]
    assert [part.tolist() for part in thinned([0.5], [1.0], 0.1)] == [[0.5], [1.0]]


# ------------------------------------------------------------------------------- bands

GRID = np.array([0.0, 0.1, 1 / 3, 0.5, 1.0])


@given(cases(), st.lists(st.integers(0, 2), min_size=25, max_size=25))
def test_heights_agree_with_the_curve_of_the_images_laid_out(
    case: tuple[Floats, Floats], repeats: list[int]
) -> None:
    scores, truth = case
    times = np.array(repeats[: scores.size])
    ones = np.ones(scores.size)
    heights = roc_heights(rank(scores, truth), np.stack([times, ones], axis=1), GRID)
    again = np.repeat(scores, times), np.repeat(truth, times)
    for column, (s, t) in enumerate([again, case]):
        if not (t == 1).any() or not (t == 0).any():
            assert np.isnan(heights[:, column]).all()
            continue
        points = reference.roc_by_thresholds(s, t)
        expected = [reference.height_by_segments(points, at) for at in GRID]
        np.testing.assert_allclose(heights[:, column], expected, atol=1e-12)


def test_a_band_holds_the_percentiles_of_curves_drawn_again_and_again() -> None:
    scores, truth = many(60, 0.3, levels=5)
    units = np.arange(60) // 2
    rankings = [rank(scores, truth, units), rank(-scores, truth, units)]
    draws = Draws(30, resamples=200, seed=3)
    low, high = roc_bands(rankings, draws, GRID, level=0.8)
    ((_, weights),) = draws.counts(200)
    for row, sign in enumerate((1, -1)):
        heights = []
        for column in weights.T.astype(int):
            times = column[units]
            s, t = np.repeat(sign * scores, times), np.repeat(truth, times)
            points = reference.roc_by_thresholds(s, t)
            heights.append([reference.height_by_segments(points, at) for at in GRID])
        np.testing.assert_allclose(low[row], np.quantile(heights, 0.1, axis=0), atol=1e-12)
        np.testing.assert_allclose(high[row], np.quantile(heights, 0.9, axis=0), atol=1e-12)


def test_a_band_does_not_depend_on_the_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ranking, draws = rank(*many(50, 0.3)), Draws(50, resamples=40, seed=0)
    whole = roc_bands([ranking], draws, GRID)
    monkeypatch.setattr(curves, "MEMORY", 1)
    np.testing.assert_array_equal(roc_bands([ranking], draws, GRID), whole)


def test_resamples_without_both_classes_are_left_out_of_a_band() -> None:
    scores, truth = np.arange(6.0), np.array([0.0, 0, 0, 0, 0, 1])
    ranking = rank(scores, truth)
    low, high = roc_bands([ranking], Draws(6, resamples=100), GRID)
    np.testing.assert_allclose([low, high], 1)  # the positive is on top whenever it is there
    nobody = rank(scores, np.zeros(6))
    low, high = roc_bands([nobody], Draws(6, resamples=10), GRID)
    assert np.isnan([low, high]).all()
