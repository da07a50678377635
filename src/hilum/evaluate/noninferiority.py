"""Whether one thing is at worst a stated margin below another.

The null hypothesis is that the difference is the margin or more below 0. It is rejected where the
whole interval lies above minus the margin, which at a level of 0.95 is a one-sided test at 0.025
(ICH E9, 1998, section 3.3.2; for reader studies Chen, Petrick and Sahiner, Acad. Radiol.
19:1158-1165, 2012). Where it lies above 0 too, the same interval shows superiority, and no
correction is due for having looked at both. The margin belongs in the protocol: no number of the
study can justify it afterwards.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import UsageError
from hilum.evaluate.orh import student_below, student_quantile

NO_ERROR: Final = "no verdict: the standard error is 0"


@dataclass(frozen=True)
class NonInferiority:
    """A verdict on a difference of which more is better.

    Parameters
    ----------
    margin
        How far below 0 the difference may lie.
    level
        Of the two-sided interval whose lower end decides.
    low
        That lower end, or None.
    p_value
        One-sided, of a difference at minus the margin; None where there is no interval. For a
        bootstrap it is never 0, and may differ from what `low` says by one resample.
    noninferior, superior
        Whether `low` lies above minus the margin, and above 0; None where there is no interval.
    reason
        Why there is no verdict, where there is none.
    """

    margin: float
    level: float
    low: float | None
    p_value: float | None
    noninferior: bool | None
    superior: bool | None
    reason: str | None = None


def noninferiority(
    estimate: float,
    standard_error: float,
    margin: float,
    *,
    df: float = math.inf,
    level: float = 0.95,
) -> NonInferiority:
    """Judge a difference that has a standard error.

    Parameters
    ----------
    estimate, standard_error
        The difference, such as model minus readers. Of a statistic where less is better, such as
        the Brier score, give readers minus model.
    margin
        How far below 0 it may lie, above 0.
    df
        Degrees of freedom of Student's distribution; infinite is the normal one.
    level
        Of the two-sided interval.

    Raises
    ------
    UsageError
        If the margin or the level is out of range.
    ValueError
        If the other numbers are no difference: not finite, or a standard error or df below 0.

    >>> noninferiority(-0.01, 0.02, margin=0.05).noninferior
    True
    """
    _check(margin, level)
    if not math.isfinite(estimate) or not 0 <= standard_error < math.inf or not df > 0:
        raise ValueError(
            "expected a finite estimate, a standard error of 0 or more and df above 0, "
            f"got {estimate}, {standard_error} and {df}"
        )
    if standard_error == 0:
        return NonInferiority(margin, level, None, None, None, None, NO_ERROR)
    low = estimate - student_quantile((1 + level) / 2, df) * standard_error
    p_value = student_below(-(estimate + margin) / standard_error, df)
    return NonInferiority(margin, level, low, p_value, low > -margin, low > 0)


def bootstrap_noninferiority(
    replicates: ArrayLike, margin: float, *, level: float = 0.95
) -> NonInferiority:
    """Judge a difference by its bootstrap distribution.

    Parameters
    ----------
    replicates : (resamples,)
        The difference in each resample, NaN where undefined.
    margin, level
        As in `noninferiority`; the lower end is a percentile.

    Returns
    -------
    The verdict; none where more than half of the resamples are undefined. The p-value is
    (1 + number at or below minus the margin) / (1 + number), as in Davison and Hinkley,
    Bootstrap Methods, 1997, equation 4.11.

    Raises
    ------
    UsageError
        If the margin or the level is out of range.
    ValueError
        If there are no replicates.
    """
    _check(margin, level)
    drawn: NDArray[np.float64] = np.asarray(replicates, dtype=np.float64)
    if drawn.ndim != 1 or not drawn.size:
        raise ValueError(f"replicates must be one-dimensional, not empty; got {drawn.shape}")
    defined = drawn[~np.isnan(drawn)]
    lost = drawn.size - defined.size
    if lost > defined.size:
        reason = f"no verdict: undefined in {lost} of {drawn.size} resamples"
        return NonInferiority(margin, level, None, None, None, None, reason)
    low = float(np.quantile(defined, (1 - level) / 2))
    p_value = (1 + int((defined <= -margin).sum())) / (1 + defined.size)
    return NonInferiority(margin, level, low, p_value, low > -margin, low > 0)


def _check(margin: float, level: float) -> None:
    if not 0 < margin < math.inf:
        raise UsageError(
            f"a non-inferiority margin must be above 0, got {margin}; "
            "superiority, a margin of 0, is judged along with it"
        )
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, got {level}")
