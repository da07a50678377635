"""Holm's adjustment: by hand, against stepping down one by one, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_delong as reference
from hilum.evaluate.multiplicity import holm

p_values = st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.3, 1.0, float("nan")]), max_size=9)


def test_a_hand_worked_case() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_what_was_not_tested_stays_nan_and_costs_nothing() -> None:
    adjusted = holm([0.01, np.nan, 0.04])
    assert np.isnan(adjusted[1])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])


@pytest.mark.parametrize("values", [[], [np.nan, np.nan]])
def test_no_tests_at_all_are_no_error(values: list[float]) -> None:
    assert np.array_equal(holm(values), values, equal_nan=True)


def test_nothing_exceeds_one() -> None:
    assert holm([0.6, 0.9]).tolist() == [1, 1]


@given(p_values)
@settings(max_examples=60)
def test_it_agrees_with_stepping_down_one_by_one(values: list[float]) -> None:
    assert holm(values) == pytest.approx(reference.holm(values), nan_ok=True)


@given(p_values, st.integers(0, 99))
@settings(max_examples=40)
def test_the_order_of_the_hypotheses_does_not_matter(values: list[float], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(values))
    shuffled = holm(np.array(values)[order])
    assert np.array_equal(shuffled, holm(values)[order], equal_nan=True)


@given(p_values)
@settings(max_examples=40)
def test_it_is_never_smaller_than_the_value_nor_larger_than_bonferroni(values: list[float]) -> None:
    p = np.array(values)
    tested = ~np.isnan(p)
    adjusted = holm(p)[tested]
    assert (adjusted >= p[tested]).all()
    assert (adjusted <= np.minimum(p[tested] * tested.sum(), 1)).all()


def test_chance_alone_is_significant_in_one_family_of_twenty() -> None:
    families = np.random.default_rng(0).random((2000, 14))
    wrong = np.mean([holm(family).min() <= 0.05 for family in families])
    assert wrong == pytest.approx(0.05, abs=0.015)  # three standard errors


@pytest.mark.parametrize("value", [-0.1, 1.5, np.inf])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 1; got {value:g}"):
        holm([0.5, value])


def test_a_table_of_p_values_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one-dimensional; got shape \(1, 2\)"):
        holm([[0.1, 0.2]])
