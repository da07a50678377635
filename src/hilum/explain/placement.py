"""Where in the image a cell of a layer looks: not always in the middle of its part.

A strided convolution with a border of zeros looks round the first pixel of each pair, not between
the two, and five of them in a row are half a cell too far up and to the left: in a ResNet-50 at
224 px 16 pixels in both directions, and in networks padded as TensorFlow does as much the other
way. Drawn as if it were not so, every map is shifted. So it is measured, on the network as it is
trained: for a cell far from all borders, the centre of what its value depends on.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from hilum.encoders.device import own_random_numbers
from hilum.explain.frames import frame_of
from hilum.explain.layers import Forward, Layer, main_tensor

TIMES: Final = 3  # the side of the image that is measured on: its middle is far from its borders
IMAGES: Final = 2


class _EnoughError(Exception):
    """Ends a pass once the layer was seen."""


def find_offset(module: nn.Module, forward: Forward, layer: Layer, shape: Sequence[int]) -> float:
    """Measure how far a layer's cells look from the middles of their parts of the image.

    Parameters
    ----------
    module, forward, layer
        As in `capture`.
    shape : (channels, height, width)
        Of one image.

    Returns
    -------
    In cells, down and to the right alike; 0 for tokens, which have the place of their patch, and
    for networks that take images of one size only, all of whose layers are such.

    Notes
    -----
    The centre is that of the squared gradient, by images of noise, of a random mixture of the
    cell's channels (the effective receptive field of Luo et al., NeurIPS 2016, arXiv:1701.04128).
    """
    if layer.frame.layout == "tokens":
        return 0.0
    channels, height, width = shape
    like = next(module.parameters())
    with own_random_numbers(0):
        noise = torch.randn(IMAGES, channels, TIMES * height, TIMES * width)
        noise = noise.to(like.device, like.dtype).requires_grad_()
        seen = _seen(module, forward, layer, noise)
        if seen is None:
            return 0.0
        mixture = torch.randn(seen.shape[1]).to(like.device, like.dtype)
    row, column = seen.shape[2] // 2, seen.shape[3] // 2
    with torch.enable_grad():
        target = (seen[:, :, row, column] * mixture).sum()
    (slope,) = torch.autograd.grad(target, noise)
    weight = slope.double().square().sum(dim=(0, 1))
    if not weight.any():
        return 0.0
    down = _centre(weight.sum(dim=1)) * seen.shape[2] / noise.shape[2] - row - 0.5
    right = _centre(weight.sum(dim=0)) * seen.shape[3] / noise.shape[3] - column - 0.5
    return round((down + right) / 2, 3)


def _seen(module: nn.Module, forward: Forward, layer: Layer, images: Tensor) -> Tensor | None:
    """Return the layer's maps of larger images, or None where the network does not take them."""
    found: list[Tensor] = []
    made_by = module.get_submodule(layer.name)

    def end(_: nn.Module, __: Any, output: Any) -> None:
        tensor = main_tensor(output)
        assert tensor is not None  # `find_layer` saw one
        found.append(tensor)
        raise _EnoughError

    hook = made_by.register_forward_hook(end)
    try:
        with torch.enable_grad():
            forward(images)
    except _EnoughError:
        pass
    except (AssertionError, RuntimeError, ValueError):  # as networks refuse images of another size
        return None
    finally:
        hook.remove()
    frame = frame_of(found[0][:1], images.shape[2:], made_by, -1)
    if frame is None or frame.layout != layer.frame.layout:
        return None
    return frame.to_map(found[0])


def _centre(weights: Tensor) -> float:
    """Return the mean of pixels' centres, 0.5 for the first, by weight."""
    places = torch.arange(len(weights), device=weights.device, dtype=torch.float64) + 0.5
    return float((weights * places).sum() / weights.sum())
