"""What the loop trains: a module whose call is its loss, and which knows its own examples."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Group:
    """Weights that learn alike.

    Parameters
    ----------
    weights
        Which.
    factor
        What the learning rate is multiplied by.
    decay
        Whether weight decay reaches them.
    """

    weights: list[nn.Parameter]
    factor: float = 1.0
    decay: bool = True


class Task(nn.Module, ABC):
    """Something to learn.

    Its trainable parameters are optimised, and its `state_dict` is all it must remember: the
    queue of MoCo is a buffer. Nothing random may come from anywhere but `rng` and, in `forward`,
    torch's generators, which the loop seeds for every step.
    """

    @property
    @abstractmethod
    def examples(self) -> int:
        """The number of examples."""

    @abstractmethod
    def batch(self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice) -> Any:
        """Read and draw what `forward` needs for one step.

        Parameters
        ----------
        rows
            Examples of the whole step, over all processes.
        rng
            The same in every process; draw for all rows, so that the result does not depend on
            how many processes share them.
        mine
            This process's part of `rows`.

        This runs in a reader thread, one step ahead: it must not touch the module's tensors.
        """

    @abstractmethod
    def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss over the batch, and numbers to log (no dimensions) by name."""

    def groups(self) -> list[Group]:
        """Return the trainable weights by how they learn; all alike if not said otherwise."""
        return [Group([weight for weight in self.parameters() if weight.requires_grad])]
