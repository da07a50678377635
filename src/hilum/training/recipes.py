"""Recipes: every number that decides a result, under a name.

A recipe is data. `override` changes some of its numbers; the run stores what came out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from hilum.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")  # a recipe: numbers, and parts that are settings


@dataclass(frozen=True)
class Recipe:
    """What every recipe has; abstract.

    Parameters
    ----------
    name
        What it is called.
    about
        Its source, its command, how long it takes and what to expect.
    """

    name: str
    about: str

    def as_dict(self) -> dict[str, Any]:
        """Return every number as nested JSON types."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        own = {name: part.as_dict() for name, part in parts.items() if hasattr(part, "as_dict")}
        return asdict(self) | own


def check_validate(way: str, ways: Sequence[str]) -> None:
    """Raise UsageError unless `way` is one of the ways to validate that a recipe knows."""
    if way not in ways:
        raise UsageError(f"{way!r} is not a way to validate; choose from {', '.join(ways)}")


def find(recipe: str | R, known: Mapping[str, R]) -> R:
    """Return a recipe by name, or the recipe itself.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    if not isinstance(recipe, str):
        return recipe
    if recipe not in known:
        raise UsageError(f"{recipe!r} is not a recipe; choose from {', '.join(known)}")
    return known[recipe]


def override(recipe: R, changes: Mapping[str, Any]) -> R:
    """Return the recipe with some numbers changed, by the names of their fields.

    Names of a recipe and of its parts are all different, so no prefix is needed:
    ``override(recipe, {"steps": 100, "queue": 512, "rotate": 5})``. Giving `steps` takes away
    `epochs`, and the other way round; giving `channels` repeats or averages `mean` and `std`.
    Lists, as JSON has them, become tuples.

    Raises
    ------
    UsageError
        If there is no such field; the message lists them.
    """
    changes = {
        key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()
    }
    values = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    parts: dict[str, Any] = {name: part for name, part in values.items() if is_dataclass(part)}
    own = [name for name in values if name not in (*parts, "name", "about")]
    names = {part: [f.name for f in fields(value)] for part, value in parts.items()}
    known = [*own, *chain.from_iterable(names.values())]
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise UsageError(f"a recipe has no {unknown[0]!r}; it has {', '.join(known)}")
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in changes:
            changes.setdefault(other, 0)
    if "channels" in changes:
        for key in ("mean", "std"):
            if values[key]:
                average = sum(values[key]) / len(values[key])
                changes.setdefault(key, (average,) * changes["channels"])
    for part, value in parts.items():
        chosen = {key: changes.pop(key) for key in names[part] if key in changes}
        changes[part] = replace(value, **chosen)
    return replace(recipe, **changes)
