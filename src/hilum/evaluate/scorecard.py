"""Numbers with intervals for every finding of one rater, and for the mean over findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hilum.evaluate.formulas import put_formulas
from hilum.evaluate.intervals import Measure
from hilum.evaluate.multiplicity import holm
from hilum.evaluate.plan import Plan
from hilum.evaluate.rater import Rater
from hilum.evaluate.spread import to_measure


@dataclass(frozen=True)
class FindingMetrics:
    """One finding's numbers.

    Parameters
    ----------
    n
        Images whose label is known.
    positives
        Those of them that have the finding.
    measures
        By statistic, such as ``"auroc"``.
    """

    n: int
    positives: int
    measures: Mapping[str, Measure]


@dataclass(frozen=True)
class Scorecard:
    """One rater's numbers.

    Parameters
    ----------
    findings
        By finding, in the truth's order.
    mean
        By statistic: the mean over the findings where it is defined.
    n_in_mean
        By statistic: how many findings those are.
    """

    findings: Mapping[str, FindingMetrics]
    mean: Mapping[str, Measure]
    n_in_mean: Mapping[str, int]


def scorecard(rater: Rater, plan: Plan) -> Scorecard:
    """Put the intervals of a plan around everything that was measured of one rater."""
    sample = rater.sample
    measures = {name: _row(rater, name, plan) for name in rater.drawn}
    means = {name: _mean_measure(rater, name, plan) for name in rater.drawn}
    if plan.interval == "delong":
        put_formulas(rater, plan, measures, means)
    if plan.holm and rater.tested:
        measures = {name: _corrected(row) for name, row in measures.items()}
    findings = {
        name: FindingMetrics(
            sample.n[at],
            sample.positives[at],
            {statistic: row[at] for statistic, row in measures.items()},
        )
        for at, name in enumerate(sample.findings)
    }
    n_in_mean = {name: int(spread.defined.sum()) for name, spread in rater.drawn.items()}
    return Scorecard(findings, means, n_in_mean)


def _row(rater: Rater, name: str, plan: Plan) -> list[Measure]:
    spread, reasons = rater.drawn[name], rater.sample.reasons[name]
    return [
        to_measure(spread, at, plan, reason, tested=rater.tested, statistic=name)
        for at, reason in enumerate(reasons)
    ]


def _mean_measure(rater: Rater, name: str, plan: Plan) -> Measure:
    """Average a statistic over the findings where it is defined."""
    spread = rater.drawn[name]
    kept = np.flatnonzero(spread.defined).tolist()
    if not kept:
        return Measure(None, reason="no finding is defined")
    reason = rater.why_no_spread(name, kept)
    mean = spread.take(kept).mean()
    return to_measure(mean, 0, plan, reason, tested=rater.tested, statistic=name)


def _corrected(row: Sequence[Measure]) -> list[Measure]:
    """Correct one statistic's p-values for the number of findings that were tested."""
    values = [np.nan if m.p_value is None else m.p_value for m in row]
    adjusted = holm(values)
    return [
        measure if np.isnan(p) else replace(measure, p_adjusted=float(p))
        for measure, p in zip(row, adjusted, strict=True)
    ]
