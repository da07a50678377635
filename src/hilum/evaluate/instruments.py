"""What measures one finding, and why the rest of its statistics is undefined."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.evaluate import decisions, ranking
from hilum.evaluate.calibration import Probabilities, why_not_probabilities
from hilum.evaluate.draws import Instrument
from hilum.evaluate.plan import Plan
from hilum.evaluate.ranking import Floats, RankStatistic
from hilum.evaluate.units import Units

PROBABILITY: Final = ("brier", "ece")
NO_THRESHOLD: Final = "no threshold was given"

Limit = float | str
"""A score at or above it is a positive reading; a text says why there is no such number."""

_NEEDS_POSITIVES: Final = (
    "auroc",
    "average_precision",
    "partial_auroc",
    "f1",
    "mcc",
    "sensitivity",
)
_NEEDS_NEGATIVES: Final = ("auroc", "average_precision", "partial_auroc", "mcc", "specificity")
_CALLED: Final[Mapping[str, tuple[str, list[int]]]] = {  # cells of TP, FP, FN, TN
    "ppv": ("positive", [0, 1]),
    "npv": ("negative", [2, 3]),
}


def instruments_of(
    scores: Floats,
    labels: NDArray[np.float32],
    threshold: Limit,
    units: Units,
    plan: Plan,
) -> tuple[list[Instrument], dict[str, str]]:
    """Make a finding's instruments.

    Parameters
    ----------
    scores, labels : (n_images,)
        Labels are 1, 0 or NaN; where one is known, so is the score.
    threshold
        Or why there is none.
    units, plan
        What is resampled, and what is wanted.

    Returns
    -------
    The instruments, and by statistic why it has none.
    """
    places = (units.numbers, units.count)
    made: list[Instrument] = []
    why: dict[str, str] = {}
    if statistics := _rank_statistics(plan):
        if reason := one_class(labels):
            why |= dict.fromkeys(statistics, reason)
        else:
            made.append(ranking.rank(scores, labels, *places, statistics))
    if any(name in plan.wanted() for name in decisions.STATISTICS):
        if isinstance(threshold, str):
            why |= dict.fromkeys(decisions.STATISTICS, threshold)
        else:
            called = np.where(np.isnan(scores), np.nan, scores >= threshold)
            made.append(decisions.decide(called, labels, *places))
    if any(name in plan.wanted() for name in PROBABILITY):
        if reason := why_not_probabilities(scores[~np.isnan(labels)]):
            why |= dict.fromkeys(PROBABILITY, reason)
        else:
            made.append(Probabilities.of(scores, labels, units.numbers, plan.bins, units.count))
    return made, why


def _rank_statistics(plan: Plan) -> Mapping[str, RankStatistic]:
    everything = dict(ranking.STATISTICS)
    if plan.max_fpr is not None:
        everything["partial_auroc"] = ranking.partial_area(plan.max_fpr)
    return {name: everything[name] for name in plan.wanted() if name in everything}


def one_class(labels: NDArray[np.float32]) -> str | None:
    """Say which class is missing among the known labels, or None where both are there."""
    known = labels[~np.isnan(labels)]
    for value, word in ((1, "positive"), (0, "negative")):
        if not (known == value).any():
            return f"none of the {known.size} known labels is {word}"
    return None


def one_unit_only(
    labels: NDArray[np.float32], units: Units, statistic: str, made: Sequence[Instrument] = ()
) -> str | None:
    """Say why resampling cannot show a statistic's spread, or None where it can.

    With one positive patient every resample that has a positive has the same one, and the
    interval would be that of the negatives alone.

    Parameters
    ----------
    labels : (n_images,)
        1, 0 or NaN.
    units, statistic
        What is resampled, and what is measured.
    made
        The finding's instruments: predictive values rest on the images that were called.
    """
    held = [("positive", labels == 1)] if statistic in _NEEDS_POSITIVES else []
    held += [("negative", labels == 0)] if statistic in _NEEDS_NEGATIVES else []
    for word, images in (*held, ("known", ~np.isnan(labels))):
        if np.unique(units.numbers[images]).size == 1:
            return f"no interval: all {word} images belong to one {units.singular}"
    for instrument in made:
        if statistic in _CALLED and isinstance(instrument, decisions.Decisions):
            word, cells = _CALLED[statistic]
            if (instrument.counts[:, cells].sum(axis=1) > 0).sum() == 1:
                return f"no interval: all images called {word} belong to one {units.singular}"
    return None
