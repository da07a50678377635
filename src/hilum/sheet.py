"""A contact sheet: images of a collection on a page, by rank; nothing on it names a patient."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hilum.collection.sql import images

if TYPE_CHECKING:
    from hilum.collection import Collection

COLUMNS: Final = 8
ROWS: Final = 6
SIDE: Final = 192  # pixels of an image on the sheet
_STRIP = 24  # pixels of a line above it
_GAP = 8
_INK, _PAPER = 32, 255


def contact_sheet(
    collection: "Collection", ids: Sequence[str], path: str | Path
) -> tuple[Path, ...]:
    """Write images as PNG pages of at most 48.

    Each image has its rank above it, the number by which a list of the same images names it; ids
    are left out. What is burnt into the pixels is shown as it is.

    Parameters
    ----------
    collection
        Where the images are; with pixels.
    ids
        What to show, in order of rank.
    path
        Of the first page; further ones have -2, -3 and so on before the suffix.

    Returns
    -------
    The files.

    Raises
    ------
    CollectionError
        If the collection has no pixels.
    """
    place = {image: row for row, image in enumerate(collection.ids())}
    rows = [place[image] for image in ids]
    ranks = [(str(rank),) for rank in range(1, len(rows) + 1)]
    return _write(collection, rows, ranks, path)


def case_sheet(collection: "Collection", cases: "Shown", path: str | Path) -> tuple[Path, ...]:
    """Write what was looked for and then what was found, as PNG pages of at most 48 images.

    The query comes first where it is an image, also one that was never ingested. Each found image
    has its rank, the cosine and the Euclidean distance between directions above it, and below
    these its findings; "-" says that none is positive. Ids and names of files are left out.

    Parameters
    ----------
    collection
        Where the images are; with pixels.
    cases
        What was found, and for what (`hilum.retrieve.Cases`).
    path
        Of the first page; further ones have -2, -3 and so on before the suffix.

    Returns
    -------
    The files.

    Raises
    ------
    CollectionError
        If the collection has no pixels.
    """
    ids = list(cases.ids)
    asked = [cases.query] if isinstance(cases.query, str) else []
    view = collection.where(images([*asked, *ids]))
    findings = _positive(view)
    captions = [
        (f"{rank}  cos {cosine:.3f}  d {(2 - 2 * min(cosine, 1.0)) ** 0.5:.3f}", findings[image])
        for rank, (image, cosine) in enumerate(zip(ids, cases.scores.tolist(), strict=True), 1)
    ]
    ahead: list[NDArray[np.uint8]] = []
    if asked:
        captions.insert(0, ("query", findings[asked[0]]))
    elif cases.query is not None:
        ahead = [np.asarray(cases.query)]
        captions.insert(0, ("query", "not of the collection"))
    place = {image: row for row, image in enumerate(findings)}
    return _write(view, [place[image] for image in [*asked, *ids]], captions, path, ahead)


def _write(
    collection: "Collection", rows: Sequence[int], captions: Sequence[tuple[str, ...]],
    path: str | Path, ahead: Sequence[NDArray[np.uint8]] = (),
) -> tuple[Path, ...]:  # fmt: skip
    """Write pages of images: those `ahead`, which are of no collection, and then the rows."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for start in range(0, len(captions), COLUMNS * ROWS):
        end = start + COLUMNS * ROWS
        part = np.array(rows[max(0, start - len(ahead)) : end - len(ahead)], dtype=np.int64)
        shown = [*(ahead if start == 0 else []), *collection.pixels(part)]
        written.append(_numbered(path, len(written)))
        _page(np.stack(shown), captions[start:end]).save(written[-1], format="PNG")
    return tuple(written)


class Shown(Protocol):
    """What was found, nearest first, and what was looked for."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Which images."""

    @property
    def scores(self) -> NDArray[np.float64]:
        """Their cosines with the query, (k,)."""

    @property
    def query(self) -> "str | NDArray[np.uint8] | None":
        """An id of the collection, the pixels of a file, or None for a text."""


def _positive(collection: "Collection") -> dict[str, str]:
    """Return the positive findings of every image, in row order, in words."""
    table = collection.labels()
    some: dict[int, list[str]] = {row: [] for row in range(len(table.ids))}
    for row, column in np.argwhere(table.values == 1).tolist():
        some[row].append(table.findings[column])
    return {image: ", ".join(some[row]) or "-" for row, image in enumerate(table.ids)}


def _numbered(path: Path, before: int) -> Path:
    number = f"-{before + 1}" if before else ""
    return path.with_name(f"{path.stem}{number}{path.suffix}")


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Cut a text that is wider than an image; "..." says so."""
    if font.getlength(text) <= SIDE:
        return text
    while text and font.getlength(text + "...") > SIDE:
        text = text[:-1]
    return text.rstrip(" ,") + "..."


def _page(pixels: NDArray[np.uint8], captions: Sequence[tuple[str, ...]]) -> Image.Image:
    """Draw images (n, size, size[, 3]) in rows, each under its lines."""
    columns = min(COLUMNS, len(pixels))
    lines = -(-len(pixels) // columns)
    strip = _STRIP * max(map(len, captions))
    across, down = SIDE + _GAP, SIDE + strip + _GAP
    grey = pixels.ndim == 3
    paper, ink = (_PAPER, _INK) if grey else ((_PAPER,) * 3, (_INK,) * 3)
    page = Image.new("L" if grey else "RGB", (columns * across + _GAP, lines * down + _GAP), paper)
    # a rank alone is large; where there is more to say, letters are small enough for it
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=18 if strip == _STRIP else 14)
    for at, (image, lines_above) in enumerate(zip(pixels, captions, strict=True)):
        left, top = _GAP + at % columns * across, _GAP + at // columns * down
        for line, text in enumerate(lines_above):
            draw.text((left, top + 1 + line * _STRIP), _fitting(text, font), fill=ink, font=font)
        film = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        page.paste(film, (left, top + strip))
    return page
