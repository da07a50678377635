"""The statistics, against pairs counted one by one, scikit-learn and laws."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

import reference
from hilum.errors import UsageError
from hilum.evaluate import auroc, average_precision, confusion_metrics, partial_auroc
from hilum.evaluate.ranking import rank

Floats = NDArray[np.float64]

few = settings(max_examples=40, deadline=None)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Few distinct scores, so that ties are common; both classes and some unknown."""
    n = draw(st.integers(2, 25))
    scores = draw(arrays.arrays(np.float64, n, elements=st.integers(-4, 4).map(float)))
    values = st.sampled_from([0.0, 1.0, 1.0, 0.0, np.nan])
    truth = draw(arrays.arrays(np.float64, n, elements=values))
    truth[:2] = (0.0, 1.0)
    return scores, truth


def test_a_hand_worked_case() -> None:
    # pairs: .8>.6, .8>.4, .8>.2, .6=.6, .6>.4, .6>.2 -> 5.5 of 6
    scores, truth = [0.8, 0.6, 0.6, 0.4, 0.2], [1, 1, 0, 0, 0]
    assert auroc(scores, truth) == pytest.approx(5.5 / 6)
    # at .8: precision 1, recall 1/2; at .6: 2 of 3 called, recall 1
    assert average_precision(scores, truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_equal_scores_are_worth_one_half() -> None:
    assert auroc([0.5, 0.5, 0.5], [1, 0, 1]) == 0.5


def test_unknown_labels_take_no_part() -> None:
    assert auroc([0.9, 0.1, 99, np.nan], [1, 0, np.nan, np.nan]) == 1.0


@pytest.mark.parametrize("truth", [[1, 1], [0, 0], [np.nan, np.nan], [1, np.nan], []])
def test_one_class_is_undefined(truth: list[float]) -> None:
    scores = np.arange(len(truth))
    assert np.isnan(auroc(scores, truth))
    assert np.isnan(average_precision(scores, truth))


@few
@given(cases())
def test_both_agree_with_the_slow_versions(case: tuple[Floats, Floats]) -> None:
    assert auroc(*case) == pytest.approx(reference.auroc_by_pairs(*case))
    slow = reference.average_precision_by_thresholds(*case)
    assert average_precision(*case) == pytest.approx(slow)


@pytest.mark.parametrize("n", [5, 50, 400])
@pytest.mark.parametrize("levels", [2, 7, 10**6])
@pytest.mark.parametrize("prevalence", [0.1, 0.5, 0.9])
def test_both_agree_with_scikit_learn_with_and_without_weights(
    n: int, levels: int, prevalence: float
) -> None:
    rng = np.random.default_rng(n + levels)
    truth = (rng.random(n) < prevalence).astype(float)
    truth[:2] = (0, 1)
    scores = rng.integers(levels, size=n) / levels + 0.3 * truth
    weights = rng.integers(0, 4, size=n).astype(float)
    weights[:2] = 1
    assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))
    assert auroc(scores, truth, weights) == pytest.approx(
        roc_auc_score(truth, scores, sample_weight=weights)
    )
    assert average_precision(scores, truth, weights) == pytest.approx(
        average_precision_score(truth, scores, sample_weight=weights)
    )


@few
@given(cases(), st.lists(st.integers(0, 3), min_size=25, max_size=25))
def test_a_weight_is_a_repetition(case: tuple[Floats, Floats], repeats: list[int]) -> None:
    scores, truth = case
    times = np.array(repeats[: scores.size])
    again = np.repeat(scores, times), np.repeat(truth, times)
    for statistic in (auroc, average_precision):
        weighted, repeated = statistic(scores, truth, times), statistic(*again)
        assert weighted == pytest.approx(repeated, nan_ok=True)


@few
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(case: tuple[Floats, Floats], rng: object) -> None:
    order = list(range(case[0].size))
    rng.shuffle(order)  # type: ignore[attr-defined]
    for statistic in (auroc, average_precision):
        shuffled = statistic(case[0][order], case[1][order])
        assert shuffled == pytest.approx(statistic(*case))


@few
@given(cases())
def test_rising_maps_change_nothing_and_turning_round_is_one_minus(
    case: tuple[Floats, Floats],
) -> None:
    scores, truth = case
    for statistic in (auroc, average_precision):
        assert statistic(np.exp(scores) * 3 + 1, truth) == pytest.approx(statistic(scores, truth))
    assert auroc(-scores, truth) == pytest.approx(1 - auroc(scores, truth))
    assert auroc(scores, 1 - truth) == pytest.approx(1 - auroc(scores, truth))


def test_a_unit_is_weighed_with_all_its_images() -> None:
    scores, truth = np.array([3.0, 2.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    ranking = rank(scores, truth, [0, 0, 1, 1])
    steps = ranking.weigh(np.array([[2.0], [1.0]]))
    assert steps.total_positives == [3.0]
    assert steps.total_negatives == [3.0]


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        ([1.0], [1, 0], "of one length; got shapes"),
        ([1.0, 2.0], [1, -1], "decide about uncertain labels first"),
        ([1.0, np.nan], [1, 0], "NaN or infinite where the truth is known"),
        ([1.0, np.inf], [1, 0], "NaN or infinite where the truth is known"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    scores: list[float], truth: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        auroc(scores, truth)


STATISTICS = {
    "auroc": auroc,
    "average_precision": average_precision,
    "partial_auroc": lambda s, t, w=None: partial_auroc(s, t, 0.3, w),
    "f1": lambda s, t, w=None: confusion_metrics(s, t, w)["f1"],
}


@pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS)
@pytest.mark.parametrize(
    "weights", [[1.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf], 1.0, [[1.0, 1.0]]]
)
def test_weights_must_be_usable(statistic: Callable[..., float], weights: object) -> None:
    with pytest.raises(ValueError, match="weights must be 2 finite numbers, none below 0"):
        statistic([1.0, 0.0], [0, 1], weights)


@pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS)
def test_a_weight_of_nothing_takes_an_image_out(statistic: Callable[..., float]) -> None:
    called, truth = [1.0, 0.0, 1.0, 0.0, 0.0], [1, 0, 0, 1, 1]
    without = statistic(called[:4], truth[:4])
    assert statistic(called, truth, [1, 1, 1, 1, 0]) == without
    assert statistic(called, truth, [1, 1, 1, 1, 1]) == statistic(called, truth) != without
    assert np.isnan(statistic(called, truth, [0, 0, 0, 0, 0]))


@few
@given(cases(), st.integers(1, 20))
def test_the_partial_area_is_that_of_the_trapezoids(
    case: tuple[Floats, Floats], twentieths: int
) -> None:
    slow = reference.partial_auroc_by_trapezoids(*case, twentieths / 20)
    assert partial_auroc(*case, twentieths / 20) == pytest.approx(slow)
    assert partial_auroc(*case, 1) == pytest.approx(auroc(*case))


@pytest.mark.parametrize("max_fpr", [0, -0.1, 1.5, np.nan])
def test_a_partial_area_ends_at_a_false_positive_rate(max_fpr: float) -> None:
    with pytest.raises(UsageError, match=f"above 0 and at most 1, got {max_fpr}"):
        partial_auroc([1.0, 2.0], [0, 1], max_fpr)


def test_readings_have_hand_worked_statistics_with_and_without_weights() -> None:
    called, truth = [1, 1, 1, 0, 0, np.nan, 1], [1, 1, 0, 1, 0, 1, np.nan]
    assert confusion_metrics(called, truth) == {
        "f1": pytest.approx(4 / 6),
        "mcc": pytest.approx((2 * 1 - 1 * 1) / (3 * 2 * 3 * 2) ** 0.5),
        "sensitivity": pytest.approx(2 / 3),
        "specificity": 0.5,
        "ppv": pytest.approx(2 / 3),
        "npv": 0.5,
    }
    weighted = confusion_metrics(called, truth, [1, 0, 3, 2, 1, 5, 5])
    assert weighted["sensitivity"] == pytest.approx(1 / 3)
    assert weighted["ppv"] == 0.25


def test_readings_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="decisions and truth must be 1, 0 or NaN"):
        confusion_metrics([0.7, 0], [1, 0])
