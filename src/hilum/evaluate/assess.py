"""The way in: scores and truth to metrics, and two tables of scores against each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from hilum.errors import TableError, UsageError
from hilum.evaluate.panel import panel
from hilum.evaluate.plan import PATIENT, Plan, Settings
from hilum.evaluate.preparation import Pair, prepare
from hilum.evaluate.rater import resampled
from hilum.evaluate.result import Comparison, Metrics
from hilum.evaluate.rules import Rule
from hilum.evaluate.sample import sample_of
from hilum.evaluate.scorecard import Scorecard, scorecard
from hilum.evaluate.subgroups import parse_groupings, subgroup_metrics
from hilum.evaluate.thresholds import Thresholds
from hilum.tables import Table, read_columns, read_table


def evaluate(
    scores: Table,
    truth: Table,
    by: str | None = PATIENT,
    *,
    readers: Mapping[str, Table] | None = None,
    threshold: Thresholds | Rule | str | float | None = None,
    calibrate: str | None = None,
    validation: Pair | None = None,
    tune_on_reported: bool = False,
    subgroups: Sequence[str] = (),
    **settings: Unpack[Settings],
) -> Metrics:
    """Measure how well scores tell images with a finding from those without.

    Parameters
    ----------
    scores
        Any finite numbers, higher for likelier; rows and columns in any order, more of either
        than the truth has.
    truth
        1, 0, -1 (uncertain) and NaN (unknown; the image takes no part for that finding).
    by, settings
        How it is done: ``bootstrap``, ``seed``, ``level``, ``policy``, ``interval`` and more
        (`hilum.evaluate.Plan`).
    readers
        Radiologists' tables by name: 1, 0, -1 (uncertain) or NaN (not read).
    threshold
        A score at or above it is a positive reading: a number for all findings, `Thresholds`, or
        a rule that is applied to `validation`: ``"mcc"``, ``"f1"``, ``"youden"``,
        ``"sensitivity=0.95"`` or ``"specificity=0.9"``. None for no readings: F1 and the like
        are undefined then.
    calibrate
        ``"temperature"``, ``"platt"`` or ``"isotonic"``, fitted to `validation`.
    validation
        Scores and truth of other patients, to tune on.
    tune_on_reported
        Tune on what is reported after all. The result says that it is optimistic.
    subgroups
        Extra columns of the truth, such as ``"sex"`` or ``"age=40,60,80"``.

    Raises
    ------
    TableError
        If an id of the truth has no score, a score is missing for a known label, the truth
        holds anything but labels, the tables share no finding, or `by` is not a column.
    UsageError
        If a setting is out of range or without use, or an image or patient is in `validation`
        and in `truth`.
    """
    plan = Plan(by, **settings)
    groupings = parse_groupings(subgroups)
    if plan.margin is not None and not readers:
        raise UsageError("a margin is for the model against readers, and no readers were given")
    ready = prepare(
        scores,
        truth,
        plan.policy,
        validation=validation,
        threshold=threshold,
        calibrate=calibrate,
        tune_on_reported=tune_on_reported,
    )
    sample = sample_of(ready.scores, truth, plan, ready.limits)
    card = scorecard(resampled([sample], plan)[0], plan)
    return Metrics(
        card.findings,
        card.mean,
        card.n_in_mean,
        settings=sample.settings(plan),
        thresholds=ready.thresholds,
        calibration=ready.calibration,
        uncalibrated=_before(scores, truth, plan) if ready.calibration else None,
        panel=panel(readers, truth, plan, ready.scores, ready.limits) if readers else None,
        subgroups={
            grouping.column: subgroup_metrics(ready.scores, truth, grouping, plan, ready.limits)
            for grouping in groupings
        },
    )


def _before(scores: Table, truth: Table, plan: Plan) -> Scorecard | None:
    """Measure the calibration of the scores as they came."""
    plan = plan.only(("brier", "ece"))
    if not plan.wanted():
        return None
    return scorecard(resampled([sample_of(scores, truth, plan)], plan)[0], plan)


def compare(
    first: Table,
    second: Table,
    truth: Table,
    by: str | None = PATIENT,
    *,
    thresholds: tuple[Thresholds | float | None, Thresholds | float | None] = (None, None),
    **settings: Unpack[Settings],
) -> Comparison:
    """Measure two score tables, and first minus second with a paired interval and p-value.

    Both are measured on the findings that all three tables have, in the same resamples.

    Parameters
    ----------
    first, second, truth, by, settings
        As in `evaluate`.
    thresholds
        Of the first and of the second; tune them beforehand (`choose_thresholds`).

    Raises
    ------
    TableError, UsageError
        As in `evaluate`.
    """
    plan = Plan(by, **settings)
    shared = [name for name in truth.findings if name in first.findings]
    shared = [name for name in shared if name in second.findings]
    if not shared:
        raise TableError("no finding is in the truth and in both score tables")
    ready = [
        prepare(table.select(shared), truth, plan.policy, threshold=limit)
        for table, limit in zip((first, second), thresholds, strict=True)
    ]
    one, other = (sample_of(side.scores, truth, plan, side.limits) for side in ready)
    raters = resampled([one, other], plan)
    cards = [scorecard(rater, plan) for rater in (*raters, raters[0] - raters[1])]
    used = (*(side.thresholds for side in ready), None)
    made = [
        Metrics(card.findings, card.mean, card.n_in_mean, one.settings(plan), limits)
        for card, limits in zip(cards, used, strict=True)
    ]
    return Comparison(*made)


def read_pair(
    scores: str | Path,
    truth: str | Path,
    score_id: str = "image_id",
    truth_id: str = "image_id",
    *,
    findings: Sequence[str] | None = None,
    by: str | None = PATIENT,
    extra: Sequence[str] = (),
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
        The column of `truth` that will be resampled. ``"patient_id"`` is carried along wherever
        it is there, so that patients can be told apart.
    extra
        Other columns of `truth` to carry along, such as those of subgroups.
    prefix
        What the scores' finding columns start with.

    Raises
    ------
    TableError
        If a file is not such a table, or lacks a finding or a column that was asked for.
    """
    carried = [PATIENT] if PATIENT in read_columns(truth) else []
    carried += [by] if by not in (None, PATIENT) else []
    carried += extra
    return (
        read_table(scores, score_id, findings, prefix=prefix),
        read_table(truth, truth_id, findings, list(dict.fromkeys(carried))),
    )
