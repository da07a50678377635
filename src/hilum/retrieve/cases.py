"""The images nearest to a query, among vectors that come some at a time: every one is compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.files import replacing

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
    query
        What was looked for: an id of the collection, the pixels of a file as the collection would
        hold them, or None for a text.
    method, why
        ``"exact"`` if every vector was compared, ``"ann"`` if an index answered; and why.
    wanted
        How many were asked for; more than were found if there were no more.
    """

    ids: tuple[str, ...]
    scores: Floats
    query: str | NDArray[np.uint8] | None = None
    method: str = "exact"
    why: str = ""
    wanted: int = 0

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
        with replacing(path) as temporary:
            self.table().write_csv(temporary)
        return path


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
    wanted, rough = query.astype(np.float64), query.astype(np.float32)
    slack = 4 * len(query) * np.finfo(np.float32).eps  # more than single precision can be wrong by
    for images, vectors in batches:
        # single precision says which cannot be among the first; double precision orders the rest
        least = scores[k - 1] - slack if len(scores) >= k else -np.inf
        may = np.flatnonzero(vectors @ rough >= least)
        ids += [images[row] for row in may.tolist()]
        scores = np.concatenate([scores, vectors[may] @ wanted])
        best = np.argsort(-scores, kind="stable")[:k]
        ids, scores = [ids[at] for at in best], scores[best]
    return Cases(tuple(ids), scores)
