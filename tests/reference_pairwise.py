"""Maps of a similarity written from their formulas: one number, one position, one image at a time.

What follows the layer is given as a plain function (n, c, h, w) → (n, dim), written out for each
network of the tests, so that nothing that finds layers, holds divisors or batches is believed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
Tail = Callable[[Tensor], Tensor]
"""From a layer's maps, (n, c, h, w), to vectors, (n, dim)."""


def unit(vector: Array) -> Array:
    length: float = np.sqrt((vector**2).sum())
    return vector / length


def gap(a: Tensor) -> Tensor:
    return a.mean(dim=(2, 3))


def slopes(tail: Tail, a: Array, step: float = 1e-6) -> Array:
    """Return ∂number/∂A of each number by central differences, (dim, c, h, w)."""
    flat = torch.from_numpy(a).flatten()
    moves = step * torch.eye(len(flat), dtype=torch.float64)
    up, down = (tail((flat + one).reshape(-1, *a.shape)) for one in (moves, -moves))
    by_place: Array = ((up - down) / (2 * step)).detach().numpy()  # (c · h · w, dim)
    return by_place.T.reshape(-1, *a.shape)


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
    g = slopes(held, a)
    out = np.zeros((len(g), *a.shape[1:]))
    for d, i, j in np.ndindex(out.shape):
        out[d, i, j] = sum(g[d, :, i, j] * a[:, i, j])
    return out


def weights(vectors: list[Array], *, positive: bool) -> Array:
    """X-MIR's step 2: how much each number counts; the anchor first, then its partner."""
    units = [unit(e) for e in vectors]
    out = np.ones(len(units[0]))
    for i in range(1, len(units)):
        row = np.abs(units[0] - units[i])
        out *= 1 - row if positive and i == 1 else row
    return out


def attention(tail: Tail, a: Array, weights: Array) -> Array:
    """X-MIR's steps 3 to 5: one image's map by weights of its numbers."""
    g = slopes(lambda maps: (tail(maps).abs() * torch.from_numpy(weights)).sum(1, True), a)[0]
    found = np.zeros(a.shape[1:])
    for c in range(len(a)):
        found += g[c].mean() * a[c]
    return np.maximum(found, 0)


def left_out(tail: Tail, a: Array, other: Array) -> Array:
    """Replace each cell by the mean of the others: by how much the distance to `other` grows."""
    _, height, width = a.shape

    def apart(maps: Array) -> float:
        found = unit(tail(torch.from_numpy(maps)[None])[0].detach().numpy())
        return float(np.sqrt(((found - other) ** 2).sum()))

    out = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            rest = [a[:, k, m] for k in range(height) for m in range(width) if (k, m) != (i, j)]
            changed = a.copy()
            changed[:, i, j] = sum(rest) / len(rest)
            out[i, j] = max(apart(changed) - apart(a), 0.0)
    return out


def score_cam(
    embed: Callable[[Tensor], Tensor], query: Tensor, image: Tensor, activations: Array
) -> Array:
    """Hide an image (1, c, side, side) as each channel sees it."""

    def apart(one: Tensor) -> float:
        q, r = (unit(embed(each)[0].detach().numpy()) for each in (query, one))
        return float(np.sqrt(((q - r) ** 2).sum()))

    gains, maps = [], []
    for channel in activations:
        if channel.max() == channel.min():
            continue
        over = torch.nn.functional.interpolate(
            torch.from_numpy(channel)[None, None], image.shape[2:], mode="bilinear"
        )
        seen = (over - over.min()) / (over.max() - over.min())
        gains.append(max(apart(image * (1 - seen)) - apart(image), 0.0))
        maps.append(channel)
    low, high = min(gains), max(gains)
    out = np.zeros(activations.shape[1:])
    for gain, one in zip(gains, maps, strict=True):
        out += (gain - low) / (high - low) * one / len(gains)
    return np.maximum(out, 0)


class ClassToken:
    """What follows the last attention's input in a plain transformer, for one image.

    Parameters
    ----------
    module
        Of timm, read off its class token, in double precision.
    image : (1, c, side, side)
    """

    def __init__(self, module: Any, image: Tensor) -> None:
        self.block, self.norm = module.blocks[-1], module.norm
        x = module.patch_embed(image).reshape(1, -1, module.embed_dim)
        x = torch.cat([module.cls_token, x], dim=1) + module.pos_embed
        for block in module.blocks[:-1]:
            x = block(x)
        self.before = x[0, 0].detach()  # the class token as it comes, (c,)
        tokens = self.block.norm1(x)[0].detach()  # (1 + h · w, c)
        self.own = tokens[0]
        side = round((len(tokens) - 1) ** 0.5)
        self.maps = tokens[1:].T.reshape(-1, side, side).numpy()
        self.numbers: list[Array] | None = None

    def __call__(self, maps: Tensor) -> Tensor:
        """Return vectors (n, dim) of maps (n, c, h, w)."""
        return torch.stack([self.one(each, None) for each in maps])

    def held(self, maps: Tensor) -> Tensor:
        """Return the same with the weights and divisors of this image's own maps as numbers."""
        if self.numbers is None:
            self.numbers = []
            self.one(torch.from_numpy(self.maps), self.numbers)
        return torch.stack([self.one(each, list(self.numbers), held=True) for each in maps])

    def one(self, maps: Tensor, numbers: list[Array] | None, *, held: bool = False) -> Tensor:
        def number(value: Tensor) -> Tensor:
            if held:
                assert numbers is not None
                return torch.from_numpy(numbers.pop(0))
            if numbers is not None:
                numbers.append(value.detach().numpy())
            return value

        def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
            centred = x - x.mean()
            divisor = number(torch.sqrt((centred**2).mean() + layer.eps))
            return centred / divisor * layer.weight + layer.bias

        attention = self.block.attn
        tokens = torch.cat([self.own[None], maps.flatten(1).T])
        heads, dim = attention.num_heads, attention.head_dim
        q, k, v = attention.qkv(tokens).reshape(len(tokens), 3, heads, dim).unbind(1)
        read = []
        for head in range(heads):
            weights = number(torch.softmax(k[:, head] @ q[0, head] / dim**0.5, dim=0))
            read.append(weights @ v[:, head])
        x = self.before + attention.proj(torch.cat(read))
        x = x + self.block.mlp(norm(x, self.block.norm2))
        return norm(x, self.norm)
