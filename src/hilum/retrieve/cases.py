"""The images nearest to a query, exactly: every vector is compared, some at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hilum.errors import UsageError

if TYPE_CHECKING:
    from hilum.collection import Collection

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Batches = Iterable[tuple[Sequence[str], Vectors]]


@dataclass(frozen=True, eq=False)
class Cases:
    """Images, nearest first.

    Parameters
    ----------
    ids : (k,)
        Which.
    scores : (k,)
        Their cosines with the query.
    """

    ids: tuple[str, ...]
    scores: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """1 for the nearest, (k,)."""
        return np.arange(1, len(self) + 1)

    def table(self) -> pl.DataFrame:
        """Return them as columns rank, image_id and score."""
        return pl.DataFrame({"rank": self.ranks, "image_id": self.ids, "score": self.scores})

    def save(self, path: str | Path) -> Path:
        """Write them as CSV; the file appears complete or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        self.table().write_csv(unfinished)
        return unfinished.replace(path)


def among(collection: "Collection", where: str | None) -> "Collection":
    """Return the images that fulfil a condition; UsageError if there are none."""
    view = collection if where is None else collection.where(where)
    if not len(view):
        raise UsageError(
            "the collection has no images"
            if where is None
            else f"no image of the collection fulfils {where!r}"
        )
    return view


def nearest(batches: Batches, query: NDArray[np.floating], k: int) -> Cases:
    """Keep the k vectors with the highest product with a query.

    Parameters
    ----------
    batches
        Ids and their vectors (n, dim), of length 1.
    query : (dim,)
        Of length 1.
    k
        How many.
    """
    ids: list[str] = []
    scores = np.empty(0)
    wanted = query.astype(np.float64)
    for images, vectors in batches:
        ids += images
        scores = np.concatenate([scores, vectors @ wanted])
        best = np.argsort(-scores, kind="stable")[:k]
        ids, scores = [ids[at] for at in best], scores[best]
    return Cases(tuple(ids), scores)
