"""Class activation maps written from their papers, one image, one position, one channel at a time.

The layer's maps are functions of a network given as a plain function from (c, h, w) to a number;
its slope is taken by central differences, so nothing of torch is believed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Score = Callable[[Array], float]


def slope(score: Score, activations: Array, step: float = 1e-5) -> Array:
    """Return ∂score/∂A by central differences."""
    out = np.zeros_like(activations)
    for place in np.ndindex(activations.shape):
        up, down = activations.copy(), activations.copy()
        up[place] += step
        down[place] -= step
        out[place] = (score(up) - score(down)) / (2 * step)
    return out


def grad_cam(a: Array, g: Array) -> Array:
    channels, height, width = a.shape
    out = np.zeros((height, width))
    for c in range(channels):
        weight = sum(g[c, i, j] for i in range(height) for j in range(width)) / (height * width)
        for i in range(height):
            for j in range(width):
                out[i, j] += weight * a[c, i, j]
    return out


def grad_cam_plus_plus(a: Array, g: Array) -> Array:
    """Equation 19 as printed; where its denominator is 0, so is the gradient."""
    channels, height, width = a.shape
    out = np.zeros((height, width))
    for c in range(channels):
        total = sum(max(a[c, i, j], 0.0) for i in range(height) for j in range(width))
        weight = 0.0
        for i in range(height):
            for j in range(width):
                one = g[c, i, j]
                if one > 0:
                    weight += one**2 / (2 * one**2 + one**3 * total) * one
        out += weight * a[c]
    return out


def hires_cam(a: Array, g: Array) -> Array:
    channels, height, width = a.shape
    out = np.zeros((height, width))
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                out[i, j] += g[c, i, j] * a[c, i, j]
    return out


def layer_cam(a: Array, g: Array) -> Array:
    channels, height, width = a.shape
    out = np.zeros((height, width))
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                out[i, j] += max(g[c, i, j], 0.0) * a[c, i, j]
    return out


def eigen_cam(a: Array, g: Array) -> Array:
    """Find the direction by power iteration on the channels' second moments."""
    channels, height, width = a.shape
    rows = np.array([a[:, i, j] for i in range(height) for j in range(width)])
    moments = np.zeros((channels, channels))
    for row in rows:
        moments += np.outer(row, row)
    direction = np.ones(channels)
    for _ in range(3_000):
        direction = moments @ direction
        direction /= np.linalg.norm(direction)
    out = (rows @ direction).reshape(height, width)
    return out if out.sum() >= 0 else -out


METHODS = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "hires-cam": hires_cam,
    "layer-cam": layer_cam,
    "eigen-cam": eigen_cam,
}
