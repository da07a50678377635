"""Why a map is blank, in numbers and in words.

A map can be blank for reasons that have nothing to do with each other: the logit does not depend
on the layer at all (units that are dead, a branch with weight zero), it depends on tokens that
have no position, the layer is silent, or it does depend but everything there speaks against the
finding and the ReLU takes it away. Only the last is a statement about the image.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hilum.explain.cam import Maps
from hilum.explain.capture import Capture, capture
from hilum.explain.layers import Forward, Layer, main_tensor, watching

Kind = Literal[
    "map",
    "flat",
    "against",
    "unlike",
    "no-gradient",
    "beside-the-map",
    "no-activation",
    "not-finite",
]
_FLAT: Final = 1e-6  # of the largest value: rounding, not shape

WORDS: Final[dict[Kind, str]] = {
    "map": "a map",
    "flat": "the map is the same everywhere, so it points nowhere",
    "against": "nothing in the image speaks for the finding: the sum is not above 0 anywhere",
    "unlike": "nothing in the image makes the two similar: the map is 0 everywhere",
    "no-gradient": "no gradient reaches the layer, so the score does not depend on it here",
    "beside-the-map": "the gradient reaches only tokens that have no place: take an earlier layer",
    "no-activation": "the layer is silent: all its activations are 0",
    "not-finite": "activations or gradients are not finite numbers",
}


@dataclass(frozen=True)
class Diagnosis:
    """What a map rests on.

    Parameters
    ----------
    kind
        ``"map"``, or why it is blank: see `WORDS`.
    gradient_norm
        Euclidean length of the gradient of the logit by the layer's maps.
    beside_norm
        The same by its tokens without a position.
    dead
        The share of channels that are 0 at every position of this image.
    highest, lowest
        Of the signed map.
    ends
        Where a gradient of 0 became 0, in words, or "".
    """

    kind: Kind
    gradient_norm: float
    beside_norm: float
    dead: float
    highest: float
    lowest: float
    ends: str = ""

    @property
    def blank(self) -> bool:
        """Whether there is nothing to draw."""
        return self.kind != "map"

    def words(self) -> str:
        """Say in one line what it is, with the numbers that show it."""
        said = WORDS[self.kind]
        if self.kind == "against":
            said += f" (from {self.lowest:.2g} to {self.highest:.2g})"
        return f"{said}: {self.ends}" if self.ends else said

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; numbers that are not finite become None."""
        plain = asdict(self) | {"words": self.words()}
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in plain.items()
        }


def diagnose(signed: Maps, activations: Maps, gradients: Maps, beside: Maps) -> list[Diagnosis]:
    """Tell for each image whether its map is one, and if not, why.

    Parameters
    ----------
    signed : (n, h, w)
        From a method of `hilum.explain.cam`.
    activations, gradients : (n, c, h, w)
        What it was made from.
    beside : (n, prefix, c)
        The gradient by tokens without a position.
    """
    norms = np.sqrt(np.square(gradients, dtype=np.float64).sum(axis=(1, 2, 3)))
    beside_norms = np.sqrt(np.square(beside, dtype=np.float64).sum(axis=(1, 2)))
    dead = (activations == 0).all(axis=(2, 3)).mean(axis=1)
    out = []
    for at, one in enumerate(signed):
        norm, beside_norm, silent = float(norms[at]), float(beside_norms[at]), float(dead[at])
        highest, lowest = float(one.max()), float(one.min())
        kind = _kind(norm, beside_norm, silent, highest, lowest)
        out.append(Diagnosis(kind, norm, beside_norm, silent, highest, lowest))
    return out


def diagnose_pair(heat: Maps) -> Diagnosis:
    """Tell whether a map of a similarity (h, w), 0 or above, is one; it has no gradient."""
    highest, lowest = float(heat.max()), float(heat.min())
    kind: Kind = "map" if highest - lowest > _FLAT * highest else "flat"
    if highest == 0:
        kind = "unlike"
    return Diagnosis(kind, np.nan, np.nan, np.nan, highest, lowest)


def _kind(norm: float, beside: float, dead: float, highest: float, lowest: float) -> Kind:
    if not np.isfinite([norm, beside, highest, lowest]).all():
        return "not-finite"
    if highest > 0:
        largest = max(highest, abs(lowest))
        return "map" if highest - lowest > _FLAT * largest else "flat"
    if norm == 0:
        return "beside-the-map" if beside > 0 else "no-gradient"
    return "no-activation" if dead == 1 else "against"


def where_gradient_ends(
    module: nn.Module, forward: Forward, images: Tensor, layer: Layer, column: int
) -> list[str]:
    """Say for each image between which layers the gradient of an output becomes 0.

    Parameters
    ----------
    module, forward, images, layer
        As in `capture`.
    column
        Of the outputs.

    Returns
    -------
    One text per image, "" where the gradient reaches the layer.
    """
    seen: list[tuple[str, nn.Module, Tensor]] = []

    def note(name: str, made_by: nn.Module, output: Any) -> None:
        tensor = main_tensor(output)
        after = tensor is not None and tensor.requires_grad  # the graph begins at the layer
        if tensor is not None and after and not any(made_by.children()):
            seen.append((name, made_by, tensor))

    with watching(module, note):
        taken = capture(module, forward, images, layer)
    seen = [one for one in seen if len(one[2]) == len(images)]
    target = taken.total(column)
    if not target.requires_grad:
        return ["the output depends on nothing of it"] * len(images)
    tensors = [tensor for _, _, tensor in seen]
    slopes = torch.autograd.grad(target, [taken.at_layer, *tensors], allow_unused=True)
    return [_end(at, seen, slopes, taken) for at in range(len(images))]


def _end(
    at: int,
    seen: Sequence[tuple[str, nn.Module, Tensor]],
    slopes: Sequence[Tensor | None],
    taken: Capture,
) -> str:
    """Name the first layer with a gradient after the last one without."""
    own = taken.at_layer.select(taken.layer.frame.batch_axis, at)
    reached = [
        slope is not None and bool(slope[at].any()) if place else _reaches(slope, taken, at)
        for place, slope in enumerate(slopes)
    ]
    if reached[0] or not own.numel():
        return ""
    last = max(place for place, one in enumerate(reached) if not one)  # 0 is the layer itself
    if last == len(seen):
        return "the output depends on nothing of it"
    name, made_by, tensor = seen[last]
    values = tensor[at]
    silent = int((values == 0).sum())
    what = f"{silent} of its {values.numel()} outputs are 0" if silent else "its weights are 0"
    return f"it ends at {name} ({type(made_by).__name__}), where {what}"


def _reaches(slope: Tensor | None, taken: Capture, at: int) -> bool:
    return slope is not None and bool(slope.select(taken.layer.frame.batch_axis, at).any())
