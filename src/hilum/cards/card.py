"""A card as questions and their answers, and as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NOT_FOR: Final = (
    "Deciding about patients. This is research software, not a medical device: whoever uses it "
    "measures it first on patients of their own."
)


@dataclass(frozen=True)
class Table:
    """Numbers of a card.

    Parameters
    ----------
    title
        What they are.
    columns
        Their names, the first that of the rows.
    rows
        A cell per column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Card:
    """What whoever takes data or weights elsewhere needs to know.

    After "Model Cards for Model Reporting" (Mitchell et al., FAT* 2019) and "Datasheets for
    Datasets" (Gebru et al., CACM 2021), as far as hilum itself can tell; the rest is left for
    people to add.

    Parameters
    ----------
    title
        What it is a card of.
    answers
        By question, in the order they are shown.
    tables
        Numbers below.
    settings
        Everything that decided the result, as plain JSON types; none for data.
    """

    title: str
    answers: Mapping[str, str]
    tables: tuple[Table, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the card as a document for JSON."""
        tables = [{"title": t.title, "columns": t.columns, "rows": t.rows} for t in self.tables]
        return {
            "title": self.title,
            "answers": dict(self.answers),
            "tables": tables,
            "settings": dict(self.settings),
        }

    def as_markdown(self) -> str:
        """Return the card as Markdown that ends with a line end."""
        parts = [f"# {self.title}", _table(("", ""), tuple(self.answers.items()))]
        for table in self.tables:
            parts += [f"## {table.title}", _table(table.columns, table.rows)]
        if self.settings:
            rows = tuple((f"`{name}`", f"`{value}`") for name, value in _flat(self.settings))
            parts += ["## Settings", _table(("setting", "value"), rows)]
        return "\n\n".join(parts) + "\n"


def _flat(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested settings as pairs, ``train.lr`` for the rate within `train`; none that is None.

    >>> _flat({"size": 96, "dim": None, "train": {"lr": 0.1}})
    [('size', '96'), ('train.lr', '0.1')]
    """
    out: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            out += _flat(value, f"{before}{name}.")
        elif value is not None:
            out.append((before + name, str(value)))
    return out


def _table(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Keep a cell on its line and in its column, whatever a file's name or note says."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
