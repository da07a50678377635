"""What each position of a layer adds to an image's vector: shares that sum to the vector.

Where all that follows the layer is a mean over positions, and perhaps a linear layer, the vector
*is* a sum over positions (Zhu et al., arXiv:1909.10060; Stylianou et al., WACV 2019,
arXiv:1901.00536). A transformer divides by lengths and mixes by attention besides. With those
divisors and mixing weights held as they are for the image, what follows is linear again up to the
activation functions, and a position's share is its activation times the slope of the vector by it
(the conservative propagation of Ali et al., ICML 2022, arXiv:2202.07304). Without holding them the
shares would say nothing: the slope of a normalised vector along itself is 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hilum.explain.capture import Capture, capture
from hilum.explain.compared import Compared

MEMORY: Final = 2**27  # bytes of slopes at a time, roughly


@dataclass(frozen=True, eq=False)
class Shares:
    """Vectors of images, taken apart.

    Parameters
    ----------
    at_positions : (n, dim, height, width)
        What each position of the layer adds.
    rest : (n, dim)
        What belongs to no position: biases, a class token's own. With the sum over the positions
        it is the vector.
    vectors : (n, dim)
        As the network gives them.
    """

    at_positions: Tensor
    rest: Tensor
    vectors: Tensor


def shares_of(network: Compared, images: Tensor) -> Shares:
    """Take the vectors of prepared images (n, channels, size, size) apart.

    Raises
    ------
    UsageError
        If the layer does not exist or has no map.
    """
    parts = []
    for start in range(0, len(images), network.batch_size):
        batch = images[start : start + network.batch_size]
        with _Held():
            taken = capture(network.module, network.vectors, batch, network.layer)
            parts.append((_at_positions(taken), taken.outputs.detach()))
    at_positions, vectors = (torch.cat(one) for one in zip(*parts, strict=True))
    return Shares(at_positions, vectors - at_positions.sum(dim=(2, 3)), vectors)


def _at_positions(taken: Capture) -> Tensor:
    """Return activations times the slope of every number of the vector by them, (n, dim, h, w).

    There are often many more numbers in a vector than positions. So the slope of a mixture of the
    numbers is taken once, and what each position adds is read off as *its* slope by the mixture.
    """
    outputs, activations = taken.outputs, taken.activations
    n, dim = outputs.shape
    height, width = activations.shape[2:]
    if not outputs.requires_grad:  # nothing after the layer leads to the vector
        return outputs.new_zeros(n, dim, height, width)
    with torch.enable_grad():
        mixture = torch.zeros_like(outputs, requires_grad=True)
        (slopes,) = torch.autograd.grad(
            outputs, taken.at_layer, mixture, create_graph=True, materialize_grads=True
        )
        added = (taken.layer.frame.to_map(slopes) * activations).sum(dim=1).flatten(1)
    if not added.requires_grad:
        return outputs.new_zeros(n, dim, height, width)
    chunk = max(1, MEMORY // (4 * taken.at_layer.numel()))
    each = torch.eye(height * width, device=outputs.device)[:, None].expand(-1, n, -1)
    found = [
        torch.autograd.grad(
            added, mixture, each[start : start + chunk], retain_graph=True, is_grads_batched=True
        )[0]
        for start in range(0, height * width, chunk)
    ]
    return torch.cat(found).permute(1, 2, 0).reshape(n, dim, height, width)


class _Held(TorchFunctionMode):
    """While it is active, divisors of normalisations and weights of attention have no slope."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        instead = _INSTEAD.get(func, func)
        return instead(*args, **(kwargs or {}))


def _layer_norm(
    input: Tensor,  # noqa: A002 (the name that callers may use)
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    over = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(dim=over, keepdim=True)
    divisor = (centred.square().mean(dim=over, keepdim=True) + eps).sqrt().detach()
    scaled = centred / divisor
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,  # noqa: ARG001
    **_: Any,
) -> Tensor:  # fmt: skip
    """Mix values by weights that have no slope; networks in evaluation mode drop nothing."""
    products = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        products = products.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        products = products + attn_mask
    return products.softmax(dim=-1).detach() @ value


def _detached(made_by: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **kwargs: made_by(*args, **kwargs).detach()


_INSTEAD: Final[dict[Any, Callable[..., Any]]] = {
    functional.layer_norm: _layer_norm,
    functional.scaled_dot_product_attention: _attention,
    **{one: _detached(one) for one in (torch.softmax, Tensor.softmax, functional.softmax)},
}
