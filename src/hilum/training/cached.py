"""Large batches in small memory: features first, gradients chunk by chunk.

A contrastive loss needs the features of the whole batch at once, but not the activations that
made them. So chunks are encoded one after another without keeping activations, the loss is taken
on all features, and on the way back each chunk is encoded again, now with its activations, to turn
the gradient of its features into that of the weights (GradCache: Gao et al., RepL4NLP 2021,
arXiv:2101.06983). The gradients are those of the whole batch, for one more forward pass.

Torch's checkpointing does exactly this and brings back, for the second pass, the random numbers
(dropout) and the precision of the first. What it does not know is batch normalisation: statistics
are those of a chunk, as they would be without this, and must not be counted twice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # every BatchNorm's base
from torch.utils.checkpoint import checkpoint


def in_chunks(
    encode: Callable[[Tensor], Tensor], inputs: Tensor, chunk: int, module: nn.Module
) -> Tensor:
    """Return `encode(inputs)`, of which at most `chunk` rows' activations are ever in memory.

    Parameters
    ----------
    encode
        Maps (n, ...) to (n, dim), each row for itself (but for batch normalisation).
    chunk
        Rows at a time; 0 or more than there are: all at once, activations kept.
    module
        What `encode` runs, where batch normalisation is to be looked for.
    """
    if not 0 < chunk < len(inputs):
        return encode(inputs)
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]

    def passes() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), still(norms)

    parts = torch.split(inputs, chunk)
    return torch.cat([checkpoint(encode, p, use_reentrant=False, context_fn=passes) for p in parts])


@contextmanager
def still(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Normalise by the batch as before, and leave the running statistics as they are."""
    held = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, _, count in held:
        norm.momentum = 0.0  # of the new
        norm.num_batches_tracked = None if count is None else count.clone()
    try:
        yield
    finally:
        for norm, momentum, count in held:
            norm.momentum, norm.num_batches_tracked = momentum, count
