"""Whether a score of 0.3 means three in ten: Brier score, calibration error, reliability.

Only scores between 0 and 1 can be calibrated or not; for others these statistics are undefined,
never an error. The expected calibration error is that of the score as the probability of the
finding, not of the likelier class: in `bins` bins of equal width it is the mean distance between
what the scores say and what is there, weighted by images (Naeini et al., AAAI 2015; Guo et al.,
ICML 2017, arXiv:1706.04599). It is not 0 for a calibrated model: chance alone moves each bin, so it
compares models on the same images and says little across test sets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from hilum.errors import UsageError
from hilum.evaluate.proportions import wilson
from hilum.evaluate.ranking import Floats

BINS: Final = 15
"""Of Guo et al., and so of most published figures."""

Ints = NDArray[np.int64]


def why_not_probabilities(scores: ArrayLike) -> str | None:
    """Say why scores cannot be probabilities, or None where they can; NaN are passed over."""
    score = np.asarray(scores, dtype=np.float64)
    score = score[~np.isnan(score)]
    if not score.size or (score.min() >= 0 and score.max() <= 1):
        return None
    return (
        f"the scores are not probabilities: they go from {score.min():.4g} to {score.max():.4g}; "
        "calibrate them on validation images to get some"
    )


def equal_width(scores: Floats, bins: int) -> Ints:
    """Return the bin of each score in [0, 1]: ((m - 1) / bins, m / bins], the first with its 0."""
    inner = np.arange(1, bins) / bins  # exact quotients: 0.07 lies on the edge 7/100
    return np.searchsorted(inner, scores, side="left").astype(np.int64)


def equal_count(scores: Floats, bins: int) -> Ints:
    """Return the bin of each score so that bins hold about as many; equal scores stay together.

    A group of equal scores goes where the middle of its ranks lies. Some bins may stay empty.
    """
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(sizes) - sizes / 2
    return np.floor(middle * bins / scores.size).astype(np.int64)[group]


SPACINGS: Final[Mapping[str, Callable[[Floats, int], Ints]]] = {
    "width": equal_width,
    "count": equal_count,
}


@dataclass(frozen=True, eq=False)
class Reliability:
    """What is there against what the scores say; bins without images are left out.

    Parameters
    ----------
    expected : (n_bins,)
        Mean score of the bin's images, ascending.
    observed : (n_bins,)
        Share of them that have the finding.
    low, high : (n_bins,)
        Ends of its interval (Wilson's, for patients); NaN where one patient has them all.
    counts : (n_bins,)
        How many they are.
    """

    expected: Floats
    observed: Floats
    low: Floats
    high: Floats
    counts: Ints


def reliability(
    scores: ArrayLike,
    truth: ArrayLike,
    units: ArrayLike | None = None,
    *,
    bins: int = BINS,
    spacing: str = "width",
    level: float = 0.95,
) -> Reliability:
    """Return the reliability curve of one finding.

    Parameters
    ----------
    scores : (n_images,)
        Probabilities; NaN only where truth is NaN.
    truth : (n_images,)
        1, 0, or NaN where unknown; those images take no part.
    units : (n_images,)
        The patient of each image, 0 ... n_units - 1; by default its own.
    bins
        How many there are, 1 or more.
    spacing
        ``"width"``, bins of one width, or ``"count"``, bins of about as many images each: better
        where most scores are near 0. Equal scores are never parted.
    level
        Coverage aimed at by the intervals.

    Raises
    ------
    ValueError
        If the arrays cannot be used, or the scores are not probabilities.
    UsageError
        If there is no such spacing, or `bins` or `level` is out of range.
    """
    if spacing not in SPACINGS:
        raise UsageError(f"{spacing!r} is not a spacing of bins; choose {' or '.join(SPACINGS)}")
    _check_bins(bins)
    images = _known(scores, truth, units)
    if reason := why_not_probabilities(images.scores):
        raise ValueError(reason)
    if not images.scores.size:
        none = np.empty(0)
        return Reliability(none, none, none, none, none.astype(np.int64))
    rows = []
    place = SPACINGS[spacing](images.scores, bins)
    for at in np.unique(place):
        inside = place == at
        unit, label = images.units[inside], images.labels[inside]
        share = wilson(np.bincount(unit, weights=label), np.bincount(unit), level)
        ends = [np.nan if end is None else end for end in (share.low, share.high)]
        rows.append((images.scores[inside].mean(), label.mean(), *ends, inside.sum()))
    expected, observed, low, high, counts = np.array(rows, dtype=np.float64).T
    return Reliability(expected, observed, low, high, counts.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Probabilities:
    """One finding's scores as probabilities, added up per unit for any weighting of the units.

    Both statistics are ratios of sums over images, so the sums of a resample are weighted sums of
    the units' own. The distance of score and label is summed per bin before its size is taken:
    that is the calibration error of the bin times its weight.

    Parameters
    ----------
    images : (n_units,)
        Images with a known label.
    squares : (n_units,)
        Sum of (score - label)².
    gaps : (n_bins, n_units)
        Sum of (score - label) of the images whose score lies in the bin.
    """

    images: Floats
    squares: Floats
    gaps: csr_array

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        truth: ArrayLike,
        units: ArrayLike | None = None,
        bins: int = BINS,
        n_units: int | None = None,
    ) -> "Probabilities":
        """Add up one finding's images per unit.

        Parameters
        ----------
        scores, truth, units : (n_images,)
            As in `reliability`, but the scores may be any numbers: outside [0, 1] both
            statistics are NaN, and `why_not_probabilities` has the reason.
        bins
            Of the calibration error, of equal width.
        n_units
            How many units there are; by default the largest number plus one.

        Raises
        ------
        ValueError
            If the arrays cannot be used.
        UsageError
            If `bins` is below 1.
        """
        _check_bins(bins)
        known = _known(scores, truth, units)
        n_units = known.n_units if n_units is None else n_units
        gap = known.scores - known.labels
        place = np.zeros(gap.size, dtype=np.int64)
        if why_not_probabilities(known.scores) is None:
            place = equal_width(known.scores, bins)
        else:
            gap[:] = np.nan
        gaps = csr_array((gap, (place, known.units)), shape=(bins, n_units))
        gaps.sum_duplicates()
        return cls(
            images=np.bincount(known.units, minlength=n_units).astype(np.float64),
            squares=np.bincount(known.units, gap**2, n_units).astype(np.float64),
            gaps=gaps,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The statistics' names."""
        return ("brier", "ece")

    @property
    def n_units(self) -> int:
        """How many units there are to weight."""
        return len(self.images)

    @property
    def bytes_per_weighting(self) -> int:
        """What one weighting takes while it is measured."""
        return 8 * (2 * self.gaps.shape[0] + 4)

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Compute both for each column of `weights` (n_units, n_weightings).

        NaN where no image has weight, or the scores are not probabilities.
        """
        weight = self.images @ weights
        return {
            "brier": _ratio(self.squares @ weights, weight),
            "ece": _ratio(np.abs(self.gaps @ weights).sum(axis=0), weight),
        }

    def influence(self) -> dict[str, Floats]:
        """Return the derivatives by each unit's weight (n_units,) at weights of 1.

        The calibration error has a kink where a bin is exactly right; such a bin adds nothing.
        """
        ones = np.ones((self.n_units, 1))
        value = {name: float(found[0]) for name, found in self.measure(ones).items()}
        signs = np.sign(self.gaps @ ones[:, 0])
        sums = {"brier": self.squares, "ece": self.gaps.T @ signs}
        total = np.full(self.n_units, self.images.sum())
        return {name: _ratio(sums[name] - value[name] * self.images, total) for name in sums}


@dataclass(frozen=True, eq=False)
class _Images:
    """One finding's images with a known label."""

    scores: Floats
    labels: Floats
    units: Ints
    n_units: int


def _known(scores: ArrayLike, truth: ArrayLike, units: ArrayLike | None) -> _Images:
    score, label = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    unit = np.arange(score.size) if units is None else np.asarray(units, dtype=np.int64)
    if score.ndim != 1 or not score.shape == label.shape == unit.shape:
        raise ValueError(
            "scores, truth and units must be one-dimensional and of one length; "
            f"got shapes {score.shape}, {label.shape} and {unit.shape}"
        )
    kept = ~np.isnan(label)
    if not np.isin(label[kept], (0, 1)).all():
        raise ValueError("truth must be 1, 0 or NaN: decide about uncertain labels first")
    if np.isnan(score[kept]).any():
        raise ValueError("a score is NaN where the truth is known")
    return _Images(score[kept], label[kept], unit[kept], int(unit.max(initial=-1)) + 1)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise UsageError(f"there must be 1 or more bins, got {bins}")


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    out: Floats = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
