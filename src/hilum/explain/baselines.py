"""Maps that know nothing of the image: what a method must beat before it is believed.

A finding that is always at the same place is found by anything that points there. So beside noise
there is a prior for the centre of the image, and there is the model's own map of *another
patient* with the same finding: a method that does no better than that has learnt where the
finding usually is, and nothing of this image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.explain.cam import for_it
from hilum.explain.saliency import Map, Saliency, in_original
from hilum.images import Geometry

RANDOM: Final = "random"
CENTRE: Final = "centre"
OTHER: Final = "other patient"
BASELINES: Final = (RANDOM, CENTRE, OTHER)

CENTRE_WIDTH: Final = 0.25
"""Standard deviation of the centre prior, as a share of the image's width and height."""


@dataclass(frozen=True, eq=False)
class Baselines:
    """Baseline maps for the maps of a `Saliency`.

    Parameters
    ----------
    saliency
        The maps: their grid is that of the noise.
    partners : (m,)
        For each map the row of another patient's map of the same target, -1 where there is none.
    draws
        Noise maps per image.
    seed
        Of the noise.
    """

    saliency: Saliency
    partners: NDArray[np.int64]
    draws: int
    seed: int

    def maps(self, row: int, name: str) -> list[Map]:
        """Return a baseline's maps for one image, in its original frame; several for noise."""
        geometry, offset = self.saliency.geometries[row], self.saliency.origin.offset
        if name == CENTRE:
            return [centre(geometry)]
        if name == RANDOM:
            rng = np.random.default_rng([self.seed, row])
            grids = rng.random((self.draws, *self.saliency.origin.grid), dtype=np.float32)
            return [in_original(grid, geometry, offset) for grid in grids]
        partner = int(self.partners[row])
        if partner < 0:
            return []
        return [in_original(for_it(self.saliency.signed[partner]), geometry, offset)]


def centre(geometry: Geometry) -> Map:
    """Return a normal distribution over the middle of the original image, (height, width)."""
    sides = (geometry.height, geometry.width)
    down, across = (
        np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / CENTRE_WIDTH) ** 2) for n in sides
    )
    return np.asarray(np.outer(down, across), np.float32)


def partners(
    targets: Sequence[str], patients: Sequence[str], blank: Sequence[bool], seed: int
) -> NDArray[np.int64]:
    """Give each map another patient's map of the same target, drawn once.

    Parameters
    ----------
    targets, patients, blank : (m,)
        Of the maps; blank ones are nobody's partner.
    seed
        Of the draw.

    Returns
    -------
    (m,) rows; -1 where no other patient has a map of this target that is one.
    """
    rng = np.random.default_rng(seed)
    names, people = np.asarray(targets), np.asarray(patients)
    able = ~np.asarray(blank, dtype=bool)
    found = np.full(len(names), -1, np.int64)
    for row in range(len(names)):
        others = np.flatnonzero(able & (names == names[row]) & (people != people[row]))
        if others.size:
            found[row] = rng.choice(others)
    return found
