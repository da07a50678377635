"""AUROCs of the same scores with patients drawn again, for many tasks at once.

Tasks share images, and images share patients: a hundred tasks from fifty patients are not a hundred
independent experiments. So the query's patients are drawn again with replacement, the same ones for
every task, finding and strategy, and each task's AUROC is that of its images in those patients'
multiplicity (resampling of clusters: Davison and Hinkley, Bootstrap Methods, 1997, section 3.8).
What was picked, and the labels it was picked from, stay as they are.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.evaluate.draws import Draws
from hilum.select.pool import Floats, Rows
from hilum.select.tasks import Tasks

Counts = NDArray[np.uint8]

_AT_ONCE: Final = 100  # resamples drawn, or measured, at a time


def draw_patients(n_patients: int, resamples: int, seed: int) -> Counts:
    """Draw as many patients as there are, with replacement, again and again.

    Returns
    -------
    (n_patients, resamples)
        How often each is drawn; hardly ever more than ten times.
    """
    out = np.empty((n_patients, resamples), dtype=np.uint8)
    for part, counts in Draws(n_patients, resamples, seed).counts(_AT_ONCE):
        out[:, part] = np.minimum(counts, 255)
    return out


def resampled_means(scores: ArrayLike, tasks: Tasks, owner: Rows, counts: Counts) -> Floats:
    """Return the mean AUROC over tasks in every resample of patients.

    Parameters
    ----------
    scores : (n_tasks, n_ways, n_query)
        Of the query images, in several ways.
    tasks
        The tasks; only their queries matter here.
    owner : (n_images,)
        The number of each image's patient.
    counts : (n_patients, resamples)
        How often each patient is there.

    Returns
    -------
    (n_ways, resamples)
        A task takes no part in a resample that leaves it one class. NaN where that is all tasks.
    """
    values = np.asarray(scores, dtype=np.float64)
    total = np.zeros((values.shape[1], counts.shape[1]))
    defined = np.zeros(counts.shape[1])
    for score, query, truth in zip(values, tasks.query, tasks.query_labels, strict=True):
        positive, negative = truth == 1, truth == 0
        wins = _wins(score[:, positive], score[:, negative])
        for start in range(0, counts.shape[1], _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            area = _weighted(
                wins, counts[owner[query[positive]], part], counts[owner[query[negative]], part]
            )
            there = ~np.isnan(area[0])  # whether both classes are, which is the same for all ways
            total[:, part] += np.where(there, area, 0)
            defined[part] += there
    return np.asarray(
        np.divide(total, defined, out=np.full(total.shape, np.nan), where=defined > 0),
        dtype=np.float64,
    )


def _wins(positive: Floats, negative: Floats) -> Floats:
    """Return 1, one half or 0 (n_ways, n_positive, n_negative) for each pair of scores."""
    left, right = positive[:, :, None], negative[:, None, :]
    return np.asarray((left > right) + 0.5 * (left == right), dtype=np.float64)


def _weighted(wins: Floats, positive: Counts, negative: Counts) -> Floats:
    """Return AUROCs (n_ways, resamples) with so many of each image, NaN without a class."""
    plus, minus = positive.astype(np.float64), negative.astype(np.float64)
    ways, n_positive, n_negative = wins.shape
    beaten = (wins.reshape(-1, n_negative) @ minus).reshape(ways, n_positive, -1)
    won = np.einsum("wpr,pr->wr", beaten, plus)
    pairs = plus.sum(axis=0) * minus.sum(axis=0)
    return np.asarray(
        np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0), dtype=np.float64
    )
