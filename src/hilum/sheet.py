"""A contact sheet: images of a collection on a page, by rank; nothing on it names a patient."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from hilum.collection import Collection

COLUMNS: Final = 8
ROWS: Final = 6
SIDE: Final = 192  # pixels of an image on the sheet
_STRIP = 24  # pixels above it, for its rank
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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {image: row for row, image in enumerate(collection.ids())}
    rows = np.array([place[image] for image in ids], dtype=np.int64)
    written: list[Path] = []
    for start in range(0, len(rows), COLUMNS * ROWS):
        part = rows[start : start + COLUMNS * ROWS]
        page = _page(collection.pixels(part), start + 1)
        number = f"-{len(written) + 1}" if written else ""
        written.append(path.with_name(f"{path.stem}{number}{path.suffix}"))
        page.save(written[-1], format="PNG")
    return tuple(written)


def _page(pixels: NDArray[np.uint8], first: int) -> Image.Image:
    """Draw images (n, size, size[, 3]) in rows, each under its rank, counted from `first`."""
    columns = min(COLUMNS, len(pixels))
    lines = -(-len(pixels) // columns)
    across, down = SIDE + _GAP, SIDE + _STRIP + _GAP
    grey = pixels.ndim == 3
    paper, ink = (_PAPER, _INK) if grey else ((_PAPER,) * 3, (_INK,) * 3)
    page = Image.new("L" if grey else "RGB", (columns * across + _GAP, lines * down + _GAP), paper)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=_STRIP - 6)
    for at, image in enumerate(pixels):
        left, top = _GAP + at % columns * across, _GAP + at // columns * down
        draw.text((left, top + 1), str(first + at), fill=ink, font=font)
        film = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        page.paste(film, (left, top + _STRIP))
    return page
