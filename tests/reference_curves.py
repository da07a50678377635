"""Slow and obvious versions of what `hilum.evaluate.curves` and `hilum.plots` compute fast."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def roc_by_thresholds(scores: Floats, truth: Floats) -> list[tuple[float, float]]:
    """Call positive what reaches each score in turn, and count."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        called = scores >= threshold
        false = float((called & (truth == 0)).sum()) / float((truth == 0).sum())
        true = float((called & (truth == 1)).sum()) / float((truth == 1).sum())
        points.append((false, true))
    return points


def height_by_segments(points: list[tuple[float, float]], at: float) -> float:
    """Find the highest point of a rising line above `at`, segment by segment."""
    heights = []
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= at <= x1:
            heights.append(y1 if x1 == x0 or at == x1 else y0 + (y1 - y0) * (at - x0) / (x1 - x0))
    return max(heights)


def distance_to_line(point: tuple[float, float], x: Floats, y: Floats) -> float:
    """Return how far a point lies from the nearest segment of a line."""
    nearest = np.inf
    for x0, y0, x1, y1 in zip(x, y, x[1:], y[1:], strict=False):
        start, along = np.array([x0, y0]), np.array([x1 - x0, y1 - y0])
        length = float(along @ along)
        share = 0.0 if length == 0 else min(max(float((point - start) @ along) / length, 0.0), 1.0)
        nearest = min(nearest, float(np.linalg.norm(point - start - share * along)))
    return nearest
