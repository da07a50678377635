"""What a layer gave for some images, and the slope of any output by it.

The network runs once up to the layer without a graph; there its output becomes the start of one.
So nothing before the layer is kept in memory, weights that are frozen do no harm, and one pass
serves every finding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hilum.errors import UsageError
from hilum.explain.layers import Forward, Layer, main_tensor


@dataclass(frozen=True, eq=False)
class Capture:
    """One pass of some images.

    Parameters
    ----------
    layer
        Where it was taken.
    outputs : (n, k)
        Of the network, with a graph back to the layer.
    at_layer
        The layer's output in its own layout.
    """

    layer: Layer
    outputs: Tensor
    at_layer: Tensor

    @property
    def activations(self) -> Tensor:
        """The layer's output as maps, (n, channels, height, width)."""
        return self.layer.frame.to_map(self.at_layer.detach())

    def slopes(self, target: Tensor) -> Tensor:
        """Return the gradient of a number by the layer's output, in the layer's own layout.

        Parameters
        ----------
        target : ()
            Made from `outputs`, such as ``outputs[:, 3].sum()``: images do not mix, so each gets
            the gradient of its own output. May be called again with others.
        """
        if not target.requires_grad:  # nothing after the layer leads to the output
            return torch.zeros_like(self.at_layer)
        (slope,) = torch.autograd.grad(
            target, self.at_layer, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return slope

    def gradients(self, column: int) -> Tensor:
        """Return the gradient of one output by the maps, (n, channels, height, width)."""
        return self.layer.frame.to_map(self.slopes(self.total(column)))

    def total(self, column: int) -> Tensor:
        """Return one output, summed over the images: a target for `slopes`."""
        with torch.enable_grad():
            return self.outputs[:, column].sum()


def capture(module: nn.Module, forward: Forward, images: Tensor, layer: Layer) -> Capture:
    """Pass images through a network and keep what a layer gave.

    Parameters
    ----------
    module, forward
        As in `find_layer`.
    images : (n, channels, height, width)
        As the network wants them.
    layer
        From `find_layer`, for images of this size.

    Raises
    ------
    UsageError
        If the layer's output is not one for each image, as inside windows of attention.
    """
    with _graph_from(module.get_submodule(layer.name)) as starts:
        outputs = forward(images).float()
    start = starts[-1]  # of a layer that is used several times, the last use
    if start.shape[layer.frame.batch_axis] != len(images):
        raise UsageError(
            f"layer {layer.name!r} gives {tuple(start.shape)} for {len(images)} images, which is "
            "not one map each; choose a layer around it"
        )
    return Capture(layer, outputs, start)


@contextmanager
def _graph_from(layer: nn.Module) -> Iterator[list[Tensor]]:
    """While the block runs, begin the graph at a layer's output; yields those outputs."""
    starts: list[Tensor] = []

    def begin(_: nn.Module, __: Any, output: Any) -> Any:
        found = main_tensor(output)
        assert found is not None  # `find_layer` saw one
        starts.append(found.detach().requires_grad_())
        torch.set_grad_enabled(True)  # back to what it was where the block ends
        after = starts[-1].clone()  # what comes next may write into it: a ReLU in place
        return type(output)([after, *output[1:]]) if isinstance(output, tuple | list) else after

    hook = layer.register_forward_hook(begin)
    try:
        with torch.no_grad():
            yield starts
    finally:
        hook.remove()
