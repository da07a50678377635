"""A frontier written down: one JSON, one CSV, one figure, a text and a page."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure as Plot

from hilum.evaluate import Measure
from hilum.evaluate.layout import measure_json, write_rows
from hilum.evaluate.text import as_text as said
from hilum.evaluate.text import p_text, short
from hilum.files import write_json, write_text
from hilum.frontier.figures import panels
from hilum.frontier.page import page
from hilum.frontier.result import Frontier, Line, Point
from hilum.plots.canvas import as_svg
from hilum.plots.frontiers import frontiers

COLUMNS: Final = (
    *("line", "kind", "strategy", "reader", "embedding", "labels", "repeats", "finding"),
    *("estimate", "low", "high", "spread", "untaught"),
)
_NAME: Final = 34  # letters of a line's name on the screen


def save(found: Frontier, folder: str | Path) -> tuple[Path, ...]:
    """Write ``frontier.json``, ``.csv``, ``.txt``, ``.svg``, ``.pdf`` and ``.html``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("json", "csv", "txt", "svg", "pdf", "html")
    data, table, text, svg, pdf, html = (folder / f"frontier.{ending}" for ending in names)
    write_json(data, as_json(found))
    write_rows(table, [list(COLUMNS), *as_rows(found)])
    write_text(text, as_text(found) + "\n")
    plot = figure_of(found)
    svg.write_bytes(as_svg(plot))
    plot.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None})
    page(found).save(html)
    return data, table, text, svg, pdf, html


def figure_of(found: Frontier) -> Plot:
    """Return the figure: readers beside each other."""
    level = found.target.estimate
    target = None if level is None else (f"{found.share:.0%} of {found.goal}", level)
    everything = found.images["train"]
    return frontiers(panels(found), everything=everything, target=target)


# ------------------------------------------------------------------ for machines


def as_json(found: Frontier) -> dict[str, Any]:
    """Return everything, as JSON types."""
    return {
        "findings": list(found.findings),
        "left_out": dict(found.left_out),
        "images": dict(found.images),
        "patients": dict(found.patients),
        "goal": {
            "line": found.goal,
            "share_of_what_is_above_one_half": found.share,
            "auroc": _measure(found.target),
            "doubt": found.doubt or None,
        },
        "lines": [_line(line) for line in found.lines],
        "missing": dict(found.missing),
        "settings": _plain(found.settings),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "kind": line.kind,
        "strategy": line.strategy or None,
        "reader": line.reader or None,
        "embedding": line.embedding or None,
        "runs": list(line.runs),
        "remark": line.remark or None,
        "points": [_point(point) for point in line.points],
        "mean_along_labels": line.height and _measure(line.height),
        "minus_random": line.over_chance and _measure(line.over_chance),
        "labels_needed": line.needed and asdict(line.needed),
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "labels": point.labels,
        "repeats": point.repeats,
        "spread": point.spread,
        "untaught": point.untaught,
        "mean": _measure(point.mean),
        "findings": {name: _measure(measure) for name, measure in point.findings.items()},
    }


def _measure(measure: Measure) -> dict[str, Any]:
    reason = {"reason": measure.reason} if measure.reason else {}
    return {**measure_json(measure), **reason}


def _plain(value: Any) -> Any:
    """Return settings as JSON has them."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)


def as_rows(found: Frontier) -> Iterator[list[Any]]:
    """Yield a row per line, number of labels and finding; ``mean`` is over the findings."""
    for line in found.lines:
        for point in line.points:
            at = [line.name, line.kind, line.strategy, line.reader, line.embedding,
                  point.labels, point.repeats]  # fmt: skip
            own = point.mean
            yield [*at, "mean", own.estimate, own.low, own.high, point.spread, point.untaught]
            for name, one in point.findings.items():
                yield [*at, name, one.estimate, one.low, one.high, None, None]


# ------------------------------------------------------------------ for people


def as_text(found: Frontier) -> str:
    """Return tables: ends of the axis, then curves."""
    level = found.settings["measuring"]["level"]
    lines = [
        f"Mean AUROC over {len(found.findings)} findings on {found.images['test']:,} images of "
        f"{found.patients['test']:,} test patients, with {level:.0%} intervals over patients.",
        "",
        *_ends(found),
        "",
        *_curves(found),
        "",
        f"Labels needed: to reach {found.share:.0%} of what {found.goal} has above one half, "
        f"{said(found.target)}.",
        "Minus random: area between the curves, along the logarithm of labels; p is adjusted for "
        "their number (Holm).",
        *([found.doubt] if found.doubt else []),
    ]
    for name, why in found.left_out.items():
        lines.append(f"{name} is not measured: {why}.")
    lines += [f"{name} is left out: {why}" for name, why in found.missing.items()]
    remarks = dict.fromkeys(f"{line.name}: {line.remark}." for line in found.lines if line.remark)
    return "\n".join([*lines, *remarks])


def _ends(found: Frontier) -> Iterator[str]:
    for line in found.of("none", "all", "full", "floor"):
        count = f"{line.last.labels:,}"
        yield f"{short(line.name, _NAME):{_NAME}} {count:>7} labels  {said(line.last.mean)}"


def _curves(found: Frontier) -> Iterator[str]:
    shown = list(found.of("few", "control", "tuned"))
    counts = sorted({point.labels for line in shown for point in line.points})
    yield f"{'':{_NAME}} " + " ".join(f"{count:>5}" for count in counts) + "  labels needed"
    for line in shown:
        by = {point.labels: point.mean.estimate for point in line.points}
        cells = (f"{by[c]:>5.3f}" if by.get(c) is not None else "    –" for c in counts)
        needed = line.needed.as_text() if line.needed else ""
        yield f"{short(line.name, _NAME):{_NAME}} {' '.join(cells)}  {needed}".rstrip()
    yield ""
    for line in shown:
        if line.over_chance is not None:
            p = p_text(line.over_chance)
            gap = said(line.over_chance) + (f" p {p}" if p else "")
            yield f"{short(line.name, _NAME):{_NAME}} minus random {gap}"
