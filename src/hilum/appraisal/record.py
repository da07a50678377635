"""One evaluation as a whole: what was measured, of which tables, under which names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hilum.evaluate.intervals import Measure
from hilum.evaluate.plan import Plan
from hilum.evaluate.result import Comparison, Metrics
from hilum.tables import Table

AS_THEY_CAME: Final = (
    "The two models are compared as their scores came, without the first one's thresholds and "
    "calibration (with --tune-against both are tuned alike)."
)

OF_CALIBRATED: Final = (
    "The thresholds are those of calibrated scores: with others they mean something else."
)


@dataclass(frozen=True, eq=False)
class Appraisal:
    """One evaluation.

    Parameters
    ----------
    metrics
        What `hilum.evaluate` found.
    scores, truth
        What it was given.
    comparison
        Another model beside the first, and first minus second.
    against
        The other model's scores, as they were compared.
    names
        What the two models are called.
    title
        Of the page.
    sources
        The files it was made from.
    remark
        What a reader of the comparison has to know.
    """

    metrics: Metrics
    scores: Table
    truth: Table
    comparison: Comparison | None = None
    against: Table | None = None
    names: tuple[str, str] = ("the model", "the other model")
    title: str = ""
    sources: Mapping[str, Any] = field(default_factory=dict)
    remark: str | None = None

    @property
    def measured(self) -> Table:
        """The scores that the metrics speak of: calibrated, where that was asked for."""
        calibration = self.metrics.calibration
        return self.scores if calibration is None else calibration.apply(self.scores)

    @property
    def plan(self) -> Plan:
        """How it was done, as far as a curve's band needs to know."""
        settings = self.metrics.settings
        names = ("bootstrap", "seed", "level", "policy", "interval", "stratify")
        by = None if settings["resampled"] == "image" else settings["resampled"]
        return Plan(by, **{name: settings[name] for name in names})

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``metrics.json`` (`docs/formats.md`)."""
        out = self.metrics.to_json()
        if self.sources:
            out["settings"] = {**out["settings"], "files": dict(self.sources)}
        out["comparison"] = None
        if self.comparison is not None:
            out["comparison"] = {"names": list(self.names), **self.comparison.to_json()}
        return out

    def to_text(self) -> str:
        """Return tables for a terminal, at most 80 columns wide."""
        if self.comparison is None:
            return self.metrics.to_text()
        own = self.metrics.to_text()
        first, second = (name[:60] for name in self.names)
        counts = self.comparison.difference.n_in_mean
        shown = ("auroc", "average_precision", "f1", "mcc")
        tables = [self.comparison.to_text(name) for name in shown if counts.get(name)]
        return "\n\n".join([own, f"first: {first}\nsecond: {second}", *tables])

    def remarks(self) -> list[str]:
        """Say in a line each what a reader of the numbers has to know."""
        said = self.metrics.remarks()
        if self.metrics.calibration is not None and self.metrics.thresholds is not None:
            said.append(OF_CALIBRATED)
        return [*said, *([self.remark] if self.remark else [])]


def comparison_rows(comparison: Comparison) -> list[list[Any]]:
    """Return a header, and a row per finding and statistic; undefined ones are empty."""
    sides = {"first": comparison.first, "second": comparison.second}
    sides["difference"] = comparison.difference
    ends = ("", "_low", "_high")
    header = ["finding", "statistic", "n", "positives"]
    header += [side + end for side in sides for end in ends] + ["p_value", "p_adjusted"]
    out: list[list[Any]] = [header]
    for name, found in comparison.difference.findings.items():
        for statistic in found.measures:
            trio = [side.findings[name].measures[statistic] for side in sides.values()]
            row: list[Any] = [name, statistic, found.n, found.positives]
            out.append([*row, *_cells(trio)])
    for statistic in comparison.difference.mean:
        trio = [side.mean[statistic] for side in sides.values()]
        out.append(["mean", statistic, None, None, *_cells(trio)])
    return out


def _cells(trio: Sequence[Measure]) -> list[float | None]:
    numbers = [number for m in trio for number in (m.estimate, m.low, m.high)]
    return [*numbers, trio[-1].p_value, trio[-1].p_adjusted]
