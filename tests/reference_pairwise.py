"""Maps of a similarity written from their formulas: one number, one position, one image at a time.

What follows the layer is given as a plain function (n, c, h, w) → (n, dim), written out for each
network of the tests, so that nothing that finds layers, holds divisors or batches is believed.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Tail = Callable[[Tensor], Tensor]
"""From a layer's maps, (n, c, h, w), to vectors, (n, dim)."""


def unit(vector: Array) -> Array:
    return vector / np.sqrt((vector**2).sum())


def gap(a: Tensor) -> Tensor:
    return a.mean(dim=(2, 3))


def slope(score: Callable[[Tensor], Tensor], a: Array, step: float = 1e-6) -> Array:
    """Return ∂score/∂A by central differences, all places in one batch."""
    flat = torch.from_numpy(a).flatten()
    moves = step * torch.eye(len(flat), dtype=torch.float64)
    up = score((flat + moves).reshape(-1, *a.shape))
    down = score((flat - moves).reshape(-1, *a.shape))
    return ((up - down) / (2 * step)).reshape(a.shape).detach().numpy()


def simcam_of_pooled(
    a_q: Array, a_r: Array, w: Array | None = None, b: Array | None = None, *, exact: bool = False
) -> tuple[Array, Array, Array]:
    """X-MIR's steps 1 to 5 on (c, h, w), before any scale: (products, query, retrieved)."""
    _, height, width = a_q.shape
    count = height * width
    cells = [(i, j) for i in range(height) for j in range(width)]

    def at(a: Array, i: int, j: int) -> Array:
        if w is None or b is None:
            return a[:, i, j]
        return w @ a[:, i, j] + (b if exact else b / count)

    products = np.zeros((height, width, height, width))
    for i, j in cells:
        for k, m in cells:
            products[i, j, k, m] = sum(at(a_q, i, j) * at(a_r, k, m))
    kept = np.maximum(products, 0)
    query, retrieved = np.zeros((height, width)), np.zeros((height, width))
    for i, j in cells:
        for k, m in cells:
            query[i, j] += kept[i, j, k, m]
            retrieved[k, m] += kept[i, j, k, m]
    return products, query, retrieved


def simcam_of_shares(c_q: Array, c_r: Array) -> tuple[Array, Array]:
    """Sum the products of shares (dim, h, w) that are above 0: (query, retrieved)."""
    _, height, width = c_q.shape
    query, retrieved = np.zeros((height, width)), np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            for k in range(height):
                for m in range(width):
                    one = max(float(c_q[:, i, j] @ c_r[:, k, m]), 0.0)
                    query[i, j] += one
                    retrieved[k, m] += one
    return query, retrieved


def shares_by_steps(held: Tail, a: Array) -> Array:
    """Return a position's activation times the slope of each number, (dim, h, w).

    `held` is what follows the layer, with every divisor and mixing weight written in as a number.
    """
    dim = int(held(torch.from_numpy(a)[None]).shape[1])
    _, height, width = a.shape
    out = np.zeros((dim, height, width))
    for d in range(dim):
        g = slope(lambda maps, d=d: held(maps)[:, d], a)  # type: ignore[misc]
        for i in range(height):
            for j in range(width):
                out[d, i, j] = sum(g[:, i, j] * a[:, i, j])
    return out


def simatt(
    tail: Tail, maps: list[Array], *, positive: bool, negatives: list[Array]
) -> tuple[Array, Array]:
    """X-MIR's steps 1 to 5: the anchor first, then its partner; (of the anchor, of the partner)."""
    vectors = [tail(torch.from_numpy(a)[None])[0].detach().numpy() for a in [*maps, *negatives]]
    units = [unit(e) for e in vectors]
    weight = np.ones(len(units[0]))
    for i in range(1, len(units)):
        row = np.abs(units[0] - units[i])
        weight *= 1 - row if positive and i == 1 else row

    def score(a: Tensor) -> Tensor:
        return (tail(a).abs() * torch.from_numpy(weight)).sum(dim=1)

    out = []
    for a in maps:
        g = slope(score, a)
        alpha = [g[c].mean() for c in range(len(a))]
        found = np.zeros(a.shape[1:])
        for c in range(len(a)):
            found += alpha[c] * a[c]
        out.append(np.maximum(found, 0))
    return out[0], out[1]
