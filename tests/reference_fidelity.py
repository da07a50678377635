"""Measures of a map against a region, pixel by pixel; resamples of patients, one by one."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def pointing(heat: Array, region: Mask, tolerance: float) -> float:
    highest = heat.max()
    if highest <= 0:
        return 0.0
    inside = [(int(i), int(j)) for i, j in np.argwhere(region)]
    tops = [(int(i), int(j)) for i, j in np.argwhere(heat == highest)]
    hits = [any(math.dist(top, one) <= tolerance for one in inside) for top in tops]
    return sum(hits) / len(hits)


def energy(heat: Array, region: Mask) -> float:
    total = inside = 0.0
    for place in np.ndindex(heat.shape):
        total += float(heat[place])
        inside += float(heat[place]) if region[place] else 0.0
    return inside / total if total else 0.0


def overlap(heat: Array, region: Mask, threshold: float) -> float:
    limit = np.float32(threshold) * np.float32(heat.max())
    if heat.max() <= 0:
        return 0.0
    both = either = 0
    for place in np.ndindex(heat.shape):
        high = bool(np.float32(heat[place]) >= limit)
        both += high and bool(region[place])
        either += high or bool(region[place])
    return both / either


def bilinear(grid: Array, x: float, y: float) -> float:
    """Return a grid's value at a point, in units of cells from its top left corner."""
    rows, columns = grid.shape
    x, y = min(max(x - 0.5, 0), columns - 1), min(max(y - 0.5, 0), rows - 1)
    left, top = min(int(x), columns - 1), min(int(y), rows - 1)
    right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
    u, v = x - left, y - top
    above = grid[top, left] * (1 - u) + grid[top, right] * u
    below = grid[bottom, left] * (1 - u) + grid[bottom, right] * u
    return float(above * (1 - v) + below * v)
