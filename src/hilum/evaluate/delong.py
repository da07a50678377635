"""The variance of AUROC without resampling: of one model, of two compared, of means over findings.

AUROC is a two-sample U statistic, the share of (positive, negative) pairs that the scores put in
the right order. Its variance follows from how well each image does against all images of the
other class (DeLong, DeLong and Clarke-Pearson, Biometrics 44:837-845, 1988). Obuchowski
(Biometrics 53:567-578, 1997) adds these components up within patients, who may have several
images, of both classes. The components come from counts along the sorted scores in O(n log n),
as in Sun and Xu (IEEE Signal Processing Letters 21:1389-1393, 2014); no pair is visited.

`delong` measures the models on one finding, `combine` adds up areas over models and findings (a
difference, a mean, a difference of means), and `interval` and `difference` say what is known
about the sum.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr

from hilum.errors import UsageError
from hilum.evaluate.intervals import Measure
from hilum.evaluate.proportions import normal_quantile

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DeLong:
    """Areas under the ROC curves of k models on the same images of one finding.

    A unit is what is independent of all else: an image, or a patient with all their images.

    Parameters
    ----------
    areas : (k,)
        AUROC of each model, ties counting one half; NaN where a class is absent.
    influence : (n_units, k)
        Derivative of each area by each unit's weight, at weights of 1; adds up to 0.
    positive : (n_units, k)
        The part of the influence that the unit's positives have; its negatives have the rest.
    n_positive, n_negative
        How many images are positive and negative.
    units_positive, units_negative, units_known
        How many units have a positive, a negative, and either.
    """

    areas: Floats
    influence: Floats
    positive: Floats
    n_positive: int
    n_negative: int
    units_positive: int
    units_negative: int
    units_known: int

    @property
    def corrections(self) -> tuple[float, float, float]:
        """I / (I - 1) for the units that are known, have a positive, and have a negative.

        Obuchowski's factors for the cross terms, the positives' and the negatives'; NaN for a
        single unit, of which no variance can be had.
        """
        counts = (self.units_known, self.units_positive, self.units_negative)
        known, positive, negative = (n / (n - 1) if n > 1 else float("nan") for n in counts)
        return known, positive, negative

    @property
    def covariance(self) -> Floats:
        """Covariance of the areas (k, k); NaN where one unit has all positives or all negatives.

        Obuchowski's estimate for clustered data. Where every image is a unit no unit has both
        classes, the cross terms vanish, and it is that of DeLong, DeLong and Clarke-Pearson.
        """
        known, positive, negative = self.corrections
        rest = self.influence - self.positive
        out: Floats = (
            known * (self.influence.T @ self.influence)
            + (positive - known) * (self.positive.T @ self.positive)
            + (negative - known) * (rest.T @ rest)
        )
        return out


def delong(
    scores: ArrayLike,
    truth: ArrayLike,
    units: ArrayLike | None = None,
    n_units: int | None = None,
) -> DeLong:
    """Measure how well k models rank the images of one finding, with what `combine` needs.

    Parameters
    ----------
    scores : (n_images,) or (n_images, k)
        Any finite numbers, higher for likelier; a column for each model.
    truth : (n_images,)
        1, 0, or NaN where unknown; those images take no part.
    units : (n_images,)
        The unit that each image belongs to, 0 ... n_units - 1; by default its own.
    n_units
        How many units there are; by default the largest number plus one. Findings that are to
        be combined must have the same units.

    Raises
    ------
    ValueError
        If the arrays do not fit together, truth is neither 0, 1 nor NaN, a score is not finite
        where the truth is known, or a unit is not a whole number below `n_units`.

    >>> found = delong([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    >>> found.areas.tolist(), found.covariance.tolist()
    ([0.875], [[0.03125]])
    """
    score, label, unit = _checked(scores, truth, units, n_units)
    n_units = int(unit.max(initial=-1)) + 1 if n_units is None else n_units
    known = ~np.isnan(label)
    score, positive, unit = score[known], label[known] == 1, unit[known]
    held = np.bincount(unit[positive], minlength=n_units)[:, None]
    free = np.bincount(unit[~positive], minlength=n_units)[:, None]
    won = np.stack([_twice_won(column, positive) for column in score.T], axis=1)
    return _from_counts(
        _sums(won[positive], unit[positive], n_units),
        _sums(won[~positive], unit[~positive], n_units),
        held.astype(np.float64),
        free.astype(np.float64),
    )


def _twice_won(score: Floats, positive: Booleans) -> Floats:
    """Count, for each image, the images of the other class in the right order with it, twice.

    Twice, because a tie is half a right order: whole numbers keep what is equal exactly equal.
    """
    distinct, group = np.unique(score, return_inverse=True)
    positives = np.bincount(group[positive], minlength=distinct.size)
    negatives = np.bincount(group[~positive], minlength=distinct.size)
    below = 2 * np.cumsum(negatives) - negatives  # negatives lower, and half of those equal
    above = 2 * (positives.sum() - np.cumsum(positives)) + positives
    return np.where(positive, below[group], above[group]).astype(np.float64)


def _sums(values: Floats, unit: Integers, n_units: int) -> Floats:
    """Add up the rows (n_images, k) of each unit: (n_units, k)."""
    columns = [np.bincount(unit, weights=column, minlength=n_units) for column in values.T]
    return np.stack(columns, axis=1)


def _from_counts(above: Floats, below: Floats, held: Floats, free: Floats) -> DeLong:
    """Turn each unit's orders won by its positives and by its negatives (n_units, k) into areas.

    Obuchowski's components, (X - mA)/M and (Y - nA)/N for a unit with m of M positives and n of
    N negatives, over a common denominator. The numerators are whole numbers, which floats hold
    exactly up to 2**53, so that no spread comes out as 0 and not as a rounding error, beside
    which any difference would be significant.
    """
    n_positive, n_negative = float(held.sum()), float(free.sum())
    pairs = n_positive * n_negative or np.nan
    won = above.sum(axis=0)  # (k,)
    by_positives = n_negative * (n_positive * above - held * won)
    by_negatives = n_positive * (n_negative * below - free * won)
    return DeLong(
        areas=won / (2 * pairs),
        influence=(by_positives + by_negatives) / (2 * pairs**2),
        positive=by_positives / (2 * pairs**2),
        n_positive=int(n_positive),
        n_negative=int(n_negative),
        units_positive=int((held > 0).sum()),
        units_negative=int((free > 0).sum()),
        units_known=int((held + free > 0).sum()),
    )


def combine(findings: Sequence[DeLong], weights: ArrayLike) -> tuple[float, float]:
    """Add up areas over models and findings; return the sum and its variance.

    The variance of one finding is exactly that of its `covariance`. Between findings the same
    patients are the link: the products of their influences are added up, each times I / (I - 1).

    Parameters
    ----------
    findings
        Of the same units and models. A finding whose weights are all 0 takes no part.
    weights : (k,) or (n_findings, k)
        What each area is multiplied by. With two models and n findings ``[1, -1]`` is their
        difference on one finding, ``np.divide([1, 0], n)`` the mean of the first, and
        ``np.divide([1, -1], n)`` the difference of the means.

    Returns
    -------
    Both NaN where a finding that takes part is undefined, the variance alone where one unit has
    all its positives or negatives.

    Raises
    ------
    ValueError
        If the findings differ in models or units, or the weights do not fit.
    """
    rows = _weight_rows(findings, weights)
    estimate, excess = 0.0, 0.0
    spread = np.zeros(len(findings[0].influence))
    for found, row in zip(findings, rows, strict=True):
        if not row.any():
            continue
        known, positive, negative = found.corrections
        # products before sums, not a matrix product: fused arithmetic would leave a residue
        # where two models agree
        both = (found.influence * row).sum(axis=1)
        held = (found.positive * row).sum(axis=1)
        estimate += float((found.areas * row).sum())
        spread += np.sqrt(known) * both
        excess += (positive - known) * float(held @ held)
        excess += (negative - known) * float((both - held) @ (both - held))
    return estimate, float(spread @ spread) + excess


def _weight_rows(findings: Sequence[DeLong], weights: ArrayLike) -> Floats:
    shapes = {found.influence.shape for found in findings}
    if len(shapes) != 1:
        raise ValueError(
            "findings to combine must have the same units and models; got influences of shapes "
            f"{sorted(shapes)}"
        )
    weight, shape = np.asarray(weights, dtype=np.float64), (len(findings), len(findings[0].areas))
    if weight.shape not in (shape, shape[1:]):
        raise ValueError(f"weights must have the shape {shape} or {shape[1:]}; got {weight.shape}")
    return np.broadcast_to(weight, shape)


def _logit_ends(area: float, error: float, z: float) -> tuple[float, float]:
    reach = z * error / (area * (1 - area))
    return float(expit(logit(area) - reach)), float(expit(logit(area) + reach))


def _linear_ends(area: float, error: float, z: float) -> tuple[float, float]:
    return max(0.0, area - z * error), min(1.0, area + z * error)


SCALES: Final[Mapping[str, Callable[[float, float, float], tuple[float, float]]]] = {
    "logit": _logit_ends,
    "linear": _linear_ends,
}
"""Scales on which an interval is symmetric, by name."""


def interval(area: float, variance: float, level: float = 0.95, scale: str = "logit") -> Measure:
    """Put an interval around an AUROC, or a mean of several.

    Parameters
    ----------
    area, variance
        As `combine` returns them.
    level
        Coverage aimed at, such as 0.95.
    scale
        ``"logit"``, by the delta method: stays inside (0, 1) and is longer towards 0.5, as the
        sampling distribution of a high AUROC is. ``"linear"``: plus and minus, cut at 0 and 1.

    Returns
    -------
    The area with its interval. There is none where the units show no spread: an AUROC of 1 has
    a variance estimate of 0, which says that the sample is small or easy, not that the AUROC of
    all patients is known to be 1.

    Raises
    ------
    UsageError
        If the level does not lie between 0 and 1, or there is no such scale.
    """
    z = normal_quantile(level)
    if scale not in SCALES:
        raise UsageError(f"no scale {scale!r} for an interval; choose from {', '.join(SCALES)}")
    if np.isnan(area):
        return Measure(None, reason="undefined: one class is absent")
    if reason := _no_spread(variance):
        return Measure(area, reason=f"no interval: {reason}")
    low, high = SCALES[scale](area, float(np.sqrt(variance)), z)
    return Measure(area, low, high)


def _no_spread(variance: float) -> str | None:
    if np.isnan(variance):
        return "one unit has all positives or all negatives"
    return None if variance > 0 else "the data show no spread"


@dataclass(frozen=True)
class Difference:
    """One AUROC minus another, or a difference of means; None is undefined.

    Parameters
    ----------
    estimate, standard_error
        Of the difference.
    z, p_value
        The estimate in standard errors, and how often chance alone gives one as far from 0.
    low, high
        Ends of the interval.
    reason
        Why anything is None, where something is.
    """

    estimate: float | None
    standard_error: float | None = None
    z: float | None = None
    p_value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @property
    def measure(self) -> Measure:
        """The difference as any other statistic is given."""
        return Measure(self.estimate, self.low, self.high, reason=self.reason, p_value=self.p_value)


def difference(estimate: float, variance: float, level: float = 0.95) -> Difference:
    """Test a difference of AUROCs against 0, two-sided, and put an interval around it.

    Parameters
    ----------
    estimate, variance
        As `combine` returns them for weights that add up to 0.
    level
        Coverage aimed at by the interval, which is cut at -1 and 1.

    Returns
    -------
    The difference; without a test where it shows no spread between units, as it does where two
    models put all pairs in the same order.

    Raises
    ------
    UsageError
        If the level does not lie between 0 and 1.
    """
    quantile = normal_quantile(level)
    if np.isnan(estimate):
        return Difference(None, reason="undefined: one class is absent")
    if reason := _no_spread(variance):
        return Difference(estimate, reason=f"no test: {reason}")
    error = float(np.sqrt(variance))
    z = estimate / error
    return Difference(
        estimate=estimate,
        standard_error=error,
        z=z,
        p_value=float(2 * ndtr(-abs(z))),
        low=max(-1.0, estimate - quantile * error),
        high=min(1.0, estimate + quantile * error),
    )


def _checked(
    scores: ArrayLike, truth: ArrayLike, units: ArrayLike | None, n_units: int | None
) -> tuple[Floats, Floats, Integers]:
    """Return scores (n_images, k), truth and units (n_images,); errors as in `delong`."""
    score, label = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    unit = np.arange(label.size) if units is None else np.asarray(units)
    if score.ndim not in (1, 2) or not score.shape[:1] == label.shape == unit.shape:
        raise ValueError(
            "scores, truth and units must be of one length, truth and units one-dimensional; "
            f"got shapes {score.shape}, {label.shape} and {unit.shape}"
        )
    known = ~np.isnan(label)
    if not np.isin(label[known], (0, 1)).all():
        raise ValueError("truth must be 1, 0 or NaN: decide about uncertain labels first")
    if not np.isfinite(score[known]).all():
        raise ValueError("a score is NaN or infinite where the truth is known")
    if unit.size and unit.dtype.kind not in "iu":
        raise ValueError(f"units must be whole numbers; got {unit.dtype}")
    if unit.size and not 0 <= unit.min() <= unit.max() < (np.inf if n_units is None else n_units):
        raise ValueError(
            f"units must be numbers from 0 to n_units - 1; got {unit.min()} to {unit.max()}"
            + ("" if n_units is None else f" and {n_units} units")
        )
    return (score if score.ndim == 2 else score[:, None]), label, unit.astype(np.int64)
