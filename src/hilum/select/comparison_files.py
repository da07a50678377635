"""A comparison of strategies, written down: JSON and CSV for machines, a table for people."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from hilum.evaluate.intervals import Measure
from hilum.select.comparison import ALL_SEEN, ALL_UNSEEN, Cell, Comparison
from hilum.select.figures import draw_comparison, save_figures
from hilum.select.results import write_results

OVER_PATIENTS: Final = (
    "over patients: the query's patients drawn again with replacement, percentiles; pools and "
    "picks stay as they are"
)
OVER_TASKS: Final = (
    "over tasks: Student's t of paired differences; says how the mean would vary over other "
    "tasks from the same patients"
)
_COLUMNS: Final = (
    *("prevalence", "finding", "seen", "findings", "budget", "strategy", "labelled"),
    *("auroc", "auroc_low", "auroc_high", "gain", "gain_low", "gain_high"),
    *("gain_low_over_tasks", "gain_high_over_tasks"),
)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything but the single tasks and resamples, as JSON types."""
    design = comparison.design
    return {
        "about": dict(comparison.about),
        "images": comparison.images,
        "patients": comparison.patients,
        "reference": comparison.reference,
        "strategies": list(comparison.strategies),
        "design": json.loads(json.dumps(asdict(design))),
        "intervals": {
            "level": design.level,
            "auroc": OVER_PATIENTS,
            "gain": OVER_PATIENTS,
            "gain_over_tasks": OVER_TASKS,
        },
        "left_out": [
            {"prevalence": prevalence, "finding": finding, "reason": reason}
            for (prevalence, finding), reason in comparison.left_out.items()
        ],
        "results": [_cell(cell) for cell in comparison.cells()],
    }


def as_rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield a row per prevalence, finding, budget and strategy; None where there is no number."""
    for cell in comparison.cells():
        gain, over_tasks = cell.gain or Measure(None), cell.gain_over_tasks or Measure(None)
        values = (
            cell.prevalence, cell.finding, int(cell.seen), cell.findings, cell.budget,
            cell.strategy, cell.labelled, cell.auroc.estimate, cell.auroc.low, cell.auroc.high,
            gain.estimate, gain.low, gain.high, over_tasks.low, over_tasks.high,
        )  # fmt: skip
        yield dict(zip(_COLUMNS, values, strict=True))


def as_text(comparison: Comparison) -> str:
    """Return a table for each prevalence and budget, at most 80 columns wide.

    It has the means over seen and over unseen findings; single findings are in the other files.
    """
    design = comparison.design
    cells = {
        (cell.prevalence, cell.budget, cell.finding, cell.strategy): cell
        for cell in comparison.cells()
    }
    lines = [
        f"{comparison.images:,} images of {comparison.patients:,} patients; {design.tasks} tasks "
        "for each finding.",
        "Mean AUROC, by images labelled of a pool and share of positives in it.",
        f"In brackets what {comparison.reference} has more, with {design.level:.0%} intervals over",
        "patients (pools and picks held fixed).",
    ]
    for prevalence in design.prevalences:
        kinds = [
            kind
            for kind in (ALL_SEEN, ALL_UNSEEN)
            if (prevalence, design.budgets[0], kind, comparison.reference) in cells
        ]
        for budget in design.budgets if kinds else ():
            head = f"{budget} of {design.plan.pool:,} at {100 * prevalence:g}%"
            lines += ["", f"{head:<24}" + "".join(f"{kind:<28}" for kind in kinds).rstrip()]
            for strategy in comparison.strategies:
                columns = [_column(cells[prevalence, budget, kind, strategy]) for kind in kinds]
                lines.append(f"  {strategy:<22}" + "".join(columns).rstrip())
    left_out = [
        f"No tasks for {finding} at {100 * prevalence:g}%: too rare."
        for prevalence, finding in comparison.left_out
    ]
    return "\n".join([*lines, *([""] if left_out else []), *left_out])


def save(comparison: Comparison, folder: str | Path) -> tuple[Path, ...]:
    """Write comparison.json, .csv and .txt, and its figures as SVG."""
    rows = as_rows(comparison)
    files = write_results(
        folder, "comparison", as_json(comparison), _COLUMNS, rows, as_text(comparison)
    )
    return (*files, *save_figures(draw_comparison(comparison), folder))


def _cell(cell: Cell) -> dict[str, Any]:
    document = asdict(cell)
    for name in ("auroc", "gain", "gain_over_tasks"):
        measure = getattr(cell, name)
        document[name] = None if measure is None else _measure(measure)
    return document


def _measure(measure: Measure) -> dict[str, Any]:
    """Return what a measure says; a reason only where there is one."""
    document: dict[str, Any] = {
        "estimate": measure.estimate,
        "low": measure.low,
        "high": measure.high,
    }
    if measure.undefined:
        document["undefined"] = measure.undefined
    if measure.reason is not None:
        document["reason"] = measure.reason
    if measure.p_value is not None:
        document["p_value"] = measure.p_value
    return document


def _column(cell: Cell) -> str:
    area = f".{round(1000 * (cell.auroc.estimate or 0)):03d}"
    area = "1.00" if area == ".1000" else area
    gain = cell.gain
    if gain is None:
        return f"{area:<28}"
    ends = "no interval" if gain.low is None else f"{_signed(gain.low)} {_signed(gain.high)}"
    return f"{area} [{_signed(gain.estimate)}: {ends}]".ljust(28)


def _signed(value: float | None) -> str:
    assert value is not None
    text = f"{value:+.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text[:5]
