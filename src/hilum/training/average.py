"""A running average of a network's weights: steadier than the weights of any one step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn


@final
class Average:
    """The exponential moving average of everything in a module's state.

    Whole numbers, such as how many batches were seen, are copied.

    Parameters
    ----------
    module
        Whose state; the average starts with it.
    decay
        Share of the average that a step leaves; at most (1 + t) / (10 + t) after step t, so that
        where training began is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: t.detach().clone() for name, t in module.state_dict().items()}

    @torch.no_grad()
    def follow(self, module: nn.Module, step: int) -> None:
        """Move towards the module as it is after a step, counted from 0."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, now in module.state_dict().items():
            mean = self.tensors[name]
            if mean.is_floating_point():
                mean.lerp_(now, share)
            else:
                mean.copy_(now)

    @contextmanager
    def lent(self, module: nn.Module) -> Iterator[None]:
        """Give the module the average while the block runs."""
        own = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        self.give(module)
        try:
            yield
        finally:
            module.load_state_dict(own)

    def give(self, module: nn.Module) -> None:
        """Give the module the average for good."""
        module.load_state_dict(self.tensors)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from saved tensors."""
        for name, mean in self.tensors.items():
            mean.copy_(tensors[name])
