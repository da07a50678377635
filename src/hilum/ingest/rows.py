"""Rows of a listing and their decoded files, as one Arrow table in the collection's schema."""

from collections.abc import Sequence
from dataclasses import asdict

import polars as pl
import pyarrow as pa

from hilum.collection.store import Settings, schema
from hilum.decoding import Decoded


def as_arrow(rows: pl.DataFrame, decoded: Sequence[Decoded | None], settings: Settings) -> pa.Table:
    """Join rows with what was decoded for them.

    Parameters
    ----------
    rows : (n,)
        Columns of a listing, and `source`.
    decoded : (n,)
        In the order of the rows; None where the collection holds the table alone.
    settings
        Of the collection: its findings are the label columns, null where the rows have none.

    Returns
    -------
    (n,) in the schema of `store.schema`.
    """
    target = schema(settings)
    columns = {name: rows[name].to_arrow() for name in rows.columns}
    columns |= {
        "file_bytes": pa.array([d and d.file_bytes for d in decoded], pa.int64()),
        "sha256": pa.array([d and d.sha256 for d in decoded], pa.string()),
        "geometry": pa.array(
            [d and asdict(d.geometry) for d in decoded], target.field("geometry").type
        ),
        "pixels": pa.array([d and d.pixels for d in decoded], pa.large_binary()),
    }
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(rows.height, field.type)
        for field in target
    ]
    return pa.Table.from_arrays(arrays, schema=target.remove_metadata())
