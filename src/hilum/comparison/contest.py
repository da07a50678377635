"""Who is compared with whom, on what: the choice on validation images, then the test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hilum.comparison.curves import read_curve
from hilum.comparison.design import json_types
from hilum.comparison.judging import (
    ALL,
    Measures,
    Side,
    adjusted,
    choose,
    shared_findings,
    side_of,
)
from hilum.comparison.result import Difference, Standing, TrainingComparison
from hilum.comparison.runs import Training, scores_of
from hilum.comparison.training import Trainer
from hilum.evaluate import Intervals, Measure
from hilum.findings import Policy
from hilum.tables import Table
from hilum.tabular import TabularModel

if TYPE_CHECKING:
    from hilum.collection import Collection

FLOOR: Final = "without pixels"


@dataclass
class Contest:
    """Who is compared, and on what."""

    view: "Collection"
    trainer: Trainer
    device: str
    policy: Policy
    intervals: Intervals
    trainings: dict[str, list[Training]] = field(default_factory=dict)
    floor: TabularModel | None = None

    def judge(self) -> TrainingComparison:
        """Choose on validation images, and then look at the test images."""
        validation = self._look("val")
        chosen = choose({name: validation.measures[name] for name in self.trainings})
        test = self._look("test", validation.findings)
        looks = {"validation": validation, "test": test}
        others = [name for name in self.trainings if name != chosen]
        behind = {split: look.minus(others, chosen) for split, look in looks.items()}
        names = list(self.trainings)
        above = test.minus(names, FLOOR) if self.floor else {}
        rows = [
            Standing(
                name,
                json_types(self.trainings[name][0].arm.changes) if name != FLOOR else {},
                validation.measures[name],
                test.measures[name],
                {split: found[name] for split, found in behind.items()} if name in others else None,
                above.get(name),
                tuple(self.trainings.get(name, ())),
                tuple(read_curve(t.run) for t in self.trainings.get(name, ())),
            )
            for name in (*names, *([FLOOR] if self.floor else []))
        ]
        bottom = rows.pop() if self.floor else None
        return TrainingComparison(
            tuple(rows), chosen, bottom, validation.findings, {}, {}, validation.left_out
        )

    def _look(self, split: str, findings: Sequence[str] | None = None) -> "Look":
        tables = {
            name: [scores_of(t, self.view, split, self.trainer, self.device) for t in own]
            for name, own in self.trainings.items()
        }
        if self.floor is not None:
            repeats = max(map(len, tables.values()))
            tables[FLOOR] = [self.floor.predict(self.view.where(f"split = '{split}'"))] * repeats
        left_out: tuple[str, ...] = ()
        if findings is None:
            findings, left_out = shared_findings([t for own in tables.values() for t in own])
        side = side_of(self.view, split, findings, self.policy)
        measures = {name: side.measure(own, self.intervals) for name, own in tables.items()}
        return Look(side, tables, measures, tuple(findings), left_out, self.intervals)


@dataclass(frozen=True)
class Look:
    """Everybody on the images of one split."""

    side: Side
    tables: Mapping[str, Sequence[Table]]
    measures: Mapping[str, Measures]
    findings: tuple[str, ...]
    left_out: tuple[str, ...]
    intervals: Intervals

    def minus(self, names: Sequence[str], reference: str) -> dict[str, Difference]:
        """Subtract one from each of some, p-values corrected for how many they are."""
        found = {
            name: self.side.subtract(self.tables[name], self.tables[reference], self.intervals)
            for name in names
        }
        by_group: dict[str, dict[str, Measure]] = {name: {} for name in names}
        for group in self.side.groups:
            for name, measure in adjusted({n: found[n][group].mean for n in names}).items():
                by_group[name][group] = measure
        return {name: Difference(by_group[name], found[name][ALL].findings) for name in names}
