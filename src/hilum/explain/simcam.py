"""SimCAM: a cosine taken apart into products of a position of one image with one of the other.

The vector of an image is a sum of what its positions add (`hilum.explain.shares`), so the product
of two vectors is a sum over all pairs of positions. Stylianou, Souvenir and Pless, Visualizing
deep similarity networks, WACV 2019, arXiv:1901.00536; Zhu, Yang and Chen, Visual explanation for
deep metric learning, arXiv:1909.12977; in X-MIR (Hu et al., WACV 2022) for radiographs.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels, SimilarMaps, as_maps
from hilum.explain.shares import Shares, shares_of

Rest = Literal["x-mir", "exact", "none"]
Point = tuple[float, float]


def simcam(
    network: Compared,
    query: Pixels,
    retrieved: Pixels,
    *,
    rest: Rest = "x-mir",
    projection: bool = True,
    normalised: bool = False,
    point: Point | None = None,
) -> SimilarMaps:
    """Map where two images are similar, position by position, without a gradient of the distance.

    Parameters
    ----------
    network
        What compares them.
    query : (side, side[, 3]) uint8
    retrieved : (m, side, side[, 3]) uint8
    rest
        What becomes of the part of a vector that belongs to no position: a projection's bias, a
        class token's own. ``"exact"``: each of the n positions gets an n-th of it, and without
        values below 0 a map sums to the cosine. ``"x-mir"``: each gets an n-th of that, which is
        right for features that are summed and not averaged. ``"none"``: it is left out.
    projection
        Whether the vectors are those after a network's projection, if it has one, or the pooled
        features before it.
    normalised
        Divide by each pair's largest product, as X-MIR does, so that maps of several pairs
        cannot be compared. Otherwise the unit is the cosine.
    point : (row, column)
        A place in the query, in pixels of the network's square: the retrieved images' maps show
        what matches there, and not what matches anywhere.

    Returns
    -------
    Maps on the layer's cells, of the retrieved images and of the query.

    Raises
    ------
    UsageError
        If a setting or the layer does not exist, the images do not fit, or the point lies
        outside.

    Notes
    -----
    What is taken apart: where the layer's positions are averaged and perhaps projected (ResNet,
    DenseNet), all of the vector. Where they are averaged and then normalised (ConvNeXt, Swin, a
    transformer that averages its tokens), all of it, with the divisor that the image has. Where a
    class token reads them (most transformers), what the last attention brings from each position,
    with the weights that it has; what the class token brought along is `rest`, and may be most of
    it. Of a layer before the last (``layer`` of `Compared`), what it adds to first order, through
    all that follows. Products below 0, where positions speak against the similarity, become 0
    before they are summed.
    """
    if rest not in get_args(Rest):
        raise UsageError(f"{rest!r} is no way to share; choose from {', '.join(get_args(Rest))}")
    network = network if projection else network.without_projection()
    asked, found = network.pair(query, retrieved)
    where = None if point is None else _weights(point, network)
    own, others = shares_of(network, asked), shares_of(network, found)
    products = _products(own, others, rest)  # (m, n, n)
    if normalised:
        highest = products.amax(dim=(1, 2), keepdim=True)
        products = products / torch.where(highest > 0, highest, 1)
    speaking = products.clamp(min=0)
    over = speaking.sum(dim=1) if where is None else (where @ products).clamp(min=0)
    grid = network.frame.height, network.frame.width
    return SimilarMaps(
        as_maps(over.unflatten(1, grid)),  # type: ignore[no-untyped-call]
        as_maps(speaking.sum(dim=2).unflatten(1, grid)),  # type: ignore[no-untyped-call]
        network.offset,
    )


def _products(own: Shares, others: Shares, rest: Rest) -> Tensor:
    """Return what each pair of positions adds to the cosine: (m, of the query, of the other)."""
    lengths = own.vectors.norm(dim=1) * others.vectors.norm(dim=1)
    one, many = _with_rest(own, rest)[0], _with_rest(others, rest)
    products: Tensor = torch.einsum("dp,mdr->mpr", one, many)
    cosines: Tensor = products / lengths.clamp(min=1e-12)[:, None, None]
    return cosines


def _with_rest(shares: Shares, rest: Rest) -> Tensor:
    """Return what each position adds, with its part of what belongs to none, (n, dim, h · w)."""
    at = shares.at_positions.flatten(2)
    if rest == "none":
        return at
    count = at.shape[2]
    part = shares.rest / (count if rest == "exact" else count**2)
    return at + part[:, :, None]


def _weights(point: Point, network: Compared) -> Tensor:
    """Return the weight of each cell at a point between their centres, (h · w,)."""
    side = network.spec.size
    if not (0 <= point[0] < side and 0 <= point[1] < side):
        raise UsageError(
            f"the point {point} lies outside the network's square of {side} × {side} pixels"
        )
    down = _between(point[0], side, network.frame.height)
    across = _between(point[1], side, network.frame.width)
    both: Tensor = torch.outer(down, across).flatten().to(network.device)
    return both


def _between(at: float, side: int, cells: int) -> Tensor:
    """Return bilinear weights of cells at the centre of a pixel; beyond the outer ones, theirs."""
    place = min(max((at + 0.5) / side * cells - 0.5, 0), cells - 1)
    return (1 - (torch.arange(cells, dtype=torch.float32) - place).abs()).clamp(min=0)
