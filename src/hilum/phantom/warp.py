"""Where each point of a film looks in the atlas: a patient's shape, then a visit's pose.

All maps go backwards, from the film to the atlas, one slab of constant depth at a time. For one
slab, perspective is a scaling, a turned patient a shift across and a tilted one a shift upwards
(the shear-warp factorisation of Lacroute and Levoy, SIGGRAPH 1994), so a slab needs a single
2-D resampling. A displacement in depth would not change where anything lands; all it changes
is the length of the path, which is `Shape.depth`.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hilum.phantom.anatomy import Atlas, Field
from hilum.phantom.noise import smooth_field

LAYERS: Final = 4  # depths at which the smooth displacement is drawn; linear between
_FRAME: Final = (260.0, 230.0)  # half height and half width, mm, of the frame the warp fills
_HEART_AT: Final = (28.0, -20.0, 22.0)  # y, z, x: right of the middle, so that it grows leftwards
_HEART_R: Final = (78.0, 98.0)  # vertical and horizontal reach of its growth, mm
_DOME_Z, _APEX_Z = -45.0, 118.0


@dataclass(frozen=True)
class Shape:
    """What makes a patient's chest that patient's, at every visit.

    Parameters
    ----------
    width, height, depth
        Scales against the atlas.
    taper
        Relative change of width per metre of height; positive is wide at the top.
    bend, lean
        Sideways curve of the trunk, mm, and its lean, mm per mm.
    girth
        Width of what lies outside the rib cage against the atlas.
    wander
        ``(LAYERS, 2, 9, 9)``: smooth displacement (up, across), mm.
    domes
        Height of the right and left diaphragm against the atlas, mm.
    heart
        Size of the heart against the atlas; its enlargement by disease multiplies this.
    heart_tall
        Share of the heart's growth that is vertical, 0 to 1.
    hila_shift
        Sideways shift of the mediastinum, mm.
    rib_slope, rib_shift, rib_gap
        mm of drop per mm of distance from the midline, mm of shift, and scale of the spacing of
        the rib cage against the lungs behind it.
    girdle
        Scapulae and clavicles: shift outwards, upwards, mm.
    """

    width: float
    height: float
    depth: float
    taper: float
    bend: float
    lean: float
    girth: float
    wander: Field
    domes: tuple[float, float]
    heart: float
    heart_tall: float
    hila_shift: float
    rib_slope: float
    rib_shift: float
    rib_gap: float
    girdle: tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """How the patient stands before the detector at one visit.

    Parameters
    ----------
    frontal
        ``"PA"`` or ``"AP"``: which side the rays enter.
    distance
        Source to patient's middle, mm.
    field, offset
        Side of the square film at the patient's middle, and its shift (up, across), mm.
    turn, tilt, roll
        Rotation about the long axis, forward tilt, rotation in the film's plane, radians.
    lift
        How far poor inspiration raises the right and the left diaphragm, mm.
    heart
        Enlargement of the heart by disease at this visit.
    pull
        Volume loss: rise of the right and left diaphragm, mm, and shift of the mediastinum
        to the patient's left, mm.
    arms
        Shift of the shoulder girdle outwards and upwards at this visit, mm.
    """

    frontal: str
    distance: float
    field: float
    offset: tuple[float, float]
    turn: float
    tilt: float
    roll: float
    lift: tuple[float, float]
    heart: float = 1.0
    pull: tuple[float, float, float] = (0.0, 0.0, 0.0)
    arms: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Maps:
    """Atlas columns and rows for one slab, each ``(size, size)`` float32, as `cv2.remap` asks."""

    soft: tuple[Field, Field]
    cage: tuple[Field, Field]
    girdle: tuple[Field, Field]


def draw_wander(rng: np.random.Generator, amount: float) -> Field:
    """Draw a smooth displacement of about `amount` mm, its last cells the finest detail."""
    coarse = smooth_field(rng, (LAYERS, 2, 9, 9), (1, 1, 2, 2))
    fine = smooth_field(rng, (LAYERS, 2, 9, 9), (2, 1, 5, 5))
    return (coarse * amount + fine * 0.45 * amount).astype(np.float32)


class Warp:
    """The maps of one visit, slab by slab.

    Parameters
    ----------
    atlas, shape, pose
        See there.
    size
        Side of the film in pixels.
    """

    def __init__(self, atlas: Atlas, shape: Shape, pose: Pose, size: int) -> None:
        self.atlas, self.shape, self.pose = atlas, shape, pose
        pixel = pose.field / size
        ticks = ((np.arange(size) + 0.5) * pixel - pose.field / 2).astype(np.float32)
        across, up = ticks[None, :] + pose.offset[1], -ticks[:, None] + pose.offset[0]
        c, s = np.cos(pose.roll), np.sin(pose.roll)
        self.across = (c * across - s * up).astype(np.float32)  # (size, size) mm at y = 0
        self.up = (s * across + c * up).astype(np.float32)
        self._wander = [self._spread(layer) for layer in shape.wander]
        self._prepare()

    def _spread(self, layer: Field) -> NDArray[np.float32]:
        """Sample one layer of the displacement, ``(2, 9, 9)``, at the film's points."""
        rows = (0.5 - 0.5 * self.up / _FRAME[0]) * (layer.shape[1] - 1)
        columns = (0.5 + 0.5 * self.across / _FRAME[1]) * (layer.shape[2] - 1)
        knots = np.ascontiguousarray(layer.transpose(1, 2, 0))
        spread = cv2.remap(knots, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(spread, dtype=np.float32)

    def _prepare(self) -> None:
        """Work out the displacements that do not change with depth."""
        shape, pose = self.shape, self.pose
        left = 1.0 / (1.0 + np.exp(-self.across / 12.0))  # 1 on the patient's left
        low = np.clip((_APEX_Z - self.up) / (_APEX_Z - _DOME_Z), 0.0, 1.0)
        low = low * low * (3.0 - 2.0 * low)
        rise = [shape.domes[i] + pose.lift[i] + pose.pull[i] for i in (0, 1)]
        self._rise = low * (rise[0] * (1.0 - left) + rise[1] * left)
        middle = np.exp(-((self.across / 60.0) ** 2))
        self._shift = middle * (shape.hila_shift + pose.pull[2])
        # Poor inspiration lays the heart across: wider, while the diaphragm pushes it up.
        grow = shape.heart * pose.heart * (1.0 + 0.0015 * sum(pose.lift))
        self._heart = (1.0 - 1.0 / (1.0 + (grow - 1.0) * shape.heart_tall), 1.0 - 1.0 / grow)

    def path(self) -> float:
        """Return the length of a ray inside one slab, mm."""
        return float(self.atlas.step[0] * self.shape.depth)

    def slab(self, index: int) -> Maps:
        """Return where the film's points look in slab `index`."""
        pose, shape = self.pose, self.shape
        y = float(self.atlas.origin[0] + self.atlas.step[0] * index) * shape.depth
        towards = y if pose.frontal == "PA" else -y
        nearer = 1.0 + towards / pose.distance  # behind a point nearer to the source less is seen
        x = self.across * nearer + pose.turn * y
        z = self.up * nearer + pose.tilt * y
        x, z = self._sway(x, z, index)
        wide = shape.width * (1.0 + shape.taper * z / 1000.0)
        x0 = self._outer(x / wide - shape.bend * np.cos(z / 75.0) - shape.lean * z)
        z0 = z / shape.height
        rib_z = (z0 + shape.rib_slope * np.abs(x0) + shape.rib_shift) * shape.rib_gap
        out, lift = shape.girdle[0] + pose.arms[0], shape.girdle[1] + pose.arms[1]
        girdle_x = x0 - np.tanh(x0 / 30.0) * out
        soft_x, soft_z = self._organs(x0, z0, y / shape.depth)
        return Maps(
            soft=self._voxels(soft_x, soft_z),
            cage=self._voxels(x0, rib_z.astype(np.float32)),
            girdle=self._voxels(girdle_x, z0 - lift),
        )

    def _sway(self, x: Field, z: Field, index: int) -> tuple[Field, Field]:
        """Add the patient's smooth displacement at the depth of slab `index`."""
        place = index * (LAYERS - 1) / max(self.atlas.shape[0] - 1, 1)
        lower = min(int(place), LAYERS - 2)
        share = np.float32(place - lower)
        here = (1 - share) * self._wander[lower] + share * self._wander[lower + 1]
        return x + here[..., 1], z + here[..., 0]

    def _outer(self, x: Field) -> Field:
        """Stretch what lies beyond the rib cage, more than 125 mm from the midline."""
        beyond = np.maximum(np.abs(x) - 125.0, 0.0)
        shrink = np.float32(1.0 - 1.0 / self.shape.girth)
        return np.asarray(x - np.sign(x) * beyond * shrink, dtype=np.float32)

    def _organs(self, x: Field, z: Field, y: float) -> tuple[Field, Field]:
        """Move diaphragm, mediastinum and heart against the rib cage."""
        z = np.asarray(z - self._rise, dtype=np.float32)
        # Behind the heart's depth, spine and aorta keep their place.
        near = np.exp(-((max(_HEART_AT[0] - y, 0.0) / 42.0) ** 2))
        x = np.asarray(x - self._shift * np.float32(0.35 + 0.65 * near), dtype=np.float32)
        dz, dx = z - _HEART_AT[1], x - _HEART_AT[2]
        reach = (dz / _HEART_R[0]) ** 2 + (dx / _HEART_R[1]) ** 2
        pull = np.exp(-(reach**2) / 2.0) * np.float32(near)
        return x - dx * pull * self._heart[1], z - dz * pull * self._heart[0]

    def _voxels(self, x: Field, z: Field) -> tuple[Field, Field]:
        _, z_step, x_step = self.atlas.step
        _, z_origin, x_origin = self.atlas.origin
        columns = (x - x_origin) / x_step
        rows = (z - z_origin) / z_step
        return columns.astype(np.float32, copy=False), rows.astype(np.float32, copy=False)
