"""Tiny pairs of every kind, and slow, obvious versions of what they do."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hilum.encoders import PairEncoder, PairSpec, TextSpec, random_pair
from hilum.encoders.clip import build_clip, clip_spec
from hilum.encoders.text import END
from hilum.encoders.text_tower import TextTower
from reference_training import slow_processor

CONTEXT = 16
TEXTS = ("No pleural effusion.", "edema", "", "Mild edema; no pneumothorax!", "edema")


def tiny_text(width: int = 32, layers: int = 2, heads: int = 2) -> TextSpec:
    return TextSpec(width=width, layers=layers, heads=heads)


def tiny_small(seed: int = 0, ids: tuple[int, ...] | None = (900, 871, 1490, 9364)) -> PairEncoder:
    """Return a pair with a timm backbone and a small text tower."""
    return random_pair(
        "test_resnet", seed, size=32, context=CONTEXT, dim=12, text=tiny_text(), ids=ids,
        engine=slow_processor(),
    )  # fmt: skip


def tiny_config(**changes: Any) -> dict[str, Any]:
    """Return open_clip's configuration of a CLIP of OpenAI's layout, one layer deep."""
    return {
        "embed_dim": 12,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1,
        },
        **changes,
    }  # fmt: skip


def tiny_clip(seed: int = 0, **changes: Any) -> PairEncoder:
    """Return a pair of open_clip's two towers."""
    config = tiny_config(**changes)
    spec: PairSpec = clip_spec("tiny", config, source=f"random weights, seed {seed}")
    return PairEncoder(spec, build_clip(config, seed=seed), slow_processor())


def some_pixels(n: int = 4, side: int = 40, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def read_slowly(tower: TextTower, tokens: NDArray[np.int64]) -> Tensor:
    """Return a small tower's vectors, one text at a time and one head at a time."""
    rows = {int(one): row for row, one in enumerate(tower.ids)}
    out = []
    for sequence in tokens.tolist():
        text = sequence[: sequence.index(END) + 1]
        x = torch.stack([
            tower.embedding.weight[rows.get(one, len(rows))] + tower.positions[place]
            for place, one in enumerate(text)
        ])  # fmt: skip
        for block in tower.blocks:
            q, k, v = block.qkv(block.norm_1(x)).chunk(3, dim=-1)  # type: ignore[operator]
            width = q.shape[1] // block.heads
            heads = []
            for one in (slice(start, start + width) for start in range(0, q.shape[1], width)):
                shares = (q[:, one] @ k[:, one].T / width**0.5).softmax(-1)
                heads.append(shares @ v[:, one])
            x = x + block.out(torch.cat(heads, -1))  # type: ignore[operator]
            x = x + block.mlp(block.norm_2(x))  # type: ignore[operator]
        out.append(tower.norm(x).mean(0))
    return torch.stack(out)
