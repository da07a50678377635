"""Recall and the median place, with intervals that resample patients."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import gammaln

from hilum.evaluate.draws import MEMORY, Draws
from hilum.evaluate.intervals import Measure, percentile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MEDIAN: Final = "median_rank"


def measures(
    found: Ints, patients: Ints, k: Sequence[int], draws: Draws, level: float
) -> dict[str, Measure]:
    """Return recall at each k and the median place.

    Parameters
    ----------
    found : (n,)
        The place of the first right answer to each query, from 1.
    patients : (n,)
        Whose query it is, 0 ... `draws.n_units` - 1.
    k
        A right answer counts if its place is at most k.
    draws
        The resamples of patients.
    level
        Coverage of the intervals.
    """
    order, value = np.unique(found, return_inverse=True)
    ones = np.ones(len(found))
    counts = csr_array((ones, (value, patients)), shape=(len(order), draws.n_units))

    def statistics(weights: Floats) -> dict[str, Floats]:
        drawn: Floats = np.asarray(counts @ weights)  # (n_places, m) queries by their place
        return {**_recalls(order, drawn, k), MEDIAN: _median(order, drawn)}

    estimates = {
        name: float(value[0]) for name, value in statistics(np.ones((draws.n_units, 1))).items()
    }
    if draws.n_units == 1:
        reason = "no interval: all queries are of one patient"
        return {name: Measure(value, reason=reason) for name, value in estimates.items()}
    replicates = {name: np.empty(draws.resamples) for name in estimates}
    chunk = int(np.clip(MEMORY // (3 * 8 * (draws.n_units + len(order))), 1, 512))
    for place, weights in draws.counts(chunk):
        for name, drawn in statistics(weights).items():
            replicates[name][place] = drawn
    return {name: percentile(value, replicates[name], level) for name, value in estimates.items()}


def _recalls(order: Ints, counts: Floats, k: Sequence[int]) -> dict[str, Floats]:
    total = counts.sum(axis=0)
    return {f"recall@{one}": counts[order <= one].sum(axis=0) / total for one in k}


def _median(order: Ints, counts: Floats) -> Floats:
    """Return the middle place; of an even number of queries the mean of the two in the middle."""
    reached = np.cumsum(counts, axis=0)
    half = reached[-1] / 2
    lower, upper = ((reached >= half).argmax(axis=0), (reached > half).argmax(axis=0))
    middle: Floats = (order[lower] + order[upper]) / 2
    return middle


def by_chance(answers: int, right: Ints, k: int) -> float:
    """Return the recall of answers in random order.

    Parameters
    ----------
    answers
        How many there are.
    right : (n,)
        How many of them are right, for each query.
    k
        A query counts if one of the first k is right: 1 - C(wrong, k) / C(answers, k).
    """
    wrong = (answers - right).astype(np.float64)
    some = wrong >= k  # else there are not k wrong ones
    missed = np.zeros(len(right))
    missed[some] = np.exp(
        gammaln(wrong[some] + 1) - gammaln(wrong[some] - k + 1)
        - gammaln(answers + 1.0) + gammaln(answers - k + 1.0)
    )  # fmt: skip
    return float(1 - missed.mean())
