"""How the output of a layer lies over the image: channels first, channels last, or tokens.

Every layer of a network gives numbers in a layout of its own. A `Frame` is found once, from the
output for one image, and turns every later output into (n, channels, height, width), so that
nothing above this module knows what kind of network it looks at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final, Literal

import torch
from torch import Tensor, nn

MOST_PREFIX: Final = 16
"""Class, distillation and register tokens: no transformer in use has more before its grid."""

Layout = Literal["channels-first", "channels-last", "tokens"]


@dataclass(frozen=True)
class Frame:
    """Where the positions of an image are in a layer's output.

    Parameters
    ----------
    layout
        ``"channels-first"`` is (n, c, h, w), ``"channels-last"`` (n, h, w, c), ``"tokens"``
        (n, prefix + h · w, c), row by row.
    height, width
        Of the grid.
    prefix
        Tokens before the grid that belong to no position.
    batch_axis
        1 for tokens whose images are on the second axis, as in some of open_clip's towers.
    """

    layout: Layout
    height: int
    width: int
    prefix: int = 0
    batch_axis: int = 0

    def to_map(self, output: Tensor) -> Tensor:
        """Return an output, or a gradient by it, as (n, channels, height, width)."""
        if self.layout == "channels-first":
            return output
        if self.layout == "channels-last":
            return output.permute(0, 3, 1, 2)
        tokens = output.transpose(0, 1) if self.batch_axis else output
        grid = tokens[:, self.prefix :]  # (n, h · w, c)
        return grid.transpose(1, 2).reshape(len(grid), -1, self.height, self.width)

    def from_map(self, maps: Tensor, output: Tensor) -> Tensor:
        """Return maps (n, channels, height, width) in the layer's own layout.

        Parameters
        ----------
        maps
            What is to be at the positions.
        output
            Of the layer, for one image or for n: gives what belongs to no position.
        """
        if self.layout == "channels-first":
            return maps
        if self.layout == "channels-last":
            return maps.permute(0, 2, 3, 1)
        tokens = output.transpose(0, 1) if self.batch_axis else output
        beside = tokens[:, : self.prefix].expand(len(maps), -1, -1)
        whole = torch.cat([beside, maps.flatten(2).transpose(1, 2)], dim=1)
        return whole.transpose(0, 1) if self.batch_axis else whole

    def beside_map(self, output: Tensor) -> Tensor:
        """Return what belongs to no position: the prefix tokens (n, prefix, c), or (n, 0, 0)."""
        if self.layout != "tokens":
            return output.new_empty(len(output), 0, 0)
        tokens = output.transpose(0, 1) if self.batch_axis else output
        return tokens[:, : self.prefix]


def frame_of(output: Tensor, image: Sequence[int], made_by: nn.Module, prefix: int) -> Frame | None:
    """Find how a layer's output for *one* image lies over it.

    Parameters
    ----------
    output
        What the layer gave.
    image : (height, width)
        Of the input in pixels. A grid has its shape, up to one cell, and two cells or more.
    made_by
        The layer: decides in the rare case where channels may come first or last.
    prefix
        The number of prefix tokens that the network says it has, -1 if it says none. Where it
        does not fit, the smallest number that leaves a grid is taken: a distilled transformer's
        198 tokens are 2 and 14 × 14.

    Returns
    -------
    None if the output has no positions.
    """
    shape = tuple(output.shape)
    if len(shape) == 4 and shape[0] == 1:
        return _of_images(shape, image, made_by)
    if len(shape) == 3 and 1 in shape[:2]:
        batch_axis = 0 if shape[0] == 1 else 1
        return _of_tokens(shape[1 - batch_axis], image, prefix, batch_axis)
    return None


def _of_images(shape: tuple[int, ...], image: Sequence[int], made_by: nn.Module) -> Frame | None:
    first, last = _fits(shape[2], shape[3], image), _fits(shape[1], shape[2], image)
    if first and last:  # as many channels as rows: only the layer can tell
        last = isinstance(made_by, nn.LayerNorm | nn.Linear)
    if last:
        return Frame("channels-last", shape[1], shape[2])
    return Frame("channels-first", shape[2], shape[3]) if first else None


def _of_tokens(count: int, image: Sequence[int], prefix: int, batch_axis: int) -> Frame | None:
    guesses = [prefix] if prefix >= 0 else []
    for skipped in [*guesses, *range(MOST_PREFIX + 1)]:
        rows, columns = _grid(count - skipped, image)
        if rows * columns == count - skipped and _fits(rows, columns, image):
            return Frame("tokens", rows, columns, skipped, batch_axis)
    return None


def _grid(cells: int, image: Sequence[int]) -> tuple[int, int]:
    """Return the rows and columns of the image's shape that come nearest to so many cells."""
    if cells < 1:
        return 0, 0
    rows = max(1, (isqrt(4 * cells * image[0] // image[1]) + 1) // 2)
    return rows, cells // rows


def _fits(rows: int, columns: int, image: Sequence[int]) -> bool:
    height, width = image
    inside = rows <= height and columns <= width and rows * columns > 1
    return inside and abs(rows * width - columns * height) < max(height, width)
