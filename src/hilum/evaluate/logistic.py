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

    Newton's method with halved steps: the loss is convex, so it cannot go astray.

    Parameters
    ----------
    x : (n,)
        Finite, not all equal.
    targets : (n,)
        Labels that `overlap`, or numbers strictly between 0 and 1.

    Raises
    ------
    ValueError
        If floats cannot tell the slope, as where the classes overlap by a billionth of the
        range of `x`.
    """
    centre, spread = x.mean(), x.std()
    design = np.stack([(x - centre) / spread, np.ones(x.size)], axis=1)  # (n, 2)
    line, promise = np.zeros(2), np.inf
    for _ in range(100):
        step, promise = _newton(design, targets, line)
        if promise < 1e-13 * x.size:
            break
        lower = _downhill(design, targets, line, step)
        if lower is line:
            break
        line = lower
    if not promise < 1e-9 * x.size:
        raise ValueError("too few scores differ, and by too little, for a line through them")
    slope = float(line[0] / spread)
    return slope, float(line[1] - slope * centre)


def _newton(design: Floats, targets: Floats, line: Floats) -> tuple[Floats, float]:
    """Return Newton's step, and twice what it should gain; infinite if there is no step."""
    odds = expit(design @ line)
    slopes = design.T @ (odds - targets)
    curvature = (design * (odds * (1 - odds))[:, None]).T @ design
    try:
        step = np.linalg.solve(curvature, slopes).astype(np.float64)
    except np.linalg.LinAlgError:
        return np.zeros(2), np.inf
    return step, float(slopes @ step)


def _downhill(design: Floats, targets: Floats, line: Floats, step: Floats) -> Floats:
    """Return the line after the longest half, quarter ... of a step that gains anything."""
    loss = _loss(design @ line, targets)
    for halvings in range(60):
        trial = line - step * 0.5**halvings
        if _loss(design @ trial, targets) < loss:
            return trial
    return line  # as low as floats can tell


def _loss(eta: Floats, targets: Floats) -> float:
    return float(np.logaddexp(0, eta).sum() - targets @ eta)
