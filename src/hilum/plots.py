"""Plots as matplotlib figures, legible on a phone and without colour vision.

Figures are made with matplotlib's object interface: there is no current figure, nothing to close
and no window. They are five inches wide, so that an 11-point letter is still 11 pixels high on a
390-pixel screen. Colours are those of Okabe and Ito, told apart under the common colour vision
deficiencies; lines are labelled where they are, and series differ in marker too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from hilum.evaluate.intervals import Measure

PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
INK: Final = "#1b2733"
GREY: Final = "#7a8793"
PALE: Final = "#c9d1d8"

_WIDTH: Final = 5.0  # inches
_SIZE: Final = 11  # points
_MAX_POINTS: Final = 4000


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


def _canvas(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, [_dress(axes) for axes in grid.ravel()]


def _dress(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(labelsize=_SIZE, color=PALE, labelcolor=INK)
    axes.grid(visible=True, color="#e9edf0", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _ticks(most: int, *, integer: bool = False) -> MaxNLocator:
    return MaxNLocator(most, integer=integer, steps=[1, 2, 5, 10])


def _name(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=_SIZE, color=INK)
    axes.set_ylabel(y, fontsize=_SIZE, color=INK)


def _level(axes: Axes, text: str, value: float, *, at_right: bool = False) -> None:
    """Draw a dashed line across the axes and write on it what it is."""
    axes.axhline(value, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.annotate(
        text,
        (1 if at_right else 0, value),
        xycoords=("axes fraction", "data"),
        xytext=(0 if at_right else 3, 3),
        textcoords="offset points",
        ha="right" if at_right else "left",
        fontsize=_SIZE - 1,
        color=GREY,
    )


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


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
    figure, (axes,) = _canvas(3.0)
    window = max(1, loss.size // 40)
    smooth = _running_mean(loss, window)
    axes.plot(step, loss, color=PALETTE[0], alpha=0.25, linewidth=1)
    axes.plot(step[window - 1 :], smooth, color=PALETTE[0], linewidth=2)
    if chance is not None:
        _level(axes, f"nothing learnt: {chance:.2f}", chance, at_right=True)
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(_ticks(5))
    axes.xaxis.set_major_locator(_ticks(5, integer=True))
    _name(axes, unit.capitalize(), name)
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
    figure, (axes,) = _canvas(3.7)
    counts = sorted({count for one in series for count in one.labels})
    for one, colour, marker in zip(series, PALETTE, MARKERS, strict=False):
        estimate = _numbers([m.estimate for m in one.measures])
        low, high = (_numbers([getattr(m, end) for m in one.measures]) for end in ("low", "high"))
        axes.fill_between(one.labels, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(one.labels, estimate, color=colour, marker=marker, markersize=6, linewidth=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for name, value in (levels or {}).items():
        _level(axes, f"{name}: {value:.3f}", value)
    axes.yaxis.set_major_locator(_ticks(6))
    _label_ends(axes, series)
    _name(axes, "Labelled images (log scale)", y)
    return figure


def _label_ends(axes: Axes, series: Sequence[Series]) -> None:
    """Write each line's name at its end, and move names apart that would overlap."""
    ends = []
    for at, one in enumerate(series[: len(PALETTE)]):
        estimate = _numbers([m.estimate for m in one.measures])
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
                      va="center", fontsize=_SIZE, color=PALETTE[at], fontweight="bold",
                      annotation_clip=False, linespacing=1.05)  # fmt: skip


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
    figure, (axes,) = _canvas(0.95 + 0.14 * (1 + len(series)) * len(findings))
    rows = np.arange(len(findings), dtype=np.float64)
    for at, (name, measures) in enumerate(series.items()):
        place = rows + 0.22 * (at - (len(series) - 1) / 2)
        estimate = _numbers([m.estimate for m in measures])
        low, high = (_numbers([getattr(m, end) for m in measures]) for end in ("low", "high"))
        axes.hlines(place, low, high, color=PALETTE[at], linewidth=2)
        axes.plot(estimate, place, MARKERS[at], color=PALETTE[at], markersize=6, label=name)
    by_finding = list(zip(*series.values(), strict=True))
    for row in np.flatnonzero([all(m.estimate is None for m in row) for row in by_finding]):
        axes.annotate("undefined", (0.99, row), xycoords=("axes fraction", "data"),
                      ha="right", va="center", fontsize=_SIZE - 1, color=GREY)  # fmt: skip
    if chance is not None:
        axes.axvline(chance, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_yticks(rows, [name.replace("Enlarged ", "Enlarged\n") for name in findings])
    axes.set_ylim(len(findings) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    if last_is_mean:
        axes.axhline(len(findings) - 1.5, color=PALE, linewidth=1)
        axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.xaxis.set_major_locator(_ticks(5))
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=_SIZE,
                  labelcolor="linecolor", handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    _name(axes, x, "")
    return figure


def embedding_map(vectors: ArrayLike, groups: Mapping[str, ArrayLike]) -> Figure:
    """Draw an embedding's two main directions, a panel per group with its members in colour.

    Parameters
    ----------
    vectors : (n_images, dim)
        More than a few thousand are thinned out evenly.
    groups
        By name, a mask (n_images,) of the members; where it is NaN or None, the image is left
        out of that panel.
    """
    thin = _thinned(len(np.asarray(vectors)))
    points, shares = principal_plane(np.asarray(vectors)[thin])
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    figure, panels = _canvas(0.35 + 2.35 * rows, rows, columns)
    for axes, (name, members) in zip(panels, groups.items(), strict=False):
        mask = np.asarray(members, dtype=np.float64)[thin]
        _panel(axes, name, int(np.nansum(np.asarray(members, dtype=np.float64) == 1)))
        for value, colour, size in ((0, PALE, 7), (1, PALETTE[1], 10)):
            chosen = points[mask == value]
            axes.scatter(chosen[:, 0], chosen[:, 1], s=size, color=colour, linewidths=0)
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    figure.supxlabel(
        f"First principal component ({shares[0]:.0%} of variance)", fontsize=_SIZE, color=INK
    )
    figure.supylabel(f"Second ({shares[1]:.0%})", fontsize=_SIZE, color=INK)
    return figure


def patient_map(vectors: ArrayLike, patients: Sequence[str], show: int = 6) -> Figure:
    """Draw the same plane with the images of a few patients joined by lines.

    If an embedding has learnt the patient rather than the disease, each line stays in one
    place. The patients with most images are shown, by number and not by name.

    Parameters
    ----------
    vectors : (n_images, dim)
        The embedding.
    patients : (n_images,)
        Patient ids; a patient's images in order of time.
    show
        How many patients, at most six.
    """
    points, shares = principal_plane(vectors)
    thin = _thinned(len(points))
    figure, (axes,) = _canvas(3.9)
    axes.scatter(points[thin, 0], points[thin, 1], s=7, color=PALE, linewidths=0)
    names, numbers, counts = np.unique(
        np.array(patients), return_inverse=True, return_counts=True
    )  # fmt: skip
    most = np.argsort(-counts, kind="stable")[: min(show, len(PALETTE), len(names))]
    for at, patient in enumerate(most):
        own = points[numbers == patient]
        axes.plot(own[:, 0], own[:, 1], color=PALETTE[at], marker=MARKERS[at], markersize=6,
                  linewidth=1.5, label=f"patient {at + 1} ({len(own)} images)")  # fmt: skip
    axes.set(xticks=[], yticks=[])
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=_SIZE - 1)
    _name(axes, f"First principal component ({shares[0]:.0%} of variance)",
          f"Second ({shares[1]:.0%})")  # fmt: skip
    return figure


def _thinned(n_rows: int) -> NDArray[np.int64]:
    return np.arange(0, n_rows, max(1, -(-n_rows // _MAX_POINTS)))


def _panel(axes: Axes, name: str, count: int) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{name} ({count})", fontsize=_SIZE, color=INK, loc="left")


def principal_plane(
    vectors: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project on the two directions of greatest variance.

    Parameters
    ----------
    vectors : (n_images, dim)
        Two dimensions at least.

    Returns
    -------
    Coordinates (n_images, 2), and each direction's share of the variance (2,). Signs are
    chosen so that each direction's largest component is positive: the same data gives the same
    picture everywhere.
    """
    data = np.asarray(vectors, dtype=np.float64)
    centred = data - data.mean(axis=0)
    variance, directions = np.linalg.eigh(centred.T @ centred)
    plane = directions[:, :-3:-1]  # eigenvalues ascend: the last two, the largest first
    plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])
    total = max(float(variance.sum()), np.finfo(np.float64).tiny)
    return centred @ plane, variance[:-3:-1] / total


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
    figure, (axes,) = _canvas(2.6)
    axes.hist(known, bins=list(bins), color=PALETTE[0], edgecolor="white", linewidth=1)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(_ticks(4, integer=True))
    _name(axes, x, y)
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
    figure, (axes,) = _canvas(0.7 + 0.34 * len(counts))
    places = np.arange(len(counts))
    values = np.array(list(counts.values()), dtype=np.float64)
    axes.barh(places, values, color=PALETTE[0], height=0.68)
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:,.0f}", (value, place), xytext=(4, 0), va="center",
                      textcoords="offset points", fontsize=_SIZE, color=INK)  # fmt: skip
    axes.set_yticks(places, list(counts))
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * max(values.max(initial=0), 1))
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    _name(axes, x, "")
    return figure
