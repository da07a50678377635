"""Trainings side by side: what was lost and what was gained along the steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hilum.plots.canvas import INK, MARKERS, PALETTE, SIZE, blank, level, name_axes, ticks

_WINDOWS: Final = 30  # a running mean is over the run's length, divided by this
_SHORT: Final = 20  # letters: names of which two fit beside each other


@dataclass(frozen=True, eq=False)
class Trained:
    """One training.

    Parameters
    ----------
    steps, losses : (n,)
        As logged.
    measured, measures : (m,)
        When validation images were looked at, and what was found.
    """

    steps: NDArray[np.float64]
    losses: NDArray[np.float64]
    measured: NDArray[np.float64]
    measures: NDArray[np.float64]


def trainings(
    arms: Mapping[str, Sequence[Trained]],
    *,
    measure: str = "Mean AUROC, validation",
    losses: bool = True,
    chance: float | None = 0.5,
) -> Figure:
    """Draw up to six ways to train: the loss above, the measure below, a line per seed.

    Parameters
    ----------
    arms
        By name, the trainings of each.
    measure
        What was measured on the way.
    losses
        False where arms have losses that cannot be compared.
    chance
        What a guess reaches, drawn as a line.

    Raises
    ------
    ValueError
        If there are none, or more than six.
    """
    if not 1 <= len(arms) <= len(PALETTE):
        raise ValueError(f"one to {len(PALETTE)} arms fit a figure; got {len(arms)}")
    heights = [1.0, 1.4] if losses else [1.0]
    columns = 2 if max(map(len, arms)) <= _SHORT else 1
    legend = 0.24 * -(-len(arms) // columns)
    figure, panels = blank(1.2 + 1.6 * sum(heights) + legend, rows=len(heights), heights=heights)
    for (name, seeds), colour, marker in zip(arms.items(), PALETTE, MARKERS, strict=False):
        for at, one in enumerate(seeds):
            label = name if at == 0 else None
            if losses:
                _draw_loss(panels[0], one, colour)
            panels[-1].plot(one.measured, one.measures, color=colour, marker=marker,
                            markersize=5, linewidth=1.8, label=label)  # fmt: skip
    if chance is not None:
        level(panels[-1], "a guess", chance, at_right=True)
    for axes in panels:
        axes.margins(x=0.02)
        axes.yaxis.set_major_locator(ticks(5))
        axes.xaxis.set_major_locator(ticks(5, integer=True))
    if losses:
        name_axes(panels[0], "", "Loss")
        panels[0].sharex(panels[-1])
        panels[0].tick_params(labelbottom=False)
    name_axes(panels[-1], "Step", measure)
    figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=SIZE,
                  labelcolor=INK, handletextpad=0.4, columnspacing=1.2)  # fmt: skip
    return figure


def _draw_loss(axes: Axes, one: Trained, colour: str) -> None:
    """Draw a running mean; where it is undefined, nothing."""
    window = max(1, one.losses.size // _WINDOWS)
    if one.losses.size:
        smooth = np.convolve(one.losses, np.full(window, 1 / window), mode="valid")
        axes.plot(one.steps[window - 1 :], smooth, color=colour, linewidth=1.6)
