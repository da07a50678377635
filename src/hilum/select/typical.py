"""TypiClust: the most typical image of each cluster that has no label yet."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

import numpy as np

from hilum.select.clustering import in_turns, k_means_centres, members_of
from hilum.select.pool import Floats, Picks, Pool, Rows, Settings, counted
from hilum.select.quota import Quota
from hilum.select.space import Space, pair_blocks, pairwise

NEIGHBOURS: Final = 20
MAX_CLUSTERS: Final = 500
SMALL_CLUSTER: Final = 5
SOFTENING: Final = 1e-5
"""Added to a mean distance between unit vectors, as in the authors' code."""

CANDIDATES: Final = 1024
"""Images of one cluster whose typicality is found: a random sample, where it has more."""


def typiclust(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick the most typical image of each of the largest clusters without a label.

    Unit vectors are clustered by k-means into as many clusters as there will be labels, at most
    `MAX_CLUSTERS`. Clusters take turns, those with fewest labels first and then by size; those
    of `SMALL_CLUSTER` images or fewer wait until the others have no image left.
    """
    quota = Quota(pool, budget, settings)
    space = Space(pool.vectors, unit=True)
    everything = np.arange(len(pool))
    k = min(pool.labelled.size + budget, MAX_CLUSTERS)
    label, distance = space.nearest(k_means_centres(space, everything, k, rng))
    members = members_of(label, everything, distance)
    labels_in = np.bincount(label[pool.labelled], minlength=k)
    order = sorted(members, key=lambda cluster: (labels_in[cluster], -len(members[cluster])))
    found: dict[int, float] = {}  # row -> typicality

    def queue(cluster: int) -> Iterator[int]:
        return _most_typical_first(space, members[cluster], quota, rng, found)

    picked: list[tuple[int, int, int]] = []
    for small in (False, True):
        group = [c for c in order if (len(members[c]) <= SMALL_CLUSTER) == small]
        turns = in_turns(map(queue, group), quota, budget - len(picked))
        picked += [(turn, group[number], row) for turn, number, row in turns]
    why = (
        f"{'most' if turn == 1 else f'pick {turn} of its cluster, next most'} typical of "
        f"{counted(len(members[cluster]), 'image')}, {labels_in[cluster]} of them labelled before"
        for turn, cluster, _ in picked
    )
    rows = [row for _, _, row in picked]
    scores = np.array([found.get(row, np.nan) for row in rows])
    return Picks(np.array(rows), scores, tuple(why))


def _most_typical_first(
    space: Space, members: Rows, quota: Quota, rng: np.random.Generator, found: dict[int, float]
) -> Iterator[int]:
    """Yield a cluster's open rows by typicality, then, of a very large cluster, the others."""
    candidates = members[quota.open[members]]
    if len(candidates) > CANDIDATES:
        candidates = np.sort(rng.choice(candidates, CANDIDATES, replace=False))
    typical = typicality(space, candidates, members)
    found.update(zip(candidates.tolist(), typical.tolist(), strict=True))
    order = candidates[np.argsort(-typical, kind="stable")]
    others = members[~np.isin(members, candidates)]
    yield from chain(order.tolist(), others.tolist())


def typicality(space: Space, rows: Rows, members: Rows) -> Floats:
    """Return how densely a cluster surrounds some of its rows.

    Parameters
    ----------
    space
        The pool.
    rows : (k,)
        Whose typicality; each of them a member.
    members : (n,)
        All rows of the cluster.

    Returns
    -------
    (k,) the inverse of the mean distance to the `NEIGHBOURS` nearest other members, or to half
    of the members where the cluster is small; 0 for an image that is alone.
    """
    neighbours = min(NEIGHBOURS, len(members) // 2)
    if not neighbours:
        return np.zeros(len(rows))
    vectors = space.take_precisely(rows)
    nearest = np.full((len(rows), neighbours + 1), np.inf)  # the row itself among them, at 0
    for part in pair_blocks(len(members), len(rows)):
        distance = pairwise(vectors, space.take_precisely(members[part]))
        both = np.concatenate([nearest, distance], axis=1)
        nearest = np.partition(both, neighbours, axis=1)[:, : neighbours + 1]
    mean = nearest.sum(axis=1) / neighbours
    return np.asarray(1.0 / (mean + SOFTENING), dtype=np.float64)
