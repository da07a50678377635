"""The table of scores, truth or labels in memory: ids × findings, joined by id and by name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import TableError
from hilum.findings import Policy, apply_policy, canonical

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Labels or scores of some images for some findings.

    Parameters
    ----------
    ids
        One id per row, unique.
    findings
        One name per column of `values`, unique.
    values : (n_ids, n_findings)
        Float64; NaN is unknown, infinity is refused.
    extra
        Other columns by name, one text or None per row: patient ids, sexes, views.
    notes
        What a reader must know about a finding's column, such as why it is empty.

    Raises
    ------
    TableError
        If an id or finding is there twice, the shapes do not fit, or a value is no number or
        infinite.
    """

    ids: tuple[str, ...]
    findings: tuple[str, ...]
    values: Values
    extra: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            values = np.asarray(self.values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise TableError(f"a table's values must be numbers, or NaN: {error}") from error
        object.__setattr__(self, "values", values)
        shape = (len(self.ids), len(self.findings))
        if values.shape != shape:
            raise TableError(f"a table of {shape[0]} ids × {shape[1]} findings cannot hold "
                             f"values of shape {values.shape}")  # fmt: skip
        self._refuse_infinity()
        refuse_doubles("id", self.ids)
        refuse_doubles("finding", self.findings)
        for name, cells in self.extra.items():
            if len(cells) != len(self.ids):
                raise TableError(
                    f"column {name!r} has {len(cells)} cells for {len(self.ids)} ids"
                )  # fmt: skip

    def _refuse_infinity(self) -> None:
        infinite = np.argwhere(np.isinf(self.values))
        if infinite.size:
            row, column = infinite[0]
            raise TableError(
                f"a table's values must be finite or NaN, {len(infinite)} are infinite, the first "
                f"is that of {self.ids[row]!r} for {self.findings[column]}; NaN is unknown"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, finding: str) -> Values:
        """Return the values (n_ids,) of one finding, in any of its spellings."""
        return self.values[:, self.findings.index(_find(finding, self.findings))]

    def take(self, rows: ArrayLike) -> "Table":
        """Return the rows at these positions, or those where a mask is true."""
        positions = np.arange(len(self.ids))[np.asarray(rows)]
        extra = {name: tuple(cells[i] for i in positions) for name, cells in self.extra.items()}
        ids = tuple(self.ids[i] for i in positions)
        return Table(ids, self.findings, self.values[positions], extra, self.notes)

    def select(self, findings: Sequence[str]) -> "Table":
        """Return these findings, in this order, in any of their spellings.

        Raises
        ------
        TableError
            If the table has no such finding.
        """
        names = tuple(_find(name, self.findings) for name in findings)
        columns = [self.findings.index(name) for name in names]
        notes = {name: text for name, text in self.notes.items() if name in names}
        return Table(self.ids, names, self.values[:, columns], self.extra, notes)


def _find(finding: str, among: Sequence[str]) -> str:
    for name in (finding, canonical(finding) or finding):
        if name in among:
            return name
    raise TableError(f"there is no finding {finding!r} here; there are {', '.join(among)}")


def refuse_doubles(what: str, names: Sequence[str]) -> None:
    """Raise TableError if a name is there twice; `what` is what it names."""
    if len(set(names)) == len(names):
        return
    doubled = [name for name, count in Counter(names).items() if count > 1]
    others = f", and so are {len(doubled) - 1} others" if len(doubled) > 1 else ""
    raise TableError(
        f"{what} {doubled[0]!r} is there more than once{others}; "
        f"each {what} may have one place in a table"
    )


@dataclass(frozen=True, eq=False)
class Aligned:
    """Two tables with the same rows and columns, both in the truth's order.

    Parameters
    ----------
    scores, truth
        What both tables share.
    without_truth
        How many scored ids have no row in the truth; they take no part.
    unscored, without_labels
        Findings that only the truth has, and that only the scores have.
    """

    scores: Table
    truth: Table
    without_truth: int
    unscored: tuple[str, ...]
    without_labels: tuple[str, ...]


def align(scores: Table, truth: Table) -> Aligned:
    """Join scores to the truth, rows by id and columns by name.

    Raises
    ------
    TableError
        If the truth is empty, an id of the truth has no score (the message names the first and
        counts them: a quietly smaller test set is a different result), or no id or finding is
        shared.
    """
    if not truth.ids:
        raise TableError("the truth has no rows: there is nothing to evaluate")
    place = {image: row for row, image in enumerate(scores.ids)}
    missing = [image for image in truth.ids if image not in place]
    if len(missing) == len(truth) and scores.ids:
        raise TableError(
            f"no id is in both tables: the scores start with {scores.ids[0]!r}, the truth with "
            f"{truth.ids[0]!r}; are these the same images, and both columns their ids?"
        )
    if missing:
        raise TableError(
            f"{len(missing)} of the truth's {len(truth)} ids have no score, the first is "
            f"{missing[0]!r}; score them, or leave them out of the truth"
        )
    shared = [name for name in truth.findings if name in scores.findings]
    if not shared:
        raise TableError(
            f"no finding is in both tables: the scores have {_listed(scores.findings)}, "
            f"the truth has {_listed(truth.findings)}"
        )
    rows = np.array([place[image] for image in truth.ids])
    return Aligned(
        scores=scores.take(rows).select(shared),
        truth=truth.select(shared),
        without_truth=len(scores) - len(truth),
        unscored=tuple(name for name in truth.findings if name not in shared),
        without_labels=tuple(name for name in scores.findings if name not in shared),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def label_values(table: Table, policy: Policy, what: str = "label") -> NDArray[np.float32]:
    """Return a table's 1, 0 and NaN after a label policy; refuse anything that is no label.

    Parameters
    ----------
    table
        1, 0, -1 (uncertain) and NaN (unknown).
    policy
        What an uncertain label counts as (`hilum.findings.apply_policy`).
    what
        What a cell is called in the message: a label, the truth, a reading.

    Raises
    ------
    TableError
        If a cell is anything else, a score for instance.
    """
    strange = ~np.isnan(table.values) & ~np.isin(table.values, (1, 0, -1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise TableError(
            f"the {what} of {table.ids[row]!r} for {table.findings[column]} is "
            f"{table.values[row, column]:g}: expected 1, 0, -1 (uncertain) or nothing; "
            "is this a table of scores in the place of labels?"
        )
    return apply_policy(table.values, policy)
