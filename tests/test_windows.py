"""Windows over an image: X-MIR's and xaitk's places, coverage, and scores as maps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.explain.windows import CONVENTIONS, Windows, make_windows


def masks_of(windows: Windows) -> np.ndarray:
    """The slow obvious version: every mask, 0 inside its window and 1 outside."""
    masks = np.ones((len(windows), windows.height, windows.width))
    places = [(top, left) for top in windows.tops for left in windows.lefts]
    for mask, (top, left) in zip(masks, places, strict=True):
        for y in range(windows.height):
            for x in range(windows.width):
                if top <= y < top + windows.window and left <= x < left + windows.window:
                    mask[y, x] = 0
    return masks


@st.composite
def some_windows(draw: st.DrawFn) -> Windows:
    height, width = draw(st.integers(3, 14)), draw(st.integers(3, 14))
    window = draw(st.integers(1, min(height, width)))
    stride = draw(st.integers(1, window))
    convention = draw(st.sampled_from(sorted(CONVENTIONS)))
    return make_windows(height, width, window=window, stride=stride, convention=convention)


def test_x_mir_has_2401_windows_at_224_pixels() -> None:
    windows = make_windows(224, 224)
    assert windows.lattice == (49, 49)
    assert (windows.tops[:2], windows.tops[-1]) == ((-19, -14), 221)
    assert len(windows) == 2401
    coverage = windows.coverage()
    assert (coverage.min(), coverage.max()) == (16, 25)


def test_the_toy_of_four_pixels_is_covered_four_times_everywhere() -> None:
    windows = make_windows(4, 4, window=2, stride=1)
    assert windows.tops == (-1, 0, 1, 2, 3)
    assert len(windows) == 25
    np.testing.assert_array_equal(windows.coverage(), np.full((4, 4), 4))
    np.testing.assert_array_equal(
        windows.boxes[[0, 6, 24]], [[0, 1, 0, 1], [0, 2, 0, 2], [3, 4, 3, 4]]
    )


def test_xaitk_centres_its_windows() -> None:
    # 0, 20, ..., 220 over 224: the last of 50 sticks out by 46, half of it goes to the front.
    windows = make_windows(224, 224, window=50, stride=20, convention="xaitk")
    assert windows.tops == tuple(range(-23, 198, 20))


def test_the_windows_of_xaitk_are_those_of_its_package() -> None:
    xaitk = pytest.importorskip(
        "xaitk_saliency.impls.perturb_image.sliding_window", reason="xaitk-saliency is optional"
    )
    for side, window, stride in [(40, 10, 4), (41, 7, 5), (30, 30, 9), (17, 6, 6)]:
        theirs = xaitk.SlidingWindow((window, window), (stride, stride)).perturb(
            np.zeros((side, side + 3), np.uint8)
        )
        ours = make_windows(side, side + 3, window=window, stride=stride, convention="xaitk")
        np.testing.assert_array_equal(masks_of(ours), theirs)


def test_a_hand_worked_map() -> None:
    # Windows of 2 from -1, 0, 1: pixel 0 lies in the first two, pixel 1 in the last two.
    windows = make_windows(2, 2, window=2, stride=1)
    scores = np.array([4.0, 0, 0, 0, 0, 0, 0, 0, 8.0])
    np.testing.assert_array_equal(windows.spread(scores), [[1, 0], [0, 2]])


@settings(max_examples=30, deadline=None)
@given(windows=some_windows(), seed=st.integers(0, 99))
def test_a_map_is_the_mean_over_all_masks(windows: Windows, seed: int) -> None:
    masks = masks_of(windows)
    scores = np.random.default_rng(seed).normal(size=(2, len(windows)))
    inside = 1 - masks
    slow = np.einsum("qn,nhw->qhw", scores, inside) / inside.sum(axis=0)
    np.testing.assert_array_equal(windows.coverage(), inside.sum(axis=0))
    np.testing.assert_allclose(windows.spread(scores), slow, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(windows=some_windows(), value=st.floats(-5, 5, width=32))
def test_equal_scores_give_an_even_map_and_every_pixel_is_covered(
    windows: Windows, value: float
) -> None:
    assert windows.coverage().min() >= 1
    assert (windows.boxes[:, 1] > windows.boxes[:, 0]).all()
    np.testing.assert_allclose(windows.spread(np.full(len(windows), value)), value, rtol=1e-6)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"window": 0}, r"window of 0 pixels does not fit .* 20 × 30; .* from 1 to 20"),
        ({"window": 21}, r"window of 21 pixels does not fit"),
        ({"window": 8, "stride": 9}, r"stride of 9 leaves pixels .* window of 8 .* from 1 to 8"),
        ({"window": 8, "stride": 0}, r"stride of 0"),
        ({"window": 8, "convention": "centre"}, r"'centre' is not a way .* x-mir, xaitk"),
    ],
    ids=["none", "large", "gaps", "still", "name"],
)
def test_a_wrong_setting_is_named(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_windows(20, 30, **setting)


def test_scores_for_other_windows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"each of 25 windows .* shape \(2, 24\)"):
        make_windows(4, 4, window=2, stride=1).spread(np.zeros((2, 24)))
