"""From tables to an appraisal: the evaluation, and another model beside it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

from hilum.appraisal.files import Tables
from hilum.appraisal.record import AS_THEY_CAME, Appraisal
from hilum.errors import UsageError
from hilum.evaluate import compare, evaluate
from hilum.evaluate.plan import PATIENT, Plan, Settings
from hilum.evaluate.preparation import Prepared, prepare
from hilum.evaluate.result import Comparison
from hilum.evaluate.rules import parse_rule
from hilum.tables import Table

Tune = Callable[..., Prepared]
"""Scores, truth, policy and validation tables to scores as they are measured."""


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
    if tables.thresholds is not None and threshold is not None:
        raise UsageError("thresholds come from a file or from a rule: leave one of the two out")
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
    tune: Tune = partial(
        prepare, threshold=threshold, calibrate=calibrate, tune_on_reported=tune_on_reported
    )
    if _both_tuned(tables, threshold, calibrate):
        return _beside(appraisal, tables, tables.against, tune, by, settings)
    appraisal = replace(appraisal, remark=AS_THEY_CAME)
    return _beside(appraisal, tables, tables.against, _as_it_came, by, settings)


def _beside(
    appraisal: Appraisal,
    tables: Tables,
    against: Table,
    tune: Tune,
    by: str | None,
    settings: Settings,
) -> Appraisal:
    """Add the other model, and let each keep the calibration that was fitted for it."""
    truth, policy = tables.truth, Plan(by, **settings).policy
    own = tune(tables.scores, truth, policy, validation=tables.validation)
    other = tune(against, truth, policy, validation=tables.against_validation)
    limits = (own.thresholds, other.thresholds)
    found = compare(own.scores, other.scores, truth, by, thresholds=limits, **settings)
    comparison = Comparison(
        replace(found.first, calibration=own.calibration),
        replace(found.second, calibration=other.calibration),
        found.difference,
    )
    return replace(appraisal, comparison=comparison, against=other.scores)


def _as_it_came(_scores: Table, *_: Any, **__: Any) -> Prepared:
    return Prepared(_scores)


def _both_tuned(tables: Tables, threshold: str | None, calibrate: str | None) -> bool:
    """Tell whether what is done to the first model's scores can be done to the second's."""
    if tables.thresholds is not None:
        return False  # a file of thresholds belongs to one model
    rule = None if threshold is None else parse_rule(threshold)
    tuned = calibrate is not None or (rule is not None and rule.name != "fixed")
    return not tuned or tables.validation is None or tables.against_validation is not None
