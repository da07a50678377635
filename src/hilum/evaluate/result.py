"""What an evaluation found: `metrics.json`, CSV tables, and what a reader has to be told."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hilum.evaluate.instruments import NO_THRESHOLD
from hilum.evaluate.layout import (
    card_json,
    explained_json,
    panel_json,
    reader_rows,
    rows,
    subgroup_json,
    subgroup_rows,
    undefined,
    write_rows,
)
from hilum.evaluate.panel import Panel
from hilum.evaluate.recalibration import Calibration
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.subgroups import Subgroup
from hilum.evaluate.text import (
    closing_text,
    comparison_text,
    panel_text,
    scorecard_text,
    subgroup_text,
)
from hilum.evaluate.thresholds import Thresholds, write_thresholds


@dataclass(frozen=True)
class Metrics(Scorecard):
    """What `hilum.evaluate` found.

    Parameters
    ----------
    findings, mean, n_in_mean
        As in `Scorecard`.
    settings
        Everything needed to compute this again, and what was left out.
    thresholds, calibration
        What was tuned, and on what; None where nothing was.
    uncalibrated
        Brier score and calibration error of the scores as they came, where they were calibrated.
    panel
        The readers, and the model against them.
    subgroups
        By column and group.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Thresholds | None = None
    calibration: Calibration | None = None
    uncalibrated: Scorecard | None = None
    panel: Panel | None = None
    subgroups: Mapping[str, Mapping[str, Subgroup]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``metrics.json`` (`docs/formats.md`)."""
        return {
            **card_json(self),
            **panel_json(self.panel),
            "subgroups": {
                column: {name: subgroup_json(group) for name, group in groups.items()}
                for column, groups in self.subgroups.items()
            },
            "thresholds": self.thresholds.to_json() if self.thresholds else None,
            "calibration": self._calibration_json(),
            "settings": dict(self.settings),
            "undefined": undefined(self),
        }

    def _calibration_json(self) -> dict[str, Any] | None:
        if self.calibration is None:
            return None
        return {**self.calibration.to_json(), "before": explained_json(self.uncalibrated)}

    def warnings(self) -> list[str]:
        """Say what makes the numbers look better than they are: tuning on what is reported."""
        tuned = [part for part in (self.calibration, self.thresholds) if part is not None]
        return list(dict.fromkeys(part.optimistic for part in tuned if part.optimistic))

    def remarks(self) -> list[str]:
        """Say in a line each what a reader of the numbers has to know."""
        tuned = [part for part in (self.calibration, self.thresholds) if part is not None]
        said = [line for part in tuned for line in part.remarks()]
        said += self._remarks_on_settings()
        said += self._remarks_on_readers()
        said += self._remarks_on_gaps()
        return list(dict.fromkeys(said))

    def _remarks_on_settings(self) -> Iterator[str]:
        settings = self.settings
        if settings["resampled"] == "image" and settings["bootstrap"]:
            yield (
                "Images were resampled one by one: if patients have several, the intervals are "
                "too narrow (name their column with --by)."
            )
        if settings["scored_without_truth"]:
            yield f"{settings['scored_without_truth']} scored ids are not in the truth."
        for key, what in (
            ("findings_without_scores", "no scores"),
            ("findings_without_truth", "no truth"),
        ):
            if settings[key]:
                yield f"Left out, {what}: {', '.join(settings[key])}."

    def _remarks_on_readers(self) -> Iterator[str]:
        if self.panel is None:
            return
        own, shared = len(self.findings), len(self.panel.mean.findings)
        if shared < own:
            yield f"Means of readers are over the {shared} findings that all tables share."
        if self.panel.difference is None:
            yield (
                "The model is not compared with the readers: it has no thresholds "
                "(choose some with --threshold)."
            )

    def _remarks_on_gaps(self) -> Iterator[str]:
        """Say each reason once per finding, and what holds for all findings not at all."""
        resamples = self.settings["bootstrap"]
        for name, measures in undefined(self).items():
            if name == "mean":
                continue
            said: dict[str, None] = {}
            for entry in measures.values():
                lost = f"undefined in {entry['resamples']} of {resamples} resamples"
                said.setdefault(entry["reason"] or lost)
            said.pop(NO_THRESHOLD, None)
            if said:
                yield f"{name}: {'; '.join(said)}."

    def save(self, folder: str | Path) -> Path:
        """Write ``metrics.json`` and the CSV tables to a folder; return the folder.

        ``metrics.csv`` has the scores' own numbers, ``readers.csv`` and ``subgroups.csv`` those of
        readers and subgroups, where there are any; ``thresholds.csv`` and ``calibration.json``
        can be used again.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        write_rows(folder / "metrics.csv", rows(self))
        if self.panel is not None:
            write_rows(folder / "readers.csv", reader_rows(self.panel))
        if self.subgroups:
            write_rows(folder / "subgroups.csv", subgroup_rows(self.subgroups))
        if self.thresholds is not None:
            write_thresholds(self.thresholds, folder / "thresholds.csv")
        if self.calibration is not None:
            self.calibration.save(folder / "calibration.json")
        return folder

    def to_text(self) -> str:
        """Return tables for a terminal, at most 80 columns wide, and what was resampled."""
        level = self.settings["level"]
        parts = [scorecard_text(self, level)]
        if self.panel is not None:
            parts.append(panel_text(self.panel, self, level))
        parts += [subgroup_text(name, groups, level) for name, groups in self.subgroups.items()]
        return "\n\n".join([*parts, closing_text(self.settings, self.warnings())])


@dataclass(frozen=True)
class Comparison:
    """Two score tables on the same images, and what separates them.

    Parameters
    ----------
    first, second
        Each table's own metrics.
    difference
        First minus second, with intervals and p-values from the same resamples of the same
        patients: far narrower than the two intervals side by side suggest.
    """

    first: Metrics
    second: Metrics
    difference: Metrics

    def to_json(self) -> dict[str, Any]:
        """Return the three results as they would stand in ``metrics.json``."""
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "difference": self.difference.to_json(),
        }

    def to_text(self, statistic: str = "auroc") -> str:
        """Return a table of one statistic for a terminal, at most 80 columns wide."""
        level = self.difference.settings["level"]
        return comparison_text((self.first, self.second, self.difference), statistic, level)
