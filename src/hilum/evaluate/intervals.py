"""Confidence intervals and p-values from resamples.

A resample in which a statistic is undefined (no positive was drawn) is left out and counted; none
is given an invented value.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import ndtr, ndtri

from hilum.evaluate.ranking import Floats

Interval = Literal["percentile", "bca", "delong", "chexzero"]
"""How intervals are made; `delong` has formulas for AUROC and proportions, percentiles else."""


@dataclass(frozen=True)
class Intervals:
    """How percentile intervals are made.

    Parameters
    ----------
    bootstrap, seed, level
        How many resamples, of which random numbers, covering how much; as in `hilum.evaluate`.
    """

    bootstrap: int = 1000
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True)
class Measure:
    """A statistic with its interval; None is undefined and never stands for a number.

    Parameters
    ----------
    estimate
        The statistic of all the images.
    low, high
        Ends of the interval, or None.
    undefined
        Resamples in which the statistic was undefined.
    reason
        Why the estimate or the interval is None, where one is.
    p_value
        For a difference: two-sided, that there is none.
    p_adjusted
        The same after a correction for the number of findings.
    bootstrap_mean
        The mean over the resamples, where CheXzero's table is to be reproduced.
    """

    estimate: float | None
    low: float | None = None
    high: float | None = None
    undefined: int = 0
    reason: str | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    bootstrap_mean: float | None = None


def percentile(estimate: float, replicates: Floats, level: float) -> Measure:
    """Put a percentile interval around an estimate.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Parameters
    ----------
    estimate
        The statistic of all the images, not NaN.
    replicates : (resamples,)
        The statistic of each resample, NaN where undefined.
    level
        Coverage aimed at, such as 0.95.

    Returns
    -------
    The measure. Where more than half of the resamples are undefined it has no interval: what is
    left of them would describe a data set with more positives than there are.
    """
    return _quantiles(estimate, replicates, ((1 - level) / 2, (1 + level) / 2))


def bca(estimate: float, replicates: Floats, influence: Floats, level: float) -> Measure:
    """Put a bias-corrected and accelerated interval around an estimate.

    Efron, J Am Stat Assoc 82:171-185, 1987. The acceleration comes from the empirical influence
    function (his equation 6.6) rather than from leaving units out one at a time.

    Parameters
    ----------
    estimate, replicates, level
        As in `percentile`.
    influence : (n_units,)
        The statistic's derivative by each unit's weight.
    """
    defined = replicates[~np.isnan(replicates)]
    if not defined.size:
        return percentile(estimate, replicates, level)
    shift, acceleration = _bias(estimate, defined), _acceleration(influence)
    if not np.isfinite(shift):
        reason = "no interval: every resample lies on one side of the estimate"
        lost = replicates.size - defined.size
        return Measure(estimate, undefined=lost, reason=reason)
    ends = [shift + ndtri((1 - level) / 2), shift + ndtri((1 + level) / 2)]
    low, high = (float(ndtr(shift + end / (1 - acceleration * end))) for end in ends)
    return _quantiles(estimate, replicates, (low, high))


ROUNDING: Final = 1e-12
"""Values nearer than this are one value: sums of fractions differ in their last digits with the
order and scale of the weights, and ties must not depend on that."""


def _share_below(defined: Floats, value: float) -> float:
    """Return the share of resamples below a value, half of those that equal it included."""
    gap = defined - value
    return float((gap < -ROUNDING).mean() + (np.abs(gap) <= ROUNDING).mean() / 2)


def _bias(estimate: float, defined: Floats) -> float:
    """Return z0; resamples equal to the estimate count one half on each side."""
    return float(ndtri(_share_below(defined, estimate)))


def _acceleration(influence: Floats) -> float:
    spread = float((influence**2).sum())
    return float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0


def _quantiles(estimate: float, replicates: Floats, at: tuple[float, float]) -> Measure:
    defined = replicates[~np.isnan(replicates)]
    lost = replicates.size - defined.size
    if not replicates.size:
        return Measure(estimate)
    if lost > defined.size:
        reason = f"no interval: undefined in {lost} of {replicates.size} resamples"
        return Measure(estimate, undefined=lost, reason=reason)
    low, high = np.quantile(defined, at)
    return Measure(estimate, float(low), float(high), lost)


def chexzero(estimate: float, replicates: Floats, level: float) -> Measure:
    """Put CheXzero's interval around an estimate, with the mean of the resamples.

    Of n sorted values the ends are the ones at ``int(n * 0.025) - 1`` and ``int(n * 0.975) - 1``,
    counted from 0: one lower than a quantile. Undefined resamples are sorted last but counted
    in n, so that a rare finding's upper end becomes undefined once they are more than n / 40.
    """
    ordered, n = np.sort(replicates), replicates.size  # NaN is sorted last
    lost = int(np.isnan(ordered).sum())
    low, high = (float(ordered[int(round(n * at, 9)) - 1]) for at in _tails(level))
    mean = float(np.nanmean(ordered)) if lost < n else None
    if np.isnan(low) or np.isnan(high):
        reason = f"no interval: undefined in {lost} of {n} resamples"
        return Measure(estimate, undefined=lost, reason=reason, bootstrap_mean=mean)
    return Measure(estimate, low, high, lost, bootstrap_mean=mean)


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def p_value(replicates: Floats) -> float | None:
    """Return the two-sided p-value of a difference of zero: the percentile interval, inverted.

    Twice the smaller share of resamples on either side of zero, with one added to both numbers
    so that it is never 0 (Davison and Hinkley, 1997, section 4.2.4). None without resamples.

    Parameters
    ----------
    replicates : (resamples,)
        The difference in each resample, NaN where undefined.
    """
    defined = replicates[~np.isnan(replicates)]
    if not defined.size or 2 * defined.size < replicates.size:
        return None
    beyond = min(int((defined <= ROUNDING).sum()), int((defined >= -ROUNDING).sum()))
    return min(1.0, 2 * (beyond + 1) / (defined.size + 1))


def bca_p_value(estimate: float, replicates: Floats, influence: Floats) -> float | None:
    """Return the two-sided p-value of a difference of zero: the BCa interval, inverted.

    The level at which one end of the interval reaches zero; resolved to one resample, so never
    below 2 / (resamples + 1).
    """
    defined = replicates[~np.isnan(replicates)]
    if not defined.size or 2 * defined.size < replicates.size:
        return None
    shift, acceleration = _bias(estimate, defined), _acceleration(influence)
    floor = 1 / (defined.size + 1)
    if not np.isfinite(shift):
        return None
    gap = float(ndtri(np.clip(_share_below(defined, 0), floor, 1 - floor))) - shift
    tail = float(ndtr(gap / (1 + acceleration * gap) - shift))
    return min(1.0, 2 * max(floor, min(tail, 1 - tail)))
