"""Curves of learning: a loss along the steps, a statistic along the number of labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import MARKERS, PALETTE, SIZE, blank, level, name_axes, numbers, ticks


@dataclass(frozen=True)
class Series:
    """One line of a label-efficiency curve.

    Parameters
    ----------
    name
        Two or three words; written at the end of the line.
    labels
        How many images were labelled, ascending.
    measures
        One per number of labels.
    """

    name: str
    labels: Sequence[int]
    measures: Sequence[Measure]


def training_curve(
    steps: ArrayLike,
    losses: ArrayLike,
    *,
    chance: float | None = None,
    unit: str = "step",
    name: str = "Loss",
) -> Figure:
    """Draw a loss, pale as logged and dark as a running mean.

    Parameters
    ----------
    steps, losses : (n,)
        As logged.
    chance
        The loss of a model that has learnt nothing, drawn as a line: ln(K + 1) for MoCo.
    unit, name
        What is counted along, and what is drawn.
    """
    step, loss = np.asarray(steps, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    figure, (axes,) = blank(3.0)
    window = max(1, loss.size // 40)
    smooth = _running_mean(loss, window)
    axes.plot(step, loss, color=PALETTE[0], alpha=0.25, linewidth=1)
    axes.plot(step[window - 1 :], smooth, color=PALETTE[0], linewidth=2)
    if chance is not None:
        level(axes, f"nothing learnt: {chance:.2f}", chance, at_right=True)
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(ticks(5))
    axes.xaxis.set_major_locator(ticks(5, integer=True))
    name_axes(axes, unit.capitalize(), name)
    return figure


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    return np.convolve(values, np.full(window, 1 / window), mode="valid")


def label_efficiency(
    series: Sequence[Series],
    *,
    y: str = "Mean AUROC",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Draw a statistic against the number of labels, with a band for each interval.

    Parameters
    ----------
    series
        Up to six lines.
    y
        The statistic.
    levels
        Horizontal lines by name, such as what all labels reach.
    """
    figure, (axes,) = blank(3.7)
    counts = sorted({count for one in series for count in one.labels})
    for one, colour, marker in zip(series, PALETTE, MARKERS, strict=False):
        estimate = numbers([m.estimate for m in one.measures])
        low, high = (numbers([getattr(m, end) for m in one.measures]) for end in ("low", "high"))
        axes.fill_between(one.labels, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(one.labels, estimate, color=colour, marker=marker, markersize=6, linewidth=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for name, value in (levels or {}).items():
        level(axes, f"{name}: {value:.3f}", value)
    axes.yaxis.set_major_locator(ticks(6))
    _label_ends(axes, series)
    name_axes(axes, "Labelled images (log scale)", y)
    return figure


def _label_ends(axes: Axes, series: Sequence[Series]) -> None:
    """Write each line's name at its end, and move names apart that would overlap."""
    ends = []
    for at, one in enumerate(series[: len(PALETTE)]):
        estimate = numbers([m.estimate for m in one.measures])
        if np.isfinite(estimate).any():
            last = int(np.flatnonzero(np.isfinite(estimate))[-1])
            ends.append((float(estimate[last]), one.labels[last], at))
    low, high = axes.get_ylim()
    lines = {at: series[at].name.replace(" ", "\n", 1) for _, _, at in ends}
    taken = -np.inf
    for value, x, at in sorted(ends):
        half = 0.032 * (high - low) * (1 + lines[at].count("\n"))
        place = max(value, taken + half)
        taken = place + half
        shift = (place - value) / (high - low) * 190  # points of the axes' height, about
        axes.annotate(lines[at], (x, value), xytext=(9, shift), textcoords="offset points",
                      va="center", fontsize=SIZE, color=PALETTE[at], fontweight="bold",
                      annotation_clip=False, linespacing=1.05)  # fmt: skip
