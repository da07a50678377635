"""Disease in the atlas: each finding changes the attenuation of lung voxels, in 3-D.

A planter takes the atlas and a lesion, and says how much of each voxel is
replaced (`share`) by what (`density`, water = 1). The line integral, the film and the mask
follow from that. What moves organs instead of filling them (an enlarged heart, lost volume, the
pressure of trapped air) is `displacement`.

Severity runs from 0, hardly visible, to 1, severe. Sizes follow how the findings are described:
nodules below 30 mm, masses above (Fleischner Society glossary, Radiology 246:697-722, 2008).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.phantom.anatomy import LOBES, Atlas, Field
from hilum.phantom.noise import smooth_field


@dataclass(frozen=True)
class Lesion:
    """One finding of one patient as it is at one visit.

    Parameters
    ----------
    finding
        Name as in `hilum.findings`.
    severity
        0 to 1.
    side
        ``"left"``, ``"right"`` or ``"both"``.
    place
        Where or of what kind, in a report's words: a lobe, ``"basal"``, ``"layering"``.
    seed
        Fixes place and outline, so that a lesion that persists stays where it is.
    """

    finding: str
    severity: float
    side: str = "both"
    place: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Planting:
    """What a lesion does to the voxels: ``tissue + share * (density - tissue)``.

    `mark` is the part that counts for the mask, 0 to 1; where it is None, `share`.
    """

    share: Field
    density: Field | float
    mark: Field | None = None


Planter = Callable[[Atlas, Lesion], Planting]


def _ramp(distance: Field, soft: float) -> Field:
    """Return 0 well below zero, 1 well above it, with an edge `soft` mm wide."""
    return np.asarray(np.clip(0.5 + distance / (2.0 * soft), 0.0, 1.0), dtype=np.float32)


def _sides(atlas: Atlas, lesion: Lesion) -> Field:
    """Return the lung voxels of the sides that the lesion is on."""
    if lesion.side == "both":
        return atlas.lungs
    return atlas.lungs * atlas.side(lesion.side == "left")


def effusion(atlas: Atlas, lesion: Lesion) -> Planting:
    """Pour fluid on the base, with a meniscus, or in a lying patient along the back."""
    y, z, _ = atlas.axes()
    s = lesion.severity
    fluid: Field | float = 0.0
    meniscus = -80.0 + 92.0 * s
    if lesion.place == "layering":
        fluid = _ramp(-62.0 + 62.0 * s - y, 10.0) * _ramp(-5.0 - z + 90.0 * s, 35.0)
        meniscus = -84.0 + 30.0 * s
    level = meniscus + (14.0 + 46.0 * s) * np.exp(-atlas.wall / 24.0)  # climbs along the wall
    fluid = np.maximum(fluid, _ramp(level - z, 4.0))
    return Planting(fluid * _sides(atlas, lesion), 1.0)


def pneumothorax(atlas: Atlas, lesion: Lesion) -> Planting:
    """Let air between the chest wall and a lung that shrinks towards its hilum."""
    _, z, _ = atlas.axes()
    side = _sides(atlas, lesion)
    apical = 0.3 + 0.7 * np.clip((z + 50.0) / 150.0, 0.0, 1.0)
    gap = np.float32(16.0 + 76.0 * lesion.severity) * apical.astype(np.float32)  # mm
    beyond = _ramp(gap - atlas.wall, 1.5) * side
    edge = np.exp(-(((atlas.wall - gap) / 2.2) ** 2)) * side * 0.5  # the visceral pleura
    squeezed = (1.0 - beyond) * side * np.float32(0.18 + 0.45 * lesion.severity)
    share = np.maximum(beyond, np.maximum(edge * (1.0 - beyond), squeezed))
    density = np.where(beyond > 0.5, 0.0, 0.9).astype(np.float32)
    return Planting(share.astype(np.float32), density, mark=beyond)


def consolidation(atlas: Atlas, lesion: Lesion) -> Planting:
    """Fill a lobe or a part of it, ragged but stopped by the fissures."""
    rng = np.random.default_rng(lesion.seed)
    lobe = atlas.lobe == LOBES[lesion.place]
    ragged = smooth_field(rng, atlas.shape, (5, 10, 10)) * 9.0
    patchy = smooth_field(rng, atlas.shape, (6, 18, 18))
    centre = _inside(atlas, rng, lobe & _open(atlas))
    radius = 40.0 + 56.0 * lesion.severity
    near = _ramp(radius - _distance(atlas, centre) + ragged, 9.0)
    filled = np.clip(0.70 + 0.27 * lesion.severity + 0.12 * patchy, 0.0, 0.97)
    return Planting((near * filled * lobe).astype(np.float32), 1.0)


def edema(atlas: Atlas, lesion: Lesion) -> Planting:
    """Soak the lungs around both hila, fading outwards, with shadows of thickened septa."""
    rng = np.random.default_rng(lesion.seed)
    _, z, x = atlas.axes()
    reach = 58.0 + 42.0 * lesion.severity
    right, left = (_distance(atlas, hilum) for hilum in atlas.hila)
    gap = np.where(x < 0, right, left)
    cloud = np.exp(-((gap / reach) ** 2)) + 0.25 * _ramp(-20.0 - z, 60.0)
    coarse = 1.0 + 0.35 * smooth_field(rng, atlas.shape, (5, 9, 9))
    septa = 1.0 + 0.55 * smooth_field(rng, atlas.shape, (12, 44, 40))
    amount = np.float32(0.07 + 0.33 * lesion.severity)
    share = np.clip(cloud * coarse * septa * amount, 0.0, 0.9) * atlas.lungs
    return Planting(share.astype(np.float32), 1.0)


def atelectasis(atlas: Atlas, lesion: Lesion) -> Planting:
    """Empty lung of air: plates across the base, or a lobe shrunk to the mediastinum."""
    rng = np.random.default_rng(lesion.seed)
    if lesion.place == "basal":
        return Planting(_plates(atlas, rng, lesion) * np.float32(0.45 + 0.3 * lesion.severity), 1.0)
    lobe = (atlas.lobe == LOBES[lesion.place]).astype(np.float32)
    side = 1 if lesion.side == "left" else 0
    _, z, x = atlas.axes()
    inward = np.abs(x - atlas.hila[side, 2] * 0.4)
    high = "upper" in lesion.place
    beyond = (z - 40.0) if high else (-18.0 - z)  # the fissure moves towards apex or base
    reach = 34.0 + 40.0 * lesion.severity
    wedge = _ramp(reach + 0.55 * np.clip(beyond, -60.0, 60.0) - inward, 5.0)
    share = wedge * lobe * np.float32(0.45 + 0.45 * lesion.severity)
    return Planting(share.astype(np.float32), 1.0)


def _plates(atlas: Atlas, rng: np.random.Generator, lesion: Lesion) -> Field:
    """Return one to four nearly horizontal plates above the diaphragm."""
    y, z, x = atlas.axes()
    sides = (-1, 1) if lesion.side == "both" else ((1,) if lesion.side == "left" else (-1,))
    share = np.zeros(atlas.shape, dtype=np.float32)
    for side in sides:
        for _ in range(1 + int(rng.integers(2)) + int(lesion.severity > 0.6)):
            at = np.array([rng.uniform(-35, 45), rng.uniform(-48, 2), side * rng.uniform(48, 92)])
            slope = side * rng.uniform(-0.15, 0.55)
            tilt = rng.uniform(-0.12, 0.12)
            height = z - at[1] - slope * (x - at[2]) - tilt * (y - at[0])
            half = 2.4 + 4.2 * lesion.severity
            wide = 26.0 + 26.0 * lesion.severity
            flat = np.sqrt((x - at[2]) ** 2 + ((y - at[0]) * 0.8) ** 2)
            plate = _ramp(half - np.abs(height), 1.6) * _ramp(wide - flat, 8.0)
            share = np.maximum(share, plate)
    return share * atlas.lungs


def nodule(atlas: Atlas, lesion: Lesion) -> Planting:
    """Plant one to four round opacities below 30 mm."""
    rng = np.random.default_rng(lesion.seed)
    side = _sides(atlas, lesion) > 0.5
    share = np.zeros(atlas.shape, dtype=np.float32)
    for _ in range(int(rng.choice(5, p=[0.25, 0.25, 0.2, 0.2, 0.1]) + 1)):
        radius = (9.5 + 5.0 * lesion.severity) * rng.uniform(0.85, 1.03)
        gap = _distance(atlas, _inside(atlas, rng, side & _open(atlas)))
        share = np.maximum(share, _ramp(radius - gap, 2.0))
    return Planting(share * atlas.lungs, 2.2)  # most that are seen at this size hold calcium


def mass(atlas: Atlas, lesion: Lesion) -> Planting:
    """Plant a lobulated opacity above 30 mm."""
    rng = np.random.default_rng(lesion.seed)
    centre = _inside(atlas, rng, (_sides(atlas, lesion) > 0.5) & _open(atlas))
    lobulated = smooth_field(rng, atlas.shape, (7, 14, 14)) * 3.5
    radius = 21.0 + 24.0 * lesion.severity
    share = _ramp(radius - _distance(atlas, centre) + lobulated, 2.5) * atlas.lungs
    return Planting(share, 1.25)


def _open(atlas: Atlas) -> NDArray[np.bool_]:
    """Return the part of the chest where a film sees lung, not heart or diaphragm, in front."""
    _, z, x = atlas.axes()
    return np.asarray((z > -30.0) & (np.abs(x - 8.0) > 48.0))


def _inside(
    atlas: Atlas, rng: np.random.Generator, where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Draw a point, mm, among voxels; nearly the same point on a finer grid."""
    low, high = np.array([[-70.0, -85.0, -112.0], [80.0, 112.0, 135.0]])
    points = rng.uniform(low, high, (5000, 3))  # the smallest lobe holds 2 % of the box
    index = tuple(np.round((points - atlas.origin) / atlas.step).astype(int).T)
    allowed = np.flatnonzero(where[index] & (atlas.wall[index] > 9.0))
    assert len(allowed), "every lobe is wide enough to plant in"
    return np.asarray(points[allowed[0]])


def _distance(atlas: Atlas, point: NDArray[np.float64]) -> Field:
    y, z, x = atlas.axes()
    squared = (y - point[0]) ** 2 + (z - point[1]) ** 2 + (x - point[2]) ** 2
    return np.asarray(np.sqrt(squared), dtype=np.float32)


PLANTERS: Final[dict[str, Planter]] = {
    "Pleural Effusion": effusion,
    "Pneumothorax": pneumothorax,
    "Consolidation": consolidation,
    "Edema": edema,
    "Atelectasis": atelectasis,
    "Nodule": nodule,
    "Mass": mass,
}


def plant(atlas: Atlas, tissue: Field, lesion: Lesion) -> tuple[Field, Field]:
    """Plant a lesion.

    Returns
    -------
    tissue
        The attenuation with the lesion; the input is left as it was.
    change
        ``|new - old|`` of the part that counts for the mask.
    """
    planting = PLANTERS[lesion.finding](atlas, lesion)
    delta = planting.share * (planting.density - tissue)
    marked = np.abs(delta) if planting.mark is None else np.abs(planting.mark * tissue)
    return (tissue + delta).astype(np.float32), marked.astype(np.float32)


@dataclass(frozen=True)
class Displacement:
    """How a patient's lesions move organs: scale of the heart; rise of the diaphragms and shift
    of the mediastinum to the left, mm (`warp.Pose.heart` and `warp.Pose.pull`).
    """  # noqa: D205

    heart: float
    right_dome: float
    left_dome: float
    shift: float


def displacement(lesions: tuple[Lesion, ...]) -> Displacement:
    """Add up what the lesions push and pull."""
    heart, domes, shift = 1.0, [0.0, 0.0], 0.0
    for lesion in lesions:
        towards = {"left": 1.0, "right": -1.0}.get(lesion.side, 0.0)
        s = lesion.severity
        if lesion.finding == "Cardiomegaly":
            heart = 1.22 + 0.50 * s
        rise = 0.0
        if lesion.finding == "Atelectasis":
            rise = (4.0 + 8.0 * s) if lesion.place == "basal" else (8.0 + 18.0 * s)
            shift += towards * (0.0 if lesion.place == "basal" else 4.0 + 12.0 * s)
        if lesion.finding == "Pneumothorax":
            rise = -8.0 * s
            shift -= towards * 10.0 * max(s - 0.5, 0.0)
        if lesion.finding == "Pleural Effusion":
            shift -= towards * 12.0 * max(s - 0.5, 0.0)
        domes[0] += rise * (lesion.side != "left")
        domes[1] += rise * (lesion.side != "right")
    return Displacement(heart, domes[0], domes[1], shift)
