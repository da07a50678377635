"""Which layer of a network to look at: found by watching one image pass, or named.

The layer that is looked at by default is the last that still has positions *and* through whose
positions the outputs can be reached. In a convolutional network that is what is pooled. In a
transformer that is read off its class token it is the input of the last attention: after it the
other tokens reach nothing, and a map of them would be blank for every image.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from hilum.encoders.device import own_random_numbers
from hilum.errors import UsageError
from hilum.explain.frames import Frame, frame_of

Forward = Callable[[Tensor], Tensor]
"""Images (n, channels, height, width) → outputs (n, k)."""

_PASSES_ON: Final = (nn.Identity, nn.Dropout)
_ATTENTION: Final = {"attn", "attention", "attn_pool", "self_attn", "self_attention"}
_SHOWN: Final = 8  # names in a message


@dataclass(frozen=True)
class Layer:
    """One layer of a network and how its output lies over the image."""

    name: str
    frame: Frame


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a layer gave for one image."""

    name: str
    module: nn.Module
    output: Tensor
    frame: Frame | None


def find_layer(
    module: nn.Module, forward: Forward, shape: Sequence[int], name: str | None = None
) -> Layer:
    """Find a layer with a map of the image.

    Parameters
    ----------
    module
        The network, or what holds its layers, in evaluation mode.
    forward
        How it is called.
    shape : (channels, height, width)
        Of one image.
    name
        As in ``module.named_modules()``; the best one is found if not given.

    Raises
    ------
    UsageError
        If the network is in training mode, there is no such layer, or it has no map; the
        messages name layers that do.
    """
    if module.training:
        raise UsageError(
            "the network is in training mode, where the images of a batch change each other's "
            "maps; call its eval() first"
        )
    names = dict(module.named_modules())
    if name is not None and (name not in names or not name):
        near = difflib.get_close_matches(name, [one for one in names if one], n=5, cutoff=0.4)
        listed = near or [one for one, _ in module.named_children()][:_SHOWN]
        raise UsageError(
            f"the network has no layer {name!r}; "
            f"{'similar' if near else 'it has'}: {', '.join(listed)}"
        )
    seen, outputs = _watch(module, forward, shape)
    if name is not None:
        return _named(name, seen)
    with_map = [one for one in seen if one.frame and not _inside_attention(one.name, names)]
    if not with_map:
        raise UsageError(
            "no layer of this network has a map of the image: each output is a vector, or its "
            "grid has not the image's shape"
        )
    return _last_that_counts(with_map, outputs)


def _named(name: str, seen: Sequence[_Seen]) -> Layer:
    own = [one for one in seen if one.name == name]
    if own and own[-1].frame:
        return Layer(name, own[-1].frame)
    others = list(dict.fromkeys(one.name for one in seen if one.frame))[-_SHOWN:]
    what = f"gives {tuple(own[-1].output.shape)} for one image" if own else "gives no tensor"
    raise UsageError(
        f"layer {name!r} {what}, which is no map of it; layers that have one: {', '.join(others)}"
    )


def _watch(module: nn.Module, forward: Forward, shape: Sequence[int]) -> tuple[list[_Seen], Tensor]:
    """Return what every layer gave for one image of noise, in the order of their ends."""
    said = [getattr(one, "num_prefix_tokens", None) for one in module.modules()]
    prefix = next((number for number in said if isinstance(number, int)), -1)
    like = next(module.parameters())
    with own_random_numbers(0):
        noise = torch.randn(1, *shape).to(like.device, like.dtype).requires_grad_()
    seen: list[_Seen] = []

    def note(name: str, made_by: nn.Module, output: Any) -> None:
        if (tensor := main_tensor(output)) is not None:
            seen.append(_Seen(name, made_by, tensor, frame_of(tensor, shape[1:], made_by, prefix)))

    with torch.enable_grad(), watching(module, note):
        outputs = forward(noise)
    if outputs.ndim != 2:
        raise UsageError(
            "the network must map images to one row of numbers each, (n, k); for one image it "
            f"gave {tuple(outputs.shape)}"
        )
    return [one for one in seen if one.name], outputs


@contextmanager
def watching(
    module: nn.Module, note: Callable[[str, nn.Module, Any], None]
) -> Iterator[None]:  # fmt: skip
    """Call `note` with the name, the layer and the output of every layer that ends."""
    hooks = [
        one.register_forward_hook(lambda made_by, _, output, name=name: note(name, made_by, output))
        for name, one in module.named_modules()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def main_tensor(output: Any) -> Tensor | None:
    """Return a layer's output, the first of several, if it is a tensor that can have a slope."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return first if isinstance(first, Tensor) and first.is_floating_point() else None


def _inside_attention(name: str, names: dict[str, nn.Module]) -> bool:
    """Say if a layer is a part of an attention, such as its keys: part of what passes there."""
    steps = name.split(".")
    kinds = [type(names[".".join(steps[:n])]).__name__ for n in range(1, len(steps) + 1)]
    named = not _ATTENTION.isdisjoint(steps)
    return named or any(kind.endswith("Attention") for kind in kinds)


def _last_that_counts(with_map: Sequence[_Seen], outputs: Tensor) -> Layer:
    """Return the last layer whose positions reach an output; the very last if none does."""
    tensors = [one.output for one in with_map]
    with torch.enable_grad():
        slopes = torch.autograd.grad(outputs.square().sum(), tensors, allow_unused=True)
    best = with_map[-1]
    for one, slope in zip(with_map, slopes, strict=True):
        assert one.frame is not None
        if slope is not None and bool(one.frame.to_map(slope).any()):
            best = one
    # several layers may give one and the same tensor: the outermost that does something names it
    same = [one for one in with_map if one.output is best.output]
    doing = [one for one in same if not isinstance(one.module, _PASSES_ON)]
    chosen = (doing or same)[-1]
    assert chosen.frame is not None
    return Layer(chosen.name, chosen.frame)
