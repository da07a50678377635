"""Slow and obvious versions of what hilum computes fast, for tests to compare with."""

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats, Floats], float]
Measured = Callable[[Floats], dict[str, Floats]]


def auroc_by_pairs(scores: Floats, truth: Floats) -> float:
    """Ask every positive against every negative which is higher; a tie is half a win."""
    positives = [s for s, t in zip(scores, truth, strict=True) if t == 1]
    negatives = [s for s, t in zip(scores, truth, strict=True) if t == 0]
    if not positives or not negatives:
        return float("nan")
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return float(wins) / (len(positives) * len(negatives))


def average_precision_by_thresholds(scores: Floats, truth: Floats) -> float:
    """Lower the threshold score by score; add precision times the recall that it gains."""
    known = ~np.isnan(truth)
    scores, truth = scores[known], truth[known]
    if not (truth == 1).any() or not (truth == 0).any():
        return float("nan")
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        called = scores >= threshold
        found = float((truth[called] == 1).sum())
        gained = found / float((truth == 1).sum()) - recall
        total += gained * found / float(called.sum())
        recall += gained
    return total


def partial_auroc_by_trapezoids(scores: Floats, truth: Floats, max_fpr: float) -> float:
    """Walk the ROC curve score by score; add trapezoids until `max_fpr`; put on AUROC's scale."""
    positives, negatives = scores[truth == 1], scores[truth == 0]
    if not positives.size or not negatives.size:
        return float("nan")
    area, fpr, tpr = 0.0, 0.0, 0.0
    for threshold in sorted({*positives.tolist(), *negatives.tolist()}, reverse=True):
        next_fpr = float((negatives >= threshold).mean())
        next_tpr = float((positives >= threshold).mean())
        if next_fpr > max_fpr:  # the last piece is cut off on its straight line
            height = tpr + (next_tpr - tpr) * (max_fpr - fpr) / (next_fpr - fpr)
            area += (max_fpr - fpr) * (tpr + height) / 2
            break
        area += (next_fpr - fpr) * (tpr + next_tpr) / 2
        fpr, tpr = next_fpr, next_tpr
    chance, perfect = max_fpr**2 / 2, max_fpr
    return 0.5 * (1 + (area - chance) / (perfect - chance))


def slopes_by_differences(measure: Measured, n_units: int, step: float = 1e-4) -> dict[str, Floats]:
    """Move one unit's weight at a time a little up and down from 1."""
    slopes: dict[str, list[float]] = {}
    for unit in range(n_units):
        weights = np.ones((n_units, 2))
        weights[unit] += (step, -step)
        for name, (up, down) in measure(weights).items():
            slopes.setdefault(name, []).append(float(up - down) / (2 * step))
    return {name: np.array(values) for name, values in slopes.items()}


def bootstrap_by_loop(
    score: Score, scores: Floats, truth: Floats, units: Sequence[int], seed: int, resamples: int
) -> Floats:
    """Draw units one by one, lay out all their images, and compute the statistic again."""
    rng = np.random.default_rng(seed)
    n_units = max(units) + 1
    members = [np.flatnonzero(np.asarray(units) == unit) for unit in range(n_units)]
    out = []
    for _ in range(resamples):
        drawn = rng.integers(n_units, size=n_units)
        rows = np.concatenate([members[unit] for unit in drawn])
        out.append(score(scores[rows], truth[rows]))
    return np.array(out)


def bca_by_the_book(
    estimate: float, replicates: Floats, influence: Floats, level: float
) -> tuple[float, float]:
    """Follow Efron and Tibshirani, 1993, equations 14.9 to 14.15, a number at a time."""
    normal = NormalDist()
    drawn = sorted(x for x in replicates.tolist() if x == x)
    below = sum(x < estimate for x in drawn) + sum(x == estimate for x in drawn) / 2
    bias = normal.inv_cdf(below / len(drawn))
    cubes, squares = sum(x**3 for x in influence), sum(x**2 for x in influence)
    acceleration = cubes / (6 * squares**1.5)
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        moved = bias + normal.inv_cdf(tail)
        place = normal.cdf(bias + moved / (1 - acceleration * moved)) * (len(drawn) - 1)
        low = min(int(place), len(drawn) - 2)
        ends.append(drawn[low] + (place - low) * (drawn[low + 1] - drawn[low]))
    return ends[0], ends[1]


def cosine_score(query: Floats, labelled: Floats, labels: Floats) -> float:
    """Average the cosines to the positives and to the negatives, one by one."""
    means = []
    for value in (1, 0):
        cosines = [
            float(query @ vector) / float(np.linalg.norm(query) * np.linalg.norm(vector))
            for vector, label in zip(labelled, labels, strict=True)
            if label == value
        ]
        means.append(sum(cosines) / len(cosines) if cosines else 0.0)
    return means[0] - means[1]
