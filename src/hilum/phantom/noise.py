"""Smooth random fields: the raw material of warps, textures and ragged edges."""

import numpy as np
from numpy.typing import NDArray

from hilum.phantom.anatomy import Field


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, ...]) -> Field:
    """Draw a random field of mean 0 and variance about 1 that varies over `cells` lengths.

    The draws do not depend on `shape`: the same field comes out on a finer grid.

    Parameters
    ----------
    shape
        Number of samples along each axis.
    cells
        Number of random knots less one along each axis, at least 1.
    """
    field = rng.standard_normal([n + 1 for n in cells]).astype(np.float32)
    for axis, (samples, n) in enumerate(zip(shape, cells, strict=True)):
        field = np.moveaxis(np.tensordot(_blend(samples, n), field, axes=(1, axis)), 0, axis)
    return field * np.float32(1.25 ** len(shape))  # what the blending takes from the variance


def _blend(samples: int, cells: int) -> NDArray[np.float32]:
    """Return the weights ``(samples, cells + 1)`` of each knot: cosine interpolation."""
    place = (np.arange(samples) + 0.5) * cells / samples
    left = np.minimum(place.astype(int), cells - 1)
    share = 0.5 - 0.5 * np.cos(np.pi * (place - left))
    weights = np.zeros((samples, cells + 1), dtype=np.float32)
    rows = np.arange(samples)
    weights[rows, left] = 1.0 - share
    weights[rows, left + 1] = share
    return weights
