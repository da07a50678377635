"""What is fitted before anything is measured: a calibration, then thresholds, on validation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hilum.errors import UsageError
from hilum.evaluate.instruments import Limit
from hilum.evaluate.recalibration import Calibration, fit_calibration
from hilum.evaluate.rules import Rule, parse_rule
from hilum.evaluate.thresholds import Thresholds, choose_thresholds, fixed_thresholds
from hilum.evaluate.tuning import refuse_overlap
from hilum.findings import Policy
from hilum.tables import Table

Pair = tuple[Table, Table]
"""Scores and truth."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Scores as they are measured, and how they came about.

    Parameters
    ----------
    scores
        Calibrated, where that was asked for.
    thresholds, calibration
        None where none was asked for.
    """

    scores: Table
    thresholds: Thresholds | None = None
    calibration: Calibration | None = None

    @property
    def limits(self) -> Mapping[str, Limit]:
        """The threshold of each finding or why it has none; nothing where none was asked for."""
        if self.thresholds is None:
            return {}
        chosen = {name: self.thresholds.of(name) for name in self.scores.findings}
        return {
            name: f"no threshold, {choice.reason}" if choice.threshold is None else choice.threshold
            for name, choice in chosen.items()
        }


def prepare(
    scores: Table,
    truth: Table,
    policy: Policy,
    *,
    validation: Pair | None = None,
    threshold: Thresholds | Rule | str | float | None = None,
    calibrate: str | None = None,
    tune_on_reported: bool = False,
) -> Prepared:
    """Calibrate scores and choose thresholds; parameters and errors as in `hilum.evaluate`."""
    rule = _rule(threshold)
    needs = calibrate is not None or (rule is not None and rule.name != "fixed")
    if not needs and (validation is not None or tune_on_reported):
        raise UsageError(
            "nothing is to be tuned, so that a validation table and tune_on_reported "
            "(--tune-on-reported) have no use: name a rule for thresholds, such as mcc, or a "
            "calibration"
        )
    remark = None
    if needs:
        validation, remark = _validation(scores, truth, validation, tune_on_reported, calibrate)
    calibration = None
    if calibrate is not None:
        assert validation is not None
        calibration = replace(fit_calibration(*validation, calibrate, policy), optimistic=remark)
        scores = calibration.apply(scores)
        validation = (calibration.apply(validation[0]), validation[1])
    if isinstance(threshold, Thresholds):
        return Prepared(scores, threshold, calibration)
    if rule is None:
        return Prepared(scores, None, calibration)
    if rule.name == "fixed":
        assert rule.target is not None
        return Prepared(scores, fixed_thresholds(rule.target, scores.findings), calibration)
    assert validation is not None
    chosen = replace(choose_thresholds(*validation, rule, policy), optimistic=remark)
    return Prepared(scores, chosen, calibration)


def _rule(threshold: Thresholds | Rule | str | float | None) -> Rule | None:
    if threshold is None or isinstance(threshold, Thresholds | Rule):
        return threshold if isinstance(threshold, Rule) else None
    return parse_rule(threshold) if isinstance(threshold, str) else Rule("fixed", float(threshold))


def _validation(
    scores: Table,
    truth: Table,
    validation: Pair | None,
    tune_on_reported: bool,
    calibrate: str | None,
) -> tuple[Pair, str | None]:
    """Return what to tune on, and the remark if that is what is reported."""
    if validation is None and not tune_on_reported:
        what = f"the calibration {calibrate!r}" if calibrate else "that rule for thresholds"
        raise UsageError(
            f"{what} is fitted to validation images: give their scores and truth (--tune-scores "
            "and --tune-truth), or allow tuning on the images that are reported "
            "(--tune-on-reported), which marks the result as optimistic"
        )
    pair = validation or (scores, truth)
    return pair, refuse_overlap(pair[1], truth, tune_on_reported=tune_on_reported)
