"""What single readers said of the images of a collection, beside the labels they agree on.

A label column holds what the readers of an image say together. Each one's own reading is kept in a
second, small dataset, ``_readings.lance``, as the quarantine is: `image_id`, `source`, `reader`,
then one int8 column per finding.
"""

import lance
import numpy as np
import polars as pl
import pyarrow as pa

from hilum.collection import store
from hilum.collection.view import Collection
from hilum.errors import CollectionError
from hilum.sources.readers import share
from hilum.tables import Table

_KEYS = ("image_id", "source", "reader")


def write_readings(uri: str, source: str, readings: pl.DataFrame | None) -> None:
    """Replace one source's readings; nothing is written if they are the same.

    Parameters
    ----------
    uri
        The collection; the caller holds its lock.
    source
        The source's name.
    readings
        `image_id`, `reader` and findings; None for a source without any.
    """
    before = _read(uri)
    if before is None and readings is None:
        return
    parts = [] if before is None else [before.filter(pl.col("source") != source)]
    if readings is not None:
        parts.append(readings.with_columns(source=pl.lit(source)))
    after = pl.concat(parts, how="diagonal")
    after = after.select(*_KEYS, pl.exclude(_KEYS))
    if before is not None and after.equals(before):
        return
    path = _path(uri)
    mode = "create" if before is None else "overwrite"
    lance.write_dataset(after.to_arrow(compat_level=pl.CompatLevel.oldest()), path, mode=mode)
    tidy = lance.dataset(path)
    tidy.cleanup_old_versions(retain_versions=1, delete_unverified=store.is_local(uri))


def read_readings(view: Collection) -> pl.DataFrame:
    """Return the readings of the images of a view: `image_id`, `source`, `reader`, findings.

    In the order of the images; empty where no image of the view was read by several.
    """
    found = _read(view.uri)
    if found is None:
        return pl.DataFrame(schema=dict.fromkeys(_KEYS, pl.String))
    order = pl.DataFrame({"image_id": view.ids()}).with_row_index("row")
    return found.join(order, on="image_id").sort("row", maintain_order=True).drop("row")


def reader_tables(view: Collection) -> dict[str, Table]:
    """Return each reader's labels, as tables that `hilum.evaluate` compares with a model.

    Returns
    -------
    By reader, in the order of names: 1, 0, -1, or NaN where they did not read. All tables have the
    same ids: every image of the view that somebody read.

    Raises
    ------
    CollectionError
        If nobody's readings are kept for these images.
    """
    frame, findings = _some(view)
    everyone = frame.select("image_id").unique(maintain_order=True)
    tables = {}
    for reader in sorted(frame["reader"].unique(), key=_natural):
        own = frame.filter(pl.col("reader") == reader).select("image_id", *findings)
        whole = everyone.join(own, on="image_id", how="left", maintain_order="left")
        tables[reader] = _table(whole, findings)
    return tables


def reader_shares(view: Collection) -> Table:
    """Return the share of an image's readers that see a finding: labels that keep their doubt.

    Returns
    -------
    0 to 1, a reader's -1 counting half; NaN where nobody said. Of every image that somebody read.

    Raises
    ------
    CollectionError
        If nobody's readings are kept for these images.
    """
    frame, findings = _some(view)
    by_image = frame.group_by("image_id", maintain_order=True)
    return _table(by_image.agg(share(name).alias(name) for name in findings), findings)


def _some(view: Collection) -> tuple[pl.DataFrame, tuple[str, ...]]:
    frame = read_readings(view)
    if frame.is_empty():
        raise CollectionError(
            f"{view.uri}: holds no readings of these {len(view):,} images by single readers; "
            "sources with several readers (vindr) bring them"
        )
    return frame, tuple(name for name in view.findings if name in frame.columns)


def _table(frame: pl.DataFrame, findings: tuple[str, ...]) -> Table:
    values = frame.select(pl.col(findings).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    return Table(tuple(frame["image_id"]), findings, values)


def _natural(reader: str) -> tuple[str, int, str]:
    """Sort R2 before R10."""
    letters = reader.rstrip("0123456789")
    number = reader[len(letters) :]
    return letters, int(number or -1), reader


def _path(uri: str) -> str:
    return f"{uri}/_readings.lance"


def _read(uri: str) -> pl.DataFrame | None:
    dataset = store.open_if_there(_path(uri))
    if dataset is None:
        return None
    table: pa.Table = dataset.to_table()
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
