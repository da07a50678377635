"""Augmentation: `draw` picks the numbers, `apply` does the work.

A `View` is a set of numbers per image that can be printed, stored and tested; applying it is
deterministic. All geometry (crop, zoom, rotation, flip) is one affine resample, so an image is
interpolated once. All tone changes (brightness, contrast, gamma, exposure curve) are one table
of 256 values per image, looked up before it. The channels of a colour image share all numbers but
the noise: hue is a finding of the skin, so there are no colour tricks.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hilum.encoders.image import planes

Floats = NDArray[np.float32]
KNOTS = 8  # of the exposure curve


@dataclass(frozen=True)
class ViewSettings:
    """How much views of one image may differ; the default changes nothing.

    Parameters
    ----------
    crop
        Smallest and largest share of the image's area that is kept.
    aspect
        Largest ratio of the crop's sides (1 keeps it square).
    outside
        The crop's centre may lie this share of the side beyond where it would touch the edge;
        what is outside the image is black.
    flip
        Probability of a left-right flip. It moves the heart to the other side.
    rotate
        Largest angle in degrees, either way.
    brightness
        Largest shift, as a share of the full range.
    contrast
        Largest change of contrast about the image's mean, as a factor's logarithm.
    gamma
        Largest exponent (and smallest is its inverse).
    curve
        Strength, 0...1, of a random monotone exposure curve, as films of other makers have.
    tone
        Probability of the four tone changes above.
    noise
        Largest standard deviation of Gaussian noise, as a share of the full range.
    blur
        Largest standard deviation of a Gaussian blur in output pixels.
    blurred
        Probability of the blur.
    cutout
        Largest side of a black rectangle, as a share of the output's.
    cut
        Probability of the rectangle.
    """

    crop: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    outside: float = 0.0
    flip: float = 0.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 1.0
    curve: float = 0.0
    tone: float = 1.0
    noise: float = 0.0
    blur: float = 0.0
    blurred: float = 0.5
    cutout: float = 0.0
    cut: float = 0.5


@dataclass(frozen=True)
class View:
    """The numbers that make one view of each of n images.

    Parameters
    ----------
    centre : (n, 2)
        Where in the image the view's centre lies, x and y, with edges at -1 and 1.
    scale : (n, 2)
        Width and height of the crop as a share of the image's.
    angle : (n,)
        Anticlockwise turn of the content, in degrees.
    flip : (n,) bool
        Whether left and right are exchanged.
    tone : (n, 256)
        What each grey value becomes, 0...1.
    blur : (n,)
        Standard deviation in output pixels; 0 is none.
    noise : (n,)
        Standard deviation as a share of the full range.
    noise_seed : (n,) int64
        The noise of a batch is drawn from the seed of its first image.
    cutout : (n, 4)
        Left, top, right and bottom of a black rectangle, with edges at 0 and 1.
    """

    centre: Floats
    scale: Floats
    angle: Floats
    flip: NDArray[np.bool_]
    tone: Floats
    blur: Floats
    noise: Floats
    noise_seed: NDArray[np.int64]
    cutout: Floats

    def __len__(self) -> int:
        return len(self.angle)

    def take(self, images: slice | NDArray[np.int64]) -> "View":
        """Return the numbers of some of the images."""
        return replace(self, **{f.name: getattr(self, f.name)[images] for f in fields(self)})


def draw(rng: np.random.Generator, n: int, settings: ViewSettings) -> View:
    """Draw the numbers for one view of each of n images."""
    centre, scale = _draw_crop(rng, n, settings)
    return View(
        centre=centre,
        scale=scale,
        angle=_symmetric(rng, n, settings.rotate),
        flip=rng.random(n) < settings.flip,
        tone=_draw_tone(rng, n, settings),
        blur=_sometimes(rng, n, settings.blurred) * _uniform(rng, n, 0.0, settings.blur),
        noise=_uniform(rng, n, 0.0, settings.noise),
        noise_seed=rng.integers(2**62, size=n),
        cutout=_draw_cutout(rng, n, settings),
    )


def apply(pixels: Tensor, view: View, size: int) -> Tensor:
    """Make one view of each image.

    Parameters
    ----------
    pixels : (n, side, side) or (n, side, side, 3) uint8
        On the device where the work is to be done.
    view
        Numbers for n images.
    size
        Height and width of the result in pixels.

    Returns
    -------
    (n, 1 or 3, size, size) float32 in 0...1, on the device of `pixels`.
    """
    images = _resample(_look_up(pixels, view.tone), view, size)
    images = _blur(images, view.blur)
    images = _add_noise(images, view)
    return _cut_out(images, view.cutout)


# ------------------------------------------------------------------ the numbers


def _uniform(rng: np.random.Generator, n: int, low: float, high: float) -> Floats:
    return rng.uniform(low, high, n).astype(np.float32)


def _symmetric(rng: np.random.Generator, n: int, most: float) -> Floats:
    return _uniform(rng, n, -most, most)


def _sometimes(rng: np.random.Generator, n: int, probability: float) -> Floats:
    return (rng.random(n) < probability).astype(np.float32)


def _draw_crop(rng: np.random.Generator, n: int, settings: ViewSettings) -> tuple[Floats, Floats]:
    side = np.sqrt(rng.uniform(*settings.crop, n))
    stretch = np.exp(rng.uniform(-1, 1, n) * np.log(settings.aspect) / 2)
    scale = np.stack([side * stretch, side / stretch], axis=1)  # (n, 2)
    reach = np.abs(1 - scale) + 2 * settings.outside
    centre = rng.uniform(-1, 1, (n, 2)) * reach
    return centre.astype(np.float32), scale.astype(np.float32)


def _draw_tone(rng: np.random.Generator, n: int, settings: ViewSettings) -> Floats:
    """Return one table of 256 values per image."""
    plain = np.linspace(0, 1, 256)
    grey = _draw_curves(rng, n, settings.curve)
    grey = grey ** np.exp(rng.uniform(-1, 1, (n, 1)) * np.log(settings.gamma))
    factor = np.exp(rng.uniform(-1, 1, (n, 1)) * settings.contrast)
    grey = (grey - 0.5) * factor + 0.5
    grey = grey + rng.uniform(-1, 1, (n, 1)) * settings.brightness
    changed = rng.random((n, 1)) < settings.tone
    return np.where(changed, grey.clip(0, 1), plain).astype(np.float32)


def _draw_curves(rng: np.random.Generator, n: int, strength: float) -> NDArray[np.float64]:
    """Return monotone curves from 0 to 1 through random knots, at 256 places: (n, 256)."""
    steps = (1 - strength) + strength * rng.exponential(1.0, (n, KNOTS))
    heights = np.concatenate([np.zeros((n, 1)), steps.cumsum(axis=1)], axis=1)
    heights /= heights[:, -1:]  # (n, KNOTS + 1), rising from 0 to 1
    place = np.linspace(0, KNOTS, 256)
    left = np.minimum(place.astype(np.intp), KNOTS - 1)
    part = place - left
    curves: NDArray[np.float64] = heights[:, left] * (1 - part) + heights[:, left + 1] * part
    return curves


def _draw_cutout(rng: np.random.Generator, n: int, settings: ViewSettings) -> Floats:
    sides = rng.uniform(0, 1, (n, 2)) * settings.cutout
    sides *= rng.random((n, 1)) < settings.cut
    start = rng.uniform(0, 1, (n, 2)) * (1 - sides)
    return np.concatenate([start, start + sides], axis=1).astype(np.float32)


# ------------------------------------------------------------------ the work


def _look_up(pixels: Tensor, tone: Floats) -> Tensor:
    """Replace each value by its entry in the image's table: (n, 1 or 3, side, side) float32."""
    values = planes(pixels)
    table = torch.from_numpy(tone).to(pixels.device).reshape(-1)  # (n * 256,)
    first = torch.arange(len(values), device=pixels.device, dtype=torch.int32) * 256
    where = values.to(torch.int32) + first[:, None, None, None]
    return torch.index_select(table, 0, where.reshape(-1)).view(values.shape)


def _resample(images: Tensor, view: View, size: int) -> Tensor:
    """Crop, turn and flip in one bilinear resample; outside the image is black."""
    turn = np.deg2rad(view.angle)
    cosine, sine = np.cos(turn), np.sin(turn)
    sign = np.where(view.flip, -1.0, 1.0)
    width, height = view.scale[:, 0], view.scale[:, 1]
    # Output (x, y) -> image (x, y): flip and shrink to the crop, turn, move to its centre.
    theta = np.stack(
        [
            np.stack([cosine * width * sign, -sine * height, view.centre[:, 0]], axis=1),
            np.stack([sine * width * sign, cosine * height, view.centre[:, 1]], axis=1),
        ],
        axis=1,
    ).astype(np.float32)  # (n, 2, 3)
    where = torch.from_numpy(theta).to(images.device)
    grid = functional.affine_grid(where, [len(images), 1, size, size], align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", align_corners=False)


def _blur(images: Tensor, sigma: Floats) -> Tensor:
    """Blur each image with its own Gaussian; edges are repeated."""
    chosen = np.flatnonzero(sigma > 0.05)  # below that the kernel is one pixel
    if not len(chosen):
        return images
    reach = int(np.ceil(3 * sigma.max()))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma[chosen, None]) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    weights = torch.from_numpy(kernel.astype(np.float32)).to(images.device)[:, None]  # (m, 1, k)
    rows = torch.from_numpy(chosen).to(images.device)
    _, channels, height, width = images.shape
    weights = weights.repeat_interleave(channels, 0)  # (m * channels, 1, k)
    part = images[rows].reshape(1, -1, height, width)  # one group per image and channel
    part = functional.pad(part, (reach,) * 4, mode="replicate")
    part = functional.conv2d(part, weights[..., None], groups=len(weights))
    part = functional.conv2d(part, weights[:, :, None], groups=len(weights))
    return images.index_copy(0, rows, part.view(-1, channels, height, width))


def _add_noise(images: Tensor, view: View) -> Tensor:
    if not view.noise.any():
        return images
    generator = torch.Generator(images.device).manual_seed(int(view.noise_seed[0]))
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    sigma = torch.from_numpy(view.noise).to(images.device)
    return (images + noise * sigma[:, None, None, None]).clamp_(0, 1)


def _cut_out(images: Tensor, cutout: Floats) -> Tensor:
    if not (cutout[:, 2] > cutout[:, 0]).any():
        return images
    size = images.shape[-1]
    place = (torch.arange(size, device=images.device) + 0.5) / size  # pixel centres
    left, top, right, bottom = torch.from_numpy(cutout).to(images.device).T[:, :, None]  # (n, 1)
    columns = (place >= left) & (place < right)  # (n, size)
    rows = (place >= top) & (place < bottom)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
