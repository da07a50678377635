"""Whether rows that want to enter a collection agree with the rows that are there.

An id is a promise: it always means the same image, or the same patient. Two sources that use
the same numbers for different patients would mix their visits and leak between splits, so that
is refused, and a prefix is offered.
"""

from collections.abc import Sequence

import polars as pl

from hilum.collection.store import Settings
from hilum.errors import ClashError
from hilum.sources import Listing


def source_rows(listing: Listing, name: str, prefix: str) -> pl.DataFrame:
    """Return a listing's rows under the name of their source, with its prefix before the ids."""
    ids = ("image_id", "patient_id", "study_id")
    return listing.frame.with_columns(
        *((pl.lit(prefix) + pl.col(column)).alias(column) for column in ids),
        source=pl.lit(name),
    )


def compare(
    existing: pl.DataFrame,
    rows: pl.DataFrame,
    settings: Settings,
    name: str,
    layout: str,
    bytes_now: pl.DataFrame,
) -> None:
    """Refuse rows that contradict the collection.

    Parameters
    ----------
    existing
        The collection's table.
    rows
        All rows of the source, with split and source.
    settings
        Of the collection.
    name, layout
        Of the source.
    bytes_now
        The present size of each image's file (image_id, bytes_now), null where unknown.

    Raises
    ------
    ClashError
        If other sources have these image or patient ids; if the source's name belongs to another
        source; or if images that are in the collection have changed in the source.
    """
    others = existing.filter(pl.col("source") != name)
    for column, what in (("image_id", "images"), ("patient_id", "patients")):
        _refuse_shared(rows, others, column, what, name)
    own = existing.filter(pl.col("source") == name)
    _refuse_stranger(own, rows, settings, name, layout)
    both = own.join(rows, on="image_id", how="inner", suffix="_new")
    both = both.join(bytes_now, on="image_id", how="left")
    _refuse_changes(both, [c for c in rows.columns if c in own.columns and c != "image_id"], name)


def _refuse_shared(
    rows: pl.DataFrame, others: pl.DataFrame, column: str, what: str, name: str
) -> None:
    shared = rows.join(others, on=column, how="semi")[column].unique(maintain_order=True)
    if not shared.is_empty():
        owner = others.filter(pl.col(column) == shared[0])["source"][0]
        raise ClashError(
            f"{shared.len()} {what} of source {name!r} have ids that are taken by other sources "
            f"({_some(shared)} by {owner!r}); if they are different {what}, keep them apart with "
            f"--prefix {name}-; if this is the same source, name it with --name {owner}"
        )


def _refuse_stranger(
    own: pl.DataFrame, rows: pl.DataFrame, settings: Settings, name: str, layout: str
) -> None:
    entry = settings.source(name)
    if entry and entry.layout != layout:
        raise ClashError(
            f"there is a source {name!r} already, in the {entry.layout} layout; "
            f"give this one, in the {layout} layout, another name with --name"
        )
    if own.height and own.join(rows, on="image_id", how="semi").is_empty():
        raise ClashError(
            f"there is a source {name!r} already, and none of its {own.height} images is in this "
            "folder; give another source another name with --name (with dicom: was the same key "
            "file used?)"
        )


def _refuse_changes(both: pl.DataFrame, columns: Sequence[str], name: str) -> None:
    changed = {
        column: both[column].ne_missing(both[f"{column}_new"])
        for column in columns
        if f"{column}_new" in both.columns
    }
    other_size = both.select(pl.col("bytes_now") != pl.col("file_bytes")).to_series()
    changed["size of the file"] = other_size.fill_null(value=False)
    faults = {column: where for column, where in changed.items() if where.any()}
    if faults:
        anywhere = pl.DataFrame(faults).select(pl.any_horizontal(pl.all())).to_series()
        examples = both.filter(anywhere)["image_id"]
        raise ClashError(
            f"{examples.len()} images of source {name!r} that are in the collection have changed "
            f"in the source: {', '.join(faults)} ({_some(examples)}); an image keeps what it was "
            "ingested with, so make a new collection from the changed source"
        )


def _some(values: pl.Series) -> str:
    return ", ".join(map(repr, values.head(3))) + (", ..." if values.len() > 3 else "")
