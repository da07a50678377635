"""One statistic in parts of the images: by sex, age, view, site, each with its count."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import GREY, MARKERS, PALETTE, SIZE, blank, name_axes
from hilum.plots.panels import head, with_interval
from hilum.plots.rows import DASHED, beside, draw_rows, set_rows, undefined

_ROW: Final = 0.235  # inches
_LEVEL_WIDTH: Final = 18  # letters


@dataclass(frozen=True)
class SubgroupRow:
    """Images that have something in common, and a finding's statistic among them.

    Parameters
    ----------
    column, level
        What they share: ``"sex"`` and ``"F"``.
    n, positives
        Images whose label is known, and those of them that have the finding.
    measure
        The statistic.
    """

    column: str
    level: str
    n: int
    positives: int
    measure: Measure


@dataclass(frozen=True)
class SubgroupPanel:
    """One finding, or the mean: its name, the statistic of all images, and of each subgroup.

    Subgroups of one column stand together.
    """

    finding: str
    overall: Measure
    subgroups: Sequence[SubgroupRow]


def subgroups(panels: Sequence[SubgroupPanel], *, x: str = "AUROC") -> Figure:
    """Draw a row per subgroup, grouped by column; a panel per finding, one below the other.

    The dashed line and the shade are the statistic of all images and its interval; at the right
    stands how many images a row is about.

    Parameters
    ----------
    panels
        Findings, or the mean alone. All have the same horizontal axis.
    x
        The statistic.

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        raise ValueError("there is no panel to draw: give at least one finding, or the mean")
    heights = [len(_rows(panel)) for panel in panels]
    height = _ROW * sum(heights) + 0.62 * len(panels) + 0.5
    figure, grid = blank(height, len(panels), 1, heights=heights)
    for axes, panel in zip(grid, panels, strict=True):
        axes.sharex(grid[0])
        _draw(axes, panel, x)
    for axes in grid[:-1]:
        axes.tick_params(axis="x", labelbottom=False)
    name_axes(grid[-1], x, "")
    return figure


def _rows(panel: SubgroupPanel) -> list[str | SubgroupRow]:
    """Return a panel's rows: each column's name, then its levels."""
    rows: list[str | SubgroupRow] = []
    for column, levels in groupby(panel.subgroups, key=lambda one: one.column):
        rows += [column, *levels]
    return rows


def _draw(axes: Axes, panel: SubgroupPanel, x: str) -> None:
    rows = _rows(panel)
    all_images = panel.overall
    if all_images.estimate is not None:
        axes.axvline(all_images.estimate, **DASHED)
    if all_images.low is not None and all_images.high is not None:
        axes.axvspan(all_images.low, all_images.high, color=GREY, alpha=0.13, linewidth=0)
    places = [at for at, row in enumerate(rows) if isinstance(row, SubgroupRow)]
    measures = [row.measure for row in rows if isinstance(row, SubgroupRow)]
    style = {"marker": MARKERS[0], "color": PALETTE[0], "markersize": 6}
    draw_rows(axes, np.array(places), measures, style)
    undefined(axes, [at for at, m in zip(places, measures, strict=True) if m.estimate is None])
    _name_rows(axes, rows)
    columns = {
        "images": [f"{row.n:,}" if isinstance(row, SubgroupRow) else "" for row in rows],
        "positive": [f"{row.positives:,}" if isinstance(row, SubgroupRow) else "" for row in rows],
    }
    beside(axes, columns)
    head(axes, panel.finding, [(with_interval(f"all: {x}", all_images), GREY)])


def _name_rows(axes: Axes, rows: Sequence[str | SubgroupRow]) -> None:
    names = [row.level if isinstance(row, SubgroupRow) else row for row in rows]
    set_rows(axes, [_short(name) for name in names])
    axes.tick_params(axis="y", length=0, labelsize=SIZE - 1)
    for row, text in zip(rows, axes.get_yticklabels(), strict=True):
        text.set_fontweight("normal" if isinstance(row, SubgroupRow) else "bold")


def _short(name: str) -> str:
    return name if len(name) <= _LEVEL_WIDTH else f"{name[: _LEVEL_WIDTH - 1]}…"
