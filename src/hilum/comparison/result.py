"""What a comparison found."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hilum.comparison.curves import Curve
from hilum.comparison.judging import ALL, Measures
from hilum.comparison.runs import Training
from hilum.evaluate import Measure


@dataclass(frozen=True)
class Difference:
    """One arm's AUROC minus another's, by group of images, paired by patient and seed.

    Parameters
    ----------
    by_group
        The mean over findings, with its interval and p-value.
    findings
        Of all images, by finding.
    """

    by_group: Mapping[str, Measure]
    findings: Mapping[str, Measure]


@dataclass(frozen=True)
class Standing:
    """How one arm, or the model without pixels, does.

    Parameters
    ----------
    name
        What it is called.
    changes
        The fields of the recipe that it sets.
    validation, test
        Its measures, averaged over seeds.
    minus_chosen
        On ``"validation"`` and ``"test"``, itself minus the chosen arm; None for that arm.
    minus_floor
        On test images, itself minus the model without pixels; None for that model, or without it.
    trainings, curves
        By seed, what they took and what they logged; none for the model without pixels.
    """

    name: str
    changes: Mapping[str, Any]
    validation: Measures
    test: Measures
    minus_chosen: Mapping[str, Difference] | None = None
    minus_floor: Difference | None = None
    trainings: tuple[Training, ...] = ()
    curves: tuple[Curve, ...] = ()

    def on(self, split: str, group: str = ALL, statistic: str = "auroc") -> Measure:
        """Return a mean over findings; undefined where the group has no image."""
        measures = self.validation if split == "validation" else self.test
        if group not in measures:
            return Measure(None, reason=f"no image of the split is among the {group}")
        return measures[group][statistic].mean


@dataclass(frozen=True)
class TrainingComparison:
    """Arms under one budget, and the one that validation patients chose.

    Parameters
    ----------
    arms
        Those that were trained, in the order of the design.
    chosen
        The name of the arm with the highest mean AUROC on validation images.
    floor
        The model without pixels; None if it was not asked for.
    findings
        What every arm scores; means are over these.
    settings
        What all arms share, how intervals were made, and what there was: JSON.
    failed
        By arm, why it could not be trained.
    left_out
        Findings that some arm could not learn.
    """

    arms: tuple[Standing, ...]
    chosen: str
    floor: Standing | None
    findings: tuple[str, ...]
    settings: Mapping[str, Any]
    failed: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def arm(self, name: str) -> Standing:
        """Return an arm by name.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {arm.name: arm for arm in self.arms}[name]

    def gaps(self, one: Standing) -> Iterator[tuple[str, str, Difference]]:
        """Yield what was subtracted from one: the split, whose AUROC, and the difference."""
        for split, gap in (one.minus_chosen or {}).items():
            yield split, self.chosen, gap
        if one.minus_floor is not None and self.floor is not None:
            yield "test", self.floor.name, one.minus_floor

    @property
    def rows(self) -> tuple[Standing, ...]:
        """The arms and, last, the model without pixels, where there is one."""
        return self.arms if self.floor is None else (*self.arms, self.floor)
