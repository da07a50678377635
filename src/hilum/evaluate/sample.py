"""From two tables to estimates: join by id and name, decide about uncertain labels, measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError
from hilum.evaluate.decisions import WHY_UNDEFINED
from hilum.evaluate.draws import Draws, Instrument, influence, replicate
from hilum.evaluate.instruments import instruments_of, one_unit_only
from hilum.evaluate.plan import Plan
from hilum.evaluate.ranking import Floats
from hilum.evaluate.spread import Spread
from hilum.evaluate.units import Units, units_of
from hilum.findings import Policy, apply_policy
from hilum.tables import Aligned, Table, align

_CHEXZERO_FILLS: Final = {"f1": 1.0, "mcc": 0.0}


@dataclass(frozen=True, eq=False)
class Sample:
    """What the statistics need of one rater's table; one entry per finding in each sequence.

    Parameters
    ----------
    findings
        Their names, in the truth's order.
    n, positives
        Images with a known label, and those that have the finding.
    instruments
        What measures each finding.
    estimates
        By statistic, (n_findings,); NaN where undefined.
    reasons
        By statistic and finding: why the estimate, or else its interval, is undefined.
    joined
        The two tables in one order.
    units
        What is resampled.
    """

    findings: tuple[str, ...]
    n: Sequence[int]
    positives: Sequence[int]
    instruments: Sequence[Sequence[Instrument]]
    estimates: Mapping[str, Floats]
    reasons: Mapping[str, Sequence[str | None]]
    joined: Aligned
    units: Units

    def settings(self, plan: Plan) -> dict[str, Any]:
        """Return what made the numbers, as ``metrics.json`` keeps it."""
        return {
            "images": len(self.joined.truth),
            "resampled": self.units.name,
            "units": self.units.count,
            "bootstrap": plan.bootstrap,
            "interval": plan.interval,
            "level": plan.level,
            "seed": plan.seed,
            "policy": plan.policy,
            "stratify": plan.stratify,
            "max_fpr": plan.max_fpr,
            "scored_without_truth": self.joined.without_truth,
            "findings_without_scores": list(self.joined.unscored),
            "findings_without_truth": list(self.joined.without_labels),
        }


def sample_of(
    scores: Table,
    truth: Table,
    plan: Plan,
    thresholds: Mapping[str, float] | None = None,
    rows: NDArray[np.bool_] | None = None,
) -> Sample:
    """Join two tables and measure every finding.

    Parameters
    ----------
    scores, truth, plan
        As in `hilum.evaluate`.
    thresholds
        By finding; a score at or above it is a positive reading.
    rows : (n_images,)
        Where False, the truth is taken for unknown; the units stay as they are.
    """
    joined = align(scores, truth)
    units = units_of(joined.truth, plan)
    labels = known_labels(joined.truth, plan.policy)
    if rows is not None:
        labels[~rows] = np.nan
    known = ~np.isnan(labels)
    made: list[Sequence[Instrument]] = []
    whys: list[Mapping[str, str]] = []
    for at, name in enumerate(joined.truth.findings):
        if reason := _nothing_to_measure(joined.scores, name, known[:, at]):
            made.append([])
            whys.append(dict.fromkeys(plan.wanted(), reason))
            continue
        column = joined.scores.values[:, at]
        instruments, why = instruments_of(
            column, labels[:, at], (thresholds or {}).get(name), units, plan
        )
        made.append(instruments)
        whys.append(why)
    estimates = _measure_once(made, units, plan)
    return Sample(
        findings=joined.truth.findings,
        n=known.sum(axis=0).tolist(),
        positives=(labels == 1).sum(axis=0).tolist(),
        instruments=made,
        estimates=estimates,
        reasons=_reasons(estimates, whys, labels, units),
        joined=joined,
        units=units,
    )


def _nothing_to_measure(scores: Table, finding: str, known: NDArray[np.bool_]) -> str | None:
    column = scores.column(finding)
    if not known.any():
        return "no image has a known label"
    absent = known & np.isnan(column)
    if absent.all() or np.isnan(column).all():
        return f"no scores: {scores.notes.get(finding, 'the column is empty')}"
    if absent.any():
        raise TableError(
            f"{finding} has no score for {absent.sum()} of the {known.sum()} images with a known "
            f"label, the first is {scores.ids[int(absent.argmax())]!r}; score them, or leave "
            "them out of the truth"
        )
    return None


def _measure_once(
    findings: Sequence[Sequence[Instrument]], units: Units, plan: Plan
) -> dict[str, Floats]:
    ones = np.ones((units.count, 1))
    estimates = {name: np.full(len(findings), np.nan) for name in plan.wanted()}
    for at, instruments in enumerate(findings):
        for instrument in instruments:
            for name, values in instrument.measure(ones).items():
                if name in estimates:
                    estimates[name][at] = values[0]
    return estimates


def _reasons(
    estimates: Mapping[str, Floats],
    whys: Sequence[Mapping[str, str]],
    labels: NDArray[np.float32],
    units: Units,
) -> dict[str, list[str | None]]:
    return {
        name: [
            whys[at].get(name, WHY_UNDEFINED.get(name))
            if np.isnan(value)
            else one_unit_only(labels[:, at], units, name)
            for at, value in enumerate(values)
        ]
        for name, values in estimates.items()
    }


def known_labels(truth: Table, policy: Policy) -> NDArray[np.float32]:
    """Return a truth's 1, 0 and NaN after the policy; refuse anything that is no label."""
    strange = ~np.isnan(truth.values) & ~np.isin(truth.values, (1, 0, -1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise TableError(
            f"the truth of {truth.ids[row]!r} for {truth.findings[column]} is "
            f"{truth.values[row, column]:g}: expected 1, 0, -1 (uncertain) or nothing; "
            "are the two tables in the right order?"
        )
    return apply_policy(truth.values, policy)


def spreads(samples: Sequence[Sample], plan: Plan) -> list[dict[str, Spread]]:
    """Resample several raters of the same images together.

    Returns
    -------
    For each sample, its statistics with their spread.
    """
    units = samples[0].units
    draws = Draws(units.count, plan.bootstrap, plan.seed, units.strata, plan.interval == "chexzero")
    every = [made for sample in samples for made in sample.instruments]
    names = list(dict.fromkeys(name for sample in samples for name in sample.estimates))
    replicates = replicate(every, draws, names)
    if plan.interval == "chexzero":
        for name, value in _CHEXZERO_FILLS.items():  # as its code does where they are undefined
            if name in replicates:
                replicates[name] = np.nan_to_num(replicates[name], nan=value)
    influences = influence(every, units.count, names) if plan.interval == "bca" else None
    out, start = [], 0
    for sample in samples:
        own = slice(start, start + len(sample.findings))
        start = own.stop
        out.append({name: Spread(values, replicates[name][:, own],
                                 None if influences is None else influences[name][:, own])
                    for name, values in sample.estimates.items()})  # fmt: skip
    return out
