"""Estimates with everything known about their spread, and arithmetic on them.

A mean over findings, a mean of readers, a model minus another: all are sums of estimates of the
same patients. Their resamples are the same sums resample by resample, and their influence values
the same sums patient by patient, so that every sum is as easily given an interval as one finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.evaluate.intervals import Measure, bca, bca_p_value, chexzero, p_value, percentile
from hilum.evaluate.plan import Plan
from hilum.evaluate.ranking import Floats

UPWARD: Final = ("ece",)
"""Statistics that chance makes larger: a resample of a calibrated model is less calibrated."""


@dataclass(frozen=True, eq=False)
class Spread:
    """One statistic of several findings.

    Parameters
    ----------
    estimate : (n_findings,)
        Of all the images; NaN where undefined.
    replicates : (resamples, n_findings)
        Of each resample.
    influence : (n_units, n_findings)
        Derivative by each unit's weight; None where the plan has no use for it.
    """

    estimate: Floats
    replicates: Floats
    influence: Floats | None = None

    def __sub__(self, other: "Spread") -> "Spread":
        influence = None
        if self.influence is not None and other.influence is not None:
            influence = self.influence - other.influence
        return Spread(self.estimate - other.estimate, self.replicates - other.replicates, influence)

    def take(self, columns: "slice | Sequence[int] | NDArray[np.bool_]") -> "Spread":
        """Return these findings."""
        influence = None if self.influence is None else self.influence[:, columns]
        return Spread(self.estimate[columns], self.replicates[:, columns], influence)

    @property
    def defined(self) -> NDArray[np.bool_]:
        """Where the estimate is a number, (n_findings,)."""
        return ~np.isnan(self.estimate)

    def mean(self) -> "Spread":
        """Average over the findings, all of which are defined.

        A resample in which one of them is undefined has no mean: to average the others in its
        place would mix means of different findings, and the rare findings, which drop out most,
        are not the average ones.
        """
        influence = None if self.influence is None else self.influence.mean(axis=1, keepdims=True)
        return Spread(
            self.estimate.mean(keepdims=True),
            self.replicates.mean(axis=1, keepdims=True),
            influence,
        )


def average(spreads: Sequence[Spread]) -> Spread:
    """Average several raters' spreads of the same findings, finding by finding."""
    influences = [spread.influence for spread in spreads if spread.influence is not None]
    return Spread(
        _mean([spread.estimate for spread in spreads]),
        _mean([spread.replicates for spread in spreads]),
        _mean(influences) if len(influences) == len(spreads) else None,
    )


def _mean(arrays: Sequence[Floats]) -> Floats:
    """Average arrays so that equal ones are their own mean; a sum may round away from it.

    What is left by rounding would pass for a difference with next to no error.
    """
    first = arrays[0]
    out: Floats = first + np.mean([own - first for own in arrays], axis=0)
    return out


def to_measure(
    spread: Spread,
    column: int,
    plan: Plan,
    reason: str | None,
    *,
    tested: bool = False,
    statistic: str = "",
) -> Measure:
    """Put the interval that the plan asks for around one finding's estimate.

    Parameters
    ----------
    spread, column
        The statistic and the finding.
    reason
        Why the estimate, or else its interval, is undefined; None where neither is.
    tested
        Whether the estimate is a difference, to be tested against zero.
    statistic
        Its name: one of `UPWARD` has a basic interval (Davison and Hinkley, Bootstrap Methods,
        1997, section 5.2.1), whatever the plan says.
    """
    estimate = float(spread.estimate[column])
    if np.isnan(estimate):
        return Measure(None, reason=reason)
    if reason is not None:
        return Measure(estimate, reason=reason)
    replicates = spread.replicates[:, column]
    if statistic in UPWARD and plan.interval != "chexzero":
        # resampling adds its own bias to that of the estimate: the mirror image has neither
        mirrored = 2 * estimate - replicates
        kept = mirrored if tested else np.where(np.isnan(mirrored), np.nan, np.maximum(mirrored, 0))
        found, p = percentile(estimate, kept, plan.level), p_value(mirrored)
    else:
        found, p = _interval(estimate, replicates, spread.influence, column, plan)
    if not tested:
        return found
    return Measure(**{**found.__dict__, "p_value": p})


def _interval(
    estimate: float, replicates: Floats, influence: Floats | None, column: int, plan: Plan
) -> tuple[Measure, float | None]:
    if plan.interval == "chexzero":
        return chexzero(estimate, replicates, plan.level), p_value(replicates)
    if plan.interval == "bca" and influence is not None:
        own = influence[:, column]
        found = bca(estimate, replicates, own, plan.level)
        return found, bca_p_value(estimate, replicates, own)
    return percentile(estimate, replicates, plan.level), p_value(replicates)
