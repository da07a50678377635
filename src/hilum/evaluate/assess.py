"""The way in: scores and truth to metrics, and two tables of scores against each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from hilum.errors import TableError
from hilum.evaluate.plan import PATIENT, Plan, Settings
from hilum.evaluate.result import Comparison, Metrics
from hilum.evaluate.sample import sample_of, spreads
from hilum.evaluate.scorecard import minus, scorecard
from hilum.tables import Table, read_columns, read_table


def evaluate(
    scores: Table, truth: Table, by: str | None = PATIENT, **settings: Unpack[Settings]
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

    Raises
    ------
    TableError
        If an id of the truth has no score, a score is missing for a known label, the truth
        holds anything but labels, the tables share no finding, or `by` is not a column.
    UsageError
        If a setting is out of range.
    """
    plan = Plan(by, **settings)
    sample = sample_of(scores, truth, plan)
    card = scorecard(sample, spreads([sample], plan)[0], plan)
    return Metrics(card.findings, card.mean, card.n_in_mean, sample.settings(plan))


def compare(
    first: Table,
    second: Table,
    truth: Table,
    by: str | None = PATIENT,
    **settings: Unpack[Settings],
) -> Comparison:
    """Measure two score tables, and first minus second with a paired interval and p-value.

    Both are measured on the findings that all three tables have, in the same resamples.
    Parameters and errors as in `evaluate`.
    """
    plan = Plan(by, **settings)
    shared = [name for name in truth.findings if name in first.findings]
    shared = [name for name in shared if name in second.findings]
    if not shared:
        raise TableError("no finding is in the truth and in both score tables")
    samples = [sample_of(table.select(shared), truth, plan) for table in (first, second)]
    drawn = spreads(samples, plan)
    cards = [scorecard(*each, plan) for each in zip(samples, drawn, strict=True)]
    cards.append(minus(samples, drawn, plan))
    made = [
        Metrics(card.findings, card.mean, card.n_in_mean, samples[0].settings(plan))
        for card in cards
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
