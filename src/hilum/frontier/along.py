"""A whole curve in one number: labels needed to reach a target, and the area between two curves.

Both go along the logarithm of the number of labels, as figures do: from 10 to 20 labels is as far
as from 500 to 1000.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hilum.evaluate import Measure
from hilum.evaluate.intervals import percentile
from hilum.frontier.material import Floats
from hilum.frontier.measured import apart


@dataclass(frozen=True)
class Needed:
    """Labels at which a curve first reaches a target.

    Parameters
    ----------
    estimate, low, high
        Of the curve, and the ends of the interval over test patients; None where that is more
        labels than there are points for.
    most
        The largest number of labels on the curve.
    fewest
        The smallest; an estimate or end that equals it means "so many or fewer".
    reached
        Share of the resamples in which the target was reached.
    """

    estimate: float | None
    low: float | None
    high: float | None
    most: int
    fewest: int
    reached: float

    def as_text(self) -> str:
        """Return such as ``130 (80 to more than 1,000)``."""
        if self.estimate is None and self.low is None:
            return f"more than {self.most:,}"
        ends = f"{self._end(self.low)} to {self._end(self.high)}"
        return f"{self._end(self.estimate)} ({ends})"

    def _end(self, value: float | None) -> str:
        if value is None:
            return f"more than {self.most:,}"
        return f"{self.fewest:,} or fewer" if value <= self.fewest else f"{value:,.0f}"


def crossing(labels: ArrayLike, curves: ArrayLike, targets: ArrayLike) -> Floats:
    """Return where curves first reach their targets.

    Parameters
    ----------
    labels : (n_points,)
        Ascending.
    curves : (n_curves, n_points)
        The statistic at each.
    targets : (n_curves,)
        What is to be reached.

    Returns
    -------
    (n_curves,)
        Between two points by the straight line over the logarithm of labels; the first number of
        labels where that suffices; infinity where none does; NaN where the curve is undefined.
    """
    x, y = np.log(np.asarray(labels, dtype=np.float64)), np.asarray(curves, dtype=np.float64)
    target = np.asarray(targets, dtype=np.float64)
    there = y >= target[:, None]
    rows, first = np.arange(len(y)), there.argmax(axis=1)
    before = np.maximum(first - 1, 0)
    rise = y[rows, first] - y[rows, before]
    steep = np.where(rise > 0, rise, 1.0)  # never flat where the target was crossed between
    part = np.where(first > 0, (target - y[rows, before]) / steep, 1.0)
    at = np.exp(x[before] + part * (x[first] - x[before]))
    undefined = np.isnan(y).any(axis=1) | np.isnan(target)
    out: Floats = np.where(undefined, np.nan, np.where(there.any(axis=1), at, np.inf))
    return out


def labels_needed(
    labels: tuple[int, ...], curve: Floats, replicates: Floats, target: float, targets: Floats,
    level: float,
) -> Needed:  # fmt: skip
    """Return the labels that a curve needs, with an interval.

    Parameters
    ----------
    labels
        Of its points, ascending.
    curve : (n_points,)
        The statistic.
    replicates : (resamples, n_points)
        The statistic in each resample of the test patients.
    target, targets
        What is to be reached, and the same in each resample (resamples,), as full supervision is
        measured on the same patients.
    level
        Coverage of the interval.
    """
    (estimate,) = crossing(labels, curve[None], [target])
    drawn = crossing(labels, replicates, targets)
    drawn = np.sort(drawn[~np.isnan(drawn)])
    low = high = np.inf
    if drawn.size:
        # by ranks: between a number and infinity there is nothing to interpolate
        places = np.array([(1 - level) / 2, (1 + level) / 2]) * (drawn.size - 1)
        low, high = drawn[int(np.floor(places[0]))], drawn[int(np.ceil(places[1]))]
    reached = float(np.isfinite(drawn).mean()) if drawn.size else 0.0
    ends = (_finite(estimate), _finite(low), _finite(high))
    return Needed(*ends, most=labels[-1], fewest=labels[0], reached=reached)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def mean_along(labels: ArrayLike, curves: ArrayLike) -> Floats:
    """Return the mean height of curves along the logarithm of the number of labels.

    Parameters
    ----------
    labels : (n_points,)
        Ascending.
    curves : (..., n_points)
        The statistic.

    Returns
    -------
    (...)
        The area below (trapezoids) divided by the width: of a single point, its height.
    """
    x, y = np.log(np.asarray(labels, dtype=np.float64)), np.asarray(curves, dtype=np.float64)
    if len(x) == 1:
        return np.asarray(y[..., 0])
    return np.asarray(np.trapezoid(y, x, axis=-1) / (x[-1] - x[0]))


def height(labels: tuple[int, ...], curve: Floats, replicates: Floats, level: float) -> Measure:
    """Return a curve's mean height with its interval; parameters as in `labels_needed`."""
    return percentile(float(mean_along(labels, curve)), mean_along(labels, replicates), level)


def between(
    labels: tuple[int, ...], first: tuple[Floats, Floats], second: tuple[Floats, Floats],
    level: float,
) -> Measure:  # fmt: skip
    """Return the area between two curves as their mean difference, paired, with its p-value.

    Parameters
    ----------
    labels
        Of the points that both have.
    first, second
        Curve (n_points,) and replicates (resamples, n_points) of each.
    level
        Coverage of the interval.
    """
    heights = [mean_along(labels, replicates) for _, replicates in (first, second)]
    estimate = float(mean_along(labels, first[0] - second[0]))
    return apart(heights[0], heights[1], estimate, level)
