"""An image's vector beside numbers about the patient: how the two become one.

The NIH study's own layer, called Sauce, weighs one vector of the image and one of the numbers by
learnt scalars. Its definition was not published; shapes and purpose are those of ELMo's scalar
mix (Peters et al., NAACL 2018, arXiv:1802.05365, equation 1), which `ScalarMix` is. `Gate` weighs
them anew for each image. A residual path carries the image around either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.errors import UsageError

Mix = Literal["sauce", "gate"]
Residual = Literal["none", "study", "plain"]
Activation = Literal["relu", "gelu"]

FURTHEST: Final = 5.0
"""Standard deviations from the mean at which a number about a patient is cut: the flag of a
finding that one in a thousand has would be 32 away."""


@dataclass(frozen=True)
class HeadSettings:
    """What comes after the backbone.

    Parameters
    ----------
    hidden
        Widths of dense layers before the outputs: the study has (256, 256); () is one linear map.
    dropout
        Share of numbers dropped before each dense layer but the first; before the outputs if
        there is none.
    width
        Length of the vectors that are mixed.
    activation
        ``"relu"`` or ``"gelu"``, which does not die.
    layer_norm
        Normalise each vector before the mix, so that their weights can be compared.
    mix
        ``"sauce"``: one weight per vector; ``"gate"``: anew for each image.
    softmax
        ``sauce``: whether the weights are positive and add up to 1; else they are free.
    per_feature
        ``sauce``: whether each of the `width` numbers has weights of its own.
    residual
        A path of the image around the mix: ``"none"``; ``"study"``, a dense layer of its own with
        the activation; ``"plain"``, a linear map, through which a gradient always comes.
    """

    hidden: tuple[int, ...] = (256, 256)
    dropout: float = 0.5
    width: int = 256
    activation: Activation = "relu"
    layer_norm: bool = False
    mix: Mix = "sauce"
    softmax: bool = True
    per_feature: bool = False
    residual: Residual = "none"

    def __post_init__(self) -> None:
        for name, choices in (
            ("activation", get_args(Activation)),
            ("mix", get_args(Mix)),
            ("residual", get_args(Residual)),
        ):
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"{name} {getattr(self, name)!r} is not known; choose from {', '.join(choices)}"
                )
        if min((self.width, *self.hidden)) < 1 or not 0 <= self.dropout < 1:
            raise UsageError(
                "widths are at least 1 and dropout is at least 0 and below 1; got "
                f"width={self.width}, hidden={self.hidden}, dropout={self.dropout}"
            )


class Mixed(NamedTuple):
    """Vectors made one.

    Parameters
    ----------
    vector : (n, width)
    shares : (parts,)
        What each part weighed, on average over the batch.
    scale : ()
        What the weighted sum was multiplied by.
    """

    vector: Tensor
    shares: Tensor
    scale: Tensor


class ScalarMix(nn.Module):
    """gamma * sum over parts of s * part, with s = softmax(w): the Sauce layer.

    It starts as the plain mean: w is 0 (1 / parts without softmax) and gamma 1.

    Parameters
    ----------
    parts
        How many vectors are mixed.
    width
        Their length.
    softmax, per_feature
        As in `HeadSettings`.
    """

    def __init__(
        self, parts: int, width: int, *, softmax: bool = True, per_feature: bool = False
    ) -> None:
        super().__init__()
        shape = (parts, width if per_feature else 1)
        self.softmax = softmax
        self.weight = nn.Parameter(torch.full(shape, 0.0 if softmax else 1 / parts))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, parts: Sequence[Tensor]) -> Mixed:
        """Mix vectors (n, width)."""
        s = self.weight.softmax(dim=0) if self.softmax else self.weight  # (parts, width or 1)
        mixed = self.gamma * (torch.stack(tuple(parts)) * s[:, None]).sum(dim=0)
        return Mixed(mixed, s.mean(dim=1), self.gamma)


class Gate(nn.Module):
    """The sum of s * part with s = softmax(W [parts]): what weighs more depends on the image.

    It starts as the plain mean.

    Parameters
    ----------
    parts, width
        As in `ScalarMix`.
    """

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.choose = nn.Linear(parts * width, parts)
        nn.init.zeros_(self.choose.weight)
        nn.init.zeros_(self.choose.bias)

    def forward(self, parts: Sequence[Tensor]) -> Mixed:
        """Mix vectors (n, width)."""
        s = self.choose(torch.cat(tuple(parts), dim=1)).softmax(dim=1)  # (n, parts)
        mixed = (torch.stack(tuple(parts), dim=1) * s[:, :, None]).sum(dim=1)
        return Mixed(mixed, s.mean(dim=0), s.new_ones(()))


class FeatureInput(nn.Module):
    """Numbers about patients as a network can take them.

    Each column less its mean over the training images, in standard deviations, at most `FURTHEST`
    of them; what is unknown is 0, and each group of columns has one more that says whether any of
    it is known.

    Parameters
    ----------
    groups
        Where the columns of each input are: from, to.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, groups: Mapping[str, tuple[int, int]]) -> None:
        super().__init__()
        self.groups = dict(groups)
        columns = max(stop for _, stop in groups.values())
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("std", torch.ones(columns))

    @property
    def width(self) -> int:
        """How many numbers come out."""
        return len(self.mean) + len(self.groups)

    def fit(self, features: NDArray[np.float32]) -> None:
        """Take means and standard deviations from the training images, (n, columns)."""
        known = ~np.isnan(features)
        number = np.maximum(known.sum(axis=0), 1)
        values = np.where(known, features, 0).astype(np.float64)
        mean = values.sum(axis=0) / number
        square = np.where(known, (values - mean) ** 2, 0).sum(axis=0) / number
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(np.where(square > 1e-12, np.sqrt(square), 1.0)))

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, columns) with NaN to (n, width) without."""
        values = ((features - self.mean) / self.std).clamp(-FURTHEST, FURTHEST)
        known = ~features.isnan()
        flags = [known[:, start:stop].any(dim=1) for start, stop in self.groups.values()]
        return torch.cat([torch.where(known, values, 0.0), torch.stack(flags, 1).float()], dim=1)


class Fusion(nn.Module):
    """One vector of the image and one of the numbers, mixed, with a path around the mix.

    Parameters
    ----------
    dim
        Length of the image's vector.
    groups
        As in `FeatureInput`.
    settings
        How.
    """

    def __init__(
        self, dim: int, groups: Mapping[str, tuple[int, int]], settings: HeadSettings
    ) -> None:
        super().__init__()
        self.input = FeatureInput(groups)
        self.image = branch(dim, settings)
        self.features = branch(self.input.width, settings)
        self.mix: nn.Module
        if settings.mix == "gate":
            self.mix = Gate(2, settings.width)
        else:
            self.mix = ScalarMix(
                2, settings.width, softmax=settings.softmax, per_feature=settings.per_feature
            )
        self.around: nn.Module | None = None
        if settings.residual == "study":
            self.around = nn.Sequential(nn.Linear(dim, settings.width), activation(settings))
        elif settings.residual == "plain":
            self.around = nn.Linear(dim, settings.width)

    def forward(self, vectors: Tensor, features: Tensor) -> Mixed:
        """Fuse image vectors (n, dim) with features (n, columns)."""
        mixed: Mixed = self.mix([self.image(vectors), self.features(self.input(features))])
        if self.around is None:
            return mixed
        return mixed._replace(vector=mixed.vector + self.around(vectors))


def branch(dim: int, settings: HeadSettings) -> nn.Sequential:
    """Return a dense layer to `width`, with its activation."""
    layers = [nn.Linear(dim, settings.width), activation(settings)]
    if settings.layer_norm:
        layers.append(nn.LayerNorm(settings.width))
    return nn.Sequential(*layers)


def dense_head(dim: int, findings: int, settings: HeadSettings) -> nn.Sequential:
    """Return the dense layers and the outputs, one logit per finding."""
    layers: list[nn.Module] = []
    for width in settings.hidden:
        if layers:
            layers.append(nn.Dropout(settings.dropout))
        layers += [nn.Linear(dim, width), activation(settings)]
        dim = width
    if not layers:
        layers.append(nn.Dropout(settings.dropout))
    return nn.Sequential(*layers, nn.Linear(dim, findings))


def activation(settings: HeadSettings) -> nn.Module:
    """Return the activation of dense layers."""
    return nn.ReLU() if settings.activation == "relu" else nn.GELU()
