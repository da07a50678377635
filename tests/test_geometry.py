"""Squares, and the way there and back."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hilum.errors import ImageError, UsageError
from hilum.images import Geometry, geometry_of, to_square
from hilum.images.geometry import Resize

sides = st.integers(1, 6000)
sizes = st.integers(8, 512)
resizes: st.SearchStrategy[Resize] = st.sampled_from(("area", "chexzero"))


@pytest.mark.parametrize(
    ("width", "height", "content"),
    [
        (2544, 3056, (266, 320, 27, 0)),
        (3056, 2544, (320, 266, 0, 27)),
        (2500, 3056, (261, 320, 29, 0)),
        (390, 320, (320, 262, 0, 29)),
    ],
)
def test_chexzero_sizes_are_those_of_its_own_code(
    width: int, height: int, content: tuple[int, ...]
) -> None:
    place = geometry_of(width, height, 320, "chexzero")
    assert (place.content_width, place.content_height, place.left, place.top) == content


def test_chexzero_loses_a_line_for_112_long_sides() -> None:
    short = [
        side
        for side in range(100, 6001)
        if geometry_of(side, 9, 320, "chexzero").content_width < 320
    ]
    assert len(short) == 112
    assert {1077, 1162, 2139, 2249, 2462} <= set(short)
    assert all(geometry_of(side, 9, 320).content_width == 320 for side in short)


@given(width=sides, height=sides, size=sizes)
def test_the_content_fills_the_square_one_way_and_is_centred_the_other(
    width: int, height: int, size: int
) -> None:
    place = geometry_of(width, height, size)
    assert max(place.content_width, place.content_height) == size
    assert abs(2 * place.left + place.content_width - size) <= 1
    assert abs(2 * place.top + place.content_height - size) <= 1
    shorter = min(width, height) * size / max(width, height)
    assert abs(min(place.content_width, place.content_height) - max(shorter, 1.0)) <= 0.5


@given(width=sides, height=sides, size=sizes, resize=resizes, seed=st.integers(0, 99))
def test_points_and_boxes_come_back_exactly(
    width: int, height: int, size: int, resize: Resize, seed: int
) -> None:
    place = geometry_of(width, height, size, resize)
    points = np.random.default_rng(seed).random((5, 2)) * (width, height)
    boxes = np.hstack([points / 2, points / 2])
    np.testing.assert_allclose(place.points_to_original(place.points_to_square(points)), points)
    np.testing.assert_allclose(place.boxes_to_original(place.boxes_to_square(boxes)), boxes)


def test_the_whole_image_as_a_box_is_the_content() -> None:
    place = geometry_of(2544, 3056, 320)
    assert place.boxes_to_square([[0, 0, 2544, 3056]]).tolist() == [[27, 0, 266, 320]]
    assert place.boxes_to_original([[27, 0, 266, 320]]).tolist() == [[0, 0, 2544, 3056]]


def test_no_boxes_stay_no_boxes() -> None:
    assert geometry_of(10, 20, 8).boxes_to_square([]).shape == (0, 4)


@given(
    width=st.integers(16, 500),
    height=st.integers(16, 500),
    size=st.integers(16, 96),
    resize=resizes,
)
def test_a_map_of_coordinates_comes_back_within_half_a_pixel(
    width: int, height: int, size: int, resize: Resize
) -> None:
    """Each pixel of the square holds where its centre lies in the original, along x.

    Brought back, each original pixel must hold its own centre, but for half a pixel of the
    coarser of the two grids at the borders, beyond which there is nothing to blend with.
    """
    place = geometry_of(width, height, size, resize)
    centres = np.stack([np.arange(size) + 0.5, np.full(size, 0.5)], axis=1)
    along = place.points_to_original(centres)[:, 0]
    back = place.map_to_original(np.tile(along, (size, 1)))
    pixel = max(1.0, width / place.content_width)
    error = np.abs(back - (np.arange(width) + 0.5))
    assert back.shape == (height, width)
    assert error.max() <= 0.5 * pixel + 1e-3 * width
    assume(width > 4 * pixel)
    inside = slice(int(pixel) + 1, width - int(pixel) - 1)
    assert error[:, inside].max() <= 0.1 * pixel + 1e-4 * width


@given(x=st.integers(40, 160), y=st.integers(40, 260), seed=st.integers(0, 9))
def test_a_bright_spot_comes_back_to_its_place(x: int, y: int, seed: int) -> None:
    rows, columns = np.mgrid[0:300, 0:200]
    spot = 255 * np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / 200)
    pixels, place = to_square(spot.astype(np.uint8), 64)
    back = place.map_to_original(pixels.astype(np.float32))
    weights = back / back.sum()
    found = (weights * (columns + 0.5)).sum(), (weights * (rows + 0.5)).sum()
    assert np.hypot(found[0] - x, found[1] - y) < 0.5


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(UsageError, match=r"expected a map of shape \(8, 8\), got \(4, 4\)"):
        geometry_of(10, 20, 8).map_to_original(np.zeros((4, 4)))


def test_points_that_are_not_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match=r"expected an array of shape \(n, 2\), got \(1, 3\)"):
        geometry_of(10, 20, 8).points_to_square([[1, 2, 3]])


def test_a_size_below_1_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 pixel, got 0"):
        geometry_of(10, 20, 0)


def test_an_unknown_resize_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'cubic' is not a resize; choose from area, chexzero"):
        geometry_of(10, 20, 8, "cubic")  # type: ignore[arg-type]


def test_area_is_the_mean_over_each_block() -> None:
    grey = np.zeros((6, 6), dtype=np.uint8)
    grey[0, 0], grey[2, 5], grey[5, 5] = 90, 180, 45
    pixels, _ = to_square(grey, 2)
    assert pixels.tolist() == [[10, 20], [0, 5]]


def test_a_block_that_cuts_pixels_weighs_their_parts() -> None:
    """From 3 to 2 pixels each block is one pixel and half of the next: 2/3 and 1/3."""
    pixels, _ = to_square(np.tile(np.array([0, 90, 240], np.uint8), (3, 1)), 2)
    assert pixels.tolist() == [[30, 190]] * 2


def test_a_wide_image_has_zeros_above_and_below() -> None:
    grey = np.tile(np.array([10, 250], dtype=np.uint8), (4, 4))
    pixels, place = to_square(grey, 16)
    assert place == Geometry(8, 4, 16, 0, 4, 16, 8)
    assert not pixels[:4].any()
    assert not pixels[12:].any()
    assert pixels[4:12].all()


def test_the_thinnest_image_keeps_one_pixel() -> None:
    place = geometry_of(5000, 1, 64)
    assert (place.content_width, place.content_height, place.top) == (64, 1, 31)


def test_a_constant_image_is_blank() -> None:
    with pytest.raises(ImageError, match=r"every pixel has the same value, 7 \[blank\]"):
        to_square(np.full((30, 20), 7, dtype=np.uint8), 16)
