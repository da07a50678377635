"""An index of an embedding: Lance's inverted lists, so that a search need not compare every vector.

Vectors are put into partitions round centres that `_centres` finds, and each is kept there as a
code of 5 bits a number (RaBitQ: Gao and Long, SIGMOD 2024). A search compares the codes in the
partitions nearest to the query; who asked compares the vectors of the best of them exactly. The
index belongs to the column: if vectors are written anew, it is gone, and `state` says so.

It is written in parts of `PART` rows, round the same centres and turned by the same rotation, then
merged and committed as one: so the work can say how far it is, and takes little memory.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hilum.collection import vectors
from hilum.collection.store import open_dataset, writer
from hilum.errors import CollectionError, UsageError
from hilum.progress import Progress, silent

if TYPE_CHECKING:
    import lance

PART: Final = 1 << 17
"""Rows of which codes are written at once, unless one data file holds more."""

ROWS_EACH: Final = 2048  # of a partition, on average, where the number is not given
_SAMPLE: Final = 64  # vectors for each centre to be found with
_BITS: Final = 5
_DIVISOR: Final = 8  # of the length of a vector: Lance makes codes of no other
_IDS: Final = "ids of images"  # a name that no embedding can have
_AGAIN: Final = "make it again with: hilum index"


@dataclass(frozen=True)
class IndexState:
    """An index, and how much of the embedding it still covers.

    Parameters
    ----------
    embedding
        Of which embedding.
    partitions
        Into how many the vectors are put.
    seed
        Of the sample that the centres were found with.
    missing
        Images that had no vector when it was made.
    rows, covered
        Images there are, and images that are in it; those that are not are compared one by one.
    lost
        Whether it is gone, because the vectors were written anew.
    """

    embedding: str
    partitions: int
    seed: int
    missing: int
    rows: int
    covered: int
    lost: bool = False

    @property
    def fresh(self) -> bool:
        """Whether every image is in it."""
        return not self.lost and self.covered == self.rows

    @property
    def complete(self) -> bool:
        """Whether every image is in it and has a vector, so that nobody needs to count."""
        return self.fresh and not self.missing

    def stale(self) -> str:
        """Say what has changed since it was made, and what to do; "" where nothing has."""
        if self.lost:
            return f"the vectors were written anew since the index was made; {_AGAIN}"
        if not self.fresh:
            more = self.rows - self.covered
            return f"{more:,} of {self.rows:,} images came after the index was made; {_AGAIN}"
        return ""


def state(dataset: "lance.LanceDataset", name: str) -> IndexState | None:
    """Return what there is of an embedding's index, or None if none was ever made.

    Raises
    ------
    CollectionError
        If there is no such embedding.
    """
    column = vectors.find(dataset, name)
    text = dataset.config().get(_key(name))
    if text is None:
        return None
    rows = int(dataset.count_rows())
    index = next((i for i in dataset.describe_indices() if i.name == _title(name)), None)
    there = index is not None and list(index.field_names) == [column.name]
    covered = int(index.num_rows_indexed) if index is not None and there else 0
    return IndexState(**json.loads(text), rows=rows, covered=covered, lost=not there)


def search(
    dataset: "lance.LanceDataset", name: str, query: NDArray[np.floating[Any]], k: int,
    keep: str | None, probes: int, columns: Sequence[str] = (),
) -> pa.Table:  # fmt: skip
    """Return about k images whose vectors are nearest by direction: ids, vectors and row order.

    Parameters
    ----------
    dataset, name
        With an index of this embedding; images that are not in it are compared one by one.
    query : (dim,)
        What is looked for.
    k
        How many, of which the caller keeps the best: Lance orders them by codes.
    keep
        SQL: only these are looked at, before anything is counted.
    probes
        Partitions that are looked into, at least; more where a condition leaves few images there.
    columns
        To return as well.

    Returns
    -------
    Columns ``image_id``, ``vector``, ``_rowaddr`` and `columns`; at most k rows.
    """
    column = vectors.find(dataset, name).name
    scanner = dataset.scanner(
        columns={"image_id": "image_id", "vector": f"`{column}`", "_distance": "_distance",
                 **{each: each for each in columns}},
        nearest={"column": column, "q": np.asarray(query, np.float32), "k": k, "metric": "cosine",
                 "minimum_nprobes": probes},
        filter=keep, prefilter=True, with_row_address=True,
    )  # fmt: skip
    return scanner.to_table()


def build(
    uri: str, name: str, *, partitions: int | None = None, seed: int = 0,
    progress: Progress = silent,
) -> tuple[IndexState, bool]:  # fmt: skip
    """Make an embedding's index, or make it again if it does not cover every image.

    Parameters
    ----------
    uri
        The collection.
    name
        Of the embedding.
    partitions
        Into how many vectors are put; one for every 2,048 by default.
    seed
        Of the sample that the centres are found with.
    progress
        Told how many images are done.

    Returns
    -------
    Its state, and whether there was anything to do.

    Raises
    ------
    UsageError
        If there are more partitions than vectors, or fewer than 1, or vectors are of a length
        that Lance makes no codes of.
    CollectionError
        If there is no such embedding, or another process writes to the collection.
    """
    with writer(uri):
        dataset = open_dataset(uri)
        column = vectors.find(dataset, name)
        if column.info.dim % _DIVISOR:
            raise UsageError(
                f"an index is of vectors of a multiple of {_DIVISOR} numbers; {name!r} has vectors "
                f"of {column.info.dim}, and every one is compared without an index"
            )
        there = vectors.count(dataset, column, None)
        rows = int(dataset.count_rows())
        wanted = max(1, there // ROWS_EACH) if partitions is None else partitions
        if not 1 <= wanted <= there:
            raise UsageError(
                f"partitions must be from 1 to the number of vectors, {there:,}; got {wanted:,}"
            )
        made = IndexState(name, wanted, seed, rows - there, rows, rows)
        if state(dataset, name) == made:
            return made, False
        _write(dataset, column, made, progress)
    return made, True


def _write(
    dataset: "lance.LanceDataset", column: vectors.Column, made: IndexState, report: Progress
) -> None:
    title = _title(made.embedding)
    report(0, made.rows, "finding centres")
    settings: dict[str, Any] = {
        "index_type": "IVF_RQ",
        "name": title,
        "metric": "cosine",
        "num_partitions": made.partitions,
        "ivf_centroids": _centres(dataset, column, made),
        "num_bits": _BITS,
        "replace": True,
        "rabitq_model": _rotation(column.info.dim, made.seed),
    }
    segments: list[Any] = []
    done = 0
    for fragments, rows in _parts(dataset):
        segments.append(
            dataset.create_index_uncommitted(column.name, fragment_ids=fragments, **settings)
        )
        done += rows
        report(done, made.rows)
    whole = dataset.merge_existing_index_segments(segments) if len(segments) > 1 else segments[0]
    if any(index.name == title for index in dataset.describe_indices()):
        dataset.drop_index(title)
    dataset.commit_existing_index_segments(title, column.name, [whole])
    # an image that asks is looked up by its id: of a million in 1 ms rather than in 30
    open_dataset(dataset.uri).create_scalar_index("image_id", "BTREE", name=_IDS, replace=True)
    noted = {"embedding", "partitions", "seed", "missing"}
    text = json.dumps({key: value for key, value in asdict(made).items() if key in noted})
    open_dataset(dataset.uri).update_config({_key(made.embedding): text})


def _rotation(dim: int, seed: int) -> str:
    """Return the rotation that codes are made in, with signs drawn by the seed, not by Lance."""
    from lance.lance import indices

    model = json.loads(indices.build_rq_model(dim, num_bits=_BITS))
    signs = len(model["fast_rotation_signs"])
    model["fast_rotation_signs"] = np.random.default_rng(seed).integers(0, 256, signs).tolist()
    return json.dumps(model)


def _parts(dataset: "lance.LanceDataset") -> list[tuple[list[int], int]]:
    """Return data files that are taken together, and how many rows they hold."""
    parts: list[tuple[list[int], int]] = []
    for fragment in dataset.get_fragments():
        rows = int(fragment.count_rows())
        if parts and parts[-1][1] + rows <= PART:
            parts[-1] = ([*parts[-1][0], fragment.fragment_id], parts[-1][1] + rows)
        else:
            parts.append(([fragment.fragment_id], rows))
    return parts


def _centres(
    dataset: "lance.LanceDataset", column: vectors.Column, made: IndexState
) -> NDArray[np.float32]:
    """Return the centres of the partitions, (partitions, dim), by k-means on a sample."""
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(made.seed)
    size = min(made.rows, made.partitions * _SAMPLE + made.missing)
    rows = np.sort(rng.choice(made.rows, size, replace=False))
    parts = []
    for some in np.array_split(rows, max(1, size // 8192)):
        taken = dataset.take(some.tolist(), columns=[column.name])[column.name]
        parts.append(vectors.as_matrix(taken, column.info.dim)[1])
    sample = np.concatenate(parts)
    sample /= np.maximum(np.linalg.norm(sample, axis=1, keepdims=True), np.float32(1e-12))
    if len(sample) < made.partitions:
        raise CollectionError(
            f"{len(sample):,} of a sample of {size:,} images have a vector, too few to find "
            f"{made.partitions:,} partitions with; embed the images first, or ask for fewer"
        )
    means = MiniBatchKMeans(
        made.partitions, init="random", n_init=1, max_iter=20, batch_size=8192,
        random_state=made.seed, compute_labels=False,
    ).fit(sample)  # fmt: skip
    centres: NDArray[np.float32] = means.cluster_centers_.astype(np.float32)
    return centres


def _key(name: str) -> str:
    return f"hilum.index.{name}"


def _title(name: str) -> str:
    return f"embedding-{name}"
