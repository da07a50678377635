from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from hilum.training import views
from hilum.training.views import View, ViewSettings
from reference_training import blobs

SIDE = 32


def smooth(n: int = 3) -> Tensor:
    images = [ndimage.gaussian_filter(b.astype(float), 2) for b in blobs(n, size=SIDE)]
    return torch.from_numpy((np.stack(images) * 2).clip(0, 255).astype(np.uint8))


def identity(n: int) -> View:
    return views.draw(np.random.default_rng(0), n, views.ViewSettings())


def changed(n: int = 3, **fields: object) -> View:
    return replace(identity(n), **fields)  # type: ignore[arg-type]


def constant(n: int, value: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(n, value, np.float32)


def test_the_identity_returns_the_image() -> None:
    pixels = torch.from_numpy(blobs(4, size=SIDE))
    out = views.apply(pixels, identity(4), SIDE)
    assert out.shape == (4, 1, SIDE, SIDE)
    torch.testing.assert_close(out[:, 0], pixels / 255, atol=2e-5, rtol=0)


def test_a_flip_exchanges_left_and_right_and_twice_is_the_identity() -> None:
    pixels = torch.from_numpy(blobs(3, size=SIDE))
    view = changed(flip=np.array([True, False, True]))
    once = views.apply(pixels, view, SIDE)[:, 0]
    expected = pixels.clone()
    expected[[0, 2]] = pixels[[0, 2]].flip(2)
    torch.testing.assert_close(once, expected / 255, atol=2e-5, rtol=0)
    again = views.apply((once * 255).round().to(torch.uint8), view, SIDE)[:, 0]
    torch.testing.assert_close(again, pixels / 255, atol=2e-5, rtol=0)


@pytest.mark.parametrize("angle", [-10.0, 3.0, 25.0])
def test_a_rotation_is_scipys_rotation(angle: float) -> None:
    pixels = smooth()
    ours = views.apply(pixels, changed(angle=constant(3, angle)), SIDE)[:, 0].numpy()
    theirs = ndimage.rotate(pixels.numpy() / 255, angle, axes=(2, 1), reshape=False, order=1)
    inside = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=2e-3)


def test_a_positive_angle_turns_the_content_anticlockwise() -> None:
    pixels = torch.zeros(1, 9, 9, dtype=torch.uint8)
    pixels[0, 4, 8] = 255  # right
    out = views.apply(pixels, changed(1, angle=constant(1, 90)), 9)[0, 0]
    assert out[0, 4] == pytest.approx(1, abs=1e-4)  # top


def test_what_a_rotation_brings_in_from_outside_is_black() -> None:
    white = torch.full((1, SIDE, SIDE), 255, dtype=torch.uint8)
    out = views.apply(white, changed(1, angle=constant(1, 45)), SIDE)[0, 0]
    assert out[0, 0] == out[-1, -1] == 0
    assert out[SIDE // 2, SIDE // 2] == pytest.approx(1, abs=1e-5)


def test_a_crop_of_a_quarter_is_that_quarter() -> None:
    pixels = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4)
    # The lower right quarter: centre at (0.5, 0.5), half as wide and high.
    view = changed(1, centre=constant(2, 0.5)[None], scale=constant(2, 0.5)[None])
    out = views.apply(pixels, view, 2)[0, 0] * 255
    torch.testing.assert_close(out, torch.tensor([[10.0, 11.0], [14.0, 15.0]]), atol=1e-4, rtol=0)


def test_a_turned_crop_of_a_narrow_view_keeps_its_shape() -> None:
    """Turning comes after cropping: a wide crop turned by 90 degrees is a tall one."""
    pixels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    pixels[:, :, 3:5] = 255  # two columns
    view = changed(1, angle=constant(1, 90), scale=np.array([[1.0, 0.5]], np.float32))
    out = views.apply(pixels, view, 8)[0, 0]
    # Output rows run along the image's columns, half of them wide: two columns become four rows.
    expected = torch.tensor([0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0])
    torch.testing.assert_close(out.mean(1), expected, atol=1e-4, rtol=0)
    assert out.std(1).max() < 1e-4


def test_tone_is_a_table_of_grey_values() -> None:
    pixels = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    table = np.linspace(1, 0, 256, dtype=np.float32)[None]  # the negative
    out = views.apply(pixels, changed(1, tone=table), 2)[0, 0]
    torch.testing.assert_close(out, torch.tensor([[1, 0.8], [0.6, 0]]), atol=1e-5, rtol=0)


def test_brightness_shifts_and_contrast_turns_about_the_middle() -> None:
    rng = np.random.default_rng(0)
    shifted = views.draw(rng, 200, ViewSettings(brightness=0.2)).tone
    shift = shifted[:, 128] - 128 / 255
    assert 0.15 < shift.max() <= 0.2
    assert -0.2 <= shift.min() < -0.15
    turned = views.draw(rng, 200, ViewSettings(contrast=np.log(2.0))).tone
    slope = (turned[:, 140] - turned[:, 116]) / (24 / 255)
    assert 1.8 < slope.max() <= 2.001
    assert 0.499 <= slope.min() < 0.55
    np.testing.assert_allclose((turned[:, 127] + turned[:, 128]) / 2, 0.5, atol=1e-6)


@given(seed=st.integers(0, 999), strength=st.floats(0, 1), gamma=st.floats(1, 3))
@settings(max_examples=25, deadline=None)
def test_exposure_curves_keep_black_white_and_order(
    seed: int, strength: float, gamma: float
) -> None:
    tone = views.draw(
        np.random.default_rng(seed), 5, ViewSettings(curve=strength, gamma=gamma)
    ).tone
    assert (np.diff(tone, axis=1) >= -1e-6).all()
    np.testing.assert_allclose(tone[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(tone[:, -1], 1, atol=1e-6)


def test_the_tone_changes_as_often_as_asked() -> None:
    tone = views.draw(np.random.default_rng(0), 400, ViewSettings(gamma=2, tone=0.25)).tone
    kept = np.isclose(tone, np.linspace(0, 1, 256)).all(axis=1).mean()
    assert 0.68 < kept < 0.82


def test_each_image_is_blurred_with_its_own_gaussian() -> None:
    pixels = torch.from_numpy(blobs(3, size=SIDE))
    sigmas = np.array([0.0, 1.0, 2.0], np.float32)
    ours = views.apply(pixels, changed(blur=sigmas), SIDE)[:, 0].numpy()
    np.testing.assert_allclose(ours[0], pixels[0] / 255, atol=2e-5)
    for row in (1, 2):
        image = pixels[row].numpy() / 255
        theirs = ndimage.gaussian_filter(image, sigmas[row], mode="nearest", radius=6)
        np.testing.assert_allclose(ours[row], theirs, atol=1e-4)


def test_noise_has_the_deviation_asked_for_and_comes_from_the_view_alone() -> None:
    grey = torch.full((2, SIDE, SIDE), 128, dtype=torch.uint8)
    view = changed(2, noise=np.array([0.0, 0.1], np.float32), noise_seed=np.array([4, 5]))
    before = torch.random.get_rng_state()
    once, again = (views.apply(grey, view, SIDE) for _ in range(2))
    assert torch.equal(once, again)
    assert torch.equal(before, torch.random.get_rng_state())
    assert once[0].std() < 1e-5
    assert once[1].std() == pytest.approx(0.1, rel=0.08)
    other = views.apply(grey, replace(view, noise_seed=np.array([6, 7])), SIDE)
    assert not torch.equal(once[1], other[1])


def test_a_cutout_is_black_and_nothing_else_changes() -> None:
    white = torch.full((2, 8, 8), 255, dtype=torch.uint8)
    box = np.array([[0.25, 0.5, 0.5, 1.0], [0, 0, 0, 0]], np.float32)
    out = views.apply(white, changed(2, cutout=box), 8)[:, 0]
    expected = torch.ones(2, 8, 8)
    expected[0, 4:8, 2:4] = 0
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


@given(
    seed=st.integers(0, 999),
    low=st.floats(0.1, 1.0),
    aspect=st.floats(1, 1.5),
    cutout=st.floats(0, 0.5),
)
@settings(max_examples=50, deadline=None)
def test_crops_and_cutouts_stay_inside(seed: int, low: float, aspect: float, cutout: float) -> None:
    setting = ViewSettings(crop=(low, 1.0), aspect=aspect, cutout=cutout, cut=1.0)
    view = views.draw(np.random.default_rng(seed), 16, setting)
    area = view.scale.prod(axis=1)
    assert ((area >= low - 1e-4) & (area <= 1 + 1e-4)).all()
    narrow = view.scale <= 1
    assert (np.abs(view.centre) + view.scale)[narrow].max(initial=0) <= 1 + 1e-5
    assert (view.cutout >= 0).all()
    assert (view.cutout <= 1 + 1e-6).all()
    assert (view.cutout[:, 2:] - view.cutout[:, :2]).max() <= cutout + 1e-6


def test_the_same_numbers_are_drawn_from_the_same_generator() -> None:
    setting = ViewSettings(crop=(0.3, 1), rotate=20, flip=0.5, gamma=2, noise=0.1, blur=1)
    one, two = (views.draw(np.random.default_rng(7), 9, setting) for _ in range(2))
    other = views.draw(np.random.default_rng(8), 9, setting)
    for name in ("centre", "scale", "angle", "flip", "tone", "blur", "noise", "noise_seed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not np.array_equal(one.angle, other.angle)
    assert np.abs(one.angle).max() <= 20


def test_a_part_of_a_view_makes_the_same_images() -> None:
    pixels = torch.from_numpy(blobs(6, size=SIDE))
    setting = ViewSettings(crop=(0.3, 1), rotate=20, flip=0.5, gamma=2, blur=1, cutout=0.4)
    view = views.draw(np.random.default_rng(7), 6, setting)
    part = views.apply(pixels[2:5], view.take(slice(2, 5)), 20)
    torch.testing.assert_close(part, views.apply(pixels, view, 20)[2:5], atol=1e-6, rtol=0)
    assert len(view.take(np.array([0, 5]))) == 2


def test_every_view_is_an_image() -> None:
    setting = ViewSettings(
        crop=(0.2, 1), aspect=1.3, outside=0.1, rotate=30, flip=0.5, gamma=2, brightness=0.4,
        contrast=1, curve=1, noise=0.3, blur=2, cutout=0.5,
    )  # fmt: skip
    view = views.draw(np.random.default_rng(0), 20, setting)
    out = views.apply(torch.from_numpy(blobs(20, size=SIDE)), view, 24)
    assert out.shape == (20, 1, 24, 24)
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6
