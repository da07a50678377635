"""The page of a comparison: which way was chosen, what it reaches, and what it cost."""

from collections.abc import Iterator, Mapping

from hilum.comparison.costs import costs
from hilum.comparison.judging import ALL, GROUPS
from hilum.comparison.result import TrainingComparison
from hilum.evaluate import Measure
from hilum.evaluate.text import as_text, p_text
from hilum.report import Block, Cell, Figure, KeyFigure, KeyFigures, Page, Prose, Rows, Section


def page(found: TrainingComparison, plots: Mapping[str, Figure]) -> Page:
    """Return the page; the plots are those of `hilum.comparison.figures.draw`."""
    parts = (_summary, _arms, _curves, _apart, _findings, _gaps)
    sections = [s for part in parts if (s := part(found, plots)) is not None]
    return Page("Ways to train, compared", sections, _lead(found), found.settings)


def _lead(found: TrainingComparison) -> str:
    best = found.arm(found.chosen)
    lead = (
        f"Of {len(found.arms)} ways to train, {found.chosen} has the highest mean AUROC on "
        f"validation patients. On test patients, which took no part in the choice, it reaches "
        f"{as_text(best.on('test'))}"
    )
    if found.floor is None:
        return f"{lead}."
    return f"{lead}; a model that sees no pixels reaches {as_text(found.floor.on('test'))}."


def _summary(found: TrainingComparison, _: Mapping[str, Figure]) -> Section:
    best = found.arm(found.chosen)
    figures = [_key(best.on("test", group), f"{found.chosen}, test: {group}") for group in GROUPS]
    if found.floor is not None:
        figures.append(_key(found.floor.on("test"), "without pixels, test: all"))
    images, seeds = found.settings["images"], found.settings["seeds"]
    return Section(
        "In short",
        [
            KeyFigures(figures),
            Prose(
                f"Trained on {images['train']:,} images, chosen on {images['val']:,}, measured on "
                f"{images['test']:,}, of different patients; {len(seeds)} training"
                f"{'s' if len(seeds) > 1 else ''} of each. Numbers are means over "
                f"{len(found.findings)} findings and over trainings. Intervals are over patients, "
                "and say nothing of how trainings differ by chance: the standard deviation between "
                "them does, where there are several. The chosen arm's number on validation "
                "patients is the highest of several and so too high; its number on test patients "
                "is not."
            ),
        ],
    )


def _key(measure: Measure, label: str) -> KeyFigure:
    text = as_text(measure)
    value, _, interval = text.partition(" ")
    return KeyFigure("–" if measure.estimate is None else value, label, interval)


def _arms(found: TrainingComparison, plots: Mapping[str, Figure]) -> Section:
    rows: list[list[Cell]] = []
    for one in found.rows:
        spread = one.validation[ALL]["auroc"].spread
        cells = [one.on("validation"), spread, *(one.on("test", group) for group in GROUPS)]
        rows.append([_marked(one.name, found), *cells, one.on("test", ALL, "average_precision")])
    columns = [
        "",
        "Validation",
        "SD of trainings",
        "Test",
        "First visits",
        "Follow-ups",
        "Test: AP",
    ]
    if len(found.settings["seeds"]) == 1:
        rows = [row[:2] + row[3:] for row in rows]
        columns.remove("SD of trainings")
    caption = (
        "Mean AUROC with intervals over patients; AP is mean average precision. The star marks "
        "the choice."
    )
    cost: list[list[Cell]] = [
        [arm.name, *costs(arm), round(sum(c.last_step for c in arm.curves) / len(arm.curves))]
        for arm in found.arms
        if arm.curves
    ]
    head = ["", "Minutes (of processors)", "Most memory", "Steps"]
    spent = Rows(head, cost, "What one training took, on average.")
    return Section("How they do", [Rows(columns, rows, caption), plots["test"], spent])


def _curves(_: TrainingComparison, plots: Mapping[str, Figure]) -> Section | None:
    drawn: list[Block] = [plot for name, plot in plots.items() if name.startswith("curves")]
    return Section("On the way", drawn) if drawn else None


def _apart(found: TrainingComparison, plots: Mapping[str, Figure]) -> Section | None:
    blocks: list[Block] = [plots["differences"]] if "differences" in plots else []
    rows = list(_differences(found))
    if not rows:
        return None
    columns = ["", "minus", "Images", "Difference", "p", "p, adjusted"]
    caption = "Differences of mean AUROC, paired over patients and seeds; adjusted as by Holm."
    return Section("What tells them apart", [*blocks, Rows(columns, rows, caption)])


def _differences(found: TrainingComparison) -> Iterator[list[Cell]]:
    for one in found.arms:
        for split, reference, gap in found.gaps(one):
            for group, measure in gap.by_group.items():
                raw = Measure(None, p_value=measure.p_value)
                where = split if group == ALL else f"{split}: {group}"
                yield [one.name, reference, where, measure, p_text(raw), p_text(measure)]


def _findings(found: TrainingComparison, _: Mapping[str, Figure]) -> Section:
    best = found.arm(found.chosen)
    columns = ["Finding", f"{found.chosen}"]
    tables = [best.test[ALL]["auroc"].findings]
    if best.minus_floor is not None and found.floor is not None:
        columns += ["Without pixels", "Difference"]
        tables += [found.floor.test[ALL]["auroc"].findings, best.minus_floor.findings]
    rows: list[list[Cell]] = [[name, *(t[name] for t in tables)] for name in found.findings]
    caption = "AUROC on test images of the chosen arm, finding by finding."
    return Section("Finding by finding", [Rows(columns, rows, caption)])


def _gaps(found: TrainingComparison, _: Mapping[str, Figure]) -> Section | None:
    said = [f"{name} could not be trained: {reason}" for name, reason in found.failed.items()]
    if found.left_out:
        said.append(f"Left out, as some arm could not learn it: {', '.join(found.left_out)}.")
    return Section("What is missing, and why", [Prose(*said)]) if said else None


def _marked(name: str, found: TrainingComparison) -> str:
    return f"{name} ★" if name == found.chosen else name
