"""Line integrals of attenuation: what is left of the rays when they reach the film."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hilum.phantom.anatomy import Atlas, Field
from hilum.phantom.warp import Warp


@dataclass(frozen=True)
class Paths:
    """Line integrals at the film, each ``(size, size)``, in cm of water.

    Parameters
    ----------
    tissue
        Everything but bone and metal.
    bone
        What bone adds.
    planes
        ``(size, size, n)``: the other fields that were asked for (lungs, heart, lesions, metal).
    """

    tissue: Field
    bone: Field
    planes: Field


def project(
    atlas: Atlas, warp: Warp, size: int, tissue: Field, planes: Sequence[Field] = ()
) -> Paths:
    """Sum attenuation along the rays.

    Parameters
    ----------
    tissue
        Attenuation without bone in the atlas's frame, with whatever was planted, ``(ny, nz, nx)``.
    planes
        More fields that move with the soft tissue.
    """
    channels = np.stack([tissue, *planes], axis=-1)  # (ny, nz, nx, n)
    soft = np.zeros((size, size, channels.shape[-1]), dtype=np.float32)
    bone = np.zeros((size, size), dtype=np.float32)
    girdle_slabs = set(np.nonzero(atlas.girdle.max(axis=(1, 2)))[0].tolist())
    for index in range(atlas.shape[0]):
        maps = warp.slab(index)
        for first in range(0, channels.shape[-1], 4):  # cv2.remap takes up to four channels
            some = np.s_[..., first : first + 4]
            plane = np.ascontiguousarray(channels[index][some])
            soft[some] += _sample(plane, maps.soft).reshape(soft[some].shape)
        bone += _sample(atlas.cage[index], maps.cage)
        if index in girdle_slabs:
            bone += _sample(atlas.girdle[index], maps.girdle, cv2.BORDER_CONSTANT)
    # Rays far from the middle cross the slabs at an angle.
    slope = (warp.across**2 + warp.up**2) / warp.pose.distance**2
    path = np.sqrt(1.0 + slope) * np.float32(warp.path() / 10.0)
    soft *= path[..., None]
    return Paths(soft[..., 0], bone * path, soft[..., 1:])


def _sample(plane: Field, at: tuple[Field, Field], border: int = cv2.BORDER_REPLICATE) -> Field:
    """Read one slab; outside the CT it goes on as it ends (legs below, arms beside)."""
    return np.asarray(cv2.remap(plane, at[0], at[1], cv2.INTER_LINEAR, borderMode=border))
