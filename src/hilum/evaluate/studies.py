"""What the readers' numbers say of other readers, and whether a model is worse by a margin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hilum.evaluate.noninferiority import (
    NonInferiority,
    bootstrap_noninferiority,
    noninferiority,
)
from hilum.evaluate.orh import ReaderStudy, compare_model
from hilum.evaluate.plan import Plan
from hilum.evaluate.rater import Rater, mean_rater
from hilum.evaluate.spread import Spread

MEAN: Final = "mean"
"""Stands in for a finding's name where the mean over findings is meant."""

Studies = Mapping[str, Mapping[str, ReaderStudy]]


@dataclass(frozen=True)
class Verdict:
    """Whether the model is worse than the readers by no more than the margin.

    Parameters
    ----------
    these_readers
        From the resamples: these readers, other patients. None without resamples.
    such_readers
        From the analysis of Obuchowski, Rockette and Hillis: other readers, other patients. None
        where that has no answer.
    """

    these_readers: NonInferiority | None
    such_readers: NonInferiority | None


def studies(models: Sequence[Rater], readers: Sequence[Rater], plan: Plan) -> Studies:
    """Compare a model with a panel as a random sample of readers.

    Parameters
    ----------
    models
        The model on the images of each reader; none where there is nothing to compare.
    readers
        The readers, of the same findings.
    plan
        The level.

    Returns
    -------
    By finding (`MEAN` for the mean) and statistic; nothing with fewer than two readers, and
    nothing for what is undefined or shows no spread between patients for anyone.
    """
    if not models or len(readers) < 2:
        return {}
    out: dict[str, dict[str, ReaderStudy]] = {}
    raters = [mean_rater(models), *readers]
    everyone = mean_rater(raters)
    for statistic in everyone.drawn:
        spreads = [rater.drawn[statistic] for rater in raters]
        for place, columns in _places(everyone, statistic).items():
            if everyone.why_no_spread(statistic, columns) is None:
                study = _study([spread.take(columns).mean() for spread in spreads], plan.level)
                out.setdefault(place, {})[statistic] = study
    return out


def _places(rater: Rater, statistic: str) -> dict[str, list[int]]:
    """Return which findings are averaged for each result: one, or all that are defined."""
    defined = np.flatnonzero(rater.drawn[statistic].defined).tolist()
    places = {rater.sample.findings[at]: [at] for at in defined}
    return {**places, MEAN: defined} if defined else {}


def _study(raters: Sequence[Spread], level: float) -> ReaderStudy:
    """Analyse one number per rater, the model first.

    The covariance over patients is that of the infinitesimal jackknife: products of influence
    values, with n / (n - 1) for the mean that they have lost.
    """
    theta = np.array([spread.estimate[0] for spread in raters])
    values = np.array([s.influence[:, 0] for s in raters if s.influence is not None])
    n_units = values.shape[1]
    return compare_model(theta, n_units / (n_units - 1) * values @ values.T, level=level)


def verdicts(gap: Rater, made: Studies, plan: Plan) -> dict[str, dict[str, Verdict]]:
    """Judge model minus mean reader against the plan's margin, by finding and statistic."""
    out: dict[str, dict[str, Verdict]] = {}
    if plan.margin is None:
        return out
    for statistic, spread in gap.drawn.items():
        for place, columns in _places(gap, statistic).items():
            one, why = spread.take(columns).mean(), gap.why_no_spread(statistic, columns)
            study = made.get(place, {}).get(statistic)
            out.setdefault(place, {})[statistic] = Verdict(
                _by_resamples(one, why, plan.margin, plan.level),
                _by_study(study, plan.margin) if study else None,
            )
    return out


def _by_resamples(
    gap: Spread, why: str | None, margin: float, level: float
) -> NonInferiority | None:
    drawn = gap.replicates[:, 0]
    if not drawn.size:
        return None
    if why is not None:  # a spread of 0 would be taken for certainty
        reason = why.replace("no interval", "no verdict")
        return NonInferiority(margin, level, None, None, None, None, reason)
    return bootstrap_noninferiority(drawn, margin, level=level)


def _by_study(study: ReaderStudy, margin: float) -> NonInferiority:
    gap = study.difference
    return noninferiority(gap.estimate, gap.standard_error, margin, df=gap.df, level=study.level)
