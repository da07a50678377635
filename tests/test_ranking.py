"""Rankings under weights: derivatives, partial areas, and weights that are repetitions."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

import reference
from hilum.evaluate.ranking import STATISTICS, Ranking, partial_area, rank

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# no false positive rate of a small case: the partial area has a corner where one equals its end
MAX_FPR = 0.3141592
ALL = {**STATISTICS, "partial_auroc": partial_area(MAX_FPR)}

few = settings(max_examples=40, deadline=None)


@dataclass(frozen=True)
class Case:
    """Images of some patients; the last patients may have none, or none of known truth."""

    scores: Floats
    truth: Floats
    units: Ints
    n_units: int

    def ranking(self) -> Ranking:
        return rank(self.scores, self.truth, self.units, self.n_units, ALL)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Few distinct scores, so that ties are common; both classes and some unknown."""
    n, n_units = draw(st.integers(2, 25)), draw(st.integers(1, 8))
    scores = draw(arrays.arrays(np.float64, n, elements=st.integers(-3, 3).map(float)))
    values = st.sampled_from([0.0, 1.0, 1.0, 0.0, np.nan])
    truth = draw(arrays.arrays(np.float64, n, elements=values))
    truth[:2] = (0.0, 1.0)
    units = draw(arrays.arrays(np.int64, n, elements=st.integers(0, n_units - 1)))
    return Case(scores, truth, units, n_units + draw(st.integers(0, 2)))


@few
@given(cases())
def test_influence_is_the_slope_of_each_statistic(case: Case) -> None:
    ranking = case.ranking()
    slow = reference.slopes_by_differences(ranking.measure, ranking.n_units)
    fast = ranking.influence()
    assert list(fast) == list(ranking.names) == list(ALL)
    for name, values in fast.items():
        np.testing.assert_allclose(values, slow[name], atol=1e-6, err_msg=name)


@few
@given(cases())
def test_influences_add_up_to_nothing(case: Case) -> None:
    for values in case.ranking().influence().values():
        assert values.shape == (case.n_units,)
        assert values.sum() == pytest.approx(0, abs=1e-12)


def test_hand_worked_influences() -> None:
    # AUROC = 1/2: the upper positive wins its pair, the lower one loses it
    # AP = (a + c (a + c) / (a + b + c)) / (a + c) for weights a, b, c
    found = rank([3.0, 2.0, 1.0], [1, 0, 1]).influence()
    np.testing.assert_allclose(found["auroc"], [0.25, 0, -0.25])
    np.testing.assert_allclose(found["average_precision"], np.array([5, -4, -1]) / 36)


@pytest.mark.parametrize("truth", [[1, 1, np.nan], [0, 0, np.nan]])
def test_one_class_has_no_influence(truth: list[float]) -> None:
    ranking = rank([1.0, 2.0, 3.0], truth, statistics=ALL)
    for found in (ranking.influence(), ranking.measure(np.ones((3, 3)))):
        assert all(np.isnan(found[name]).all() and found[name].size == 3 for name in ALL)


@few
@given(cases(), st.data())
def test_a_weight_is_a_repetition_of_the_whole_unit(case: Case, data: st.DataObject) -> None:
    weights = data.draw(arrays.arrays(np.int64, case.n_units, elements=st.integers(0, 3)))
    times = weights[case.units]
    again = rank(
        np.repeat(case.scores, times), np.repeat(case.truth, times), np.repeat(case.units, times),
        case.n_units, ALL,
    )  # fmt: skip
    whole = again.measure(np.ones((case.n_units, 1)))
    for name, values in case.ranking().measure(weights[:, None].astype(float)).items():
        np.testing.assert_allclose(values, whole[name], atol=1e-12, err_msg=name)


@few
@given(cases(), st.integers(0, 1000))
def test_weightings_together_are_weightings_one_by_one_on_any_scale(case: Case, seed: int) -> None:
    weights = np.random.default_rng(seed).exponential(size=(case.n_units, 4))
    weights[:, 0] = 0
    ranking = case.ranking()
    together = ranking.measure(weights)
    for at in range(4):
        for factor in (1, 7.3):
            for name, value in ranking.measure(factor * weights[:, [at]]).items():
                np.testing.assert_allclose(value, together[name][[at]], rtol=1e-9, err_msg=name)
    assert all(np.isnan(values[0]) for values in together.values())


def test_a_hand_worked_partial_area() -> None:
    # the curve: (0, 1/3), (1/3, 1/3), (1/3, 2/3), (1, 2/3), (1, 1); up to 1/2 the area is
    # 1/3 · 1/3 + 1/6 · 2/3 = 2/9, chance has 1/8 and perfection 1/2
    scores, truth = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 0, 1, 0, 0, 1]
    assert partial(scores, truth, 0.5) == pytest.approx((1 + (2 / 9 - 1 / 8) / (3 / 8)) / 2)


def test_a_hand_worked_partial_area_that_ends_within_a_tie() -> None:
    # (0, 1/2), then a slope of 1 to (1/2, 1): up to 1/4 the area is 1/4 · (1/2 + 3/4) / 2 = 5/32;
    # chance has 1/32 and perfection 8/32
    assert partial([2.0, 1.0, 1.0, 0.0], [1, 1, 0, 0], 0.25) == pytest.approx((1 + 4 / 7) / 2)


def partial(scores: ArrayLike, truth: ArrayLike, max_fpr: float) -> float:
    ranking = rank(scores, truth, statistics={"it": partial_area(max_fpr)})
    return float(ranking.measure(np.ones((ranking.n_units, 1)))["it"][0])


@few
@given(cases(), st.integers(1, 20))
def test_partial_areas_are_sums_of_trapezoids(case: Case, twentieths: int) -> None:
    # the ends include false positive rates that the cases do reach
    ours = partial(case.scores, case.truth, twentieths / 20)
    slow = reference.partial_auroc_by_trapezoids(case.scores, case.truth, twentieths / 20)
    assert ours == pytest.approx(slow, abs=1e-12)


@few
@given(cases(), st.sampled_from([0.05, 0.1, 0.25, 0.5, MAX_FPR, 0.9]))
def test_partial_areas_are_scikit_learns(case: Case, max_fpr: float) -> None:
    known = ~np.isnan(case.truth)
    scores, truth = case.scores[known], case.truth[known]
    expected = roc_auc_score(truth, scores, max_fpr=max_fpr)
    assert partial(scores, truth, max_fpr) == pytest.approx(expected, abs=1e-12)


@few
@given(cases())
def test_a_partial_area_up_to_1_is_the_whole_and_close_to_1_close_to_it(case: Case) -> None:
    ones = np.ones((case.n_units, 1))
    whole = case.ranking().measure(ones)["auroc"][0]
    assert partial(case.scores, case.truth, 1) == pytest.approx(whole, abs=1e-12)
    assert partial(case.scores, case.truth, 1 - 1e-9) == pytest.approx(whole, abs=1e-8)


def test_chance_is_one_half_and_perfection_1_for_any_part() -> None:
    for max_fpr in (0.01, 0.3, 0.99):
        assert partial([1.0, 1.0, 1.0], [1, 0, 0], max_fpr) == pytest.approx(0.5)
        assert partial([2.0, 1.0, 0.0], [1, 0, 0], max_fpr) == pytest.approx(1)


def test_memory_of_a_weighting_is_that_of_its_steps() -> None:
    # the same three scores for many images: three steps, whatever their number
    small, large = (rank(np.arange(n) % 3, np.arange(n) % 2) for n in (6, 600))
    assert small.bytes_per_weighting == large.bytes_per_weighting == 8 * (7 * 3 + 1)


@pytest.mark.parametrize("units", [[0, 3], [-1, 0], [0, 1.5]])
def test_units_are_numbers_from_0_to_the_last(units: list[float]) -> None:
    message = f"units must be whole numbers from 0 to 2, got {units[0]}.* to {units[1]}"
    with pytest.raises(ValueError, match=message):
        rank([1.0, 2.0], [0, 1], units, 3)


def test_units_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one length; got shapes \(2,\), \(2,\) and \(3,\)"):
        rank([1.0, 2.0], [0, 1], [0, 1, 2])
