"""Similarity attention: the gradient of the numbers in which two vectors agree.

Zheng, Karanam, Wu and Radke, Learning similarity attention, arXiv:1911.07381, which learns with
it; used here, as in X-MIR (Hu et al., WACV 2022), to explain any network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError
from hilum.explain.capture import Capture, capture
from hilum.explain.compared import Compared, Pixels, SimilarMaps, as_maps


def simatt(
    network: Compared,
    query: Pixels,
    retrieved: Pixels,
    *,
    negatives: Pixels | None = None,
    alike: bool | Sequence[bool] = True,
) -> SimilarMaps:
    """Map what the numbers rest on in which a query and a retrieved image agree.

    Parameters
    ----------
    network
        What compares them.
    query : (side, side[, 3]) uint8
        The anchor.
    retrieved : (m, side, side[, 3]) uint8
        Each in turn its partner: a pair. The query itself gives its own attention.
    negatives : (k, side, side[, 3]) uint8
        Images that the query is unlike, the same for every pair: one makes triplets, two
        quadruplets. Numbers in which the query differs from them count more.
    alike
        Whether a retrieved image is a positive, for all or for each. X-MIR takes every one for a
        positive, whatever its class; of one that is not, the numbers count in which it differs.

    Returns
    -------
    Maps on the layer's cells, of the retrieved images and of the query.

    Raises
    ------
    UsageError
        If the layer does not exist, the images do not fit, or `alike` has another length.

    Notes
    -----
    With e the vectors as the network gives them and u the same of length 1, the weights of the
    numbers are w = (1 − |u₀ − u₁|) · Π |u₀ − u₋|, constant for the gradient. The target of an image
    is s = Σ w |e|, its map Grad-CAM's of s: channels weighted by the mean gradient, summed, and
    what is below 0 left out.
    """
    positive = torch.as_tensor([alike] * len(retrieved) if isinstance(alike, bool) else list(alike))
    if len(positive) != len(retrieved):
        raise UsageError(
            f"alike says it of {len(positive)} images, and {len(retrieved)} were retrieved"
        )
    asked, found = network.pair(query, retrieved)
    own = capture(network.module, network.vectors, asked, network.layer)
    unit = functional.normalize(own.outputs.detach(), dim=1)  # (1, dim)
    from_others = torch.ones_like(unit)
    if negatives is not None:
        others = network.embed_unit(network.pair(query, negatives)[1])
        from_others = (unit - others).abs().prod(dim=0, keepdim=True)
    of_retrieved, of_query = [], []
    for start in range(0, len(found), network.batch_size):
        part = slice(start, start + network.batch_size)
        taken = capture(network.module, network.vectors, found[part], network.layer)
        apart = (unit - functional.normalize(taken.outputs.detach(), dim=1)).abs()
        agreeing = torch.where(positive[part].to(apart.device)[:, None], 1 - apart, apart)
        weights = agreeing * from_others  # (images, dim)
        of_retrieved.append(_attention(taken, weights))
        of_query += [_attention(own, row) for row in weights]
    return SimilarMaps(
        as_maps(torch.cat(of_retrieved)), as_maps(torch.cat(of_query)), network.offset
    )


def _attention(taken: Capture, weights: Tensor) -> Tensor:
    """Return the map of each image by the weights of its numbers, (n, h, w)."""
    with torch.enable_grad():
        target = (taken.outputs.abs() * weights).sum()
    slopes = taken.layer.frame.to_map(taken.slopes(target))
    alpha = slopes.mean(dim=(2, 3))
    return torch.einsum("nc,nchw->nhw", alpha, taken.activations).clamp(min=0)
