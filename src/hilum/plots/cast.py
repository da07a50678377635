"""Who is who: the colours and markers of models and readers, the same in every figure.

Models have colours and dashes, readers have the colour of ink and a marker each; their mean is a
star, and a model at its threshold a ring in the model's colour.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.lines import Line2D

from hilum.plots.canvas import INK, MARKERS, PALETTE

MODELS: Final = 3
"""How many models a figure can hold."""

MEAN: Final[dict[str, Any]] = {
    "marker": "*", "color": "#E69F00", "markersize": 12, "markeredgecolor": INK,
    "markeredgewidth": 0.8, "linestyle": "",
}  # fmt: skip
"""How the mean of the readers is drawn."""

_DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1)))


@dataclass(frozen=True)
class Cast:
    """Models and readers in the order of their styles.

    Parameters
    ----------
    models, readers
        Their names.

    Raises
    ------
    ValueError
        If there are more than three models.
    """

    models: Sequence[str]
    readers: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.models) > MODELS:
            raise ValueError(
                f"a figure holds at most {MODELS} models, got {len(self.models)}: "
                f"{', '.join(self.models)}; draw the others in a figure of their own"
            )

    def colour(self, model: str) -> str:
        """Return a model's colour."""
        return PALETTE[self.models.index(model)]

    def line(self, model: str) -> dict[str, Any]:
        """Return how a model's line is drawn."""
        dashes = _DASHES[self.models.index(model)]
        return {"color": self.colour(model), "linestyle": dashes, "linewidth": 1.8}

    def ring(self, model: str) -> dict[str, Any]:
        """Return how a model at its threshold is drawn."""
        return {"marker": "o", "color": self.colour(model), "markerfacecolor": "white",
                "markeredgewidth": 2, "markersize": 7, "linestyle": ""}  # fmt: skip

    def reader(self, name: str) -> dict[str, Any]:
        """Return how a reader is drawn; all alike where there are more than six."""
        few = len(self.readers) <= len(MARKERS)
        marker = MARKERS[self.readers.index(name)] if few else MARKERS[0]
        return {"marker": marker, "color": INK, "markeredgecolor": "white",
                "markeredgewidth": 0.7, "markersize": 7, "linestyle": ""}  # fmt: skip

    def reader_entries(self) -> list[Line2D]:
        """Return the readers' entries in a legend: each by name, or one for more than six."""
        if len(self.readers) > len(MARKERS):
            return [entry(f"{len(self.readers)} readers", self.reader(self.readers[0]))]
        return [entry(name, self.reader(name)) for name in self.readers]


def cast_of(models: Iterable[str], readers: Iterable[str]) -> Cast:
    """Return the cast of names that may come more than once, in order of appearance."""
    return Cast(list(dict.fromkeys(models)), list(dict.fromkeys(readers)))


def entry(name: str, style: dict[str, Any]) -> Line2D:
    """Return an entry of a legend."""
    return Line2D([], [], label=name, **style)
