"""The logistic curve through one score and a label: log-odds, and the line that is likeliest."""

from typing import Final

import numpy as np
from scipy.special import expit

from hilum.evaluate.ranking import Floats

LEAST: Final = 1e-6
"""Added to a probability and to its complement before the logarithm. A score of exactly 0 or 1 is
what was rounded or saturated, not certainty: it counts as odds of one in a million. Added, not cut
off, so that smaller scores stay below larger ones."""


def log_odds(probabilities: Floats) -> Floats:
    """Return the log-odds of probabilities in [0, 1], finite at both ends, strictly increasing."""
    odds: Floats = np.log(probabilities + LEAST) - np.log(1 - probabilities + LEAST)
    return odds


def overlap(x: Floats, labels: Floats) -> bool:
    """Say if both classes overlap, so that the likeliest line has a finite slope.

    Where a threshold separates them, images on it aside, every steeper line is likelier still
    (Albert and Anderson, Biometrika 71:1-10, 1984).
    """
    positive, negative = x[labels == 1], x[labels == 0]
    return bool(negative.max() > positive.min() and positive.max() > negative.min())


def fit_line(x: Floats, targets: Floats) -> tuple[float, float]:
    """Return slope and intercept of the line whose logistic curve is likeliest.

    Newton's method with halved steps: the loss is convex, so it cannot miss.

    Parameters
    ----------
    x : (n,)
        Finite, not all equal.
    targets : (n,)
        Labels that `overlap`, or numbers strictly between 0 and 1.
    """
    centre, spread = x.mean(), x.std()
    design = np.stack([(x - centre) / spread, np.ones(x.size)], axis=1)  # (n, 2)
    line = np.zeros(2)
    loss = _loss(design @ line, targets)
    for _ in range(100):
        odds = expit(design @ line)
        slopes = design.T @ (odds - targets)
        curvature = (design * (odds * (1 - odds))[:, None]).T @ design
        step = np.linalg.solve(curvature, slopes)
        if slopes @ step < 1e-13 * x.size:
            break
        line, loss = _downhill(design, targets, line, step, loss)
    slope = float(line[0] / spread)
    return slope, float(line[1] - slope * centre)


def _loss(eta: Floats, targets: Floats) -> float:
    return float(np.logaddexp(0, eta).sum() - targets @ eta)


def _downhill(
    design: Floats, targets: Floats, line: Floats, step: Floats, loss: float
) -> tuple[Floats, float]:
    for halvings in range(60):
        trial = line - step * 0.5**halvings
        value = _loss(design @ trial, targets)
        if value < loss:
            return trial, value
    return line, loss  # as low as floats can tell
