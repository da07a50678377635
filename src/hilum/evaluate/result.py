"""What an evaluation found: `metrics.json`, `metrics.csv` and a table for the terminal."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hilum.evaluate.intervals import Measure

TITLES: Final = {"auroc": "AUROC", "average_precision": "Average precision"}

_NAME_WIDTH: Final = 26  # "Enlarged Cardiomediastinum"; with the other columns, 80 in all


@dataclass(frozen=True)
class FindingMetrics:
    """One finding's numbers.

    Parameters
    ----------
    n
        Images whose label is known.
    positives
        Those of them that have the finding.
    measures
        By statistic, ``"auroc"`` and ``"average_precision"``.
    """

    n: int
    positives: int
    measures: Mapping[str, Measure]


@dataclass(frozen=True)
class Metrics:
    """What `hilum.evaluate` found.

    Parameters
    ----------
    findings
        By finding, in the truth's order.
    mean
        By statistic: the mean over the findings where it is defined.
    n_in_mean
        By statistic: how many findings those are.
    settings
        Everything needed to compute this again, and what was left out.
    """

    findings: Mapping[str, FindingMetrics]
    mean: Mapping[str, Measure]
    n_in_mean: Mapping[str, int]
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``metrics.json`` (`docs/formats.md`)."""
        return {
            "findings": {
                name: {"n": found.n, "positives": found.positives, **_numbers(found.measures)}
                for name, found in self.findings.items()
            },
            "mean": {
                statistic: {**numbers, "findings": self.n_in_mean[statistic]}
                for statistic, numbers in _numbers(self.mean).items()
            },
            "readers": {},
            "settings": dict(self.settings),
            "undefined": self._undefined(),
        }

    def _undefined(self) -> dict[str, dict[str, dict[str, Any]]]:
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
        settings = self.settings
        out = []
        if settings["resampled"] == "image" and settings["bootstrap"]:
            out.append(
                "Images were resampled one by one: if patients have several, the intervals are "
                "too narrow (name their column with --by)."
            )
        if settings["scored_without_truth"]:
            out.append(f"{settings['scored_without_truth']} scored ids are not in the truth.")
        for key, what in (
            ("findings_without_scores", "no scores"),
            ("findings_without_truth", "no truth"),
        ):
            if settings[key]:
                out.append(f"Left out, {what}: {', '.join(settings[key])}.")
        for name, measures in self._undefined().items():
            entry = next(iter(measures.values()))
            lost = f"undefined in {entry['resamples']} of {settings['bootstrap']} resamples"
            out.append(f"{name}: {entry['reason'] or lost}.")
        return out

    def save(self, folder: str | Path) -> Path:
        """Write ``metrics.json`` and ``metrics.csv`` to a folder; return the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        with (folder / "metrics.csv").open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(self._rows())
        return folder

    def _rows(self) -> list[list[Any]]:
        """Return a header and one row per finding, and one for the mean."""
        ends = ("", "_low", "_high")
        rows: list[list[Any]] = [
            ["finding", "n", "positives", *(s + end for s in self.mean for end in ends)]
        ]
        for name, found in self.findings.items():
            rows.append([name, found.n, found.positives, *_cells(found.measures)])
        return [*rows, ["mean", None, None, *_cells(self.mean)]]

    def to_text(self) -> str:
        """Return a table for a terminal, at most 80 columns wide."""
        level = f"{self.settings['level']:.0%} interval"
        lines = [
            _line("", "", "", *(TITLES[statistic] for statistic in self.mean)),
            _line("finding", "n", "pos.", *(f"({level})" for _ in self.mean)),
        ]
        for name, found in self.findings.items():
            cells = (as_text(measure) for measure in found.measures.values())
            lines.append(_line(name, str(found.n), str(found.positives), *cells))
        counts = set(self.n_in_mean.values())
        label = f"mean of {' / '.join(str(count) for count in sorted(counts))}"
        lines.append(_line(label, "", "", *(as_text(measure) for measure in self.mean.values())))
        return "\n".join(lines)


def as_text(measure: Measure, digits: int = 3) -> str:
    """Write a measure as ``0.838 (0.812-0.861)``, or ``undefined``."""
    if measure.estimate is None:
        return "undefined"
    text = f"{measure.estimate:.{digits}f}"
    if measure.low is None or measure.high is None:
        return f"{text} (undefined)" if measure.reason else text
    separator = "-" if measure.low >= 0 else " to "  # differences may be negative
    return f"{text} ({measure.low:.{digits}f}{separator}{measure.high:.{digits}f})"


def _line(name: str, n: str, positives: str, *cells: str) -> str:
    numbers = "".join(f" {cell:>19}" for cell in cells)
    return f"{_short(name)} {n:>6} {positives:>6}{numbers}".rstrip()


def _short(name: str) -> str:
    return f"{name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + '…':<{_NAME_WIDTH}}"


def _numbers(measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    return {
        statistic: {"estimate": m.estimate, "low": m.low, "high": m.high}
        for statistic, m in measures.items()
    }


def _cells(measures: Mapping[str, Measure]) -> list[float | None]:
    return [number for m in measures.values() for number in (m.estimate, m.low, m.high)]


@dataclass(frozen=True)
class Comparison:
    """Two score tables on the same images, and what separates them.

    Parameters
    ----------
    first, second
        Each table's own metrics.
    difference
        First minus second, with intervals from the same resamples of the same patients: far
        narrower than the two intervals side by side suggest.
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
        level = f"({self.difference.settings['level']:.0%} interval)"
        lines = [
            f"{TITLES[statistic]:<{_NAME_WIDTH}} {'first':>9} {'second':>9} {'difference':>27}",
            f"{'':<{_NAME_WIDTH}} {'':>9} {'':>9} {level:>27}",
        ]
        for name in (*self.difference.findings, None):
            trio = [
                (m.mean if name is None else m.findings[name].measures)[statistic]
                for m in (self.first, self.second, self.difference)
            ]
            first, second = (as_text(Measure(measure.estimate)) for measure in trio[:2])
            label = _short(name or f"mean of {self.difference.n_in_mean[statistic]}")
            lines.append(f"{label} {first:>9} {second:>9} {as_text(trio[2]):>27}")
        return "\n".join(lines)
