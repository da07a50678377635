"""What all figures share: size, colours, axes, and the marks that mean the same everywhere."""

import io
from collections.abc import Sequence
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
INK: Final = "#1b2733"
GREY: Final = "#7a8793"
PALE: Final = "#c9d1d8"
FAINT: Final = "#e9edf0"

WIDTH: Final = 5.0  # inches
SIZE: Final = 11  # points


def blank(
    height: float, rows: int = 1, columns: int = 1, *, heights: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `WIDTH` × `height` inches and its axes, row by row.

    `heights` are the rows' shares of the height; equal by default.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    return figure, [dress(axes) for axes in grid.ravel()]


def dress(axes: Axes) -> Axes:
    """Give axes the house style; return them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(labelsize=SIZE, color=PALE, labelcolor=INK)
    axes.grid(visible=True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def ticks(most: int, *, integer: bool = False) -> MaxNLocator:
    """Return a locator of at most so many steps, at round numbers."""
    return MaxNLocator(most, integer=integer, steps=[1, 2, 5, 10])


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Write beside the axes what they show."""
    axes.set_xlabel(x, fontsize=SIZE, color=INK)
    axes.set_ylabel(y, fontsize=SIZE, color=INK)


def level(axes: Axes, text: str, value: float, *, at_right: bool = False) -> None:
    """Draw a dashed line across the axes and write on it what it is."""
    axes.axhline(value, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.annotate(
        text,
        (1 if at_right else 0, value),
        xycoords=("axes fraction", "data"),
        xytext=(0 if at_right else 3, 3),
        textcoords="offset points",
        ha="right" if at_right else "left",
        fontsize=SIZE - 1,
        color=GREY,
    )


def as_svg(figure: Figure) -> bytes:
    """Return a figure as an SVG file, the same bytes for the same figure."""
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "hilum"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return numbers to draw, NaN (which draws nothing) for what is undefined."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
