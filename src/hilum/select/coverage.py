"""Picks that cover the pool: farthest first (k-centre), and ProbCover."""

from typing import Final

import numpy as np

from hilum.select.chance import at_random
from hilum.select.clustering import k_means_centres
from hilum.select.pool import Floats, Picks, Pool, Rows, Settings
from hilum.select.quota import Quota
from hilum.select.space import Space, pair_blocks, pairwise

SAMPLE: Final = 20_000
"""Images that ProbCover covers and chooses from: a random sample of a larger pool."""

PURITY: Final = 0.95
"""Share of ProbCover's balls that hold images of one cluster only."""

MAX_CLUSTERS: Final = 500
_JUST_WITHIN = 1 - 1e-9  # further inside than a distance's last digits


def k_center(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick the image farthest from all that are labelled or picked, again and again.

    Without labels the first pick is the image nearest to the pool's mean. Nothing is drawn. The
    picks cover the pool with at most twice the least possible radius, where no limit per
    patient stands in the way.
    """
    del rng
    quota = Quota(pool, budget, settings)
    space = Space(pool.vectors)
    rows: list[int] = []
    scores: list[float] = []
    if pool.labelled.size:
        _, gap = space.nearest(space.take(pool.labelled))
    else:
        rows.append(int(np.where(quota.open, space.lengths(), np.inf).argmin()))
        scores.append(np.nan)
        quota.take(rows[0])
        gap = space.distances_from(rows[0])
    while len(rows) < budget:
        row = int(np.where(quota.open, gap, -1).argmax())
        quota.take(row)
        rows.append(row)
        scores.append(float(gap[row]) * space.yard)
        np.minimum(gap, space.distances_from(row), out=gap)
    why = tuple(
        "nearest to the mean of all images"
        if np.isnan(score)
        else f"farthest from everything labelled or picked so far (distance {score:.3g})"
        for score in scores
    )
    return Picks(np.array(rows), np.array(scores), why)


# --------------------------------------------------------------------------- ProbCover


def prob_cover(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick the image whose ball covers the most images that no other ball covers, and again.

    Balls around labelled images cover theirs from the start. Once everything is covered,
    covering begins anew. Vectors are scaled to unit length. Of more than `SAMPLE` images, a
    random sample is covered and chosen from.
    """
    quota = Quota(pool, budget, settings)
    space = Space(pool.vectors, unit=True)
    rows = np.arange(len(pool))
    if len(pool) > SAMPLE:  # with a set of picks within the limits, so that one can be found
        drawn = rng.choice(len(pool), SAMPLE, replace=False)
        rows = np.union1d(drawn, at_random(pool, budget, settings, rng).rows)
    radius = pure_radius(space, rows, pool.labelled.size + budget, rng)
    vectors = space.take_precisely(rows)
    degree = _count_near(vectors, vectors, radius)
    covered = _count_near(vectors, space.take_precisely(pool.labelled), radius) > 0
    gain = degree - _count_near(vectors, vectors[covered], radius)
    picked, gains = [], []
    for _ in range(budget):
        if not gain[quota.open[rows]].any():
            covered, gain = np.zeros(len(rows), dtype=np.bool_), degree.copy()
        best = int(np.where(quota.open[rows], gain, -1).argmax())
        quota.take(int(rows[best]))
        picked.append(rows[best])
        gains.append(int(gain[best]))
        # every image is covered once, so all updates together cost as much as the first count
        new = ~covered & (_count_near(vectors, vectors[best : best + 1], radius) > 0)
        gain -= _count_near(vectors, vectors[new], radius)
        covered |= new
    why = (
        f"its ball of radius {radius:.3g} covers {count} of {len(rows)} images that no other covers"
        for count in gains
    )
    return Picks(np.array(picked), np.array(gains) / len(rows), tuple(why))


def pure_radius(space: Space, rows: Rows, n_clusters: int, rng: np.random.Generator) -> float:
    """Return the largest radius with which `PURITY` of the balls hold one cluster only.

    The clusters are k-means' and stand in for the classes, which nobody knows yet. A ball is
    pure up to the distance of the nearest image of another cluster, so that the radius is a
    quantile of those distances.

    Parameters
    ----------
    space
        The pool, of unit vectors.
    rows : (n,)
        The centres of the balls, and what is in them.
    n_clusters
        Taken as 2 at least and `MAX_CLUSTERS` at most.
    rng
        Of the clustering.
    """
    k = min(max(n_clusters, 2), MAX_CLUSTERS, len(rows))
    label = space.nearest(k_means_centres(space, rows, k, rng))[0][rows]
    vectors = space.take_precisely(rows)
    foreign = np.empty(len(rows))
    for part in pair_blocks(len(rows), len(rows)):
        distance = pairwise(vectors[part], vectors)
        distance[label[part][:, None] == label] = 2.0  # no two unit vectors are farther apart
        foreign[part] = distance.min(axis=1)
    impure = int((1 - PURITY) * len(rows))
    return float(np.partition(foreign, impure)[impure]) * _JUST_WITHIN


def _count_near(vectors: Floats, centres: Floats, radius: float) -> Rows:
    """Return how many of the centres (m, dim) are within the radius of each vector (n, dim)."""
    count = np.zeros(len(vectors), dtype=np.int64)
    for part in pair_blocks(len(centres), len(vectors)):
        count += (pairwise(centres[part], vectors) <= radius).sum(axis=0)
    return count
