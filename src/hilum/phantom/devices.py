"""Support devices: lines, tubes, wires and generators as curves of metal in the atlas.

Their attenuation is a field of its own, in cm of water per cm of path, so that a film sees them
through the same warp and projection as the anatomy around them.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.phantom.anatomy import Atlas, Field
from hilum.phantom.lesions import Lesion
from hilum.phantom.texture import splat

Curve = tuple[Sequence[tuple[float, float, float]], float]
"""Points (y, z, x) in mm to run through, and the metal's water-equivalent cross-section, mm²."""

Drawer = Callable[[np.random.Generator, float], list[Curve]]
"""Takes the side (-1 the patient's right, 1 left); returns curves."""

_CAVA: Final = (12.0, -22.0)  # y, x of the superior vena cava


def _tube(rng: np.random.Generator, _side: float) -> list[Curve]:
    """Draw an endotracheal tube, its tip above the carina."""
    tip, x = rng.uniform(45, 85), rng.normal(0, 2)
    return [([(10, 185, x), (2, 120, x + rng.normal(0, 2)), (-2, tip, x)], 26.0)]


def _feeding(rng: np.random.Generator, _side: float) -> list[Curve]:
    """Draw an enteric tube along the oesophagus into the stomach."""
    end = (20, rng.uniform(-125, -95), rng.uniform(45, 85))
    return [([(0, 185, 6), (-20, 90, 6), (-22, 0, 10), (-5, -70, 22), end], 16.0)]


def _central(rng: np.random.Generator, side: float) -> list[Curve]:
    """Draw a central venous catheter from the neck or below the clavicle."""
    tip = (_CAVA[0], rng.uniform(5, 60), _CAVA[1] + rng.normal(0, 3))
    if rng.random() < 0.6:
        entry = [(20, 185, side * 42), (15, 125, side * 32)]
    else:
        entry = [(70, 75, side * 105), (45, 112, side * 62)]
    return [([*entry, (14, 92, -14 + side * 6), tip], 14.0)]


def _peripheral(rng: np.random.Generator, side: float) -> list[Curve]:
    """Draw a catheter from the arm."""
    tip = (_CAVA[0], rng.uniform(0, 50), _CAVA[1])
    way = [(10, 20, side * 185), (15, 85, side * 130), (25, 112, side * 70), (14, 95, -12)]
    return [([*way, tip], 12.0)]


def _pacemaker(rng: np.random.Generator, side: float) -> list[Curve]:
    """Draw a generator below the clavicle, one or two leads into the right heart."""
    z, x = rng.uniform(72, 98), side * rng.uniform(78, 100)
    curves: list[Curve] = []
    for row in np.linspace(-19, 19, 17):  # the can, drawn as a stack of thick strokes
        half = float(np.sqrt(max(22.0**2 - row**2, 0.0)))
        curves.append(([(88, z + row, x - half), (88, z + row, x + half)], 24.0))
    apex = (42, rng.uniform(-42, -22), rng.uniform(38, 62))
    way = [(80, z + 20, x), (40, 112, side * 55), (14, 85, -16), (14, 20, -24)]
    curves.append(([*way, (30, -25, 8), apex], 15.0))
    if rng.random() < 0.6:
        curves.append(([*way, (40, -8, -30), (50, 14, -22)], 15.0))
    return curves


def _drain(rng: np.random.Generator, side: float) -> list[Curve]:
    """Draw a chest tube from the side to the apex."""
    x = 1.0 if side > 0 else -1.0
    way = [(20, -45, x * 190), (10, -15, x * 128), (0, 30, x * 92)]
    return [([*way, (-5, rng.uniform(60, 105), x * rng.uniform(52, 70))], 26.0)]


def _wires(rng: np.random.Generator, _side: float) -> list[Curve]:
    """Draw sternal wires after heart surgery."""
    curves: list[Curve] = []
    for z in np.linspace(72, -20, int(rng.integers(5, 8))):
        x, w, h = rng.normal(0, 2), rng.uniform(6, 9), rng.uniform(3, 6)
        loop = [(88, z, x - w), (92, z + h, x), (88, z, x + w), (84, z - h, x), (88, z, x - w)]
        curves.append((loop, 13.0))
    return curves


DEVICES: Final[dict[str, Drawer]] = {
    "endotracheal tube": _tube,
    "enteric tube": _feeding,
    "central venous catheter": _central,
    "PICC": _peripheral,
    "pacemaker": _pacemaker,
    "chest tube": _drain,
    "sternotomy wires": _wires,
}


def draw_devices(atlas: Atlas, lesion: Lesion) -> Field:
    """Return the metal of the devices named in `lesion.place` (separated by ``", "``).

    Severity makes the same devices more opaque.
    """
    rng = np.random.default_rng(lesion.seed)
    metal = np.zeros(atlas.shape, dtype=np.float32)
    for name in lesion.place.split(", "):
        side = {"left": 1.0, "right": -1.0}.get(lesion.side) or float(rng.choice([-1.0, 1.0]))
        curves = DEVICES[name](rng, side)
        points, volumes = zip(*(_sample(curve) for curve in curves), strict=True)
        metal += splat(atlas, np.concatenate(points), np.concatenate(volumes))
    return metal * np.float32(2.0 + 2.2 * lesion.severity)


def _sample(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points every mm along a smooth curve, and the volume at each, mm³."""
    from scipy.interpolate import PchipInterpolator

    knots = np.asarray(curve[0], dtype=np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    count = max(int(along[-1]), 2)
    at = np.linspace(0.0, along[-1], count)
    return PchipInterpolator(along, knots)(at), np.full(count, curve[1] * along[-1] / count)
