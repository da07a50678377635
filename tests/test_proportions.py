"""Wilson's interval: against scipy, and with patients who have several images."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

import reference_delong as reference
from hilum.errors import UsageError
from hilum.evaluate.proportions import effective_number, normal_quantile, wilson

Floats = NDArray[np.float64]


def ends(right: list[int] | Floats, images: list[int] | Floats, level: float = 0.95) -> Floats:
    measure = wilson(right, images, level)
    assert measure.low is not None
    assert measure.high is not None
    return np.array([measure.low, measure.high])


@st.composite
def clustered(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Right and all images of 2 to 8 patients."""
    images = draw(st.lists(st.integers(1, 6), min_size=2, max_size=8))
    right = [draw(st.integers(0, n)) for n in images]
    return np.array(right, dtype=np.float64), np.array(images, dtype=np.float64)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(("right", "images"), [(0, 1), (0, 9), (9, 9), (1, 2), (3, 7), (81, 263)])
def test_one_image_per_patient_is_scipys_interval(right: int, images: int, level: float) -> None:
    expected = binomtest(right, images).proportion_ci(level, method="wilson")
    counts = np.repeat([1, 0], [right, images - right])
    measure = wilson(counts, np.ones(images), level)
    assert measure.estimate == right / images
    assert (measure.low, measure.high) == pytest.approx((expected.low, expected.high))


def test_newcombes_published_intervals() -> None:
    # Newcombe, Statistics in Medicine 17:857-872, 1998, table I, method 3
    for right, images, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        counts = np.repeat([1, 0], [right, images - right])
        assert ends(counts, np.ones(images)) == pytest.approx([low, high], abs=5e-5)


def test_a_hand_worked_design_effect() -> None:
    # 3 of 5 right; x - pn = 2 - 1.2, 1 - 0.6, 0 - 1.2; squares 0.64 + 0.16 + 1.44 = 2.24
    # (3/2) 2.24 / (5/4 * 5 * 0.24) = 3.36 / 1.5 = 2.24; t(4) / t(2) = 2.7764 / 4.3027
    expected = 5 / 2.24 * (2.7764451 / 4.3026527) ** 2
    assert effective_number([2, 1, 0], [2, 1, 2]) == pytest.approx(expected)


@given(clustered(), st.sampled_from([0.8, 0.95]))
@settings(max_examples=60)
def test_the_effective_number_agrees_with_its_definition(
    case: tuple[Floats, Floats], level: float
) -> None:
    right, images = case
    assume(images.max() > 1 and 0 < right.sum() < images.sum())
    expected = reference.effective_number(right, images, level)
    assert effective_number(right, images, level) == pytest.approx(expected)


def test_more_patients_are_worth_more_than_more_images_of_one() -> None:
    assert effective_number([1] * 9 + [0] * 3, [1] * 12) == 12
    assert effective_number([3, 3, 3, 0], [3] * 4) < 4


def test_the_interval_is_wilsons_on_the_effective_number() -> None:
    # 5 of 9 right; the 80% interval solves |p - 5/9| = 1.2816 sqrt(p(1 - p) / number) for p
    right, images = [3, 2, 0, 0], [3, 2, 3, 1]
    for end in ends(right, images, 0.8):
        reach = 1.2815516 * np.sqrt(end * (1 - end) / effective_number(right, images, 0.8))
        assert abs(end - 5 / 9) == pytest.approx(reach)


def test_negative_correlation_narrows_nothing() -> None:
    # every patient is right once and wrong once: the design effect is 0
    right, images = np.ones(30), np.full(30, 2.0)
    plain = ends(np.repeat([1, 0], 30), np.ones(60))
    assert effective_number(right, images) <= 60
    assert np.diff(ends(right, images)) >= np.diff(plain)


@given(clustered())
@settings(max_examples=60)
def test_patients_never_narrow_the_interval_of_their_images(case: tuple[Floats, Floats]) -> None:
    right, images = case
    apart = np.repeat([1, 0], [int(right.sum()), int(images.sum() - right.sum())])
    low, high = ends(apart, np.ones(apart.size))
    clustered_low, clustered_high = ends(right, images)
    assert clustered_low <= low + 1e-12
    assert clustered_high >= high - 1e-12


@pytest.mark.parametrize("share", [0, 1])
def test_all_right_or_all_wrong_counts_patients(share: int) -> None:
    images = np.array([1, 5, 2, 9])
    assert effective_number(share * images, images) == 4
    assert ends(share * images, images) == pytest.approx(ends([share] * 4, [1] * 4))


@given(clustered())
@settings(max_examples=40)
def test_right_and_wrong_mirror_each_other(case: tuple[Floats, Floats]) -> None:
    right, images = case
    assert ends(images - right, images) == pytest.approx(1 - ends(right, images)[::-1])


def test_copies_of_each_patients_images_add_nothing() -> None:
    # to first order: the clustered variance is that of the originals exactly, but the simple
    # random one is divided by N - 1, and t(N - 1) knows of the copies too
    right, images = np.tile([2, 0, 1], 40), np.full(120, 2)
    once, thrice = effective_number(right, images), effective_number(3 * right, 3 * images)
    assert once < 200 < images.sum()
    assert thrice == pytest.approx(once, rel=0.01)


def test_patients_without_such_images_take_no_part() -> None:
    assert wilson([1, 0, 2, 0], [2, 0, 3, 0]) == wilson([1, 2], [2, 3])


def test_no_images_are_undefined() -> None:
    for counts in ([], [0, 0]):
        measure = wilson(counts, counts)
        assert (measure.estimate, measure.low, measure.high) == (None, None, None)
        assert measure.reason == "undefined: no image counts"
        assert np.isnan(effective_number(counts, counts))


@pytest.mark.parametrize("right", [0, 2, 3])
def test_one_patient_with_several_images_makes_no_interval(right: int) -> None:
    measure = wilson([right, 0], [3, 0])
    assert (measure.estimate, measure.low, measure.high) == (right / 3, None, None)
    assert measure.reason == "no interval: all images that count belong to one unit"


@pytest.mark.parametrize("level", [0, 1, 95, np.nan])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    with pytest.raises(UsageError, match=f"level must lie between 0 and 1, got {level}"):
        wilson([1], [2], level)


def test_the_quantile_of_a_level() -> None:
    assert normal_quantile(0.95) == pytest.approx(1.959964)


@pytest.mark.parametrize(("right", "images"), [([3], [2]), ([-1], [2]), ([1], [np.inf])])
def test_counts_that_are_none_are_refused(right: list[float], images: list[float]) -> None:
    with pytest.raises(ValueError, match="every numerator must be a count from 0 to its denomin"):
        wilson(right, images)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one length; got shapes \(2,\) and \(1,\)"):
        wilson([1, 1], [2])
