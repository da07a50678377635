"""From tables to an appraisal: the evaluation, and another model beside it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

from hilum.appraisal.files import Pair, Tables
from hilum.appraisal.record import AS_THEY_CAME, Appraisal
from hilum.errors import UsageError
from hilum.evaluate import compare, evaluate
from hilum.evaluate.plan import PATIENT, Plan, Settings
from hilum.evaluate.preparation import Prepared, prepare
from hilum.evaluate.result import Comparison
from hilum.evaluate.rules import parse_rule
from hilum.tables import Table


def appraise(
    tables: Tables,
    by: str | None = PATIENT,
    *,
    threshold: str | None = None,
    calibrate: str | None = None,
    tune_on_reported: bool = False,
    subgroups: Sequence[str] = (),
    title: str = "",
    **settings: Unpack[Settings],
) -> Appraisal:
    """Evaluate scores as `hilum.evaluate` does, and against another model where there is one.

    Parameters
    ----------
    tables
        What `Files` hold; a threshold of theirs excludes `threshold`.
    by, threshold, calibrate, tune_on_reported, subgroups, settings
        As in `hilum.evaluate`.
    title
        Of the page.

    Raises
    ------
    TableError, UsageError
        As in `hilum.evaluate`; or if two settings exclude each other, or one lacks another.
    """
    _check(tables, threshold, settings)
    metrics = evaluate(
        tables.scores,
        tables.truth,
        by,
        readers=tables.readers or None,
        threshold=threshold if tables.thresholds is None else tables.thresholds,
        calibrate=calibrate,
        validation=tables.validation,
        tune_on_reported=tune_on_reported,
        subgroups=subgroups,
        **settings,
    )
    appraisal = Appraisal(
        metrics,
        tables.scores,
        tables.truth,
        names=tables.names,
        title=title,
        sources=tables.sources,
    )
    if tables.against is None:
        return appraisal
    alike = _both_tuned(tables, threshold, calibrate)
    sides = [
        prepare(
            scores,
            tables.truth,
            Plan(by, **settings).policy,
            validation=validation,
            threshold=threshold,
            calibrate=calibrate,
            tune_on_reported=tune_on_reported,
        )
        if alike
        else Prepared(scores)
        for scores, validation in _models(tables, tables.against)
    ]
    found = _compared(sides, tables.truth, by, settings)
    remark = None if alike else AS_THEY_CAME
    return replace(appraisal, comparison=found, against=sides[1].scores, remark=remark)


def _check(tables: Tables, threshold: str | None, settings: Settings) -> None:
    if tables.thresholds is not None and threshold is not None:
        raise UsageError("thresholds come from a file or from a rule: leave one of the two out")
    if settings.get("margin") is not None and not tables.readers:
        raise UsageError("a margin is for the model against readers: name their tables (--readers)")


def _models(tables: Tables, against: Table) -> list[tuple[Table, Pair | None]]:
    return [(tables.scores, tables.validation), (against, tables.against_validation)]


def _both_tuned(tables: Tables, threshold: str | None, calibrate: str | None) -> bool:
    """Tell whether what is done to the first model's scores can be done to the second's."""
    if tables.thresholds is not None:
        return False  # a file of thresholds belongs to one model
    rule = None if threshold is None else parse_rule(threshold)
    tuned = calibrate is not None or (rule is not None and rule.name != "fixed")
    return not tuned or tables.validation is None or tables.against_validation is not None


def _compared(
    sides: Sequence[Prepared], truth: Table, by: str | None, settings: Settings
) -> Comparison:
    """Compare two models, and let each keep what was tuned for it."""
    first, second = sides
    limits = (first.thresholds, second.thresholds)
    found = compare(first.scores, second.scores, truth, by, thresholds=limits, **settings)
    own, other = (
        replace(card, thresholds=side.thresholds, calibration=side.calibration)
        for card, side in zip((found.first, found.second), sides, strict=True)
    )
    return replace(found, first=own, second=other)
