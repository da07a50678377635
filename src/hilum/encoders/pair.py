"""A pair of encoders: images and texts as unit vectors of one space.

A picture and a sentence are alike as far as their vectors point the same way (CLIP, Radford et
al., 2021, arXiv:2103.00020). The image tower is any timm backbone with a small text tower, or
both towers are open_clip's; to everything that uses them they are one kind of thing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import exp, log
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders.device import Engine, choose_engine
from hilum.encoders.image import EncoderSpec, check_pixels, to_input
from hilum.encoders.tensors import digest
from hilum.encoders.text import OnLong, Tokens, lengths, tokenise
from hilum.encoders.text_tower import TextSpec
from hilum.errors import UsageError

TEXTS_AT_A_TIME = 128
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class PairSpec:
    """What a pair is and what it expects.

    Parameters
    ----------
    image
        What the image tower expects; its `dim` is that of the common space, its `architecture`
        a timm name or ``open_clip:NAME``.
    context
        Tokens in a text, start and end included.
    text
        The small text tower; or
    clip
        open_clip's configuration of both towers, whole, so that the weights can be read
        whatever a later open_clip calls the model.
    """

    image: EncoderSpec
    context: int
    text: TextSpec | None = None
    clip: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.clip is None):
            raise UsageError("a pair has a small text tower or open_clip's towers, one of the two")
        if not 2 <= self.context <= 4096:
            raise UsageError(f"a context is 2 to 4096 tokens; got {self.context}")

    @property
    def architecture(self) -> str:
        """The image tower's timm name, or ``open_clip:NAME``."""
        return self.image.architecture

    @property
    def size(self) -> int:
        """Height and width of the image tower's input in pixels."""
        return self.image.size

    @property
    def channels(self) -> int:
        """1, or 3 equal ones."""
        return self.image.channels

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, of pixels scaled to 0...1."""
        return self.image.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel, of pixels scaled to 0...1."""
        return self.image.std

    @property
    def dim(self) -> int:
        """Length of the vectors of both towers."""
        return self.image.dim

    @property
    def recipe(self) -> str:
        """The recipe that trained it, or ""."""
        return self.image.recipe

    @property
    def source(self) -> str:
        """Where the weights come from, in words."""
        return self.image.source

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return {
            "image": self.image.as_dict(),
            "context": self.context,
            "text": None if self.text is None else asdict(self.text),
            "clip": None if self.clip is None else dict(self.clip),
        }


class PairModule(nn.Module, ABC):
    """Two towers with the scale and bias of their similarity.

    `logit_scale` is a natural logarithm: CLIP multiplies cosines by its exponential, and starts
    at ln(1/0.07). `logit_bias` is added to the scaled cosines in the sigmoid loss and unused in
    the softmax loss; it starts at 0. Both have no dimensions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))
        self.logit_bias = nn.Parameter(torch.tensor(0.0))

    @abstractmethod
    def image_features(self, images: Tensor) -> Tensor:
        """Map (n, channels, size, size), normalised, to (n, dim), of any length."""

    @abstractmethod
    def text_features(self, tokens: Tensor) -> Tensor:
        """Map (n, context) int64 to (n, dim), of any length."""

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return both towers' features: one call, as DistributedDataParallel wants it."""
        return self.image_features(images), self.text_features(tokens)


@final
class PairEncoder:
    """Two towers in evaluation mode with their spec, on a device.

    For everything that needs image vectors it is an image encoder (`hilum.embed` takes it as it
    is); besides, it encodes texts. All vectors have length 1: the product of an image's and a
    text's is their cosine.

    Parameters
    ----------
    spec
        What the module expects.
    module
        The two towers.
    engine
        Where and in which precision they run; chosen for this machine if not given.
    """

    def __init__(self, spec: PairSpec, module: PairModule, engine: Engine | None = None) -> None:
        self.spec = spec
        self.engine = engine or choose_engine()
        self.module = module.to(self.engine.device, memory_format=self.engine.memory_format)  # type: ignore[call-overload]
        self.module.eval()

    def __repr__(self) -> str:
        return (
            f"PairEncoder({self.spec.architecture}, {self.spec.size} px, {self.spec.context} "
            f"tokens, {self.fingerprint[:12]})"
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over the spec and the weights in name order."""
        return digest(self.module.state_dict(), self.spec.as_dict())

    @property
    def scale(self) -> float:
        """What the cosines were multiplied by in training: exp(`logit_scale`)."""
        return exp(self.module.logit_scale.item())

    @property
    def bias(self) -> float:
        """What was added to the scaled cosines in training with the sigmoid loss."""
        return float(self.module.logit_bias.item())

    def encode_images(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Return one unit vector per image.

        Parameters
        ----------
        pixels : (n, side, side) uint8
            Square grey images of any side; other sides than `spec.size` are resized.

        Returns
        -------
        (n, dim) float32

        Raises
        ------
        UsageError
            If the array is not of this kind.
        """
        check_pixels(pixels)
        if not len(pixels):
            return np.empty((0, self.spec.dim), np.float32)
        with torch.inference_mode():
            return self.features(torch.from_numpy(pixels)).cpu().numpy()

    def features(self, pixels: Tensor) -> Tensor:
        """Map (n, side, side) uint8 on any device to (n, dim) float32 unit rows on the pair's."""
        images = to_input(pixels.to(self.engine.device, non_blocking=True), self.spec.image)
        with self.engine.autocast():
            out = self.module.image_features(
                images.contiguous(memory_format=self.engine.memory_format)
            )
        return functional.normalize(out.float(), dim=-1)

    def encode_texts(self, texts: Sequence[str], *, on_long: OnLong = "error") -> Vectors:
        """Return one unit vector per text; a text that occurs often is encoded once.

        Parameters
        ----------
        texts
            In any order, with or without repetitions; an empty one has a vector too.
        on_long
            What becomes of a text longer than `spec.context` tokens: ``"error"`` or ``"cut"``.

        Returns
        -------
        (n, dim) float32

        Raises
        ------
        UsageError
            If a text is too long and is not to be cut (place and length, never its words).
        """
        tokens = tokenise(texts, self.spec.context, on_long=on_long)
        different, back = np.unique(tokens, axis=0, return_inverse=True)
        return self._encode_tokens(different)[back.reshape(-1)]

    def _encode_tokens(self, tokens: Tokens) -> Vectors:
        """Encode texts of like length together: a tower does not read padding that all share."""
        out = np.empty((len(tokens), self.spec.dim), np.float32)
        order = np.argsort(lengths(tokens), kind="stable")
        for start in range(0, len(order), TEXTS_AT_A_TIME):
            rows = order[start : start + TEXTS_AT_A_TIME]
            part = torch.from_numpy(tokens[rows]).to(self.engine.device)
            with torch.inference_mode(), self.engine.autocast():
                found = self.module.text_features(part)
            out[rows] = functional.normalize(found.float(), dim=-1).cpu().numpy()
        return out
