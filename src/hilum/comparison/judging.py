"""How arms do: on all images, on first visits and on follow-ups, alone and against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.evaluate import Intervals, Measure, Repeats, compare_repeats, evaluate_repeats
from hilum.evaluate.multiplicity import holm
from hilum.findings import Policy
from hilum.tables import Table

if TYPE_CHECKING:
    from hilum.collection import Collection

ALL: Final = "all"
GROUPS: Final = (ALL, "first visits", "follow-ups")
"""Images whose patient was not there before tell nothing that earlier labels could give away."""

STATISTICS: Final = ("auroc", "average_precision")

Measures = Mapping[str, Mapping[str, Repeats]]
"""By group and statistic; a group without images is not there."""


@dataclass(frozen=True, eq=False)
class Side:
    """The truth of one split.

    Parameters
    ----------
    truth
        Labels, with the patients beside them.
    groups
        By name, which rows are in it; only those that have a row.
    """

    truth: Table
    groups: Mapping[str, NDArray[np.bool_]]

    def measure(self, tables: Sequence[Table], intervals: Intervals) -> Measures:
        """Measure one arm, given the scores of each of its trainings."""
        return {
            name: {
                statistic: evaluate_repeats(
                    tables,
                    self.truth.take(rows),
                    bootstrap=intervals.bootstrap,
                    seed=intervals.seed,
                    level=intervals.level,
                    statistics=(statistic,),
                )
                for statistic in STATISTICS
            }
            for name, rows in self.groups.items()
        }

    def subtract(
        self, first: Sequence[Table], second: Sequence[Table], intervals: Intervals
    ) -> Mapping[str, Repeats]:
        """Return by group the AUROC of one arm minus another's, paired by patient."""
        return {
            name: compare_repeats(
                first,
                second,
                self.truth.take(rows),
                bootstrap=intervals.bootstrap,
                seed=intervals.seed,
                level=intervals.level,
            )
            for name, rows in self.groups.items()
        }


def side_of(view: "Collection", split: str, findings: Sequence[str], policy: Policy) -> Side:
    """Return the truth of a split for some findings; the policy says what uncertain counts as."""
    images = view.where(f"split = '{split}'")
    first = images.table(["visit"])["visit"].to_numpy() == 0
    rows = dict(zip(GROUPS, (np.ones_like(first), first, ~first), strict=True))
    truth = images.labels(findings=findings, policy=policy)
    return Side(truth, {name: chosen for name, chosen in rows.items() if chosen.any()})


def shared_findings(tables: Sequence[Table]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the findings that every table scores, and those that some table lacks.

    Raises
    ------
    UsageError
        If no finding is scored by all.
    """
    every = list(dict.fromkeys(name for table in tables for name in table.findings))
    shared = [
        name
        for name in every
        if all(name in t.findings and not np.isnan(t.column(name)).any() for t in tables)
    ]
    if not shared:
        raise UsageError("there is no finding that every arm could learn: nothing to compare")
    return tuple(shared), tuple(name for name in every if name not in shared)


def choose(validation: Mapping[str, Measures]) -> str:
    """Return the arm of the highest mean AUROC on all validation images, the first of equals.

    Raises
    ------
    UsageError
        If no finding can be measured there.
    """
    known = {
        name: estimate
        for name, measures in validation.items()
        if (estimate := measures[ALL]["auroc"].mean.estimate) is not None
    }
    if not known:
        raise UsageError(
            "no finding has both present and absent labels on validation patients, so no arm "
            "can be chosen: put more patients into split val"
        )
    return max(known, key=lambda name: known[name])


def adjusted(measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """Correct p-values for how many differences are looked at (Holm, 1979)."""
    raw = [np.nan if m.p_value is None else m.p_value for m in measures.values()]
    corrected = [None if np.isnan(p) else float(p) for p in holm(raw)]
    pairs = zip(measures.items(), corrected, strict=True)
    return {name: replace(measure, p_adjusted=p) for (name, measure), p in pairs}
