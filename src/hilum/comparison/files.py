"""A comparison of trainings, written down: JSON and CSV, a text, and a page with its figures."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hilum.comparison.costs import costs
from hilum.comparison.figures import draw
from hilum.comparison.judging import ALL, GROUPS, Measures
from hilum.comparison.page import page
from hilum.comparison.result import Difference, Standing, TrainingComparison
from hilum.evaluate import Measure, Repeats
from hilum.evaluate.layout import measure_json, write_rows
from hilum.evaluate.text import as_text as said
from hilum.evaluate.text import p_text, short
from hilum.files import write_json, write_text

_COLUMNS: Final = (
    *("arm", "split", "group", "statistic", "finding"),
    *("estimate", "low", "high", "spread", "p_value", "p_adjusted"),
)
_LONGEST: Final = 44  # letters of a name on the screen
_MINUS: Final = "auroc minus "


def save(found: TrainingComparison, folder: str | Path) -> tuple[Path, ...]:
    """Write comparison.json, .csv, .txt and .html, and the figures as SVG; each whole or not."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("comparison.json", "comparison.csv", "comparison.txt", "comparison.html")
    data, table, text, html = (folder / name for name in names)
    write_json(data, as_json(found))
    write_rows(table, [list(_COLUMNS), *as_rows(found)])
    write_text(text, as_text(found) + "\n")
    plots = draw(found)
    drawn = []
    for name, plot in plots.items():
        drawn.append(folder / f"{name}.svg")
        drawn[-1].write_bytes(base64.b64decode(plot.source.partition(",")[2]))
    page(found, plots).save(html)
    return data, table, text, html, *drawn


# --------------------------------------------------------------------------- for machines


def as_json(found: TrainingComparison) -> dict[str, Any]:
    """Return everything but the curves, as JSON types."""
    return {
        "chosen": found.chosen,
        "chosen_by": "the highest mean AUROC on validation images",
        "findings": list(found.findings),
        "left_out": list(found.left_out),
        "arms": {arm.name: _standing(arm) for arm in found.arms},
        "floor": None if found.floor is None else _standing(found.floor),
        "failed": dict(found.failed),
        "settings": dict(found.settings),
    }


def _standing(one: Standing) -> dict[str, Any]:
    return {
        "changes": dict(one.changes),
        "validation": _measures(one.validation),
        "test": _measures(one.test),
        "minus_chosen": one.minus_chosen
        and {split: _difference(gap) for split, gap in one.minus_chosen.items()},
        "minus_floor": one.minus_floor and {"test": _difference(one.minus_floor)},
        "trainings": [
            {
                "seed": training.seed,
                "run": f"arms/{training.arm.folder}/seed-{training.seed}/run",
                "steps": curve.last_step,
                **(vars(training.cost) if training.cost else {}),
            }
            for training, curve in zip(one.trainings, one.curves, strict=True)
        ],
    }


def _measures(measures: Measures) -> dict[str, Any]:
    return {
        group: {statistic: _repeats(repeats) for statistic, repeats in by_statistic.items()}
        for group, by_statistic in measures.items()
    }


def _repeats(repeats: Repeats) -> dict[str, Any]:
    return {
        "mean": {**_measure(repeats.mean), "spread": repeats.spread},
        "findings": {name: _measure(measure) for name, measure in repeats.findings.items()},
    }


def _measure(measure: Measure) -> dict[str, Any]:
    reason = {"reason": measure.reason} if measure.reason else {}
    return {**measure_json(measure), **reason}


def _difference(gap: Difference) -> dict[str, Any]:
    return {
        **{group: {"mean": _measure(measure)} for group, measure in gap.by_group.items()},
        "findings": {name: _measure(measure) for name, measure in gap.findings.items()},
    }


def as_rows(found: TrainingComparison) -> Iterator[list[Any]]:
    """Yield a row per arm, split, group, statistic and finding; ``mean`` is over the findings."""
    for one in found.rows:
        for split, measures in (("validation", one.validation), ("test", one.test)):
            for group, by_statistic in measures.items():
                for statistic, repeats in by_statistic.items():
                    at = [one.name, split, group, statistic]
                    yield [*at, "mean", *_cells(repeats.mean, repeats.spread)]
                    yield from _by_finding(at, repeats.findings)
        for split, reference, gap in found.gaps(one):
            for group, measure in gap.by_group.items():
                yield [one.name, split, group, _MINUS + reference, "mean", *_cells(measure)]
            yield from _by_finding([one.name, split, ALL, _MINUS + reference], gap.findings)


def _by_finding(at: Sequence[str], findings: Mapping[str, Measure]) -> Iterator[list[Any]]:
    for finding, measure in findings.items():
        yield [*at, finding, *_cells(measure)]


def _cells(measure: Measure, spread: float | None = None) -> list[float | None]:
    ends = (measure.estimate, measure.low, measure.high, spread)
    return [*ends, measure.p_value, measure.p_adjusted]


# --------------------------------------------------------------------------- for people


def as_text(found: TrainingComparison) -> str:
    """Return two tables: how arms do, and what tells them apart."""
    level = found.settings.get("level", 0.95)
    many, width = len(found.findings), _name_width(found)
    lines = [
        f"Mean AUROC over {many} findings, with {level:.0%} intervals over patients.",
        "",
        _line(width, "", "validation", "test", "test: first visits", "test: follow-ups"),
    ]
    for one in found.rows:
        cells = [one.on("validation"), *(one.on("test", group) for group in GROUPS)]
        lines.append(_line(width, _marked(one, found), *map(said, cells)))
    lines += ["", f"* chosen: {found.chosen}, the highest on validation patients.", ""]
    lines += list(_apart(found))
    if found.left_out:
        lines += ["", f"Left out, not learnt by every arm: {', '.join(found.left_out)}."]
    lines += [f"{name} failed: {reason}" for name, reason in found.failed.items()]
    return "\n".join(lines)


def _apart(found: TrainingComparison) -> Iterator[str]:
    floor, width = "minus no pixels" if found.floor else "", _name_width(found)
    yield _line(
        width, "On test patients", "minus chosen", floor, "minutes (CPU)", "memory", last=True
    )
    for one in found.arms:
        behind = one.minus_chosen["test"].by_group[ALL] if one.minus_chosen else None
        above = one.minus_floor.by_group[ALL] if one.minus_floor else None
        cells = ["–" if behind is None else _gap(behind), "" if above is None else said(above)]
        yield _line(width, _marked(one, found), *cells, *costs(one), last=True)


def _gap(measure: Measure) -> str:
    p = p_text(measure)
    return said(measure) + (f" p {p}" if p else "")


def _marked(one: Standing, found: TrainingComparison) -> str:
    return f"* {one.name}" if one.name == found.chosen else f"  {one.name}"


def _name_width(found: TrainingComparison) -> int:
    return min(max(len(one.name) + 2 for one in found.rows), _LONGEST)


def _line(width: int, name: str, *cells: str, last: bool = False) -> str:
    widths = (32, 23, 14, 10) if last else (20, 20, 20, 20)
    columns = [f"{cell:>{space}}" for cell, space in zip(cells, widths, strict=False)]
    return f"{short(name, width)} {' '.join(columns)}".rstrip()
