"""Slow, obvious versions of tasks, rewards and draws, and a hospital to draw tasks from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import TaskSource

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FINDINGS = ("Edema", "Pneumonia", "Fracture", "No Finding")


@dataclass(frozen=True)
class Hospital:
    """Images, their labels (n, 4) for FINDINGS, and whose they are."""

    vectors: NDArray[np.float32]
    labels: Floats
    patients: Ints

    def source(self, plan: TaskPlan, seed: int = 0) -> TaskSource:
        return TaskSource.of(self.vectors, self.labels, self.patients, FINDINGS, plan, seed)


def hospital(n: int = 400, patients: int = 150, seed: int = 0, dim: int = 8) -> Hospital:
    """Return films of which half have nothing; the others have some findings, one tenth unknown.

    A finding moves the film along its own axis, so that a few labels say much.
    """
    rng = np.random.default_rng(seed)
    normal = rng.random(n) < 0.5
    labels = (rng.random((n, 4)) < 0.5).astype(np.float64)
    labels[:, 3] = 0
    labels[normal] = (0, 0, 0, 1)
    vectors = rng.normal(size=(n, dim))
    vectors[:, :3] += 1.5 * labels[:, :3]
    labels[:, :3][rng.random((n, 3)) < 0.1] = np.nan
    return Hospital(vectors.astype(np.float32), labels, rng.integers(patients, size=n))


def chance_of_each_row(
    classes: tuple[list[int], list[int]],
    patients: list[int],
    pool: tuple[int, int],
    query: tuple[int, int],
) -> tuple[Floats, Floats]:
    """Go through all queries, and all pools beside each; return how likely each row is in either.

    Queries that leave a pool are equally likely; so are the pools of other patients beside one.
    """
    in_query, in_pool, n_queries = np.zeros(len(patients)), np.zeros(len(patients)), 0
    for chosen in _subsets(classes, query):
        owners = {patients[row] for row in chosen}
        left = tuple([row for row in rows if patients[row] not in owners] for rows in classes)
        pools = list(_subsets((left[0], left[1]), pool))
        if not pools:
            continue
        n_queries += 1
        in_query[list(chosen)] += 1
        for rows in pools:
            in_pool[list(rows)] += 1 / len(pools)
    return in_query / n_queries, in_pool / n_queries


def _subsets(classes: tuple[list[int], list[int]], sizes: tuple[int, int]) -> Iterator[list[int]]:
    parts = [list(combinations(rows, n)) for rows, n in zip(classes, sizes, strict=True)]
    return ([*negatives, *positives] for negatives, positives in product(*parts))


def prototype_score(
    query: Floats, labelled: Floats, labels: Ints, weights: Floats, metric: str
) -> float:
    """Average likeness (cosine, or minus the distance) to each class one by one, and subtract."""
    means = []
    for value in (1, 0):
        total, count = 0.0, 0.0
        for vector, label, weight in zip(labelled, labels, weights, strict=True):
            if label != value or weight == 0:
                continue
            if metric == "cosine":
                size = math.dist(query, np.zeros_like(query)) * math.dist(vector, 0 * vector)
                likeness = float(query @ vector) / size
            else:
                likeness = -math.dist(query, vector)
            total, count = total + weight * likeness, count + weight
        means.append(total / count if count else 0.0)
    return means[0] - means[1]


def smooth_auroc(scores: Floats, truth: Ints, temperature: float) -> float:
    """Average the sigmoid over pairs, one by one."""
    pairs = [
        1 / (1 + math.exp(-(high - low) / temperature))
        for high, t in zip(scores, truth, strict=True) if t == 1
        for low, u in zip(scores, truth, strict=True) if u == 0
    ]  # fmt: skip
    return sum(pairs) / len(pairs)


def multinomial(chances: Floats, counts: tuple[int, ...]) -> float:
    """Return the probability of counts: the number of orders times that of one order."""
    orders = math.factorial(sum(counts))
    for times in counts:
        orders //= math.factorial(times)
    return float(orders * math.prod(p**x for p, x in zip(chances.tolist(), counts, strict=True)))


def every_count(n: int, k: int) -> Iterator[tuple[int, ...]]:
    """Go through all ways in which k draws may fall on n images."""
    return (counts for counts in product(range(k + 1), repeat=n) if sum(counts) == k)
