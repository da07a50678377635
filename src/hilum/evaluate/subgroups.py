"""The same numbers for women and men, for age bands, views and sites.

A subgroup is a set of images. Everybody is resampled as before, so that a subgroup has more
images in one resample than in another, as it would in another collection, and a subgroup can be
compared with everybody else in the same resamples.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError, UsageError
from hilum.evaluate.instruments import Limit
from hilum.evaluate.plan import Plan
from hilum.evaluate.rater import resampled
from hilum.evaluate.sample import Sample, sample_of
from hilum.evaluate.scorecard import Scorecard, scorecard
from hilum.tables import Table

MOST: Final = 30
"""A column with more values than this is an id or a number, not a grouping."""

UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class Subgroup:
    """One group of images.

    Parameters
    ----------
    images, units
        How many images and patients (or other units) it has.
    card
        Its numbers.
    against_rest
        Its numbers minus those of all other images, with p-values; None for the only group.
    """

    images: int
    units: int
    card: Scorecard
    against_rest: Scorecard | None


@dataclass(frozen=True)
class Grouping:
    """A column of the truth, and the edges of its bands if it is a number.

    Parameters
    ----------
    column
        Its name.
    edges
        Ascending; a band goes from one edge up to, but not including, the next.
    """

    column: str
    edges: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Grouping":
        """Read ``sex`` or ``age=40,60,80``.

        Raises
        ------
        UsageError
            If the edges are not ascending numbers.
        """
        column, equals, rest = text.partition("=")
        if not equals:
            return cls(column.strip())
        try:
            edges = tuple(float(edge) for edge in rest.split(","))
        except ValueError:
            edges = ()
        if not edges or not all(map(math.isfinite, edges)) or list(edges) != sorted(set(edges)):
            raise UsageError(
                f"the bands of {column!r} must be ascending numbers such as {column}=40,60,80; "
                f"got {rest!r}"
            )
        return cls(column.strip(), edges)

    def rows(self, truth: Table) -> dict[str, NDArray[np.bool_]]:
        """Return by group which rows of the truth are in it, empty cells under ``"unknown"``.

        Raises
        ------
        TableError
            If the column is not there, has too many values, or is no number and has edges.
        """
        if self.column not in truth.extra:
            known = ", ".join(truth.extra) or "none"
            raise TableError(
                f"cannot group by {self.column!r}: the truth's extra columns are: {known}"
            )
        cells = truth.extra[self.column]
        names = [self._name(cell, truth.ids[at]) for at, cell in enumerate(cells)]
        order = [self._label(band) for band in range(len(self.edges) + 1)] if self.edges else []
        found = set(names)
        groups = [name for name in order if name in found]
        groups += sorted(found - set(groups) - {UNKNOWN})
        if len(groups) > MOST:
            raise TableError(
                f"cannot group by {self.column!r}: it has {len(groups)} values, at most {MOST} "
                f"make subgroups; give a number bands, such as {self.column}=40,60,80"
            )
        groups += [UNKNOWN] * (UNKNOWN in found)
        every = np.array(names)
        return {group: every == group for group in groups}

    def _name(self, cell: str | None, image: str) -> str:
        if not (cell or "").strip():
            return UNKNOWN
        assert cell is not None
        if not self.edges:
            return cell.strip()
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise TableError(
                f"cannot put {self.column!r} of {image!r} in a band: {cell!r} is not a number"
            )
        return self._label(int(np.searchsorted(self.edges, value, side="right")))

    def _label(self, band: int) -> str:
        if band == 0:
            return f"below {self.edges[0]:g}"
        if band == len(self.edges):
            return f"{self.edges[-1]:g} and over"
        return f"{self.edges[band - 1]:g} to below {self.edges[band]:g}"


def parse_groupings(texts: Iterable[str]) -> list[Grouping]:
    """Read several; errors as in `Grouping.parse`, or if a column is there twice."""
    groupings: dict[str, Grouping] = {}
    for text in texts:
        grouping = Grouping.parse(text)
        if grouping.column in groupings:
            raise UsageError(
                f"{grouping.column!r} makes subgroups more than once: keep one, or give the "
                "truth the same column under another name"
            )
        groupings[grouping.column] = grouping
    return list(groupings.values())


def subgroup_metrics(
    scores: Table,
    truth: Table,
    grouping: Grouping,
    plan: Plan,
    thresholds: Mapping[str, Limit] | None = None,
) -> dict[str, Subgroup]:
    """Measure every group of one column, and each against all other images.

    Parameters and errors as in `hilum.evaluate`.
    """
    rows = grouping.rows(truth)
    alone = len(rows) == 1
    samples: list[Sample] = []
    for mask in rows.values():
        sides = (mask,) if alone else (mask, ~mask)
        samples += [sample_of(scores, truth, plan, thresholds, side) for side in sides]
    raters = resampled(samples, plan)
    step = 1 if alone else 2
    out = {}
    for at, (name, mask) in enumerate(rows.items()):
        inside, rest = raters[at * step], None if alone else raters[at * step + 1]
        out[name] = Subgroup(
            images=int(mask.sum()),
            units=np.unique(inside.sample.units.numbers[mask]).size,
            card=scorecard(inside, plan),
            against_rest=None if rest is None else scorecard(inside - rest, plan),
        )
    return out
