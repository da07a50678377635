"""Batch normalisation over the batches of all processes, so that several train as one does.

torch's own works on GPUs alone. This one needs nothing but a sum over processes, and takes the
place of timm's normalisation with an activation too; names and weights stay as they were.
"""

import torch
from torch import Tensor, nn

from hilum.training.processes import ranks, sum_over_ranks


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose mean and variance are those of every process's images.

    Each process has as many images. Outside training, or alone, it is the plain one.

    Parameters
    ----------
    norm
        What it takes the place of; weights and running statistics are the same tensors.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine,
                         norm.track_running_stats)  # fmt: skip
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.drop = _part(norm, "drop")
        self.act = _part(norm, "act")
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, channels, h, w)."""
        if not self.training or ranks().world == 1:
            out = super().forward(x)
        else:
            out = self._over_all(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)
        after: Tensor = self.act(self.drop(out))
        return after

    def _over_all(self, x: Tensor) -> Tensor:
        number = x.numel() / x.shape[1] * ranks().world
        mean = sum_over_ranks(x.sum(dim=(0, 2, 3))) / number
        centred = x - mean[:, None, None]
        variance = sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / number
        self._remember(mean.detach(), variance.detach() * number / max(number - 1, 1))
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        out = centred * scale[:, None, None]
        return out + self.bias[:, None, None] if self.affine else out

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        # torch: without a momentum the running statistics are plain means over all batches
        share = self.momentum
        if share is None:
            assert self.num_batches_tracked is not None
            share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def synchronise(module: nn.Module) -> None:
    """Put `SyncedBatchNorm` in the place of every two-dimensional batch normalisation."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, SyncedBatchNorm(child))
        else:
            synchronise(child)


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Return the layers that keep running statistics."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def _part(norm: nn.Module, name: str) -> nn.Module:
    part = getattr(norm, name, None)
    return part if isinstance(part, nn.Module) else nn.Identity()
