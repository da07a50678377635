"""The collection: every image of a study, its labels, its pixels and its embeddings, by id.

A `Collection` is a view: one version of the dataset and a filter. It never changes; work that
adds to a collection returns a new view of the new version.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from hilum.collection import store, vectors
from hilum.collection.splits import SPLITS
from hilum.collection.sql import first_sentence, quote_names
from hilum.collection.vectors import Batch, EmbeddingInfo, Vectors
from hilum.decoding import unpack
from hilum.errors import CollectionError
from hilum.findings import Policy, apply_policy, canonical
from hilum.tables import Table

if TYPE_CHECKING:
    import lance

Rows = NDArray[np.int64]

_READ_AT_ONCE = 64  # images in one request: few enough that they stay in the processor's cache
_READ_AT_ONCE_FAR = 512  # ... from an object store, where each request takes long


def open_collection(uri: str | Path, version: int | None = None) -> "Collection":
    """Open a collection.

    Parameters
    ----------
    uri
        A folder, or the address of one in an object store.
    version
        An earlier version; the latest if None.

    Raises
    ------
    CollectionError
        If there is no collection, or no such version.
    """
    return Collection(str(uri), store.open_dataset(str(uri), version))


class Collection:
    """A view of the images of a collection: all of them, or those that a filter keeps.

    Rows are in the order of ingest. `rows` arguments and results are positions within the view.

    Parameters
    ----------
    uri
        Where it is.
    dataset
        One version of it, open.
    keep
        SQL that says which rows the view has; all if None. `where` checks it.
    """

    def __init__(
        self, uri: str, dataset: "lance.LanceDataset", keep: str | None = None
    ) -> None:  # fmt: skip
        self.uri = uri
        self._dataset = dataset
        self._keep = keep

    def __repr__(self) -> str:
        rows = f"{len(self)} images" + (f" where {self._keep}" if self._keep else "")
        return f"<Collection {self.uri} version {self.version}: {rows}>"

    def __len__(self) -> int:
        return int(self._dataset.count_rows(filter=self._keep))

    # ------------------------------------------------------------------ what is true of it

    @cached_property
    def settings(self) -> store.Settings:
        """What is true of the whole collection."""
        return store.settings_of(self._dataset)

    @property
    def size(self) -> int:
        """Side of the stored images in pixels; 0 if the collection holds the table alone."""
        return self.settings.size

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the label columns."""
        return self.settings.findings

    @property
    def sources(self) -> tuple[store.SourceEntry, ...]:
        """Where the images came from."""
        return self.settings.sources

    @property
    def version(self) -> int:
        """The number of the version that this view reads."""
        return int(self._dataset.version)

    @property
    def condition(self) -> str | None:
        """The SQL that says which images the view has, as `where` reads it; None for all."""
        return self._keep

    @property
    def dataset(self) -> "lance.LanceDataset":
        """The Lance dataset of this version, with all its rows, whatever the view keeps."""
        return self._dataset

    @cached_property
    def embeddings(self) -> dict[str, EmbeddingInfo]:
        """The embeddings by name."""
        return {name: column.info for name, column in vectors.columns_of(self._dataset).items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `table` and `where` know: all but pixels and embeddings."""
        hidden = {"pixels", *(c.name for c in vectors.columns_of(self._dataset).values())}
        return tuple(name for name in self._dataset.schema.names if name not in hidden)

    def quarantine(self) -> pl.DataFrame:
        """Return the files that could not be read: image_id, source, file, reason, message."""
        return _to_polars(store.read_quarantine(self.uri))

    # ------------------------------------------------------------------ views

    def where(self, sql: str) -> "Collection":
        """Return the images of this view for which an SQL condition is true.

        Parameters
        ----------
        sql
            Such as ``"split = 'train' AND age >= 18 AND Pleural Effusion = 1"``. Column names are
            matched without regard to case; those with spaces may be written plainly, in double
            quotes or in backticks. Unknown values are null: ``"Edema IS NULL"``.

        Raises
        ------
        CollectionError
            If the condition cannot be evaluated; the message lists the columns.
        """
        quoted = quote_names(sql, self.columns)
        keep = f"({self._keep}) AND ({quoted})" if self._keep else f"({quoted})"
        try:
            self._dataset.scanner(columns=["image_id"], filter=keep, limit=1).to_table()
        except (ValueError, OSError) as error:
            raise CollectionError(
                f"cannot filter by {sql!r}: {first_sentence(error)}; "
                f"the columns are {', '.join(self.columns)}"
            ) from error
        return Collection(self.uri, self._dataset, keep)

    # ------------------------------------------------------------------ rows

    def ids(self) -> tuple[str, ...]:
        """Return the image ids, in row order."""
        return tuple(self._scan(["image_id"])["image_id"].to_pylist())

    def table(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return columns of the table, in row order; by default all of `columns`.

        Raises
        ------
        CollectionError
            If there is no such column. Pixels and embeddings have methods of their own.
        """
        wanted = list(self.columns if columns is None else columns)
        for name in wanted:
            if name not in self.columns:
                raise CollectionError(
                    f"there is no column {name!r} in the table; there are "
                    f"{', '.join(self.columns)} (pixels() and vectors() give the arrays)"
                )
        return _to_polars(self._scan(wanted))

    def labels(
        self,
        split: str | None = None,
        findings: Sequence[str] | None = None,
        policy: Policy = "keep",
    ) -> Table:
        """Return the labels of the view as a table, with the patients beside them.

        Parameters
        ----------
        split
            ``"train"``, ``"val"`` or ``"test"``; None takes every image of the view.
        findings
            In any spelling; all if None.
        policy
            What uncertain labels count as (`hilum.findings.apply_policy`).

        Returns
        -------
        Values 1, 0, -1 or NaN (unknown); `extra` holds `patient_id`.

        Raises
        ------
        CollectionError
            If there is no such split or finding.
        """
        if split is not None and split not in SPLITS:
            raise CollectionError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        view = self if split is None else self.where(f"split = '{split}'")
        names = self.findings if findings is None else tuple(map(self._finding, findings))
        frame = view.table(["image_id", "patient_id", *names])
        unknown_as_nan = frame.select(pl.col(names).cast(pl.Float32).fill_null(np.nan))
        values = unknown_as_nan.to_numpy() if names else np.empty((frame.height, 0))
        return Table(
            ids=tuple(frame["image_id"]),
            findings=names,
            values=apply_policy(values, policy).astype(np.float64),
            extra={"patient_id": tuple(frame["patient_id"])},
        )

    def boxes(self) -> pl.DataFrame:
        """Return the boxes: image_id, finding, x, y, w, h, in pixels of the original file.

        `Geometry.boxes_to_square` brings them into the stored image.
        """
        frame = self.table(["image_id", "boxes"]).filter(pl.col("boxes").list.len() > 0)
        return frame.explode("boxes").unnest("boxes")

    def _finding(self, name: str) -> str:
        for known in (name, canonical(name) or name):
            if known in self.findings:
                return known
        raise CollectionError(
            f"there is no finding {name!r} in this collection; there are {', '.join(self.findings)}"
        )

    # ------------------------------------------------------------------ pixels

    def pixels(self, rows: Sequence[int] | NDArray[np.integer] | None = None) -> NDArray[np.uint8]:
        """Return stored images, all at once.

        Parameters
        ----------
        rows : (n,)
            Positions within this view, in any order; all if None.

        Returns
        -------
        (n, size, size) uint8; (n, size, size, 3) of a collection in colour

        Raises
        ------
        CollectionError
            If the collection holds the table alone.
        IndexError
            If a position is outside the view.
        """
        if not self.size:
            raise CollectionError(
                f"{self.uri}: was made with --no-pixels and has no images; "
                "ingest the source into a new collection without that option"
            )
        chosen = self._offsets if rows is None else self._offsets[np.asarray(rows, dtype=np.int64)]
        images = np.empty((len(chosen), *self.settings.image_shape), dtype=np.uint8)
        step = _READ_AT_ONCE if store.is_local(self.uri) else _READ_AT_ONCE_FAR
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            packed = self._dataset.take(part.tolist(), columns=["pixels"])["pixels"]
            buffers = [value.as_buffer() for value in packed]
            unpack(buffers, images[start : start + len(part)])
        return images

    def pixel_batches(self, batch_size: int = 256) -> Iterator[tuple[Rows, NDArray[np.uint8]]]:
        """Yield positions (n,) and images (n, size, size) in row order, one batch in memory."""
        for start in range(0, len(self._offsets), batch_size):
            rows = np.arange(start, min(start + batch_size, len(self._offsets)), dtype=np.int64)
            yield rows, self.pixels(rows)

    @cached_property
    def _offsets(self) -> Rows:
        """Positions in the dataset of the rows of the view."""
        if self._keep is None:
            return np.arange(len(self), dtype=np.int64)
        return np.asarray(self._scan(["_rowoffset"])["_rowoffset"].to_numpy(), dtype=np.int64)

    # ------------------------------------------------------------------ embeddings

    def vectors(self, name: str) -> tuple[tuple[str, ...], Vectors]:
        """Return the ids and the vectors, (n, dim) float32, of one embedding, in row order.

        Raises
        ------
        CollectionError
            If there is no such embedding, or images of this view have no vector yet.
        """
        column = vectors.find(self._dataset, name)
        matrix = np.empty((len(self), column.info.dim), np.float32)
        ids: list[str] = []
        missing = 0
        # small batches into one array: a table first and a copy of it after would be twice as much
        for images, present, part in vectors.scan(self._dataset, column, self._keep):
            matrix[len(ids) : len(ids) + len(images)][present] = part
            missing += int((~present).sum())
            ids += images
        if missing:
            raise CollectionError(vectors.incomplete(name, missing, len(ids)))
        return tuple(ids), matrix

    def vector_batches(self, name: str) -> Iterator[Batch]:
        """Yield ids and vectors, (n, dim) float32, of one embedding in row order, some at a time.

        Raises
        ------
        CollectionError
            As `vectors`, before the first vectors.
        """
        column = vectors.find(self._dataset, name)
        if missing := len(self) - self.count_vectors(name):
            raise CollectionError(vectors.incomplete(name, missing, len(self)))
        for ids, _, part in vectors.scan(self._dataset, column, self._keep):
            yield ids, part

    def count_vectors(self, name: str) -> int:
        """Return how many images of this view have a vector in an embedding."""
        return vectors.count(self._dataset, vectors.find(self._dataset, name), self._keep)

    def without_vector(self, name: str, info: EmbeddingInfo, *, overwrite: bool = False) -> Rows:
        """Return the positions of the images that this encoder still has to embed.

        Vectors that a killed job finished count as done, see `add_embedding`.

        Raises
        ------
        CollectionError
            If another encoder made this embedding, and it is not to be overwritten.
        """
        done = vectors.finished_ids(self.uri, self._dataset, name, info, overwrite=overwrite)
        return np.flatnonzero(~self.table(["image_id"]).to_series().is_in(done.implode()))

    def add_embedding(
        self, name: str, batches: Iterable[Batch], info: EmbeddingInfo, *, overwrite: bool = False
    ) -> "Collection":
        """Add vectors for images, or fill in those that are missing, as one new version.

        Batches are kept on disk as they come, so the work of a killed job is not lost: ask
        `without_vector` what is left, and pass batches for that.

        Parameters
        ----------
        name
            Of the embedding: a letter, then letters, digits, ``-`` and ``_``.
        batches
            Pairs of n ids and (n, dim) float32 vectors; may be computed while it is consumed.
        info
            The encoder. Rows added to the collection later are filled in under the same name by
            an encoder with the same fingerprint.
        overwrite
            Replace another encoder's embedding of this name.

        Returns
        -------
        This view of the new version.

        Raises
        ------
        UsageError
            If the name cannot be one.
        CollectionError
            If another encoder has the name, another process is writing to the collection, or a
            batch does not hold finite vectors of known images.
        """
        vectors.write(self.uri, name, batches, info, overwrite=overwrite)
        return self._latest()

    def drop_embedding(self, name: str) -> "Collection":
        """Remove an embedding; return this view of the new version.

        Raises
        ------
        CollectionError
            If there is none of this name.
        """
        vectors.drop(self.uri, name)
        return self._latest()

    def _latest(self) -> "Collection":
        return Collection(self.uri, store.open_dataset(self.uri), self._keep)

    def _scan(self, columns: list[str]) -> pa.Table:
        return self._dataset.scanner(columns=columns, filter=self._keep).to_table()


def _to_polars(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
