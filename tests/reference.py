"""Slow and obvious versions of what hilum computes fast, for tests to compare with."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats, Floats], float]


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
