"""How well images of a class that was never taught stand out among the others.

Beside the AUROC and the average precision (AUPR), the share of false alarms at a threshold that
finds nearly all: Hendrycks, Mazeika and Dietterich (ICLR 2019, arXiv:1812.04606) report the false
positive rate at 95 % recall. They take the threshold whose recall is nearest to 95 %, below it or
above; here it is the highest with *at least* that recall, so the number keeps its promise.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from hilum.evaluate.draws import MEMORY, Draws
from hilum.evaluate.intervals import Measure, percentile
from hilum.evaluate.ranking import Floats, Ranking, Steps, rank, step_auroc, step_average_precision

ROUNDING: Final = 1e-9
"""Of a sum of weights: a recall this little below the one asked for has reached it."""


def step_false_alarms(steps: Steps, recall: float) -> Floats:
    """Return the false positive rate at the highest threshold with at least this recall.

    Images of equal score are called together. NaN where a class has no weight.

    Parameters
    ----------
    steps
        Of n weightings.
    recall
        Above 0 and at most 1.

    Returns
    -------
    (n,)
    """
    found = np.cumsum(steps.positives, axis=0)
    out = np.full(steps.total_negatives.shape, np.nan)
    if not len(found):
        return out
    first = (found >= recall * steps.total_positives * (1 - ROUNDING)).argmax(axis=0)
    called = np.take_along_axis(steps.above + steps.tied, first[None], axis=0)[0]
    both = (steps.total_positives > 0) & (steps.total_negatives > 0)
    np.divide(called, steps.total_negatives, out=out, where=both)
    return out


def name_of(recall: float) -> str:
    """Return what the false positive rate at a recall is called: ``fpr@95``."""
    return f"fpr@{100 * recall:g}"


def outlier_measures(
    scores: ArrayLike, truth: ArrayLike, patients: ArrayLike, draws: Draws, level: float,
    recall: float = 0.95,
) -> dict[str, Measure]:  # fmt: skip
    """Measure how well scores tell outliers, with percentile intervals that resample patients.

    Parameters
    ----------
    scores, truth : (n_images,)
        Higher is more likely present; 1, 0, or NaN where unknown. Both classes are there.
    patients : (n_images,)
        Whose, 0 ... `draws.n_units` - 1.
    draws
        The resamples of patients.
    level
        Coverage of the intervals.
    recall
        Of the false positive rate.

    Returns
    -------
    ``auroc``, ``average_precision`` and ``fpr@95`` (with the recall in its name; lower is better).
    """
    _check(recall)
    ranking = rank(scores, truth, patients, draws.n_units)
    estimates = _statistics(ranking, np.ones((draws.n_units, 1)), recall)
    replicates = {name: np.full(draws.resamples, np.nan) for name in estimates}
    held = 8 * (3 * draws.n_units) + 3 * ranking.bytes_per_weighting
    for place, weights in draws.counts(int(np.clip(MEMORY // held, 1, 512))):
        for name, values in _statistics(ranking, weights, recall).items():
            replicates[name][place] = values
    return {
        name: percentile(float(value[0]), replicates[name], level)
        for name, value in estimates.items()
    }


def _statistics(ranking: Ranking, weights: Floats, recall: float) -> dict[str, Floats]:
    steps = ranking.weigh(weights)
    return {
        "auroc": step_auroc(steps),
        "average_precision": step_average_precision(steps),
        name_of(recall): step_false_alarms(steps, recall),
    }


def _check(recall: float) -> None:
    if not 0 < recall <= 1:
        raise ValueError(f"a recall is above 0 and at most 1; got {recall}")
