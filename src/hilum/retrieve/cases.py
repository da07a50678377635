"""The images nearest to a query, exactly: every vector is compared, some at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.zeroshot.sentences import encode_sentences, pair_from

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.encoders import PairEncoder

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]


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


def retrieve(
    collection: "Collection",
    embedding: str,
    *,
    text: str,
    encoder: "PairEncoder | str | Path",
    k: int = 10,
    where: str | None = None,
    device: str = "auto",
) -> Cases:
    """Find the images of a collection that a sentence describes best.

    Parameters
    ----------
    collection
        Where the images are.
    embedding
        The name of their vectors, made by the image side of `encoder`.
    text
        What to look for.
    encoder
        A pair of encoders, or what `load_encoder` takes.
    k
        How many images; fewer if there are fewer.
    where
        SQL: only among images that fulfil it.
    device
        ``auto``, ``cpu`` or ``cuda``, for an encoder that is loaded here.

    Returns
    -------
    The nearest first; of equally near images the first of the collection.

    Raises
    ------
    UsageError
        If the text is empty or longer than the encoder reads, `k` is below 1, no image fulfils
        `where`, or the embedding is another encoder's.
    WeightsError
        If the encoder cannot be loaded, or reads images alone.
    CollectionError
        If there is no such embedding, images have no vector, or `where` cannot be evaluated.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1; got {k}")
    if not text.strip():
        raise UsageError("the text is empty: what is to be looked for?")
    view = among(collection, where)
    pair = pair_from(encoder, device)
    batches = view.vector_batches(embedding)
    check_same_space(view, embedding, pair)
    return nearest(batches, encode_sentences(pair, [text])[0], k)


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


def check_same_space(collection: "Collection", embedding: str, pair: "PairEncoder") -> None:
    """Raise UsageError unless an embedding was made by the image side of this pair."""
    info = collection.embeddings.get(embedding)
    if info is not None and info.fingerprint != pair.fingerprint:
        raise UsageError(
            f"embedding {embedding!r} was made by {info.encoder} (fingerprint "
            f"{info.fingerprint[:12]}), not by the image side of this encoder, "
            f"{pair.spec.architecture} ({pair.fingerprint[:12]}): images and texts would lie in "
            "different spaces. Make one with: hilum embed, with the same encoder"
        )


def nearest(
    batches: Iterable[tuple[Sequence[str], Vectors]], query: NDArray[np.floating], k: int
) -> Cases:
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
