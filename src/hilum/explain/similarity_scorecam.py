"""Score-CAM for a similarity: a channel counts by how far hiding what it sees moves an image.

Wang et al., Score-CAM, CVPR Workshops 2020, arXiv:1910.01279, turned round: what a channel sees is
hidden, not shown, and what is scored is the distance from a query. As meant in X-MIR (Hu et al.,
WACV 2022), whose release multiplies matrices where it means numbers.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels, SimilarMaps, as_maps, distances
from hilum.explain.tails import maps_at

FLAT: Final = 1e-6  # of the largest value: a channel whose range is smaller sees nothing


def similarity_score_cam(
    network: Compared, query: Pixels, retrieved: Pixels, *, channels: int | None = None
) -> SimilarMaps:
    """Map what, hidden as single channels see it, moves retrieved images away from a query.

    Parameters
    ----------
    network
        What compares them; passes an image once for every channel of the layer.
    query : (side, side[, 3]) uint8
    retrieved : (m, side, side[, 3]) uint8
    channels
        Only so many: those that vary most over the image. By default all.

    Returns
    -------
    Maps on the layer's cells, of the retrieved images.

    Raises
    ------
    UsageError
        If the layer does not exist, the images do not fit, or `channels` is not 1 or more.

    Notes
    -----
    With A_c the layer's channels, a_c the same over the image's pixels from 0 to 1 (those that
    are the same everywhere are left out) and d the distance to the query, K_c = max(0,
    d(r · (1 − a_c)) − d(r)), scaled to 0...1 over the channels; where all are equal, none counts.
    Hidden pixels have the mean colour. The map is max(0, mean of K_c A_c).
    """
    if channels is not None and channels < 1:
        raise UsageError(f"at least one channel must be looked at; got {channels}")
    asked, found = network.pair(query, retrieved)
    own = network.embed_unit(asked)
    maps = [_map(network, own, image[None], channels) for image in found]
    return SimilarMaps(as_maps(torch.stack(maps)), None, network.offset)


def _map(network: Compared, own: Tensor, image: Tensor, channels: int | None) -> Tensor:
    activations = maps_at(network, image)[0]  # (c, h, w)
    varying = _varying(activations, channels)
    if not len(varying):
        return activations.new_zeros(activations.shape[1:])
    before = distances(own, network.embed_unit(image))
    parts = [
        distances(own, network.embed_unit(_hidden(image, varying[at : at + network.batch_size])))
        for at in range(0, len(varying), network.batch_size)
    ]
    gained = (torch.cat(parts) - before).clamp(min=0)  # (channels,)
    counts = _scaled(gained[:, None])[:, 0]
    return (counts[:, None, None] * varying).mean(dim=0).clamp(min=0)


def _varying(activations: Tensor, channels: int | None) -> Tensor:
    """Return the channels that are not the same everywhere, (c, h, w), all or the widest."""
    flat = activations.flatten(1)
    spread = flat.amax(dim=1) - flat.amin(dim=1)
    there = torch.nonzero(spread > FLAT * flat.abs().max())[:, 0]
    if channels is not None and len(there) > channels:
        there = there[spread[there].argsort(descending=True, stable=True)[:channels]]
    return activations[there]


def _hidden(image: Tensor, activations: Tensor) -> Tensor:
    """Hide an image where each channel is high, (c, channels, size, size)."""
    size = image.shape[2:]
    over = functional.interpolate(activations[:, None], size, mode="bilinear", align_corners=False)
    seen = _scaled(over.flatten(1).T).T.reshape(over.shape)
    return image * (1 - seen)


def _scaled(values: Tensor) -> Tensor:
    """Scale each column of (n, m) to 0...1; a column of equal values becomes 0."""
    low, high = values.amin(dim=0), values.amax(dim=0)
    return (values - low) / torch.where(high > low, high - low, 1)
