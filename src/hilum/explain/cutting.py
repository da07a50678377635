"""Parts of maps, cut out and put in: as many as there are windows, each at a place of its own."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hilum.explain.touched import Span

Rows = NDArray[np.int64]


def gather(
    clean: Tensor, rows: Span, columns: Span, some: Rows, shift: tuple[int, int] = (0, 0)
) -> Tensor:
    """Return parts of (height, width, channels) as (n, channels, rows, columns), channels last."""
    y = _index(rows.starts[some] + shift[0], rows.length, clean.device)
    x = _index(columns.starts[some] + shift[1], columns.length, clean.device)
    return clean[y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def paste(values: Tensor, change: Tensor, down: Rows, right: Rows) -> None:
    """Write a part (n, channels, rows, columns) into another, in place, each where it belongs."""
    n, _, height, width = change.shape
    y, x = (_index(down, height, values.device), _index(right, width, values.device))
    each = torch.arange(n, device=values.device)[:, None, None]
    layout = values.permute(0, 2, 3, 1)
    layout[each, y[:, :, None], x[:, None, :]] = change.permute(0, 2, 3, 1).to(values.dtype)


def _index(starts: Rows, length: int, device: torch.device) -> Tensor:
    return torch.from_numpy(starts[:, None] + np.arange(length)).to(device)
