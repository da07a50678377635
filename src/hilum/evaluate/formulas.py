"""Intervals by formula where there is one: DeLong's for AUROC, Wilson's for proportions.

They take the place of the percentile intervals under ``interval="delong"``. The other statistics,
and differences and means of proportions, have no formula here and keep their percentiles.
"""

from collections.abc import MutableMapping, MutableSequence, Sequence
from typing import Final

import numpy as np

from hilum.evaluate.decisions import Decisions
from hilum.evaluate.delong import DeLong, combine, delong, difference, interval
from hilum.evaluate.intervals import Measure
from hilum.evaluate.plan import Plan
from hilum.evaluate.proportions import wilson
from hilum.evaluate.rater import Rater
from hilum.evaluate.sample import Sample

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_SHARES: Final = {  # numerator and denominator, of TP, FP, FN, TN
    "sensitivity": ((1, 0, 0, 0), (1, 0, 1, 0)),
    "specificity": ((0, 0, 0, 1), (0, 1, 0, 1)),
    "ppv": ((1, 0, 0, 0), (1, 1, 0, 0)),
    "npv": ((0, 0, 0, 1), (0, 0, 1, 1)),
}


def put_formulas(
    rater: Rater,
    plan: Plan,
    measures: MutableMapping[str, list[Measure]],
    means: MutableMapping[str, Measure],
) -> None:
    """Replace the intervals of AUROC, and of one rater's proportions.

    Parameters
    ----------
    rater, plan
        What was measured, and the level.
    measures
        By statistic, a measure per finding; changed in place.
    means
        By statistic, the mean over findings; changed in place.
    """
    if "auroc" in measures and rater.areas:
        _put_areas(rater, plan, measures["auroc"], means)
    if len(rater.areas) == 1:
        sample = rater.areas[0][0]
        for name in _SHARES.keys() & measures.keys():
            _put_shares(sample, name, plan, measures[name])


def _put_areas(
    rater: Rater,
    plan: Plan,
    row: MutableSequence[Measure],
    means: MutableMapping[str, Measure],
) -> None:
    whys = rater.sample.reasons["auroc"]
    kept = [at for at, measure in enumerate(row) if measure.estimate is not None]
    terms = [_terms(rater.areas, at) for at in kept]
    for at, term in zip(kept, terms, strict=True):
        if whys[at] is None:
            row[at] = _measure(term, plan, tested=rater.tested)
    if terms:
        shares = [(area, factors / len(terms)) for term in terms for area, factors in term]
        means["auroc"] = _measure(shares, plan, tested=rater.tested)


def _terms(areas: Sequence[tuple[Sample, float]], at: int) -> list[tuple[DeLong, Floats]]:
    """Return one finding's areas and what they are multiplied by, (k,) each.

    Models are compared image by image. A subgroup and the rest have no image in common but perhaps
    patients, as two findings have, and are joined by those.
    """
    labels = [sample.labels[:, at] for sample, _ in areas]
    if all(np.array_equal(labels[0], own, equal_nan=True) for own in labels):
        return [_joint(areas, at)]
    return [_joint([area], at) for area in areas]


def _joint(areas: Sequence[tuple[Sample, float]], at: int) -> tuple[DeLong, Floats]:
    """Measure raters on the same images."""
    first = areas[0][0]
    scores = np.stack([sample.joined.scores.values[:, at] for sample, _ in areas], axis=1)
    found = delong(scores, first.labels[:, at], first.units.numbers, first.units.count)
    return found, np.array([factor for _, factor in areas])


def _measure(terms: Sequence[tuple[DeLong, Floats]], plan: Plan, *, tested: bool) -> Measure:
    areas, factors = zip(*terms, strict=True)
    estimate, variance = combine(areas, factors)
    if tested:
        return difference(estimate, variance, plan.level).measure
    return interval(estimate, variance, plan.level)


def _put_shares(sample: Sample, name: str, plan: Plan, row: MutableSequence[Measure]) -> None:
    top, bottom = (np.array(cells, dtype=np.float64) for cells in _SHARES[name])
    for at, instruments in enumerate(sample.instruments):
        if row[at].estimate is None:
            continue
        for instrument in instruments:
            if isinstance(instrument, Decisions):
                row[at] = wilson(instrument.counts @ top, instrument.counts @ bottom, plan.level)
