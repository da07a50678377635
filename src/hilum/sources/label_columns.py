"""Which columns of a user's table hold labels, and what they are called here."""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from hilum.errors import SourceError, UsageError
from hilum.findings import canonical
from hilum.sources.attributes import LABEL_CELLS, label
from hilum.sources.delimited import TextTable
from hilum.sources.listing import FIXED_COLUMNS


def check_mapping(table: TextTable, columns: Mapping[str, str], known: Collection[str]) -> None:
    """Check the user's map from hilum's names of columns to a table's.

    Raises
    ------
    UsageError
        If a name is neither known nor a finding, or its column is not there.
    """
    for name, column in columns.items():
        if name not in known and canonical(name) is None:
            raise UsageError(
                f"{name!r} is neither a column nor a finding; "
                f"the columns are {', '.join(sorted(known))}"
            )
        if column not in table.columns:
            raise UsageError(
                f"{table.path.name} has no column {column!r}; "
                f"its columns are {', '.join(map(repr, table.columns))}"
            )


def finding_columns(
    table: TextTable,
    columns: Mapping[str, str],
    named: Sequence[str] | None,
    taken: Collection[str],
) -> dict[str, str]:
    """Choose the label columns of a table.

    Parameters
    ----------
    table
        Any table.
    columns
        The user's map from hilum's names to the table's; names that are findings count here.
    named
        The table's columns that hold labels, if the user says so; else all whose name is in the
        vocabulary.
    taken
        The table's columns that are something else.

    Returns
    -------
    Finding to the table's column, in the table's order.

    Raises
    ------
    UsageError
        If a column that the user names is not there, or is something else.
    SourceError
        If two columns are the same finding.
    """
    mapped = {column: name for name, column in columns.items() if canonical(name)}
    wanted = [*mapped, *(named or ())]
    for column in wanted:
        if column not in table.columns or column in taken or column in FIXED_COLUMNS:
            raise UsageError(
                f"{column!r} is not a column of labels in {table.path.name}; "
                f"its columns are {', '.join(map(repr, table.columns))}"
            )
    chosen: dict[str, str] = {}
    for column in table.columns:
        known = canonical(mapped.get(column, column))
        found = known if named is None else None
        if column in wanted:
            found = known or mapped.get(column, column)
        if found is None or column in taken:
            continue
        if found in chosen:
            raise SourceError(
                f"{table.path.name}:1: {chosen[found]!r} and {column!r} are both {found}; "
                "leave one out, or name the columns of labels with the option findings"
            )
        chosen[found] = column
    return chosen


def labels(table: TextTable, chosen: Mapping[str, str]) -> pl.DataFrame:
    """Return the labels as Int8 columns, 1, 0, -1 or null, named by finding.

    Raises
    ------
    SourceError
        Naming the first cell that is something else.
    """
    series = [
        table.values(column, label(pl.col("text")), LABEL_CELLS).rename(finding)
        for finding, column in chosen.items()
    ]
    return pl.DataFrame(series)
