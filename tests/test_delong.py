"""AUROC's variance: published examples, pairs one by one, resampling, and its laws."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.special import ndtr, owens_t
from scipy.stats import rankdata

import reference_delong as reference
from hilum.errors import UsageError
from hilum.evaluate.delong import DeLong, Difference, combine, delong, difference, interval
from hilum.evaluate.intervals import Measure
from hilum.evaluate.ranking import rank
from hilum.tables import align, read_table

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Case = tuple[Floats, Floats, Integers]


@st.composite
def cases(draw: st.DrawFn, models: int = 2, patients: bool = True) -> Case:
    """Few distinct scores, so that ties are common; both classes in two units or more."""
    n = draw(st.integers(4, 14))
    scores = draw(arrays.arrays(np.float64, (n, models), elements=st.integers(-3, 3).map(float)))
    values = st.sampled_from([0.0, 1.0, 1.0, 0.0, np.nan])
    truth = draw(arrays.arrays(np.float64, n, elements=values))
    truth[:4] = (0, 1, 0, 1)
    units = np.arange(n)
    if patients:
        units = draw(arrays.arrays(np.int64, n, elements=st.integers(0, 5)))
    for value in (0, 1):
        assume(len(set(units[truth == value].tolist())) > 1)
    return scores, truth, units


def columns(text: str, width: int) -> Floats:
    return np.array(text.split(), dtype=np.float64).reshape(-1, width)


# Ovarian cancer with intestinal obstruction, DeLong, DeLong and Clarke-Pearson (1988): albumin,
# total protein, Krebs-Goplerud score, outcome, for the 43 patients who have all three. Data and
# results as printed in the SAS/STAT User's Guide, PROC LOGISTIC, Comparing ROC Curves.
OVARIAN = columns(
    """
    3.0 5.8 10 0  3.2 6.3  5 1  3.9 6.8  3 1  2.8 4.8  6 0  3.2 5.8  3 1  0.9 4.0  5 0
    2.5 5.7  8 0  1.6 5.6  5 1  3.8 5.7  5 1  3.7 6.7  6 1  3.2 5.4  4 1  3.8 6.6  6 1
    4.1 6.6  5 1  3.6 5.7  5 1  4.3 7.0  4 1  3.6 6.7  4 0  2.3 4.4  6 1  4.2 7.6  4 0
    4.0 6.6  6 0  3.5 5.8  6 1  3.8 6.8  7 1  3.0 4.7  8 0  4.5 7.4  5 1  3.7 7.4  5 1
    3.1 6.6  6 1  4.1 8.2  6 1  4.3 7.0  5 1  4.3 6.5  4 1  3.2 5.1  5 1  2.6 4.7  6 1
    3.3 6.8  6 0  1.7 4.0  7 0  3.7 6.1  5 1  3.3 6.3  7 1  4.2 7.7  6 1  3.5 6.2  5 1
    2.9 5.7  9 0  2.1 4.8  7 1  2.8 6.2  8 0  4.0 7.0  7 1  3.3 5.7  6 1  3.7 6.9  5 1
    3.6 6.6  5 1
    """,
    width=4,
)

# Aneurysmal subarachnoid haemorrhage, Turck et al., Intensive Care Medicine 36:107-115, 2010: WFNS
# grade, S100B and NDKA of 41 patients with a poor outcome, then of 72 with a good one. The two
# markers are given as ranks among all patients. Results of the R package pROC (Robin et al., BMC
# Bioinformatics 12:77, 2011), which publishes the data.
POOR = columns(
    """
    3 9 38  2 6 25  4 12 29  5 8 36  5 26 4  5 31 10  5 29 19  2 3 44  5 20 48  2 5 44  1 3 44
    2 24 15  5 22 33  4 28 40  4 31 6  2 16 8  5 31 31  5 31 2  5 31 52  2 3 40  5 31 17  2 18 19
    5 1 23  2 5 31  4 14 42  5 31 27  4 16 40  4 31 8  1 4 50  4 16 35  4 9 4  2 6 13  2 7 40
    5 14 4  5 31 12  2 10 44  2 31 21  5 19 33  5 31 46  5 31 19  5 26 36
    """,
    width=3,
)
GOOD = columns(
    """
    1 9 1  1 10 9  1 6 7  1 2 18  5 27 5  1 13 35  2 6 5  2 6 39  1 2 30  2 4 39  2 2 37  1 5 47
    1 7 11  1 3 5  2 13 24  1 3 5  2 7 5  1 9 51  1 13 26  3 2 14  4 12 14  1 10 39  4 21 3  1 5 7
    5 30 5  5 27 13  1 12 28  1 3 7  2 25 34  4 27 45  1 7 7  1 4 5  2 5 24  2 4 11  1 2 7  2 9 28
    1 6 43  2 10 41  2 11 16  1 2 22  1 2 49  1 5 5  1 2 37  2 5 14  1 4 18  2 12 18  1 5 34
    1 4 3  3 20 37  2 7 24  4 17 11  2 3 18  1 6 39  4 19 18  1 3 22  1 2 7  5 15 14  4 23 18
    2 6 43  2 11 9  1 4 24  1 10 27  1 6 45  3 3 20  1 2 24  2 13 11  2 11 43  4 27 16  4 13 32
    1 11 41  1 30 5  1 28 30
    """,
    width=3,
)


def test_a_hand_worked_case() -> None:
    # positives .9 and .4 beat 2 and 1.5 of 2 negatives, negatives .4 and .1 lose to 1.5 and 2 of 2:
    # components 1, .75 and .75, 1; each class's variance 1/32, over its 2 images
    found = delong([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    assert found.areas.tolist() == [0.875]
    assert found.covariance.tolist() == [[1 / 64 + 1 / 64]]
    assert (found.n_positive, found.n_negative) == (2, 2)
    assert found.influence.sum(axis=1).tolist() == [1 / 16, -1 / 16, -1 / 16, 1 / 16]


def test_a_hand_worked_case_with_patients() -> None:
    # patient 0 has a positive and a negative, 1 a positive, 2 a negative. Wins of the positives
    # .5 and .9 over .6 and .1: 1/2 and 1; of the negatives .6 and .1: 1/2 and 1. A = 3/4.
    # (X - mA)/M = -1/8, 1/8, 0; (Y - nA)/N = -1/8, 0, 1/8
    found = delong([0.5, 0.6, 0.9, 0.1], [1, 0, 1, 0], [0, 0, 1, 2])
    assert found.areas.tolist() == [0.75]
    assert found.influence[:, 0].tolist() == [-1 / 4, 1 / 8, 1 / 8]
    assert found.positive[:, 0].tolist() == [-1 / 8, 1 / 8, 0]
    assert (found.units_positive, found.units_negative, found.units_known) == (2, 2, 3)
    # 2/1 (1/64 + 1/64) for each class, and twice 3/2 (1/64)
    assert found.covariance == pytest.approx(2 * 2 / 32 + 2 * 1.5 / 64)


def test_the_published_ovarian_cancer_example() -> None:
    albumin, protein, score, truth = OVARIAN.T
    found = delong(np.stack([albumin, 10 - score, protein], axis=1), truth)
    assert found.areas == pytest.approx([0.7366, 0.7258, 0.6478], abs=5e-5)
    errors = np.sqrt(np.diag(found.covariance))
    assert errors == pytest.approx([0.0927, 0.1028, 0.1000], abs=5e-5)
    for area, error, low, high in zip(
        found.areas, errors, (0.5549, 0.5243, 0.4518), (0.9182, 0.9273, 0.8439), strict=True
    ):
        measure = interval(area, error**2, scale="linear")
        assert (measure.low, measure.high) == pytest.approx((low, high), abs=1e-4)
    for weights, *expected in (
        ([1, -1, 0], 0.0108, 0.0953, -0.1761, 0.1976, 0.0127, 0.9102),
        ([0, -1, 1], -0.0780, 0.1046, -0.2830, 0.1271, 0.5554, 0.4561),
    ):
        gap = difference(*combine([found], weights))
        assert gap.z is not None
        got = [gap.estimate, gap.standard_error, gap.low, gap.high, gap.z**2, gap.p_value]
        assert got == pytest.approx(expected, abs=5e-5)
    contrast = np.array([[1, -1, 0], [0, -1, 1]])
    gaps = contrast @ found.areas
    chi_square = gaps @ np.linalg.solve(contrast @ found.covariance @ contrast.T, gaps)
    assert chi_square == pytest.approx(2.5340, abs=5e-5)


def test_the_published_brain_haemorrhage_example() -> None:
    truth = np.repeat([1, 0], [len(POOR), len(GOOD)])
    found = delong(np.concatenate([POOR, GOOD]), truth)  # WFNS, S100B, NDKA
    assert found.areas == pytest.approx([0.823678861788618, 0.731368563685637, 0.611957994579946])
    expected = [
        [0.00146991470882363, 0.00119615567376754, -0.000532967856762438],
        [0.00119615567376754, 0.00266868245717244, -0.000756164938056579],
        [-0.000532967856762438, -0.000756164938056579, 0.0031908105493913],
    ]
    assert found.covariance == pytest.approx(np.array(expected))
    ndka = interval(found.areas[2], found.covariance[2, 2], scale="linear")
    assert (ndka.low, ndka.high) == pytest.approx((0.501244999271703, 0.722670989888189))
    for weights, *numbers in (
        ([1, -1, 0], 2.20898359144091, 0.0271757822291882, 0.0104061769564846, 0.174214419249478),
        ([1, 0, -1], 2.79777591868904, 0.00514557970691098, 0.0634011709339876, 0.3600405634833566),
        ([0, -1, 1], -1.39077002573558, 0.164295175223054, -0.2876917446341914, 0.0488706064228094),
    ):
        gap = difference(*combine([found], weights))
        assert [gap.z, gap.p_value, gap.low, gap.high] == pytest.approx(numbers)


@given(cases(models=2, patients=False))
@settings(max_examples=60)
def test_it_is_delongs_estimate_where_every_image_is_a_unit(case: Case) -> None:
    scores, truth, _ = case
    found = delong(scores, truth)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        slow = reference.delong_covariance(scores[:, i], scores[:, j], truth)
        assert found.covariance[i, j] == pytest.approx(slow, abs=1e-14)
        assert found.covariance[i, j] == found.covariance[j, i]
    assert found.areas == pytest.approx([reference.auroc(column, truth) for column in scores.T])


@given(cases())
@settings(max_examples=60)
def test_it_is_obuchowskis_estimate_for_patients(case: Case) -> None:
    scores, truth, units = case
    found = delong(scores, truth, units)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        slow = reference.obuchowski_covariance(scores[:, i], scores[:, j], truth, units.tolist())
        assert found.covariance[i, j] == pytest.approx(slow, abs=1e-14)


@given(cases(models=1, patients=False))
@settings(max_examples=40)
def test_leaving_out_images_one_by_one_gives_the_same(case: Case) -> None:
    # the two-sample jackknife is DeLong's variance exactly, not only in large samples
    scores, truth, _ = case
    slow = reference.two_sample_jackknife(scores[:, 0], truth)
    assert delong(scores, truth).covariance[0, 0] == pytest.approx(slow, abs=1e-14)


@given(cases(models=1))
@settings(max_examples=40)
def test_the_influence_is_a_derivative_and_adds_up_to_zero(case: Case) -> None:
    scores, truth, units = case
    influence = delong(scores, truth, units).influence[:, 0]
    assert influence.sum() == pytest.approx(0, abs=1e-14)
    for unit, expected in enumerate(influence):
        step = np.where(units == unit, 1e-4, 0)
        up, down = (
            reference.weighted_auroc(scores[:, 0], truth, 1 + sign * step) for sign in (1, -1)
        )
        assert (up - down) / 2e-4 == pytest.approx(expected, abs=1e-7)


@given(cases(models=1))
@settings(max_examples=30)
def test_the_influence_is_that_of_the_resampling_engine(case: Case) -> None:
    scores, truth, units = case
    other = rank(scores[:, 0], truth, units).influence()["auroc"]
    assert delong(scores, truth, units).influence[:, 0] == pytest.approx(other, abs=1e-12)


def cohort(seed: int, patients: int, findings: int = 2) -> tuple[Floats, Floats, Integers]:
    """Draw patients with 1 to 4 images: scores (n, 2, findings), truth (n, findings), units."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(patients), rng.integers(1, 5, size=patients))
    n = units.size
    illness = 0.8 * rng.normal(size=(patients, findings))[units]
    truth = (illness + 0.6 * rng.normal(size=(n, findings)) > 0.5).astype(float)
    shared = 0.7 * rng.normal(size=(patients, 1))[units]
    scores = np.stack(
        [skill * truth + shared + rng.normal(size=(n, findings)) for skill in (1.2, 0.9)], axis=1
    )
    return scores, truth, units


CONTRASTS: list[tuple[str, list[list[float]]]] = [
    ("one area", [[1, 0], [0, 0]]),
    ("difference of two models", [[1, -1], [0, 0]]),
    ("mean over findings", [[0.5, 0], [0.5, 0]]),
    ("difference of means", [[0.5, -0.5], [0.5, -0.5]]),
    ("difference between findings", [[1, 0], [-1, 0]]),
]


@pytest.mark.parametrize("weights", [w for _, w in CONTRASTS], ids=[name for name, _ in CONTRASTS])
def test_long_resampling_of_patients_agrees(weights: list[list[float]]) -> None:
    scores, truth, units = cohort(3, 250)
    found = [delong(scores[:, :, f], truth[:, f], units) for f in range(2)]
    estimate, variance = combine(found, weights)
    counts = np.random.default_rng(0).multinomial(250, np.full(250, 1 / 250), size=4000).T
    drawn = sum(
        weights[f][m]
        * rank(scores[:, m, f], truth[:, f], units).measure(counts.astype(float))["auroc"]
        for f in range(2)
        for m in range(2)
    )
    assert np.sqrt(variance) == pytest.approx(np.std(drawn), rel=0.05)
    assert estimate == pytest.approx(np.mean(drawn), abs=0.005)


def test_leaving_out_patients_one_by_one_agrees() -> None:
    scores, truth, units = cohort(5, 120, findings=1)
    found = delong(scores[:, :, 0], truth[:, 0], units)
    left = []
    for unit in range(120):
        kept = units != unit
        left.append(delong(scores[kept][:, :, 0], truth[kept, 0]).areas)
    for model in range(2):
        slow = reference.jackknife_by_unit([float(areas[model]) for areas in left])
        assert found.covariance[model, model] == pytest.approx(slow, rel=0.05)


def test_patients_matter() -> None:
    scores, truth, units = cohort(7, 300, findings=1)
    by_patient = delong(scores[:, 0, 0], truth[:, 0], units).covariance[0, 0]
    by_image = delong(scores[:, 0, 0], truth[:, 0]).covariance[0, 0]
    assert abs(by_patient / by_image - 1) > 0.1


@given(cases(models=1), st.sampled_from([np.exp, np.cbrt, lambda s: 5 * s - 3, rankdata]))
@settings(max_examples=40)
def test_only_the_order_of_the_scores_counts(
    case: Case, change: Callable[[Floats], Floats]
) -> None:
    scores, truth, units = case
    changed = change(scores[:, 0])
    assert_same(delong(changed, truth, units), delong(scores, truth, units))


def assert_same(one: DeLong, other: DeLong) -> None:
    """Compare everything, without rounding."""
    assert np.array_equal(one.areas, other.areas)
    assert np.array_equal(one.influence, other.influence)
    assert np.array_equal(one.positive, other.positive)
    assert one.corrections == other.corrections


@given(cases(), st.integers(0, 99))
@settings(max_examples=40)
def test_the_order_of_the_rows_does_not_count(case: Case, seed: int) -> None:
    scores, truth, units = case
    order = np.random.default_rng(seed).permutation(len(truth))
    assert_same(delong(scores[order], truth[order], units[order]), delong(scores, truth, units))


@given(cases(models=1))
@settings(max_examples=40)
def test_reversed_scores_have_the_area_that_is_left_and_the_same_variance(case: Case) -> None:
    scores, truth, units = case
    found, turned = delong(scores, truth, units), delong(-scores, truth, units)
    assert turned.areas == pytest.approx(1 - found.areas)
    assert np.array_equal(turned.influence, -found.influence)
    assert np.array_equal(turned.covariance, found.covariance)


@given(cases())
@settings(max_examples=40)
def test_exchanging_the_classes_and_the_order_changes_nothing(case: Case) -> None:
    scores, truth, units = case
    found, turned = delong(scores, truth, units), delong(-scores, 1 - truth, units)
    assert np.array_equal(turned.areas, found.areas)
    assert turned.covariance == pytest.approx(found.covariance, abs=1e-15)


@given(cases(), st.integers(2, 4))
@settings(max_examples=40)
def test_copies_of_each_image_within_its_patient_change_nothing(case: Case, copies: int) -> None:
    scores, truth, units = case
    rows = np.repeat(np.arange(len(truth)), copies)
    found, more = delong(scores, truth, units), delong(scores[rows], truth[rows], units[rows])
    assert np.array_equal(more.areas, found.areas)
    assert more.influence == pytest.approx(found.influence, abs=1e-15)
    assert more.covariance == pytest.approx(found.covariance, abs=1e-15)


@given(cases(), st.permutations(range(6)))
@settings(max_examples=40)
def test_the_names_of_the_units_do_not_count(case: Case, names: list[int]) -> None:
    scores, truth, units = case
    renamed = delong(scores, truth, 3 * np.array(names)[units] + 2, n_units=40)
    found = delong(scores, truth, units)
    assert renamed.influence.shape == (40, 2)
    assert np.array_equal(renamed.areas, found.areas)
    assert renamed.covariance == pytest.approx(found.covariance, abs=1e-15)


@given(cases())
@settings(max_examples=40)
def test_images_of_unknown_truth_take_no_part(case: Case) -> None:
    scores, truth, units = case
    known = ~np.isnan(truth)
    blank = np.where(known[:, None], scores, np.nan)
    n_units = int(units.max()) + 1
    assert_same(
        delong(blank, truth, units), delong(scores[known], truth[known], units[known], n_units)
    )


@given(cases(models=3), st.lists(st.integers(-3, 3).map(float), min_size=3, max_size=3))
@settings(max_examples=40)
def test_combining_one_finding_is_its_covariance(case: Case, weights: list[float]) -> None:
    scores, truth, units = case
    found = delong(scores, truth, units)
    estimate, variance = combine([found], weights)
    assert estimate == pytest.approx(found.areas @ weights, abs=1e-14)
    assert variance == pytest.approx(weights @ found.covariance @ weights, abs=1e-13)


@given(cases())
@settings(max_examples=60)
def test_no_combination_has_a_negative_variance(case: Case) -> None:
    scores, truth, units = case
    found = [delong(scores, truth, units), delong(scores[:, ::-1], 1 - truth, units)]
    for weights in ([[1, -1], [1, -1]], [[1, 1], [1, 1]], [[1, 0], [0, -1]]):
        assert combine(found, weights)[1] >= 0
    assert np.linalg.eigvalsh(found[0].covariance).min() >= -1e-15


def test_findings_of_other_patients_are_independent() -> None:
    # two findings whose truth is known for different patients: variances add up, exactly
    scores, truth, units = cohort(1, 60, findings=1)
    halves = [np.where(units % 2 == part, truth[:, 0], np.nan) for part in (0, 1)]
    found = [delong(scores[:, 0, 0], half, units) for half in halves]
    apart = sum(one.covariance[0, 0] for one in found)
    assert combine(found, [1])[1] == pytest.approx(apart)
    assert combine(found, [0.5]) == pytest.approx((combine(found, [1])[0] / 2, apart / 4))


def test_one_class_is_undefined() -> None:
    for truth in ([1, 1], [0, 0], [np.nan, np.nan]):
        found = delong([[0.1, 0.2], [0.3, 0.4]], truth)
        assert np.isnan(found.areas).all()
        assert np.isnan(found.covariance).all()
        assert interval(*combine([found], [1, 0])).reason == "undefined: one class is absent"
        gap = difference(*combine([found], [1, -1]))
        assert gap == Difference(None, reason="undefined: one class is absent")
    assert np.isnan(delong([], []).areas).all()


@pytest.mark.parametrize("truth", [[1, 0, 0], [0, 1, 1]])
def test_one_unit_has_no_variance(truth: list[float]) -> None:
    found = delong([3, 1, 2], truth)
    assert not np.isnan(found.areas).any()
    assert np.isnan(found.covariance).all()
    reason = "one unit has all positives or all negatives"
    assert interval(*combine([found], [1])) == Measure(
        float(found.areas[0]), reason=f"no interval: {reason}"
    )
    assert difference(*combine([found], [1])).reason == f"no test: {reason}"
    both = delong([3, 1, 2, 2], [1, 0, 1, 0], [4, 1, 4, 3])
    assert np.isnan(both.covariance).all()


def test_a_finding_without_weight_may_be_undefined() -> None:
    found = [delong([1, 2, 3, 2], [0, 0, 1, 1]), delong([1, 2, 3, 2], [0, 0, 0, 0])]
    assert combine(found, [[1], [0]]) == combine(found[:1], [1])
    assert np.isnan(combine(found, [1])).all()


@pytest.mark.parametrize(
    ("scores", "area"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([5, 5, 5, 5], 0.5)]
)
def test_no_spread_makes_no_interval(scores: list[float], area: float) -> None:
    found = delong(scores, [0, 0, 1, 1])
    assert interval(*combine([found], [1])) == Measure(
        area, reason="no interval: the data show no spread"
    )


@given(cases(models=1))
@settings(max_examples=40)
def test_models_that_rank_alike_cannot_be_told_apart(case: Case) -> None:
    # without rounding: 1e-18 over 1e-18 would be a significant difference
    scores, truth, units = case
    found = delong(np.stack([scores[:, 0], np.exp(scores[:, 0])], axis=1), truth, units)
    for weights in ([1, -1], [1 / 3, -1 / 3]):
        gap = difference(*combine([found, found], weights))
        assert gap == Difference(0.0, reason="no test: the data show no spread")
        assert gap.measure == Measure(0.0, reason="no test: the data show no spread")


def test_spreads_that_cancel_leave_no_rounding_behind() -> None:
    # each patient's positive is just above their negative, patient by patient higher: the kth of
    # seven wins k sevenths of the pairs and loses none more, so each patient's share is the same
    patients = np.arange(7)
    found = delong([*(2 * patients + 1), *(2 * patients)], [1] * 7 + [0] * 7, [*patients] * 2)
    assert found.areas == pytest.approx([4 / 7])
    assert found.positive.any()
    assert not found.influence.any()
    assert combine([found], [1])[1] == 0


def test_two_perfect_opposites_differ_without_a_test() -> None:
    found = delong([[1, 4], [2, 3], [3, 2], [4, 1]], [0, 0, 1, 1])
    gap = difference(*combine([found], [1, -1]))
    assert (gap.estimate, gap.p_value) == (1.0, None)


def test_a_logit_interval_by_hand() -> None:
    # logit(0.8) = 1.386294; error 0.05 / 0.16 = 0.3125; 1.386294 -+ 1.959964 * 0.3125
    measure = interval(0.8, 0.05**2)
    assert measure.low == pytest.approx(1 / (1 + np.exp(-0.7738056)), abs=1e-7)
    assert measure.high == pytest.approx(1 / (1 + np.exp(-1.9987830)), abs=1e-7)
    assert measure.reason is None


@given(st.floats(0.001, 0.999), st.floats(1e-6, 0.2), st.floats(0.5, 0.999))
@settings(max_examples=60)
def test_intervals_hold_the_area_and_stay_in_range(area: float, error: float, level: float) -> None:
    for scale in ("logit", "linear"):
        measure = interval(area, error**2, level, scale)
        assert measure.low is not None
        assert measure.high is not None
        assert 0 <= measure.low < area < measure.high <= 1
        mirrored = interval(1 - area, error**2, level, scale)
        assert mirrored.low == pytest.approx(1 - measure.high, abs=1e-9)


def test_a_wide_linear_interval_is_cut() -> None:
    measure = interval(0.95, 0.01, scale="linear")
    assert (measure.low, measure.high) == pytest.approx((0.754, 1.0), abs=1e-3)
    gap = difference(0.9, 0.25)
    assert (gap.low, gap.high) == pytest.approx((-0.08, 1.0), abs=1e-3)


def test_a_difference_by_hand() -> None:
    gap = difference(-0.0392, 0.02**2, level=0.9)
    assert gap.z == pytest.approx(-1.96)
    assert gap.p_value == pytest.approx(0.05, abs=1e-5)
    assert (gap.low, gap.high) == pytest.approx(
        (-0.0392 - 0.0328971, -0.0392 + 0.0328971), abs=1e-7
    )
    assert gap.measure == Measure(-0.0392, gap.low, gap.high, p_value=gap.p_value)


def test_a_large_sample_has_the_variance_of_its_model_and_needs_little_memory() -> None:
    # all pairs would be 2.5e9 numbers. Normal scores one standard deviation apart: a positive
    # beats two negatives with probability Q, and V10 and V01 have the variance Q - A squared
    rng = np.random.default_rng(0)
    truth = np.arange(100_000) % 2
    found = delong(rng.normal(size=(100_000, 2)) + truth[:, None], truth)
    area, q = ndtr(np.sqrt(0.5)), ndtr(np.sqrt(0.5)) - 2 * owens_t(np.sqrt(0.5), np.sqrt(1 / 3))
    assert found.areas == pytest.approx([area, area], abs=0.005)
    variance = 2 * (q - area**2) / 50_000
    assert np.diag(found.covariance) == pytest.approx([variance, variance], rel=0.02)
    assert abs(found.covariance[0, 1]) < 0.02 * variance


@pytest.mark.parametrize(
    ("scores", "truth", "units", "message"),
    [
        ([1, 2], [1], None, r"one length.* got shapes \(2,\), \(1,\) and \(1,\)"),
        ([[[1]]], [1], None, r"got shapes \(1, 1, 1\), \(1,\) and \(1,\)"),
        (3, [1], None, r"got shapes \(\), \(1,\) and \(1,\)"),
        ([1, 2], [1, 0], [0], r"got shapes \(2,\), \(2,\) and \(1,\)"),
        ([1, 2], [1, -1], None, "truth must be 1, 0 or NaN: decide about uncertain labels first"),
        ([1, np.nan], [1, 0], None, "a score is NaN or infinite where the truth is known"),
        ([1, np.inf], [1, 0], None, "a score is NaN or infinite where the truth is known"),
        ([1, 2], [1, 0], [0.0, 1.0], "units must be whole numbers; got float64"),
        ([1, 2], [1, 0], [-1, 1], r"numbers from 0 to n_units - 1; got -1 to 1$"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    scores: list[float], truth: list[float], units: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        delong(scores, truth, units)


def test_a_unit_beyond_their_number_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to n_units - 1; got 0 to 2 and 2 units"):
        delong([1, 2], [1, 0], [0, 2], n_units=2)


def test_findings_that_do_not_fit_are_refused() -> None:
    one, other = delong([1, 2], [1, 0]), delong([1, 2, 3], [1, 0, 0])
    with pytest.raises(ValueError, match=r"same units and models; .* \[\(2, 1\), \(3, 1\)\]"):
        combine([one, other], [1])
    with pytest.raises(ValueError, match=r"same units and models; .* \[\]"):
        combine([], [1])
    with pytest.raises(ValueError, match=r"the shape \(1, 1\) or \(1,\); got \(2,\)"):
        combine([one], [1, 0])


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="no scale 'probit' for an interval; choose from logit, l"):
        interval(0.5, 0.1, scale="probit")
    for ask in (interval, difference):
        with pytest.raises(UsageError, match="level must lie between 0 and 1, got 95"):
            ask(0.5, 0.1, 95)


@pytest.mark.parametrize(
    ("model", "atelectasis", "mean"),
    [
        ("drnet", (0.8506, 0.9130), (0.9110, 0.9381)),
        ("jfaboy", (0.8596, 0.9161), (0.9123, 0.9370)),
    ],
)
def test_bootstrap_intervals_of_the_chexpert_leaderboard(
    model: str, atelectasis: tuple[float, float], mean: tuple[float, float], data_dir: Path
) -> None:
    # 1,000 resamples of the 500 studies, CheXzero's procedure
    folder = data_dir / "chexpert-test-labels"
    scores = read_table(folder / "predictions" / f"{model}_predictions.csv", "Study")
    both = align(scores, read_table(folder / "groundtruth.csv", "Study"))
    order = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    found = [delong(both.scores.column(name), both.truth.column(name)) for name in order]
    one, all_five = interval(*combine(found[:1], [1])), interval(*combine(found, [0.2]))
    assert (one.low, one.high) == pytest.approx(atelectasis, abs=0.004)
    assert (all_five.low, all_five.high) == pytest.approx(mean, abs=0.002)
