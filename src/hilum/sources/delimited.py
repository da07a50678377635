"""Read CSV and TSV tables as text, and turn columns into values with errors that name the cell.

Everything is read as text first: a parser that guesses types turns the patient ``00012`` into 12
and a stray word in a label column into a column of words. Cells are stripped; an empty one is
null. ``.gz`` files are read as they are.
"""

import csv
import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import polars as pl

from hilum.errors import SourceError

RECORD: Final = "\0record"
"""The hidden column of record numbers; no header of a text file can hold this name."""


@dataclass(frozen=True)
class TextTable:
    """A table of text cells.

    Parameters
    ----------
    path
        The file.
    frame
        All columns are strings; null where the cell is empty. Blank lines are left out.
    """

    path: Path
    frame: pl.DataFrame

    @property
    def columns(self) -> tuple[str, ...]:
        """The header."""
        return tuple(name for name in self.frame.columns if name != RECORD)

    def where(self, row: int, column: str) -> str:
        """Return ``file:line:column`` of a cell; the line is the one where its record starts."""
        record = int(self.frame[RECORD][row])
        with _open(self.path) as stream:
            reader = csv.reader(stream, delimiter=_separator(self.path))
            line = 1
            for number, _ in enumerate(reader):
                if number == record + 1:  # record 0 follows the header
                    break
                line = reader.line_num + 1
        return f"{self.path.name}:{line}:{column}"

    def need(self, columns: Iterable[str], advice: str) -> None:
        """Raise if a column is not there.

        Raises
        ------
        SourceError
            Naming the absent columns, those there are, and what to do.
        """
        absent = [column for column in columns if column not in self.columns]
        if absent:
            raise SourceError(
                f"{self.path.name}:1: expected a column {' and '.join(map(repr, absent))}, "
                f"got {', '.join(map(repr, self.columns))}; {advice}"
            )

    def texts(self, column: str) -> pl.Series:
        """Return a column none of whose cells may be empty."""
        series = self.frame[column]
        if series.null_count():
            row = int(series.is_null().arg_max() or 0)
            raise SourceError(f"{self.where(row, column)}: expected a value, got an empty cell")
        return series

    def once(self, column: str, keys: pl.Series) -> None:
        """Raise if a key is there twice.

        Parameters
        ----------
        column
            The column that it is read from, for the message.
        keys
            One per row; nulls are not compared.

        Raises
        ------
        SourceError
            Naming the second cell.
        """
        again = keys.is_not_null() & ~keys.is_first_distinct()
        if again.any():
            row = int(again.arg_max() or 0)
            raise SourceError(
                f"{self.where(row, column)}: {keys[row]!r} has a line already; keep one of them"
            )

    def values(self, column: str, parse: pl.Expr, expected: str) -> pl.Series:
        """Return a column as values.

        Parameters
        ----------
        column
            Its name.
        parse
            What to make of ``pl.col("text")``: null where the text cannot be understood.
        expected
            What a cell may hold, for the message.

        Raises
        ------
        SourceError
            Naming file, line and column of the first cell that is not empty and not understood.
        """
        texts = self.frame[column]
        series = texts.to_frame("text").select(parse).to_series().rename(column)
        wrong = series.is_null() & texts.is_not_null()
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise SourceError(f"{self.where(row, column)}: expected {expected}, got {texts[row]!r}")
        return series


def read_text_table(path: Path, *, ragged: bool = False) -> TextTable:
    """Read a table, comma- or (``.tsv``, ``.tsv.gz``) tab-separated.

    Parameters
    ----------
    path
        The file, UTF-8, with a header line.
    ragged
        Accept lines with more cells than the header, as two NIH files have, and drop the rest.

    Raises
    ------
    SourceError
        If it cannot be read, has no header, has one column name twice, or lines of more cells
        than the header.
    """
    try:
        frame = pl.read_csv(
            path,
            separator=_separator(path),
            infer_schema=False,
            truncate_ragged_lines=ragged,
            row_index_name=RECORD,
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        cause = str(error).split("\n", maxsplit=1)[0]
        raise SourceError(
            f"{path.name}: expected a UTF-8 table with a header line and as many cells in every "
            f"line; {cause}"
        ) from error
    table = TextTable(path, _tidy(frame))
    _refuse_doubled_columns(table)
    return table


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Read a text file's lines with their numbers, stripped, without the empty ones; ``.gz`` too.

    Raises
    ------
    SourceError
        If it cannot be read as UTF-8 text.
    """
    try:
        with _open(path) as stream:
            numbered = enumerate(map(str.strip, stream), start=1)
            return [(number, line) for number, line in numbered if line]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        kind = type(error).__name__
        raise SourceError(f"{path.name}: expected lines of UTF-8 text ({kind})") from error


def find_table(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first of these files that is in a folder, plain or with ``.gz``."""
    for name in names:
        for candidate in (root / name, root / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def _tidy(frame: pl.DataFrame) -> pl.DataFrame:
    cells = [name for name in frame.columns if name != RECORD]
    frame = frame.with_columns(pl.col(cells).str.strip_chars())
    frame = frame.with_columns(
        pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in cells
    )
    return frame.filter(pl.any_horizontal(pl.col(cells).is_not_null()))


def _refuse_doubled_columns(table: TextTable) -> None:
    for name in table.columns:
        plain, mark, number = name.rpartition("_duplicated_")  # how polars renames the second
        if mark and plain and number.isdigit() and plain in table.columns:
            raise SourceError(f"{table.path.name}:1: the column {plain!r} is there twice")


def _separator(path: Path) -> str:
    return "\t" if path.name.removesuffix(".gz").lower().endswith(".tsv") else ","


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
