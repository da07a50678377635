"""Slow and obvious versions of the selection strategies' inner steps."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def distance(a: Floats, b: Floats) -> float:
    """Take the difference, square it, add, take the root."""
    return float(np.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))))


def distances(vectors: Floats) -> Floats:
    """Measure every pair."""
    return np.array([[distance(a, b) for b in vectors] for a in vectors])


def medoids_by_loops(between: Floats, start: Sequence[int]) -> list[int]:
    """Alternate: everybody to the nearest medoid, each cluster to its most central member."""
    medoids = list(start)
    while True:
        clusters: list[list[int]] = [[] for _ in medoids]
        for point in range(len(between)):
            if point in medoids:
                clusters[medoids.index(point)].append(point)
            else:
                clusters[int(np.argmin([between[point, m] for m in medoids]))].append(point)
        better = list(medoids)
        for at, members in enumerate(clusters):
            cost = {m: sum(between[m, other] for other in members) for m in members}
            best = min(members, key=lambda m: cost[m])
            if cost[best] < cost[medoids[at]]:
                better[at] = best
        if better == medoids:
            return medoids
        medoids = better


def spread_start_by_loops(between: Floats, k: int, rng: np.random.Generator) -> list[int]:
    """Draw a few candidates by squared distance, keep the one that helps most, and again."""
    n = len(between)
    chosen = [int(rng.integers(n))]
    while len(chosen) < k:
        square = [min(between[point, c] ** 2 for c in chosen) for point in range(n)]
        trials = rng.choice(n, 2 + int(np.log(k)), p=np.array(square) / sum(square))
        left = [
            sum(min(square[point], between[point, trial] ** 2) for point in range(n))
            for trial in trials
        ]
        chosen.append(int(trials[int(np.argmin(left))]))
    return chosen


def covering_radius(vectors: Floats, centres: Sequence[int]) -> float:
    """Return how far the worst-served point is from its nearest centre."""
    return max(min(distance(v, vectors[c]) for c in centres) for v in vectors)


def best_covering_radius(vectors: Floats, known: Sequence[int], budget: int) -> float:
    """Try every set of centres."""
    rest = [row for row in range(len(vectors)) if row not in known]
    sets = combinations(rest, budget)
    return min(covering_radius(vectors, [*known, *chosen]) for chosen in sets)


def typicality_by_sorting(vectors: Floats, row: int, members: Sequence[int], k: int) -> float:
    """Sort the distances to the other members; invert the mean of the first k."""
    others = sorted(distance(vectors[row], vectors[m]) for m in members if m != row)
    return 1.0 / (sum(others[:k]) / k + 1e-5)


def purity(vectors: Floats, clusters: Sequence[int], radius: float) -> float:
    """Return the share of balls without an image of another cluster."""
    n = len(vectors)
    pure = [
        all(
            clusters[a] == clusters[b] or distance(vectors[a], vectors[b]) > radius
            for b in range(n)
        )
        for a in range(n)
    ]
    return sum(pure) / n


def covered(vectors: Floats, centres: Sequence[int], radius: float) -> set[int]:
    """Return the points within the radius of a centre."""
    near = product(range(len(vectors)), centres)
    return {p for p, c in near if distance(vectors[p], vectors[c]) <= radius}


def greedy_cover(vectors: Floats, known: Sequence[int], budget: int, radius: float) -> list[int]:
    """Add the ball that adds most; where nothing is left to add, forget what is covered."""
    picks: list[int] = []
    done = covered(vectors, known, radius)
    for _ in range(budget):
        gains = [len(covered(vectors, [row], radius) - done) for row in range(len(vectors))]
        if not any(gain for row, gain in enumerate(gains) if row not in {*known, *picks}):
            done = set()
            gains = [len(covered(vectors, [row], radius)) for row in range(len(vectors))]
        for row in (*known, *picks):
            gains[row] = -1
        picks.append(int(np.argmax(gains)))
        done |= covered(vectors, [picks[-1]], radius)
    return picks


def entropy_of(probabilities: Sequence[float]) -> float:
    """Add up -p ln p over both answers of each question."""
    return float(sum(-q * np.log(q) for p in probabilities for q in (p, 1 - p) if q > 0))


def gradients(vectors: Floats, probabilities: Floats) -> Floats:
    """Write out (p - answer) times the vector for every finding, one after the other."""
    rows = []
    for vector, chances in zip(vectors, probabilities, strict=True):
        answers = [1.0 if p >= 0.5 else 0.0 for p in chances]
        rows.append([(p - a) * x for p, a in zip(chances, answers, strict=True) for x in vector])
    return np.array(rows)
