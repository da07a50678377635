"""What an evaluation found: `metrics.json`, CSV tables, and what a reader has to be told."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hilum.evaluate.instruments import NO_THRESHOLD
from hilum.evaluate.intervals import Measure
from hilum.evaluate.scorecard import FindingMetrics, Scorecard
from hilum.evaluate.text import comparison_text, scorecard_text


@dataclass(frozen=True)
class Metrics(Scorecard):
    """What `hilum.evaluate` found.

    Parameters
    ----------
    findings, mean, n_in_mean
        As in `Scorecard`.
    settings
        Everything needed to compute this again, and what was left out.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``metrics.json`` (`docs/formats.md`)."""
        return {
            **card_json(self),
            "readers": {},
            "settings": dict(self.settings),
            "undefined": self.undefined(),
        }

    def undefined(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return by finding and statistic why a number or an interval is missing."""
        everything = {name: found.measures for name, found in self.findings.items()}
        everything["mean"] = self.mean
        out: dict[str, dict[str, dict[str, Any]]] = {}
        for name, measures in everything.items():
            for statistic, measure in measures.items():
                if measure.reason is not None or measure.undefined:
                    entry = {"reason": measure.reason, "resamples": measure.undefined}
                    out.setdefault(name, {})[statistic] = entry
        return out

    def remarks(self) -> list[str]:
        """Say in a line each what a reader of the numbers has to know."""
        return [*self._remarks_on_settings(), *self._remarks_on_gaps()]

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

    def _remarks_on_gaps(self) -> Iterator[str]:
        """Say each reason once per finding, and what holds for all findings not at all."""
        resamples = self.settings["bootstrap"]
        for name, measures in self.undefined().items():
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
        """Write ``metrics.json`` and ``metrics.csv`` to a folder; return the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        write_rows(folder / "metrics.csv", rows(self))
        return folder

    def to_text(self) -> str:
        """Return tables for a terminal, at most 80 columns wide."""
        return scorecard_text(self, self.settings["level"])


def card_json(card: Scorecard) -> dict[str, Any]:
    """Return one rater's numbers as they stand in ``metrics.json``."""
    return {
        "findings": {
            name: {"n": found.n, "positives": found.positives, **_numbers(found.measures)}
            for name, found in card.findings.items()
        },
        "mean": {
            statistic: {**numbers, "findings": card.n_in_mean[statistic]}
            for statistic, numbers in _numbers(card.mean).items()
        },
    }


def _numbers(measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    return {statistic: measure_json(measure) for statistic, measure in measures.items()}


def measure_json(measure: Measure) -> dict[str, Any]:
    """Return estimate, low and high; the p-values and the bootstrap mean where there are any."""
    out: dict[str, Any] = {"estimate": measure.estimate, "low": measure.low, "high": measure.high}
    for name in ("p_value", "p_adjusted", "bootstrap_mean"):
        if (value := getattr(measure, name)) is not None:
            out[name] = value
    return out


def rows(card: Scorecard) -> list[list[Any]]:
    """Return a header and one row per finding, and one for the mean."""
    ends = ("", "_low", "_high")
    out: list[list[Any]] = [
        ["finding", "n", "positives", *(s + end for s in card.mean for end in ends)]
    ]
    for name, found in card.findings.items():
        out.append([name, found.n, found.positives, *_cells(found.measures)])
    return [*out, ["mean", None, None, *_cells(card.mean)]]


def _cells(measures: Mapping[str, Measure]) -> list[float | None]:
    return [number for m in measures.values() for number in (m.estimate, m.low, m.high)]


def write_rows(path: Path, content: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file; None is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(content)


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


__all__ = ["Comparison", "FindingMetrics", "Metrics", "card_json", "measure_json", "rows"]
