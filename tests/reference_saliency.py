"""Similarity-based saliency written from its formula: every mask made, one image at a time."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]


def unit(module: nn.Module, image: Array) -> Array:
    """Embed one prepared image (c, h, w); its vector, of length 1."""
    with torch.no_grad():
        vector = module(torch.from_numpy(image).float()[None])[0].double().numpy()
    return np.asarray(vector / np.sqrt((vector**2).sum()))


def masks_x_mir(side: int, window: int, stride: int) -> list[Array]:
    masks = []
    for top in range(stride - window, side, stride):
        for left in range(stride - window, side, stride):
            mask = np.ones((side, side))
            mask[max(top, 0) : top + window, max(left, 0) : left + window] = 0
            masks.append(mask)
    return masks


def averaged(masks: list[Array], scores: list[float]) -> Array:
    """Σ (1 − m) K / Σ (1 − m), pixel by pixel."""
    total, count = np.zeros_like(masks[0]), np.zeros_like(masks[0])
    for mask, score in zip(masks, scores, strict=True):
        total += (1 - mask) * score
        count += 1 - mask
    return total / count


def sbsm(
    module: nn.Module, query: Array, retrieved: Array, masks: list[Array], fill: float = 0.0
) -> Array:
    """Of prepared images (c, h, w); `fill` in the network's own unit."""
    asked = unit(module, query)
    before = np.linalg.norm(asked - unit(module, retrieved))
    rises = []
    for mask in masks:
        hidden = retrieved * mask + fill * (1 - mask)
        after = np.linalg.norm(asked - unit(module, hidden))
        rises.append(max(0.0, float(after - before)))
    return averaged(masks, rises)


def blurred(image: Array, sigma: float) -> Array:
    """A Gaussian over (c, h, w) cut at four sigma, edges repeated: a loop over every tap."""
    reach = int(np.ceil(4 * sigma))
    taps = np.arange(-reach, reach + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    kernel = np.outer(weights, weights) / np.outer(weights, weights).sum()
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    out = np.zeros_like(image)
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            out += kernel[i, j] * padded[:, i : i + height, j : j + width]
    return out
