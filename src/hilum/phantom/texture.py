"""What fills the lungs of one patient: parenchyma, vessels, and the gas below the diaphragm.

The CT's own vessels are the same in every patient; they are faded, and trees grown for the
patient take their place. Each new twig joins the nearest point of its tree, and a branch is as
thick as what it feeds (Murray, Proc. Natl. Acad. Sci. 12:207-214, 1926: radius cubed adds up).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.phantom.anatomy import Atlas, Field
from hilum.phantom.noise import smooth_field

_AIRY: Final = 0.24  # above this, a lung voxel of the CT holds vessel
_TWIGS: Final = 110
_LUNG_BOX: Final = ((-75.0, 85.0), (-120.0, 120.0), (22.0, 135.0))  # y, z, |x|, mm


@dataclass(frozen=True)
class Texture:
    """How one patient's lungs look.

    Parameters
    ----------
    density
        Attenuation of the parenchyma against the CT's.
    mottle
        Its uneven part, as a share.
    ct_vessels, own_vessels
        Strength of the CT's vessels and of the patient's own trees.
    gas
        ``(n, 4)``: bubbles of stomach and bowel gas, centre (y, z, x) and radius, mm.
    seed
        Draws the trees and the mottle.
    """

    density: float
    mottle: float
    ct_vessels: float
    own_vessels: float
    gas: NDArray[np.float64]
    seed: int


def fill(atlas: Atlas, texture: Texture) -> Field:
    """Return the patient's attenuation without bone, ``(ny, nz, nx)``, before any disease."""
    rng = np.random.default_rng(texture.seed)
    inner = atlas.lungs > 0.95
    vessel = np.where(inner, np.maximum(atlas.tissue - _AIRY, 0.0), 0.0)
    fade = np.float32(texture.ct_vessels - 1.0)
    tissue: Field = np.asarray(atlas.tissue + fade * vessel, dtype=np.float32)
    uneven = smooth_field(rng, atlas.shape, (3, 5, 5)) * 0.6
    uneven += smooth_field(rng, atlas.shape, (6, 16, 16)) * 0.4
    change = np.float32(texture.density - 1.0) + np.float32(texture.mottle) * uneven
    tissue += np.where(inner, np.minimum(tissue, _AIRY), 0.0) * change
    tissue += grow_vessels(atlas, rng) * np.float32(texture.own_vessels)
    tissue = np.asarray(np.clip(tissue, 0.0, 1.06), dtype=np.float32)
    _let_gas_in(atlas, tissue, texture.gas)
    return tissue


def grow_vessels(atlas: Atlas, rng: np.random.Generator) -> Field:
    """Grow a tree in each lung; return what it adds to the attenuation, ``(ny, nz, nx)``."""
    points, weights = [], []
    for side, hilum in zip((-1.0, 1.0), atlas.hila, strict=True):
        ends, starts, radii = _tree(rng, hilum, side)
        for start, end, radius in zip(starts, ends, radii, strict=True):
            length = float(np.linalg.norm(end - start))
            steps = max(int(length / 2.0), 1)
            share = (np.arange(steps) + 0.5)[:, None] / steps
            sag = np.sin(np.pi * share) * rng.normal(0.0, 0.06 * length, 3)
            points.append(start + share * (end - start) + sag)
            weights.append(np.full(steps, np.pi * radius**2 * length / steps))
    field = splat(atlas, np.concatenate(points), np.concatenate(weights))
    return np.minimum(field, 0.9) * (atlas.lungs > 0.5)


def _tree(
    rng: np.random.Generator, hilum: NDArray[np.float64], side: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return end and start ``(n, 3)`` and radius ``(n,)``, mm, of every branch of one lung."""
    low, high = np.array(_LUNG_BOX).T
    ends = rng.uniform(low, high, (_TWIGS, 3))
    ends[:, 2] *= side
    ends = ends[np.argsort(np.linalg.norm(ends - hilum, axis=1))]
    nodes = np.concatenate([hilum[None], ends])
    parent = np.zeros(len(nodes), dtype=int)
    feeds = np.ones(len(nodes))
    for i in range(1, len(nodes)):
        gap = np.linalg.norm(nodes[:i] - nodes[i], axis=1)
        reach = np.linalg.norm(nodes[:i] - hilum, axis=1)
        parent[i] = int(np.argmin(gap + 0.35 * reach))  # rather a straight way from the hilum
    for i in range(len(nodes) - 1, 0, -1):
        feeds[parent[i]] += feeds[i]
    radii = 0.75 * feeds[1:] ** (1.0 / 3.0)
    return nodes[1:], nodes[parent[1:]], radii


def splat(atlas: Atlas, points: NDArray[np.float64], volumes: NDArray[np.float64]) -> Field:
    """Share the volume of points among the eight voxels around each.

    Parameters
    ----------
    points
        ``(n, 3)``: y, z, x in mm.
    volumes
        ``(n,)``: mm³ of water at each.

    Returns
    -------
    ``(ny, nz, nx)`` attenuation, water = 1. Points outside the atlas are left out.
    """
    place = (points - atlas.origin) / atlas.step
    floor = np.floor(place).astype(int)
    inside = np.all((floor >= 0) & (floor < np.array(atlas.shape) - 1), axis=1)
    place, floor, volumes = place[inside], floor[inside], volumes[inside]
    far = place - floor
    size = int(np.prod(atlas.shape))
    indices, shares = [], []
    for corner in np.ndindex(2, 2, 2):
        shares.append(np.prod(np.where(corner, far, 1.0 - far), axis=1) * volumes)
        indices.append(np.ravel_multi_index(tuple((floor + corner).T), atlas.shape))
    field = np.bincount(np.concatenate(indices), np.concatenate(shares), minlength=size)
    return (field.reshape(atlas.shape) / np.prod(atlas.step)).astype(np.float32)


def _let_gas_in(atlas: Atlas, tissue: Field, gas: NDArray[np.float64]) -> None:
    """Blow bubbles into the abdomen, in place; never into the lungs or the heart."""
    y, z, x = (axis.ravel() for axis in atlas.axes())
    for by, bz, bx, radius in gas:
        box = np.ix_(
            *(np.abs(axis - at) < radius + 5.0 for axis, at in ((y, by), (z, bz), (x, bx)))
        )
        reach = np.sqrt(
            ((y[box[0]] - by) / 0.8) ** 2 + ((z[box[1]] - bz) / 0.7) ** 2 + (x[box[2]] - bx) ** 2
        )
        share = np.clip((radius - reach) / 4.0, 0.0, 1.0)
        tissue[box] *= 1.0 - share * (atlas.lungs[box] < 0.05) * (atlas.heart[box] < 0.05)
