"""Intervals by formula in a whole evaluation: whose they are, and what keeps its percentiles."""

from typing import Any

import numpy as np
import pytest

from hilum.evaluate import Interval, Measure, Metrics, compare, evaluate
from hilum.evaluate.decisions import decide
from hilum.evaluate.delong import combine, delong, difference, interval
from hilum.evaluate.multiplicity import holm
from hilum.evaluate.proportions import wilson
from hilum.evaluate.scorecard import Scorecard
from hilum.tables import Table
from reference_panel import FINDINGS, LIMIT, Booleans, case, table

NO_POSITIVE = 2
"""A seed whose first resample of 60 units has neither the first nor the second."""

PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv")


def rivals(n: int = 120, seed: int = 0) -> tuple[Table, Table, Table]:
    """Return two models, the second a little better, and the truth."""
    first, truth, _ = case(n, readers=0, seed=seed)
    rng = np.random.default_rng(seed + 1)
    better = first.values + 0.1 * np.nan_to_num(truth.values) + 0.1 * rng.normal(size=(n, 3))
    return first, table(better), truth


def units(truth: Table, by: str | None) -> list[int]:
    """Number patients, or images, in the order of the rows (which is that of their names)."""
    names = truth.ids if by is None else truth.extra[by]
    return [sorted(set(map(str, names))).index(str(name)) for name in names]


def numbers(measure: Measure) -> list[float]:
    """Return an estimate, its interval and p-value as numbers."""
    every = (measure.estimate, measure.low, measure.high, measure.p_value)
    return [np.nan if number is None else number for number in every]


def same(one: Measure, two: Measure) -> None:
    assert numbers(one) == pytest.approx(numbers(two), rel=1e-12, nan_ok=True)
    assert (one.reason, one.undefined) == (two.reason, two.undefined)


def of(card: Scorecard, finding: str, statistic: str = "auroc") -> Measure:
    return card.findings[finding].measures[statistic]


@pytest.mark.parametrize("by", ["patient_id", None])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_of_auroc_is_delongs(by: str | None, level: float) -> None:
    scores, _, truth = rivals()
    found = evaluate(scores, truth, by, interval="delong", bootstrap=0, level=level)
    unit, parts = units(truth, by), []
    for at, name in enumerate(FINDINGS):
        parts.append(delong(scores.values[:, at], truth.values[:, at], unit))
        same(of(found, name), interval(*combine([parts[-1]], [1]), level))
    same(found.mean["auroc"], interval(*combine(parts, np.divide([1], 3)), level))


def test_patients_and_images_differ() -> None:
    scores, _, truth = rivals()
    one, other = (
        evaluate(scores, truth, by, interval="delong", bootstrap=0) for by in ("patient_id", None)
    )
    assert of(one, "Mass").estimate == of(other, "Mass").estimate
    assert of(one, "Mass").low != of(other, "Mass").low


@pytest.mark.parametrize("by", ["patient_id", None])
def test_two_models_are_compared_by_delongs_test(by: str | None) -> None:
    first, second, truth = rivals()
    # in another order: the formula has to see the joined arrays
    turned = second.take(np.arange(len(second))[::-1]).select(FINDINGS[::-1])
    found = compare(first, turned, truth, by, interval="delong", bootstrap=0, level=0.9).difference
    unit, parts = units(truth, by), []
    for at, name in enumerate(FINDINGS):
        both = np.stack([first.values[:, at], second.values[:, at]], axis=1)
        parts.append(delong(both, truth.values[:, at], unit))
        same(of(found, name), difference(*combine([parts[-1]], [1, -1]), 0.9).measure)
    same(found.mean["auroc"], difference(*combine(parts, np.divide([1, -1], 3)), 0.9).measure)
    assert found.mean["auroc"].p_value is not None


def test_p_values_by_formula_are_corrected_like_others() -> None:
    first, second, truth = rivals()
    found = compare(first, second, truth, interval="delong", bootstrap=0, holm=True).difference
    p_values = [of(found, name).p_value for name in FINDINGS]
    adjusted = holm(np.array(p_values, dtype=float)).tolist()
    assert [of(found, name).p_adjusted for name in FINDINGS] == adjusted


def test_three_ways_to_a_p_value_agree_on_a_moderate_sample() -> None:
    first, _, truth = rivals(n=300, seed=4)
    noise = np.random.default_rng(5).normal(size=(300, 3))
    close = Table(first.ids, FINDINGS, first.values + 0.08 * noise)
    kinds: tuple[Interval, ...] = ("percentile", "bca", "delong")
    found = {
        kind: compare(
            close, first, truth, interval=kind, bootstrap=2000, statistics=("auroc",)
        ).difference
        for kind in kinds
    }
    exact = [of(found["delong"], name) for name in FINDINGS]
    assert all(0.01 < p < 0.5 for p in [m.p_value for m in exact] if p is not None)
    for kind in ("percentile", "bca"):
        for name, by_formula in zip(FINDINGS, exact, strict=True):
            estimate, low, high, p = numbers(of(found[kind], name))
            width = numbers(by_formula)[2] - numbers(by_formula)[1]
            assert estimate == pytest.approx(numbers(by_formula)[0], abs=1e-12)
            assert [low, high] == pytest.approx(numbers(by_formula)[1:3], abs=0.1 * width)
            assert p == pytest.approx(numbers(by_formula)[3], abs=0.05)


@pytest.mark.parametrize("by", ["patient_id", None])
def test_proportions_have_wilsons_interval(by: str | None) -> None:
    scores, _, truth = rivals()
    settings: dict[str, Any] = {"threshold": LIMIT, "interval": "delong", "bootstrap": 0}
    found = evaluate(scores, truth, by, level=0.9, **settings)
    for at, name in enumerate(FINDINGS):
        called = (scores.values[:, at] >= LIMIT).astype(float)
        counts = decide(called, truth.values[:, at], units(truth, by)).counts
        tp, fp, fn, tn = counts.T
        for statistic, top, bottom in (
            ("sensitivity", tp, tp + fn),
            ("specificity", tn, tn + fp),
            ("ppv", tp, tp + fp),
            ("npv", tn, tn + fn),
        ):
            same(of(found, name, statistic), wilson(top, bottom, 0.9))


def test_everything_else_keeps_its_percentiles() -> None:
    scores, _, truth = rivals()
    by_formula, by_percentile = (
        evaluate(scores, truth, threshold=LIMIT, interval=kind, bootstrap=60, max_fpr=0.3)
        for kind in ("delong", "percentile")
    )
    for name in FINDINGS:
        for statistic, measure in by_percentile.findings[name].measures.items():
            if statistic not in ("auroc", *PROPORTIONS):
                assert of(by_formula, name, statistic) == measure
            else:
                own = of(by_formula, name, statistic)
                assert own.low != measure.low
                assert own.estimate == pytest.approx(measure.estimate, rel=1e-12)
    for statistic, measure in by_percentile.mean.items():
        if statistic != "auroc":
            assert by_formula.mean[statistic] == measure


def test_differences_of_proportions_keep_their_percentiles() -> None:
    first, second, truth = rivals()
    one, other = (
        compare(first, second, truth, thresholds=(0.5, 0.5), interval=kind, bootstrap=60)
        for kind in ("delong", "percentile")
    )
    for name in FINDINGS:
        for statistic in PROPORTIONS:
            assert of(one.difference, name, statistic) == of(other.difference, name, statistic)
            assert of(one.first, name, statistic).low != of(other.first, name, statistic).low


def test_one_reader_has_wilsons_interval_and_a_mean_of_readers_percentiles() -> None:
    scores, truth, readers = case(n=60)
    found, plain = (
        evaluate(scores, truth, readers=readers, interval=kind, bootstrap=40).panel
        for kind in ("delong", "percentile")
    )
    assert found is not None
    assert plain is not None
    called = readers["a"].values[:, 1]
    tp, _, fn, _ = decide(called, truth.values[:, 1], units(truth, "patient_id")).counts.T
    same(of(found.readers["a"], "Mass", "sensitivity"), wilson(tp, tp + fn))
    assert found.mean == plain.mean
    alone = evaluate(scores, truth, readers={"a": readers["a"]}, interval="delong", bootstrap=40)
    assert alone.panel is not None
    same(of(alone.panel.mean, "Mass", "sensitivity"), wilson(tp, tp + fn))


# subgroups


def by_side(n: int = 160) -> tuple[Table, Table, Booleans]:
    """Return scores, truth and which images are of the left; every patient has one of each."""
    scores, _, truth = rivals(n)
    sides = tuple("lr"[at % 2] for at in range(n))
    extra = {**truth.extra, "side": sides}
    left = np.array([side == "l" for side in sides])
    values = scores.values + 0.2 * np.nan_to_num(truth.values) * left[:, None]
    return table(values), Table(truth.ids, FINDINGS, truth.values, extra), left


def test_a_subgroup_and_the_rest_are_joined_by_their_patients() -> None:
    scores, truth, left = by_side()
    found = evaluate(scores, truth, subgroups=["side"], interval="delong", bootstrap=0)
    group = found.subgroups["side"]["l"]
    assert group.against_rest is not None
    unit, parts = units(truth, "patient_id"), []
    for at, name in enumerate(FINDINGS):
        labels = [np.where(rows, truth.values[:, at], np.nan) for rows in (left, ~left)]
        sides = [delong(scores.values[:, at], own, unit, max(unit) + 1) for own in labels]
        same(of(group.card, name), interval(*combine(sides[:1], [1])))
        expected = difference(*combine(sides, [[1], [-1]])).measure
        same(of(group.against_rest, name), expected)
        assert expected.estimate == pytest.approx(float(sides[0].areas[0] - sides[1].areas[0]))
        parts += sides
    mean = difference(*combine(parts, np.array([[1], [-1]] * 3) / 3)).measure
    same(group.against_rest.mean["auroc"], mean)


def test_a_subgroups_interval_by_formula_is_close_to_that_of_resamples() -> None:
    scores, truth, _ = by_side(400)
    cards = []
    for kind, resamples in (("delong", 0), ("percentile", 1000)):
        settings: dict[str, Any] = {"interval": kind, "bootstrap": resamples}
        found = evaluate(scores, truth, subgroups=["side"], statistics=("auroc",), **settings)
        cards.append(found.subgroups["side"]["l"].against_rest)
    one, other = cards
    assert one is not None
    assert other is not None
    for a, b in [(one.mean["auroc"], other.mean["auroc"])] + [
        (of(one, name), of(other, name)) for name in FINDINGS
    ]:
        width = numbers(a)[2] - numbers(a)[1]
        assert width > 0
        assert numbers(a)[:3] == pytest.approx(numbers(b)[:3], abs=0.12 * width)


# undefined


def rare(positives: int, findings: int = 1, n: int = 60) -> tuple[Table, Table]:
    """Return scores and truth whose findings have so many positives, each in its own patients."""
    names = tuple(f"F{at}" for at in range(findings))
    values = np.zeros((n, findings))
    for at in range(findings):
        values[at * positives : (at + 1) * positives, at] = 1
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(n, findings)) + values
    return table(scores, names, per_patient=1), table(values, names, per_patient=1)


def test_reasons_stay() -> None:
    scores, truth = rare(positives=1)
    none = Table(truth.ids, truth.findings, truth.values * 0, truth.extra)
    why = "none of the 60 known labels is positive"
    found = evaluate(scores, none, interval="delong", bootstrap=20)
    assert of(found, "F0") == Measure(None, reason=why)
    assert found.mean["auroc"] == Measure(None, reason="no finding is defined")
    found = evaluate(scores, truth, interval="delong", bootstrap=20)
    measure = of(found, "F0")
    assert measure.estimate is not None
    assert (measure.low, measure.reason) == (
        None,
        "no interval: all positive images belong to one patient",
    )
    assert of(found, "F0", "sensitivity").reason == "no threshold was given"


def test_what_nobody_was_called_has_no_interval() -> None:
    scores, truth = rare(positives=3)
    found = evaluate(scores, truth, threshold=99, interval="delong", bootstrap=20)
    assert of(found, "F0", "ppv") == Measure(None, reason="no image was called positive")
    same(of(found, "F0", "sensitivity"), wilson([0, 0, 0], [1, 1, 1]))


def test_a_formula_needs_no_resample_that_has_every_rare_finding() -> None:
    scores, truth = rare(positives=2, findings=8)
    found, resampled = (
        evaluate(scores, truth, interval=kind, bootstrap=100, statistics=("auroc",))
        for kind in ("delong", "percentile")
    )
    lost = resampled.mean["auroc"].undefined
    assert resampled.mean["auroc"].reason == f"no interval: undefined in {lost} of 100 resamples"
    mean = found.mean["auroc"]
    parts = [delong(scores.values[:, at], truth.values[:, at]) for at in range(8)]
    same(mean, interval(*combine(parts, np.divide([1], 8))))
    assert mean.low is not None


def test_a_formula_needs_no_resample_with_a_positive() -> None:
    scores, truth = rare(positives=2)
    found, resampled = (
        evaluate(scores, truth, interval=kind, bootstrap=1, seed=NO_POSITIVE)
        for kind in ("delong", "percentile")
    )
    assert of(resampled, "F0").reason == "no interval: undefined in 1 of 1 resamples"
    part = delong(scores.values[:, 0], truth.values[:, 0])
    same(of(found, "F0"), interval(*combine([part], [1])))


def test_models_that_rank_alike_have_no_test() -> None:
    first, _, truth = rivals()
    again = Table(first.ids, FINDINGS, first.values * 2 + 1)
    found: Metrics = compare(first, again, truth, interval="delong", bootstrap=0).difference
    why = "no test: the data show no spread"
    assert of(found, "Mass") == found.mean["auroc"] == Measure(0.0, reason=why)
