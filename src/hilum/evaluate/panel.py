"""Radiologists beside the model: each of them, their mean and majority, and the difference.

All are measured on the same images and in the same resamples of patients, so that a difference
is paired. The resamples speak of these readers; what is to be expected of others is told by the
analysis of Obuchowski, Rockette and Hillis, from the same numbers (`hilum.evaluate.studies`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError, UsageError
from hilum.evaluate.agreement import WHY_UNDEFINED as WHY_NO_KAPPA
from hilum.evaluate.agreement import agree, majority
from hilum.evaluate.decisions import STATISTICS as DECISIONS
from hilum.evaluate.instruments import Limit
from hilum.evaluate.orh import ReaderStudy
from hilum.evaluate.plan import Plan
from hilum.evaluate.rater import Rater, mean_rater, resampled
from hilum.evaluate.sample import Sample, measure_once, readings_of, sample_of
from hilum.evaluate.scorecard import Scorecard, scorecard
from hilum.evaluate.studies import Verdict, studies, verdicts
from hilum.evaluate.units import Units
from hilum.tables import Table


@dataclass(frozen=True)
class Panel:
    """Several radiologists, and a model beside them.

    Parameters
    ----------
    readers
        By name, each reader's numbers for all findings of the truth; the mean is over those that
        the panel and the model share.
    mean
        The readers' numbers, averaged over readers.
    majority
        The numbers of what more than half of them say; a tie is not read. None for one reader.
    agreement
        Kappa, averaged over pairs of readers; None for one reader.
    difference
        Model minus mean reader, with p-values; None where the model has no thresholds.
    studies
        By finding (``"mean"`` for the mean) and statistic: the analysis with readers as random
        effects. Empty with one reader or without thresholds.
    verdicts
        By finding and statistic, where a margin was given.
    """

    readers: Mapping[str, Scorecard]
    mean: Scorecard
    majority: Scorecard | None
    agreement: Scorecard | None
    difference: Scorecard | None
    studies: Mapping[str, Mapping[str, ReaderStudy]]
    verdicts: Mapping[str, Mapping[str, Verdict]]


def panel(
    readers: Mapping[str, Table],
    truth: Table,
    plan: Plan,
    scores: Table | None = None,
    thresholds: Mapping[str, Limit] | None = None,
) -> Panel:
    """Measure readers, and the model against them.

    Parameters
    ----------
    readers
        By name, readings: 1, 0, -1 (uncertain) or NaN, with the truth's ids.
    truth, plan
        As in `hilum.evaluate`.
    scores, thresholds
        Of the model; None for no comparison. Means are over the findings that the model, the
        truth and all readers share; one without a threshold is not compared.

    Raises
    ------
    TableError
        As in `hilum.evaluate`, with the reader's name; or if the readers share no finding.
    UsageError
        If there is no reader, or none of the plan's statistics is one of readings.
    """
    plan = plan.only(DECISIONS)
    if not readers or not plan.wanted():
        raise UsageError(f"readers are measured by {', '.join(DECISIONS)}; none was asked for")
    samples = {name: _named(name, table, truth, plan) for name, table in readers.items()}
    shared = _shared(list(samples.values()), scores)
    models = _model_beside(samples, shared, truth, plan, scores, thresholds)
    others = _others(list(samples.values()), shared, truth, plan)
    everyone = [*samples.values(), *models, *others]
    found = resampled(everyone, plan, with_influence=True)
    n = len(samples)
    each, beside = found[:n], found[n : n + len(models)]
    common = [rater.select(shared) for rater in each]
    cards = [scorecard(rater, plan) for rater in found[n + len(models) :]]
    gap = mean_rater([a - b for a, b in zip(beside, common, strict=True)]) if beside else None
    made = studies(beside, common, plan)
    return Panel(
        readers={
            name: _card(rater, part, plan)
            for name, rater, part in zip(samples, each, common, strict=True)
        },
        mean=scorecard(mean_rater(common), plan),
        majority=cards[0] if cards else None,
        agreement=cards[1] if cards else None,
        difference=scorecard(gap, plan) if gap else None,
        studies=made,
        verdicts=verdicts(gap, made, plan) if gap else {},
    )


def _named(name: str, table: Table, truth: Table, plan: Plan) -> Sample:
    try:
        return readings_of(table, truth, plan)
    except TableError as error:
        raise TableError(f"reader {name!r}: {error}") from error


def _shared(samples: Sequence[Sample], scores: Table | None) -> tuple[str, ...]:
    every = [set(sample.findings) for sample in samples]
    if scores is not None:
        every.append(set(scores.findings))
    shared = tuple(name for name in samples[0].findings if all(name in own for own in every))
    if not shared:
        raise TableError(
            "no finding is in the truth, in the scores and in every reader's table; the first "
            f"reader and the truth share {', '.join(samples[0].findings)}"
        )
    return shared


def _card(rater: Rater, common: Rater, plan: Plan) -> Scorecard:
    """Return all findings of one reader, and the mean over those of the panel."""
    part = scorecard(common, plan)
    return replace(scorecard(rater, plan), mean=part.mean, n_in_mean=part.n_in_mean)


def _model_beside(
    samples: Mapping[str, Sample],
    shared: tuple[str, ...],
    truth: Table,
    plan: Plan,
    scores: Table | None,
    thresholds: Mapping[str, Limit] | None,
) -> list[Sample]:
    """Measure the model once per reader, on the images that the reader has read."""
    if scores is None or all(isinstance(limit, str) for limit in (thresholds or {}).values()):
        return []
    out: list[Sample] = []
    for sample in samples.values():
        read = ~np.isnan(sample.select(shared).labels)
        same = [done for done in out if np.array_equal(~np.isnan(done.labels), read)]
        if not same:
            same = [sample_of(scores.select(shared), truth, plan, thresholds, read)]
        out.append(same[0])
    return out


def _others(
    samples: Sequence[Sample], shared: tuple[str, ...], truth: Table, plan: Plan
) -> list[Sample]:
    """Return the majority of the readers and their agreement, where there are two or more."""
    if len(samples) < 2:
        return []
    votes = np.array([sample.joined.scores.select(shared).values for sample in samples])
    said = np.stack([majority(votes[:, :, at]) for at in range(len(shared))], axis=1)
    ids = samples[0].joined.truth.ids
    most = readings_of(Table(ids, shared, said), truth, plan)
    return [most, _agreement(samples[0].select(shared), votes)]


def _agreement(first: Sample, votes: NDArray[np.float64]) -> Sample:
    """Measure how far the readers (n_readers, n_images, n_findings) agree, whatever the truth."""
    units = first.units
    columns = [votes[:, :, at] for at in range(votes.shape[2])]
    made = [[agree(column, units.numbers, units.count)] for column in columns]
    estimates = measure_once(made, units.count, ("kappa",))
    read = (~np.isnan(votes)).sum(axis=0) >= 2
    reasons = [
        WHY_NO_KAPPA["kappa"] if np.isnan(kappa) else _one_unit_only(units, read[:, at])
        for at, kappa in enumerate(estimates["kappa"])
    ]
    return replace(
        first,
        n=read.sum(axis=0).tolist(),
        positives=((votes == 1).any(axis=0) & read).sum(axis=0).tolist(),
        instruments=made,
        estimates=estimates,
        reasons={"kappa": reasons},
    )


def _one_unit_only(units: Units, read: NDArray[np.bool_]) -> str | None:
    if np.unique(units.numbers[read]).size > 1:
        return None
    return f"no interval: all images that two have read belong to one {units.singular}"
