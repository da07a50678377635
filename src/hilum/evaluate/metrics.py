"""The statistics of one finding as plain functions of scores and truth."""

import numpy as np
from numpy.typing import ArrayLike

from hilum.errors import UsageError
from hilum.evaluate.decisions import decide
from hilum.evaluate.draws import Instrument
from hilum.evaluate.ranking import partial_area, rank


def auroc(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve, ties counting one half.

    Parameters
    ----------
    scores : (n_images,)
        Any finite numbers; higher means more likely present.
    truth : (n_images,)
        1, 0, or NaN where unknown; those images take no part.
    weights : (n_images,)
        How much each image counts, not negative; a weight of 2 is the image twice.

    Returns
    -------
    A number from 0 to 1, or NaN where only one class is known.

    Raises
    ------
    ValueError
        If the arrays differ in length, truth is neither 1, 0 nor NaN, a score is not finite
        where the truth is known, or a weight is below 0 or not finite.

    >>> auroc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    0.875
    """
    return _weighted(rank(scores, truth), weights)["auroc"]


def average_precision(
    scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return the average precision; parameters and errors as in `auroc`.

    It is NaN where only one class is known: with no negatives every ranking has precision 1,
    which says nothing about the scores.
    """
    return _weighted(rank(scores, truth), weights)["average_precision"]


def partial_auroc(
    scores: ArrayLike, truth: ArrayLike, max_fpr: float, weights: ArrayLike | None = None
) -> float:
    """Return the area under the ROC curve up to a false positive rate, standardised.

    0.5 is chance and 1 is perfect, as for AUROC (McClish, Med Decis Making 9:190-195, 1989).

    Parameters
    ----------
    scores, truth, weights : (n_images,)
        As in `auroc`.
    max_fpr
        Above 0 and at most 1; at 1 it is AUROC.

    Raises
    ------
    UsageError
        If `max_fpr` is not.
    ValueError
        As in `auroc`.
    """
    if not 0 < max_fpr <= 1:
        raise UsageError(f"max_fpr must be above 0 and at most 1, got {max_fpr}")
    statistics = {"partial_auroc": partial_area(max_fpr)}
    return _weighted(rank(scores, truth, statistics=statistics), weights)["partial_auroc"]


def confusion_metrics(
    decisions: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> dict[str, float]:
    """Return F1, MCC, sensitivity, specificity, PPV and NPV of yes-or-no readings.

    Parameters
    ----------
    decisions, truth, weights : (n_images,)
        1, 0 or NaN where unknown; weights as in `auroc`.

    Returns
    -------
    By name; NaN where undefined (`hilum.evaluate.decisions`).

    Raises
    ------
    ValueError
        If the arrays differ in length or hold anything else.

    >>> confusion_metrics([1, 1, 0, 0], [1, 0, 0, 0])["ppv"]
    0.5
    """
    return _weighted(decide(decisions, truth), weights)


def _weighted(instrument: Instrument, weights: ArrayLike | None) -> dict[str, float]:
    n_units = instrument.n_units
    weight = np.ones(n_units) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n_units,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(f"weights must be {n_units} finite numbers, none below 0")
    measured = instrument.measure(weight[:, None])
    return {name: float(values[0]) for name, values in measured.items()}
