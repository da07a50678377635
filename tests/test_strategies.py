"""Selection strategies: one contract that all keep, and what each is known to do."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import expit

import reference_select as slow
from hilum.errors import UsageError
from hilum.select import (
    STRATEGIES,
    Picks,
    Pool,
    Settings,
    Strategy,
    clustering,
    coverage,
    typical,
    uncertainty,
)
from hilum.select import pool as pool_module
from hilum.select.clustering import alternate, k_means_centres, medoids_of, spread_start
from hilum.select.coverage import pure_radius
from hilum.select.quota import Quota
from hilum.select.space import Space, pairwise
from hilum.select.typical import typicality
from hilum.select.uncertainty import binary_entropy, gradient_errors, log_odds

Floats = NDArray[Any]
N, DIM, LABELLED = 60, 5, 12
everyone = pytest.mark.parametrize("name", STRATEGIES)
unlabelled_round = pytest.mark.parametrize(
    "name", [name for name, strategy in STRATEGIES.items() if not strategy.needs_labels]
)


def vectors_of(seed: int, n: int = N, dim: int = DIM) -> Floats:
    return np.random.default_rng(seed).normal(1.0, 1.0, (n, dim)).astype(np.float32)


def pool_of(vectors: Floats, labelled: int = 0, patients: Any = None, order: Any = None) -> Pool:
    """Make a pool whose first rows are labelled, with both classes for two findings of three."""
    n = len(vectors)
    order = np.arange(n) if order is None else np.asarray(order)
    truth = np.stack([np.arange(n) % 2, np.arange(n) % 3 == 0, np.ones(n)], axis=1).astype(float)
    truth[1:2, 0] = np.nan
    ids = [f"i{at}" for at in order]
    place = np.argsort(order)[:labelled]
    patients = None if patients is None else np.asarray(patients)[order]
    return Pool(
        vectors[order], tuple(ids), patients, place, truth[:labelled], ("Edema", "Mass", "Hernia")
    )


def pick(
    name: str, pool: Pool, budget: int, seed: int = 0, per_patient: int | None = None
) -> Picks:
    return STRATEGIES[name].pick(pool, budget, Settings(per_patient), np.random.default_rng(seed))


def islands(sizes: tuple[int, ...], seed: int = 0) -> tuple[Floats, Floats]:
    """Return tight clusters of these sizes, far apart in every direction, and whose each row is."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    vectors = 10 * np.eye(len(sizes), 8)[label] + rng.normal(0, 0.1, (len(label), 8))
    return vectors.astype(np.float32), label


# --------------------------------------------------------------------------- the contract


@everyone
def test_a_strategy_says_what_it_does_and_where_it_is_from(name: str) -> None:
    strategy = STRATEGIES[name]
    assert isinstance(strategy, Strategy)
    assert strategy.about.endswith(".")
    assert strategy.source


@everyone
@given(seed=st.integers(0, 10**6), budget=st.integers(1, N - LABELLED), limit=st.integers(1, 3))
@settings(max_examples=8, deadline=None)
def test_picks_are_as_many_as_asked_distinct_unlabelled_and_within_the_limit(
    name: str, seed: int, budget: int, limit: int
) -> None:
    patients = np.random.default_rng(seed).integers(0, 25, N)
    pool = pool_of(vectors_of(seed), LABELLED, patients)
    _, count = np.unique(patients, return_counts=True)
    inside = np.bincount(patients[:LABELLED], minlength=25)[np.unique(patients)]
    most = int(np.minimum(count - inside, np.maximum(limit - inside, 0)).sum())
    picks = pick(name, pool, min(budget, most), seed, limit)
    assert len(set(picks.rows.tolist())) == len(picks.rows) == min(budget, most)
    assert not set(picks.rows.tolist()) & set(range(LABELLED))
    taken, counts = np.unique(patients[picks.rows], return_counts=True)
    before = np.bincount(patients[:LABELLED], minlength=25)[taken]
    assert (counts + before <= limit).all()


@everyone
def test_picks_have_the_form_that_is_promised(name: str) -> None:
    picks = pick(name, pool_of(vectors_of(0), LABELLED), 7)
    assert picks.rows.shape == picks.scores.shape == (7,)
    assert np.issubdtype(picks.rows.dtype, np.integer)
    assert picks.scores.dtype == np.float64
    assert not np.isinf(picks.scores).any()
    assert len(picks.why) == 7
    assert all(reason and "\n" not in reason for reason in picks.why)


@everyone
def test_one_seed_gives_one_list_and_nothing_global_is_touched(name: str) -> None:
    pool = pool_of(vectors_of(1), LABELLED)
    pool.vectors.setflags(write=False)
    pool.labels.setflags(write=False)
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    first, second = pick(name, pool, 9, seed=5), pick(name, pool, 9, seed=5)
    after = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.why == second.why
    assert before == after


@everyone
def test_the_size_of_blocks_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(vectors_of(2), LABELLED)
    whole = pick(name, pool, 9)
    monkeypatch.setattr(pool_module, "_MEGABYTE", 40)
    parts = pick(name, pool, 9)
    np.testing.assert_array_equal(whole.rows, parts.rows)
    np.testing.assert_allclose(whole.scores, parts.scores, rtol=1e-5)


@everyone
@pytest.mark.parametrize("factor", [2.0**-60, 2.0**60])
def test_the_scale_of_the_embedding_changes_nothing(name: str, factor: float) -> None:
    vectors = vectors_of(3)
    plain, scaled = (
        pick(name, pool_of(v, LABELLED), 9) for v in (vectors, vectors * np.float32(factor))
    )
    np.testing.assert_array_equal(plain.rows, scaled.rows)


@everyone
def test_identical_vectors_are_no_obstacle(name: str) -> None:
    pool = pool_of(np.full((20, 3), 0.3, dtype=np.float32), 4, np.arange(20) // 2)
    assert len(set(pick(name, pool, 16).rows.tolist())) == 16
    assert len(set(pick(name, pool, 8, per_patient=1).rows.tolist())) == 8


@everyone
def test_twins_are_no_obstacle(name: str) -> None:
    pool = pool_of(np.concatenate([vectors_of(14), vectors_of(14)]), LABELLED)
    picks = pick(name, pool, 2 * N - LABELLED)
    assert set(picks.rows.tolist()) == set(range(LABELLED, 2 * N))
    assert not (picks.scores < 0).any()


@everyone
def test_one_image_or_all_that_are_left_can_be_asked_for(name: str) -> None:
    pool = pool_of(vectors_of(4), LABELLED)
    assert pick(name, pool, 1).rows.shape == (1,)
    assert set(pick(name, pool, N - LABELLED).rows.tolist()) == set(range(LABELLED, N))


@unlabelled_round
def test_a_pool_of_one_image_gives_that_image(name: str) -> None:
    assert pick(name, pool_of(vectors_of(0, n=1)), 1).rows.tolist() == [0]


@everyone
def test_a_budget_that_cannot_be_met_is_refused_with_what_is_left(name: str) -> None:
    pool = pool_of(vectors_of(5), LABELLED, np.arange(N) // 10)  # 6 patients; 2 have labels
    with pytest.raises(
        UsageError,
        match=r"asked for 49 images to label, but 48 of 60 can be picked \(12 labelled already\); "
        "choose a budget from 1 to 48",
    ):
        pick(name, pool, 49)
    with pytest.raises(UsageError, match=r"but 4 of 60 .*12 labelled already, at most 1 of one"):
        pick(name, pool, 5, per_patient=1)
    with pytest.raises(UsageError, match="asked for 0 images"):
        pick(name, pool, 0)


def test_a_pool_that_is_all_labelled_says_that_nothing_is_left() -> None:
    with pytest.raises(UsageError, match=r"0 of 3 can be picked .* there is nothing left to label"):
        pick("random", pool_of(vectors_of(0, n=3), 3), 1)


def test_a_limit_needs_patients_and_to_be_positive() -> None:
    with pytest.raises(UsageError, match="the pool does not name patients"):
        pick("random", pool_of(vectors_of(0)), 1, per_patient=1)
    with pytest.raises(UsageError, match="must be 1 or more; got 0"):
        pick("random", pool_of(vectors_of(0), 0, np.arange(N)), 1, per_patient=0)


@pytest.mark.parametrize("name", ["k-medoids", "k-means", "k-center", "typiclust", "probcover"])
@pytest.mark.parametrize("seed", range(3))
def test_every_cluster_is_found_whatever_the_order_of_rows(name: str, seed: int) -> None:
    vectors, label = islands((20, 17, 14, 11))
    order = np.random.default_rng(seed).permutation(len(label))
    plain = pick(name, pool_of(vectors), 4, seed)
    mixed = pick(name, pool_of(vectors, order=order), 4, seed + 1)
    assert sorted(label[plain.rows]) == [0, 1, 2, 3]
    if name != "k-center":
        assert label[plain.rows].tolist() == [0, 1, 2, 3]  # the largest first
    if name != "probcover":  # one of many that cover the same
        assert sorted(order[mixed.rows]) == sorted(plain.rows)
    assert sorted(label[order[mixed.rows]]) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["k-center", "entropy", "margin"])
def test_what_draws_nothing_does_not_depend_on_the_order_of_rows(name: str) -> None:
    vectors = vectors_of(6)
    order = np.random.default_rng(0).permutation(N)
    plain = pick(name, pool_of(vectors, LABELLED), 9)
    mixed = pick(name, pool_of(vectors, LABELLED, order=order), 9)
    np.testing.assert_array_equal(order[mixed.rows], plain.rows)


@pytest.mark.parametrize("name", [n for n, s in STRATEGIES.items() if s.needs_labels])
def test_what_learns_refuses_labels_of_one_class_and_says_what_to_do(name: str) -> None:
    vectors, labels = vectors_of(0, n=5), np.array([[1.0, np.nan], [1.0, 0.0]])
    one = Pool(vectors, tuple("abcde"), None, np.arange(2), labels, ("Edema", "Mass"))
    with pytest.raises(
        UsageError,
        match=f"{name} learns from labels, .*got Edema: 2 positive, 0 negative; "
        "Mass: 0 positive, 1 negative; choose a round by k-means",
    ):
        pick(name, one, 2)
    with pytest.raises(UsageError, match="got no labels"):
        pick(name, Pool(vectors, tuple("abcde")), 2)


# --------------------------------------------------------------------------- the pool


@pytest.mark.parametrize(("value", "word"), [(np.nan, "not finite"), (np.inf, "not finite")])
def test_vectors_that_are_not_finite_are_refused_by_name(value: float, word: str) -> None:
    vectors = vectors_of(0)
    vectors[[7, 9], 0] = value
    with pytest.raises(UsageError, match=rf"2 of 60 vectors are {word}, the first is .*'i7'"):
        pool_of(vectors)


def test_zero_vectors_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_MEGABYTE", 40)
    vectors = vectors_of(0)
    vectors[59] = 0
    with pytest.raises(UsageError, match=r"1 of 60 vectors are zero, the first is .*'i59'; embed"):
        pool_of(vectors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.ones(4)}, r"a vector \(n, dim\) for each .* shape \(4,\) for 4 ids"),
        ({"vectors": np.ones((3, 2))}, r"shape \(3, 2\) for 4 ids"),
        ({"vectors": np.ones((0, 2)), "ids": ()}, "one or more images"),
        ({"patients": np.zeros(3)}, r"patients must hold one number for each of 4 .*\(3,\)"),
        ({"age": np.zeros((4, 1))}, "age must hold one number"),
        ({"labelled": np.array([4]), "labels": np.zeros((1, 1))}, "from 0 to 3; got 4 to 4"),
        ({"labelled": np.array([1, 1]), "labels": np.zeros((2, 1))}, "a labelled row is there twi"),
        ({"labelled": np.array([1])}, None),
        ({"labels": np.zeros((1, 1))}, r"with 0 rows; got shape \(1, 1\)"),
        ({"labelled": np.array([1]), "labels": np.array([[-1.0]])}, "labels must be 1, 0 or NaN"),
        ({"findings": ("Edema",)}, "1 findings are named for 0 columns"),
    ],
)
def test_a_pool_that_does_not_fit_together_is_refused(
    change: dict[str, Any], message: str | None
) -> None:
    whole: dict[str, Any] = {"vectors": np.ones((4, 2), np.float32), "ids": tuple("abcd")}
    if message is None:
        assert Pool(**{**whole, **change}).labels.shape == (1, 0)
        return
    with pytest.raises(UsageError, match=message):
        Pool(**{**whole, **change})


def test_findings_without_names_are_numbered() -> None:
    pool = Pool(vectors_of(0, 2), ("a", "b"), None, np.array([0]), np.zeros((1, 2)))
    assert pool.findings == ("finding 1", "finding 2")


# --------------------------------------------------------------------------- distances


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_distances_are_those_of_scipy(unit: bool, shift: float) -> None:
    vectors = vectors_of(7) + np.float32(shift)
    space = Space(vectors, unit=unit)
    plain = vectors.astype(np.float64)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True) if unit else 1
    expected = cdist(plain, plain)
    scale = expected.max()
    inside = space.take_precisely(slice(None))
    np.testing.assert_allclose(space.distances_from(3) * space.yard, expected[3], atol=1e-5 * scale)
    np.testing.assert_allclose(pairwise(inside, inside) * space.yard, expected, atol=1e-5 * scale)
    label, distance = space.nearest(space.take(np.array([4, 9, 11])))
    np.testing.assert_array_equal(label, expected[:, [4, 9, 11]].argmin(axis=1))
    np.testing.assert_allclose(
        distance * space.yard, expected[:, [4, 9, 11]].min(axis=1), atol=1e-5 * scale
    )


def test_equal_vectors_are_no_distance_apart() -> None:
    vectors = np.concatenate([vectors_of(8), vectors_of(8)]) + np.float32(50)
    space = Space(vectors)
    inside = space.take_precisely(slice(None))
    assert (pairwise(inside, inside)[np.arange(N), np.arange(N, 2 * N)] == 0).all()
    assert space.distances_from(5)[5 + N] == 0
    assert (space.nearest(space.take(np.arange(N)))[1] == 0).all()


def test_the_yard_is_the_root_mean_square_length() -> None:
    assert Space(np.array([[3, 4], [0, 1]], dtype=np.float32)).yard == pytest.approx(13**0.5)
    assert Space(np.array([[3, 4], [0, 1]], dtype=np.float32), unit=True).yard == 1


# --------------------------------------------------------------------------- random


def test_random_picks_are_uniform() -> None:
    pool = pool_of(vectors_of(0, n=6), 1)
    rng = np.random.default_rng(0)
    drawn = [STRATEGIES["random"].pick(pool, 2, Settings(), rng).rows for _ in range(4000)]
    share = np.bincount(np.concatenate(drawn), minlength=6) / 4000
    np.testing.assert_allclose(share, [0, 0.4, 0.4, 0.4, 0.4, 0.4], atol=0.03)  # 4 sd


def test_random_picks_show_no_score() -> None:
    picks = pick("random", pool_of(vectors_of(0)), 3)
    assert np.isnan(picks.scores).all()
    assert picks.why == ("at random",) * 3


# --------------------------------------------------------------------------- k-medoids

LINE = np.array([[0.0], [1], [2], [10], [11], [12], [12.5], [13]])


@pytest.mark.parametrize("start", [(0, 1), (0, 7), (6, 7)])
def test_medoids_on_a_line(start: tuple[int, int]) -> None:
    found = alternate(slow.distances(LINE), np.array(start))
    assert sorted(found) == [1, 5]


@given(seed=st.integers(0, 10**6), k=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_medoids_agree_with_the_slow_version_and_cannot_be_improved(seed: int, k: int) -> None:
    between = slow.distances(vectors_of(seed, n=18, dim=2).astype(np.float64))
    start = spread_start(between, k, np.random.default_rng(seed))
    found = alternate(between, start)
    assert found.tolist() == slow.medoids_by_loops(between, start.tolist())
    assert between[found].min(axis=0).sum() <= between[start].min(axis=0).sum() + 1e-12


def test_the_start_is_spread_out() -> None:
    points = np.array([[0.0], [0], [0], [0], [0], [7]])
    between = slow.distances(points)
    for seed in range(20):
        assert 5 in spread_start(between, 2, np.random.default_rng(seed))
    assert sorted(spread_start(between, 6, np.random.default_rng(0))) == list(range(6))


@given(seed=st.integers(0, 10**6), k=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_the_start_agrees_with_the_slow_version(seed: int, k: int) -> None:
    # whole numbers, whose sums are exact: two candidates are often equally good
    points = np.random.default_rng(seed).choice(1000, (14, 1), replace=False)
    between = slow.distances(points.astype(np.float64))
    found = spread_start(between, k, np.random.default_rng(seed))
    assert found.tolist() == slow.spread_start_by_loops(between, k, np.random.default_rng(seed))


def test_the_start_keeps_the_best_of_two_draws() -> None:
    between = slow.distances(np.array([[0.0], [3], [4], [5]]))
    rng = np.random.default_rng(0)
    drawn = [spread_start(between, 2, rng) for _ in range(8000)]
    after_zero = np.array([second for first, second in drawn if first == 0])
    # the chances of one draw are 9, 16 and 25 of 50; the middle one leaves least, and wins
    # whenever it is drawn; else the first of the two draws does
    expected = [(34 / 50) ** 2 * 9 / 34, 1 - (34 / 50) ** 2, (34 / 50) ** 2 * 25 / 34]
    share = np.bincount(after_zero, minlength=4)[1:] / len(after_zero)
    np.testing.assert_allclose(share, expected, atol=0.045)  # 4 sd


@pytest.mark.parametrize("seed", range(5))
def test_medoids_stand_for_themselves_among_equals(seed: int) -> None:
    vectors = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    inside = Space(vectors).take_precisely(slice(None))
    medoids = medoids_of(pairwise(inside, inside), 4, np.random.default_rng(seed))
    picks = pick("k-medoids", pool_of(vectors), 4, seed)
    assert sorted(picks.rows) == sorted(medoids)


def test_k_medoids_picks_the_medoids_and_says_what_each_stands_for() -> None:
    vectors = np.concatenate([LINE, np.ones((8, 1))], axis=1).astype(np.float32)
    picks = pick("k-medoids", pool_of(vectors), 2)
    assert picks.rows.tolist() == [5, 1]
    assert picks.scores.tolist() == [5, 3]
    assert picks.why == (
        "nearest to medoid 1 of 2, cluster of 5 images",
        "nearest to medoid 2 of 2, cluster of 3 images",
    )


def test_a_medoid_whose_patient_is_full_gives_way_to_the_next_nearest() -> None:
    vectors, _ = islands((5, 4))
    patients = np.arange(9)
    free = pick("k-medoids", pool_of(vectors), 2).rows
    patients[free[1]] = patients[free[0]]
    picks = pick("k-medoids", pool_of(vectors, 0, patients), 2, per_patient=1)
    others = [row for row in range(5, 9) if row != free[1]]
    nearest = min(others, key=lambda row: float(np.linalg.norm(vectors[row] - vectors[free[1]])))
    assert picks.rows.tolist() == [free[0], nearest]


def test_a_large_pool_is_clustered_from_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, label = islands((60, 50, 40, 30))
    exact = pick("k-medoids", pool_of(vectors), 4)
    monkeypatch.setattr(clustering, "EXACT_ROWS", 40)
    sampled = pick("k-medoids", pool_of(vectors), 4)
    assert label[sampled.rows].tolist() == [0, 1, 2, 3]
    assert sampled.scores.tolist() == [60, 50, 40, 30]
    totals = [cdist(vectors, vectors[picks.rows]).min(axis=1).sum() for picks in (exact, sampled)]
    assert totals[0] <= totals[1] <= 1.1 * totals[0]


def test_more_samples_never_make_it_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "EXACT_ROWS", 15)
    vectors = vectors_of(9, n=100)
    totals = []
    for samples in (1, 2, 5, 10):
        monkeypatch.setattr(clustering, "CLARA_SAMPLES", samples)
        rows = pick("k-medoids", pool_of(vectors), 5).rows
        totals.append(cdist(vectors, vectors[rows]).min(axis=1).sum())
    assert (np.diff(totals) <= 1e-4).all()
    assert totals[-1] < totals[0]


def test_the_best_medoids_so_far_are_in_every_later_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples: list[set[int]] = []

    def noted(space: Space, rows: Floats) -> Floats:
        samples.append(set(rows.tolist()))
        inside = space.take_precisely(rows)
        return pairwise(inside, inside)

    monkeypatch.setattr(clustering, "EXACT_ROWS", 15)
    monkeypatch.setattr(clustering, "_distances", noted)
    for seed in range(4):
        best = set(pick("k-medoids", pool_of(vectors_of(9, n=100)), 5, seed).rows.tolist())
        assert best <= samples[-1]
        assert all(len(sample) == 15 for sample in samples)


def test_too_many_medoids_of_a_large_pool_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "EXACT_ROWS", 40)
    monkeypatch.setattr(clustering, "MAX_MEDOIDS", 20)
    with pytest.raises(
        UsageError, match=r"at most 20 of more than 40 images, and 21 .*k-means has"
    ):
        pick("k-medoids", pool_of(vectors_of(0)), 21)


# --------------------------------------------------------------------------- k-means


def test_k_means_centres_are_the_means_of_what_is_nearest_to_them() -> None:
    space = Space(vectors_of(10))
    centres = k_means_centres(space, np.arange(N), 4, np.random.default_rng(0))
    label, _ = space.nearest(centres)
    inside = space.take(slice(None))
    means = np.stack([inside[label == cluster].mean(axis=0) for cluster in range(4)])
    np.testing.assert_allclose(centres, means, atol=1e-5)


def test_k_means_picks_what_is_nearest_to_each_centre() -> None:
    vectors = vectors_of(10)
    space = Space(vectors)
    rows = np.arange(LABELLED, N)  # centres of what can be picked
    centres = k_means_centres(space, rows, 4, np.random.default_rng(3))
    far = cdist(space.take(slice(None)), centres)
    far[:LABELLED] = np.inf
    picks = pick("k-means", pool_of(vectors, LABELLED), 4, seed=3)
    assert sorted(picks.rows) == sorted(far.argmin(axis=0))
    sizes = np.bincount(far[rows].argmin(axis=1))
    assert picks.scores.tolist() == sorted(sizes.tolist(), reverse=True)


def test_k_means_of_a_large_pool_is_fitted_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, label = islands((60, 50, 40, 30))
    monkeypatch.setattr(clustering, "FIT_ROWS", 60)
    picks = pick("k-means", pool_of(vectors), 4)
    assert label[picks.rows].tolist() == [0, 1, 2, 3]
    assert picks.scores.tolist() == [60, 50, 40, 30]


def test_a_second_pick_from_a_cluster_says_so() -> None:
    vectors = np.repeat(np.array([[1, 0], [0, 1]], dtype=np.float32), 3, axis=0)
    assert pick("k-means", pool_of(vectors), 3).why[2] == (
        "pick 2 of its cluster, next nearest to centre 1 of 3, cluster of 3 images"
    )


# --------------------------------------------------------------------------- k-centre


def test_farthest_first_by_hand() -> None:
    line = np.array([[0.0, 1], [1, 1], [2, 1], [10, 1]], dtype=np.float32)  # mean 3.25
    picks = pick("k-center", pool_of(line), 3)
    assert picks.rows.tolist() == [2, 3, 0]
    np.testing.assert_allclose(picks.scores, [np.nan, 8, 2], rtol=1e-6)
    assert picks.why[0] == "nearest to the mean of all images"
    assert picks.why[1].endswith("picked so far (distance 8)")


def test_farthest_first_starts_from_what_is_labelled() -> None:
    line = np.array([[0.0, 1], [1, 1], [2, 1], [10, 1]], dtype=np.float32)
    picks = pick("k-center", pool_of(line, 1), 2)
    assert picks.rows.tolist() == [3, 2]
    np.testing.assert_allclose(picks.scores, [10, 2], rtol=1e-6)


@given(
    points=arrays(np.float32, (8, 2), elements=st.integers(1, 9).map(float)),
    budget=st.integers(1, 3),
    labelled=st.integers(0, 2),
)
@settings(max_examples=25, deadline=None)
def test_farthest_first_is_within_twice_the_best(
    points: Floats, budget: int, labelled: int
) -> None:
    known = list(range(labelled))
    rows = pick("k-center", pool_of(points, labelled), budget).rows.tolist()
    ours = slow.covering_radius(points, [*known, *rows])
    assert ours <= 2 * slow.best_covering_radius(points, known, budget) + 1e-4


# --------------------------------------------------------------------------- TypiClust


@given(seed=st.integers(0, 10**6), n_members=st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_typicality_agrees_with_the_slow_version(seed: int, n_members: int) -> None:
    vectors = vectors_of(seed)
    members = np.random.default_rng(seed).choice(N, n_members, replace=False)
    rows = members[: 1 + n_members // 2]
    found = typicality(Space(vectors, unit=True), rows, members)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    k = min(20, n_members // 2)
    expected = [slow.typicality_by_sorting(unit, r, members.tolist(), k) if k else 0 for r in rows]
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_the_most_typical_image_of_each_cluster_is_picked() -> None:
    vectors, label = islands((20, 15, 10))
    space = Space(vectors, unit=True)
    picks = pick("typiclust", pool_of(vectors), 3)
    for row, score in zip(picks.rows, picks.scores, strict=True):
        members = np.flatnonzero(label == label[row])
        typical = typicality(space, members, members)
        assert row == members[typical.argmax()]
        assert score == typical.max()
    assert picks.why[0] == "most typical of 20 images, 0 of them labelled before"


def test_clusters_with_labels_wait_and_tiny_ones_come_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, label = islands((20, 15, 10, 3))
    order = np.r_[0, 45:48, 1:45]  # one labelled image in the largest cluster
    pool = pool_of(vectors, 1, order=order)
    picks = pick("typiclust", pool, 3)
    assert label[order][picks.rows].tolist() == [1, 2, 0]
    monkeypatch.setattr(typical, "MAX_CLUSTERS", 4)
    everything = pick("typiclust", pool, 47)
    assert label[order][everything.rows[-3:]].tolist() == [3, 3, 3]
    assert everything.why[3].startswith("pick 2 of its cluster, next most typical of 15 images")


def test_labelled_images_take_no_candidates_place(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = islands((20, 5))
    monkeypatch.setattr(typical, "CANDIDATES", 4)
    monkeypatch.setattr(typical, "MAX_CLUSTERS", 2)
    picks = pick("typiclust", pool_of(vectors, 16), 4)
    assert set(picks.rows.tolist()) == {16, 17, 18, 19}
    assert not np.isnan(picks.scores).any()


def test_very_large_clusters_are_sampled_for_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, label = islands((20, 15, 10))
    monkeypatch.setattr(typical, "CANDIDATES", 4)
    monkeypatch.setattr(typical, "MAX_CLUSTERS", 3)
    picks = pick("typiclust", pool_of(vectors), 45)
    assert label[picks.rows[:3]].tolist() == [0, 1, 2]
    assert np.isnan(picks.scores).sum() == 45 - 3 * 4  # never looked at, and still picked
    assert not np.isnan(picks.scores[:12]).any()


# --------------------------------------------------------------------------- ProbCover


def unit_rows(vectors: Floats) -> Floats:
    plain = vectors.astype(np.float64)
    return np.asarray(plain / np.linalg.norm(plain, axis=1, keepdims=True))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_radius_is_the_largest_that_keeps_balls_pure(seed: int) -> None:
    vectors = vectors_of(seed, n=50)
    space = Space(vectors, unit=True)
    radius = pure_radius(space, np.arange(50), 3, np.random.default_rng(seed))
    centres = k_means_centres(space, np.arange(50), 3, np.random.default_rng(seed))
    clusters = space.nearest(centres)[0].tolist()
    unit = unit_rows(vectors)
    assert slow.purity(unit, clusters, radius - 1e-6) >= 0.95
    assert slow.purity(unit, clusters, radius + 1e-6) < 0.95


def test_a_radius_needs_two_clusters() -> None:
    space = Space(vectors_of(15), unit=True)
    one, two = (pure_radius(space, np.arange(N), k, np.random.default_rng(0)) for k in (1, 2))
    assert one == two < 1


@given(seed=st.integers(0, 10**6), labelled=st.integers(0, 3), radius=st.floats(0.01, 1.5))
@settings(max_examples=25, deadline=None)
def test_covering_agrees_with_the_slow_version(seed: int, labelled: int, radius: float) -> None:
    vectors = vectors_of(seed, n=24, dim=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "pure_radius", lambda *_: radius)
        picks = pick("probcover", pool_of(vectors, labelled), 9, seed)
    inside = Space(vectors, unit=True).take_precisely(slice(None))
    assert picks.rows.tolist() == slow.greedy_cover(inside, range(labelled), 9, radius)
    assert f"radius {radius:.3g} covers {picks.scores[0] * 24:.0f} of 24 images" in picks.why[0]


def test_covering_begins_anew_once_everything_is_covered() -> None:
    label = np.repeat([0, 1], (20, 10))
    picks = pick("probcover", pool_of(np.eye(2, dtype=np.float32)[label]), 4)
    assert label[picks.rows].tolist() == [0, 1, 0, 1]
    one = pick("probcover", pool_of(np.ones((3, 2), dtype=np.float32)), 1)
    assert one.why == ("its ball of radius 2 covers 3 of 3 images that no other covers",)
    np.testing.assert_allclose(picks.scores, [2 / 3, 1 / 3, 2 / 3, 1 / 3])


def test_a_large_pool_is_covered_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, label = islands((60, 50, 40, 30))
    monkeypatch.setattr(coverage, "SAMPLE", 60)
    picks = pick("probcover", pool_of(vectors), 4)
    assert sorted(label[picks.rows]) == [0, 1, 2, 3]
    patients = np.minimum(np.arange(180), 2)  # 3 patients, two of them with one image each
    for seed in range(3):
        picks = pick("probcover", pool_of(vectors, 0, patients), 3, seed, per_patient=1)
        assert sorted(patients[picks.rows]) == [0, 1, 2]


# --------------------------------------------------------------------------- with labels


def probabilities(pool: Pool, seed: int = 0) -> Floats:
    odds, names = log_odds(pool, "a test", np.random.default_rng(seed))
    assert names == ("Edema", "Mass")  # Hernia is positive wherever it is known
    return np.asarray(expit(odds))


def test_entropy_by_hand() -> None:
    odds = np.array([0.0, np.log(3), -np.log(3), 800.0])
    by_quarters = slow.entropy_of([0.25])
    np.testing.assert_allclose(binary_entropy(odds), [np.log(2), by_quarters, by_quarters, 0])


def test_entropy_picks_the_highest_sum_over_findings() -> None:
    pool = pool_of(vectors_of(11), LABELLED)
    score = np.array([slow.entropy_of(chances) for chances in probabilities(pool)])
    score[:LABELLED] = -1
    picks = pick("entropy", pool, 6)
    assert picks.rows.tolist() == np.argsort(-score)[:6].tolist()
    np.testing.assert_allclose(picks.scores, np.sort(score)[::-1][:6])
    assert picks.why[0].startswith(f"entropy {picks.scores[0]:.3g} nats over 2 findings, most of")


def test_margin_picks_the_closest_call_on_any_finding() -> None:
    pool = pool_of(vectors_of(11), LABELLED)
    chances = probabilities(pool)
    gap = np.abs(2 * chances - 1).min(axis=1)
    gap[:LABELLED] = 2
    picks = pick("margin", pool, 6)
    assert picks.rows.tolist() == np.argsort(gap)[:6].tolist()
    np.testing.assert_allclose(picks.scores, 1 - np.sort(gap)[:6])
    finding = np.abs(chances[picks.rows[0]] - 0.5).argmin()
    assert picks.why[0].startswith(("Edema", "Mass")[finding] + " is its least certain finding")


def test_gradients_point_away_from_the_likelier_answer() -> None:
    odds = np.array([0.0, np.log(3), -np.log(3)])
    np.testing.assert_allclose(gradient_errors(odds), [-0.5, -0.25, 0.25])


def test_badge_measures_between_gradients_that_it_never_forms() -> None:
    pool = pool_of(vectors_of(12), LABELLED)
    centred = Space(pool.vectors).take_precisely(slice(None))
    written_out = slow.gradients(centred, probabilities(pool))
    picks = pick("badge", pool, 8)
    length = np.linalg.norm(written_out, axis=1)
    assert picks.rows[0] == LABELLED + length[LABELLED:].argmax()
    expected = [length[picks.rows[0]]]
    for turn in range(1, 8):
        row, before = picks.rows[turn], picks.rows[:turn]
        expected.append(min(slow.distance(written_out[row], written_out[b]) for b in before))
    np.testing.assert_allclose(picks.scores, expected, rtol=1e-3)


def test_badge_draws_by_squared_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(vectors_of(13, n=16), LABELLED)
    written_out = slow.gradients(
        Space(pool.vectors).take_precisely(slice(None)), probabilities(pool)
    )
    first = LABELLED + int(np.linalg.norm(written_out[LABELLED:], axis=1).argmax())
    weight = np.array([slow.distance(g, written_out[first]) ** 2 for g in written_out])
    weight[:LABELLED] = 0
    known = log_odds(pool, "a test", np.random.default_rng(0))
    monkeypatch.setattr(uncertainty, "log_odds", lambda *_: known)
    seconds = [pick("badge", pool, 2, seed).rows[1] for seed in range(400)]
    share = np.bincount(seconds, minlength=16) / 400
    np.testing.assert_allclose(share, weight / weight.sum(), atol=0.1)  # 4 sd


def test_a_draw_is_in_proportion_and_never_of_what_is_closed() -> None:
    quota = Quota(pool_of(vectors_of(0, n=4), 1), 1, Settings())
    rng = np.random.default_rng(0)
    drawn = [uncertainty._draw(np.array([7.0, 1, 4, 0]), quota, rng) for _ in range(4000)]
    share = np.bincount(drawn, minlength=4) / 4000
    np.testing.assert_allclose(share, [0, 0.2, 0.8, 0], atol=0.026)  # 4 sd
    drawn = [uncertainty._draw(np.array([7.0, 0, 0, 0]), quota, rng) for _ in range(50)]
    assert set(drawn) == {1, 2, 3}


# --------------------------------------------------------------------------- the quota


@given(seed=st.integers(0, 10**6), limit=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_whatever_is_picked_first_the_rest_can_still_be_found(seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, 6, 20)
    pool = pool_of(vectors_of(0, n=20), 3, patients)
    room = np.minimum(
        np.bincount(patients[3:], minlength=6),
        np.maximum(limit - np.bincount(patients[:3], minlength=6), 0),
    )
    quota = Quota(pool, 1, Settings(limit)) if room.sum() else None
    for _ in range(int(room.sum())):
        assert quota is not None
        quota.take(int(rng.choice(np.flatnonzero(quota.open))))
    assert quota is None or not quota.open.any()


def test_medoids_of_a_matrix_are_drawn_and_improved() -> None:
    between = slow.distances(LINE)
    assert sorted(medoids_of(between, 2, np.random.default_rng(0))) == [1, 5]
