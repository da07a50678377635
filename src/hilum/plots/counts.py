"""Counts: a histogram, and one bar per name."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hilum.plots.canvas import INK, PALETTE, SIZE, blank, name_axes, ticks


def histogram(values: ArrayLike, *, x: str, y: str, width: float) -> Figure:
    """Count values in bins of one width, such as ages by decade.

    Parameters
    ----------
    values
        Numbers; NaN is left out.
    x, y
        Names of the axes, with units.
    width
        Of a bin, in the unit of the values.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    low = np.floor(known.min(initial=np.inf) / width) if known.size else 0
    bins = np.arange(low, np.floor(known.max(initial=0) / width) + 2) * width
    figure, (axes,) = blank(2.6)
    axes.hist(known, bins=list(bins), color=PALETTE[0], edgecolor="white", linewidth=1)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(ticks(4, integer=True))
    name_axes(axes, x, y)
    return figure


def bars(counts: Mapping[str, float], *, x: str) -> Figure:
    """Draw one bar per name, with its number at the end.

    Parameters
    ----------
    counts
        By name, first on top.
    x
        What is counted, with its unit.
    """
    figure, (axes,) = blank(0.7 + 0.34 * len(counts))
    places = np.arange(len(counts))
    values = np.array(list(counts.values()), dtype=np.float64)
    axes.barh(places, values, color=PALETTE[0], height=0.68)
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:,.0f}", (value, place), xytext=(4, 0), va="center",
                      textcoords="offset points", fontsize=SIZE, color=INK)  # fmt: skip
    axes.set_yticks(places, list(counts))
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * max(values.max(initial=0), 1))
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    name_axes(axes, x, "")
    return figure
