"""What a selection is worth, in NumPy and in torch: golden values, slow versions, laws."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ttest_rel

import reference
import reference_tasks
from hilum.errors import UsageError
from hilum.evaluate import Measure, auroc
from hilum.predictors import METHODS
from hilum.select import reward, reward_torch
from hilum.select.reward import aurocs, improvement, prototype_scores, rewards
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import Tasks
from reference_tasks import hospital

Floats = NDArray[np.float64]
METRICS = ("cosine", "euclidean")


def by_torch(
    query: Any, labelled: Any, labels: Any, weights: Any = None, metric: Any = "cosine"
) -> Floats:
    arrays = [torch.from_numpy(np.asarray(array)) for array in (query, labelled, labels)]
    weight = None if weights is None else torch.from_numpy(np.asarray(weights))
    found = reward_torch.prototype_scores(arrays[0], arrays[1], arrays[2], weight, metric)
    return np.asarray(found, dtype=np.float64)


def close(found: Any, expected: Any, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=atol)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Tasks with classes that may be absent and weights that may be 0."""
    n, q, k, dim = (draw(st.integers(1, high)) for high in (3, 5, 6, 4))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return {
        "query": rng.normal(size=(n, q, dim)),
        "labelled": rng.normal(size=(n, k, dim)),
        "labels": (rng.random((n, k)) < draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))).astype(int),
        "weights": rng.integers(0, 4, (n, k)).astype(float),
    }


# --------------------------------------------------------------------------- prototype scores

POOL = np.array([[[1.0, 0], [0, 1], [1, 1]]])
QUERY = np.array([[[1.0, 0], [1, 2]]])


@pytest.mark.parametrize("scores", [prototype_scores, by_torch])
@pytest.mark.parametrize(
    ("metric", "labels", "weights", "expected"),
    [
        ("cosine", [1, 0, 1], None, [0.85355339, -0.19647874]),
        ("euclidean", [1, 0, 1], None, [0.91421356, -0.08578644]),
        ("cosine", [1, 1, 1], None, [0.56903559, 0.76344136]),
        ("cosine", [0, 0, 0], None, [-0.56903559, -0.76344136]),
        ("cosine", [1, 0, 1], [2, 1, 1], [0.90236893, -0.28005703]),
    ],
)
def test_scores_are_those_of_the_original(
    scores: Any, metric: str, labels: list[int], weights: list[int] | None, expected: list[float]
) -> None:
    weighted = None if weights is None else [weights]
    found = scores(QUERY, POOL, np.array([labels]), weighted, metric=metric)
    close(found, [expected], atol=5e-9)


@pytest.mark.parametrize("scores", [prototype_scores, by_torch])
def test_an_image_twice_is_an_image_of_weight_two(scores: Any) -> None:
    twice = scores(QUERY, POOL[:, [0, 0, 1, 2]], np.array([[1, 1, 0, 1]]), None)
    close(twice, [[0.90236893, -0.28005703]], atol=5e-9)


@settings(max_examples=40, deadline=None)
@given(case=cases(), metric=st.sampled_from(METRICS))
def test_scores_agree_with_loops_with_torch_and_with_the_predictors(
    case: dict[str, Any], metric: Any
) -> None:
    found = prototype_scores(**case, metric=metric)
    slow = [
        [reference_tasks.prototype_score(one, known, labels, weights, metric) for one in query]
        for query, known, labels, weights in zip(*case.values(), strict=True)
    ]
    close(found, slow)
    close(by_torch(**case, metric=metric), slow)
    for task in range(len(found)):
        weights = case["weights"][task]
        alone = METHODS[metric](
            case["query"][task], case["labelled"][task], case["labels"][task][:, None], weights
        )
        if weights.any():  # with no label at all the predictor says nothing
            close(found[task], alone.scores[:, 0])


def test_cosine_scores_do_not_depend_on_lengths() -> None:
    rng = np.random.default_rng(0)
    query, labelled = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))
    labels = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 0, 1]])
    longer = labelled * rng.uniform(0.1, 9, (2, 5, 1)), query * rng.uniform(0.1, 9, (2, 3, 1))
    for scores in (prototype_scores, by_torch):
        found = scores(longer[1], longer[0], labels)
        close(found, prototype_scores(query, labelled, labels))


@pytest.mark.parametrize("metric", METRICS)
def test_soft_choices_have_the_gradient_of_differences(metric: Any) -> None:
    rng = np.random.default_rng(1)
    query, pool = (torch.from_numpy(rng.normal(size=(2, n, 3))) for n in (4, 6))
    labels = torch.tensor([[1, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]])
    weights = torch.from_numpy(rng.uniform(0.1, 1, (2, 6))).requires_grad_()

    def scores(weights: torch.Tensor) -> torch.Tensor:
        return reward_torch.prototype_scores(query, pool, labels, weights, metric)

    assert torch.autograd.gradcheck(scores, (weights,))


def test_scores_are_not_rounded_by_autocast() -> None:
    rng = np.random.default_rng(0)
    query, pool = (torch.from_numpy(rng.normal(size=(1, n, 8))).float() for n in (50, 6))
    labels = torch.tensor([[1, 0, 1, 0, 0, 1]], dtype=torch.uint8)
    exact = prototype_scores(query.numpy(), pool.numpy(), labels.numpy())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(reward_torch.prototype_scores(query, pool, labels), exact, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [[1, 0]]}, r"labels and weights must be \(1, 3\).* got \(1, 2\) and \(1, 3\)"),
        ({"weights": [[1, 1]]}, r"must be \(1, 3\).* got \(1, 3\) and \(1, 2\)"),
        ({"labels": [[1, 0, -1]]}, "labels must be 1 or 0"),
        ({"weights": [[1, -1, 1]]}, "weights must be finite and not negative"),
        ({"weights": [[1, np.inf, 1]]}, "weights must be finite and not negative"),
        ({"query": [[[0.0, 0], [1, 2]]]}, "a vector is zero or not finite"),
        ({"labelled": [[[1.0, 0], [0, np.nan], [1, 1]]]}, "a vector is zero or not finite"),
        ({"labelled": [[[1.0, 0], [0, np.inf], [1, 1]]]}, "a vector is zero or not finite"),
    ],
)
def test_arrays_that_cannot_be_scored_are_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"query": QUERY, "labelled": POOL, "labels": [[1, 0, 1]]} | change
    with pytest.raises(ValueError, match=message):
        prototype_scores(**{name: np.array(value) for name, value in given.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize("scores", [prototype_scores, by_torch])
def test_another_metric_is_refused(scores: Any) -> None:
    with pytest.raises(UsageError, match="'dot' is not a metric; choose from cosine, euclidean"):
        scores(QUERY, POOL, np.array([[1, 0, 1]]), None, metric="dot")


# --------------------------------------------------------------------------- AUROC


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9999), n=st.integers(1, 4), q=st.integers(1, 30), levels=st.integers(1, 9)
)
def test_areas_are_those_of_each_row_alone(seed: int, n: int, q: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(n, q)) / 7 - 0.5  # few levels: many ties
    truth = (rng.random((n, q)) < 0.4).astype(np.uint8)
    expected = [auroc(*row) for row in zip(scores, truth, strict=True)]
    close(aurocs(scores, truth), expected)
    on_device = reward_torch.aurocs(torch.from_numpy(scores), torch.from_numpy(truth))
    close(on_device, expected)


def test_a_hand_worked_area() -> None:
    # .8>.6, .8>.4, .8>.2, .6=.6, .6>.4, .6>.2: 5.5 of 6; then all pairs the wrong way round
    scores = [[0.8, 0.6, 0.6, 0.4, 0.2], [1.0, 2.0, 3.0, 4.0, 5.0]]
    truth = [[1, 1, 0, 0, 0]] * 2
    close(aurocs(scores, truth), [5.5 / 6, 0])
    assert reward_torch.aurocs(torch.tensor(scores), torch.tensor(truth)).dtype == torch.float32


def test_large_queries_are_counted_exactly_in_single_precision() -> None:
    n = 6000
    scores = torch.arange(n, dtype=torch.float32)[None]
    truth = (torch.arange(n) % 2)[None]  # every positive is above one negative more
    half = n // 2
    expected = (half + 1) / 2 / half
    assert float(reward_torch.aurocs(scores, truth)) == pytest.approx(expected, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), temperature=st.sampled_from([0.01, 0.1, 1.0]))
def test_the_smooth_area_agrees_with_a_loop_over_pairs(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.normal(size=(2, 9)).round(1), np.tile([1, 0, 0, 1, 1, 0, 0, 0, 1], (2, 1))
    found = reward_torch.smooth_aurocs(
        torch.from_numpy(scores), torch.from_numpy(truth), temperature
    )
    slow = [
        reference_tasks.smooth_auroc(*row, temperature) for row in zip(scores, truth, strict=True)
    ]
    close(found, slow)


def test_the_smooth_area_tends_to_the_area_and_to_one_half() -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.integers(6, size=(5, 40)) / 6.0)  # with ties
    truth = torch.from_numpy((rng.random((5, 40)) < 0.5).astype(np.uint8))
    exact = reward_torch.aurocs(scores, truth)
    gaps = [
        float((reward_torch.smooth_aurocs(scores, truth, temperature) - exact).abs().max())
        for temperature in (0.3, 0.1, 0.03, 0.003)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-12
    hot = reward_torch.smooth_aurocs(scores, truth, 1e6)
    close(hot, np.full(5, 0.5), atol=1e-6)


def test_the_smooth_area_has_a_gradient_that_raises_positives() -> None:
    scores = torch.zeros(1, 4, requires_grad=True)
    truth = torch.tensor([[1, 1, 0, 0]])
    torch.autograd.backward(reward_torch.smooth_aurocs(scores, truth, 0.5).sum())
    # each pair's sigmoid has slope 1/4 / temperature at 0; four pairs, each score in two of them
    close(scores.grad, [[0.25, 0.25, -0.25, -0.25]])
    with pytest.raises(UsageError, match="temperature must be above 0; got 0"):
        reward_torch.smooth_aurocs(scores, truth, 0)


# --------------------------------------------------------------------------- rewards


def tasks_of(n: int = 6) -> tuple[NDArray[np.float32], Tasks]:
    films = hospital()
    return films.vectors, films.source(TaskPlan(20, 10)).batch(range(n))


@pytest.mark.parametrize("metric", METRICS)
def test_rewards_are_areas_of_scores_from_the_picks(metric: Any) -> None:
    vectors, tasks = tasks_of()
    picks = np.random.default_rng(0).integers(20, size=(6, 7))  # some twice
    weights = np.random.default_rng(1).random((6, 7))
    found = rewards(vectors, tasks, picks, weights, metric)
    for at in range(6):
        rows, labels = tasks.pool[at][picks[at]], tasks.pool_labels[at][picks[at]]
        query = vectors[tasks.query[at]].astype(np.float64)
        scores = [
            reference_tasks.prototype_score(
                one, vectors[rows].astype(np.float64), labels.astype(np.int64), weights[at], metric
            )
            for one in query
        ]
        truth = tasks.query_labels[at].astype(np.float64)
        assert found[at] == pytest.approx(reference.auroc_by_pairs(np.array(scores), truth))


def test_the_whole_pool_is_better_than_one_image() -> None:
    vectors, tasks = tasks_of(100)
    whole = rewards(vectors, tasks, np.tile(np.arange(20), (100, 1)))
    one = rewards(vectors, tasks, np.zeros((100, 1)))
    assert whole.mean() > one.mean() + 0.1


def test_rewards_do_not_depend_on_how_many_tasks_are_done_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, tasks = tasks_of()
    picks = np.random.default_rng(0).integers(20, size=(6, 5))
    whole = rewards(vectors, tasks, picks)
    monkeypatch.setattr(reward, "_BLOCK_BYTES", 3000)
    np.testing.assert_array_equal(rewards(vectors, tasks, picks), whole)


@pytest.mark.parametrize(
    ("picks", "message"),
    [
        (np.zeros((5, 2)), r"picks must be \(6, k\) with k of 1 or more, .* got \(5, 2\)"),
        (np.zeros((6, 0)), r"picks must be \(6, k\) .* got \(6, 0\)"),
        (np.full((6, 1), 20), "picks must be positions in the pool, 0 to 19; got 20 to 20"),
        (np.full((6, 1), -1), "picks must be positions in the pool, 0 to 19; got -1 to -1"),
    ],
)
def test_picks_that_do_not_fit_are_refused(picks: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rewards(*tasks_of(), picks)


# --------------------------------------------------------------------------- improvement


def test_the_interval_of_an_improvement_is_that_of_the_original() -> None:
    found = improvement([0.01, 0.03, 0.02, 0.04])
    assert found.estimate == pytest.approx(0.0250, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((0.0045, 0.0455), abs=5e-5)


def test_an_improvement_agrees_with_scipys_paired_test() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.7, 0.1, 40), rng.normal(0.68, 0.1, 40)
    found, expected = improvement(one - other, 0.9), ttest_rel(one, other)
    interval = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert improvement(other - one).p_value == pytest.approx(expected.pvalue)


def test_an_improvement_that_cannot_be_told_says_why() -> None:
    assert improvement([]) == Measure(
        None, reason="an interval needs two tasks or more, there is 0"
    )
    assert improvement([0.2]) == Measure(
        0.2, reason="an interval needs two tasks or more, there is 1"
    )
    flat = improvement([0.25, 0.25])
    assert (flat.low, flat.high, flat.p_value) == (0.25, 0.25, None)
    assert flat.reason == "no p-value: all differences are the same"


@pytest.mark.parametrize(
    ("differences", "level", "message"),
    [
        ([[0.1, 0.2]], 0.95, r"got shape \(1, 2\), 0 not finite, level 0.95"),
        ([0.1, np.nan], 0.95, r"got shape \(2,\), 1 not finite"),
        ([0.1, 0.2], 1.0, "above 0 and below 1; .* level 1.0"),
    ],
)
def test_differences_that_are_none_are_refused(
    differences: Any, level: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        improvement(differences, level)
