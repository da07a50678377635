"""One experiment done several times: AUROC, or another statistic, averaged over the repeats.

A point of a learning curve is the mean over several draws of the labelled images. Its interval is
about the test patients: they are resampled, the same ones for every repeat and for both sides of a
comparison, and the average over repeats is taken within each resample. How much the draws
themselves differ is another question, which `Repeats.spread` answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Unpack

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate.intervals import Measure, p_value, percentile
from hilum.evaluate.plan import PATIENT, Plan, Settings
from hilum.evaluate.ranking import Floats
from hilum.evaluate.rater import resampled
from hilum.evaluate.sample import Sample, sample_of
from hilum.tables import Table

USUAL: Final = "auroc"


@dataclass(frozen=True)
class Repeats:
    """A statistic averaged over repeats of an experiment.

    Parameters
    ----------
    mean
        The mean over repeats and findings, with its interval over patients.
    findings
        By finding, the mean over repeats with its interval.
    repeats
        How many there were.
    spread
        Standard deviation of the mean over findings between repeats (ddof 1); None for one.
    """

    mean: Measure
    findings: Mapping[str, Measure]
    repeats: int
    spread: float | None


def evaluate_repeats(
    scores: Sequence[Table],
    truth: Table,
    by: str | None = PATIENT,
    **settings: Unpack[Settings],
) -> Repeats:
    """Measure repeats of one experiment on the same images.

    Parameters and errors as in `hilum.evaluate`, with one table of scores per repeat; what is
    measured is AUROC, or the one statistic that ``statistics`` names.
    """
    plan = _plan(by, settings)
    estimates, replicates = _measure([scores], truth, plan)
    return _average(estimates[0], replicates[0], truth.findings, plan.level)


def compare_repeats(
    first: Sequence[Table],
    second: Sequence[Table],
    truth: Table,
    by: str | None = PATIENT,
    **settings: Unpack[Settings],
) -> Repeats:
    """Measure first minus second, paired by repeat and by patient.

    Parameters and errors as in `evaluate_repeats`; both sides have as many repeats.
    """
    if len(first) != len(second):
        raise UsageError(f"repeats are compared in pairs; got {len(first)} and {len(second)}")
    plan = _plan(by, settings)
    estimates, replicates = _measure([first, second], truth, plan)
    gaps = replicates[0] - replicates[1]
    found = _average(estimates[0] - estimates[1], gaps, truth.findings, plan.level)
    defined = ~np.isnan(estimates).any(axis=(0, 1))
    p = p_value(gaps.mean(axis=1)[:, defined].mean(axis=1)) if defined.any() else None
    return replace(found, mean=replace(found.mean, p_value=p))


def replicate_repeats(
    scores: Sequence[Table],
    truth: Table,
    by: str | None = PATIENT,
    **settings: Unpack[Settings],
) -> tuple[Floats, Floats]:
    """Return what `evaluate_repeats` makes its means and intervals of, to make others.

    Returns
    -------
    The estimates (repeats, findings), and the replicates (resamples, findings), which are averaged
    over the repeats. Two experiments measured with the same truth and settings have the same
    patients in the same resample, so that any function of several can be resampled.
    """
    estimates, replicates = _measure([scores], truth, _plan(by, settings))
    return estimates[0], replicates[0].mean(axis=1)


def _measure(sides: Sequence[Sequence[Table]], truth: Table, plan: Plan) -> tuple[Floats, Floats]:
    """Return estimates (sides, repeats, findings) and replicates (sides, resamples, r, f)."""
    samples = [[_whole(table, truth, plan) for table in side] for side in sides]
    if not all(samples):
        raise UsageError("there is nothing to average: no table of scores was given")
    flat = [sample for side in samples for sample in side]
    (statistic,) = plan.wanted()
    drawn = [rater.drawn[statistic] for rater in resampled(flat, plan)]
    shape = (len(sides), len(samples[0]))
    estimates = np.array([spread.estimate for spread in drawn])
    replicates = np.stack([spread.replicates for spread in drawn])  # (side and repeat, drawn, f)
    replicates = replicates.reshape(*shape, *replicates.shape[1:]).swapaxes(1, 2)
    return estimates.reshape(*shape, -1), replicates


def _plan(by: str | None, settings: Settings) -> Plan:
    if settings.get("interval", "percentile") != "percentile":
        raise UsageError("averages over repeats have percentile intervals only")
    chosen: Settings = {**settings, "statistics": settings.get("statistics") or (USUAL,)}
    plan = Plan(by, **chosen)
    if len(plan.wanted()) != 1:
        raise UsageError(f"name one statistic to average; got {', '.join(plan.wanted()) or None}")
    return plan


def _whole(scores: Table, truth: Table, plan: Plan) -> Sample:
    """Join one repeat; every one must have every finding, or means would not be of one thing."""
    sample = sample_of(scores.select(truth.findings), truth, plan)
    assert not sample.joined.unscored
    return sample


def _average(estimates: Floats, replicates: Floats, names: Sequence[str], level: float) -> Repeats:
    """Average (repeats, findings) and (resamples, repeats, findings) over the repeats."""
    each, drawn = estimates.mean(axis=0), replicates.mean(axis=1)
    defined = ~np.isnan(each)
    findings = {
        name: percentile(float(each[at]), drawn[:, at], level)
        if defined[at]
        else Measure(None, reason="undefined in at least one repeat")
        for at, name in enumerate(names)
    }
    if not defined.any():
        nothing = Measure(None, reason="no finding is defined in every repeat")
        return Repeats(nothing, findings, len(estimates), None)
    mean = percentile(float(each[defined].mean()), drawn[:, defined].mean(axis=1), level)
    spread = estimates[:, defined].mean(axis=1)
    return Repeats(
        mean, findings, len(estimates), float(spread.std(ddof=1)) if len(spread) > 1 else None
    )
