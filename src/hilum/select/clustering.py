"""Picks from clusters: k-medoids, as MedSelect's baseline defines it, and k-means."""

import math
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hilum.errors import UsageError
from hilum.select.pool import Floats, Picks, Pool, Rows, Settings, Vectors, counted
from hilum.select.quota import Quota
from hilum.select.space import Space, pairwise

Labels = NDArray[np.int32]

EXACT_ROWS: Final = 5000
"""Images up to which k-medoids sees every pair: 200 MB of distances."""

CLARA_SAMPLES: Final = 5
MAX_MEDOIDS: Final = 2500
"""The most medoids in a larger pool, so that a sample stays twice as large as its clusters."""

ALTERNATIONS: Final = 300

FIT_ROWS: Final = 50_000
"""Images that k-means centres are fitted on, or `FIT_PER_CENTRE` per centre where that is more."""

FIT_PER_CENTRE: Final = 8


# --------------------------------------------------------------------------- k-means


def k_means(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick the image nearest to each k-means centre, those of the largest clusters first."""
    quota = Quota(pool, budget, settings)
    space = Space(pool.vectors)
    centres = k_means_centres(space, np.flatnonzero(quota.open), budget, rng)
    label, distance = space.nearest(centres)
    return _one_of_each(label, distance, quota, budget, "centre")


def k_means_centres(space: Space, rows: Rows, k: int, rng: np.random.Generator) -> Vectors:
    """Return k cluster centres (k, dim) of some rows, by Lloyd's algorithm from k-means++.

    Parameters
    ----------
    space
        The pool.
    rows
        What to cluster; of more than `FIT_ROWS`, a random sample of so many.
    k
        How many, at most the number of rows. Where fewer vectors differ, centres coincide.
    rng
        Of the sample and the start.

    Returns
    -------
    Centres in the coordinates of `Space.take`.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    most = max(FIT_ROWS, FIT_PER_CENTRE * k)
    if len(rows) > most:
        rows = np.sort(rng.choice(rows, most, replace=False))
    model = KMeans(k, random_state=int(rng.integers(2**31)), copy_x=False)
    # one thread: with several, sums are taken in the order in which threads end
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than k
        return np.asarray(model.fit(space.take(rows)).cluster_centers_, dtype=np.float32)


# --------------------------------------------------------------------------- k-medoids


def k_medoids(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick the medoids of a k-medoids clustering, those of the largest clusters first.

    Larger pools than `EXACT_ROWS` are clustered as in CLARA: the best, for the whole pool, of the
    medoids of `CLARA_SAMPLES` samples of so many, each of which holds the best so far.
    """
    quota = Quota(pool, budget, settings)
    space = Space(pool.vectors)
    rows = np.flatnonzero(quota.open)
    if len(rows) <= EXACT_ROWS:
        medoids = rows[medoids_of(_distances(space, rows), budget, rng)]
    else:
        _refuse_many(budget)
        medoids = _clara(space, rows, budget, rng)
    label, distance = space.nearest(space.take(medoids))
    label[medoids] = np.arange(budget)  # a medoid stands for itself, also where vectors are equal
    distance[medoids] = -1
    return _one_of_each(label, distance, quota, budget, "medoid")


def medoids_of(distance: Floats, k: int, rng: np.random.Generator) -> Rows:
    """Return k medoids, as positions in a matrix (n, n) of distances."""
    return alternate(distance, spread_start(distance, k, rng))


def spread_start(distance: Floats, k: int, rng: np.random.Generator) -> Rows:
    """Draw k different points in proportion to the squared distance from those drawn before.

    Of 2 + ln(k) draws, the one that leaves the least sum is kept (k-means++, Arthur and
    Vassilvitskii, SODA 2007, with the greedy step that they suggest at the end).
    """
    chosen = [int(rng.integers(len(distance)))]
    potential = distance[chosen[0]] ** 2
    for _ in range(1, k):
        if potential.any():
            weight = potential / potential.sum()
            trials = rng.choice(len(distance), 2 + int(math.log(k)), p=weight)
        else:  # fewer than k points differ: any that are left will do
            trials = rng.choice(np.setdiff1d(np.arange(len(distance)), chosen), 1)
        after = np.minimum(potential, distance[trials] ** 2)
        best = int(after.sum(axis=1).argmin())
        chosen.append(int(trials[best]))
        potential = after[best]
    return np.array(chosen, dtype=np.int64)


def alternate(distance: Floats, start: Rows) -> Rows:
    """Improve medoids until none changes, at most `ALTERNATIONS` times.

    Every point goes to its nearest medoid; then every cluster chooses the member with the least
    sum of distances to the others, and keeps its medoid where that is as good.
    """
    medoids = start.copy()
    for _ in range(ALTERNATIONS):
        label = distance[medoids].argmin(axis=0)
        label[medoids] = np.arange(len(medoids))
        before = medoids.copy()
        for cluster, medoid in enumerate(before):
            members = np.flatnonzero(label == cluster)
            cost = distance[np.ix_(members, members)].sum(axis=1)
            if cost.min() < cost[np.searchsorted(members, medoid)]:
                medoids[cluster] = members[cost.argmin()]
        if (medoids == before).all():
            break
    return medoids


def _clara(space: Space, rows: Rows, k: int, rng: np.random.Generator) -> Rows:
    best, least = np.empty(0, dtype=np.int64), np.inf
    for _ in range(CLARA_SAMPLES):
        drawn = rng.choice(rows, EXACT_ROWS, replace=False)
        # the best medoids so far, then as many others as make up the sample
        sample = np.concatenate([best, drawn[~np.isin(drawn, best)][: EXACT_ROWS - len(best)]])
        medoids = sample[medoids_of(_distances(space, sample), k, rng)]
        total = float(space.nearest(space.take(medoids))[1][rows].sum(dtype=np.float64))
        if total < least:
            best, least = medoids, total
    return best


def _distances(space: Space, rows: Rows) -> Floats:
    vectors = space.take_precisely(rows)
    return pairwise(vectors, vectors)


def _refuse_many(budget: int) -> None:
    if budget > MAX_MEDOIDS:
        raise UsageError(
            f"k-medoids chooses at most {MAX_MEDOIDS} of more than {EXACT_ROWS} images, and "
            f"{budget} were asked for; k-means has no such limit"
        )


# --------------------------------------------------------------------------- from clusters to picks


def _one_of_each(label: Labels, distance: Vectors, quota: Quota, budget: int, centre: str) -> Picks:
    """Pick from each cluster the nearest image that is open, and go round until all are found."""
    members = members_of(label[quota.open], np.flatnonzero(quota.open), distance[quota.open])
    clusters = sorted(members, key=lambda cluster: -len(members[cluster]))
    queues = (iter(members[cluster].tolist()) for cluster in clusters)
    rows, scores, why = [], [], []
    for turn, number, row in in_turns(queues, quota, budget):
        size = len(members[clusters[number]])
        rows.append(row)
        scores.append(size)
        place = "nearest" if turn == 1 else f"pick {turn} of its cluster, next nearest"
        count = counted(size, "image")
        why.append(f"{place} to {centre} {number + 1} of {budget}, cluster of {count}")
    return Picks(np.array(rows), np.array(scores, dtype=np.float64), tuple(why))


def members_of(label: Labels, rows: Rows, rank: Vectors) -> dict[int, Rows]:
    """Return the rows of each cluster that has any, by ascending rank.

    Parameters
    ----------
    label : (n,)
        The cluster of each row.
    rows : (n,)
        The rows.
    rank : (n,)
        What to order a cluster's rows by.
    """
    order = np.lexsort((rank, label))
    clusters, starts = np.unique(label[order], return_index=True)
    parts = np.split(rows[order], starts[1:])
    return dict(zip(clusters.tolist(), parts, strict=True))


def in_turns(
    queues: Iterable[Iterator[int]], quota: Quota, budget: int
) -> Iterator[tuple[int, int, int]]:
    """Take one open row from each queue in turn, and again, until there are enough.

    Parameters
    ----------
    queues
        The rows of each cluster, best first; they are asked for only when needed.
    quota
        What is open; told of every pick.
    budget
        How many rows to take.

    Yields
    ------
    The turn (from 1), the queue (from 0), and the row; fewer than `budget` where rows run out.
    """
    waiting = deque((1, number, queue) for number, queue in enumerate(queues))
    while budget and waiting:
        turn, number, queue = waiting.popleft()
        row = next((row for row in queue if quota.open[row]), None)
        if row is not None:
            quota.take(row)
            yield turn, number, row
            budget -= 1
            waiting.append((turn + 1, number, queue))
