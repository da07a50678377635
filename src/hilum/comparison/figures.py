"""The figures of a comparison, each with a text that stands for it and a caption."""

from collections.abc import Iterator, Sequence
from typing import Final

import matplotlib as mpl

from hilum import plots
from hilum.comparison.judging import ALL, GROUPS
from hilum.comparison.result import Standing, TrainingComparison
from hilum.plots.trainings import Trained, trainings
from hilum.report import Figure, figure

MOST: Final = len(plots.PALETTE)
_NUMBERS: Final = "the numbers are in the tables."


def draw(found: TrainingComparison) -> dict[str, Figure]:
    """Draw whatever there is to draw, by the name of the file without its ending."""
    with mpl.rc_context({"text.parse_math": False}):  # a name may hold dollars and backslashes
        return {**dict(_curves(found)), **dict(_groups(found)), **dict(_gaps(found))}


def _curves(found: TrainingComparison) -> Iterator[tuple[str, Figure]]:
    """Draw six arms to a figure."""
    logged = [arm for arm in found.arms if any(curve.steps.size for curve in arm.curves)]
    alike = len({str(arm.changes.get("loss")) for arm in logged}) <= 1
    by_loss = any(curve.validate == "loss" for arm in logged for curve in arm.curves)
    if by_loss and not alike:
        return  # nothing that was logged can be compared
    parts = [logged[at : at + MOST] for at in range(0, len(logged), MOST)]
    what = "minus the loss" if by_loss else "the mean AUROC"
    for number, part in enumerate(parts, start=1):
        drawn = trainings(
            {arm.name: _trained(arm) for arm in part},
            measure="Minus loss, validation" if by_loss else "Mean AUROC, validation",
            losses=alike,
            chance=None if by_loss else 0.5,
        )
        caption = (
            f"Above the loss on training images, as a running mean; below {what} of validation "
            "images, whenever it was measured."
            if alike
            else f"T{what[1:]} of validation images, whenever it was measured. The losses differ "
            "in kind and are not shown."
        )
        yield (
            "curves" if len(parts) == 1 else f"curves-{number}",
            figure(
                drawn,
                alt=f"Training curves of {_listed(part)}.",
                caption=f"{caption} A line per training.",
            ),
        )


def _trained(arm: Standing) -> list[Trained]:
    return [Trained(c.steps, c.losses, c.measured, c.measures) for c in arm.curves]


def _groups(found: TrainingComparison) -> Iterator[tuple[str, Figure]]:
    there = [group for group in GROUPS if any(group in one.test for one in found.rows)]
    series = {group: [one.on("test", group) for one in found.rows] for group in there}
    names = [one.name for one in found.rows]
    drawn = plots.forest(names, series, x="Mean AUROC on test images")
    level = found.settings.get("level", 0.95)
    yield (
        "test",
        figure(
            drawn,
            alt=f"Mean AUROC on test images of {_listed(found.rows)}; {_NUMBERS}",
            caption=f"Test images: all, those of first visits and of follow-ups, with {level:.0%} "
            "intervals over patients. The dashed line is what a guess reaches.",
        ),
    )


def _gaps(found: TrainingComparison) -> Iterator[tuple[str, Figure]]:
    others = [arm for arm in found.arms if arm.minus_chosen is not None]
    if not others:
        return
    measures = [arm.minus_chosen["test"].by_group[ALL] for arm in others if arm.minus_chosen]
    drawn = plots.differences(
        [arm.name for arm in others],
        measures,
        x="Mean AUROC on test images, minus the chosen",
        sides=("worse", "better"),
    )
    yield (
        "differences",
        figure(
            drawn,
            alt=f"Mean AUROC on test images minus that of {found.chosen}; {_NUMBERS}",
            caption=f"Minus {found.chosen}, which validation patients chose; paired over patients. "
            "Adjusted p-values are corrected for the number of arms (Holm).",
        ),
    )


def _listed(arms: Sequence[Standing]) -> str:
    return ", ".join(arm.name for arm in arms)
