"""Queries against a gallery, some at a time, and the numbers of each query's list.

Memory: the vectors, and `WORK` for the lists of the queries at work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.evaluate.rankings import Ranked, rank, statistics

if TYPE_CHECKING:
    from hilum.collection import Collection

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Vectors = NDArray[np.float32]

WORK: Final = 256 << 20
"""Bytes that the lists of the queries at work may take, roughly."""

_BYTES_EACH: Final = 64  # of one gallery image in one query's list, all arrays together


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with vectors and what they show.

    Parameters
    ----------
    ids
        Which.
    vectors : (n, dim)
        Of length 1.
    positive : (n, f)
        Which findings are present; unknown and uncertain ones are not.
    patients
        Whose.
    """

    ids: tuple[str, ...]
    vectors: Vectors
    positive: Flags
    patients: tuple[str, ...]

    def take(self, rows: Ints) -> "Labelled":
        """Return some of them."""
        return Labelled(
            tuple(self.ids[row] for row in rows),
            self.vectors[rows],
            self.positive[rows],
            tuple(self.patients[row] for row in rows),
        )


def labelled(collection: "Collection", embedding: str, findings: Sequence[str]) -> Labelled:
    """Read the images of a collection with their vectors, which are brought to length 1."""
    ids, vectors = collection.vectors(embedding)
    labels = collection.labels(findings=findings)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Labelled(
        ids, vectors / np.maximum(lengths, np.float32(1e-12)), labels.values == 1,
        tuple(map(str, labels.extra["patient_id"])),  # every image has a patient
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Found:
    """What each query found.

    Parameters
    ----------
    overall
        By name, (q,): a right answer shares a positive finding; its gain is the number of shared
        ones over the number that either has (Jaccard).
    findings : by finding
        The same where images with that finding are the right answers; only its images ask, the
        others have NaN.
    chance : (q,)
        The share of right answers in the gallery of each query.
    finding_chance : by finding, (q,)
        The share of images with the finding in it.
    """

    overall: dict[str, Floats]
    findings: list[dict[str, Floats]]
    chance: Floats
    finding_chance: list[Floats]


def ask(
    queries: Labelled, gallery: Labelled, k: tuple[int, ...], *, same_patient: bool, voters: int
) -> Found:
    """Measure the list of every query.

    Parameters
    ----------
    queries
        Images with at least one positive finding each.
    gallery
        What can be found; a query leaves itself out.
    k, voters
        Where lists are cut; how many neighbours vote for a class, where classes exclude each
        other in queries and gallery.
    same_patient
        Whether other images of the query's patient are answers.

    Raises
    ------
    UsageError
        If a query's gallery is smaller than the largest `k` or `voters`.
    """
    everyone = np.unique([*queries.patients, *gallery.patients], return_inverse=True)[1]
    owner, owned = np.split(everyone, [len(queries.ids)])
    places = {image: row for row, image in enumerate(gallery.ids)}
    own = np.array([places.get(image, -1) for image in queries.ids])
    votes = _exclusive(queries) and _exclusive(gallery)
    parts: list[Found] = []
    for rows in chunks(len(queries.ids), len(gallery.ids)):
        left_out = (
            own[rows, None] == np.arange(len(gallery.ids))
            if same_patient
            else owner[rows, None] == owned
        )
        _check_gallery(left_out, max(*k, voters))
        parts.append(_ask(queries.take(rows), gallery, left_out, k, voters if votes else 0))
    return _joined(parts)


def chunks(queries: int, gallery: int) -> Iterator[Ints]:
    """Yield the rows of queries that are worked on together, as many as `WORK` has room for."""
    step = max(1, WORK // (_BYTES_EACH * gallery))
    for start in range(0, queries, step):
        yield np.arange(start, min(start + step, queries))


def _check_gallery(left_out: Flags, most: int) -> None:
    smallest = int((~left_out).sum(axis=1).min())
    if smallest < most:
        raise UsageError(
            f"the gallery of a query has {smallest} images once the query and its patient are "
            f"left out, fewer than the {most} that are to be looked at; ask for fewer, or take "
            "more images into the gallery"
        )


def _ask(
    queries: Labelled, gallery: Labelled, left_out: Flags, k: tuple[int, ...], voters: int
) -> Found:
    cosines = queries.vectors @ gallery.vectors.T
    ranked = _by_sharing(cosines, queries.positive, gallery.positive, left_out)
    overall = statistics(ranked, k)
    if voters:
        overall["accuracy"] = _vote(cosines, left_out, queries.positive, gallery.positive, voters)
    chance = ranked.relevant.sum(axis=1) / ranked.lengths
    one = np.array([0.0, 1.0])
    findings, chances = [], []
    for column in range(queries.positive.shape[1]):
        asking = queries.positive[:, column]
        there = np.broadcast_to(gallery.positive[:, column], cosines[asking].shape).astype(np.int64)
        some = statistics(rank(cosines[asking], there, one, left_out[asking]), k)
        findings.append({name: _spread(values, asking) for name, values in some.items()})
        chances.append((gallery.positive[:, column] & ~left_out).sum(axis=1) / ranked.lengths)
    return Found(overall, findings, chance, chances)


def _by_sharing(cosines: Vectors, asking: Flags, there: Flags, left_out: Flags) -> Ranked:
    shared = asking.astype(np.float32) @ there.T.astype(np.float32)
    either = asking.sum(axis=1)[:, None] + there.sum(axis=1) - shared
    values, grade = np.unique(
        np.append(np.round(shared / np.maximum(either, 1), 6), 0.0), return_inverse=True
    )
    return rank(cosines, grade[:-1].reshape(shared.shape), values, left_out)


def _vote(cosines: Vectors, left_out: Flags, asking: Flags, there: Flags, voters: int) -> Floats:
    """Say whether the most frequent class among the nearest is the query's; the nearest decides."""
    near = np.where(left_out, -np.inf, cosines)
    top = np.argpartition(-near, voters - 1, axis=1)[:, :voters]
    order = np.argsort(-np.take_along_axis(near, top, axis=1), axis=1, kind="stable")
    classes = there.argmax(axis=1)[np.take_along_axis(top, order, axis=1)]  # (q, voters)
    votes = (classes[:, :, None] == classes[:, None]).sum(axis=2)  # for the class of each voter
    chosen = np.take_along_axis(classes, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
    right: Floats = (chosen == asking.argmax(axis=1)).astype(np.float64)
    return right


def _exclusive(images: Labelled) -> bool:
    return bool((images.positive.sum(axis=1) == 1).all())


def _spread(values: Floats, asking: Flags) -> Floats:
    out = np.full(len(asking), np.nan)
    out[asking] = values
    return out


def _joined(parts: list[Found]) -> Found:
    def join(tables: list[dict[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}

    return Found(
        join([one.overall for one in parts]),
        [join([one.findings[at] for one in parts]) for at in range(len(parts[0].findings))],
        np.concatenate([one.chance for one in parts]),
        [
            np.concatenate([one.finding_chance[at] for one in parts])
            for at in range(len(parts[0].finding_chance))
        ],
    )
