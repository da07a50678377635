"""The label-efficiency frontier: no label at the left, few along a logarithm, all at the right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import FAINT, GREY, INK, MARKERS, PALETTE, SIZE, dress, numbers, ticks

PANEL: Final = 4.9, 3.6  # inches
_STRIP: Final = 0.42  # decades that "no label" and "all labels" take
_GAP: Final = 0.14


@dataclass(frozen=True)
class Curve:
    """A line along the number of labels.

    Parameters
    ----------
    name
        For the legend.
    labels
        Ascending, 1 or more.
    measures
        One per number.
    plain
        Whether it is what the others are compared with: grey, with a band for its intervals.
    bars
        Whether its intervals are drawn, as bars; those of many lines would hide each other.
    """

    name: str
    labels: Sequence[int]
    measures: Sequence[Measure]
    plain: bool = False
    bars: bool = False


@dataclass(frozen=True)
class Mark:
    """A single point at one of the ends.

    Parameters
    ----------
    name
        For the legend.
    at
        ``"none"`` or ``"all"`` labels.
    measure
        With its interval.
    """

    name: str
    at: Literal["none", "all"]
    measure: Measure


@dataclass(frozen=True)
class Panel:
    """What one reader makes of labels.

    Parameters
    ----------
    title
        Who reads.
    curves, marks
        What is drawn.
    """

    title: str
    curves: Sequence[Curve]
    marks: Sequence[Mark]


def frontiers(
    panels: Sequence[Panel],
    *,
    everything: int,
    target: tuple[str, float] | None = None,
    y: str = "Mean AUROC",
) -> Figure:
    """Draw panels beside each other on one scale.

    Parameters
    ----------
    panels
        One or more.
    everything
        How many labels "all" are.
    target
        A level to draw across, and what it is.
    y
        The statistic.
    """
    # a legend's rows need height of their own
    names = _names(panels)
    rows = -(-len(names) // (2 * len(panels)))
    width, height = PANEL
    figure = Figure(figsize=(width * len(panels), height + 0.21 * rows + 0.25),
                    layout="constrained")  # fmt: skip
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    styles = {name: _style(at) for at, name in enumerate(_names(panels, plain=False))}
    handles: dict[str, Any] = {}  # of two kinds: lines and error bars
    for axes, panel in zip(grid.ravel(), panels, strict=True):
        dress(axes)
        _scale(axes, panel, everything)
        if target is not None:
            fewest = min((one.labels[0] for one in panel.curves), default=1)
            _level(axes, *target, x=np.log10(fewest))
        for curve in panel.curves:
            handles[curve.name] = _curve(axes, curve, styles.get(curve.name, {}))
        for end in ("none", "all"):
            marks = [mark for mark in panel.marks if mark.at == end]
            for place, mark in enumerate(marks):
                handles[mark.name] = _mark(axes, mark, place, len(marks), styles[mark.name])
        axes.set_title(panel.title, fontsize=SIZE, color=INK, loc="left", fontweight="bold")
        axes.yaxis.set_major_locator(ticks(7))
        axes.set_xlabel("Labelled images (log scale)", fontsize=SIZE, color=INK)
    grid[0, 0].set_ylabel(y, fontsize=SIZE, color=INK)
    figure.legend([handles[name] for name in names], names, loc="outside lower center",
                  ncols=2 * len(panels), fontsize=SIZE - 1.5, frameon=False, labelcolor=INK,
                  handlelength=2.2, columnspacing=1.2)  # fmt: skip
    return figure


def _names(panels: Sequence[Panel], *, plain: bool = True) -> list[str]:
    """Return every name once: what is compared with first, then curves, then marks."""
    curves = [curve for panel in panels for curve in panel.curves]
    first = [curve.name for curve in curves if curve.plain] if plain else []
    rest = [curve.name for curve in curves if not curve.plain]
    marks = [mark.name for panel in panels for mark in panel.marks]
    return list(dict.fromkeys([*first, *rest, *marks]))


def _style(at: int) -> dict[str, Any]:
    """Return a look that no other of the first eighteen has."""
    colour, turn = at % len(PALETTE), at // len(PALETTE)
    return {
        "color": PALETTE[colour],
        "marker": MARKERS[(colour + turn) % len(MARKERS)],
        "linestyle": ("-", (0, (4, 1.5)), (0, (1, 1)))[turn % 3],
    }


def _scale(axes: Axes, panel: Panel, everything: int) -> None:
    """Lay the logarithm of labels between two strips."""
    counts = sorted({count for curve in panel.curves for count in curve.labels}) or [1, 10]
    low, high = np.log10(counts[0]), np.log10(counts[-1])
    ends = {mark.at for mark in panel.marks}
    places, texts = list(np.log10(counts)), [f"{count:,}" for count in counts]
    left, right = low - 0.08, high + 0.08
    if "none" in ends:
        left = low - _GAP - _STRIP
        axes.axvspan(left, low - _GAP, color=FAINT, alpha=0.55, linewidth=0, zorder=0)
        places.insert(0, left + _STRIP / 2)
        texts.insert(0, "0")
    if "all" in ends:
        right = high + _GAP + _STRIP
        axes.axvspan(high + _GAP, right, color=FAINT, alpha=0.55, linewidth=0, zorder=0)
        places.append(right - _STRIP / 2)
        texts.append(f"all\n({everything:,})")
    axes.set_xlim(left, right)
    axes.set_xticks(places, texts)
    axes.xaxis.set_minor_locator(NullLocator())


def _level(axes: Axes, name: str, value: float, x: float) -> None:
    axes.axhline(value, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(name, (x, value), xytext=(0, 3), textcoords="offset points",
                  fontsize=SIZE - 2, color=GREY)  # fmt: skip


def _curve(axes: Axes, curve: Curve, style: dict[str, Any]) -> Artist:
    x = np.log10(np.asarray(curve.labels, dtype=np.float64))
    estimate = numbers([one.estimate for one in curve.measures])
    low, high = (numbers([getattr(one, end) for one in curve.measures]) for end in ("low", "high"))
    if curve.bars:
        known = np.isfinite(low) & np.isfinite(high)
        axes.vlines(x[known], low[known], high[known], color=style["color"], linewidth=1.2)
    if not curve.plain:
        return axes.plot(x, estimate, markersize=4.5, linewidth=1.5, **style)[0]
    axes.fill_between(x, low, high, color=GREY, alpha=0.2, linewidth=0, zorder=1)
    return axes.plot(x, estimate, color=GREY, linewidth=2.6, zorder=2)[0]


def _mark(
    axes: Axes, mark: Mark, place: int, among: int, style: dict[str, Any]
) -> ErrorbarContainer:
    left, right = axes.get_xlim()
    begin = left if mark.at == "none" else right - _STRIP
    x = begin + _STRIP * (place + 0.5) / among
    (y,) = numbers([mark.measure.estimate])
    ends = numbers([mark.measure.low, mark.measure.high])
    spread = np.abs(ends - y)[:, None]
    bars = None if np.isnan(spread).any() else spread
    return axes.errorbar([x], [y], yerr=bars, markersize=5.5, elinewidth=1.2,
                         **{**style, "linestyle": "none"})  # fmt: skip
