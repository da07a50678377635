"""How results are laid out in `metrics.json` and in CSV tables (`docs/formats.md`)."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hilum.evaluate.intervals import Measure
from hilum.evaluate.panel import Panel
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.studies import Verdict
from hilum.evaluate.subgroups import Subgroup


def card_json(card: Scorecard) -> dict[str, Any]:
    """Return one rater's numbers."""
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


def explained_json(card: Scorecard | None) -> dict[str, Any] | None:
    """Return one rater's numbers, and why some are missing; None for no rater."""
    return None if card is None else {**card_json(card), "undefined": undefined(card)}


def _numbers(measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    return {statistic: measure_json(measure) for statistic, measure in measures.items()}


def measure_json(measure: Measure) -> dict[str, Any]:
    """Return estimate, low and high; the p-values and the bootstrap mean where there are any."""
    out: dict[str, Any] = {"estimate": measure.estimate, "low": measure.low, "high": measure.high}
    for name in ("p_value", "p_adjusted", "bootstrap_mean"):
        if (value := getattr(measure, name)) is not None:
            out[name] = value
    return out


def undefined(card: Scorecard) -> dict[str, dict[str, dict[str, Any]]]:
    """Return by finding and statistic why a number or an interval is missing."""
    everything = {name: found.measures for name, found in card.findings.items()}
    everything["mean"] = card.mean
    out: dict[str, dict[str, dict[str, Any]]] = {}
    for name, measures in everything.items():
        for statistic, measure in measures.items():
            if measure.reason is not None or measure.undefined:
                entry = {"reason": measure.reason, "resamples": measure.undefined}
                out.setdefault(name, {})[statistic] = entry
    return out


def panel_json(panel: Panel | None) -> dict[str, Any]:
    """Return ``readers`` with the readers' own numbers, and ``panel`` with all that joins them."""
    if panel is None:
        return {"readers": {}, "panel": None}
    return {
        "readers": {name: explained_json(card) for name, card in panel.readers.items()},
        "panel": {
            "mean": explained_json(panel.mean),
            "majority": explained_json(panel.majority),
            "agreement": explained_json(panel.agreement),
            "model_minus_readers": explained_json(panel.difference),
            "readers_as_random_effects": {
                finding: {statistic: study.to_json() for statistic, study in found.items()}
                for finding, found in panel.studies.items()
            },
            "noninferiority": {
                finding: {statistic: _verdict_json(verdict) for statistic, verdict in found.items()}
                for finding, found in panel.verdicts.items()
            },
        },
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "these_readers": verdict.these_readers and asdict(verdict.these_readers),
        "such_readers": verdict.such_readers and asdict(verdict.such_readers),
    }


def subgroup_json(group: Subgroup) -> dict[str, Any]:
    """Return one subgroup's numbers and their distance from everybody else's."""
    return {
        "images": group.images,
        "units": group.units,
        **card_json(group.card),
        "undefined": undefined(group.card),
        "minus_rest": explained_json(group.against_rest),
    }


def rows(card: Scorecard) -> list[list[Any]]:
    """Return a header and one row per finding, and one for the mean."""
    header = ["finding", "n", "positives", *_columns(card.mean)]
    return [header, *_card_rows(card)]


def _columns(measures: Mapping[str, Measure]) -> list[str]:
    return [statistic + end for statistic in measures for end in ("", "_low", "_high")]


def _card_rows(card: Scorecard) -> Iterator[list[Any]]:
    for name, found in card.findings.items():
        yield [name, found.n, found.positives, *_cells(found.measures)]
    yield ["mean", None, None, *_cells(card.mean)]


def _cells(measures: Mapping[str, Measure]) -> list[float | None]:
    return [number for m in measures.values() for number in (m.estimate, m.low, m.high)]


def reader_rows(panel: Panel) -> list[list[Any]]:
    """Return a row per reader and finding, then those of what joins the readers."""
    cards = [*panel.readers.items(), ("mean of readers", panel.mean)]  # a reader may have any name
    if panel.majority is not None:
        cards.append(("majority of readers", panel.majority))
    if panel.difference is not None:
        cards.append(("model minus mean of readers", panel.difference))
    header = ["reader", "finding", "n", "positives", *_columns(panel.mean.mean)]
    return [header, *([name, *row] for name, card in cards for row in _card_rows(card))]


def subgroup_rows(subgroups: Mapping[str, Mapping[str, Subgroup]]) -> list[list[Any]]:
    """Return a row per column, group and finding."""
    out: list[list[Any]] = []
    for column, groups in subgroups.items():
        for name, group in groups.items():
            counts = [column, name, group.images, group.units]
            if not out:
                names = ["column", "group", "images", "units", "finding", "n", "positives"]
                out.append([*names, *_columns(group.card.mean)])
            out += [[*counts, *row] for row in _card_rows(group.card)]
    return out


def write_rows(path: Path, content: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file; None is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(content)
