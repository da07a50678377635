"""Retrieval metrics: hand-worked, X-MIR's numbers, and scikit-learn's where it has them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, ndcg_score

from hilum.evaluate.draws import Draws
from hilum.evaluate.query_means import query_means
from hilum.evaluate.rankings import Ranked, rank, statistics
from reference_retrieve import slow_list

BINARY = np.array([0.0, 1.0])
POINTS = np.array([(1, 0), (0.9, 0.3), (0.2, 1), (0, 1), (-0.3, 0.9), (0.8, 0.6)])
CLASSES = np.array([0, 0, 1, 1, 0, 1])


def measured(
    cosines: NDArray[Any], relevant: NDArray[Any], *k: int, left_out: NDArray[Any] | None = None
) -> dict[str, NDArray[np.float64]]:
    out = np.zeros(cosines.shape, bool) if left_out is None else left_out
    return statistics(rank(cosines, relevant.astype(np.int64), BINARY, out), k)


def test_six_points_give_the_numbers_of_x_mir() -> None:
    unit = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    same = CLASSES[:, None] == CLASSES
    # Images 0 and 5 are equally near to 1: there the first of the list wins, here the wrong one.
    in_order = unit @ unit.T - 1e-5 * np.arange(6)
    found = measured(in_order, same, 1, 2, 3, left_out=np.eye(6, dtype=bool))
    xmir = [0.5916667, 0.5916667, 0.6777778, 0.6777778, 0.3, 0.3444444]
    np.testing.assert_allclose(found["average_precision_xmir"], xmir, atol=5e-8)
    assert found["average_precision_xmir"].mean() == pytest.approx(0.5305555556, abs=1e-10)
    assert found["average_precision"].mean() == pytest.approx(0.6347222222, abs=1e-10)
    shares = [found[f"precision@{k}"].mean() for k in (1, 2, 3)]
    assert shares == pytest.approx([2 / 3, 1 / 3, 0.3888889], abs=1e-7)
    hits = [found[f"recall@{k}"].mean() for k in (1, 2, 3)]
    assert hits == pytest.approx([2 / 3, 2 / 3, 5 / 6])


@pytest.mark.parametrize(("images", "each", "best"), [(300, 100, 0.9933), (270, 90, 0.9926)])
def test_a_perfect_list_is_not_perfect_by_x_mirs_rule(images: int, each: int, best: float) -> None:
    relevant = np.arange(images - 1)[None] < each - 1
    found = measured(-np.arange(images - 1.0)[None], relevant)
    assert found["average_precision_xmir"][0] == pytest.approx(best, abs=5e-5)
    assert found["average_precision"][0] == 1


def test_one_list_worked_by_hand() -> None:
    cosines = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]])
    found = measured(cosines, np.array([[0, 1, 0, 1, 1]]), 1, 2, 4)
    assert found["average_precision"][0] == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3)
    assert found["r_precision"][0] == pytest.approx(1 / 3)
    assert [found[f"recall@{k}"][0] for k in (1, 2, 4)] == [0, 1, 1]
    assert [found[f"precision@{k}"][0] for k in (1, 2, 4)] == [0, 0.5, 0.5]
    assert found["ndcg@2"][0] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))


def test_ties_count_against_the_encoder() -> None:
    same = np.full((1, 4), 0.25)
    found = measured(same + 1e-9, np.array([[1, 0, 1, 0]]), 2)
    assert found["precision@2"][0] == 0
    assert found["average_precision"][0] == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_what_is_left_out_is_in_no_list() -> None:
    cosines = np.array([[0.9, 0.8, 0.7, 0.6]])
    out = np.array([[True, False, True, False]])
    ranked = rank(cosines, np.array([[1, 0, 1, 1]]), BINARY, out)
    assert ranked.lengths.tolist() == [2]
    assert ranked.gains.tolist() == [[0, 1, 0, 0]]


def test_a_query_without_a_right_answer_is_undefined() -> None:
    found = measured(np.array([[0.3, 0.2]]), np.zeros((1, 2)), 1)
    assert all(np.isnan(values).all() for values in found.values())


def test_a_list_cut_beyond_its_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="k = 3 is more than the 2 images of the smallest gallery"):
        measured(np.array([[0.3, 0.2]]), np.ones((1, 2)), 3)


def test_gains_that_do_not_rise_are_an_error() -> None:
    with pytest.raises(ValueError, match="gains must rise from 0"):
        rank(np.zeros((1, 2)), np.zeros((1, 2), int), np.array([0.5, 1]), np.zeros((1, 2), bool))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 25))
def test_lists_equal_those_of_the_slow_reference(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    cosines = rng.integers(-4, 5, (3, n)) / 4  # with many ties
    grade = rng.integers(0, 3, (3, n))
    values = np.array([0.0, 0.5, 1.0])
    out = rng.random((3, n)) < 0.2
    out[:, 0] = False
    ranked = rank(cosines, grade, values, out)
    k = int(rng.integers(1, ranked.lengths.min() + 1))
    found = statistics(ranked, (k,))
    for query in range(3):
        there = ~out[query]
        slow = slow_list(cosines[query, there], values[grade[query, there]], k)
        for name, value in slow.items():
            np.testing.assert_allclose(found[name][query], value, atol=1e-12, err_msg=name)


def test_without_ties_scikit_learn_agrees() -> None:
    rng = np.random.default_rng(3)
    cosines = rng.permutation(60).reshape(1, 60) / 60
    grade = rng.integers(0, 2, (1, 60))
    found = measured(cosines, grade, 10)
    assert found["average_precision"][0] == pytest.approx(
        average_precision_score(grade[0], cosines[0])
    )
    assert found["ndcg@10"][0] == pytest.approx(ndcg_score(grade, cosines, k=10))


def test_means_leave_out_queries_that_have_none_and_resample_whole_patients() -> None:
    values = np.array([1.0, 0.0, np.nan, 1.0])
    patients = np.array([0, 0, 1, 1])
    found = query_means({"a": values}, patients, Draws(2, 400, 1), 0.9)["a"]
    assert found.estimate == pytest.approx(2 / 3)
    assert (found.low, found.high) == (0.5, 1.0)  # patient 0 alone, patient 1 alone


def test_means_of_one_patient_have_no_interval_and_of_none_no_value() -> None:
    one = query_means({"a": np.array([1.0, 0.0])}, np.zeros(2, int), Draws(1, 10), 0.95)["a"]
    assert (one.estimate, one.low) == (0.5, None)
    assert one.reason == "no interval: all queries are of one patient"
    none = query_means({"a": np.array([np.nan])}, np.zeros(1, int), Draws(1, 10), 0.95)["a"]
    assert none.estimate is None
    assert none.reason == "no query has a right answer in its gallery"


def test_the_gains_say_what_is_relevant() -> None:
    ranked = Ranked(np.array([[0.5, 0.0]]), np.array([2]))
    assert ranked.relevant.tolist() == [[True, False]]
