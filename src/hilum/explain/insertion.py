"""Insertion and deletion: a similarity that comes and goes with the pixels that a map values.

Of a pair only the retrieved image is changed, a step at a time, the pixels that its map values
most first. **Insertion** begins with a blurred image and puts pixels back: the sooner the
similarity to the query rises the better, so a *higher* area under its curve is better.
**Deletion** takes pixels away: a *lower* area is better. Petsiuk, Das and Saenko, RISE, BMVC 2018,
arXiv:1806.07421; for pairs as in X-MIR (Hu et al., WACV 2022).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError
from hilum.explain.cam import Maps
from hilum.explain.compared import Compared, Pixels

Curve = NDArray[np.float32]
Substrate = Literal["blur", "mean", "black"]
Likeness = Literal["cosine", "euclidean"]

REACH: Final = 25 / 50**0.5  # half-width of the kernel in sigmas: 51 pixels at X-MIR's
BETTER: Final = {"insertion": "higher", "deletion": "lower"}


@dataclass(frozen=True)
class Steps:
    """How images are taken apart and put together.

    Parameters
    ----------
    steps
        In so many equal ones; X-MIR's 224 are a row of 224 pixels each.
    sigma
        Of the blur, in pixels of the network's square; X-MIR's √50 is meant for 224 of them.
    insertion, deletion
        What insertion begins with and deletion ends with: the image blurred, the colour that the
        network subtracts, or black.
    likeness
        ``"cosine"``, below 0 counted as 0; or ``"euclidean"``, 1 − half the distance.
    seed
        Of the order of pixels that a map values alike. In the order of rows they would favour
        what stands at the top.
    fast
        Compute in the encoder's own precision.
    """

    steps: int = 224
    sigma: float = 50**0.5
    insertion: Substrate = "blur"
    deletion: Substrate = "mean"
    likeness: Likeness = "cosine"
    seed: int = 0
    fast: bool = False

    def __post_init__(self) -> None:
        for name in (self.insertion, self.deletion):
            if name not in get_args(Substrate):
                raise UsageError(
                    f"{name!r} is not what pixels can become; choose from "
                    f"{', '.join(get_args(Substrate))}"
                )
        if self.likeness not in get_args(Likeness):
            raise UsageError(
                f"{self.likeness!r} is not a likeness; choose from {', '.join(get_args(Likeness))}"
            )
        if self.steps < 1 or not self.sigma > 0:
            raise UsageError(
                f"steps are 1 or more and a blur's sigma above 0; got {self.steps}, {self.sigma}"
            )


@dataclass(frozen=True, eq=False)
class Curves:
    """The likeness of each pair after every step.

    Parameters
    ----------
    insertion, deletion : (m, steps + 1)
        The first number is that of the image as it begins, the last as it ends.
    clipped : (m, 2)
        How many cosines of each curve were below 0.
    """

    insertion: Curve
    deletion: Curve
    clipped: NDArray[np.int64]

    def areas(self) -> NDArray[np.float64]:
        """Return the areas under each pair's two curves, (m, 2): insertion, deletion."""
        return np.stack([area(self.insertion), area(self.deletion)], axis=1)


def area(curves: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the area under curves over 0...1 by trapezoids, (..., n) → (...)."""
    values = np.asarray(curves, np.float64)
    ends = (values[..., 0] + values[..., -1]) / 2
    found: NDArray[np.float64] = (values.sum(axis=-1) - ends) / (values.shape[-1] - 1)
    return found


def insert_and_delete(
    network: Compared, query: Pixels, retrieved: Pixels, maps: Maps, settings: Steps | None = None
) -> Curves:
    """Follow the likeness of pairs while their retrieved images are put together and taken apart.

    Parameters
    ----------
    network
        What compares them; with its projection, if it has one.
    query : (side, side[, 3]) uint8
        Never changed.
    retrieved : (m, side, side[, 3]) uint8
    maps : (m, size, size)
        On the pixels of the network's square.
    settings
        X-MIR's if not given.

    Raises
    ------
    UsageError
        If the images do not fit.
    ValueError
        If the maps do not fit them.
    """
    settings = settings or Steps()
    asked, found = network.pair(query, retrieved)
    if maps.shape != (len(found), *found.shape[2:]):
        raise ValueError(
            f"expected maps of shape {(len(found), *found.shape[2:])}, got {maps.shape}"
        )
    unit = network.embed_unit(asked, fast=settings.fast)
    rows = [_both(network, unit, *pair, settings) for pair in zip(found, maps, strict=True)]
    curves = np.stack([curves for curves, _ in rows])  # (m, 2, steps + 1)
    return Curves(curves[:, 0], curves[:, 1], np.stack([clipped for _, clipped in rows]))


def _both(
    network: Compared, unit: Tensor, image: Tensor, heat: NDArray[np.float32], settings: Steps
) -> tuple[Curve, NDArray[np.int64]]:
    place = torch.from_numpy(order(heat, settings.seed)).to(image.device)
    curves, clipped = [], []
    ways = ((settings.insertion, True), (settings.deletion, False))
    for name, inserting in ways:
        other = substrate(image, name, settings.sigma, network)
        begin, end = (other, image) if inserting else (image, other)
        signed = torch.cat(
            [
                _likeness(network.embed_unit(batch, fast=settings.fast), unit, settings.likeness)
                for batch in frames(begin, end, place, settings.steps, network.batch_size)
            ]
        )
        curves.append(signed.clamp(min=0).cpu().numpy())
        clipped.append(int((signed < 0).sum()))
    return np.stack(curves), np.array(clipped, np.int64)


def order(heat: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """Return each pixel's place in the order of decreasing value, (height, width), from 0."""
    chance = np.random.default_rng(seed).permutation(heat.size)
    ranked = np.lexsort((chance, -heat.ravel()))
    place = np.empty(heat.size, np.int64)
    place[ranked] = np.arange(heat.size)
    return place.reshape(heat.shape)


def frames(
    begin: Tensor, end: Tensor, place: Tensor, steps: int, batch_size: int
) -> Iterator[Tensor]:
    """Yield an image after 0 to `steps` steps from one state to another, in batches.

    Parameters
    ----------
    begin, end : (channels, height, width)
    place : (height, width)
        From `order`; after step k the first k / steps of the pixels are as at the end.
    """
    after = (torch.arange(steps + 1, device=place.device) * place.numel()) // steps
    for start in range(0, steps + 1, batch_size):
        some = after[start : start + batch_size]
        done = place < some[:, None, None]  # (batch, height, width)
        yield torch.where(done[:, None], end, begin)


def substrate(image: Tensor, name: Substrate, sigma: float, network: Compared) -> Tensor:
    """Return what a prepared image (channels, size, size) begins as or becomes."""
    if name == "mean":
        return torch.zeros_like(image)
    if name == "black":
        spec = network.spec
        dark = -torch.tensor(spec.mean) / torch.tensor(spec.std)
        return dark.to(image)[:, None, None].expand_as(image)
    return blurred(image, sigma)


def blurred(image: Tensor, sigma: float) -> Tensor:
    """Blur a prepared image, (channels, height, width); beyond its borders is the mean colour."""
    line = torch.from_numpy(kernel(sigma)).to(image)
    reach = len(line) // 2
    channels = image[:, None]  # each alone
    down = functional.conv2d(channels, line[None, None, :, None], padding=(reach, 0))
    return functional.conv2d(down, line[None, None, None], padding=(0, reach))[:, 0]


def kernel(sigma: float) -> NDArray[np.float64]:
    """Return the weights of the blur along one axis; their sum is 1.

    Their product with themselves is X-MIR's kernel: a point of 1 in a square of zeros, smoothed
    there by scipy, which folds what would lie outside back in.
    """
    reach = max(1, round(REACH * sigma))
    point = np.zeros(2 * reach + 1)
    point[reach] = 1
    return np.asarray(gaussian_filter1d(point, sigma), np.float64)


def _likeness(units: Tensor, unit: Tensor, kind: Likeness) -> Tensor:
    if kind == "cosine":
        return units @ unit[0]
    return 1 - (units - unit).square().sum(dim=1).sqrt() / 2
