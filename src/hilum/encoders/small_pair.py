"""A pair that trains on two cores: any timm backbone beside a small text tower."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from hilum.encoders.device import own_random_numbers
from hilum.encoders.image import EncoderSpec, build_module, feature_dim
from hilum.encoders.pair import PairModule
from hilum.encoders.text import END, START, VOCABULARY
from hilum.encoders.text_tower import TextSpec, TextTower
from hilum.errors import UsageError


@final
class SmallPair(PairModule):
    """A timm backbone and a small text tower, each with a linear map into the common space.

    Parameters
    ----------
    image
        What the image tower expects; `dim` is that of the common space.
    text
        The size of the text tower.
    context
        Tokens in a text.
    seed
        Of its random weights; the process's random state is left as it was.
    """

    def __init__(self, image: EncoderSpec, text: TextSpec, context: int, *, seed: int = 0) -> None:
        super().__init__()
        self.image = build_module(image.architecture, image.size, image.channels, seed=seed)
        width = feature_dim(self.image, image.size, image.channels)
        with own_random_numbers(seed):
            self.image_projection = nn.Linear(width, image.dim, bias=False)
            self.text = TextTower(text, context)
            self.text_projection = nn.Linear(text.width, image.dim, bias=False)

    def image_features(self, images: Tensor) -> Tensor:
        """Map (n, channels, size, size), normalised, to (n, dim)."""
        out: Tensor = self.image_projection(self.image(images))
        return out

    def text_features(self, tokens: Tensor) -> Tensor:
        """Map (n, context) int64 to (n, dim)."""
        out: Tensor = self.text_projection(self.text(tokens))
        return out

    def learn_ids(self, ids: Sequence[int]) -> None:
        """Say which token ids have a row of their own: as many as the tower's vocabulary."""
        chosen = sorted({*ids, START, END})
        if len(chosen) != len(self.text.ids) or not 0 <= chosen[0] <= chosen[-1] < VOCABULARY:
            raise UsageError(
                f"expected {len(self.text.ids)} token ids below {VOCABULARY}, start and end "
                f"among them; got {len(chosen)}, from {chosen[0]} to {chosen[-1]}"
            )
        self.text.ids.copy_(torch.tensor(chosen))
