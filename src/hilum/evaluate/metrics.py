"""How well scores rank the images that have a finding above those that have not.

Every statistic here is computed for many weightings of the same images at once. A finding is
sorted a single time; what a weighting changes is only how much each image counts, so a bootstrap
resample, which draws some patients twice and others not at all, is one column of weights. The
sorted order is stored as three sparse matrices that add up the weights of the images between two
successive positives, and 1,000 resamples are three sparse products instead of 1,000 sorts.
"""

from collections.abc import Callable
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
class Ranking:
    """One finding's images in the order of their scores, ready for any weighting of the units.

    A unit is what is weighted as a whole: an image, or a patient with all their images.

    Parameters
    ----------
    positives, tied : (n_steps, n_units)
        How many positives, and negatives, of each unit have each step's score.
    between : (n_steps + 1, n_units)
        How many negatives of each unit lie above each step and below the one before it; the
        last row holds those below the last step.
    """

    positives: csr_array
    tied: csr_array
    between: csr_array

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


def rank(scores: ArrayLike, truth: ArrayLike, units: ArrayLike | None = None) -> Ranking:
    """Sort one finding's images by score, once.

    Parameters
    ----------
    scores : (n_images,)
        Any finite numbers; higher means more likely present.
    truth : (n_images,)
        1, 0, or NaN where unknown; those images take no part.
    units : (n_images,)
        The unit that each image belongs to, 0 ... n_units - 1; by default its own.

    Raises
    ------
    ValueError
        If the arrays differ in length, truth is neither 0, 1 nor NaN, or a score is not finite
        where the truth is known.
    """
    score, label = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    unit = np.arange(score.size) if units is None else np.asarray(units, dtype=np.int64)
    known = ~np.isnan(label)
    _check(score, label, unit, known)
    n_units = int(unit.max(initial=-1)) + 1
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
    )


def _check(score: Floats, label: Floats, unit: NDArray[np.int64], known: NDArray[np.bool_]) -> None:
    if score.ndim != 1 or not score.shape == label.shape == unit.shape:
        raise ValueError(
            "scores, truth and units must be one-dimensional and of one length; "
            f"got shapes {score.shape}, {label.shape} and {unit.shape}"
        )
    if not np.isin(label[known], (0, 1)).all():
        raise ValueError("truth must be 1, 0 or NaN: decide about uncertain labels first")
    if not np.isfinite(score[known]).all():
        raise ValueError("a score is NaN or infinite where the truth is known")


def _counts(
    rows: NDArray[np.int64], columns: NDArray[np.int64], n_rows: int, n_columns: int
) -> csr_array:
    ones = np.ones(rows.size)
    counts = csr_array((ones, (rows, columns)), shape=(n_rows, n_columns))
    counts.sum_duplicates()
    return counts


def step_auroc(steps: Steps) -> Floats:
    """Return the area under the ROC curve of each weighting, NaN where a class is absent.

    The probability that a positive drawn at random scores above a negative drawn at random,
    ties counting one half (Hanley and McNeil, Radiology 143:29-36, 1982).
    """
    below = steps.total_negatives - steps.above - steps.tied / 2
    won = np.einsum("sw,sw->w", steps.positives, below)
    pairs = steps.total_positives * steps.total_negatives
    out: Floats = np.full(pairs.shape, np.nan)
    np.divide(won, pairs, out=out, where=pairs > 0)
    return out


def step_average_precision(steps: Steps) -> Floats:
    """Return the average precision of each weighting, NaN where a class is absent.

    The sum over thresholds of precision times the gain in recall, without interpolation; images
    of equal score cross a threshold together.
    """
    found = np.cumsum(steps.positives, axis=0)
    called = found + steps.above + steps.tied
    precision = np.divide(found, called, out=np.zeros(called.shape), where=called > 0)
    gained = np.einsum("sw,sw->w", steps.positives, precision)
    defined = (steps.total_positives > 0) & (steps.total_negatives > 0)
    out: Floats = np.full(defined.shape, np.nan)
    np.divide(gained, steps.total_positives, out=out, where=defined)
    return out


STATISTICS: Final[dict[str, Callable[[Steps], Floats]]] = {
    "auroc": step_auroc,
    "average_precision": step_average_precision,
}


def _one(
    statistic: Callable[[Steps], Floats],
    scores: ArrayLike,
    truth: ArrayLike,
    weights: ArrayLike | None,
) -> float:
    ranking = rank(scores, truth)
    n_units = ranking.positives.shape[1]
    weight = np.ones(n_units) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n_units,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(f"weights must be {n_units} finite numbers, none below 0")
    return float(statistic(ranking.weigh(weight[:, None]))[0])


def auroc(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve, ties counting one half.

    Parameters
    ----------
    scores, truth : (n_images,)
        As in `rank`.
    weights : (n_images,)
        How much each image counts, not negative; a weight of 2 is the image twice.

    Returns
    -------
    A number from 0 to 1, or NaN where only one class is known.

    >>> auroc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    0.875
    """
    return _one(step_auroc, scores, truth, weights)


def average_precision(
    scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return the average precision; parameters as in `auroc`.

    It is NaN where only one class is known: with no negatives every ranking has precision 1,
    which says nothing about the scores.
    """
    return _one(step_average_precision, scores, truth, weights)
