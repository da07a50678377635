"""From line integrals to a film: rays, scatter, quanta, sharpness, collimation, window, marker."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from hilum.phantom.anatomy import Field
from hilum.phantom.projection import Paths

MU_WATER: Final = 0.19
"""Attenuation of water per cm near 60 keV, the mean of a 110 kVp beam."""

_MU_METAL: Final = 0.6


@dataclass(frozen=True)
class Exposure:
    """How one film was taken and printed.

    Parameters
    ----------
    quanta
        Rays per pixel in air, in units of a 128-pixel film's; what sets the noise.
    bone
        How much more bone counts than in the CT; softer rays show more bone.
    scatter
        Scattered against primary rays in air-free parts, 0 with a perfect grid.
    blur
        Unsharpness, mm at the patient.
    detail
        How much structure below some 5 % of the film's width is raised.
    curve
        Slope of the film's characteristic curve in the middle; 1 is straight.
    window
        Percentiles of the signal that become the darkest lung and white.
    floor
        How far above black the darkest lung is printed, as a share of the window.
    shutters
        Collimator blades: share of the film each covers (top, bottom, left, right).
    marker
        Burnt-in text and its place (row, column, height) as shares of the film; text may be "".
    """

    quanta: float
    bone: float
    scatter: float
    blur: float
    detail: float
    curve: float
    window: tuple[float, float]
    floor: float
    shutters: tuple[float, float, float, float]
    marker: tuple[str, float, float, float]


def expose(
    paths: Paths, metal: Field, exposure: Exposure, pixel: float, rng: np.random.Generator
) -> Field:
    """Return the film's optical signal, 0 (black) to 1 (white), ``(size, size)``.

    Parameters
    ----------
    paths
        Line integrals, cm of water.
    metal
        Line integral of devices.
    pixel
        Side of a pixel at the patient, mm.
    rng
        Draws the quantum noise.
    """
    depth = MU_WATER * (paths.tissue + exposure.bone * paths.bone) + _MU_METAL * metal
    primary = np.exp(-depth)
    size = depth.shape[0]
    spread = cv2.GaussianBlur(primary, (0, 0), size * 0.09, borderType=cv2.BORDER_REFLECT)
    rays = primary + np.float32(exposure.scatter) * spread
    # A pixel of a larger film is smaller and catches fewer rays.
    mean = rays * (exposure.quanta * (128.0 / size) ** 2)
    caught = rng.poisson(mean).astype(np.float32) / np.float32(mean.max())
    caught = cv2.GaussianBlur(caught, (0, 0), max(exposure.blur / pixel, 0.25))
    signal = -np.log(np.maximum(caught, 1e-6))
    return _print(_enhance(signal, exposure.detail), depth, exposure)


def _enhance(signal: Field, amount: float) -> Field:
    """Raise detail against large areas, as every digital system does before it prints."""
    size = signal.shape[0]
    large = cv2.GaussianBlur(signal, (0, 0), size * 0.055, borderType=cv2.BORDER_REFLECT)
    return np.asarray(signal + np.float32(amount) * (signal - large), dtype=np.float32)


def _print(signal: Field, depth: Field, exposure: Exposure) -> Field:
    """Window the signal on the body, bend it by the film's curve, close the shutters."""
    size = signal.shape[0]
    edge = size // 10
    inner = signal[edge:-edge, edge:-edge][depth[edge:-edge, edge:-edge] > 0.3]
    dark, white = np.percentile(inner, exposure.window)
    black = dark - exposure.floor * (white - dark)
    shade = np.clip((signal - black) / max(white - black, 1e-3), 0.0, 1.0)
    bent = shade ** np.float32(exposure.curve)
    film = np.asarray(bent * (1.0 + 0.10 * (1.0 - bent)), dtype=np.float32)
    top, bottom, left, right = (round(share * size) for share in exposure.shutters)
    film[:top] = film[size - bottom :] = 0.0
    film[:, :left] = film[:, size - right :] = 0.0
    return np.clip(film, 0.0, 1.0)


def stamp(film: Field, marker: tuple[str, float, float, float]) -> None:
    """Burn the side marker into a film, in place."""
    text, row, column, height = marker
    size = film.shape[0]
    scale = height * size / 22.0  # Hershey capitals are about 22 pixels high at scale 1
    place = (round(column * size), round(row * size))
    thickness = max(1, round(size / 220))
    if text:
        # OpenCV smooths the edges of letters in 8-bit images only.
        letters = np.zeros(film.shape, dtype=np.uint8)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(letters, text, place, font, scale, 245, thickness, cv2.LINE_AA)
        np.maximum(film, letters.astype(np.float32) / 255.0, out=film)
