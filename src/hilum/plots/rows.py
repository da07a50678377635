"""What figures made of rows share: named rows, a point and an interval in each, words beside."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import GREY, INK, PALE, SIZE, blank, numbers, ticks

DASHED: Final[dict[str, Any]] = {"color": GREY, "linewidth": 1.2, "linestyle": (0, (4, 3))}
"""A line that marks a value: chance, no difference, all images."""

_NAME_WIDTH: Final = 18  # letters; "Enlarged Cardiomediastinum" takes two lines
_LINE: Final = 0.185  # inches: the height of a line of a name
_LETTER: Final = 0.6 * (SIZE - 1)  # points: about the width of a digit


def named_rows(
    names: Sequence[str], *, row: float, last_is_mean: bool = False
) -> tuple[Figure, Axes]:
    """Return a figure with a row for each name, the first on top, `row` inches high.

    Rows are higher where a name takes more lines than fit.
    """
    written = [textwrap.fill(name, _NAME_WIDTH) for name in names]
    row = max([row, *(_LINE * (1 + name.count("\n")) for name in written)])
    figure, (axes,) = blank(0.95 + row * len(names))
    set_rows(axes, written)
    if last_is_mean:
        axes.axhline(len(names) - 1.5, color=PALE, linewidth=1)
        axes.get_yticklabels()[-1].set_fontweight("bold")
    return figure, axes


def set_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of axes, from the top."""
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(ticks(5))


def draw_rows(
    axes: Axes, places: ArrayLike, measures: Sequence[Measure], style: Mapping[str, Any]
) -> None:
    """Draw a point and its interval at each place down the axes; nothing where undefined."""
    low, high = (numbers([getattr(m, end) for m in measures]) for end in ("low", "high"))
    axes.hlines(places, low, high, color=style["color"], linewidth=2)
    axes.plot(numbers([m.estimate for m in measures]), places, **{"linestyle": "", **style})


def undefined(axes: Axes, rows: Sequence[int]) -> None:
    """Write in rows that hold nothing that it is undefined."""
    for row in rows:
        axes.annotate("undefined", (0.99, row), xycoords=("axes fraction", "data"),
                      ha="right", va="center_baseline", fontsize=SIZE - 1, color=GREY)  # fmt: skip


def beside(axes: Axes, columns: Mapping[str, Sequence[str]]) -> None:
    """Write columns of text at the right of the axes: each its title, then a cell per row."""
    right = 4.0  # points from the axes' right end
    for title, cells in columns.items():
        right += 9 + _LETTER * max(len(text) for text in (title, *cells))
        style: dict[str, Any] = {
            "xytext": (right, 0), "textcoords": "offset points", "ha": "right",
            "va": "center_baseline", "fontsize": SIZE - 1, "annotation_clip": False,
        }  # fmt: skip
        for row, cell in enumerate(cells):
            axes.annotate(cell, (1, row), xycoords=("axes fraction", "data"), color=INK, **style)
        style |= {"xytext": (right, 3), "va": "bottom"}
        axes.annotate(title, (1, 1), xycoords="axes fraction", color=GREY, **style)
