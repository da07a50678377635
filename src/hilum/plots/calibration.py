"""Whether scores mean what they say: observed fractions against mean scores.

A bin of images with scores near 0.3 should hold 30 % positives. Points below the diagonal are
scores that promise too much. Under each diagram a strip shows where the scores lie, because a bin
far to the right may hold a handful of images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hilum.evaluate.calibration import Reliability, why_not_probabilities
from hilum.evaluate.curves import thinned
from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import FAINT, GREY, INK, MARKERS, PALETTE, SIZE
from hilum.plots.cast import entry
from hilum.plots.panels import explain, finish, head, squares

_RANGES: Final = (0.1, 0.2, 0.5, 1.0)  # of the axes: rare findings have no scores near 1
_STRIP: Final = 0.2  # height of the strip, as a share of the axis
_BARS: Final = 25
_TOLERANCE: Final = 0.002  # of an axis: a third of a pixel
_DIAGONAL: Final[dict[str, Any]] = {"color": GREY, "linewidth": 1.1, "linestyle": (0, (3, 2.5))}


@dataclass(frozen=True, eq=False)
class ReliabilitySeries:
    """One set of scores for one finding.

    Parameters
    ----------
    name
        Such as ``"as given"`` and ``"recalibrated"``; the same in every panel.
    bins
        From `hilum.evaluate.calibration.reliability`.
    scores : (n_images,)
        Probabilities, for the strip; NaN is left out.
    ece, brier
        Expected calibration error and Brier score. Where the former is undefined, its reason
        stands in place of the diagram.

    Raises
    ------
    ValueError
        If the error is defined and the scores are not probabilities.
    """

    name: str
    bins: Reliability
    scores: ArrayLike
    ece: Measure
    brier: Measure

    def __post_init__(self) -> None:
        reason = why_not_probabilities(self.scores)
        if reason and self.ece.estimate is not None:
            raise ValueError(reason)


@dataclass(frozen=True, eq=False)
class ReliabilityPanel:
    """One finding: its name, images with a known label, positives among them, sets of scores."""

    finding: str
    n: int
    positives: int
    series: Sequence[ReliabilitySeries]


def reliability(panels: Sequence[ReliabilityPanel]) -> Figure:
    """Draw the observed fraction of positives against the mean score, a panel per finding.

    Parameters
    ----------
    panels
        One to twenty findings, each with one or two sets of scores, such as before and after
        recalibration. Each panel has its own range, the smallest of 0.1, 0.2, 0.5 and 1 that
        holds its points; bars of the strip are counts, the last holds all scores beyond.

    Raises
    ------
    ValueError
        If there is no panel, or there are more than two sets of scores.
    """
    names = list(dict.fromkeys(one.name for panel in panels for one in panel.series))
    if len(names) > 2:
        raise ValueError(
            f"a reliability diagram holds two sets of scores, got {len(names)}: "
            f"{', '.join(names)}; draw the others in a figure of their own"
        )
    figure, grid = squares(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        _draw_panel(axes, panel, names)
    _name_outer(grid)
    entries = [entry(name, _style(at)) for at, name in enumerate(names)]
    return finish(figure, grid, [*entries, entry("perfectly calibrated", _DIAGONAL)])


def _draw_panel(axes: Axes, panel: ReliabilityPanel, names: Sequence[str]) -> None:
    lines = [(f"{panel.positives:,} of {panel.n:,} positive", GREY)]
    drawn = [one for one in panel.series if one.ece.estimate is not None]
    if drawn:
        top = _range(drawn)
        _frame(axes, top)
        for one in drawn:
            _draw(axes, one, top, names)
            lines.append((_errors(one), PALETTE[names.index(one.name)]))
    else:
        reasons = [one.ece.reason for one in panel.series if one.ece.reason]
        axes.set(xticks=[], yticks=[])
        explain(axes, reasons[0] if reasons else "there are no scores")
    head(axes, panel.finding, lines)


def _errors(one: ReliabilitySeries) -> str:
    texts = []
    for name, measure in (("ECE", one.ece), ("Brier", one.brier)):
        value = "undefined" if measure.estimate is None else f"{measure.estimate:.3f}"
        texts.append(f"{name} {value}")
    return ", ".join(texts)


def _style(at: int) -> dict[str, Any]:
    return {"color": PALETTE[at], "marker": MARKERS[at], "markersize": 5, "linewidth": 1.5,
            "markeredgecolor": "white", "markeredgewidth": 0.6}  # fmt: skip


def _range(series: Sequence[ReliabilitySeries]) -> float:
    points = [part for one in series for part in (one.bins.expected, one.bins.observed)]
    most = np.concatenate(points).max(initial=0)
    return next(top for top in _RANGES if most <= top)


def _frame(axes: Axes, top: float) -> None:
    ticks = [0, top / 2, top]
    words = [f"{tick:g}" for tick in ticks]
    axes.set(xlim=(0, top), ylim=(-_STRIP * top, top))
    axes.set_xticks(ticks, words)
    axes.set_yticks(ticks, words)
    axes.plot([0, top, np.nan, 0, top], [0, 0, np.nan, top / 2, top / 2], color=FAINT, lw=0.8)
    axes.plot([top / 2, top / 2], [-_STRIP * top, top], color=FAINT, lw=0.8)
    axes.plot([0, top], [0, top], **_DIAGONAL)


def _draw(axes: Axes, one: ReliabilitySeries, top: float, names: Sequence[str]) -> None:
    at, bins = names.index(one.name), one.bins
    gap = np.full(bins.expected.size, np.nan)  # all bars as one line with gaps: fewer bytes
    across = np.stack([bins.expected, bins.expected, gap], axis=1).ravel()
    up = np.stack([bins.low, bins.high, gap], axis=1).ravel()
    axes.plot(across, up, color=PALETTE[at], linewidth=1.2)
    axes.plot(bins.expected, bins.observed, clip_on=False, zorder=3, **_style(at))
    _draw_strip(axes, one.scores, top, at, alone=len(names) == 1)


def _draw_strip(axes: Axes, scores: ArrayLike, top: float, at: int, *, alone: bool) -> None:
    """Draw where the scores lie: bars upward; two sets share the strip, the second downward."""
    known = np.asarray(scores, dtype=np.float64)
    known = np.fmin(known[~np.isnan(known)], top)
    counts, edges = np.histogram(known, _BARS, (0, top))
    room, base = (0.9, -1.0) if alone else (0.43, -0.5)  # of the strip, from the diagram down
    heights = counts / max(counts.max(), 1) * room * (1 if at == 0 else -1)
    x = np.repeat(edges / top, 2)
    y = np.concatenate([[0], np.repeat(heights, 2), [0]])
    x, y = thinned(x, y * _STRIP, _TOLERANCE)
    axes.fill(x * top, (y + base * _STRIP) * top, color=PALETTE[at], linewidth=0)


def _name_outer(grid: Sequence[Axes]) -> None:
    columns = min(2, len(grid))
    for at, axes in enumerate(grid):
        if at % columns == 0:
            axes.set_ylabel("Observed fraction", fontsize=SIZE, color=INK)
        if at + columns >= len(grid):
            axes.set_xlabel("Mean score", fontsize=SIZE, color=INK)
