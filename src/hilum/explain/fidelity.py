"""How well a map points at what is there: measures of one map and one region.

All are functions of arrays in one frame. A map is 0 or above; one that is 0 everywhere has found
nothing, and scores 0 in each: to leave it out would favour a method that is often blank.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

THRESHOLDS: Final = tuple(round(0.1 * n, 1) for n in range(1, 10))
"""Shares of a map's highest value."""

MEASURED: Final = ("pointing", "pointing_near", "energy", *(f"iou@{t:g}" for t in THRESHOLDS))
"""What `measure_map` gives, in order."""


def measure_map(heat: Map, region: Mask, near: float) -> Floats:
    """Return every measure of a map, in the order of `MEASURED`.

    Parameters
    ----------
    heat, region
        As `pointing`.
    near
        The tolerance of ``pointing_near``, in pixels.
    """
    first = (pointing(heat, region), pointing(heat, region, near), energy(heat, region))
    return np.array([*first, *overlaps(heat, region)])


def pointing(heat: Map, region: Mask, tolerance: float = 0.0) -> float:
    """Tell whether the highest point of a map lies in a region: the pointing game.

    Zhang et al., IJCV 126:1084-1102, 2018, arXiv:1608.00507.

    Parameters
    ----------
    heat : (height, width)
        0 or above.
    region : (height, width)
        Where the finding is.
    tolerance
        How many pixels beside the region still count (theirs: 15).

    Returns
    -------
    1 or 0; where several points are equally high, the share of them that lies there.
    """
    _check(heat, region)
    highest = heat.max()
    if highest <= 0:
        return 0.0
    near = _distance(region) <= tolerance if tolerance > 0 else region
    return float(near[heat == highest].mean())


def energy(heat: Map, region: Mask) -> float:
    """Return the share of a map's sum that lies in a region.

    The energy-based pointing game of Wang et al., Score-CAM, 2020, arXiv:1910.01279. A map that
    is the same everywhere has the region's share of the image.

    Parameters as `pointing`.
    """
    _check(heat, region)
    total = float(heat.sum(dtype=np.float64))
    return float(heat[region].sum(dtype=np.float64)) / total if total > 0 else 0.0


def overlaps(heat: Map, region: Mask, thresholds: tuple[float, ...] = THRESHOLDS) -> Floats:
    """Return the intersection over union of a region and of where a map is high.

    Parameters
    ----------
    heat, region
        As `pointing`.
    thresholds : (t,)
        Shares of the map's highest value; at and above it the map is high.

    Returns
    -------
    (t,)
    """
    _check(heat, region)
    highest = heat.max()
    if highest <= 0:
        return np.zeros(len(thresholds))
    limits = np.asarray(thresholds, np.float32) * highest
    # pixels counted once, by how many limits they reach
    reached = np.searchsorted(limits, heat.ravel(), side="right")
    inside = np.bincount(reached[region.ravel()], minlength=len(limits) + 1)
    whole = np.bincount(reached, minlength=len(limits) + 1)
    both = inside[::-1].cumsum()[::-1][1:]
    high = whole[::-1].cumsum()[::-1][1:]
    found: Floats = both / (high + region.sum() - both)
    return found


def _distance(region: Mask) -> NDArray[np.float32]:
    """Return each pixel's distance to the nearest one of a region, in pixels."""
    outside = np.ascontiguousarray(~region, dtype=np.uint8)
    return np.asarray(
        cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32
    )


def _check(heat: Map, region: Mask) -> None:
    if heat.shape != region.shape or heat.ndim != 2:
        raise ValueError(
            f"a map and a region share one frame; got shapes {heat.shape} and {region.shape}"
        )
    if not region.any():
        raise ValueError("the region is empty: there is nothing to point at")
    if not heat.min() >= 0:
        raise ValueError("a map that is scored is 0 or above, and a number, everywhere")
