"""Sums of estimates have intervals of their own: means, averages, differences, by brute force."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

import reference
from hilum.evaluate import Measure, compare, evaluate
from hilum.evaluate.intervals import bca, bca_p_value, chexzero, p_value, percentile
from hilum.evaluate.plan import Plan
from hilum.evaluate.spread import Spread, average, to_measure
from hilum.tables import Table

Floats = NDArray[np.float64]

NAN = float("nan")
FINDINGS = ("Edema", "Mass")
few = settings(max_examples=40, deadline=None)
SEED, RESAMPLES, N_PATIENTS = 5, 120, 20


def spread(shift: float = 0, *, influence: bool = True) -> Spread:
    """Three findings, four resamples, two patients; the last finding is undefined."""
    return Spread(
        np.array([0.5, 0.75, NAN]) + shift,
        np.arange(12.0).reshape(4, 3) + shift,
        np.array([[1.0, 2.0, NAN], [-1.0, -2.0, NAN]]) * (1 + shift) if influence else None,
    )


def equal(found: Floats | None, expected: ArrayLike) -> bool:
    return found is not None and np.array_equal(found, np.array(expected), equal_nan=True)


def test_a_difference_is_taken_finding_by_finding_and_patient_by_patient() -> None:
    gap = spread(3) - spread(1)
    assert equal(gap.estimate, [2, 2, NAN])
    assert equal(gap.replicates, [[2] * 3] * 4)
    assert equal(gap.influence, [[2, 4, NAN], [-2, -4, NAN]])


def test_a_mean_is_taken_over_the_findings_that_were_kept() -> None:
    kept = spread().take(spread().defined)
    assert equal(kept.estimate, [0.5, 0.75])
    mean = kept.mean()
    assert equal(mean.estimate, [0.625])
    assert equal(mean.replicates, [[0.5], [3.5], [6.5], [9.5]])
    assert equal(mean.influence, [[1.5], [-1.5]])


def test_a_resample_without_one_of_the_findings_has_no_mean() -> None:
    drawn = np.array([[0.25, 0.75], [0.25, NAN]])
    assert equal(Spread(np.array([0.3, 0.3]), drawn).mean().replicates, [[0.5], [NAN]])


def test_raters_are_averaged_and_undefined_where_one_of_them_is() -> None:
    other = Spread(np.array([0.1, NAN, 0.3]), np.zeros((4, 3)), np.zeros((2, 3)))
    mean = average([spread(), other])
    np.testing.assert_allclose(mean.estimate, [0.3, NAN, NAN])
    assert equal(mean.replicates, (np.arange(12.0).reshape(4, 3) / 2).tolist())
    assert equal(mean.influence, [[0.5, 1, NAN], [-0.5, -1, NAN]])


@pytest.mark.parametrize("columns", [[0, 2], np.array([True, False, True]), slice(0, 3, 2)])
def test_findings_can_be_taken_by_place_by_mask_and_by_range(
    columns: list[int] | NDArray[np.bool_] | slice,
) -> None:
    found = spread().take(columns)
    assert equal(found.estimate, [0.5, NAN])
    assert equal(found.replicates, [[0, 2], [3, 5], [6, 8], [9, 11]])
    assert equal(found.influence, [[1, NAN], [-1, NAN]])


def test_without_influence_on_one_side_there_is_none_on_either() -> None:
    bare = spread(influence=False)
    for found in (bare - spread(), spread() - bare, average([bare, spread()]), bare.take([0])):
        assert found.influence is None
    assert bare.take([0]).mean().influence is None


def test_a_measure_is_the_interval_that_the_plan_asks_for() -> None:
    rng = np.random.default_rng(0)
    drawn, pull = rng.normal(0.3, 0.2, size=400), rng.exponential(size=9) - 1
    it = Spread(np.array([0.3]), drawn[:, None], pull[:, None])
    kinds: list[tuple[Literal["percentile", "bca", "chexzero"], Measure]] = [
        ("percentile", percentile(0.3, drawn, 0.9)),
        ("bca", bca(0.3, drawn, pull, 0.9)),
        ("chexzero", chexzero(0.3, drawn, 0.9)),
    ]
    for kind, expected in kinds:
        plan = Plan(interval=kind, level=0.9)
        assert to_measure(it, 0, plan, None) == expected
        p = bca_p_value(0.3, drawn, pull) if kind == "bca" else p_value(drawn)
        tested = to_measure(it, 0, plan, None, tested=True)
        assert tested == Measure(**{**expected.__dict__, "p_value": p})
    assert len({expected.low for _, expected in kinds}) == 3


def test_a_measure_without_a_number_or_without_an_interval_says_why() -> None:
    assert to_measure(spread(), 2, Plan(), "no positives") == Measure(None, reason="no positives")
    found = to_measure(spread(), 0, Plan(), "one patient", tested=True)
    assert found == Measure(0.5, reason="one patient")
    none = Spread(np.array([0.5]), np.empty((0, 1)))
    assert to_measure(none, 0, Plan(bootstrap=0), None, tested=True) == Measure(0.5)


@dataclass(frozen=True)
class Numbers:
    """An estimate, its resamples laid out one by one, and its slopes by differences."""

    estimate: float
    replicates: Floats
    influence: Floats

    def __sub__(self, other: "Numbers") -> "Numbers":
        return Numbers(
            self.estimate - other.estimate,
            self.replicates - other.replicates,
            self.influence - other.influence,
        )

    def mean(self, other: "Numbers") -> "Numbers":
        return Numbers(
            (self.estimate + other.estimate) / 2,
            (self.replicates + other.replicates) / 2,
            (self.influence + other.influence) / 2,
        )


@dataclass(frozen=True)
class Study:
    """Two models on two findings, and every AUROC by brute force."""

    truth: Table
    first: Table
    second: Table
    numbers: tuple[list[Numbers], list[Numbers]]  # by model, then by finding


@pytest.fixture(scope="module")
def study() -> Study:
    rng = np.random.default_rng(3)
    units = np.concatenate([np.arange(N_PATIENTS), rng.integers(N_PATIENTS, size=15)])
    labels = (rng.random((units.size, 2)) < 0.4).astype(float)
    noise = rng.normal(size=(2, *labels.shape))
    values = [np.round(noise[at] + strength * labels, 1) for at, strength in enumerate((0.5, 1.5))]
    ids = tuple(f"i{i}" for i in range(units.size))
    patients = tuple(f"p{unit:02d}" for unit in units)
    first, second = (
        [by_brute_force(model[:, at], labels[:, at], units) for at in (0, 1)] for model in values
    )
    return Study(
        truth=Table(ids, FINDINGS, labels, {"patient_id": patients}),
        first=Table(ids, FINDINGS, values[0]),
        second=Table(ids, FINDINGS, values[1]),
        numbers=(first, second),
    )


def by_brute_force(scores: Floats, truth: Floats, units: NDArray[np.int64]) -> Numbers:
    def measure(weights: Floats) -> dict[str, Floats]:
        each = [roc_auc_score(truth, scores, sample_weight=w) for w in weights[units].T]
        return {"auroc": np.array(each)}

    slow = reference.auroc_by_pairs
    drawn = reference.bootstrap_by_loop(slow, scores, truth, units.tolist(), SEED, RESAMPLES)
    pull = reference.slopes_by_differences(measure, N_PATIENTS)["auroc"]
    return Numbers(slow(scores, truth), drawn, pull)


@few
@given(
    st.lists(st.sampled_from([0.25, 0.5, 0.75, NAN]), min_size=20, max_size=40),
    st.lists(st.integers(-9, 9), min_size=2, max_size=9),
)
def test_bca_of_resamples_with_ties_is_by_the_book(drawn: list[float], pull: list[int]) -> None:
    replicates, influence = np.array(drawn), np.array(pull, dtype=float)
    defined = replicates[~np.isnan(replicates)]
    assume(defined.size * 2 >= replicates.size and np.unique(defined).size > 1)
    assume(not (defined < 0.5).all() and not (defined > 0.5).all() and influence.any())
    numbers = Numbers(0.5, replicates, influence)
    assert_is_by_the_book(bca(0.5, replicates, influence, 0.95), numbers)


def test_the_last_digit_decides_no_tie() -> None:
    # 0.2 and 0.20000000000000004 are one average precision, of weights on two scales
    exact, pull = np.array([0.1, 0.2, 0.2, 0.2, 0.4, 0.5] * 10), np.array([0.2, 0.1, -0.3])
    rounded = exact + np.resize([1e-16, -1e-16, 0, 1e-16], exact.size)
    for drawn in (rounded, rounded - 0.2):
        sharp = np.round(drawn, 6)
        estimate = float(sharp[1])
        blurred, expected = (bca(estimate, each, pull, 0.9) for each in (drawn, sharp))
        assert [blurred.low, blurred.high] == pytest.approx([expected.low, expected.high])
        assert p_value(drawn) == p_value(sharp)
        assert p_value(-drawn) == p_value(-sharp)
        assert bca_p_value(0.1, drawn, pull) == pytest.approx(bca_p_value(0.1, sharp, pull))


def assert_is_by_the_book(found: Measure, numbers: Numbers) -> None:
    low, high = reference.bca_by_the_book(
        numbers.estimate, numbers.replicates, numbers.influence, 0.95
    )
    assert found.estimate == pytest.approx(numbers.estimate)
    assert found.low == pytest.approx(low, abs=1e-7)
    assert found.high == pytest.approx(high, abs=1e-7)
    assert found.undefined == np.isnan(numbers.replicates).sum()


def test_bca_of_a_mean_over_findings_is_by_the_book(study: Study) -> None:
    found = evaluate(study.first, study.truth, bootstrap=RESAMPLES, seed=SEED, interval="bca")
    edema, mass = study.numbers[0]
    assert_is_by_the_book(found.findings["Edema"].measures["auroc"], edema)
    assert_is_by_the_book(found.findings["Mass"].measures["auroc"], mass)
    assert_is_by_the_book(found.mean["auroc"], edema.mean(mass))


def test_bca_of_a_difference_is_by_the_book(study: Study) -> None:
    gap = compare(
        study.first, study.second, study.truth, bootstrap=RESAMPLES, seed=SEED, interval="bca"
    ).difference
    edema, mass = (a - b for a, b in zip(*study.numbers, strict=True))
    for found, numbers in (
        (gap.findings["Edema"].measures["auroc"], edema),
        (gap.findings["Mass"].measures["auroc"], mass),
        (gap.mean["auroc"], edema.mean(mass)),
    ):
        assert_is_by_the_book(found, numbers)
        p = bca_p_value(numbers.estimate, numbers.replicates, numbers.influence)
        assert found.p_value == pytest.approx(p, abs=1e-6)


def test_the_p_value_of_a_difference_counts_its_resamples_beyond_zero(study: Study) -> None:
    gap = compare(study.first, study.second, study.truth, bootstrap=RESAMPLES, seed=SEED).difference
    for at, name in enumerate(FINDINGS):
        drawn = (study.numbers[0][at] - study.numbers[1][at]).replicates
        drawn = drawn[np.abs(drawn) > 1e-12]
        assert drawn.size == RESAMPLES  # no ties at zero, no gaps
        beyond = min(int((drawn < 0).sum()), int((drawn > 0).sum()))
        expected = 2 * (beyond + 1) / (RESAMPLES + 1)
        assert gap.findings[name].measures["auroc"].p_value == pytest.approx(expected)
