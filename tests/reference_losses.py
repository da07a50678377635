"""Losses of one label at a time, in plain numbers: slow and obvious."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hilum.training.losses import LossSettings

Floats = NDArray[np.float64]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def entropy(x: float, y: float) -> float:
    return -y * math.log(sigmoid(x)) - (1 - y) * math.log(sigmoid(-x))


def study(x: float, y: float, f: float, s: LossSettings) -> float:
    p = sigmoid(x)
    return -(1 - f) * y * math.log(p) - f * (1 - y) * math.log(1 - p)


def bce(x: float, y: float, f: float, s: LossSettings) -> float:
    return entropy(x, y)


def positive(x: float, y: float, f: float, s: LossSettings) -> float:
    p, ratio = sigmoid(x), min((1 - f) / f, s.most_ratio)
    return -ratio * y * math.log(p) - (1 - y) * math.log(1 - p)


def focal(x: float, y: float, f: float, s: LossSettings) -> float:
    distance = abs(y - sigmoid(x))
    return float(distance**s.focus) * entropy(x, y)


def asymmetric(x: float, y: float, f: float, s: LossSettings) -> float:
    p = sigmoid(x)
    q = max(p - s.shift, 0)
    absent = -(q**s.focus_absent) * math.log(1 - q)
    return float(y * -((1 - p) ** s.focus_present) * math.log(p) + (1 - y) * absent)


def adjusted(x: float, y: float, f: float, s: LossSettings) -> float:
    return entropy(x + s.strength * math.log(f / (1 - f)), y)


SLOW: dict[str, Callable[[float, float, float, LossSettings], float]] = {
    "study": study, "bce": bce, "positive": positive, "focal": focal,
    "asymmetric": asymmetric, "adjusted": adjusted,
}  # fmt: skip


def auc_margin(logits: Floats, targets: Floats, gap: float) -> Floats:
    """Return each finding's loss over a whole set, the best a, b and alpha put in by hand.

    The variances of positive and of negative scores, and the squared shortfall of the gap.
    """
    out = []
    for x, y in zip(logits.T, targets.T, strict=True):
        p = np.array([sigmoid(one) for one in x])
        present, absent = p[y == 1], p[y == 0]
        short = max(0.0, gap - (present.mean() - absent.mean()))
        out.append(present.var() + absent.var() + short**2)
    return np.array(out)


def loss_slowly(logits: Floats, targets: Floats, frequency: Floats, s: LossSettings) -> float:
    """Return the loss of a batch with unknown (NaN) labels, label by label."""
    by_finding = []
    for j, f in enumerate(frequency):
        known = [i for i in range(len(targets)) if not math.isnan(targets[i, j])]
        by_finding.append([SLOW[s.loss](logits[i, j], targets[i, j], f, s) for i in known])
    if s.loss == "study":
        return sum(sum(costs) / len(costs) for costs in by_finding if costs)
    every = [cost for costs in by_finding for cost in costs]
    return sum(every) / len(every)
