"""Boxes around findings: one table row per box, one list per image.

A box is x, y, w, h in pixels of the file as stored: x to the right and y downwards from the top
left corner of the image, which is (0, 0); w and h are positive.
"""

import polars as pl

from hilum.errors import SourceError
from hilum.findings import canonical
from hilum.sources.delimited import TextTable
from hilum.sources.listing import BOX

COLUMNS = ("image_id", "finding", "x", "y", "w", "h")


def parse(table: TextTable, columns: tuple[str, ...] = COLUMNS) -> pl.DataFrame:
    """Read a table of boxes.

    Parameters
    ----------
    table
        One row per box.
    columns
        Its names for image, finding, x, y, w and h.

    Returns
    -------
    Columns `image_id`, `finding` (hilum's name where it has one) and `x`, `y`, `w`, `h`
    (Float64), rows as in the table.

    Raises
    ------
    SourceError
        Naming the cell that is empty, not a number, or negative.
    """
    image, finding, *numbers = columns
    names = table.texts(finding)
    spelling = {name: canonical(name) or name for name in names.unique()}
    frame = pl.DataFrame(
        {
            "image_id": table.texts(image),
            "finding": names.replace_strict(spelling, return_dtype=pl.String),
        }
    )
    values = [
        _pixels(table, source, positive=name in "wh").rename(name)
        for name, source in zip("xywh", numbers, strict=True)
    ]
    return frame.with_columns(values)


def parse_corners(table: TextTable, columns: tuple[str, ...]) -> pl.DataFrame:
    """Read a table of boxes given by two corners; rows without any corner have no box.

    Parameters
    ----------
    table
        One row per box.
    columns
        Its names for image, finding, and the least and greatest x and y: x, y, x, y.

    Returns
    -------
    As from `parse`.

    Raises
    ------
    SourceError
        Naming the cell that is empty beside others, not a number, negative, or not greater than
        its opposite.
    """
    image, finding, left, top, right, bottom = columns
    corners = (left, top, right, bottom)
    boxed = ~pl.all_horizontal(pl.col(corners).is_null())
    there = TextTable(table.path, table.frame.filter(boxed))
    lows = {name: _pixels(there, name, positive=False) for name in (left, top)}
    highs = {name: _pixels(there, name, positive=True) for name in (right, bottom)}
    for low, high in ((left, right), (top, bottom)):
        wrong = highs[high] <= lows[low]
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise SourceError(
                f"{there.where(row, high)}: expected more than {low}, {lows[low][row]:g}, got "
                f"{highs[high][row]:g}"
            )
    names = there.texts(finding)
    return pl.DataFrame(
        {
            "image_id": there.texts(image),
            "finding": [canonical(name) or name for name in names],
            "x": lows[left],
            "y": lows[top],
            "w": highs[right] - lows[left],
            "h": highs[bottom] - lows[top],
        },
        schema_overrides={"image_id": pl.String, "finding": pl.String},
    )


def attach(frame: pl.DataFrame, boxes: pl.DataFrame) -> pl.DataFrame:
    """Give each image the list of its boxes, in the order of the table.

    Parameters
    ----------
    frame
        With `image_id`.
    boxes
        As from `parse`.

    Returns
    -------
    The same rows with `boxes`; boxes of other images are dropped.
    """
    box = pl.struct("finding", "x", "y", "w", "h").cast(BOX)
    lists = boxes.group_by("image_id", maintain_order=True).agg(box.alias("boxes"))
    return frame.join(lists, on="image_id", how="left", maintain_order="left")


def count_others(frame: pl.DataFrame, boxes: pl.DataFrame) -> int:
    """Return how many boxes belong to images that are not in the frame."""
    return boxes.join(frame, on="image_id", how="anti").height


def _pixels(table: TextTable, column: str, *, positive: bool) -> pl.Series:
    table.texts(column)
    value = pl.col("text").cast(pl.Float64, strict=False)
    allowed = value.is_finite() & ((value > 0) if positive else (value >= 0))
    expected = f"a number of pixels, {'above' if positive else 'not below'} 0"
    return table.values(column, pl.when(allowed).then(value), expected)


def refuse_strangers(table: TextTable, column: str, known: pl.Series) -> None:
    """Raise if a table of boxes names an image that the table of images has not.

    Raises
    ------
    SourceError
        Naming the cell.
    """
    strange = ~table.frame[column].is_in(known.implode())
    if strange.any():
        row = int(strange.arg_max() or 0)
        raise SourceError(
            f"{table.where(row, column)}: {table.frame[column][row]!r} is not in the table of "
            "images; boxes are joined by its image_id"
        )
