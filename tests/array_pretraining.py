"""Pretraining on an array, without a collection."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilum.encoders import Encoder
from hilum.encoders.device import choose_engine
from hilum.encoders.image import check_channels
from hilum.progress import silent
from hilum.training import RECIPES
from hilum.training.feed import resident
from hilum.training.pretraining import _pretrain
from hilum.training.recipes import override


def pretrain_pixels(
    pixels: NDArray[np.uint8], run: Path, recipe: str = "moco-small", *,
    groups: Sequence[Any] | None = None, device: str = "auto", **changes: Any,
) -> Encoder:  # fmt: skip
    """Pretrain on images (n, side, side[, 3]) of these owners; each its own if None."""
    chosen = override(RECIPES[recipe], changes)
    check_channels(pixels.shape[3] if pixels.ndim > 3 else 1, chosen.channels)
    engine = choose_engine(device, chosen.train.precision)
    feed = resident([pixels], len(pixels), min(chosen.stored, pixels.shape[1]), engine.device)
    owners = list(range(len(pixels))) if groups is None else list(groups)
    data = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
    return _pretrain(feed, chosen, run, owners, data, engine, silent)
