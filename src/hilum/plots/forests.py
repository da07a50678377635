"""Rows of points with intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import GREY, MARKERS, PALE, PALETTE, SIZE, blank, name_axes, numbers, ticks


def forest(
    findings: Sequence[str],
    series: Mapping[str, Sequence[Measure]],
    *,
    x: str = "AUROC",
    chance: float | None = 0.5,
    last_is_mean: bool = False,
) -> Figure:
    """Draw one row per finding, with a point and an interval per series.

    Parameters
    ----------
    findings
        Row names, first on top.
    series
        Measures in the order of `findings`, by name; one to six.
    x
        The statistic.
    chance
        Where a line marks a guess, or None.
    last_is_mean
        Whether the last row sums up the others; it is then set apart.
    """
    figure, (axes,) = blank(0.95 + 0.14 * (1 + len(series)) * len(findings))
    rows = np.arange(len(findings), dtype=np.float64)
    for at, (name, measures) in enumerate(series.items()):
        place = rows + 0.22 * (at - (len(series) - 1) / 2)
        estimate = numbers([m.estimate for m in measures])
        low, high = (numbers([getattr(m, end) for m in measures]) for end in ("low", "high"))
        axes.hlines(place, low, high, color=PALETTE[at], linewidth=2)
        axes.plot(estimate, place, MARKERS[at], color=PALETTE[at], markersize=6, label=name)
    by_finding = list(zip(*series.values(), strict=True))
    for row in np.flatnonzero([all(m.estimate is None for m in row) for row in by_finding]):
        axes.annotate("undefined", (0.99, row), xycoords=("axes fraction", "data"),
                      ha="right", va="center", fontsize=SIZE - 1, color=GREY)  # fmt: skip
    if chance is not None:
        axes.axvline(chance, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_yticks(rows, [name.replace("Enlarged ", "Enlarged\n") for name in findings])
    axes.set_ylim(len(findings) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    if last_is_mean:
        axes.axhline(len(findings) - 1.5, color=PALE, linewidth=1)
        axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.xaxis.set_major_locator(ticks(5))
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=SIZE,
                  labelcolor="linecolor", handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    name_axes(axes, x, "")
    return figure
