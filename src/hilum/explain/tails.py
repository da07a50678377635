"""What a network makes of a layer's output that was changed: its second half, run alone.

The image passes once up to the layer; there many changed copies of the output take its place.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hilum.explain.compared import Compared
from hilum.explain.layers import main_tensor


def maps_at(network: Compared, images: Tensor) -> Tensor:
    """Return the layer's maps of prepared images, (n, channels, height, width), no gradient."""
    seen: list[Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        found = main_tensor(output)
        assert found is not None  # `find_layer` saw one
        seen.append(network.frame.to_map(found).clone())

    hook = network.module.get_submodule(network.layer.name).register_forward_hook(keep)
    try:
        with torch.no_grad():
            network.vectors(images)
    finally:
        hook.remove()
    return seen[-1]


def units_of_changed(network: Compared, image: Tensor, changed: Tensor) -> Tensor:
    """Return the unit vectors that follow from changed maps of one image, (n, dim).

    Parameters
    ----------
    image : (1, channels, size, size)
        Prepared.
    changed : (n, channels, height, width)
        What takes the place of its maps; tokens without a place stay the image's own.
    """
    with torch.no_grad():
        starts = range(0, len(changed), network.batch_size)
        parts = [_run(network, image, changed[at : at + network.batch_size]) for at in starts]
    return functional.normalize(torch.cat(parts), dim=-1)


def _run(network: Compared, image: Tensor, changed: Tensor) -> Tensor:
    layer = network.module.get_submodule(network.layer.name)

    def replace(_: Any, __: Any, output: Any) -> Any:
        own = main_tensor(output)
        assert own is not None
        there = network.frame.from_map(changed, own)
        return type(output)([there, *output[1:]]) if isinstance(output, tuple | list) else there

    hook = layer.register_forward_hook(replace)
    try:
        # every image passes up to the layer, or only one and the rest is broadcast, as it
        # works for what stands last in a network; the vectors are the same
        return network.vectors(image)
    except RuntimeError:
        return network.vectors(image.expand(len(changed), -1, -1, -1))
    finally:
        hook.remove()
