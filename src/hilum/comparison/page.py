"""The page of a comparison: which way was chosen, what it reaches, and what it cost."""

from collections.abc import Mapping
from typing import Final

from hilum.comparison.costs import costs
from hilum.comparison.judging import ALL, GROUPS
from hilum.comparison.result import TrainingComparison
from hilum.evaluate import Measure
from hilum.evaluate.text import as_text, p_text
from hilum.report import Block, Cell, Figure, KeyFigure, KeyFigures, Page, Prose, Rows, Section

NO_IMAGE: Final = Measure(None, reason="no image is of this kind")


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
    rows: list[list[Cell]] = [
        [_marked(one.name, found), one.on("validation"), *(one.on("test", g) for g in GROUPS)]
        for one in found.rows
    ]
    columns = ["", "Validation", "Test", "First visits", "Follow-ups"]
    caption = "Mean AUROC with intervals over patients. The star marks the choice."
    return Section("How they do", [Rows(columns, rows, caption), plots["test"], _beside(found)])


def _beside(found: TrainingComparison) -> Rows:
    """Return average precision, how trainings of an arm differ, and what one took."""
    rows: list[list[Cell]] = []
    for one in found.rows:
        steps = [curve.last_step for curve in one.curves]
        spread = one.test[ALL]["auroc"].spread if one.curves else None
        taken: list[Cell] = [*costs(one), round(sum(steps) / len(steps)) if steps else None]
        rows.append([one.name, one.on("test", ALL, "average_precision"), spread, *taken])
    columns = ["", "Average precision", "SD", "Minutes (of processors)", "Most memory", "Steps"]
    caption = (
        "On test images: mean average precision, and the standard deviation of mean AUROC between "
        "trainings. What one training took, on average: minutes on the clock, and of all "
        "processor cores together; steps."
    )
    return Rows(columns, rows, caption)


def _curves(_: TrainingComparison, plots: Mapping[str, Figure]) -> Section | None:
    drawn: list[Block] = [plot for name, plot in plots.items() if name.startswith("curves")]
    return Section("On the way", drawn) if drawn else None


def _apart(found: TrainingComparison, plots: Mapping[str, Figure]) -> Section | None:
    blocks: list[Block] = [plots["differences"]] if "differences" in plots else []
    behind: list[list[Cell]] = [
        [
            arm.name,
            arm.minus_chosen["validation"].by_group[ALL],
            *(arm.minus_chosen["test"].by_group.get(g, NO_IMAGE) for g in GROUPS),
            p_text(arm.minus_chosen["test"].by_group[ALL]),
        ]
        for arm in found.arms
        if arm.minus_chosen is not None
    ]
    if behind:
        columns = ["", "Validation", "Test", "First visits", "Follow-ups", "p, test"]
        caption = (
            f"Mean AUROC minus that of {found.chosen}, paired over patients and trainings; p is "
            "adjusted for the number of arms (Holm)."
        )
        blocks.append(Rows(columns, behind, caption))
    above: list[list[Cell]] = [
        [
            arm.name,
            *(arm.minus_floor.by_group.get(g, NO_IMAGE) for g in GROUPS),
            p_text(arm.minus_floor.by_group[ALL]),
        ]
        for arm in found.arms
        if arm.minus_floor is not None
    ]
    if above:
        columns = ["", "Test", "First visits", "Follow-ups", "p, test"]
        caption = "The same on test images, minus the model without pixels."
        blocks.append(Rows(columns, above, caption))
    return Section("What tells them apart", blocks) if blocks else None


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
