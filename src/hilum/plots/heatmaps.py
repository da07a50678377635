"""Heat maps over films: opaque where they are high, and the film as it is where they are low.

The colours are those of matplotlib's ``plasma``, whose lightness rises evenly with the value, so
that an edge in the picture is an edge in the map (rainbow colours draw edges where there are
none). They begin where they are bright enough not to be taken for a shadow on the film.
"""

import textwrap
from collections.abc import Sequence
from typing import Any, Final

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hilum.plots.canvas import GREY, INK, SIZE, WIDTH

Film = NDArray[np.uint8]
Heat = NDArray[np.float32]
Outline = NDArray[np.float64]
"""Corners (k, 2) x, y of a closed line, in pixels from the top left edge."""

DARKEST: Final = 0.15  # of the colours that are used
OPAQUE: Final = 0.6  # where the map is highest: the film stays visible
RISE: Final = 1.5  # opacity goes with this power of the value: low values leave no veil on bones
LINE: Final = (86, 180, 233)  # Okabe and Ito's sky blue: in no part of the colours of the map


def colours() -> ListedColormap:
    """Return the colours of a map, from its lowest to its highest value."""
    steps = mpl.colormaps["plasma"](np.linspace(DARKEST, 1, 256))
    return ListedColormap(steps, name="heat")


def overlay(film: Film, heat: Heat) -> Film:
    """Lay a map over a film.

    Parameters
    ----------
    film : (height, width) or (height, width, 3)
        Grey or colour.
    heat : (height, width)
        0 to 1; opacity rises with it, from none to `OPAQUE`.

    Returns
    -------
    (height, width, 3)
    """
    share = np.clip(heat, 0, 1)
    painted = 255 * colours()(share)[..., :3]
    opacity = (OPAQUE * share**RISE)[..., None]
    under = film if film.ndim == 3 else film[..., None]
    return np.asarray(np.round(under * (1 - opacity) + painted * opacity), np.uint8)


def outlined(picture: Film, outlines: Sequence[Outline]) -> Film:
    """Draw closed lines on a picture, (height, width) or (height, width, 3): light on dark."""
    drawn = np.stack([picture] * 3, axis=2) if picture.ndim == 2 else picture.copy()
    width = max(1, round(max(drawn.shape[:2]) / 200))
    for colour, thick in (((0, 0, 0), 3 * width), (LINE, width)):
        lines = [np.round((one - 0.5) * 16).astype(np.int32) for one in outlines]
        cv2.polylines(drawn, lines, True, colour, thick, cv2.LINE_AA, 4)
    return np.asarray(drawn, np.uint8)


def outlines_of(mask: NDArray[np.bool_]) -> list[Outline]:
    """Return the outer lines around a mask, at the edges of its pixels."""
    fine = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)  # so that pixels have corners
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [line[:, 0].astype(np.float64) / 2 + 0.25 for line in found]


def box_outline(x: float, y: float, width: float, height: float) -> Outline:
    """Return the corners of a box."""
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def heat_map(
    film: Film,
    heat: Heat,
    title: str,
    below: str,
    outlines: Sequence[Outline] = (),
    blank: str = "",
) -> Figure:
    """Draw a film beside itself with a map over it.

    Parameters
    ----------
    film : (height, width) or (height, width, 3)
        Grey or colour.
    heat : (height, width)
        0 to 1.
    title, below
        What is looked for with its score; how the map was made.
    outlines
        What is marked, drawn on both.
    blank
        Why there is no map; then the film is drawn without one, and this in its place.
    """
    height, width = film.shape[:2]
    side = WIDTH / 2 - 0.06
    tall = side * height / width
    lines = textwrap.wrap(below, 72)
    room = 0.34 + 0.19 * len(lines) + 0.5
    figure = Figure(figsize=(WIDTH, tall + room))
    total = tall + room
    figure.text(
        0.01, 1 - 0.05 / total, title, va="top", fontsize=SIZE + 1, color=INK, weight="bold"
    )
    figure.text(
        0.01, 1 - 0.32 / total, "\n".join(lines), va="top", fontsize=SIZE - 3, color=GREY
    )  # fmt: skip
    bottom, share = 0.45 / total, tall / total
    left = figure.add_axes((0.005, bottom, side / WIDTH, share))
    right = figure.add_axes((0.505 + 0.007, bottom, side / WIDTH, share))
    _show(left, outlined(film, outlines))
    _show(right, outlined(film if blank else overlay(film, heat), outlines))
    if blank:
        _say(right, blank)
    else:
        draw_scale(figure, (0.512, 0.27 / total, side / WIDTH, 0.09 / total))
    if outlines:
        figure.text(
            0.01, 0.22 / total, "Blue line: where it is marked", fontsize=SIZE - 3, color=INK
        )
    return figure


def _show(axes: Axes, picture: Film) -> None:
    axes.imshow(picture, interpolation="lanczos")
    axes.set_axis_off()


def _say(axes: Axes, text: str) -> None:
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "boxstyle": "round,pad=0.5"}
    words = "\n".join(["No map", *textwrap.wrap(text, 34)])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center",
              fontsize=SIZE - 3, color=INK, bbox=box)  # fmt: skip


def draw_scale(figure: Figure, place: tuple[float, float, float, float]) -> None:
    """Draw the colours as they are over a middle grey, with what they mean."""
    axes = figure.add_axes(place)
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (8, 1))
    axes.imshow(overlay(np.full(ramp.shape, 128, np.uint8), ramp), aspect="auto")
    axes.set_yticks([])
    axes.set_xticks([0, 127.5, 255], ["0", "share of this map's highest value", "1"])
    axes.tick_params(labelsize=SIZE - 3, length=0, pad=2, labelcolor=INK)
    axes.spines[:].set_visible(False)
    ends = axes.get_xticklabels()
    ends[0].set_horizontalalignment("left")
    ends[-1].set_horizontalalignment("right")
