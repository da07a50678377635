"""What is compared: arms that differ in a few settings and share everything else."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from hilum.errors import UsageError

STUDY: Final = (
    "densenet121",
    "vgg19",
    "resnet50",
    "inception_v3",
    "mobilenetv2_100",
    "efficientnet_b3",
)
"""The six backbones of the NIH study, by timm's names."""

AXES: Final = {
    "backbone": "architecture",
    "loss": "loss",
    "pooling": "pooling",
    "inputs": "inputs",
    "start": "init",
}
"""What may differ between arms, and the field of the recipe that it sets."""

Value = str | tuple[str, ...]


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Parameters
    ----------
    name
        What it is called, in tables and figures.
    changes
        The fields of the recipe that it sets, by name.
    """

    name: str
    changes: Mapping[str, Value]

    @property
    def folder(self) -> str:
        """A folder's name that no other changes have, whatever else is compared with them."""
        values = "-".join(_said(self.changes[key]) for key in AXES.values() if key in self.changes)
        plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", values)[:80].strip("-.")
        text = json.dumps(json_types(self.changes), sort_keys=True)
        return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Design:
    """Arms under one budget.

    Parameters
    ----------
    vary
        Of each of some `AXES`, the values; every combination is an arm. The six backbones of the
        study if nothing varies.
    recipe
        Whose other fields all arms share.
    changes
        Fields of the recipe that are set for all arms: the budget (``epochs`` or ``steps``), the
        size of the images, the findings.
    seeds
        Every arm is trained once with each.

    Raises
    ------
    UsageError
        If there is no such axis, an axis has no value or one twice, or a change is for all arms
        and for some.
    """

    vary: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: {"backbone": STUDY})
    recipe: str = "nih-study"
    changes: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for axis, values in self.vary.items():
            if axis not in AXES:
                raise UsageError(f"{axis!r} cannot vary; choose from {', '.join(AXES)}")
            _check_different(axis, values)
            if AXES[axis] in self.changes:
                raise UsageError(f"{AXES[axis]} varies between arms: do not set it for all")
        _check_different("seed", self.seeds)
        if "seed" in self.changes:
            raise UsageError("name the seeds with seeds, not among the changes")

    def arms(self) -> tuple[Arm, ...]:
        """Return every combination of what varies, named by what tells it from the others."""
        telling = [axis for axis, values in self.vary.items() if len(values) > 1]
        telling = telling or list(self.vary)
        made = []
        for values in product(*self.vary.values()):
            by_axis = dict(zip(self.vary, values, strict=True))
            name = " · ".join(_said(by_axis[axis]) for axis in telling)
            made.append(Arm(name, {AXES[axis]: value for axis, value in by_axis.items()}))
        return tuple(made)

    def as_dict(self) -> dict[str, Any]:
        """Return what all arms share, as plain JSON types."""
        return {
            "recipe": self.recipe,
            "changes": json_types(self.changes),
            "seeds": list(self.seeds),
        }


def json_types(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON has them, which knows no tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}


def _check_different(what: str, values: Sequence[object]) -> None:
    if not values or len(set(values)) < len(values):
        named = ", ".join(map(str, values)) or "none"
        raise UsageError(f"name each {what} once, and at least one; got {named}")


def _said(value: Value) -> str:
    return value if isinstance(value, str) else "+".join(value)
