"""Calibration: bins and sums by hand, by loops and by scikit-learn; maps fitted and applied."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

import reference_calibration as reference
from hilum.errors import TableError, UsageError
from hilum.evaluate.calibration import (
    Probabilities,
    equal_count,
    equal_width,
    reliability,
    why_not_probabilities,
)
from hilum.evaluate.calibrators import (
    CALIBRATORS,
    HOTTEST,
    Isotonic,
    Platt,
    Temperature,
    fit,
    scale_of,
)
from hilum.evaluate.logistic import LEAST, fit_line, log_odds
from hilum.evaluate.proportions import wilson
from hilum.evaluate.recalibration import Calibration, Fitted, fit_calibration, load_calibration
from hilum.findings import canonical
from hilum.tables import Table, read_table

Floats = NDArray[np.float64]

NAN = float("nan")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Probabilities in sixteenths, so that ties, edges, 0 and 1 are common; both classes."""
    n = draw(st.integers(4, 24))
    scores = draw(arrays.arrays(np.float64, n, elements=st.integers(0, 16).map(float))) / 16
    truth = draw(arrays.arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])))
    truth[:2] = (0.0, 1.0)
    return scores, truth


def simulated(
    n: int, seed: int, shift: float = 0.0, sharp: float = 1.0
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Scores whose log-odds are `sharp` times too far out and `shift` too high, truth, units."""
    rng = np.random.default_rng(seed)
    odds: Floats = rng.normal(-1, 1.5, n)
    truth: Floats = (rng.random(n) < expit(odds)).astype(float)
    scores: Floats = expit(sharp * odds + shift)
    return scores, truth, rng.integers(0, n // 2, n)


# What the scores are worth


def test_a_hand_worked_brier_score_and_calibration_error() -> None:
    scores, truth = [0.1, 0.3, 0.6, 0.7, 0.9], [0, 1, 0, 1, 1]
    found = Probabilities.of(scores, truth, bins=2).measure(np.ones((5, 1)))
    assert found["brier"] == pytest.approx((0.01 + 0.49 + 0.36 + 0.09 + 0.01) / 5)
    # [0, 1/2]: 2 images, mean score .2, half of them positive; (1/2, 1]: 3, mean 2.2/3, 2/3
    assert found["ece"] == pytest.approx(2 / 5 * 0.3 + 3 / 5 * (2.2 / 3 - 2 / 3))


@given(case=cases(), bins=st.integers(1, 20))
@settings(max_examples=60)
def test_both_statistics_agree_with_the_slow_ones(case: tuple[Floats, Floats], bins: int) -> None:
    scores, truth = case
    truth[2] = np.nan
    found = Probabilities.of(scores, truth, bins=bins).measure(np.ones((len(scores), 1)))
    assert found["brier"][0] == pytest.approx(reference.brier(scores, truth))
    slow = reference.calibration_error(scores, truth, bins)
    assert found["ece"][0] == pytest.approx(slow, abs=1e-12)


def test_the_brier_score_agrees_with_scikit_learn_with_and_without_weights() -> None:
    scores, truth, _ = simulated(500, 0)
    weights = np.random.default_rng(1).integers(0, 4, size=(500, 3)).astype(float)
    found = Probabilities.of(scores, truth).measure(weights)["brier"]
    theirs = [brier_score_loss(truth, scores, sample_weight=column) for column in weights.T]
    np.testing.assert_allclose(found, theirs, rtol=1e-12)


@given(case=cases(), data=st.data())
@settings(max_examples=60)
def test_weights_repeat_whole_units(case: tuple[Floats, Floats], data: st.DataObject) -> None:
    scores, truth = case
    units = data.draw(arrays.arrays(np.int64, len(scores), elements=st.integers(0, 5)))
    instrument = Probabilities.of(scores, truth, units, n_units=6)
    weights = data.draw(arrays.arrays(np.float64, (6, 2), elements=st.integers(0, 3).map(float)))
    found = instrument.measure(weights)
    for column in range(2):
        rows = np.repeat(np.arange(len(scores)), weights[units, column].astype(int))
        again = Probabilities.of(scores[rows], truth[rows]).measure(np.ones((len(rows), 1)))
        for name in instrument.names:
            assert found[name][column] == pytest.approx(again[name][0], abs=1e-12, nan_ok=True)


def test_influence_is_the_derivative_by_a_units_weight() -> None:
    scores, truth, units = simulated(60, 3)
    truth[::7] = np.nan
    instrument = Probabilities.of(scores, truth, units, n_units=31)
    assert (instrument.n_units, instrument.names) == (31, ("brier", "ece"))
    step = 1e-6
    weights = 1 + step * np.hstack([np.eye(31), -np.eye(31)])
    moved = instrument.measure(weights)
    for name, found in instrument.influence().items():
        slopes = (moved[name][:31] - moved[name][31:]) / (2 * step)
        np.testing.assert_allclose(found, slopes, atol=1e-8)
        assert found.sum() == pytest.approx(0, abs=1e-12)
        assert np.abs(found).max() > 1e-3


def test_a_bin_that_is_exactly_right_has_no_influence_on_the_calibration_error() -> None:
    found = Probabilities.of([0.5, 0.5, 0.9], [1, 0, 0], bins=2)
    assert found.influence()["ece"] == pytest.approx([-0.1, -0.1, 0.2])


@pytest.mark.parametrize("scores", [[-0.1, 0.5, 0.2], [0.5, 1.0001, 0.2], [np.inf, 0.1, 0.2]])
def test_scores_that_are_no_probabilities_leave_both_undefined(scores: list[float]) -> None:
    instrument = Probabilities.of(scores, [0, 1, 1])
    for found in (instrument.measure(np.ones((3, 2))), instrument.influence()):
        assert all(np.isnan(values).all() for values in found.values())


def test_no_known_label_leaves_both_undefined() -> None:
    found = Probabilities.of([0.5, NAN], [NAN, NAN])
    assert np.isnan([*found.measure(np.ones((2, 1))).values()]).all()
    assert np.isnan([*found.influence().values()]).all()
    assert np.isnan(Probabilities.of([0.5], [1]).measure(np.zeros((1, 1)))["ece"]).all()


def test_why_scores_are_no_probabilities() -> None:
    assert why_not_probabilities([0, 0.5, 1, NAN]) is None
    assert why_not_probabilities([NAN]) is None
    assert why_not_probabilities([0.5, 1.76857]) == (
        "the scores are not probabilities: they go from 0.5 to 1.769; calibrate them on "
        "validation images to get some"
    )


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        ([0.1, 0.2], [1], r"of one length; got shapes \(2,\), \(1,\) and \(2,\)"),
        ([0.1, 0.2], [1, -1], "truth must be 1, 0 or NaN: decide about uncertain labels"),
        ([0.1, NAN], [1, 0], "a score is NaN where the truth is known"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    scores: list[float], truth: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Probabilities.of(scores, truth)


@pytest.mark.parametrize("measure", [reliability, Probabilities.of])
def test_no_bins_are_refused(measure: Any) -> None:
    with pytest.raises(UsageError, match="there must be 1 or more bins, got 0"):
        measure([0.1, 0.2], [1, 0], bins=0)


# Reliability


def test_the_bins_of_equal_width_end_on_their_upper_edge() -> None:
    scores = np.array([0.0, 0.07, 0.0701, 0.29, 0.57, 0.58, 1.0])
    assert equal_width(scores, 100).tolist() == [0, 6, 7, 28, 56, 57, 99]
    assert equal_width(np.arange(16) / 15, 15).tolist() == [0, *range(15)]


@given(scores=arrays.arrays(np.float64, st.integers(1, 40), elements=st.integers(0, 9).map(float)))
def test_bins_of_equal_count_never_part_equal_scores(scores: Floats) -> None:
    place = equal_count(scores, 4)
    assert place.min() >= 0
    assert place.max() <= 3
    order = np.argsort(scores, kind="stable")
    assert (np.diff(place[order]) >= 0).all()
    assert all(len(set(place[scores == score].tolist())) == 1 for score in scores)


def test_bins_of_equal_count_are_equal_where_no_scores_are() -> None:
    scores = np.random.default_rng(0).random(60)
    assert np.bincount(equal_count(scores, 15)).tolist() == [4] * 15
    # ten images, six of them at 0: the middle of the six lies in the first third
    tied = np.array([0, 0, 0, 0, 0, 0, 1, 2, 3, 4.0])
    assert equal_count(tied, 3).tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize(("spacing", "theirs"), [("width", "uniform"), ("count", "quantile")])
def test_the_curve_agrees_with_scikit_learn(spacing: str, theirs: str) -> None:
    scores, truth, _ = simulated(600, 5)
    found = reliability(scores, truth, bins=12, spacing=spacing)
    observed, expected = calibration_curve(truth, scores, n_bins=12, strategy=theirs)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.expected, expected)
    assert found.counts.sum() == 600


def test_each_bin_has_wilsons_interval_over_patients() -> None:
    scores, truth = [0.1, 0.2, 0.3, 0.4, 0.9, 0.9, NAN], [0, 1, 0, 0, 1, 1, NAN]
    alone = reliability(scores, truth, bins=2)
    assert alone.counts.tolist() == [4, 2]
    assert alone.expected == pytest.approx([0.25, 0.9])
    assert alone.observed == pytest.approx([0.25, 1.0])
    quarter = wilson([0, 1, 0, 0], [1, 1, 1, 1])
    assert (alone.low[0], alone.high[0]) == (quarter.low, quarter.high)
    # two patients in the first bin, one in the second: nothing tells how patients differ there
    grouped = reliability(scores, truth, [0, 0, 1, 1, 2, 2, 3], bins=2)
    paired = wilson([1, 0], [2, 2])
    assert (grouped.low[0], grouped.high[0]) == (paired.low, paired.high)
    assert np.isnan([grouped.low[1], grouped.high[1]]).all()
    wide = reliability(scores, truth, bins=2, level=0.99)
    assert wide.low[0] < alone.low[0] < alone.high[0] < wide.high[0]


def test_a_curve_of_nothing_is_empty() -> None:
    found = reliability([0.5], [NAN])
    assert [len(x) for x in (found.expected, found.observed, found.low, found.high)] == [0] * 4
    assert found.counts.size == 0


def test_a_curve_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not probabilities: they go from 0\.2 to 1\.5"):
        reliability([0.2, 1.5], [0, 1])
    with pytest.raises(UsageError, match="'log' is not a spacing of bins; choose width or count"):
        reliability([0.2, 0.5], [0, 1], spacing="log")


# Lines


def test_a_hard_line_is_still_found() -> None:
    """Two images on the wrong side of ten thousand, and one so far out that Newton overshoots."""
    x = np.concatenate([np.linspace(-1, 1, 10_000), [-1e6]])
    labels = (x > 0).astype(float)
    labels[[4999, 5000]] = (1.0, 0.0)
    slope, intercept = fit_line(x, labels)
    residual = expit(slope * x + intercept) - labels
    assert [residual.sum(), residual[:-1] @ x[:-1]] == pytest.approx([0, 0], abs=1e-5)
    assert slope > 1000


def test_a_line_beyond_floats_is_refused_and_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that differ in their tenth digit can leave a system that no step solves."""

    def singular(*_: Floats) -> Floats:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(np.linalg, "solve", singular)
    scores, labels = [0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1]
    with pytest.raises(ValueError, match="too few scores differ, and by too little, for a line"):
        fit("platt", scores, labels)


# Maps fitted on validation images


def test_log_odds_are_finite_and_strictly_rising_up_to_the_ends() -> None:
    scores = np.array([0, 1e-12, 1e-9, 1e-6, 0.3, 0.5, 1 - 1e-9, 1])
    odds = log_odds(scores)
    assert (np.diff(odds) > 0).all()
    assert odds[[0, -1]] == pytest.approx([np.log(LEAST), -np.log(LEAST)], rel=1e-6)
    assert odds[4] == pytest.approx(logit(0.3), abs=1e-5)


def test_a_hand_worked_temperature() -> None:
    # log-odds ±ln 9, right three times of four: the best probability is 3/4, so T = ln 9 / ln 3
    found = fit("temperature", [0.9, 0.9, 0.9, 0.1], [1, 1, 0, 0])
    assert isinstance(found, Temperature)
    assert found.temperature == pytest.approx(2, rel=1e-4)
    assert found.apply([0.9, 0.1, 0.5, NAN]) == pytest.approx([0.75, 0.25, 0.5, NAN], nan_ok=True)
    odds = [np.log(9), np.log(9), np.log(9), -np.log(9)]
    cooled = fit("temperature", odds, [1, 1, 0, 0])
    assert isinstance(cooled, Temperature)
    assert cooled.temperature == pytest.approx(2)
    assert cooled.scale == "log-odds"


def test_hand_worked_platt_scaling() -> None:
    # at each of two scores three images; targets 4/5 and 1/5 (Platt's 3 + 1 of 3 + 2), so the
    # curve passes through (4/5 + 4/5 + 1/5) / 3 = 0.6 and 0.4
    scores, truth = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1], [1, 1, 0, 1, 0, 0]
    found = fit("platt", scores, truth)
    assert isinstance(found, Platt)
    assert found.apply([0.9, 0.1, NAN]) == pytest.approx([0.6, 0.4, NAN], nan_ok=True)
    assert found.slope == pytest.approx(np.log(1.5) / np.log(9), rel=1e-4)
    assert found.intercept == pytest.approx(0, abs=1e-9)


def test_a_hand_worked_isotonic_curve() -> None:
    scores, truth = [0.1, 0.2, 0.3, 0.4, 0.5, 0.5], [0, 1, 0, 1, 1, 1]
    found = fit("isotonic", scores, truth)
    assert found == Isotonic((0.1, 0.2, 0.3, 0.4, 0.5), (0.0, 0.5, 0.5, 1.0, 1.0))
    # level beyond the ends, straight between the corners
    expected = [0, 0.25, 0.5, 0.75, 1, NAN]
    assert found.apply([-3, 0.15, 0.25, 0.35, 7, NAN]) == pytest.approx(expected, nan_ok=True)


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of scikit-learn whose scores are there already."""

    def __init__(self) -> None:
        self.classes_ = np.array([0, 1])

    def fit(self, _: Floats, __: Floats) -> "Given":
        return self

    def decision_function(self, scores: Floats) -> Floats:
        return scores[:, 0]

    def predict(self, scores: Floats) -> Floats:
        return (scores[:, 0] > 0).astype(float)


@pytest.mark.parametrize("n", [40, 400])
def test_platt_scaling_agrees_with_scikit_learn(n: int) -> None:
    scores, truth, _ = simulated(n, n, 1.0, 2.0)
    odds = log_odds(scores)[:, None]
    theirs = CalibratedClassifierCV(
        FrozenEstimator(Given()), method="sigmoid", cv=2, ensemble=False
    )
    theirs.fit(odds, truth)
    ours = fit("platt", scores, truth).apply(scores)
    np.testing.assert_allclose(ours, theirs.predict_proba(odds)[:, 1], atol=1e-4)


@given(cases())
@settings(max_examples=60)
def test_isotonic_curves_agree_with_scikit_learn(case: tuple[Floats, Floats]) -> None:
    scores, truth = case
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)
    between = np.linspace(-0.1, 1.1, 50)
    found = fit("isotonic", scores, truth).apply(between)
    np.testing.assert_allclose(found, theirs.predict(between), atol=1e-9)


@given(cases())
@settings(max_examples=60)
def test_no_temperature_and_no_rising_curve_is_likelier(case: tuple[Floats, Floats]) -> None:
    scores, truth = case
    within = expit(log_odds(scores))  # 0 and 1 count as one in a million
    before = reference.log_loss(within, truth)
    cooled = fit("temperature", scores, truth)
    assert isinstance(cooled, Temperature)
    loss = reference.log_loss(cooled.apply(scores), truth)
    assert loss <= before + 1e-9
    for factor in (0.9, 1.1):
        other = expit(log_odds(scores) / (factor * cooled.temperature))
        assert loss <= reference.log_loss(other, truth) + 1e-9 or cooled.note
    curve = fit("isotonic", scores, truth).apply(scores)
    assert reference.log_loss(curve, truth) <= before + 1e-9
    assert reference.brier(curve, truth) <= reference.brier(scores, truth) + 1e-9


@given(cases())
@settings(max_examples=60)
def test_no_line_is_likelier_for_platts_targets(case: tuple[Floats, Floats]) -> None:
    scores, truth = case
    try:
        found = fit("platt", scores, truth)
    except ValueError:
        return
    assert isinstance(found, Platt)
    n, p = len(truth), truth.sum()
    targets = np.where(truth == 1, (p + 1) / (p + 2), 1 / (n - p + 2))
    odds = log_odds(scores)
    loss = reference.log_loss(found.apply(scores), targets)
    lines = [
        (1.0, 0.0),
        (found.slope * 1.01, found.intercept),
        (found.slope, found.intercept + 0.01),
    ]
    for slope, intercept in lines:
        assert loss <= reference.log_loss(expit(slope * odds + intercept), targets) + 1e-9


LEVEL = np.array([0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 6, 12, 16, 16, 16, 16, 16, 16]) / 16


@pytest.mark.parametrize("method", ["temperature", "platt"])
@example(case=(LEVEL, (np.arange(20) == 3).astype(float)), scale=40.0)  # a slope of 1e-17
@given(case=cases(), scale=st.sampled_from([1.0, 40.0]))
@settings(max_examples=60)
def test_temperature_and_platt_keep_the_ranking(
    method: str, case: tuple[Floats, Floats], scale: float
) -> None:
    scores, truth = case[0] * scale, case[1]
    try:
        found = fit(method, scores, truth)
    except ValueError as reason:
        assert "higher scores go with absence" in str(reason) or "equal" in str(reason)  # noqa: PT017
        return
    if found.note is None:  # at the coldest bound the probabilities are 0 and 1 to all digits
        after = found.apply(scores)
        assert roc_auc_score(truth, after) == pytest.approx(roc_auc_score(truth, scores))


def test_calibrated_scores_need_no_calibration() -> None:
    scores, truth, _ = simulated(20_000, 8)
    cooled, line = fit("temperature", scores, truth), fit("platt", scores, truth)
    assert isinstance(cooled, Temperature)
    assert isinstance(line, Platt)
    assert cooled.temperature == pytest.approx(1, abs=0.04)
    assert (line.slope, line.intercept) == pytest.approx((1, 0), abs=0.05)
    curve = fit("isotonic", scores, truth).apply(scores)
    assert np.abs(curve - scores).mean() < 0.02


@pytest.mark.parametrize("method", CALIBRATORS)
def test_every_calibrator_mends_new_images_and_travels_as_json(method: str) -> None:
    scores, truth, _ = simulated(4000, 9, 0.0, 2.5)
    fresh, labels, _ = simulated(4000, 10, 0.0, 2.5)
    found = fit(method, scores, truth)
    ones = np.ones((4000, 1))
    before = Probabilities.of(fresh, labels).measure(ones)
    after = Probabilities.of(found.apply(fresh), labels).measure(ones)
    assert after["ece"] < before["ece"] / 3
    assert after["brier"] < before["brier"]
    whole = Calibration(method, {"Mass": Fitted(found, 4000, 900)}, "probability", "val")
    assert Calibration.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_scores_beyond_0_and_1_are_log_odds_already() -> None:
    scores, truth, _ = simulated(500, 11, 0.5, 2.0)
    odds = log_odds(scores)
    assert (scale_of(scores), scale_of(odds)) == ("probability", "log-odds")
    for method in ("temperature", "platt"):
        ours, theirs = fit(method, scores, truth), fit(method, odds, truth)
        assert not isinstance(theirs, Isotonic)
        assert theirs.scale == "log-odds"
        np.testing.assert_allclose(ours.apply(scores), theirs.apply(odds), rtol=1e-9)
    narrow = fit("temperature", [0.1, 0.9], [1, 0], "log-odds")
    assert isinstance(narrow, Temperature)
    assert narrow.scale == "log-odds"


def test_a_temperature_that_would_run_away_stops_at_its_bound_and_says_so() -> None:
    apart = fit("temperature", [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert isinstance(apart, Temperature)
    assert apart.temperature == 1 / HOTTEST
    assert "no image is on the wrong side of 0.5" in (apart.note or "")
    backwards = fit("temperature", [0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0])
    assert isinstance(backwards, Temperature)
    assert backwards.temperature == HOTTEST
    assert "higher scores do not go with the finding" in (backwards.note or "")
    assert backwards.apply([0.1, 0.9]) == pytest.approx([0.5, 0.5], abs=0.01)


def test_platt_scaling_stays_finite_where_a_threshold_separates_the_classes() -> None:
    found = fit("platt", [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert isinstance(found, Platt)
    assert 0 < found.slope < 2
    assert found.apply([0.1, 0.9]) == pytest.approx([0.25, 0.75], abs=0.1)


def test_an_isotonic_curve_of_useless_scores_is_level_and_says_so() -> None:
    found = fit("isotonic", [0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0])
    assert found.note == "higher scores do not go with the finding: all get the prevalence"
    assert found.apply([0.1, 0.9]).tolist() == [0.5, 0.5]


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match=r"higher scores go with absence, .* \(a slope of -0"):
        fit("platt", [0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0])
    with pytest.raises(ValueError, match="all scores are equal"):
        fit("platt", [0.3, 0.3], [1, 0])
    with pytest.raises(ValueError, match="none of the 2 known labels is negative"):
        fit("isotonic", [0.1, 0.2], [1, 1])
    with pytest.raises(UsageError, match="'beta' is not a calibration; choose from temperature, p"):
        fit("beta", [0.1, 0.2], [1, 0])
    found = fit("platt", [0.1, 0.9, 0.8], [0, 1, 0])
    message = r"fitted to scores between 0 and 1, and these go from 0\.5 to 1\.7; are they of anoth"
    with pytest.raises(ValueError, match=message):
        found.apply([0.5, 1.7])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Temperature(0.0, "probability"), "temperature must be above 0, got 0.0"),
        (lambda: Temperature(NAN, "probability"), "temperature must be above 0, got nan"),
        (lambda: Temperature(1.0, "odds"), "scale must be probability or log-odds, got odds"),  # type: ignore[arg-type]
        (lambda: Platt(-1.0, 0.0, "probability"), "slope must be above 0, got -1.0"),
        (lambda: Platt(1.0, NAN, "probability"), "intercept must be finite, got nan"),
        (lambda: Platt(1.0, 0.0, "odds"), "scale must be probability or log-odds, got odds"),  # type: ignore[arg-type]
        (lambda: Isotonic((), ()), "corners of an isotonic curve must rise"),
        (lambda: Isotonic((1.0, 1.0), (0.0, 1.0)), "corners of an isotonic curve must rise"),
        (lambda: Isotonic((0.0, 1.0), (0.5, 0.4)), "corners of an isotonic curve must rise"),
        (lambda: Isotonic((0.0, 1.0), (0.5, 1.5)), "corners of an isotonic curve must rise"),
        (lambda: Isotonic((0.0, 1.0), (0.5,)), "corners of an isotonic curve must rise"),
    ],
)  # fmt: skip
def test_a_calibrator_that_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# Tables


def table(ids: str, **columns: list[float]) -> Table:
    return Table(tuple(ids), tuple(columns), np.array([*columns.values()], dtype=float).T)


VALIDATION = table(
    "dcba", Mass=[0.1, 0.9, 0.9, 0.9], Edema=[0.1, 0.2, 0.8, 0.9], Hernia=[0.5, 0.5, 0.5, 0.5]
)
TRUTH = table("abcd", Edema=[0, 0, -1, 1], Mass=[1, 1, 0, 0], Hernia=[0, 0, 0, NAN])


def test_tables_are_joined_by_id_and_by_name_and_fitted_finding_by_finding() -> None:
    found = fit_calibration(VALIDATION, TRUTH, "temperature", source="val.csv")
    mass = found.findings["Mass"]
    assert isinstance(mass.calibrator, Temperature)
    assert mass.calibrator.temperature == pytest.approx(2, rel=1e-4)
    assert (mass.n, mass.positives) == (4, 2)
    assert (found.findings["Edema"].n, found.scale, found.source) == (3, "probability", "val.csv")
    assert found.findings["Hernia"] == Fitted(None, 3, 0, "none of the 3 known labels is positive")
    assert fit_calibration(VALIDATION, TRUTH, "platt", "positive").findings["Edema"].n == 4
    new = found.apply(table("xy", Hernia=[0.1, 0.2], Mass=[0.9, NAN], Nodule=[0.1, 0.2]))
    assert new.column("Mass") == pytest.approx([0.75, NAN], nan_ok=True)
    assert np.isnan([new.column("Hernia"), new.column("Nodule")]).all()
    assert new.notes == {
        "Hernia": "not calibrated: none of the 3 known labels is positive",
        "Nodule": "not calibrated: there is none for it in val.csv",
    }
    with pytest.raises(TableError, match=r"Mass: the calibration was fitted to scores between 0"):
        found.apply(table("xy", Mass=[0.9, 3.0]))


def test_one_score_beyond_1_makes_the_whole_table_log_odds() -> None:
    scores = replace(VALIDATION, values=np.where(VALIDATION.values == 0.8, 1.8, VALIDATION.values))
    found = fit_calibration(scores, TRUTH, "temperature")
    assert found.scale == "log-odds"
    assert isinstance(found.findings["Mass"].calibrator, Temperature)
    assert found.findings["Mass"].calibrator.scale == "log-odds"
    said = "Scores lie outside 0 to 1: before calibration they were taken as log-odds."
    assert said in found.remarks()
    assert said not in fit_calibration(scores, TRUTH, "isotonic").remarks()


def test_what_a_calibration_lacks_is_told() -> None:
    found = fit_calibration(VALIDATION, TRUTH, "temperature")
    assert replace(found, optimistic="Tuned on what is reported.").remarks() == [
        "Tuned on what is reported.",
        "Edema: higher scores do not go with the finding, and the temperature is at its bound.",
        "Hernia: not calibrated, none of the 3 known labels is positive.",
    ]
    platt = fit_calibration(VALIDATION, TRUTH, "platt")
    assert (platt.findings["Edema"].reason or "").startswith("higher scores go with absence")


@pytest.mark.parametrize("method", CALIBRATORS)
def test_a_calibration_travels_as_a_file(method: str, tmp_path: Path) -> None:
    found = fit_calibration(VALIDATION, TRUTH, method)
    path = tmp_path / "calibration.json"
    found.save(path)
    read = load_calibration(path)
    assert read == found
    np.testing.assert_array_equal(read.apply(VALIDATION).values, found.apply(VALIDATION).values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "c.json: not a calibration that can be read: Expecting property name"),
        ("[]", "c.json: not a calibration as hilum writes it .*; fit it again"),
        (
            '{"method": "beta"}',
            r"c.json: not a calibration as hilum writes it \(KeyError: 'beta'\)",
        ),
        ('{"method": "platt", "findings": []}', "c.json: not a calibration as hilum writes it"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        load_calibration(path)


def test_a_calibration_with_an_impossible_number_is_refused(tmp_path: Path) -> None:
    content = fit_calibration(VALIDATION, TRUTH, "temperature").to_json()
    content["findings"]["Mass"]["calibrator"]["temperature"] = -2
    with pytest.raises(TableError, match=r"here: not a .*temperature must be above 0, got -2"):
        Calibration.from_json(content, "here")
    with pytest.raises(TableError, match=r"c\.json: not a calibration that can be read: .*No such"):
        load_calibration(tmp_path / "c.json")


def test_a_published_densenet_is_mended_by_calibration(data_dir: Path) -> None:
    """Fitted to one half of the patients, measured on the other: what was off is mended."""
    scores = read_table(
        data_dir / "nih-predictions" / "chexnet_reproduction_predictions.csv",
        "Image Index", prefix="prob_",
    )  # fmt: skip
    raw = pl.read_csv(
        data_dir / "metadata" / "Data_Entry_2017_v2020.csv.gz",
        has_header=False, skip_rows=1, infer_schema=False, columns=[0, 1, 3],
    )  # fmt: skip
    rows = {image: (labels, patient) for image, labels, patient in raw.rows()}
    present = [{canonical(name) for name in rows[i][0].split("|")} for i in scores.ids]
    values = np.array([[name in names for name in scores.findings] for names in present])
    truth = Table(scores.ids, scores.findings, values.astype(float))
    odd = np.array([int(rows[i][1]) % 2 == 1 for i in scores.ids])
    found = fit_calibration(scores.take(odd), truth.take(odd), "platt")
    before, after = scores.take(~odd), found.apply(scores.take(~odd))
    ones = np.ones((len(before), 1))
    errors = np.array([
        [Probabilities.of(t.values[:, at], truth.take(~odd).values[:, at]).measure(ones)["ece"][0]
         for at in range(14)]
        for t in (before, after)
    ])  # fmt: skip
    assert errors[1].mean() < 0.7 * errors[0].mean()
    assert (errors[1] < errors[0])[errors[0] > 0.006].all()
