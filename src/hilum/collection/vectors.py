"""Embedding columns: one vector per image, with the name and fingerprint of its encoder.

A column is written in one commit, complete with its provenance in the field's metadata, so a
reader sees the old vectors or the new ones, never half. While an encoder is at work, its finished
batches go into a small dataset beside the collection; a killed job continues there.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Final

import lance
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from hilum.collection.store import FIXED_COLUMNS, KEY, open_dataset, open_if_there, writer
from hilum.errors import CollectionError, UsageError

Vectors = NDArray[np.float32]
Present = tuple[
    NDArray[np.bool_], Vectors
]  # which rows have a vector, (n,); those, (n_present, dim)
Hashes = NDArray[np.uint64]
Batch = tuple[Sequence[str], Vectors]

FLUSH_SECONDS: Final = 2.0  # at most this much work is lost to a kill; a flush costs about 5 ms
_FLUSH_BYTES: Final = 64 << 20
_MERGE_ROWS: Final = 512  # few: Lance reads many batches ahead
_SCAN_ROWS: Final = 1024  # vectors in one batch of a scan: Lance reads several batches ahead
_SCAN_BYTES: Final = 32 << 20  # read ahead; Lance's own 2 GiB is slower, and most of an embedding


@dataclass(frozen=True)
class EmbeddingInfo:
    """Where an embedding comes from.

    Parameters
    ----------
    dim
        Numbers in a vector.
    fingerprint
        Of the encoder: what it expects and all its weights.
    encoder
        Its name, for people.
    """

    dim: int
    fingerprint: str
    encoder: str


@dataclass(frozen=True)
class Column:
    """An embedding's place in the dataset."""

    name: str
    info: EmbeddingInfo


def columns_of(dataset: "lance.LanceDataset") -> dict[str, Column]:
    """Return the embeddings of a dataset by name.

    Of two columns with one name the later counts: the earlier was about to be dropped when its
    writer was killed.
    """
    found = {}
    for field in dataset.schema:
        text = (field.metadata or {}).get(KEY.encode())
        if text is not None:
            data = json.loads(text)
            name = data.pop("name")
            found[name] = Column(field.name, EmbeddingInfo(**data))
    return found


def find(dataset: "lance.LanceDataset", name: str) -> Column:
    """Return one embedding's column.

    Raises
    ------
    CollectionError
        If there is none of this name; the message lists those there are.
    """
    columns = columns_of(dataset)
    if name not in columns:
        raise CollectionError(
            f"there is no embedding {name!r} in this collection; "
            f"there is {', '.join(columns) or 'none yet'}; make one with: hilum embed"
        )
    return columns[name]


def as_matrix(vectors: "pa.ChunkedArray", dim: int) -> Present:
    """Return which rows have a vector, (n,), and those vectors, (n_present, dim)."""
    present = np.asarray(vectors.is_valid().to_numpy())
    flat = [chunk.drop_null().flatten().to_numpy() for chunk in vectors.chunks]
    matrix = np.concatenate(flat) if flat else np.empty(0, np.float32)
    return present, matrix.reshape(-1, dim).astype(np.float32, copy=False)


def scan(
    dataset: "lance.LanceDataset", column: Column, keep: str | None
) -> Iterator[tuple[list[str], NDArray[np.bool_], Vectors]]:
    """Yield ids, which of them have a vector, (n,), and those vectors, (n_present, dim)."""
    scanner = dataset.scanner(
        columns=["image_id", column.name], filter=keep, batch_size=_SCAN_ROWS,
        io_buffer_size=_SCAN_BYTES,
    )  # fmt: skip
    for batch in scanner.to_batches():
        chunk = pa.chunked_array([batch.column(column.name)])
        yield batch.column("image_id").to_pylist(), *as_matrix(chunk, column.info.dim)


def count(dataset: "lance.LanceDataset", column: Column, keep: str | None) -> int:
    """Return how many rows have a vector."""
    has = f"`{column.name}` IS NOT NULL"
    scanner = dataset.scanner(
        columns=[], with_row_id=True, filter=f"({keep}) AND {has}" if keep else has,
        batch_size=_SCAN_ROWS, io_buffer_size=_SCAN_BYTES,
    )  # fmt: skip
    return int(scanner.count_rows())


def incomplete(name: str, missing: int, images: int) -> str:
    """Say that images have no vector, and what to do."""
    return (
        f"{missing} of {images} images have no vector in embedding {name!r}; run hilum embed "
        "again with the same encoder to fill them in"
    )


# --------------------------------------------------------------------------- work in progress


def _partial_uri(uri: str, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        raise UsageError(
            f"{name!r} cannot name an embedding: use a letter, then letters, digits, - and _"
        )
    return f"{uri}/_partial/{name}.lance"


def _open_partial(uri: str, name: str, info: EmbeddingInfo) -> "lance.LanceDataset | None":
    """Return the unfinished work of this encoder; that of another counts for nothing."""
    partial = open_if_there(_partial_uri(uri, name))
    same = partial is not None and partial.schema.metadata == _vector_schema(info).metadata
    return partial if same else None


def _keep(uri: str, name: str, info: EmbeddingInfo, table: pa.Table) -> None:
    path = _partial_uri(uri, name)
    if open_if_there(path) is not None and _open_partial(uri, name, info) is None:
        lance.LanceDataset.drop(path)
    lance.write_dataset(table, path, mode="create" if open_if_there(path) is None else "append")


def _vector_schema(info: EmbeddingInfo) -> pa.Schema:
    fields = [("image_id", pa.string()), ("vector", pa.list_(pa.float32(), info.dim))]
    return pa.schema(fields, metadata={KEY: json.dumps(asdict(info))})


def finished_ids(
    uri: str, dataset: "lance.LanceDataset", name: str, info: EmbeddingInfo, *, overwrite: bool
) -> pl.Series:
    """Return the images that need no work: in the column, or among a killed job's batches.

    Raises
    ------
    CollectionError
        If the embedding was made by another encoder, and is not to be overwritten.
    """
    column = _reusable(dataset, name, info, overwrite=overwrite)
    done = _ids(dataset, f"`{column}` IS NOT NULL" if column else "false")
    partial = _open_partial(uri, name, info)
    return done if partial is None else done.append(_ids(partial))


def _ids(dataset: "lance.LanceDataset", keep: str | None = None) -> pl.Series:
    """Return image ids, in row order, as polars keeps them: no object for each."""
    scanner = dataset.scanner(
        columns=["image_id"], filter=keep, batch_size=_SCAN_ROWS, io_buffer_size=_SCAN_BYTES
    )  # fmt: skip
    return pl.Series("image_id", scanner.to_table()["image_id"], dtype=pl.String)


def _reusable(
    dataset: "lance.LanceDataset", name: str, info: EmbeddingInfo, *, overwrite: bool
) -> str | None:
    column = columns_of(dataset).get(name)
    if column is None:
        return None
    if (column.info.fingerprint, column.info.dim) == (info.fingerprint, info.dim):
        return column.name
    if overwrite:
        return None
    raise CollectionError(
        f"embedding {name!r} was made by {column.info.encoder} (fingerprint "
        f"{column.info.fingerprint[:12]}, {column.info.dim} numbers), not by {info.encoder} "
        f"({info.fingerprint[:12]}, {info.dim}); choose another name, or overwrite it"
    )


# --------------------------------------------------------------------------- writing


def write(
    uri: str, name: str, batches: Iterable[Batch], info: EmbeddingInfo, *, overwrite: bool
) -> None:
    """Take vectors as they come, keep them safe, and make one column of them at the end.

    Memory is bounded by one flush (64 MiB or two seconds of work), and by the ids.

    Raises
    ------
    UsageError
        If the name cannot be one.
    CollectionError
        If another encoder has the name and it is not to be overwritten, another process writes,
        or a batch is not finite float32 vectors of known images.
    """
    _partial_uri(uri, name)  # refuses a name that cannot be one, before any work
    with writer(uri):
        dataset = open_dataset(uri)
        old = _reusable(dataset, name, info, overwrite=overwrite)
        known = np.sort(_ids(dataset).hash().to_numpy())
        for table in _flushes(batches, info, known):
            _keep(uri, name, info, table)
        partial = _open_partial(uri, name, info)
        if partial is not None:
            _add_column(dataset, name, info, partial, old)
        superseded = set(_columns_named(dataset, name)) - {find(dataset, name).name}
        if superseded:
            dataset.drop_columns(sorted(superseded))
        if partial is not None:
            lance.LanceDataset.drop(_partial_uri(uri, name))


def drop(uri: str, name: str) -> None:
    """Remove an embedding.

    Raises
    ------
    CollectionError
        If there is none of this name.
    """
    with writer(uri):
        dataset = open_dataset(uri)
        find(dataset, name)
        dataset.drop_columns(_columns_named(dataset, name))


def _flushes(batches: Iterable[Batch], info: EmbeddingInfo, known: Hashes) -> Iterator[pa.Table]:
    held: list[Batch] = []
    last = time.monotonic()
    for ids, vectors in batches:
        _check(ids, vectors, info, known)
        held.append((ids, vectors))
        size = sum(part.nbytes for _, part in held)
        if size >= _FLUSH_BYTES or time.monotonic() - last >= FLUSH_SECONDS:
            yield _as_table(held, info)
            held, last = [], time.monotonic()
    if held:
        yield _as_table(held, info)


def _check(ids: Sequence[str], vectors: Vectors, info: EmbeddingInfo, known: Hashes) -> None:
    if vectors.shape != (len(ids), info.dim) or vectors.dtype != np.float32:
        raise CollectionError(
            f"expected float32 vectors of shape ({len(ids)}, {info.dim}) for {len(ids)} images, "
            f"got {vectors.dtype} of shape {vectors.shape}"
        )
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if broken.size:
        bad = [ids[row] for row in broken.tolist()]
        raise CollectionError(
            f"the vectors of {len(bad)} of {len(ids)} images are not finite, the first is "
            f"{bad[0]!r}; the encoder's weights or precision are at fault"
        )
    hashes = pl.Series(ids, dtype=pl.String).hash().to_numpy()
    strange = np.searchsorted(known, hashes, "left") == np.searchsorted(known, hashes, "right")
    if strange.any():
        raise CollectionError(f"{ids[int(strange.argmax())]!r} is not an image of this collection")


def _as_table(held: list[Batch], info: EmbeddingInfo) -> pa.Table:
    ids = pa.array(chain.from_iterable(ids for ids, _ in held), pa.string())
    flat = np.concatenate([vectors for _, vectors in held]).reshape(-1)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat), info.dim)
    return pa.Table.from_arrays([ids, vectors], schema=_vector_schema(info))


def _columns_named(dataset: "lance.LanceDataset", name: str) -> list[str]:
    return [
        field.name
        for field in dataset.schema
        if json.loads((field.metadata or {}).get(KEY.encode(), b"{}")).get("name") == name
    ]


def _add_column(
    dataset: "lance.LanceDataset",
    name: str,
    info: EmbeddingInfo,
    partial: "lance.LanceDataset",
    old: str | None,
) -> None:
    taken = {*dataset.schema.names, *FIXED_COLUMNS}
    wanted = f"embedding_{name}"
    column = wanted if wanted not in taken else f"{wanted}_{dataset.version}"
    metadata = {KEY: json.dumps({"name": name, **asdict(info)})}
    field = pa.field(column, pa.list_(pa.float32(), info.dim), metadata=metadata)
    target = pa.schema([field])
    places = _places(dataset, partial)  # read now: while columns are added the dataset is borrowed
    parts = _merged(places, partial, _old_vectors(dataset.uri, old, info.dim, len(places)))
    merged = (pa.record_batch([part], schema=target) for part in parts)
    dataset.add_columns(pa.RecordBatchReader.from_batches(target, merged))


def _merged(
    places: NDArray[np.int64], partial: "lance.LanceDataset", old: Iterable[Present]
) -> Iterator["pa.FixedSizeListArray"]:
    """Yield the column in row order: a new vector, else the old one, else null."""
    start = 0
    for present, vectors in old:
        here = places[start : start + len(present)]
        start += len(present)
        dim = vectors.shape[1]
        out = np.zeros((len(present), dim), dtype=np.float32)
        out[present] = vectors
        new = np.flatnonzero(here >= 0)
        if new.size:
            taken = partial.take(here[new].tolist(), columns=["vector"])
            out[new] = as_matrix(taken["vector"], dim)[1]
        flat = pa.array(out.reshape(-1))
        missing = ~present & (here < 0)
        yield pa.FixedSizeListArray.from_arrays(flat, dim, mask=pa.array(missing))


def _places(dataset: "lance.LanceDataset", partial: "lance.LanceDataset") -> NDArray[np.int64]:
    """Return, for each row of a dataset, where the new vectors have its own; -1: they have none."""
    theirs = _ids(partial).to_frame().with_row_index("place")
    found = _ids(dataset).to_frame().join(
        theirs.unique("image_id", keep="last"), on="image_id", how="left", maintain_order="left"
    )  # fmt: skip
    return found["place"].cast(pl.Int64).fill_null(-1).to_numpy()


def _old_vectors(uri: str, column: str | None, dim: int, rows: int) -> Iterator[Present]:
    """Yield what rows have in a column, in order; without a column none has a vector."""
    if column is None:
        for start in range(0, rows, _MERGE_ROWS):
            none = np.zeros(min(_MERGE_ROWS, rows - start), dtype=bool)
            yield none, np.empty((0, dim), np.float32)
        return
    scanner = lance.dataset(uri).scanner(
        columns=[column], batch_size=_MERGE_ROWS, io_buffer_size=_SCAN_BYTES
    )  # fmt: skip
    for batch in scanner.to_batches():
        yield as_matrix(pa.chunked_array([batch.column(column)]), dim)
