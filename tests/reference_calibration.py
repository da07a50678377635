"""Slow and obvious versions of choosing thresholds and of measuring calibration."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

Floats = NDArray[np.float64]
Numbers = Sequence[float] | Floats
Counts = tuple[int, int, int, int]  # TP, FP, FN, TN


def counts_at(threshold: float, scores: Floats, truth: Floats) -> Counts:
    """Call positive what is at or above the threshold; count one image after the other."""
    tp = fp = fn = tn = 0
    for score, label in zip(scores, truth, strict=True):
        if score >= threshold:
            tp, fp = tp + (label == 1), fp + (label == 0)
        else:
            fn, tn = fn + (label == 1), tn + (label == 0)
    return int(tp), int(fp), int(fn), int(tn)


def signed_square_mcc(counts: Counts) -> Fraction:
    """Order like MCC, but without rounding; 0 where MCC is undefined, as in scikit-learn."""
    tp, fp, fn, tn = counts
    scale = (tp + fp) * (fn + tn) * (tp + fn) * (fp + tn)
    cross = tp * tn - fp * fn
    return Fraction(cross * abs(cross), scale) if scale else Fraction(0)


def exact_f1(counts: Counts) -> Fraction:
    """Compute F1 without rounding."""
    tp, fp, fn, _ = counts
    return Fraction(2 * tp, 2 * tp + fp + fn)


def exact_youden(counts: Counts) -> Fraction:
    """Compute sensitivity + specificity - 1 without rounding."""
    tp, fp, fn, tn = counts
    return Fraction(tp, tp + fn) + Fraction(tn, tn + fp) - 1


EXACT: dict[str, Callable[[Counts], Fraction]] = {
    "mcc": signed_square_mcc,
    "f1": exact_f1,
    "youden": exact_youden,
}


def best_by_roc(rule: str, scores: Floats, truth: Floats, *, corners_only: bool = False) -> float:
    """Try the ROC curve's thresholds, without the first, from the lowest; keep the first best."""
    thresholds = roc_curve(truth, scores, drop_intermediate=corners_only)[2][1:]
    ascending = sorted(float(t) for t in thresholds)
    values = [EXACT[rule](counts_at(t, scores, truth)) for t in ascending]
    return ascending[values.index(max(values))]


def highest_sensitive(target: float, scores: Floats, truth: Floats) -> float:
    """Lower the threshold from the highest score until enough positives are found."""
    for threshold in sorted(set(scores.tolist()), reverse=True):
        tp, _, fn, _ = counts_at(threshold, scores, truth)
        if tp / (tp + fn) >= target:
            return float(threshold)
    raise AssertionError("the lowest score finds everybody")


def lowest_specific(target: float, scores: Floats, truth: Floats) -> float | None:
    """Raise the threshold from the lowest score until enough negatives are left alone."""
    for threshold in sorted(set(scores.tolist())):
        _, fp, _, tn = counts_at(threshold, scores, truth)
        if tn / (tn + fp) >= target:
            return float(threshold)
    return None


def brier(scores: Numbers, truth: Numbers) -> float:
    """Average the squared distances of score and label, unknown labels aside."""
    pairs = [(s, t) for s, t in zip(scores, truth, strict=True) if t in (0, 1)]
    return sum(float(s - t) ** 2 for s, t in pairs) / len(pairs)


def calibration_error(scores: Numbers, truth: Numbers, bins: int) -> float:
    """Go through the bins ((m - 1) / M, m / M], the first with its lower end."""
    pairs = [(s, t) for s, t in zip(scores, truth, strict=True) if t in (0, 1)]
    total = 0.0
    for m in range(1, bins + 1):
        inside = [(s, t) for s, t in pairs if (m - 1) / bins < s <= m / bins or (m == 1 and s == 0)]
        if inside:
            observed = sum(t for _, t in inside) / len(inside)
            expected = sum(s for s, _ in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(observed - expected)
    return total


def log_loss(probabilities: Numbers, targets: Numbers) -> float:
    """Sum the surprise of every label; what is impossible surprises without end."""
    total = 0.0
    for p, t in zip(probabilities, targets, strict=True):
        for share, probability in ((t, p), (1 - t, 1 - p)):
            if share:
                total -= share * float(np.log(probability)) if probability > 0 else -np.inf
    return total
