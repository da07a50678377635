"""Several processes training one model, as `torchrun` starts them; alone, nothing here costs.

Every process runs the same code on its share of each batch. A process that is alone behaves as
rank 0 of 1, so that no caller needs a second path.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """The number of this process, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks to the person."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's part of n things; n is a multiple of the number of processes."""
        each = n // self.world
        return slice(self.rank * each, (self.rank + 1) * each)


def ranks() -> Ranks:
    """Return this process's place among those that have joined."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, if it did, while the block runs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ranks()
    finally:
        dist.destroy_process_group()


def gather(part: Tensor) -> Tensor:
    """Join every process's (n, ...) in the order of ranks: (world * n, ...), without gradient."""
    world = ranks().world
    if world == 1:
        return part.detach()
    parts = [torch.empty_like(part) for _ in range(world)]
    dist.all_gather(parts, part.detach().contiguous())
    return torch.cat(parts)


def gather_own(part: Tensor) -> Tensor:
    """Join every process's (n, ...) as `gather` does, with a gradient for this process's rows.

    For a loss that every process computes in full from all rows: each has then the gradient of
    its own rows, and their sum is wanted, where DistributedDataParallel takes the mean. So this
    process's gradient counts as often as there are processes.
    """
    here = ranks()
    if here.world == 1:
        return part
    everyone = gather(part)
    own = part.clone()  # the hook is for this use of it alone
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * here.world)  # type: ignore[no-untyped-call]
    before, after = everyone[: here.rank * len(part)], everyone[(here.rank + 1) * len(part) :]
    return torch.cat([before, own, after])


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of every process's `values`, with a gradient through every summand."""
    return _Sum.apply(values) if ranks().world > 1 else values  # type: ignore[no-untyped-call]


class _Sum(torch.autograd.Function):
    """A sum over processes; a summand's gradient is the sum of what every process sends back."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def mean_over_ranks(values: Tensor) -> Tensor:
    """Return the mean of every process's `values`."""
    world = ranks().world
    if world > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= world
    return values


def from_first(value: float) -> float:
    """Return rank 0's value to every process."""
    if ranks().world == 1:
        return value
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    box = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(box, 0)
    return float(box.item())


def wait_for_all() -> None:
    """Return when every process has come here."""
    if ranks().world > 1:
        dist.barrier()
