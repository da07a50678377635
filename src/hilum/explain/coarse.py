"""Scores of all windows from a few: look at a sparse lattice of them, interpolate the others.

Neighbouring windows hide nearly the same pixels, so scores change little from one to the next. A
cubic spline through a lattice of windows stands for the rest (how well: `docs/choices.md`, where
spending half of the looks where the score was least sure is found to be worse).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from hilum.errors import UsageError
from hilum.explain.windows import Windows

Scores = NDArray[np.float64]

LEAST: Final = 4
"""Windows along an axis that a cubic goes through."""


def interpolated(
    windows: Windows, look: Callable[[NDArray[np.int64]], Scores], forwards: int
) -> Scores:
    """Return the score of every window, looking at some of them.

    Parameters
    ----------
    windows
        All there are.
    look
        Positions of windows (k,) → their scores (k,). Called once.
    forwards
        How many to look at, at most.

    Returns
    -------
    (n,)
        Exact where it was looked at.

    Raises
    ------
    UsageError
        If there are too few looks for a lattice, or more than windows.
    """
    down, right = windows.lattice
    fewest = LEAST * LEAST
    if min(down, right) < LEAST or not fewest <= forwards <= len(windows):
        raise UsageError(
            f"a map of {down} × {right} windows cannot be estimated from {forwards} of them; "
            f"choose {fewest} to {len(windows)}, of at least {LEAST} × {LEAST}"
        )
    rows, columns = _lattice(down, right, forwards)
    known = look((rows[:, None] * right + columns).ravel()).reshape(len(rows), len(columns))
    spline = RectBivariateSpline(rows, columns, known, kx=3, ky=3, s=0)
    found = np.asarray(spline(np.arange(down), np.arange(right)), np.float64)
    found[np.ix_(rows, columns)] = known
    return found.ravel()


def _lattice(down: int, right: int, looks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of at most so many windows, evenly spread from edge to edge."""
    first = int(np.clip(np.sqrt(looks * down / right), LEAST, min(down, looks // LEAST)))
    second = min(right, looks // first)
    rows, columns = (
        np.linspace(0, all_ - 1, some).round().astype(np.int64)
        for all_, some in ((down, first), (right, second))
    )
    return rows, columns
