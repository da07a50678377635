"""One experiment done several times: AUROC averaged over the repeats.

A point of a learning curve is the mean over several draws of the labelled images. Its interval is
about the test patients: they are resampled, the same ones for every repeat and for both sides of a
comparison, and the average over repeats is taken within each resample. How much the draws
themselves differ is another question, which `Repeats.spread` answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate.assess import PATIENT, Plan, Sample, sample_of
from hilum.evaluate.intervals import Measure, percentile, replicate
from hilum.evaluate.metrics import Floats
from hilum.findings import Policy
from hilum.tables import Table

STATISTIC: Final = "auroc"


@dataclass(frozen=True)
class Repeats:
    """AUROC averaged over repeats of an experiment.

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
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    policy: Policy = "ignore",
) -> Repeats:
    """Measure repeats of one experiment on the same images.

    Parameters and errors as in `hilum.evaluate`, with one table of scores per repeat.
    """
    plan = Plan(by, bootstrap, seed, level, policy)
    estimates, replicates = _measure([scores], truth, plan)
    return _average(estimates[0], replicates[0], truth.findings, level)


def compare_repeats(
    first: Sequence[Table],
    second: Sequence[Table],
    truth: Table,
    by: str | None = PATIENT,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    policy: Policy = "ignore",
) -> Repeats:
    """Measure first minus second, paired by repeat and by patient.

    Parameters and errors as in `hilum.evaluate`; both sides have as many repeats.
    """
    if len(first) != len(second):
        raise UsageError(f"repeats are compared in pairs; got {len(first)} and {len(second)}")
    plan = Plan(by, bootstrap, seed, level, policy)
    estimates, replicates = _measure([first, second], truth, plan)
    gaps = replicates[0] - replicates[1]
    return _average(estimates[0] - estimates[1], gaps, truth.findings, level)


def _measure(sides: Sequence[Sequence[Table]], truth: Table, plan: Plan) -> tuple[Floats, Floats]:
    """Return estimates (sides, repeats, findings) and replicates (sides, resamples, r, f)."""
    samples = [[_whole(table, truth, plan) for table in side] for side in sides]
    if not all(samples):
        raise UsageError("there is nothing to average: no table of scores was given")
    estimates = np.array([[s.estimates[STATISTIC] for s in side] for side in samples])
    flat = [sample for side in samples for sample in side]
    rankings = [ranking for sample in flat for ranking in sample.rankings]
    drawn = replicate(rankings, flat[0].n_units, plan.bootstrap, plan.seed)[STATISTIC]
    shape = (plan.bootstrap, *estimates.shape)  # (resamples, sides, repeats, findings)
    return estimates, drawn.reshape(shape).swapaxes(0, 1)


def _whole(scores: Table, truth: Table, plan: Plan) -> Sample:
    """Join one repeat; every one must have every finding, or means would not be of one thing."""
    sample = sample_of(scores.select(truth.findings), truth, plan)
    settings: Mapping[str, Any] = sample.settings
    assert not settings["findings_without_scores"]
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
