"""The slow, obvious projector: follow every ray through the voxels it meets."""

import numpy as np

from hilum.phantom.anatomy import Atlas, Field


def trace(atlas: Atlas, volume: Field, source: float, field: float, size: int) -> Field:
    """Return the line integrals, cm, of a PA film without any warp, one ray at a time.

    Parameters
    ----------
    source
        Distance of the source behind the plane y = 0, mm.
    field
        Side of the film, measured in that plane, mm.
    """
    film = np.zeros((size, size), dtype=np.float32)
    pixel = field / size
    for row in range(size):
        for column in range(size):
            across = (column + 0.5) * pixel - field / 2
            up = field / 2 - (row + 0.5) * pixel
            film[row, column] = _ray(atlas, volume, source, across, up)
    return film


def _ray(atlas: Atlas, volume: Field, source: float, across: float, up: float) -> float:
    """Add up what one ray through (0, up, across) meets, a step per slab."""
    total = 0.0
    direction = np.array([source, up, across])
    step = float(np.linalg.norm(direction)) / source * atlas.step[0]
    for slab in range(volume.shape[0]):
        y = atlas.origin[0] + slab * atlas.step[0]
        point = np.array([-source, 0.0, 0.0]) + direction * (y + source) / source
        z, x = (point[1:] - atlas.origin[1:]) / atlas.step[1:]
        total += _bilinear(volume[slab], z, x) * step / 10.0
    return total


def _bilinear(plane: Field, z: float, x: float) -> float:
    z = min(max(z, 0.0), plane.shape[0] - 1.0)
    x = min(max(x, 0.0), plane.shape[1] - 1.0)
    i, j = min(int(z), plane.shape[0] - 2), min(int(x), plane.shape[1] - 2)
    a, b = z - i, x - j
    near = (1 - b) * plane[i, j] + b * plane[i, j + 1]
    far = (1 - b) * plane[i + 1, j] + b * plane[i + 1, j + 1]
    return float((1 - a) * near + a * far)
