"""Hiding parts of what a network has seen instead of parts of the image: one pass per image.

X-MIR's unreleased feature masking, for any network: a cell of a layer is left out, and what stays
is read by the rest of the network as it is. Left out means replaced by the mean of the cells that
stay: where a network averages its cells, that is the mean of the others to the last digit, and
where it does not, the number of cells stays what the network expects.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels, SimilarMaps, as_maps, distances
from hilum.explain.tails import maps_at, units_of_changed

Part = NDArray[np.bool_]


def feature_occlusion(
    network: Compared, query: Pixels, retrieved: Pixels, *, mask: Part | None = None
) -> SimilarMaps:
    """Map which cells, left out, take a pair apart.

    With D₀ the distance of the pair and D_p the distance with cell p of one of the two left out,
    the map is max(0, D_p − D₀).

    Parameters
    ----------
    network
        What compares them.
    query : (side, side[, 3]) uint8
    retrieved : (m, side, side[, 3]) uint8
    mask : (side, side) bool
        Ask with this part of the query alone: each cell counts by how much of it lies inside. Of a
        network that averages its cells this is X-MIR's masked average of features.

    Returns
    -------
    Maps on the layer's cells, of the retrieved images and of the query.

    Raises
    ------
    UsageError
        If the layer does not exist, or the images or the mask do not fit.
    """
    asked, found = network.pair(query, retrieved)
    cells = maps_at(network, asked)
    inside = _inside(network, query, mask).to(cells)
    own = units_of_changed(network, asked, _weighted(cells, inside[None]))  # (1, dim)
    without = _without_each(network, asked, cells, inside)  # (h · w, dim)
    of_retrieved, of_query = [], []
    for one in found.split(1):  # type: ignore[no-untyped-call]
        unit = network.embed_unit(one)
        before = distances(own, unit)  # (1,)
        other = maps_at(network, one)
        moved = _without_each(network, one, other, torch.ones_like(inside))
        of_retrieved.append((distances(own, moved) - before).clamp(min=0))
        of_query.append((distances(unit, without) - before).clamp(min=0))
    grid = (len(found), *inside.shape)
    return SimilarMaps(
        as_maps(torch.stack(of_retrieved).reshape(grid)),
        as_maps(torch.stack(of_query).reshape(grid)),
        network.offset,
    )


def _inside(network: Compared, query: Pixels, mask: Part | None) -> Tensor:
    """Return how much of each cell lies in a mask, (h, w), 0 to 1."""
    grid = network.frame.height, network.frame.width
    if mask is None:
        return torch.ones(grid)
    if mask.dtype != np.bool_ or mask.shape != query.shape[:2] or not mask.any():
        raise UsageError(
            f"a mask says of each pixel of the query ({query.shape[0]} × {query.shape[1]}) whether "
            f"it counts, and of one at least that it does; got {mask.dtype} of shape {mask.shape} "
            f"with {np.count_nonzero(mask)} that do"
        )
    pixels = torch.from_numpy(mask.astype(np.float32))[None, None]
    found: Tensor = functional.interpolate(pixels, grid, mode="area")[0, 0]
    return found


def _weighted(cells: Tensor, inside: Tensor) -> Tensor:
    """Replace cells by the mean of those inside, by how much each is outside.

    Parameters
    ----------
    cells : (1, c, h, w)
    inside : (k, h, w)
        0 to 1, not 0 everywhere.

    Returns
    -------
    (k, c, h, w), whose means over cells are those weighted by `inside`.
    """
    weights = inside[:, None]
    mean = (cells * weights).sum(dim=(2, 3), keepdim=True) / weights.sum(dim=(2, 3), keepdim=True)
    return cells * weights + mean * (1 - weights)


def _without_each(network: Compared, image: Tensor, cells: Tensor, inside: Tensor) -> Tensor:
    """Return an image's unit vectors with each cell left out in turn, (h · w, dim).

    A cell that alone is inside cannot be left out: there the vector is that of the whole.
    """
    count = inside.numel()
    parts = []
    for start in range(0, count, network.batch_size):
        out = torch.eye(count, device=inside.device)[start : start + network.batch_size]
        left = inside * (1 - out.reshape(-1, *inside.shape))
        alone = left.flatten(1).sum(dim=1) == 0
        left = torch.where(alone[:, None, None], inside, left)
        parts.append(units_of_changed(network, image, _weighted(cells, left)))
    return torch.cat(parts)
