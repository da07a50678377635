"""The analysis of reader studies, against published studies, explicit sums and simulation."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import reference_orh as reference
from hilum.errors import UsageError
from hilum.evaluate.orh import (
    Average,
    Readers,
    ReaderStudy,
    compare_modalities,
    compare_model,
    student_below,
    student_quantile,
)

Floats = NDArray[np.float64]
READERS: tuple[Readers, ...] = ("random", "fixed")


@pytest.fixture(scope="module")
def van_dyke() -> tuple[Floats, Floats]:
    areas, covariance = reference.jackknife(reference.van_dyke().reshape(10, -1))
    return areas.reshape(2, 5), covariance


def draw(seed: int, n_values: int, n_cases: int = 40) -> tuple[Floats, Floats]:
    """Draw figures of merit and a covariance matrix that could be theirs."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(n_cases, n_values)) + rng.normal(size=(n_cases, 1))
    return rng.normal(0.8, 0.1, size=n_values), np.cov(errors.T) / n_cases**2


def numbers(average: Average) -> list[float]:
    assert average.low is not None
    assert average.high is not None
    return [average.estimate, average.standard_error, average.df, average.low, average.high]


# ---- published ----


def test_the_areas_of_van_dyke_are_the_published_ones(van_dyke: tuple[Floats, Floats]) -> None:
    # RJafroc's book, chapter "Obuchowski Rockette Applications"
    expected = [[0.9196, 0.8588, 0.9039, 0.9731, 0.8298], [0.9478, 0.9053, 0.9217, 0.9994, 0.9300]]
    np.testing.assert_allclose(van_dyke[0], expected, atol=5e-5)


def test_van_dyke_with_random_readers_is_as_published(van_dyke: tuple[Floats, Floats]) -> None:
    # read-me of the R package MRMCaov 0.1.8, of Hillis and colleagues
    study = compare_modalities(*van_dyke)
    found = study.components
    assert found.ms_t == pytest.approx(0.004796171, abs=5e-10)
    assert found.ms_tr == pytest.approx(0.0005510306, abs=5e-11)
    assert found.var == pytest.approx(0.0008022883, abs=5e-11)
    assert found.cov1 == pytest.approx(0.0003466137, abs=5e-11)
    assert found.cov2 == pytest.approx(0.0003440748, abs=5e-11)
    assert found.cov3 == pytest.approx(0.0002390284, abs=5e-11)
    assert found.reader == pytest.approx(0.0015349993, abs=5e-11)
    assert found.interaction == pytest.approx(0.0002004025, abs=5e-11)
    assert study.difference.f == pytest.approx(4.456319, abs=5e-7)
    assert study.difference.p_value == pytest.approx(0.05166569, abs=5e-9)
    expected = [-0.04380032, 0.02074862, 15.25967, -0.0879594986, 0.0003588544]
    np.testing.assert_allclose(numbers(study.difference), expected, rtol=5e-7, atol=5e-11)
    first = [0.8970370, 0.03317360, 12.74465, 0.8252236, 0.9688505]
    np.testing.assert_allclose(numbers(study.first), first, rtol=5e-7)
    second = [0.9408374, 0.02156637, 12.71019, 0.8941378, 0.9875369]
    np.testing.assert_allclose(numbers(study.second), second, rtol=5e-7)


def test_van_dyke_with_fixed_readers_is_as_published(van_dyke: tuple[Floats, Floats]) -> None:
    # RJafroc's book, section "Fixed-Reader Random-Case (FRRC) analysis", four digits
    study = compare_modalities(*van_dyke, readers="fixed")
    assert study.difference.f == pytest.approx(5.476, abs=5e-4)
    assert study.difference.p_value == pytest.approx(0.01928, abs=5e-6)
    expected = [-0.0438, 0.01872, math.inf, -0.08049, -0.007115]
    np.testing.assert_allclose(numbers(study.difference), expected, rtol=2e-4)
    np.testing.assert_allclose(numbers(study.first)[1:2], [0.02429], rtol=3e-4)
    np.testing.assert_allclose(numbers(study.second)[3:], [0.9080, 0.9737], rtol=1e-4)


# Nine radiologists and a CAD system on 200 mammograms; figure of merit: the share of correct
# localisations at a false positive share of 0.2. Data of Hupse et al., Radiology 266:123-129,
# 2013; numbers from RJafroc's book, chapter "Standalone CAD vs. Radiologists", appendix 1.
MODEL = 0.59166667
PANEL = [0.69453125, 0.65, 0.80625, 0.725, 0.65982143, 0.76845238, 0.7375, 0.675, 0.675]
VAR, COV2 = 0.0053445377, 0.0030657054


def test_a_model_against_nine_radiologists_is_as_published() -> None:
    # printed is the covariance of the differences: give it to the readers, none to the model
    covariance = np.zeros((10, 10))
    covariance[1:, 1:] = COV2
    covariance[range(1, 10), range(1, 10)] = VAR
    study = compare_model([MODEL, *PANEL], covariance)
    expected = [-0.11850612, 0.058118615, 937.24371, -0.232563801, -0.004448434]
    np.testing.assert_allclose(numbers(study.difference), expected, rtol=1e-6)
    assert study.difference.p_value == pytest.approx(0.041726262, rel=1e-6)
    assert study.difference.f == pytest.approx(4.1576797, rel=1e-6)
    assert study.components.ms_r == pytest.approx(0.002808612, rel=1e-6)
    assert study.components.var == pytest.approx(VAR)
    assert study.components.cov2 == pytest.approx(COV2)
    assert study.components.reader == pytest.approx(0.002808612 - VAR + COV2, rel=1e-5)


def test_without_variance_over_cases_it_is_the_published_t_test() -> None:
    study = compare_model([MODEL, *PANEL], np.zeros((10, 10)))
    assert math.sqrt(study.difference.f or 0) == pytest.approx(6.7083568, rel=1e-6)
    assert study.difference.df == 8
    assert study.difference.p_value == pytest.approx(0.00015139664, rel=1e-6)
    expected = (-0.159242710, -0.077769525)
    assert (study.difference.low, study.difference.high) == pytest.approx(expected, rel=1e-6)


# ---- explicit sums ----


@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from([0.8, 0.95]))
@settings(max_examples=40)
def test_two_modalities_are_the_sums_of_the_papers(seed: int, n: int, level: float) -> None:
    theta, covariance = draw(seed, 2 * n)
    expected = reference.two_modalities(theta.reshape(2, n), covariance, level)
    study = compare_modalities(theta.reshape(2, n), covariance, level=level)
    for name in ("ms_t", "ms_r", "ms_tr", "var", "cov1", "cov2", "cov3"):
        assert getattr(study.components, name) == pytest.approx(getattr(expected, name)), name
    assert study.difference.f == pytest.approx(expected.f, rel=1e-7)
    assert study.difference.df == pytest.approx(expected.ddf)
    assert study.difference.p_value == pytest.approx(expected.p_value, rel=1e-6)
    assert (study.difference.low, study.difference.high) == pytest.approx(
        (expected.low, expected.high)
    )


@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from(READERS))
@settings(max_examples=30)
def test_a_model_is_a_modality_in_which_all_readers_are_alike(
    seed: int, n: int, readers: Readers
) -> None:
    theta, covariance = draw(seed, 1 + n)
    copies = [0] * n + list(range(1, n + 1))
    twice = compare_modalities(
        theta[copies].reshape(2, n), covariance[np.ix_(copies, copies)], readers=readers
    )
    once = compare_model(theta, covariance, readers=readers)
    assert numbers(once.difference) == pytest.approx(numbers(twice.difference))
    assert once.difference.p_value == pytest.approx(twice.difference.p_value)
    assert numbers(once.second) == pytest.approx(numbers(twice.second))
    assert once.first.standard_error == pytest.approx(math.sqrt(covariance[0, 0]))
    assert once.first.estimate == theta[0]


def test_the_model_brings_its_own_variance_over_cases() -> None:
    theta, covariance = draw(5, 6)
    sure = covariance.copy()
    sure[0] = sure[:, 0] = 0
    unsure = sure.copy()
    unsure[0, 0] = 1e-3
    for readers in READERS:
        without = compare_model(theta, sure, readers=readers).difference
        with_it = compare_model(theta, unsure, readers=readers).difference
        gained = with_it.standard_error**2 - without.standard_error**2
        assert gained == pytest.approx(1e-3)


# ---- laws ----


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from(READERS))
@settings(max_examples=30)
def test_the_order_of_readers_does_not_matter(seed: int, n: int, readers: Readers) -> None:
    theta, covariance = draw(seed, 2 * n)
    order = np.random.default_rng(seed).permutation(n)
    both = np.concatenate([order, order + n])
    one = compare_modalities(theta.reshape(2, n), covariance, readers=readers)
    other = compare_modalities(
        theta[both].reshape(2, n), covariance[np.ix_(both, both)], readers=readers
    )
    assert numbers(one.difference) == pytest.approx(numbers(other.difference))
    assert numbers(one.first) == pytest.approx(numbers(other.first))


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(-1, 1), st.sampled_from(READERS))
@settings(max_examples=30)
def test_a_constant_added_to_one_modality_moves_the_estimate_only(
    seed: int, n: int, constant: float, readers: Readers
) -> None:
    theta, covariance = draw(seed, 2 * n)
    before = compare_modalities(theta.reshape(2, n), covariance, readers=readers).difference
    theta[:n] += constant
    after = compare_modalities(theta.reshape(2, n), covariance, readers=readers).difference
    assert after.estimate == pytest.approx(before.estimate + constant)
    assert after.standard_error == pytest.approx(before.standard_error)
    assert after.df == pytest.approx(before.df)


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.01, 100), st.sampled_from(READERS))
@settings(max_examples=30)
def test_a_change_of_unit_scales_errors_and_leaves_p(
    seed: int, n: int, unit: float, readers: Readers
) -> None:
    theta, covariance = draw(seed, 1 + n)
    before = compare_model(theta, covariance, readers=readers).difference
    after = compare_model(unit * theta, unit**2 * covariance, readers=readers).difference
    assert after.standard_error == pytest.approx(unit * before.standard_error)
    assert after.low == pytest.approx(unit * numbers(before)[3])
    assert after.df == pytest.approx(before.df)
    assert after.p_value == pytest.approx(before.p_value)


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=30)
def test_exchanging_the_modalities_turns_the_sign_only(seed: int, n: int) -> None:
    theta, covariance = draw(seed, 2 * n)
    turned = np.roll(np.arange(2 * n), n)
    one = compare_modalities(theta.reshape(2, n), covariance)
    other = compare_modalities(theta[turned].reshape(2, n), covariance[np.ix_(turned, turned)])
    assert other.difference.low == pytest.approx(-numbers(one.difference)[4])
    assert other.difference.p_value == pytest.approx(one.difference.p_value)
    assert other.first == one.second


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.5, 0.99), st.sampled_from(READERS))
@settings(max_examples=30)
def test_the_interval_and_the_p_value_agree(
    seed: int, n: int, level: float, readers: Readers
) -> None:
    theta, covariance = draw(seed, 2 * n)
    found = compare_modalities(theta.reshape(2, n), covariance, readers=readers, level=level)
    assert found.difference.p_value is not None
    assume(abs(found.difference.p_value - (1 - level)) > 1e-9)
    excluded = numbers(found.difference)[3] > 0 or numbers(found.difference)[4] < 0
    assert excluded == (found.difference.p_value < 1 - level)


def test_the_order_of_cases_does_not_matter(van_dyke: tuple[Floats, Floats]) -> None:
    rng = np.random.default_rng(0)
    order = np.concatenate(
        [rng.permutation(reference.WITHOUT), reference.WITHOUT + rng.permutation(reference.WITH)]
    )
    areas, covariance = reference.jackknife(reference.van_dyke()[..., order].reshape(10, -1))
    other = compare_modalities(areas.reshape(2, 5), covariance)
    assert numbers(other.difference) == pytest.approx(
        numbers(compare_modalities(*van_dyke).difference)
    )


def test_fixed_readers_have_the_variance_of_a_mean_of_correlated_numbers() -> None:
    theta, covariance = draw(3, 5)
    found = compare_model(theta, covariance, readers="fixed").difference
    contrast = np.array([1, -0.25, -0.25, -0.25, -0.25])
    assert found.standard_error**2 == pytest.approx(contrast @ covariance @ contrast)


# ---- edges ----


def test_readers_who_err_in_opposite_ways_gain_nothing_from_it() -> None:
    # a covariance between readers below 0 would make the average better than independent readers
    covariance = np.diag([0.0, 4, 4, 4]) - 1 + np.eye(4)
    covariance[0] = covariance[:, 0] = 0
    study = compare_model([0, 1, 2, 3], covariance)
    assert study.components.cov2 == -1
    assert study.difference.standard_error == pytest.approx(math.sqrt(1 / 3))
    assert study.difference.df == 2
    fixed = compare_model([0, 1, 2, 3], covariance, readers="fixed")
    assert fixed.difference.standard_error == pytest.approx(math.sqrt(4 / 3))


def test_readers_who_do_not_differ_leave_the_normal_distribution_of_the_cases() -> None:
    covariance = np.full((3, 3), 0.01)
    covariance[0, :] = covariance[:, 0] = 0
    found = compare_model([0.2, 0, 0], covariance).difference
    assert found.df == math.inf
    assert found.standard_error == pytest.approx(0.1)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(2))
    assert found.high == pytest.approx(0.2 + 0.1 * stats.norm.isf(0.025))


@pytest.mark.parametrize("readers", READERS)
def test_a_modality_against_itself_has_no_interval_and_says_why(readers: Readers) -> None:
    theta, covariance = draw(1, 3)
    copies = [0, 1, 2, 0, 1, 2]
    rounding = 1 + 1e-15 * np.random.default_rng(1).normal(size=(6, 6))
    study = compare_modalities(
        theta[copies].reshape(2, 3), covariance[np.ix_(copies, copies)] * rounding, readers=readers
    )
    found = study.difference
    assert (found.estimate, found.standard_error) == (0, 0)
    assert (found.low, found.high, found.p_value, found.f) == (None, None, None, None)
    assert (
        found.reason == "no interval: the standard error is 0, readers and cases show no variation"
    )
    assert study.first.reason is None


def test_one_fixed_reader_is_a_paired_comparison() -> None:
    study = compare_modalities([[0.9], [0.8]], [[0.02, 0.005], [0.005, 0.01]], readers="fixed")
    assert study.difference.standard_error == pytest.approx(math.sqrt(0.02))
    assert study.scope == "the one reader of this study, on cases like these"
    assert (study.components.cov2, study.components.interaction) == (None, None)
    assert study.components.cov1 == pytest.approx(0.005)
    same = compare_model([0.9, 0.8], [[0.02, 0.005], [0.005, 0.01]], readers="fixed")
    assert numbers(same.difference) == pytest.approx(numbers(study.difference))
    assert (same.components.ms_r, same.components.cov2) == (None, None)


def test_the_result_says_whom_it_speaks_of_and_fits_in_json() -> None:
    theta, covariance = draw(2, 4)
    random = compare_model(theta, covariance)
    fixed = compare_model(theta, covariance, readers="fixed")
    assert random.scope == "readers like these 3, on cases like these"
    assert fixed.scope == "the 3 readers of this study, on cases like these"
    written = json.loads(json.dumps(fixed.to_json(), allow_nan=False))
    assert written["readers"] == "fixed"
    assert written["n_readers"] == 3
    assert written["difference"]["df"] is None
    assert written["difference"]["f"] == pytest.approx(fixed.difference.f)
    assert written["components"]["cov1"] is None
    assert random.to_json()["difference"]["df"] == random.difference.df


# ---- errors ----


@pytest.mark.parametrize("compare", [compare_model, compare_modalities])
def test_one_random_reader_is_refused(compare: object) -> None:
    theta = [0.9, 0.8] if compare is compare_model else [[0.9], [0.8]]
    with pytest.raises(UsageError, match=r"one reader cannot show .* choose readers='fixed'"):
        compare(theta, np.eye(2))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("theta", "covariance", "message"),
    [
        ([[0.9, 0.8, 0.7]], np.eye(3), r"theta must be \(2, n_readers\), got shape \(1, 3\)"),
        (np.zeros((2, 0)), np.eye(3), r"theta must be \(2, n_readers\), got shape \(2, 0\)"),
        (np.ones((2, 2)), np.eye(3), r"covariance must be \(4, 4\) for the 4 values"),
        ([[0.9, np.nan], [1, 1]], np.eye(4), "must be finite; leave out readers whose figure"),
        (np.ones((2, 2)), np.full((4, 4), np.inf), "must be finite"),
        (np.ones((2, 2)), np.triu(np.ones((4, 4))), "covariance must be symmetric"),
        (np.ones((2, 2)), -np.eye(4), "no variance below 0"),
    ],
)
def test_wrong_arrays_are_refused(theta: object, covariance: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_modalities(theta, covariance)  # type: ignore[arg-type]


def test_a_model_without_readers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"theta must be \(1 \+ n_readers,\), the model first"):
        compare_model([0.9], [[1]])


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="readers must be 'random' or 'fixed', got 'some'"):
        compare_model([1, 2, 3], np.eye(3), readers="some")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="level must lie between 0 and 1, got 95"):
        compare_model([1, 2, 3], np.eye(3), level=95)


@given(st.floats(0.001, 0.999), st.one_of(st.floats(0.5, 1e6), st.just(math.inf)))
@settings(max_examples=40)
def test_students_distribution_is_that_of_scipy(p: float, df: float) -> None:
    assert student_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6, abs=1e-9)
    assert student_below(stats.t.ppf(p, df), df) == pytest.approx(p, rel=1e-6)


# ---- simulation ----


def rejected(study: ReaderStudy) -> bool:
    assert study.difference.p_value is not None
    return study.difference.p_value < 0.05


def test_no_difference_is_called_one_in_a_twentieth_of_studies() -> None:
    # five readers; errors over cases with Cov1, Cov2 > Cov3, and readers who gain unequally
    rng, n, runs = np.random.default_rng(0), 5, 1500
    same_reader, same_modality = np.tile(np.eye(n), (2, 2)), np.kron(np.eye(2), np.ones((n, n)))
    errors = 2e-4 + 1e-4 * same_reader + 2e-4 * same_modality + 3e-4 * np.eye(2 * n)
    root = np.linalg.cholesky(errors)
    wrong = {"random": 0, "fixed": 0, "cases ignored": 0}
    for _ in range(runs):
        gains = 0.03 * rng.normal(size=(2, n)) + 0.03 * rng.normal(size=n)
        theta = 0.8 + gains + (root @ rng.normal(size=2 * n)).reshape(2, n)
        wrong["random"] += rejected(compare_modalities(theta, errors))
        wrong["fixed"] += rejected(compare_modalities(theta, errors, readers="fixed"))
        wrong["cases ignored"] += rejected(compare_modalities(theta, 0 * errors))
    assert 0.035 < wrong["random"] / runs < 0.065
    # what the analysis is for: either source of error left out makes differences out of nothing
    assert wrong["fixed"] / runs > 0.1
    assert wrong["cases ignored"] / runs > 0.08
