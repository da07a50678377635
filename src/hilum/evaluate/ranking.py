"""One finding's images in the order of their scores, ready for any weighting of the patients.

Every statistic of a ranking is computed for many weightings of the same images at once. A finding
is sorted a single time; what a weighting changes is only how much each image counts, so a
bootstrap resample, which draws some patients twice and others not at all, is one column of
weights. The sorted order is stored as three sparse matrices that add up the weights of the images
between two successive positives, and 1,000 resamples are three sparse products instead of 1,000
sorts. The same matrices, transposed, carry a statistic's derivative back to each patient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Steps:
    """Weights met while going down the scores, a step at each score that a positive has.

    Parameters
    ----------
    positives, tied : (n_steps, n_weightings)
        Weight of the positives, and of the negatives, that have the step's score.
    above : (n_steps, n_weightings)
        Weight of the negatives with a higher score.
    total_positives, total_negatives : (n_weightings,)
        Weight of all of them; where one is 0 the statistics are undefined.
    """

    positives: Floats
    tied: Floats
    above: Floats
    total_positives: Floats
    total_negatives: Floats


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of one statistic with respect to each field of `Steps`, shaped like it.

    The totals are taken for variables of their own: their slopes are what a statistic gains from
    a larger total while the steps stay as they are.
    """

    positives: Floats
    tied: Floats
    above: Floats
    total_positives: float
    total_negatives: float


@dataclass(frozen=True)
class RankStatistic:
    """A statistic of a ranking.

    Parameters
    ----------
    value
        From steps to (n_weightings,), NaN where a class has no weight.
    slopes
        From steps of one weighting, in which both classes have weight, to the derivatives.
    """

    value: Callable[[Steps], Floats]
    slopes: Callable[[Steps], Slopes]


def step_auroc(steps: Steps) -> Floats:
    """Return the area under the ROC curve of each weighting, NaN where a class is absent.

    The probability that a positive drawn at random scores above a negative drawn at random,
    ties counting one half (Hanley and McNeil, Radiology 143:29-36, 1982).
    """
    below = steps.total_negatives - steps.above - steps.tied / 2
    won = np.einsum("sw,sw->w", steps.positives, below)
    return _ratio(won, steps.total_positives * steps.total_negatives)


def _auroc_slopes(steps: Steps) -> Slopes:
    positives, negatives = float(steps.total_positives[0]), float(steps.total_negatives[0])
    area, pairs = float(step_auroc(steps)[0]), positives * negatives
    return Slopes(
        positives=(negatives - steps.above - steps.tied / 2) / pairs,
        tied=-steps.positives / (2 * pairs),
        above=-steps.positives / pairs,
        total_positives=-area / positives,
        total_negatives=(1 - area) / negatives,
    )


def step_average_precision(steps: Steps) -> Floats:
    """Return the average precision of each weighting, NaN where a class is absent.

    The sum over thresholds of precision times the gain in recall, without interpolation; images
    of equal score cross a threshold together.
    """
    found = np.cumsum(steps.positives, axis=0)
    called = found + steps.above + steps.tied
    precision = np.divide(found, called, out=np.zeros(called.shape), where=called > 0)
    gained = np.einsum("sw,sw->w", steps.positives, precision)
    both = (steps.total_positives > 0) & (steps.total_negatives > 0)
    return _ratio(gained, np.where(both, steps.total_positives, 0))


def _average_precision_slopes(steps: Steps) -> Slopes:
    total = float(steps.total_positives[0])
    found = np.cumsum(steps.positives, axis=0)
    called = found + steps.above + steps.tied
    precision = found / called
    lost = -steps.positives * precision / called / total  # by one more image called at the step
    gained = steps.positives / called / total  # by one more positive found at the step
    return Slopes(
        positives=precision / total + _from_here_on(gained + lost),
        tied=lost,
        above=lost,
        total_positives=-float(step_average_precision(steps)[0]) / total,
        total_negatives=0.0,
    )


def partial_area(max_fpr: float) -> RankStatistic:
    """Return the area under the ROC curve up to a false positive rate, standardised.

    The area between 0 and `max_fpr` is put on AUROC's scale, on which 0.5 is chance and 1 is
    perfect (McClish, Med Decis Making 9:190-195, 1989; as scikit-learn's ``max_fpr``).
    """
    chance, whole = max_fpr**2 / 2, max_fpr
    scale = 1 / (2 * (whole - chance))

    def value(steps: Steps) -> Floats:
        both = (steps.total_positives > 0) & (steps.total_negatives > 0)
        heights, _, _ = _widths(steps, max_fpr)
        area = _ratio(
            np.einsum("sw,sw->w", steps.positives, heights),
            np.where(both, steps.total_positives, 0),
        )
        return 0.5 + scale * (area - chance)

    def slopes(steps: Steps) -> Slopes:
        positives, negatives = float(steps.total_positives[0]), float(steps.total_negatives[0])
        width, by_first, by_last = _widths(steps, max_fpr)
        share = scale * steps.positives / positives
        first, last = steps.above / negatives, (steps.above + steps.tied) / negatives
        return Slopes(
            positives=scale * width / positives,
            tied=share * by_last / negatives,
            above=share * (by_first + by_last) / negatives,
            total_positives=-float((share * width).sum()) / positives,
            total_negatives=-float((share * (by_first * first + by_last * last)).sum()) / negatives,
        )

    return RankStatistic(value, slopes)


def _widths(steps: Steps, max_fpr: float) -> tuple[Floats, Floats, Floats]:
    """Return each step's mean distance from its false positive rate to `max_fpr`, at least 0.

    A step with ties is a slanted line from a first to a last false positive rate. Also returned
    are the distance's derivatives by those two.
    """
    negatives = np.where(steps.total_negatives > 0, steps.total_negatives, 1)
    first = steps.above / negatives
    span = steps.tied / negatives
    left = np.clip(max_fpr - first, 0, None)
    crossed = np.clip(max_fpr - first - span, 0, None)
    flat = span == 0
    share = np.divide(left - crossed, span, out=(left > 0).astype(np.float64), where=~flat)
    width = np.where(flat, left, share * (left + crossed) / 2)
    by_last = -(share**2) / 2
    return width, -share - by_last, by_last


STATISTICS: Final[Mapping[str, RankStatistic]] = {
    "auroc": RankStatistic(step_auroc, _auroc_slopes),
    "average_precision": RankStatistic(step_average_precision, _average_precision_slopes),
}


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    out: Floats = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _from_here_on(values: Floats) -> Floats:
    """Return, for each step, the sum of its value and all later ones."""
    sums: Floats = np.cumsum(values[::-1], axis=0)[::-1]
    return sums


@dataclass(frozen=True, eq=False)
class Ranking:
    """The sorted images of one finding.

    A unit is what is weighted as a whole: an image, or a patient with all their images.

    Parameters
    ----------
    positives, tied : (n_steps, n_units)
        How many positives, and negatives, of each unit have each step's score.
    between : (n_steps + 1, n_units)
        How many negatives of each unit lie above each step and below the one before it; the
        last row holds those below the last step.
    statistics
        What `measure` computes.
    """

    positives: csr_array
    tied: csr_array
    between: csr_array
    statistics: Mapping[str, RankStatistic]

    @property
    def names(self) -> tuple[str, ...]:
        """The statistics' names."""
        return tuple(self.statistics)

    @property
    def n_units(self) -> int:
        """How many units there are to weight."""
        return int(self.positives.shape[1])

    @property
    def bytes_per_weighting(self) -> int:
        """What one weighting takes while it is measured; about seven arrays of steps live."""
        return 8 * (7 * int(self.positives.shape[0]) + 1)

    def weigh(self, weights: Floats) -> Steps:
        """Add up `weights` (n_units, n_weightings) along the order."""
        positives = self.positives @ weights
        tied = self.tied @ weights
        between = self.between @ weights
        total = between.sum(axis=0) + tied.sum(axis=0)
        above = np.cumsum(between[:-1], axis=0)
        if self.tied.nnz:
            above[1:] += np.cumsum(tied, axis=0)[:-1]
        return Steps(positives, tied, above, positives.sum(axis=0), total)

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Compute every statistic for each column of `weights` (n_units, n_weightings)."""
        steps = self.weigh(weights)
        return {name: statistic.value(steps) for name, statistic in self.statistics.items()}

    def influence(self) -> dict[str, Floats]:
        """Return each statistic's derivative by each unit's weight (n_units,) at weights of 1.

        The empirical influence function of Efron (The Jackknife, the Bootstrap and Other
        Resampling Plans, 1982, chapter 6), exact rather than by leaving patients out one by one.
        """
        steps = self.weigh(np.ones((self.n_units, 1)))
        if not (steps.total_positives[0] > 0 and steps.total_negatives[0] > 0):
            return {name: np.full(self.n_units, np.nan) for name in self.statistics}
        return {
            name: self._pull_back(statistic.slopes(steps))
            for name, statistic in self.statistics.items()
        }

    def _pull_back(self, slopes: Slopes) -> Floats:
        """Apply the transpose of `weigh`."""
        below = _from_here_on(slopes.above[:, 0])  # a negative is above every later step
        none = np.zeros(1)
        positive = slopes.positives[:, 0] + slopes.total_positives
        tied = slopes.tied[:, 0] + np.concatenate([below[1:], none]) + slopes.total_negatives
        between = np.concatenate([below, none]) + slopes.total_negatives
        out: Floats = self.positives.T @ positive + self.tied.T @ tied + self.between.T @ between
        return out


def rank(
    scores: ArrayLike,
    truth: ArrayLike,
    units: ArrayLike | None = None,
    n_units: int | None = None,
    statistics: Mapping[str, RankStatistic] = STATISTICS,
) -> Ranking:
    """Sort one finding's images by score, once.

    Parameters
    ----------
    scores : (n_images,)
        Any finite numbers; higher means more likely present.
    truth : (n_images,)
        1, 0, or NaN where unknown; those images take no part.
    units : (n_images,)
        The unit that each image belongs to, 0 ... n_units - 1; by default its own.
    n_units
        How many units there are; by default the largest number plus one.
    statistics
        What the ranking is to measure.

    Raises
    ------
    ValueError
        If the arrays differ in length, truth is neither 0, 1 nor NaN, a score is not finite
        where the truth is known, or a unit is not one of the `n_units`.
    """
    score, label = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    unit, n_units = number_units(units, score.size, n_units)
    known = ~np.isnan(label)
    check(score, label, unit)
    order = np.argsort(-score[known], kind="stable")
    score, positive = score[known][order], label[known][order] == 1
    unit = unit[known][order]
    # images of equal score share a step, so that ties count one half whatever their order
    group = np.concatenate([[0], np.cumsum(score[1:] != score[:-1])])[: score.size]
    has_positive = np.bincount(group, weights=positive, minlength=1) > 0
    step = np.cumsum(has_positive)[group]  # steps down to and including this image's score
    tied = ~positive & has_positive[group]
    free = ~positive & ~tied
    n_steps = int(has_positive.sum())
    return Ranking(
        positives=_counts(step[positive] - 1, unit[positive], n_steps, n_units),
        tied=_counts(step[tied] - 1, unit[tied], n_steps, n_units),
        between=_counts(step[free], unit[free], n_steps + 1, n_units),
        statistics=statistics,
    )


def check(score: Floats, label: Floats, unit: NDArray[np.int64]) -> None:
    """Raise ValueError unless these are scores, truth and units of the same images."""
    known = ~np.isnan(label)
    if score.ndim != 1 or not score.shape == label.shape == unit.shape:
        raise ValueError(
            "scores, truth and units must be one-dimensional and of one length; "
            f"got shapes {score.shape}, {label.shape} and {unit.shape}"
        )
    if not np.isin(label[known], (0, 1)).all():
        raise ValueError("truth must be 1, 0 or NaN: decide about uncertain labels first")
    if not np.isfinite(score[known]).all():
        raise ValueError("a score is NaN or infinite where the truth is known")


def number_units(
    units: ArrayLike | None, n_images: int, n_units: int | None
) -> tuple[NDArray[np.int64], int]:
    """Return each image's unit, by default its own, and how many units there are.

    Raises
    ------
    ValueError
        If a unit is not a whole number from 0 to n_units - 1.
    """
    given = np.arange(n_images) if units is None else np.asarray(units)
    unit = given.astype(np.int64)
    least, most = int(unit.min(initial=0)), int(unit.max(initial=-1))
    count = most + 1 if n_units is None else n_units
    if least < 0 or most >= count or (unit != given).any():
        raise ValueError(
            f"units must be whole numbers from 0 to {count - 1}, got {given.min()} to {given.max()}"
        )
    return unit, count


def _counts(
    rows: NDArray[np.int64], columns: NDArray[np.int64], n_rows: int, n_columns: int
) -> csr_array:
    ones = np.ones(rows.size)
    counts = csr_array((ones, (rows, columns)), shape=(n_rows, n_columns))
    counts.sum_duplicates()
    return counts
