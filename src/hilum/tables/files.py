"""Score, truth and label tables as CSV files, read with every fault named by its place."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from hilum.errors import TableError
from hilum.files import replacing
from hilum.findings import canonical
from hilum.tables.table import Table, Values, refuse_doubles


def read_columns(path: str | Path) -> tuple[str, ...]:
    """Return the names in a table's header, as they are written there.

    Raises
    ------
    TableError
        If the file cannot be read, or is no text.
    """
    try:
        header = next(_records(Path(path)), (1, []))[1]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error
    return tuple(name.strip() for name in header)


def read_table(
    path: str | Path,
    id_column: str = "image_id",
    findings: Sequence[str] | None = None,
    extra: Sequence[str] = (),
    prefix: str = "",
) -> Table:
    """Read a CSV file, gzipped or not, of labels or scores.

    Parameters
    ----------
    path
        The file: UTF-8, comma-separated, one header line.
    id_column
        The column that names the rows.
    findings
        Columns to read, in any spelling (`hilum.findings.canonical`); one that is not in the
        vocabulary must be spelt as in the file. None reads every column in the vocabulary.
        Other columns are ignored.
    extra
        Columns to carry as text.
    prefix
        What finding columns start with in this file, such as ``"prob_"``. Columns without it
        are not findings then.

    Returns
    -------
    The table, rows and findings in the file's order, or findings in the order asked for.

    Raises
    ------
    TableError
        If the file is not such a table. Faults in a cell are named as ``file:line:column``.
    """
    path = Path(path)
    frame = _read_text(path)
    header = [(name or "").strip() for name in frame.row(0)]
    body = frame.with_row_index("record").slice(1)
    body = body.filter(~pl.all_horizontal(pl.exclude("record").is_null()))  # blank lines
    if body.is_empty():
        raise TableError(f"{path}: the table has a header but no rows")
    columns = _finding_columns(path, header, findings, prefix)
    ids = _read_ids(path, body, _position(path, header, id_column), id_column)
    values = np.column_stack(
        [_read_numbers(path, body, at, header[at]) for at in columns.values()]
    )  # fmt: skip
    carried = {
        name: tuple(body.to_series(1 + _position(path, header, name)).to_list()) for name in extra
    }
    return Table(ids, tuple(columns), values, carried)


def _read_text(path: Path) -> pl.DataFrame:
    """Read every cell, the header too, as text: polars would rename doubled columns."""
    try:
        content = path.read_bytes()
        frame = pl.read_csv(io.BytesIO(content), has_header=False, infer_schema=False)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error
    except pl.exceptions.NoDataError as error:
        raise TableError(f"{path}: the file is empty; a table starts with a header") from error
    except pl.exceptions.PolarsError as error:
        raise TableError(_why_not_csv(path, error)) from error
    # polars fills up a line that is too short; that is a fault unless it is a blank line
    if frame.to_series(frame.width - 1).null_count():
        for line, cells in _records(path):
            if cells and len(cells) < frame.width:
                raise TableError(_wrong_width(path, line, frame.width, len(cells)))
    return frame


def _why_not_csv(path: Path, error: Exception) -> str:
    """Find the line that polars refused, which it does not name."""
    try:
        records = list(_records(path))
    except (UnicodeDecodeError, csv.Error) as fault:
        return f"{path}: not a CSV file in UTF-8: {fault}"
    width = len(records[0][1])
    for line, cells in records:
        if cells and len(cells) != width:
            return _wrong_width(path, line, width, len(cells))
    return f"{path}: not a CSV file: {str(error).splitlines()[0]}"


def _wrong_width(path: Path, line: int, expected: int, got: int) -> str:
    return (f"{path}:{line}: expected {expected} cells as in the header, got {got}; "
            "is the line cut off, or is there a comma without quotes?")  # fmt: skip


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line each record starts on, and its cells: slow, for the header and errors."""
    with path.open("rb") as probe:
        zipped = probe.read(2) == b"\x1f\x8b"
    opened = gzip.open if zipped else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        start = 1
        for cells in reader:
            yield start, cells
            start = reader.line_num + 1


def _finding_columns(
    path: Path, header: list[str], findings: Sequence[str] | None, prefix: str
) -> dict[str, int]:
    """Map each finding to its column's position."""
    places: dict[str, list[int]] = {}
    for at, cell in enumerate(header):
        if cell.startswith(prefix):
            name = cell.removeprefix(prefix)
            places.setdefault(canonical(name) or name, []).append(at)
    if findings is None:
        wanted = [name for name in places if canonical(name)]
    else:
        wanted = [canonical(name) or name for name in findings]
        refuse_doubles("finding", wanted)
    for name in wanted:
        if name not in places:
            raise TableError(f"{path}: no column for the finding {name!r}; "
                             f"the columns are {', '.join(header)}")  # fmt: skip
        if len(places[name]) > 1:
            doubled = " and ".join(repr(header[at]) for at in places[name])
            raise TableError(f"{path}: the columns {doubled} are both {name!r}; keep one")
    if not wanted:
        raise TableError(f"{path}: no column is a finding; the columns are {', '.join(header)}")
    return {name: places[name][0] for name in wanted}


def _position(path: Path, header: list[str], column: str) -> int:
    places = [at for at, name in enumerate(header) if name == column]
    if len(places) == 1:
        return places[0]
    number = "no" if not places else "more than one"
    raise TableError(f"{path}: {number} column {column!r}; the columns are {', '.join(header)}")


def _read_ids(path: Path, body: pl.DataFrame, at: int, column: str) -> tuple[str, ...]:
    cells = body.to_series(1 + at)
    absent = (cells.is_null() | (cells == "")).fill_null(value=True)
    if absent.any():
        place = _place(path, body, int(absent.arg_max() or 0), column)
        raise TableError(f"{place}: expected an id, got an empty cell; name the row or delete it")
    first: dict[str, int] = {}
    for row, image in enumerate(cells.to_list()):
        if first.setdefault(image, row) != row:
            place = _place(path, body, row, column)
            before = _line(path, body, first[image])
            raise TableError(f"{place}: the id {image!r} is already on line {before}; "
                             "each id may have one row")  # fmt: skip
    return tuple(first)


def _read_numbers(path: Path, body: pl.DataFrame, at: int, column: str) -> Values:
    cells = body.to_series(1 + at).str.strip_chars().replace("", None)
    numbers = cells.cast(pl.Float64, strict=False)
    wrong = cells.is_not_null() & ~numbers.is_finite().fill_null(value=False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise TableError(
            f"{_place(path, body, row, column)}: expected a finite number (a label is 1, 0 or "
            f"-1) or an empty cell, got {cells[row]!r}; leave a cell empty where it is unknown"
        )
    return numbers.fill_null(np.nan).to_numpy()


def _place(path: Path, body: pl.DataFrame, row: int, column: str) -> str:
    return f"{path}:{_line(path, body, row)}:{column}"


def _line(path: Path, body: pl.DataFrame, row: int) -> int:
    """Return a row's line in the file; a quoted cell may span several."""
    record = body["record"][row]
    return next(line for at, (line, _) in enumerate(_records(path)) if at == record)


def write_table(table: Table, path: str | Path, id_column: str = "image_id") -> None:
    """Write a table as CSV (gzipped where the name ends in ``.gz``); reading it gives it back.

    Ids, then extra columns, then findings. Numbers are written so that they are read back to
    the last bit, unknown ones as an empty cell. The file appears complete or not at all.

    Raises
    ------
    TableError
        If the table has no rows, an id is empty, or a column name is used twice.
    """
    path = Path(path)
    if not table.ids or "" in table.ids:
        raise TableError(f"{path}: a table needs rows, and every row an id that is not empty")
    refuse_doubles("column", (id_column, *table.extra, *table.findings))
    columns = [pl.Series(id_column, table.ids, dtype=pl.String)]
    columns += [pl.Series(name, cells, dtype=pl.String) for name, cells in table.extra.items()]
    columns += [
        _as_written(pl.Series(name, table.values[:, at]).fill_nan(None))
        for at, name in enumerate(table.findings)
    ]
    content = pl.DataFrame(columns).write_csv().encode()
    zipped = path.suffix == ".gz"
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if zipped else content)


def _as_written(column: pl.Series) -> pl.Series:
    """Write labels as 1 rather than 1.0."""
    whole = column.drop_nulls().is_in([-1.0, 0.0, 1.0]).all()
    return column.cast(pl.Int8) if whole else column
