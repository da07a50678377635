"""Contrastive losses: an image must be nearer to what is true of it than to the other texts.

The softmax loss is CLIP's (Radford et al., ICML 2021, arXiv:2103.00020), the sigmoid loss
SigLIP's (Zhai et al., ICCV 2023, arXiv:2303.15343). Both authors let an image have one text and a
text one image. In reports the same sentence is true of many images, so both losses take any
number of positives: the softmax loss then asks for equal shares among them, as in supervised
contrastive learning (Khosla et al., NeurIPS 2020, arXiv:2004.11362, their L_out) and UniCL (Yang
et al., CVPR 2022, arXiv:2204.03610). With one positive each they are the authors' own.
"""

from dataclasses import dataclass
from math import log
from typing import Final, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError

Loss = Literal["softmax", "sigmoid"]
Positives = Literal["said", "same", "own"]
SIGLIP: Final = (10.0, -10.0)  # scale and bias at which the sigmoid loss starts


@dataclass(frozen=True)
class ContrastSettings:
    """What defines the contrastive task.

    Parameters
    ----------
    loss
        ``"softmax"`` or ``"sigmoid"``.
    positives
        Which texts of a batch are true of an image beside its own: ``"said"``, all whose every
        sentence its own report has, and near-identical ones; ``"same"``, near-identical ones;
        ``"own"``, none (CheXzero: two normal films are taught to differ).
    alike
        Sentences are near-identical if they share at least this part of their words and pairs of
        neighbouring words; 1 for all (`hilum.training.duplicates`).
    scale, bias
        By what the cosines are multiplied, and what is added to them in the sigmoid loss, when
        training starts. None keeps what the weights come with, but for the sigmoid loss on
        weights that never knew it: 10 and -10 (SigLIP).
    most_scale
        The scale is kept at or below this (CLIP: 100); 0 for no limit (CheXzero).
    texts
        Texts that each image gets in a step: more is more to learn from one look at it.
    chunk
        Images, and texts, that a process encodes at a time; 0 for all. Less memory and one more
        forward pass for the same gradients (`hilum.training.cached`).
    """

    loss: Loss = "softmax"
    positives: Positives = "said"
    alike: float = 0.85
    scale: float | None = None
    bias: float | None = None
    most_scale: float = 100.0
    texts: int = 1
    chunk: int = 0

    def __post_init__(self) -> None:
        for name, choices in (("loss", get_args(Loss)), ("positives", get_args(Positives))):
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"{name} {getattr(self, name)!r} is not known; choose from {', '.join(choices)}"
                )
        if not 0 < self.alike <= 1:
            raise UsageError(f"alike is a share of words, above 0 and up to 1; got {self.alike}")
        if self.scale is not None and not self.scale > 0:
            raise UsageError(f"scale must be positive; got {self.scale}")
        if self.most_scale < 0 or self.chunk < 0:
            raise UsageError(
                "most_scale and chunk cannot be negative (0 is no limit); "
                f"got {self.most_scale} and {self.chunk}"
            )
        if self.texts < 1:
            raise UsageError(f"an image gets at least 1 text in a step; got texts={self.texts}")

    def start(self, logit_scale: Tensor, logit_bias: Tensor) -> None:
        """Set the scale (kept as its logarithm) and the bias with which training starts."""
        unknown = self.loss == "sigmoid" and logit_bias.item() == 0
        scale, bias = SIGLIP if unknown else (None, None)
        scale, bias = self.scale or scale, bias if self.bias is None else self.bias
        with torch.no_grad():
            if scale is not None:
                logit_scale.fill_(log(scale))
            if bias is not None:
                logit_bias.fill_(bias)

    def limit(self, logit_scale: Tensor) -> None:
        """Put the scale back to its limit if a step took it beyond."""
        if self.most_scale:
            with torch.no_grad():
                logit_scale.clamp_(max=log(self.most_scale))


def softmax_loss(images: Tensor, texts: Tensor, scale: Tensor, positives: Tensor) -> Tensor:
    """Return the symmetric cross-entropy of images among texts and of texts among images.

    Parameters
    ----------
    images, texts : (n, dim), (m, dim)
        Unit rows.
    scale : ()
        Multiplies the cosines: the inverse of the temperature.
    positives : (n, m) bool
        [i, j]: text j is true of image i. Each image has a text, and each text an image.

    Returns
    -------
    (): the mean of both directions; log n where n images and n texts are all one vector. Where k
    texts are positives of each image, and k images of each text, it cannot fall below log k.
    """
    logits = similarities(images, texts, scale)
    share = positives.to(logits.dtype)
    by_image = functional.cross_entropy(logits, share / share.sum(dim=1, keepdim=True))
    by_text = functional.cross_entropy(logits.T, (share / share.sum(dim=0, keepdim=True)).T)
    return (by_image + by_text) / 2


def sigmoid_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor, positives: Tensor
) -> Tensor:
    """Return the binary cross-entropy of all pairs of an image and a text, summed per image.

    Parameters
    ----------
    images, texts, scale, positives
        As in `softmax_loss`.
    bias : ()
        Added to the scaled cosines: negative, since most pairs do not belong together.
    """
    logits = similarities(images, texts, scale) + bias
    signs = torch.where(positives, 1.0, -1.0)
    return -functional.logsigmoid(signs * logits).sum() / len(logits)


def similarities(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Return scaled cosines (n, m) in the vectors' own precision, whatever the towers use."""
    with torch.autocast(images.device.type, enabled=False):
        return scale * (images @ texts.T)


def found_first(logits: Tensor, positives: Tensor) -> Tensor:
    """Return the share of rows whose highest column is a positive."""
    best = logits.argmax(dim=1, keepdim=True)
    return positives.gather(1, best).float().mean()
