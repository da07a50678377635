"""RISE for similarity: random coarse masks, and how similar an image stays where it is seen.

Petsiuk, Das and Saenko, RISE, BMVC 2018, arXiv:1806.07421: masks are random grids of 0 and 1,
enlarged smoothly and shifted at random. Their score is a class's probability; here it is the
similarity to a query. As all maps of that kind sit on a large constant, ours is a difference:
the mean similarity where a pixel is seen less that where it is hidden.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hilum.encoders.device import own_random_numbers
from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels, SimilarMaps

MOST_CELLS: Final = 32
AT_A_TIME: Final = 64
"""Masks drawn together: not the network's batch, or the map would depend on it."""


def rise(
    network: Compared,
    query: Pixels,
    retrieved: Pixels,
    *,
    masks: int = 1000,
    cells: int = 8,
    keep: float = 0.5,
    seed: int = 0,
    fast: bool = False,
) -> SimilarMaps:
    """Return where seeing a retrieved image makes it similar to the query.

    Masks are made and thrown away a batch at a time, the same for every image.

    Parameters
    ----------
    network
        What compares.
    query : (side, side[, 3]) uint8
        What was looked for.
    retrieved : (m, side, side[, 3]) uint8
        What was found.
    masks
        How many; the map's noise falls with their square root.
    cells
        Of a mask's grid, along a side.
    keep
        Chance that a cell is seen.
    seed
        Of the masks.
    fast
        Compute in the encoder's own precision.

    Returns
    -------
    Maps of retrieved images: max(0, E[s | seen] − E[s | hidden]), with s the cosine.

    Raises
    ------
    UsageError
        If images or settings do not fit.
    """
    _check(masks, cells, keep)
    asked, images = network.pair(query, retrieved)
    vector = network.embed_unit(asked, fast=fast)
    maps = [_map(network, vector, one, masks, cells, keep, seed, fast) for one in images]
    return SimilarMaps(np.stack(maps))


def _map(
    network: Compared, vector: Tensor, image: Tensor, masks: int, cells: int, keep: float,
    seed: int, fast: bool,
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:  # fmt: skip
    size = network.spec.size
    seen, hidden = (torch.zeros(2, size, size, dtype=torch.float64) for _ in range(2))
    for at in range(0, masks, AT_A_TIME):
        n = min(AT_A_TIME, masks - at)
        some = random_masks(n, size, cells, keep, seed=seed * 1_000_003 + at)
        found = network.embed_unit(image * some[:, None].to(image), fast=fast)
        cosine = (found @ vector[0]).double().cpu()
        weights = torch.stack([cosine, torch.ones_like(cosine)])  # sum of scores, and of masks
        seen += torch.einsum("kn,nhw->khw", weights, some.double())
        hidden += torch.einsum("kn,nhw->khw", weights, 1 - some.double())
    least = 1e-9  # a pixel that no mask shows, or none hides, says nothing: 0 / least
    gain = seen[0] / seen[1].clamp_min(least) - hidden[0] / hidden[1].clamp_min(least)
    known = (seen[1] > least) & (hidden[1] > least)
    return (gain.clamp_min(0) * known).float().numpy()


def random_masks(n: int, size: int, cells: int, keep: float, *, seed: int) -> Tensor:
    """Return masks of 0 (hidden) to 1 (seen), (n, size, size).

    Parameters
    ----------
    n
        How many.
    size
        Side in pixels.
    cells, keep
        As in `rise`.
    seed
        Decides them.
    """
    cell = -(-size // cells)
    with own_random_numbers(seed):
        grids = (torch.rand(n, 1, cells, cells) < keep).float()
        shifts = torch.randint(0, cell, (n, 2))
    side = (cells + 1) * cell
    wide = functional.interpolate(grids, (side, side), mode="bilinear").clamp(0, 1)[:, 0]
    pairs = zip(wide, shifts.tolist(), strict=True)
    return torch.stack([one[y : y + size, x : x + size] for one, (y, x) in pairs])


def _check(masks: int, cells: int, keep: float) -> None:
    if masks < 1 or not 2 <= cells <= MOST_CELLS or not 0 < keep < 1:
        raise UsageError(
            f"RISE needs at least 1 mask, 2 to {MOST_CELLS} cells and a chance between 0 and 1; "
            f"got {masks}, {cells} and {keep}"
        )
