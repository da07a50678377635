"""From two tables to metrics: join, decide about uncertain labels, rank, resample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError, UsageError
from hilum.evaluate.intervals import Measure, measures, one_unit_only, percentile, replicate
from hilum.evaluate.metrics import STATISTICS, Floats, Ranking, rank
from hilum.evaluate.result import Comparison, FindingMetrics, Metrics
from hilum.findings import Policy, apply_policy
from hilum.tables import Table, align, read_columns, read_table

PATIENT: Final = "patient_id"


def evaluate(
    scores: Table,
    truth: Table,
    by: str | None = PATIENT,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    policy: Policy = "ignore",
) -> Metrics:
    """Measure how well scores tell images with a finding from those without.

    Parameters
    ----------
    scores
        Any finite numbers, higher for likelier; rows and columns in any order, more of either
        than the truth has.
    truth
        1, 0, -1 (uncertain) and NaN (unknown; the image takes no part for that finding).
    by
        The extra column of `truth` whose values are resampled as a whole. None resamples
        images, and so does ``"patient_id"`` where the truth has no such column; the settings
        say which it was.
    bootstrap
        How many resamples; 0 for no intervals.
    seed
        Of the resampling.
    level
        Coverage aimed at by the intervals.
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.

    Returns
    -------
    AUROC and average precision of every finding in both tables, and their means.

    Raises
    ------
    TableError
        If an id of the truth has no score, a score is missing for a known label, the truth
        holds anything but labels, the tables share no finding, or `by` is not a column.
    UsageError
        If a setting is out of range.
    """
    plan = Plan(by, bootstrap, seed, level, policy)
    sample = sample_of(scores, truth, plan)
    return _metrics(sample, plan, replicate(sample.rankings, sample.n_units, bootstrap, seed))


def compare(
    first: Table,
    second: Table,
    truth: Table,
    by: str | None = PATIENT,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    policy: Policy = "ignore",
) -> Comparison:
    """Measure two score tables, and first minus second with a paired interval.

    Both are measured on the findings that all three tables have, in the same resamples.
    Parameters and errors as in `evaluate`.
    """
    plan = Plan(by, bootstrap, seed, level, policy)
    shared = [name for name in truth.findings if name in first.findings]
    shared = [name for name in shared if name in second.findings]
    if not shared:
        raise TableError("no finding is in the truth and in both score tables")
    samples = [sample_of(table.select(shared), truth, plan) for table in (first, second)]
    count, n_units = len(shared), samples[0].n_units
    rankings = [ranking for sample in samples for ranking in sample.rankings]
    both = replicate(rankings, n_units, bootstrap, seed)
    ones = {name: values[:, :count] for name, values in both.items()}
    others = {name: values[:, count:] for name, values in both.items()}
    gaps = {name: ones[name] - others[name] for name in both}
    return Comparison(
        first=_metrics(samples[0], plan, ones),
        second=_metrics(samples[1], plan, others),
        difference=_metrics(_minus(*samples), plan, gaps),
    )


def read_pair(
    scores: str | Path,
    truth: str | Path,
    score_id: str = "image_id",
    truth_id: str = "image_id",
    *,
    findings: Sequence[str] | None = None,
    by: str | None = PATIENT,
    prefix: str = "",
) -> tuple[Table, Table]:
    """Read a score and a truth file for `evaluate`.

    Parameters
    ----------
    scores, truth
        CSV files.
    score_id, truth_id
        Their id columns.
    findings
        What to evaluate; None takes every finding of the vocabulary that each file has.
    by
        The column of `truth` that will be resampled; carried along where it is there.
    prefix
        What the scores' finding columns start with.

    Raises
    ------
    TableError
        If a file is not such a table, or lacks a finding that was asked for.
    """
    extra = (by,) if by is not None and by in read_columns(truth) else ()
    return (
        read_table(scores, score_id, findings, prefix=prefix),
        read_table(truth, truth_id, findings, extra),
    )


@dataclass(frozen=True)
class Plan:
    """How an evaluation is done: the settings of `evaluate`, checked."""

    by: str | None
    bootstrap: int
    seed: int
    level: float
    policy: Policy

    def __post_init__(self) -> None:
        if self.bootstrap < 0:
            raise UsageError(f"bootstrap must be 0 or more resamples, got {self.bootstrap}")
        if not 0 < self.level < 1:
            raise UsageError(f"level must lie between 0 and 1, got {self.level}")
        if self.policy == "keep":
            raise UsageError(
                "an uncertain label is neither right nor wrong: choose the policy "
                "ignore, positive or negative"
            )


@dataclass(frozen=True, eq=False)
class Sample:
    """What the statistics need of two tables; one entry per finding in each sequence."""

    findings: tuple[str, ...]
    n: Sequence[int]
    positives: Sequence[int]
    rankings: Sequence[Ranking | None]
    estimates: Mapping[str, Floats]
    reasons: Sequence[str | None]
    n_units: int
    settings: Mapping[str, Any]


def sample_of(scores: Table, truth: Table, plan: Plan) -> Sample:
    """Join two tables and rank every finding; errors as in `evaluate`."""
    joined = align(scores, truth)
    labels = _labels(joined.truth, plan.policy)
    units, unit = _units(joined.truth, plan.by)
    n_units = int(units.max()) + 1
    rankings: list[Ranking | None] = []
    reasons: list[str | None] = []
    for at, name in enumerate(joined.truth.findings):
        reason = _why_undefined(joined.scores, name, labels[:, at])
        ranking = None if reason else rank(joined.scores.values[:, at], labels[:, at], units)
        rankings.append(ranking)
        singular = unit.removesuffix("_id")
        reasons.append(one_unit_only(ranking, singular) if ranking is not None else reason)
    known = ~np.isnan(labels)
    return Sample(
        findings=joined.truth.findings,
        n=known.sum(axis=0).tolist(),
        positives=(labels == 1).sum(axis=0).tolist(),
        rankings=rankings,
        estimates=_estimates(rankings),
        reasons=reasons,
        n_units=n_units,
        settings={
            "images": len(truth),
            "resampled": unit,
            "units": n_units,
            "bootstrap": plan.bootstrap,
            "interval": "percentile",
            "level": plan.level,
            "seed": plan.seed,
            "policy": plan.policy,
            "scored_without_truth": joined.without_truth,
            "findings_without_scores": list(joined.unscored),
            "findings_without_truth": list(joined.without_labels),
        },
    )


def _labels(truth: Table, policy: Policy) -> NDArray[np.float32]:
    strange = ~np.isnan(truth.values) & ~np.isin(truth.values, (1, 0, -1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise TableError(
            f"the truth of {truth.ids[row]!r} for {truth.findings[column]} is "
            f"{truth.values[row, column]:g}: expected 1, 0, -1 (uncertain) or nothing; "
            "are the two tables in the right order?"
        )
    return apply_policy(truth.values, policy)


def _units(truth: Table, by: str | None) -> tuple[NDArray[np.int64], str]:
    """Return the number of each image's unit, and what units are called."""
    if by is None or (by == PATIENT and by not in truth.extra):
        return np.arange(len(truth)), "image"
    if by not in truth.extra:
        known = ", ".join(truth.extra) or "none"
        raise TableError(f"cannot resample by {by!r}: the truth's extra columns are: {known}")
    cells = truth.extra[by]
    if empty := sum(not cell for cell in cells):
        raise TableError(f"cannot resample by {by!r}: it is empty for {empty} of the "
                         f"truth's {len(truth)} rows")  # fmt: skip
    return np.unique(np.array(cells), return_inverse=True)[1].astype(np.int64), by


def _why_undefined(scores: Table, finding: str, labels: NDArray[np.float32]) -> str | None:
    known = ~np.isnan(labels)
    if not known.any():
        return "no image has a known label"
    for value, word in ((1, "positive"), (0, "negative")):
        if not (labels[known] == value).any():
            return f"none of the {known.sum()} known labels is {word}"
    absent = known & np.isnan(scores.column(finding))
    if absent.all() or np.isnan(scores.column(finding)).all():
        return f"no scores: {scores.notes.get(finding, 'the column is empty')}"
    if absent.any():
        raise TableError(
            f"{finding} has no score for {absent.sum()} of the {known.sum()} images with a known "
            f"label, the first is {scores.ids[int(absent.argmax())]!r}; score them, or leave "
            "them out of the truth"
        )
    return None


def _estimates(rankings: Sequence[Ranking | None]) -> dict[str, Floats]:
    out = {name: np.full(len(rankings), np.nan) for name in STATISTICS}
    for at, ranking in enumerate(rankings):
        if ranking is not None:
            steps = ranking.weigh(np.ones((ranking.positives.shape[1], 1)))
            for name, statistic in STATISTICS.items():
                out[name][at] = statistic(steps)[0]
    return out


def _minus(first: Sample, second: Sample) -> Sample:
    gaps = {name: first.estimates[name] - second.estimates[name] for name in STATISTICS}
    reasons = [a or b for a, b in zip(first.reasons, second.reasons, strict=True)]
    return Sample(
        first.findings, first.n, first.positives, (), gaps, reasons, first.n_units, first.settings
    )


def _metrics(sample: Sample, plan: Plan, replicates: Mapping[str, Floats]) -> Metrics:
    findings = {}
    for at, name in enumerate(sample.findings):
        found = measures(
            {statistic: float(values[at]) for statistic, values in sample.estimates.items()},
            {statistic: values[:, at] for statistic, values in replicates.items()},
            plan.level,
            sample.reasons[at],
        )
        findings[name] = FindingMetrics(sample.n[at], sample.positives[at], found)
    defined = {name: ~np.isnan(values) for name, values in sample.estimates.items()}
    mean = {
        name: _mean(
            sample.estimates[name][kept], replicates[name][:, kept], plan.level, sample.n_units
        )
        for name, kept in defined.items()
    }
    n_in_mean = {name: int(kept.sum()) for name, kept in defined.items()}
    return Metrics(findings, mean, n_in_mean, sample.settings)


def _mean(estimates: Floats, replicates: Floats, level: float, n_units: int) -> Measure:
    """Average over findings; a resample in which one of them is undefined has no mean.

    To average the others in its place would mix means of different findings, and the rare
    findings, which drop out most, are not the average ones.
    """
    if not estimates.size:
        return Measure(None, reason="no finding is defined")
    if n_units == 1:
        return Measure(float(estimates.mean()), reason="no interval: there is one unit only")
    return percentile(float(estimates.mean()), replicates.mean(axis=1), level)
