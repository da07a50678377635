"""What was selected, written down: JSON and CSV for machines, a table for people."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hilum.select.analysis import FLOOR, Analysis, Row
from hilum.select.figures import draw_analysis, save_figures
from hilum.select.results import write_results

NOTE = (
    "Welch's t-test over tasks, corrected after Holm over all tests here; tasks share patients, so "
    "p-values say how these tasks differ, not how other patients would"
)


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Return the summary as JSON types."""
    return {
        "about": dict(analysis.about),
        "images": analysis.images,
        "patients": analysis.patients,
        "reference": analysis.reference,
        "strategies": list(analysis.strategies),
        "design": json.loads(json.dumps(asdict(analysis.design))),
        "left_out": [{"finding": name, "reason": why} for name, why in analysis.left_out.items()],
        "tests": NOTE,
        "floor": f"the w1 of {FLOOR}: a random selection against another random selection",
        "results": [asdict(row) for row in analysis.rows()],
    }


def as_text(analysis: Analysis) -> str:
    """Return a table of means, at most 80 columns wide for up to four strategies."""
    rows = {(row.findings, row.measure, row.strategy): row for row in analysis.rows()}
    design = analysis.design
    lines = [
        f"{design.budgets[0]} of {design.plan.pool:,} selected, {design.prevalences[0]:.0%} "
        f"positive, {design.tasks} tasks for each finding. Means over tasks.",
        f"* differs from {analysis.reference}: p < 0.05 after Holm's correction, over tasks.",
        f"w1: Wasserstein distance to a random selection; that of {FLOOR} is the floor.",
    ]
    for group in dict.fromkeys(row[0] for row in rows):
        head = "".join(f"{name[:13]:>14}" for name in analysis.strategies)
        lines += ["", f"{group:<24}{head}"]
        for measure in analysis.measures:
            found = [rows.get((group, measure, name)) for name in analysis.strategies]
            if any(found):
                lines.append(f"  {measure[:22]:<22}" + "".join(map(_number, found)).rstrip())
    left_out = [f"No tasks for {finding}: too rare." for finding in analysis.left_out]
    return "\n".join([*lines, *([""] if left_out else []), *left_out])


def save(analysis: Analysis, folder: str | Path) -> tuple[Path, ...]:
    """Write analysis.json, .csv and .txt, and its figures as SVG."""
    columns = [one.name for one in fields(Row)]
    rows = (asdict(row) for row in analysis.rows())
    files = write_results(folder, "analysis", as_json(analysis), columns, rows, as_text(analysis))
    return (*files, *save_figures(draw_analysis(analysis), folder))


def _number(row: Row | None) -> str:
    if row is None:
        return f"{'':>14}"
    star = "*" if row.p_adjusted is not None and row.p_adjusted < 0.05 else " "
    return f"{row.mean:>13.4g}{star}"
