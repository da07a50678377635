"""A small text tower: a transformer that learns short reports on two cores.

Two layers that read in both directions. It reads OpenAI's token ids but keeps a row only for
those it was made for: of 49,408 ids a hospital's reports use one or two thousand, and a step of
AdamW over the whole table costs more than the rest of the tower.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders.text import END, VOCABULARY
from hilum.errors import UsageError


@dataclass(frozen=True)
class TextSpec:
    """The size of a small text tower.

    Parameters
    ----------
    width
        Numbers per token.
    layers, heads
        Of the transformer.
    vocabulary
        How many token ids have a row of their own; all others share one that stays zero.
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    vocabulary: int = VOCABULARY

    def __post_init__(self) -> None:
        if self.layers < 0 or self.heads < 1 or self.width < 1 or self.width % self.heads:
            raise UsageError(
                "a text tower's width must be a multiple of its heads; "
                f"got width {self.width}, {self.heads} heads, {self.layers} layers"
            )
        if not 2 <= self.vocabulary <= VOCABULARY:
            raise UsageError(
                f"a vocabulary has 2 (start and end) to {VOCABULARY} ids; got {self.vocabulary}"
            )


class TextTower(nn.Module):
    """Maps tokens to one vector per text.

    Parameters
    ----------
    spec
        Its size.
    context
        Tokens in a sequence.
    """

    ids: Tensor

    def __init__(self, spec: TextSpec, context: int) -> None:
        super().__init__()
        self.register_buffer("ids", torch.arange(VOCABULARY - spec.vocabulary, VOCABULARY))
        self.embedding = nn.Embedding(spec.vocabulary + 1, spec.width)
        self.positions = nn.Parameter(torch.empty(context, spec.width))
        self.blocks = nn.ModuleList(Block(spec.width, spec.heads) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        with torch.no_grad():
            self.embedding.weight[-1].zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, context) int64 to (n, width): the mean over the tokens of each text."""
        ends = (tokens == END).int().argmax(1)
        tokens = tokens[:, : int(ends.max()) + 1].contiguous()  # the rest is padding in every text
        here = torch.arange(tokens.shape[1], device=tokens.device) <= ends[:, None]
        x = self.embedding(self._rows(tokens)) + self.positions[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, here[:, None, None, :])
        x = self.norm(x) * here[..., None]
        mean: Tensor = x.sum(1) / here.sum(1, keepdim=True)
        return mean

    def _rows(self, tokens: Tensor) -> Tensor:
        found = torch.searchsorted(self.ids, tokens).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[found] == tokens, found, len(self.ids))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each normalised before and added after."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (n, length, width); `mask` (n, 1, 1, length) is true where there is a token."""
        q, k, v = self.qkv(self.norm_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out
