"""DeLong, Obuchowski, the jackknife and a ratio's design effect, by loops over pairs and units."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

Floats = NDArray[np.float64]


def order(positive: float, negative: float) -> float:
    """Return 1 for a pair in the right order, 1/2 for a tie, 0 for the wrong order."""
    return float(positive > negative) + 0.5 * float(positive == negative)


def split(scores: Floats, truth: Floats) -> tuple[list[float], list[float]]:
    """Return the scores of the positives and of the negatives."""
    pairs = list(zip(scores.tolist(), truth.tolist(), strict=True))
    return [s for s, y in pairs if y == 1], [s for s, y in pairs if y == 0]


def auroc(scores: Floats, truth: Floats) -> float:
    """Visit every pair."""
    positives, negatives = split(scores, truth)
    if not positives or not negatives:
        return float("nan")
    return float(np.mean([order(x, y) for x in positives for y in negatives]))


def weighted_auroc(scores: Floats, truth: Floats, weights: Floats) -> float:
    """Visit every pair; a pair counts as much as the product of its images' weights."""
    won = total = 0.0
    for x in np.flatnonzero(truth == 1):
        for y in np.flatnonzero(truth == 0):
            weight = float(weights[x] * weights[y])
            won += weight * order(float(scores[x]), float(scores[y]))
            total += weight
    return won / total


def delong_covariance(first: Floats, second: Floats, truth: Floats) -> float:
    """Follow DeLong, DeLong and Clarke-Pearson (1988), equations 4 to 6: S10 / m + S01 / n."""
    components = []
    for scores in (first, second):
        positives, negatives = split(scores, truth)
        v10 = [np.mean([order(x, y) for y in negatives]) for x in positives]
        v01 = [np.mean([order(x, y) for x in positives]) for y in negatives]
        components.append((v10, v01))
    (x1, y1), (x2, y2) = components
    s10, s01 = np.cov(x1, x2)[0, 1], np.cov(y1, y2)[0, 1]
    return float(s10 / len(x1) + s01 / len(y1))


def obuchowski_covariance(
    first: Floats, second: Floats, truth: Floats, units: Sequence[int]
) -> float:
    """Follow Obuchowski (1997): sums of components within patients, and their products."""
    unit = np.asarray(units)
    members = [np.flatnonzero((unit == one) & ~np.isnan(truth)) for one in sorted(set(units))]
    members = [rows for rows in members if rows.size]
    n_pos, n_neg = int((truth == 1).sum()), int((truth == 0).sum())
    with_pos = sum(bool((truth[rows] == 1).any()) for rows in members)
    with_neg = sum(bool((truth[rows] == 0).any()) for rows in members)
    sums = [_unit_components(scores, truth, rows) for scores in (first, second) for rows in members]
    half = len(members)
    s10 = s01 = s11 = 0.0
    for (x1, y1), (x2, y2) in zip(sums[:half], sums[half:], strict=True):
        s10 += x1 * x2
        s01 += y1 * y2
        s11 += x1 * y2 + x2 * y1
    s10 *= with_pos / ((with_pos - 1) * n_pos)
    s01 *= with_neg / ((with_neg - 1) * n_neg)
    s11 *= half / (half - 1)
    return s10 / n_pos + s01 / n_neg + s11 / (n_pos * n_neg)


def _unit_components(scores: Floats, truth: Floats, rows: NDArray[np.int64]) -> tuple[float, float]:
    """Return X - mA and Y - nA of one patient's images."""
    positives, negatives = split(scores, truth)
    area = auroc(scores, truth)
    x = y = 0.0
    for row in rows:
        score = float(scores[row])
        if truth[row] == 1:
            x += float(np.mean([order(score, other) for other in negatives])) - area
        else:
            y += float(np.mean([order(other, score) for other in positives])) - area
    return x, y


def two_sample_jackknife(scores: Floats, truth: Floats) -> float:
    """Leave out the positives one by one, then the negatives (Arvesen, Ann. Math. Stat. 1969)."""
    variance = 0.0
    for value in (1, 0):
        rows = np.flatnonzero(truth == value)
        left = [auroc(np.delete(scores, row), np.delete(truth, row)) for row in rows]
        variance += (len(rows) - 1) * float(np.var(left))
    return variance


def jackknife_by_unit(areas: Sequence[float]) -> float:
    """Turn the estimates without each unit into a variance."""
    return (len(areas) - 1) * float(np.var(areas))


def effective_number(right: Floats, images: Floats, level: float) -> float:
    """Divide the images by the linearised variance over the simple random one, term by term."""
    units, total = len(images), int(images.sum())
    share = float(right.sum()) / total
    residuals = [(x - share * n) / total for x, n in zip(right, images, strict=True)]
    clustered = units / (units - 1) * float(sum(r**2 for r in residuals))
    one_by_one = np.repeat([1.0, 0.0], [int(right.sum()), total - int(right.sum())])
    independent = float(one_by_one.var(ddof=1)) / total
    at = (1 + level) / 2
    few = float(t.ppf(at, total - 1) / t.ppf(at, units - 1))
    return total / max(1.0, clustered / independent) * few**2


def holm(p_values: Sequence[float]) -> list[float]:
    """For each hypothesis, the smallest level at which stepping down gets as far as it."""
    tested = sorted(p for p in p_values if not np.isnan(p))
    out = []
    for p in p_values:
        steps = [(len(tested) - rank) * q for rank, q in enumerate(tested) if q <= p]
        out.append(min(1.0, max(steps)) if steps else float("nan"))
    return out
