"""Similarity-based saliency maps: hide a window of an image and see how far it moves away.

Dong, Collins and Hoogs, Explainability for Content-Based Image Retrieval, CVPR Workshops 2019.
With unit vectors f, the Euclidean distance d, a query q, a retrieved image r and a mask m_i that
is 0 in a window: K_i = max(0, d(f(q), f(r·m_i)) − d(f(q), f(r))), and a pixel's saliency is the
mean K_i of the windows over it. Only the network's answers are used, so any encoder can be
explained.
"""

from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError
from hilum.explain.coarse import interpolated
from hilum.explain.compared import Compared, Pixels, SimilarMaps
from hilum.explain.masked import X_MIR, Hidden, Masking, Vectors, farther, masked_vectors
from hilum.explain.windows import Map

Outside = Literal["mask", "blur"]
"""What becomes of a query outside a mask: the network's mean colour, or blurred."""

BLUR_SIGMA: Final = 8.0
"""In pixels of the network's input."""


def sbsm(
    network: Compared,
    query: Pixels,
    retrieved: Pixels,
    *,
    masking: Masking = X_MIR,
    mask: NDArray[np.bool_] | None = None,
    outside: Outside = "mask",
    forwards: int | None = None,
    store: str | Path | None = None,
) -> SimilarMaps:
    """Return where each retrieved image is similar to the query: what, hidden, moves it away.

    Parameters
    ----------
    network
        What compares.
    query : (side, side[, 3]) uint8
        What was looked for.
    retrieved : (m, side, side[, 3]) uint8
        What was found.
    masking
        Windows, what hides them, and precision.
    mask : (side, side) bool or None
        Ask with this part of the query alone.
    outside
        What becomes of the rest of it.
    forwards
        Look at so many windows of each image only and estimate the others
        (`hilum.explain.coarse`); None looks at all.
    store
        A folder for masked vectors (`hilum.explain.masked`): of an image that is there, only the
        product with the query is left to do.

    Returns
    -------
    Maps of retrieved images on the pixels of the network's square, in units of distance (0...2).

    Raises
    ------
    UsageError
        If images or settings do not fit the network or each other.
    """
    asked, _ = network.pair(query, retrieved)
    if mask is not None:
        asked = masked_query(asked, mask, outside)
    vector = network.embed_unit(asked, fast=masking.fast).cpu().numpy()  # (1, dim)
    if forwards is not None:
        if store is not None:
            raise UsageError("an estimate from some windows is not stored; give forwards or store")
        return SimilarMaps(
            np.stack([_estimated(network, vector, one, masking, forwards) for one in retrieved])
        )
    images = (masked_vectors(network, pixels, masking, store=store) for pixels in retrieved)
    maps = [image.windows.spread(np.maximum(image.farther(vector)[0], 0)) for image in images]
    return SimilarMaps(np.stack(maps))


def _estimated(
    network: Compared, vector: Vectors, pixels: Pixels, masking: Masking, forwards: int
) -> Map:  # fmt: skip
    windows, image = masking.windows(network.spec.size), network.prepare(pixels[None])
    whole = network.embed_unit(image, fast=masking.fast)[0].cpu().numpy()
    hidden = Hidden(network, image, windows.boxes, masking)
    signed = interpolated(
        windows, lambda rows: farther(whole, hidden.vectors(rows), vector)[0], forwards
    )
    return windows.spread(np.maximum(signed, 0))


def masked_query(query: Tensor, mask: NDArray[np.bool_], outside: Outside) -> Tensor:
    """Hide a prepared query outside a mask.

    Parameters
    ----------
    query : (1, channels, size, size)
    mask : (side, side)
        True where the query counts; of another side than the query, the nearest pixel's value.
    outside
        ``"mask"`` or ``"blur"``: a Gaussian of `BLUR_SIGMA`, cut at four of them. Edge pixels are
        repeated beyond the edge, so that no dark frame comes in.

    Raises
    ------
    UsageError
        If the mask is no square of true and false with something true in it, or there is no such
        way.
    """
    if outside not in get_args(Outside):
        raise UsageError(
            f"{outside!r} is not what can be outside a mask; choose from "
            f"{', '.join(get_args(Outside))}"
        )
    if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape[0] != mask.shape[1] or not mask.any():
        raise UsageError(
            "a query's mask is a square of true and false with something true in it; got "
            f"{mask.dtype} of shape {mask.shape} with {int(np.count_nonzero(mask))} true"
        )
    inside = torch.from_numpy(mask).to(query)[None, None]
    inside = functional.interpolate(inside, query.shape[2:], mode="nearest-exact")
    if outside == "mask":
        return query * inside
    return inside * query + (1 - inside) * blurred(query, BLUR_SIGMA)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Return images smoothed by a Gaussian, cut at four sigma, of weights that sum to 1.

    Such a mean of normalised pixels is the normalised mean, so there is nothing to undo first.

    Parameters
    ----------
    images : (n, channels, height, width)
    sigma
        In pixels.
    """
    reach = int(np.ceil(4 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    line = torch.exp(-(at**2) / (2 * sigma**2))
    line = (line / line.sum()).expand(images.shape[1], 1, 1, -1)  # (channels, 1, 1, taps)
    padded = functional.pad(images, [reach] * 4, mode="replicate")
    across = functional.conv2d(padded, line, groups=images.shape[1])
    return functional.conv2d(across, line.transpose(2, 3), groups=images.shape[1])
