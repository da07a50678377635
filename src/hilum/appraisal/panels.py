"""From an appraisal to the panels of its plots: one finding each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum import plots
from hilum.appraisal.record import Appraisal
from hilum.evaluate.calibration import reliability
from hilum.evaluate.curves import precision_recall_curve, roc_bands, roc_curve
from hilum.evaluate.draws import Draws
from hilum.evaluate.plan import Plan
from hilum.evaluate.ranking import Ranking
from hilum.evaluate.sample import Sample, sample_of
from hilum.evaluate.scorecard import FindingMetrics, Scorecard

MOST: Final = 20
"""Findings in one figure."""

BINS: Final = 10
"""Of a reliability diagram, each with as many images: most scores lie near 0."""

Floats = NDArray[np.float64]
Line = Callable[[Floats, NDArray[np.float32]], tuple[Floats, Floats]]

_GRID: Final = np.linspace(0, 1, 101)
_NOTHING: Final = np.empty(0)


@dataclass(frozen=True, eq=False)
class _Model:
    """A model's numbers, and the scores and labels that its curves are made of."""

    name: str
    card: Scorecard
    sample: Sample

    def columns(self, finding: str) -> tuple[Floats, NDArray[np.float32]]:
        at = self.sample.findings.index(finding)
        return self.sample.joined.scores.values[:, at], self.sample.labels[:, at]


def _models(appraisal: Appraisal) -> list[_Model]:
    plan = replace(appraisal.plan, statistics=("auroc",))
    own = sample_of(appraisal.measured, appraisal.truth, plan)
    made = [_Model(appraisal.names[0], appraisal.metrics, own)]
    if appraisal.comparison is not None and appraisal.against is not None:
        other = sample_of(appraisal.against, appraisal.truth, plan)
        made.append(_Model(appraisal.names[1], appraisal.comparison.second, other))
    return made


def shown_findings(card: Scorecard) -> list[str]:
    """Return the findings to draw: those with the most positives, if there are too many."""
    ranked = sorted(card.findings, key=lambda name: -card.findings[name].positives)
    kept = set(ranked[:MOST])
    return [name for name in card.findings if name in kept]


def roc_panels(appraisal: Appraisal) -> list[plots.CurvePanel]:
    """Return the ROC curves with their bands, and the readers as points among them."""
    models = _models(appraisal)
    bands = [_bands(model, appraisal.plan) for model in models]
    return _panels(appraisal, models, "auroc", _roc_line, bands)


def precision_recall_panels(appraisal: Appraisal) -> list[plots.CurvePanel]:
    """Return the precision-recall curves, and the readers as points among them."""
    models = _models(appraisal)
    none: list[Mapping[str, plots.Band]] = [{} for _ in models]
    return _panels(appraisal, models, "average_precision", _precision_line, none)


def _roc_line(scores: Floats, labels: NDArray[np.float32]) -> tuple[Floats, Floats]:
    return roc_curve(scores, labels)[:2]


def _precision_line(scores: Floats, labels: NDArray[np.float32]) -> tuple[Floats, Floats]:
    precision, recall, _ = precision_recall_curve(scores, labels)
    return recall, precision


def _bands(model: _Model, plan: Plan) -> dict[str, plots.Band]:
    """Return the band of every ROC curve that is defined, from the resamples of its AUROC."""
    made = zip(model.sample.findings, model.sample.instruments, strict=True)
    rankings = {name: i for name, own in made for i in own if isinstance(i, Ranking)}
    if not plan.bootstrap or not rankings:
        return {}
    units = model.sample.units
    draws = Draws(units.count, plan.bootstrap, plan.seed, units.strata, plan.interval == "chexzero")
    low, high = roc_bands(list(rankings.values()), draws, _GRID, plan.level)
    return {name: plots.Band(_GRID, low[at], high[at]) for at, name in enumerate(rankings)}


def _panels(
    appraisal: Appraisal,
    models: Sequence[_Model],
    area: str,
    line: Line,
    bands: Sequence[Mapping[str, plots.Band]],
) -> list[plots.CurvePanel]:
    return [
        plots.CurvePanel(
            finding,
            appraisal.metrics.findings[finding].n,
            appraisal.metrics.findings[finding].positives,
            [
                _curve(model, finding, area, line, own.get(finding))
                for model, own in zip(models, bands, strict=True)
                if finding in model.card.findings
            ],
            _reader_points(appraisal, finding),
            _mean_reader(appraisal, finding),
        )
        for finding in shown_findings(appraisal.metrics)
    ]


def _curve(
    model: _Model, finding: str, area: str, line: Line, band: plots.Band | None
) -> plots.Curve:
    found = model.card.findings[finding]
    measure = found.measures[area]
    x, y = (_NOTHING, _NOTHING) if measure.estimate is None else line(*model.columns(finding))
    shown = None if measure.low is None else band  # no band where there is no interval
    at = _point(f"{model.name}, threshold", found)
    return plots.Curve(model.name, x, y, measure, shown, at)


def _point(name: str, found: FindingMetrics | None) -> plots.OperatingPoint | None:
    """Return readings as a point, or None where they have none."""
    if found is None or not {"sensitivity", "specificity", "ppv"} <= found.measures.keys():
        return None
    own = found.measures
    if own["sensitivity"].estimate is None or own["specificity"].estimate is None:
        return None
    return plots.OperatingPoint(name, own["sensitivity"], own["specificity"], own["ppv"])


def _reader_points(appraisal: Appraisal, finding: str) -> list[plots.OperatingPoint]:
    panel = appraisal.metrics.panel
    readers = panel.readers if panel else {}
    points = (_point(name, card.findings.get(finding)) for name, card in readers.items())
    return [point for point in points if point is not None]


def _mean_reader(appraisal: Appraisal, finding: str) -> plots.OperatingPoint | None:
    panel = appraisal.metrics.panel
    if panel is None or len(panel.readers) < 2:
        return None
    return _point(f"mean of {len(panel.readers)} readers", panel.mean.findings.get(finding))


def reliability_panels(appraisal: Appraisal) -> list[plots.ReliabilityPanel]:
    """Return reliability diagrams: of the scores, or before and after calibration.

    Nothing where no finding's scores are probabilities, or they were not asked about.
    """
    metrics = appraisal.metrics
    versions = [("as given", appraisal.scores, metrics.uncalibrated)]
    versions.append(("calibrated", appraisal.measured, metrics))
    if metrics.calibration is None:
        versions = [("scores", appraisal.scores, metrics)]
    if not {"ece", "brier"} <= metrics.mean.keys() or not metrics.n_in_mean["ece"]:
        return []
    plan = replace(appraisal.plan, statistics=())
    models = [
        _Model(name, card, sample_of(table, appraisal.truth, plan))
        for name, table, card in versions
        if card is not None
    ]
    return [
        plots.ReliabilityPanel(
            finding,
            metrics.findings[finding].n,
            metrics.findings[finding].positives,
            [_reliability(model, finding, plan.level) for model in models],
        )
        for finding in shown_findings(metrics)
    ]


def _reliability(model: _Model, finding: str, level: float) -> plots.ReliabilitySeries:
    own = model.card.findings[finding].measures
    scores, labels = model.columns(finding)
    known = ~np.isnan(labels) if own["ece"].estimate is not None else np.zeros(len(labels), bool)
    bins = reliability(
        scores[known],
        labels[known],
        model.sample.units.numbers[known],
        bins=BINS,
        spacing="count",
        level=level,
    )
    return plots.ReliabilitySeries(model.name, bins, scores[known], own["ece"], own["brier"])


def subgroup_panels(appraisal: Appraisal, statistic: str) -> list[plots.SubgroupPanel]:
    """Return the mean over findings in every subgroup: one panel."""
    metrics = appraisal.metrics
    rows = [
        plots.SubgroupRow(
            column,
            level,
            group.images,
            sum(found.positives for found in group.card.findings.values()),
            group.card.mean[statistic],
        )
        for column, groups in metrics.subgroups.items()
        for level, group in groups.items()
    ]
    title = f"Mean of {metrics.n_in_mean[statistic]} findings"
    return [plots.SubgroupPanel(title, metrics.mean[statistic], rows)]
