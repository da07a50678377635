"""A query beside a retrieved image, each with its map; and likeness as pixels come and go."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hilum.plots.canvas import GREY, INK, PALETTE, SIZE, WIDTH, blank, name_axes
from hilum.plots.heatmaps import Film, Heat, Outline, draw_scale, outlined, overlay

LOW, GAP = 0.62, 0.06  # inches: of the legend, between pictures
LABEL = 0.26  # above a column


@dataclass(frozen=True, eq=False)
class Side:
    """One image of a pair.

    Parameters
    ----------
    film : (height, width) or (height, width, 3)
        The image.
    heat : (height, width) or None
        Its map, 0 to 1.
    name
        What it is.
    outlines
        What is marked in it.
    without
        Why there is no map, in words.
    """

    film: Film
    heat: Heat | None
    name: str
    outlines: Sequence[Outline] = ()
    without: str = ""


def pair_maps(query: Side, retrieved: Side, title: str, below: str) -> Figure:
    """Draw two films side by side, and below each the same with its map.

    Parameters
    ----------
    query, retrieved
        The two; their films may differ in shape.
    title, below
        How similar they are; how the maps were made.
    """
    side = (WIDTH - GAP) / 2
    tall = side * max(one.film.shape[0] / one.film.shape[1] for one in (query, retrieved))
    lines = textwrap.wrap(below, 72)
    head = 0.36 + 0.19 * len(lines)
    total = head + LABEL + 2 * tall + GAP + LOW
    figure = Figure(figsize=(WIDTH, total))
    figure.text(
        0.01, 1 - 0.05 / total, title, va="top", fontsize=SIZE + 1, color=INK, weight="bold"
    )
    figure.text(
        0.01, 1 - 0.32 / total, "\n".join(lines), va="top", fontsize=SIZE - 3, color=GREY
    )  # fmt: skip
    for column, one in enumerate((query, retrieved)):
        left = column * (side + GAP) / WIDTH
        upper, lower = (LOW + tall + GAP) / total, LOW / total
        place = (left + 0.004, (LOW + 2 * tall + GAP + 0.08) / total)
        figure.text(*place, one.name, fontsize=SIZE - 2, color=INK)
        for row, bottom in enumerate((upper, lower)):
            axes = figure.add_axes((left, bottom, side / WIDTH, tall / total))
            _show(axes, one, with_map=row == 1)
    draw_scale(figure, (0.5 + GAP / WIDTH, 0.38 / total, side / WIDTH - 0.01, 0.09 / total))
    if query.outlines or retrieved.outlines:
        figure.text(0.01, 0.3 / total, "Blue line: marked in both", fontsize=SIZE - 3, color=INK)
    return figure


def _show(axes: Axes, side: Side, *, with_map: bool) -> None:
    axes.set_axis_off()
    picture: Film = side.film
    if with_map and side.heat is not None:
        picture = overlay(side.film, side.heat)
    if not with_map or side.heat is not None:
        axes.imshow(outlined(picture, side.outlines), interpolation="lanczos")
        axes.set_anchor("N")
        return
    words = "\n".join(textwrap.wrap(side.without, 34))
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center",
              fontsize=SIZE - 2, color=GREY)  # fmt: skip


def fidelity_curves(
    curves: Mapping[str, Mapping[str, NDArray[np.floating]]], better: Mapping[str, str]
) -> Figure:
    """Draw the mean likeness after every step, of a method and of maps that know nothing.

    Parameters
    ----------
    curves
        By kind ("insertion", "deletion"), then by name: (steps + 1,).
    better
        Whether higher or lower is better, by kind.
    """
    figure, axes = blank(2.9, columns=2)
    highest = max(float(np.max(one)) for own in curves.values() for one in own.values())
    lowest = min(float(np.min(one)) for own in curves.values() for one in own.values())
    for one, (kind, own) in zip(axes, curves.items(), strict=True):
        for at, (name, values) in enumerate(own.items()):
            share = np.linspace(0, 100, len(values))
            one.plot(share, values, color=PALETTE[at % len(PALETTE)], linewidth=1.8, label=name,
                     linestyle="-" if at == 0 else (0, (4, 2)))  # fmt: skip
        one.set_title(f"{kind.capitalize()}: {better[kind]} is better", fontsize=SIZE - 1,
                      color=INK, loc="left")  # fmt: skip
        one.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.03 * (highest - lowest))
        name_axes(one, f"pixels {'put back' if kind == 'insertion' else 'taken'} (%)",
                  "cosine with the query" if kind == "insertion" else "")  # fmt: skip
    axes[1].legend(fontsize=SIZE - 2, frameon=False, labelcolor=INK)
    return figure
