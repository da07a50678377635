"""From two tables to estimates: join by id and name, decide about uncertain labels, measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError
from hilum.evaluate.decisions import STATISTICS as DECISIONS
from hilum.evaluate.decisions import WHY_UNDEFINED
from hilum.evaluate.draws import Instrument
from hilum.evaluate.instruments import NO_THRESHOLD, Limit, instruments_of, one_unit_only
from hilum.evaluate.plan import Plan
from hilum.evaluate.ranking import Floats
from hilum.evaluate.units import Units, units_of
from hilum.findings import Policy
from hilum.tables import Aligned, Table, align, label_values


@dataclass(frozen=True, eq=False)
class Sample:
    """What the statistics need of one rater's table; one entry per finding in each sequence.

    Parameters
    ----------
    findings
        Their names, in the truth's order.
    n, positives
        Images with a known label, and those that have the finding.
    labels : (n_images, n_findings)
        The truth after the policy: 1, 0 or NaN.
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
    labels: NDArray[np.float32]
    instruments: Sequence[Sequence[Instrument]]
    estimates: Mapping[str, Floats]
    reasons: Mapping[str, Sequence[str | None]]
    joined: Aligned
    units: Units

    def select(self, findings: Sequence[str]) -> "Sample":
        """Return these findings, in this order."""
        at = [self.findings.index(name) for name in findings]
        return replace(
            self,
            findings=tuple(findings),
            n=[self.n[i] for i in at],
            positives=[self.positives[i] for i in at],
            labels=self.labels[:, at],
            instruments=[self.instruments[i] for i in at],
            estimates={name: values[at] for name, values in self.estimates.items()},
            reasons={name: [why[i] for i in at] for name, why in self.reasons.items()},
        )

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
            "bins": plan.bins,
            "statistics": list(plan.wanted()),
            "holm": plan.holm,
            "margin": plan.margin,
            "scored_without_truth": self.joined.without_truth,
            "findings_without_scores": list(self.joined.unscored),
            "findings_without_truth": list(self.joined.without_labels),
        }


def sample_of(
    scores: Table,
    truth: Table,
    plan: Plan,
    thresholds: Mapping[str, Limit] | None = None,
    rows: NDArray[np.bool_] | None = None,
) -> Sample:
    """Join two tables and measure every finding.

    Parameters
    ----------
    scores, truth, plan
        As in `hilum.evaluate`.
    thresholds
        By finding; a score at or above it is a positive reading. Or why there is none.
    rows : (n_images,) or (n_images, n_findings)
        Where False, the truth is taken for unknown; the units stay as they are.
    """
    joined = align(scores, truth)
    labels = known_labels(joined.truth, plan.policy)
    if rows is not None:
        labels[~rows] = np.nan
    # the whole truth's units: strata may be those of a finding that is not scored
    return _sample(joined, labels, units_of(truth, plan), plan, thresholds or {})


def readings_of(readings: Table, truth: Table, plan: Plan) -> Sample:
    """Join a radiologist's table to the truth and measure every finding of both.

    Parameters
    ----------
    readings
        1, 0, -1 (uncertain, by the plan's policy) or NaN: not read. Those images take no part
        for that finding.
    truth, plan
        As in `hilum.evaluate`.

    Raises
    ------
    TableError
        As in `hilum.evaluate`, or if a reading is anything else.
    """
    joined = align(readings, truth)
    called = label_values(joined.scores, plan.policy, "reading")
    labels = known_labels(joined.truth, plan.policy)
    labels[np.isnan(called)] = np.nan
    joined = replace(joined, scores=replace(joined.scores, values=called.astype(np.float64)))
    plan = plan.only(DECISIONS)
    thresholds = dict.fromkeys(joined.truth.findings, 0.5)
    return _sample(joined, labels, units_of(truth, plan), plan, thresholds)


def _sample(
    joined: Aligned,
    labels: NDArray[np.float32],
    units: Units,
    plan: Plan,
    thresholds: Mapping[str, Limit],
) -> Sample:
    made: list[Sequence[Instrument]] = []
    whys: list[Mapping[str, str]] = []
    for at, name in enumerate(joined.truth.findings):
        if reason := _nothing_to_measure(joined.scores, name, ~np.isnan(labels[:, at])):
            made.append([])
            whys.append(dict.fromkeys(plan.wanted(), reason))
            continue
        column, limit = joined.scores.values[:, at], thresholds.get(name, NO_THRESHOLD)
        instruments, why = instruments_of(column, labels[:, at], limit, units, plan)
        made.append(instruments)
        whys.append(why)
    estimates = measure_once(made, units.count, plan.wanted())
    return Sample(
        findings=joined.truth.findings,
        n=(~np.isnan(labels)).sum(axis=0).tolist(),
        positives=(labels == 1).sum(axis=0).tolist(),
        labels=labels,
        instruments=made,
        estimates=estimates,
        reasons=_reasons(estimates, whys, labels, units, made),
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
        raise TableError(without_score(scores, finding, known))
    return None


def without_score(scores: Table, finding: str, known: NDArray[np.bool_]) -> str:
    """Say which of the images with a known label (n_images,) have no score."""
    absent = known & np.isnan(scores.column(finding))
    return (
        f"{finding} has no score for {absent.sum()} of the {known.sum()} images with a known "
        f"label, the first is {scores.ids[int(absent.argmax())]!r}; score them, or leave "
        "them out of the truth"
    )


def measure_once(
    findings: Sequence[Sequence[Instrument]], n_units: int, names: Sequence[str]
) -> dict[str, Floats]:
    """Return each statistic of all images, (n_findings,) each, NaN where undefined."""
    ones = np.ones((n_units, 1))
    estimates = {name: np.full(len(findings), np.nan) for name in names}
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
    made: Sequence[Sequence[Instrument]],
) -> dict[str, list[str | None]]:
    return {
        name: [
            whys[at].get(name, WHY_UNDEFINED.get(name))
            if np.isnan(value)
            else one_unit_only(labels[:, at], units, name, made[at])
            for at, value in enumerate(values)
        ]
        for name, values in estimates.items()
    }


def known_labels(truth: Table, policy: Policy) -> NDArray[np.float32]:
    """Return a truth's 1, 0 and NaN after the policy; refuse anything that is no label."""
    return label_values(truth, policy, "truth")
