"""Findings down the page, a point and an interval each: series, readers and models, differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoMinorLocator, StrMethodFormatter

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import FAINT, INK, MARKERS, PALETTE, SIZE, name_axes, ticks
from hilum.plots.cast import MEAN, cast_of
from hilum.plots.rows import DASHED, beside, draw_rows, named_rows, undefined


def forest(
    findings: Sequence[str],
    series: Mapping[str, Sequence[Measure]],
    *,
    x: str = "AUROC",
    chance: float | None = 0.5,
    last_is_mean: bool = False,
) -> Figure:
    """Draw one row per finding, with a point and an interval per series.

    Parameters
    ----------
    findings
        Row names, first on top.
    series
        Measures in the order of `findings`, by name; one to six.
    x
        The statistic.
    chance
        Where a line marks a guess, or None.
    last_is_mean
        Whether the last row sums up the others; it is then set apart.
    """
    styles = [
        {"marker": marker, "color": colour, "markersize": 6, "label": name}
        for marker, colour, name in zip(MARKERS, PALETTE, series, strict=False)
    ]
    return _forest(findings, series, styles, x, chance=chance, last_is_mean=last_is_mean)


def readers(
    findings: Sequence[str],
    readers: Mapping[str, Sequence[Measure]],
    models: Mapping[str, Sequence[Measure]],
    *,
    mean: tuple[str, Sequence[Measure]] | None = None,
    x: str = "F1",
    last_is_mean: bool = False,
) -> Figure:
    """Draw what readers and models reach on each finding, marked as on the ROC figure.

    Parameters
    ----------
    findings
        Row names, first on top.
    readers, models
        Measures in the order of `findings`, by name; up to three models.
    mean
        The mean of the readers: what the legend calls it, and its measures.
    x
        The statistic, such as F1 or MCC.
    last_is_mean
        Whether the last row sums up the others; it is then set apart.

    Raises
    ------
    ValueError
        If there are more than three models.
    """
    cast = cast_of(models, readers)
    series = {**readers, **({mean[0]: mean[1]} if mean else {}), **models}
    styles = [cast.reader(name) for name in readers]
    styles += [MEAN] if mean else []
    styles += [cast.ring(name) for name in models]
    labelled = [{**style, "label": name} for style, name in zip(styles, series, strict=True)]
    return _forest(findings, series, labelled, x, chance=None, last_is_mean=last_is_mean)


def _forest(
    findings: Sequence[str],
    series: Mapping[str, Sequence[Measure]],
    styles: Sequence[Mapping[str, Any]],
    x: str,
    *,
    chance: float | None,
    last_is_mean: bool,
) -> Figure:
    row = 0.14 * (1 + len(series))
    figure, axes = named_rows(findings, row=row, last_is_mean=last_is_mean)
    apart = min(0.22, 0.85 / len(series))  # of a row
    for at, (style, measures) in enumerate(zip(styles, series.values(), strict=True)):
        places = np.arange(len(findings)) + apart * (at - (len(series) - 1) / 2)
        draw_rows(axes, places, measures, style)
    by_finding = zip(*series.values(), strict=True)
    none = [all(m.estimate is None for m in measures) for measures in by_finding]
    undefined(axes, [row for row, empty in enumerate(none) if empty])
    if chance is not None:
        axes.axvline(chance, **DASHED)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=SIZE,
                  labelcolor=INK, handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    name_axes(axes, x, "")
    return figure


def differences(
    findings: Sequence[str],
    measures: Sequence[Measure],
    *,
    x: str = "Difference in AUROC",
    sides: tuple[str, str] | None = None,
    margin: float | None = None,
    last_is_mean: bool = False,
) -> Figure:
    """Draw differences with their intervals, and their p-values at the right where they have any.

    Parameters
    ----------
    findings
        Row names, first on top.
    measures
        One per finding, such as model minus mean of readers.
    x
        What is subtracted from what.
    sides
        Who is better left and right of 0, in two or three words each.
    margin
        How much worse would still do: a line at minus this number, right of which an interval
        must lie to show non-inferiority.
    last_is_mean
        Whether the last row sums up the others; it is then set apart.

    Raises
    ------
    ValueError
        If the margin is not above 0.
    """
    if margin is not None and not margin > 0:
        raise ValueError(
            f"a margin is a number above 0, how much worse would still do; got {margin}"
        )
    figure, axes = named_rows(findings, row=0.32, last_is_mean=last_is_mean)
    axes.axvline(0, **DASHED)
    if margin is not None:
        axes.axvline(-margin, color=PALETTE[1], linewidth=1.4, linestyle=(0, (1.5, 1.5)))
        axes.annotate(f"margin −{margin:g}", (-margin, 1), xycoords=("data", "axes fraction"),
                      xytext=(0, 3), textcoords="offset points", ha="center", va="bottom",
                      fontsize=SIZE - 1, color=PALETTE[1])  # fmt: skip
    style = {"marker": MARKERS[0], "color": PALETTE[0], "markersize": 6}
    draw_rows(axes, np.arange(len(findings)), measures, style)
    _number_sparsely(axes)
    undefined(axes, [row for row, m in enumerate(measures) if m.estimate is None])
    beside(axes, _p_values(measures))
    name_axes(axes, x if sides is None else f"← {sides[0]}      {sides[1]} →\n{x}", "")
    return figure


def _number_sparsely(axes: Axes) -> None:
    """Write few and short numbers below the axes: p-values beside them leave little room."""
    axes.xaxis.set_major_locator(ticks(4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(AutoMinorLocator(2))
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", axis="x", color=FAINT, linewidth=0.8)


def _p_values(measures: Sequence[Measure]) -> dict[str, list[str]]:
    columns = {
        "p": [_p(m.p_value) for m in measures],
        "adjusted": [_p(m.p_adjusted) for m in measures],
    }
    return {name: cells for name, cells in columns.items() if any(cells)}


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
