"""The curve of a training: its loss along the steps."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from hilum.plots.canvas import PALETTE, blank, level, name_axes, ticks


def training_curve(
    steps: ArrayLike,
    losses: ArrayLike,
    *,
    chance: float | None = None,
    unit: str = "step",
    name: str = "Loss",
) -> Figure:
    """Draw a loss, pale as logged and dark as a running mean.

    Parameters
    ----------
    steps, losses : (n,)
        As logged.
    chance
        The loss of a model that has learnt nothing, drawn as a line: ln(K + 1) for MoCo.
    unit, name
        What is counted along, and what is drawn.
    """
    step, loss = np.asarray(steps, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    figure, (axes,) = blank(3.0)
    window = max(1, loss.size // 40)
    smooth = _running_mean(loss, window)
    axes.plot(step, loss, color=PALETTE[0], alpha=0.25, linewidth=1)
    axes.plot(step[window - 1 :], smooth, color=PALETTE[0], linewidth=2)
    if chance is not None:
        level(axes, f"nothing learnt: {chance:.2f}", chance, at_right=True)
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(ticks(5))
    axes.xaxis.set_major_locator(ticks(5, integer=True))
    name_axes(axes, unit.capitalize(), name)
    return figure


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    return np.convolve(values, np.full(window, 1 / window), mode="valid")
