"""From labels to what a network is taught: numbers from 0 to 1, and NaN where nothing is known."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError, UsageError
from hilum.findings import UNCERTAIN
from hilum.tables import Table

Uncertain = Literal["ignore", "positive", "negative"] | float
"""What an uncertain label counts as: unknown, 1, 0, or a number between."""

Floats = NDArray[np.float64]


def uncertain_value(uncertain: Uncertain) -> float:
    """Return the target of an uncertain label; NaN for none.

    Raises
    ------
    UsageError
        If it is neither a policy nor a number from 0 to 1.
    """
    named = {"ignore": np.nan, "positive": 1.0, "negative": 0.0}
    if isinstance(uncertain, str):
        if uncertain in named:
            return named[uncertain]
    elif 0 <= uncertain <= 1:
        return float(uncertain)
    raise UsageError(
        f"an uncertain label counts as ignore, positive, negative or a number from 0 to 1; "
        f"got {uncertain!r}"
    )


def targets_of(labels: Table, uncertain: Uncertain = "ignore") -> Floats:
    """Return the targets (images, findings) of a table.

    Parameters
    ----------
    labels
        From 0 to 1, -1 (uncertain) or NaN (unknown).

    Raises
    ------
    TableError
        If a cell is anything else.
    UsageError
        As `uncertain_value`.
    """
    becomes = uncertain_value(uncertain)
    values = labels.values
    strange = ~(np.isnan(values) | (values == UNCERTAIN) | ((values >= 0) & (values <= 1)))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise TableError(
            f"the label of {labels.ids[row]!r} for {labels.findings[column]} is "
            f"{values[row, column]:g}: expected a number from 0 to 1, -1 (uncertain) or nothing"
        )
    return np.where(values == UNCERTAIN, becomes, values)


def averaged(tables: Sequence[Table], uncertain: Uncertain = "ignore") -> Table:
    """Return one table from those of several readers: of each label the mean of those who gave it.

    Two readers who see a finding and one who does not make 2/3: a target that tells the network
    how sure to be. A label that nobody gave is unknown.

    Parameters
    ----------
    tables
        Of any ids; findings of the first, which every table must have.
    uncertain
        What a reader's uncertain label counts as.

    Raises
    ------
    UsageError
        If there is no table.
    TableError
        If a table lacks a finding of the first, or holds anything but labels.
    """
    if not tables:
        raise UsageError("there are no tables of labels to average")
    ids = tuple(dict.fromkeys(one for table in tables for one in table.ids))
    place = {one: row for row, one in enumerate(ids)}
    findings = tables[0].findings
    total, number = np.zeros((2, len(ids), len(findings)))
    for table in tables:
        values = targets_of(table.select(findings), uncertain)
        rows = np.array([place[one] for one in table.ids], dtype=np.int64)
        given = ~np.isnan(values)
        total[rows] += np.where(given, values, 0)
        number[rows] += given
    mean = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return Table(ids, findings, mean)


def majority(targets: Floats) -> Floats:
    """Return 1 above a half, 0 below, and unknown where it is a half or unknown."""
    return np.where(targets > 0.5, 1.0, np.where(targets < 0.5, 0.0, np.nan))
