"""ROC and precision-recall curves of models, with readers as points among them.

A reader says yes or no and so has one sensitivity and one specificity: a point. It can be compared
with a model at the reader's own specificity, which is what these figures are for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from hilum.evaluate.curves import staircase, thinned
from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import GREY, numbers
from hilum.plots.cast import MEAN, Cast, cast_of, entry
from hilum.plots.panels import (
    cross_hairs,
    explain,
    finish,
    head,
    side,
    squares,
    unit_square,
    with_interval,
)

_TOLERANCE: Final = 0.3  # points, of a line 1.8 points wide
_GUESS: Final[dict[str, Any]] = {"color": GREY, "linewidth": 1.1, "linestyle": (0, (3, 2.5))}

Line = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class OperatingPoint:
    """What yes-or-no readings are worth: those of a reader, or of a model with a threshold.

    Parameters
    ----------
    name
        Of the reader or the model; the same in every panel.
    sensitivity, specificity, ppv
        Each with its interval; a point with an undefined coordinate is not drawn.
    """

    name: str
    sensitivity: Measure
    specificity: Measure
    ppv: Measure


@dataclass(frozen=True, eq=False)
class Band:
    """Where a curve's height may lie: `low` and `high` above each x of `grid`, all (n_grid,).

    It is left out where it is NaN.
    """

    grid: ArrayLike
    low: ArrayLike
    high: ArrayLike


@dataclass(frozen=True, eq=False)
class Curve:
    """One model's curve for one finding.

    Parameters
    ----------
    name
        The model; the same in every panel.
    x, y : (n_points,)
        False and true positive rate for `roc`; recall, ascending, and precision for
        `precision_recall`. They may have any number of points: those that cannot be seen are
        left out.
    area
        AUROC, or average precision. Where it is undefined, no curve is drawn.
    band
        Drawn around the curve.
    threshold
        The model's readings at its threshold, named as the legend should name them.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    area: Measure
    band: Band | None = None
    threshold: OperatingPoint | None = None


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """One finding.

    Parameters
    ----------
    finding
        Its name.
    n, positives
        Images whose label is known, and those of them that have the finding.
    curves
        Of up to three models; none where the figure is about readers alone.
    readers
        One point each.
    mean_reader
        The mean of the readers' coordinates, named as the legend should name it.
    """

    finding: str
    n: int
    positives: int
    curves: Sequence[Curve]
    readers: Sequence[OperatingPoint] = ()
    mean_reader: OperatingPoint | None = None


@dataclass(frozen=True)
class _Kind:
    """What distinguishes the two figures."""

    area: str
    x: str
    y: str
    line: Callable[[ArrayLike, ArrayLike], Line]
    at: Callable[[OperatingPoint], tuple[Measure, Measure]]
    guess: Callable[[CurvePanel], tuple[list[float], list[float]]]
    guess_name: str


def _as_it_is(x: ArrayLike, y: ArrayLike) -> Line:
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)


def _false_positive_rate(specificity: Measure) -> Measure:
    def turned(value: float | None) -> float | None:
        return None if value is None else 1 - value

    return Measure(
        turned(specificity.estimate), turned(specificity.high), turned(specificity.low)
    )  # fmt: skip


def _prevalence(panel: CurvePanel) -> tuple[list[float], list[float]]:
    return [0, 1], [panel.positives / panel.n if panel.n else np.nan] * 2


_ROC: Final = _Kind(
    area="AUROC", x="1 − specificity", y="Sensitivity", line=_as_it_is,
    at=lambda point: (_false_positive_rate(point.specificity), point.sensitivity),
    guess=lambda _: ([0, 1], [0, 1]), guess_name="chance",
)  # fmt: skip
_PRECISION_RECALL: Final = _Kind(
    area="AP", x="Sensitivity (recall)", y="PPV (precision)", line=staircase,
    at=lambda point: (point.sensitivity, point.ppv),
    guess=_prevalence, guess_name="prevalence",
)  # fmt: skip


def roc(panels: Sequence[CurvePanel], *, reader_intervals: bool = False) -> Figure:
    """Draw sensitivity against 1 − specificity, a panel per finding.

    Parameters
    ----------
    panels
        One to twenty findings. For a page that is also read on a desktop, draw two figures of
        half of them each, which stand side by side where there is room.
    reader_intervals
        Whether each reader's intervals are drawn as a cross.

    Raises
    ------
    ValueError
        If there is no panel, or one with more than three models.
    """
    return _draw(panels, _ROC, reader_intervals)


def precision_recall(panels: Sequence[CurvePanel], *, reader_intervals: bool = False) -> Figure:
    """Draw PPV against sensitivity, a panel per finding, in the steps that the data make.

    The dashed line is the prevalence: the PPV of a guess. Parameters and errors as in `roc`.
    """
    return _draw(panels, _PRECISION_RECALL, reader_intervals)


def _draw(panels: Sequence[CurvePanel], kind: _Kind, crosses: bool) -> Figure:
    cast = cast_of(
        (curve.name for panel in panels for curve in panel.curves),
        (reader.name for panel in panels for reader in panel.readers),
    )
    figure, grid = squares(len(panels))
    unit_square(grid, kind.x, kind.y)
    tolerance = _TOLERANCE / side(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        if _is_undefined(panel):
            _say_why(axes, panel)
        else:
            cross_hairs(axes)
            axes.plot(*kind.guess(panel), **_GUESS)
            _draw_curves(axes, panel, kind, cast, tolerance)
        _draw_points(axes, panel, kind, cast, crosses)
    return finish(figure, grid, _entries(panels, cast, kind))


def _entries(panels: Sequence[CurvePanel], cast: Cast, kind: _Kind) -> list[Artist]:
    """Return the legend: what is in some panel, once."""
    entries: list[Artist] = [entry(name, cast.line(name)) for name in cast.models]
    thresholds = {c.name: c.threshold.name for p in panels for c in p.curves if c.threshold}
    entries += [entry(name, cast.ring(model)) for model, name in thresholds.items()]
    entries += cast.reader_entries()
    means = dict.fromkeys(panel.mean_reader.name for panel in panels if panel.mean_reader)
    entries += [entry(name, MEAN) for name in means]
    return [*entries, entry(kind.guess_name, _GUESS)]


def _draw_curves(axes: Axes, panel: CurvePanel, kind: _Kind, cast: Cast, tolerance: float) -> None:
    lines = [_count(panel)]
    for curve in panel.curves:
        colour = cast.colour(curve.name)
        lines.append((with_interval(kind.area, curve.area), colour))
        if curve.area.estimate is None:
            continue
        if curve.band is not None:
            _draw_band(axes, curve.band, colour, tolerance)
        x, y = thinned(*kind.line(curve.x, curve.y), tolerance)
        axes.plot(x, y, clip_on=False, zorder=3, **cast.line(curve.name))
    head(axes, panel.finding, lines)


def _draw_band(axes: Axes, band: Band, colour: str, tolerance: float) -> None:
    grid, low, high = (np.asarray(v, dtype=np.float64) for v in (band.grid, band.low, band.high))
    there = np.isfinite(low) & np.isfinite(high)
    x, low = thinned(grid[there], low[there], tolerance)
    back, high = thinned(grid[there], high[there], tolerance)
    outline = np.concatenate([x, back[::-1]]), np.concatenate([low, high[::-1]])
    axes.fill(*outline, color=colour, alpha=0.16, linewidth=0)


def _is_undefined(panel: CurvePanel) -> bool:
    """Tell whether a panel has no curve; readers alone are a figure of their own right."""
    readers_only = not panel.curves and panel.readers
    return not readers_only and all(curve.area.estimate is None for curve in panel.curves)


def _say_why(axes: Axes, panel: CurvePanel) -> None:
    reasons = [curve.area.reason for curve in panel.curves if curve.area.reason]
    low_down = 0.25 if panel.readers else 0.5  # readers' points lie in the upper half
    explain(axes, reasons[0] if reasons else "there are no scores", low_down)
    head(axes, panel.finding, [_count(panel)])


def _count(panel: CurvePanel) -> tuple[str, str]:
    return f"{panel.positives:,} of {panel.n:,} positive", GREY


def _draw_points(axes: Axes, panel: CurvePanel, kind: _Kind, cast: Cast, crosses: bool) -> None:
    marks = [] if panel.mean_reader is None else [(panel.mean_reader, MEAN)]
    marks += [(c.threshold, cast.ring(c.name)) for c in panel.curves if c.threshold]
    marks += [(reader, cast.reader(reader.name)) for reader in panel.readers]
    for point, style in marks:
        x, y = kind.at(point)
        if x.estimate is None or y.estimate is None:
            continue
        if crosses:
            _draw_cross(axes, x, y)
        axes.plot(x.estimate, y.estimate, clip_on=False, zorder=5, **style)


def _draw_cross(axes: Axes, x: Measure, y: Measure) -> None:
    middle_x, middle_y = numbers([x.estimate] * 2), numbers([y.estimate] * 2)
    for line in ((numbers([x.low, x.high]), middle_y), (middle_x, numbers([y.low, y.high]))):
        axes.plot(*line, color=GREY, linewidth=1, zorder=4)
