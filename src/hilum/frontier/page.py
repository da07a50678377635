"""The page of a frontier: the answer, the figure, and the numbers behind it."""

from collections.abc import Iterator
from typing import Final

from hilum.evaluate import Measure
from hilum.evaluate.text import as_text, p_text
from hilum.frontier.design import CHANCE
from hilum.frontier.figures import READERS, panels
from hilum.frontier.result import KINDS, Frontier, Line
from hilum.plots.frontiers import frontiers
from hilum.report import Block, Cell, KeyFigure, KeyFigures, Page, Prose, Rows, Section, figure

TITLE: Final = "How far do few labels go?"
USUAL: Final = "probe"


def page(found: Frontier) -> Page:
    """Return the page."""
    sections = [*parts(found), *_gaps(found)]
    return Page(TITLE, sections, lead(found), found.settings)


def parts(found: Frontier) -> list[Section]:
    """Return the sections that any page about a frontier needs."""
    return [_answer(found), _strategies(found), _ends(found), _by_finding(found)]


def _reader(found: Frontier) -> str:
    """Return the reader that the first sentence speaks of."""
    readers = [line.reader for line in found.of("few")]
    return USUAL if USUAL in readers else readers[0]


def lead(found: Frontier) -> str:
    """Return the answer in a few sentences."""
    line = found.line(f"{CHANCE}, {_reader(found)}")
    point = min(line.points, key=lambda one: abs(one.labels - 100))
    full = found.line(found.goal).last
    texts = [
        f"With {point.labels} images of training patients labelled, drawn at random, the films of "
        f"test patients are read with a mean AUROC of {_text(point.mean)}; with all "
        f"{full.labels:,} labelled, with {_text(full.mean)} ({found.goal})."
    ]
    for taught in found.of("tuned"):
        near = min(taught.points, key=lambda one: abs(one.labels - 100))
        texts.append(
            f"Where {near.labels} teach the whole network and not only what reads its vectors, it "
            f"is {_text(near.mean)}."
        )
    if sentences := next((one for one in found.of("none") if not one.reader), None):
        texts.append(f"Sentences alone, without a label, give {_text(sentences.last.mean)}.")
    if line.needed is not None:
        texts.append(
            f"To reach {found.share:.0%} of what all labels give above chance takes "
            f"{line.needed.as_text()} of them."
        )
    return " ".join(texts)


def _text(measure: Measure) -> str:
    return as_text(measure).replace("-", "–")


def _answer(found: Frontier) -> Section:
    reader = _reader(found)
    shown = [line for line in found.of("none") if line.reader in ("", reader)]
    shown += [*found.of("full"), *list(found.of("floor"))[-1:]]  # the floor that knows most
    keys = [
        KeyFigure(_number(line.last.mean), line.name, _interval(line.last.mean)) for line in shown
    ]
    level = found.target.estimate
    target = None if level is None else (f"{found.share:.0%} of {found.goal}", level)
    plots: list[Block] = [
        figure(
            frontiers([panel], everything=found.images["train"], target=target),
            alt=f"{panel.title}: mean AUROC against the number of labelled images, from none to "
            f"all, a line per way to choose them; the numbers are in the tables below.",
            caption=f"{panel.title}. Grey: images drawn at random, with 95 % intervals over test "
            "patients. Left: no image was labelled. Right: all labels of the training images.",
        )
        for panel in panels(found)
    ]
    return Section(
        "AUROC against labels",
        [
            *([KeyFigures(keys)] if keys else []),
            *plots,
            Prose(
                f"Everything is measured on the same {found.images['test']:,} images of "
                f"{found.patients['test']:,} patients, of whom no image was learnt from. Numbers "
                f"are means over {len(found.findings)} findings and over repeats; intervals "
                "resample patients, the same ones for every line. A finding that the labels "
                "cannot teach, for lack of a positive or of a negative, counts as one half. "
                "Nothing was chosen by these numbers: the best of many lines is partly so by luck."
            ),
        ],
    )


def _number(measure: Measure) -> str:
    return "–" if measure.estimate is None else f"{measure.estimate:.3f}"


def _interval(measure: Measure) -> str:
    return _text(measure).partition(" ")[2]


def _strategies(found: Frontier) -> Section:
    return Section(
        "Which images to label",
        [
            *([Prose(found.doubt)] if found.doubt else []),
            *(_curve_table(found, reader) for reader in _readers(found)),
        ],
    )


def _readers(found: Frontier) -> list[str]:
    return list(dict.fromkeys(line.reader for line in found.of("few")))


def _curve_table(found: Frontier, reader: str) -> Rows:
    shown = [line for line in found.of("few", "control", "tuned")
             if line.reader in (reader, "fine-tuned")]  # fmt: skip
    counts = sorted({point.labels for line in shown for point in line.points})
    rows: list[list[Cell]] = []
    for line in shown:
        by = {point.labels: point.mean for point in line.points}
        name = line.name.replace(f", {reader}", "")
        gap = line.over_chance
        rows.append(
            [name, *(by[count].estimate if count in by else None for count in counts),
             line.needed.as_text() if line.needed else "", gap, p_text(gap) if gap else ""]
        )  # fmt: skip
    target = _text(found.target)
    return Rows(
        ["Images chosen by", *(f"{count:,}" for count in counts), "Labels needed",
         "Minus random", "p"],
        rows,
        f"{READERS[reader]}: mean AUROC by number of labelled images. Labels needed: to reach "
        f"{target}, which is {found.share:.0%} of what {found.goal} has above one half, with the "
        "95 % interval. Minus random: area between the curves along the logarithm of labels, "
        "paired; p is adjusted for the number of comparisons (Holm).",
    )  # fmt: skip


def _ends(found: Frontier) -> Section:
    rows: list[list[Cell]] = [
        [line.name, KINDS[line.kind], f"{line.last.labels:,}", line.last.mean, line.remark]
        for line in found.of("none", "all", "full", "floor")
    ]
    caption = "Mean AUROC with 95 % intervals over test patients."
    columns = ["", "What it is", "Labelled images", "Mean AUROC", "Remark"]
    return Section("No label, and all of them", [Rows(columns, rows, caption)])


def _by_finding(found: Frontier) -> Section:
    reader = _reader(found)
    chance = found.line(f"{CHANCE}, {reader}")
    point = min(chance.points, key=lambda one: abs(one.labels - 100))
    columns: list[tuple[str, Line, int]] = [
        (line.name, line, -1) for line in found.of("none") if not line.reader
    ]
    columns.append((f"{point.labels} at random", chance, chance.points.index(point)))
    columns += [(line.name, line, -1) for line in found.of("all")
                if line.reader == reader and " on " not in line.name]  # fmt: skip
    if found.goal not in [name for name, _, _ in columns]:
        columns.append((found.goal, found.line(found.goal), -1))
    rows: list[list[Cell]] = [
        [name, *(line.points[at].findings[name] for _, line, at in columns)]
        for name in found.findings
    ]
    return Section(
        "Finding by finding",
        [
            Rows(
                ["Finding", *(name for name, _, _ in columns)],
                rows,
                f"AUROC with 95 % intervals over test patients; few labels are read by the "
                f"{READERS[reader].lower()}.",
            )
        ],
    )


def _gaps(found: Frontier) -> Iterator[Section]:
    said = [f"{name} is not measured: {why}." for name, why in found.left_out.items()]
    said += [f"{name} is left out: {why}" for name, why in found.missing.items()]
    if said:
        yield Section("What is missing, and why", [Prose(*said)])
