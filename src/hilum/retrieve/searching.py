"""Who answers a query: every vector compared, or the index of the embedding.

The index names candidates, several times as many as are wanted; their vectors are compared exactly
as all of them would be, so scores and order are the same and only a candidate that the index does
not name can be missing. If it names too few, every vector is compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hilum.collection import indexing
from hilum.collection.vectors import as_matrix, incomplete
from hilum.errors import CollectionError, UsageError
from hilum.retrieve.cases import Batches, Cases, Vectors, nearest

if TYPE_CHECKING:
    from hilum.collection import Collection

Index = Literal["auto", "exact", "ann"]
INDEXES: Final = ("auto", "exact", "ann")

ANN_FROM: Final = 200_000
"""Images from which ``auto`` takes an index: comparing every vector is quick below."""

PROBES: Final = 32  # partitions looked into, of about 2,048 vectors each
_TIMES, _MORE = 4, 64  # candidates: so many times k, and at least so many more than k
_LEAST: Final = np.float32(1e-12)  # a vector shorter than this has no direction


@dataclass(frozen=True)
class Aside:
    """Images that may not be found: those with a value in a column.

    Parameters
    ----------
    column
        ``"image_id"`` or ``"patient_id"``.
    value
        The query's.
    """

    column: str
    value: str

    def without(self, view: "Collection") -> "Collection":
        """Return the images of a view that may be found; UsageError if there are none."""
        quoted = self.value.replace("'", "''")
        left = view.where(f"{self.column} <> '{quoted}'")
        if not len(left):
            raise UsageError(
                "no image is left to be found once the query "
                + ("is left out" if self.column == "image_id" else "and its patient are left out")
            )
        return left


def answer(
    view: "Collection", embedding: str, vector: Vectors, k: int, aside: Aside | None, index: Index
) -> Cases:
    """Return the k images of a view nearest to a vector of length 1, all but those set aside.

    Raises
    ------
    UsageError
        If an index is asked for and there is none, or no image is left.
    CollectionError
        If there is no such embedding, or images have no vector.
    """
    method, why = _choose(view, embedding, index)
    if method == "ann":
        found = _by_index(view, embedding, vector, k, aside)
        if len(found) >= k:
            return replace(found, method="ann", why=why)
        why = f"the index names {len(found)} images, fewer than were asked for"
    left = view if aside is None else aside.without(view)
    return replace(nearest(_directions(left.vector_batches(embedding)), vector, k), why=why)


def _choose(view: "Collection", embedding: str, index: Index) -> tuple[str, str]:
    """Return who answers, and why."""
    if index not in INDEXES:
        raise UsageError(f"{index!r} is not a way to search; choose from {', '.join(INDEXES)}")
    if index == "exact":
        return "exact", "asked for"
    there = indexing.state(view.dataset, embedding)
    if index == "ann":
        if there is None or there.lost:
            fault = "has no index" if there is None else f"has lost its index: {there.stale()}"
            raise UsageError(
                f"embedding {embedding!r} {fault}; make one with: hilum index {view.uri} "
                f"--embedding {embedding}"
            )
        return "ann", there.stale() or "asked for"
    rows = int(view.dataset.count_rows())
    if rows < ANN_FROM:
        return "exact", f"{rows:,} images, fewer than {ANN_FROM:,}, are quickly compared"
    if there is None or there.lost:
        gone = "there is no index; hilum index makes one" if there is None else there.stale()
        return "exact", gone
    return "ann", there.stale() or f"{rows:,} images and an index"


def _by_index(
    view: "Collection", embedding: str, vector: Vectors, k: int, aside: Aside | None
) -> Cases:
    there = indexing.state(view.dataset, embedding)
    if there is not None and not there.complete:
        check_there(view, embedding)
    columns = [aside.column] if aside is not None and aside.column != "image_id" else []
    named = indexing.search(
        view.dataset, embedding, vector, max(_TIMES * k, k + _MORE), view.condition, PROBES, columns
    ).sort_by("_rowaddr")
    if aside is not None:
        may = np.array([value != aside.value for value in named[aside.column].to_pylist()], bool)
        named = named.filter(may)
    _, vectors = as_matrix(named["vector"], len(vector))
    return nearest([(named["image_id"].to_pylist(), unit(vectors))], vector, k)


def check_there(view: "Collection", embedding: str) -> None:
    """Raise CollectionError if images of a view have no vector."""
    if missing := len(view) - view.count_vectors(embedding):
        raise CollectionError(incomplete(embedding, missing, len(view)))


def _directions(batches: Batches) -> Iterator[tuple[list[str], Vectors]]:
    for ids, vectors in batches:
        yield list(ids), unit(vectors)


def unit(vectors: NDArray[np.float32]) -> Vectors:
    """Return vectors (n, dim) at length 1; those of length 0 stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: Vectors = vectors / np.maximum(lengths, _LEAST)
    return directions
