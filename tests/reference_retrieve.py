"""Places and recall counted one query at a time, over the whole matrix of cosines."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def slow_places(
    images: NDArray[np.floating], texts: NDArray[np.floating], said: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Return the place of each image's report, and of the image for each image's report.

    Parameters
    ----------
    images, texts : (n, dim)
        Each image, and its own report's vector; images may share a report.
    said : (n,)
        The reports.
    """
    cosines = images.astype(np.float64) @ texts.astype(np.float64).T  # image by report
    n = len(said)
    reports = {text: row for row, text in reversed(list(enumerate(said)))}
    to_report, to_image = [], []
    for row in range(n):
        own = cosines[row, row]
        wrong = [cosines[row, at] for text, at in reports.items() if text != said[row]]
        to_report.append(1 + sum(value >= own - 1e-6 for value in wrong))
        best = max(cosines[at, row] for at in range(n) if said[at] == said[row])
        others = [cosines[at, row] for at in range(n) if said[at] != said[row]]
        to_image.append(1 + sum(value >= best - 1e-6 for value in others))
    return to_report, to_image


def slow_resample(
    places: Sequence[int], patients: Sequence[int], drawn: Sequence[int], k: int
) -> tuple[float, float]:
    """Return recall at k and the median place of the queries of the patients who were drawn."""
    queries = [
        place
        for patient in drawn
        for place, own in zip(places, patients, strict=True)
        if own == patient
    ]
    return float(np.mean([place <= k for place in queries])), float(np.median(queries))


def slow_list(cosines: NDArray[np.float64], gains: NDArray[np.float64], k: int) -> dict[str, float]:
    """Measure one ranked list item by item; wrong answers come before right ones at a tie."""
    order = sorted(range(len(gains)), key=lambda at: (-cosines[at], gains[at]))
    ranked = [float(gains[at]) for at in order]
    right = [gain > 0 for gain in ranked]
    total = sum(right)
    if not total:
        return dict.fromkeys(("average_precision", f"recall@{k}", f"ndcg@{k}"), math.nan)
    precisions = [sum(right[: at + 1]) / (at + 1) for at in range(len(right)) if right[at]]
    trapezoids, seen = [], 0
    for place, is_right in enumerate([*right, True]):  # the query itself comes last
        if is_right:
            before = 1.0 if place == 0 else seen / place
            seen += 1
            trapezoids.append((before + seen / (place + 1)) / 2)
    discounted = [gain / math.log2(at + 2) for at, gain in enumerate(ranked[:k])]
    best = [gain / math.log2(at + 2) for at, gain in enumerate(sorted(ranked, reverse=True)[:k])]
    return {
        "average_precision": sum(precisions) / total,
        "average_precision_xmir": sum(trapezoids) / (total + 1),
        "r_precision": sum(right[:total]) / total,
        f"recall@{k}": float(any(right[:k])),
        f"precision@{k}": sum(right[:k]) / k,
        f"ndcg@{k}": sum(discounted) / sum(best),
    }
