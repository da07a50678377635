"""Small multiples: one square panel per finding, two to a row.

Two to a row because a third would leave 110 of a phone's 390 pixels to each. A page for a desktop
gets four to a row by placing two such figures side by side, each with half of the findings.
"""

import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import FAINT, GREY, INK, PALE, SIZE, WIDTH, blank

SMALL: Final = SIZE - 1.5
"""Points: the letters in a panel and above it, but for the finding's name."""

_LINE: Final = 12.5  # points from one line above a panel to the next
_NAME_WIDTH: Final = 25  # letters above a panel of half the width


def squares(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure and `count` axes, to be made square by `finish`.

    Raises
    ------
    ValueError
        If `count` is 0.
    """
    if not count:
        raise ValueError("there is no panel to draw: give at least one finding")
    columns = min(2, count)
    rows = -(-count // columns)
    figure, grid = blank(rows * (WIDTH / columns + 0.6) + 1, rows, columns)
    for axes in grid:
        axes.grid(visible=False)
        axes.tick_params(length=0, labelsize=SMALL)
        axes.spines[:].set(visible=True, color=PALE)
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def finish(figure: Figure, grid: Sequence[Axes], entries: Sequence[Artist]) -> Figure:
    """Put a legend above the panels, two entries to a row, and make the panels square.

    The layout leaves each panel the room that the words around it do not need. It is done once
    to learn that room, and the figure made as high as square panels take. (A fixed aspect of the
    axes would be simpler, but the layout then takes the slack for room, and clips.)
    """
    figure.legend(handles=list(entries), loc="outside upper left", ncols=2, frameon=False,
                  fontsize=SIZE, labelcolor=INK, handletextpad=0.5, handlelength=1.7,
                  columnspacing=1.4, borderaxespad=0.2)  # fmt: skip
    figure.draw_without_rendering()
    box, rows = grid[0].get_window_extent(), -(-len(grid) // 2)
    figure.set_figheight(figure.get_figheight() + rows * (box.width - box.height) / figure.dpi)
    return figure


def side(count: int) -> float:
    """Return about how long a panel's side is, in points."""
    return 72 * WIDTH / min(2, count) - 38


def unit_square(grid: Sequence[Axes], x: str, y: str) -> None:
    """Let both axes of every panel run from 0 to 1; name and number the outer ones only."""
    columns = min(2, len(grid))
    for at, axes in enumerate(grid):
        lowest, leftmost = at + columns >= len(grid), at % columns == 0
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.set_xticklabels(["0", "0.5", "1"] if lowest else [])
        axes.set_yticklabels(["0", "0.5", "1"] if leftmost else [])
        axes.set_xlabel(x if lowest else "", fontsize=SIZE, color=INK)
        axes.set_ylabel(y if leftmost else "", fontsize=SIZE, color=INK)


def head(axes: Axes, name: str, lines: Sequence[tuple[str, str]]) -> None:
    """Write a finding's name above its panel, and below the name lines of text in a colour."""
    for above, (line, colour) in enumerate(reversed(lines)):
        _write(axes, line, above, color=colour, fontsize=SMALL)
    bold = {"color": INK, "fontsize": SIZE, "fontweight": "bold"}
    _write(axes, textwrap.fill(name, _NAME_WIDTH), len(lines), **bold)


def _write(axes: Axes, text: str, above: int, **style: object) -> None:
    axes.annotate(text, (0, 1), xycoords="axes fraction", xytext=(0, 5.5 + _LINE * above),
                  textcoords="offset points", va="baseline", linespacing=1.05,
                  annotation_clip=False, **style)  # type: ignore[arg-type] # fmt: skip


def cross_hairs(axes: Axes) -> None:
    """Draw the lines at one half, faintly, as one path: a grid would take a path per line."""
    axes.plot([0.5, 0.5, np.nan, 0, 1], [0, 1, np.nan, 0.5, 0.5], color=FAINT, linewidth=0.8)


def explain(axes: Axes, reason: str, height: float = 0.5) -> None:
    """Write in an empty panel why it is empty."""
    axes.text(0.5, height, textwrap.fill(f"undefined: {reason}", 24), transform=axes.transAxes,
              ha="center", va="center", fontsize=SMALL, color=GREY, linespacing=1.25)  # fmt: skip


def with_interval(name: str, measure: Measure, digits: int = 3) -> str:
    """Write ``AUROC 0.891 (0.846–0.930)``."""
    if measure.estimate is None:
        return f"{name} undefined"
    text = f"{name} {measure.estimate:.{digits}f}"
    if measure.low is None or measure.high is None:
        return text
    between = "–" if measure.low >= 0 else " to "
    return f"{text} ({measure.low:.{digits}f}{between}{measure.high:.{digits}f})"
