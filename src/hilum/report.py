"""One self-contained HTML page: prose, numbers with intervals, tables, figures, films.

A page is built from blocks, each a frozen dataclass, and written by one template. It holds its
style and pictures itself, runs no script and asks the network for nothing (a content policy in
the page forbids it), so that it can be mailed, archived and opened years later. Every picture has
a text that stands for it, every table a caption, and every page the settings that made it.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hilum.errors import UsageError
from hilum.evaluate.intervals import Measure
from hilum.files import write_text

if TYPE_CHECKING:
    import jinja2
    import numpy as np
    from matplotlib.figure import Figure as Plot
    from numpy.typing import NDArray

NOTICE: Final = "Research software; not a medical device."

Cell = str | int | float | Measure | None
"""What a table may hold: text, numbers, a number with its interval, or None for undefined."""


@dataclass(frozen=True)
class Prose:
    """Paragraphs of plain text."""

    kind: ClassVar[str] = "prose"
    paragraphs: tuple[str, ...]

    def __init__(self, *paragraphs: str) -> None:
        object.__setattr__(self, "paragraphs", paragraphs)


@dataclass(frozen=True)
class KeyFigure:
    """One large number: its value as text, what it counts, and a remark such as an interval."""

    value: str
    label: str
    remark: str = ""


@dataclass(frozen=True)
class KeyFigures:
    """A row of large numbers."""

    kind: ClassVar[str] = "key_figures"
    figures: Sequence[KeyFigure]


@dataclass(frozen=True)
class Rows:
    """A table.

    Parameters
    ----------
    columns
        Titles, with units.
    rows
        A cell per column; numbers are aligned on the right, undefined ones are a dash.
    caption
        What the table says, and what its intervals are.
    digits
        Decimals of floats and measures.
    last_is_total
        Whether the last row sums up the others.
    """

    kind: ClassVar[str] = "rows"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    digits: int = 3
    last_is_total: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise UsageError(f"a row has {len(row)} cells for {len(self.columns)} columns")

    def is_numeric(self, column: int) -> bool:
        """Tell whether a column holds no text; an empty cell is none."""
        cells = [row[column] for row in self.rows]
        return bool(cells) and not any(isinstance(cell, str) and cell for cell in cells)

    def main(self, cell: Cell) -> str:
        """Return a cell's text, without an interval."""
        value = cell.estimate if isinstance(cell, Measure) else cell
        if value is None:
            return "–"
        return f"{value:.{self.digits}f}" if isinstance(value, float) else str(value)

    def interval(self, cell: Cell) -> str:
        """Return the interval of a measure, or nothing."""
        if not isinstance(cell, Measure) or cell.low is None or cell.high is None:
            return ""
        low, high = f"{cell.low:.{self.digits}f}", f"{cell.high:.{self.digits}f}"
        return f"{low}–{high}" if cell.low >= 0 else f"{low} to {high}"

    @property
    def notes(self) -> list[str]:
        """Why numbers or intervals are undefined, each reason once."""
        reasons = (c.reason for row in self.rows for c in row if isinstance(c, Measure))
        return list(dict.fromkeys(reason for reason in reasons if reason))

    def note(self, cell: Cell) -> str:
        """Return the letter of a cell's note, or nothing."""
        if not isinstance(cell, Measure) or not cell.reason:
            return ""
        return _letter(self.notes.index(cell.reason))

    @property
    def lettered_notes(self) -> list[tuple[str, str]]:
        """The notes with their letters."""
        return [(_letter(at), text) for at, text in enumerate(self.notes)]


def _letter(number: int) -> str:
    """Return a, b, ... z, aa, ab, ..."""
    rest, last = divmod(number, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("a") + last)


@dataclass(frozen=True)
class Figure:
    """A plot.

    Parameters
    ----------
    source
        A data URI.
    alt
        What the plot shows, for those who cannot see it; required.
    caption
        What to look for, and what bands and bars are.
    """

    kind: ClassVar[str] = "figure"
    source: str
    alt: str
    caption: str

    def __post_init__(self) -> None:
        _require(self.alt, "a figure needs an alternative text")


@dataclass(frozen=True)
class Box:
    """A rectangle on a film, in the film's pixels from its top left corner."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Film:
    """One radiograph in a gallery."""

    source: str
    width: int
    height: int
    alt: str
    caption: str
    boxes: Sequence[Box] = ()

    def __post_init__(self) -> None:
        _require(self.alt, "a film needs an alternative text")


@dataclass(frozen=True)
class Gallery:
    """Films side by side."""

    kind: ClassVar[str] = "gallery"
    films: Sequence[Film]
    caption: str


@dataclass(frozen=True)
class Details:
    """Names and values that are folded away until asked for."""

    kind: ClassVar[str] = "details"
    summary: str
    values: Mapping[str, Any]


Block = Prose | KeyFigures | Rows | Figure | Gallery | Details


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The heading as the end of a link."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def groups(self) -> list[list[Block]]:
        """The blocks, with figures that follow each other together: they share a row."""
        runs = groupby(self.blocks, key=lambda block: block.kind)
        grouped: list[list[Block]] = []
        for kind, run in runs:
            blocks = list(run)
            grouped += [blocks] if kind == "figure" else [[block] for block in blocks]
        return grouped


@dataclass(frozen=True)
class Page:
    """A report.

    Parameters
    ----------
    title, lead
        The heading, and the answer in one or two sentences below it.
    sections
        In reading order.
    settings
        Whatever made the numbers: seeds, recipes, versions. Folded away at the end.
    """

    title: str
    sections: Sequence[Section]
    lead: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def html(self) -> str:
        """Return the whole page."""
        return _template().render(page=self, notice=NOTICE)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, complete or not at all; return its path."""
        return write_text(Path(path), self.html())


def figure(plot: "Plot", alt: str, caption: str, *, as_png: bool = False) -> Figure:
    """Embed a matplotlib figure.

    Parameters
    ----------
    plot
        Made with the object interface, so that nothing else needs to be closed.
    alt, caption
        As in `Figure`.
    as_png
        Draw pixels rather than lines: smaller where there are thousands of points.
    """
    from hilum.plots.canvas import as_svg

    if as_png:
        out = io.BytesIO()
        plot.savefig(out, format="png", dpi=200)
        return Figure(_data_uri("image/png", out.getvalue()), alt, caption)
    return Figure(_data_uri("image/svg+xml", as_svg(plot)), alt, caption)


def film(
    pixels: "NDArray[np.uint8]", caption: str, alt: str = "", boxes: Sequence[Box] = ()
) -> Film:
    """Embed a radiograph, uint8 (height, width) or (height, width, 3), losslessly.

    Raises
    ------
    UsageError
        If the pixels are of another type or shape.
    """
    from PIL import Image

    if pixels.dtype != "uint8" or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise UsageError(
            f"a film is uint8, (height, width) or (height, width, 3); got {pixels.dtype} "
            f"{pixels.shape}"
        )
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="png", optimize=True)
    height, width = pixels.shape[:2]
    source = _data_uri("image/png", out.getvalue())
    return Film(source, width, height, alt or f"Radiograph: {caption}", caption, tuple(boxes))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _require(text: str, message: str) -> None:
    if not text.strip():
        raise UsageError(f"{message}: say in a sentence what it shows")


@cache
def _template() -> "jinja2.Template":
    import jinja2

    loader = jinja2.PackageLoader("hilum", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2")
