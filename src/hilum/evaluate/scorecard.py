"""Numbers with intervals for every finding of one rater, and for the mean over findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilum.evaluate.intervals import Measure
from hilum.evaluate.plan import Plan
from hilum.evaluate.sample import Sample
from hilum.evaluate.spread import Spread, difference, to_measure


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


def scorecard(
    sample: Sample, drawn: Mapping[str, Spread], plan: Plan, *, tested: bool = False
) -> Scorecard:
    """Put intervals around everything that was measured.

    Parameters
    ----------
    sample
        Counts and reasons.
    drawn
        By statistic, the estimates with their spread.
    plan
        Which intervals.
    tested
        Whether the estimates are differences, to be tested against zero.
    """
    findings = {}
    for at, name in enumerate(sample.findings):
        found = {
            statistic: to_measure(spread, at, plan, sample.reasons[statistic][at], tested=tested)
            for statistic, spread in drawn.items()
        }
        findings[name] = FindingMetrics(sample.n[at], sample.positives[at], found)
    mean = {
        statistic: mean_measure(spread, sample.units.count, plan, tested=tested)
        for statistic, spread in drawn.items()
    }
    n_in_mean = {statistic: int(spread.defined.sum()) for statistic, spread in drawn.items()}
    return Scorecard(findings, mean, n_in_mean)


def mean_measure(spread: Spread, n_units: int, plan: Plan, *, tested: bool = False) -> Measure:
    """Average a statistic over the findings where it is defined."""
    kept: NDArray[np.bool_] = spread.defined
    if not kept.any():
        return Measure(None, reason="no finding is defined")
    reason = "no interval: there is one unit only" if n_units == 1 else None
    return to_measure(spread.take(kept).mean(), 0, plan, reason, tested=tested)


def minus(
    samples: Sequence[Sample], drawn: Sequence[Mapping[str, Spread]], plan: Plan
) -> Scorecard:
    """Subtract the second of two raters from the first, finding by finding."""
    first, second = samples
    reasons = {
        name: [a or b for a, b in zip(first.reasons[name], second.reasons[name], strict=True)]
        for name in first.reasons
    }
    gaps = difference(*drawn)
    estimates = {name: spread.estimate for name, spread in gaps.items()}
    paired = Sample(
        first.findings, first.n, first.positives, (), estimates, reasons, first.joined, first.units
    )
    return scorecard(paired, gaps, plan, tested=True)
