"""From a few labels and an embedding to scores for every other image of a collection.

The methods are in `hilum.predictors`; here labels meet vectors, by id.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError, UsageError
from hilum.findings import Policy
from hilum.predictors import METHODS
from hilum.tables import Table, label_values, read_table


class HasVectors(Protocol):
    """Anything with named embeddings; a `hilum.Collection`."""

    def vectors(self, name: str) -> tuple[Sequence[str], NDArray[np.float32]]:
        """Return ids and their vectors (n_images, dim)."""


def classify(
    collection: HasVectors,
    embedding: str,
    labels: Table | str | Path,
    method: str = "cosine",
    *,
    policy: Policy = "ignore",
    seed: int = 0,
) -> Table:
    """Score every image of a collection that is not labelled.

    Parameters
    ----------
    collection
        Where the embedding is.
    embedding
        Its name.
    labels
        A label table, or its CSV file.
    method
        A key of `METHODS`.
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.
    seed
        Of the probe's folds; the other methods draw nothing.

    Returns
    -------
    Scores of the images that have no usable label for any finding, in the collection's order.
    A finding without enough labels is a column of NaN; `Table.notes` says why.

    Raises
    ------
    TableError
        If a labelled id is not in the collection, or a label is not 1, 0, -1 or unknown.
    UsageError
        If there is no such method or policy, or an embedding cannot be used.
    """
    if method not in METHODS:
        raise UsageError(f"{method!r} is not a method; choose from {', '.join(METHODS)}")
    if policy == "keep":
        raise UsageError("choose what an uncertain label counts as: ignore, positive or negative")
    table = labels if isinstance(labels, Table) else read_table(labels)
    target = label_values(table, policy)
    ids, vectors = collection.vectors(embedding)
    rows = _rows_of(table.ids, ids)
    usable = ~np.isnan(target).all(axis=1)
    rest = np.ones(len(ids), dtype=np.bool_)
    rest[rows[usable]] = False
    options = {"seed": seed} if method == "probe" else {}
    # the few labelled images are scored with the others and dropped: `vectors[rest]` would be
    # a second copy of an embedding that may be most of the memory
    found = METHODS[method](vectors, vectors[rows[usable]], target[usable], **options)
    notes = {table.findings[column]: text for column, text in found.notes.items()}
    kept = tuple(image for image, other in zip(ids, rest, strict=True) if other)
    return Table(kept, table.findings, found.scores[rest], notes=notes)


def _rows_of(wanted: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    place = {image: row for row, image in enumerate(ids)}
    unknown = [image for image in wanted if image not in place]
    if unknown:
        raise TableError(
            f"{len(unknown)} of {len(wanted)} labelled ids are not in the collection, the first "
            f"is {unknown[0]!r}; are the labels of this collection?"
        )
    return np.array([place[image] for image in wanted], dtype=np.int64)
