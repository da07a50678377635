"""An image encoder: any timm backbone, what it expects of an image, and its fingerprint.

An image goes in as 8-bit pixels, grey or in colour; one vector per image comes out, the backbone's
pooled features (for a ResNet the mean over the last feature map). Size, normalisation and channels
travel with the weights as an `EncoderSpec`, so that an encoder cannot be fed the wrong thing.
"""

import difflib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, final, get_args

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders.device import Engine, choose_engine, own_random_numbers
from hilum.encoders.tensors import digest
from hilum.errors import UsageError

Resize = Literal["antialiased", "bicubic"]
Pooling = Literal["own", "avg", "max"]


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder is and what it expects.

    Parameters
    ----------
    architecture
        A timm name, such as ``"resnet18"``; of a pair also ``open_clip:NAME``.
    size
        Height and width of its input in pixels.
    channels
        1: grey. 3: colour; grey images are given to it as three equal channels.
    mean, std
        Per channel, of pixels scaled to 0...1.
    dim
        Length of its vectors.
    findings
        Names of its outputs, if it has heads.
    recipe
        The recipe that trained it, or "".
    source
        Where the weights come from, in words.
    resize
        How images of another side are resized: ``"antialiased"`` (bilinear), or ``"bicubic"``,
        without antialiasing, for weights that were trained so (CheXzero's).
    pooling
        How the last feature map becomes a vector: ``"avg"``, ``"max"``, or the architecture's
        ``"own"`` way.
    projection
        Length of a linear layer after that, which then gives the vectors; 0 is none.
    """

    architecture: str
    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dim: int
    findings: tuple[str, ...] = ()
    recipe: str = ""
    source: str = ""
    resize: Resize = "antialiased"
    pooling: Pooling = "own"
    projection: int = 0

    def __post_init__(self) -> None:
        if self.resize not in get_args(Resize):
            raise UsageError(
                f"{self.resize!r} is not a way to resize; choose from {', '.join(get_args(Resize))}"
            )
        if self.pooling not in get_args(Pooling):
            raise UsageError(
                f"{self.pooling!r} is not a way to pool; choose from {', '.join(get_args(Pooling))}"
            )
        if self.channels not in (1, 3):
            raise UsageError(f"an encoder has 1 or 3 channels, not {self.channels}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise UsageError(
                f"mean and std need one number per channel ({self.channels}); "
                f"got {len(self.mean)} and {len(self.std)}"
            )
        if not 8 <= self.size <= 4096 or min(self.std) <= 0:
            raise UsageError(
                f"size must be 8 to 4096 and std positive; got {self.size}, {self.std}"
            )
        if self.projection not in (0, self.dim):
            raise UsageError(
                f"a projection gives the vectors: {self.projection} numbers are not {self.dim}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types.

        The usual ways to resize and to pool, and no projection, are left out: fingerprints made
        before there were others stay.
        """
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        for name, usual in (("resize", "antialiased"), ("pooling", "own"), ("projection", 0)):
            if plain[name] == usual:
                del plain[name]
        return plain


@final
class Encoder:
    """A backbone in evaluation mode with its spec, on a device.

    Parameters
    ----------
    spec
        What the module expects.
    module
        Maps (n, channels, size, size) to (n, dim).
    engine
        Where and in which precision it runs; chosen for this machine if not given.
    """

    def __init__(self, spec: EncoderSpec, module: nn.Module, engine: Engine | None = None) -> None:
        self.spec = spec
        self.engine = engine or choose_engine()
        self.module = module.to(self.engine.device, memory_format=self.engine.memory_format)  # type: ignore[call-overload]
        self.module.eval()

    def __repr__(self) -> str:
        return f"Encoder({self.spec.architecture}, {self.spec.size} px, {self.fingerprint[:12]})"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over the spec and the weights in name order."""
        return digest(self.module.state_dict(), self.spec.as_dict())

    def backbone(self) -> "Encoder":
        """Return the encoder without its projection, if it has one."""
        if not isinstance(self.module, Projected):
            return self
        spec = replace(self.spec, projection=0, dim=self.module.projection.in_features)
        return Encoder(spec, self.module.backbone, self.engine)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one vector per image.

        Parameters
        ----------
        pixels : (n, side, side) or (n, side, side, 3) uint8
            Square images of any side, grey or RGB; other sides than `spec.size` are resized.

        Returns
        -------
        (n, dim) float32

        Raises
        ------
        UsageError
            If the array is not of this kind, or has colour and the encoder one channel.
        """
        check_pixels(pixels)
        if not len(pixels):
            return np.empty((0, self.spec.dim), np.float32)
        with torch.inference_mode():
            return self.features(torch.from_numpy(pixels)).cpu().numpy()

    def features(self, pixels: Tensor) -> Tensor:
        """Map (n, side, side[, 3]) uint8 on any device to (n, dim) float32 on the encoder's."""
        images = to_input(pixels.to(self.engine.device, non_blocking=True), self.spec)
        with self.engine.autocast():
            out: Tensor = self.module(images.contiguous(memory_format=self.engine.memory_format))
        return out.float()


def check_pixels(pixels: NDArray[np.uint8]) -> None:
    """Raise UsageError unless `pixels` is (n, side, side) uint8, or (n, side, side, 3)."""
    square = pixels.ndim in (3, 4) and pixels.shape[1] == pixels.shape[2]
    if pixels.dtype != np.uint8 or not square or pixels.shape[3:] not in ((), (3,)):
        raise UsageError(
            "expected images as uint8 of shape (n, side, side), or (n, side, side, 3) in colour; "
            f"got {pixels.dtype} of shape {pixels.shape}"
        )


def check_channels(channels: int, expected: int) -> None:
    """Raise UsageError where images have colour and what is to look at them has one channel."""
    if channels > expected:
        raise UsageError(
            f"the images have colour ({channels} channels) and this encoder sees grey (1); use "
            "one with 3 (of a recipe --set channels=3), or ingest with --channels 1"
        )


def planes(pixels: Tensor) -> Tensor:
    """Return (n, side, side) as (n, 1, side, side), and (n, side, side, 3) as (n, 3, ...)."""
    return pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def to_input(pixels: Tensor, spec: EncoderSpec) -> Tensor:
    """Map (n, side, side[, 3]) uint8 to the (n, channels, size, size) that `spec` asks for.

    A resize is bilinear and antialiased, unless the spec says otherwise: each output pixel is
    the weighted mean of all input pixels that it covers, so shrinking does not alias.
    """
    images = planes(pixels).float() / 255.0  # (n, 1 or 3, side, side)
    if images.shape[-1] != spec.size:
        mode, smooth = ("bicubic", False) if spec.resize == "bicubic" else ("bilinear", True)
        shape = (spec.size, spec.size)
        images = functional.interpolate(images, shape, mode=mode, antialias=smooth)
    return normalise(images, spec)


def normalise(images: Tensor, spec: EncoderSpec) -> Tensor:
    """Map (n, 1 or 3, h, w) of 0...1 to (n, channels, h, w) with the spec's mean and std.

    Raises
    ------
    UsageError
        If the images have colour and the spec one channel.
    """
    check_channels(images.shape[1], spec.channels)
    mean = images.new_tensor(spec.mean).view(1, -1, 1, 1)
    std = images.new_tensor(spec.std).view(1, -1, 1, 1)
    return (images - mean) / std  # broadcasting makes equal channels of a grey image


def build_module(
    architecture: str,
    size: int,
    channels: int,
    *,
    seed: int = 0,
    pretrained: bool = False,
    pooling: Pooling = "own",
) -> nn.Module:
    """Make a timm backbone without a head; the process's random state is left as it was.

    Raises
    ------
    UsageError
        If timm has no such architecture (the message names similar ones), or it cannot pool so.
    """
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=5)
        raise UsageError(
            f"timm has no architecture {architecture!r}"
            + (f"; similar: {', '.join(near)}" if near else "")
        )
    # Transformers with learnt positions must know their size when they are made.
    fixed = timm.get_pretrained_cfg_value(architecture, "fixed_input_size")
    sized: dict[str, Any] = {"img_size": size} if fixed else {}
    with own_random_numbers(seed):
        module: nn.Module = timm.create_model(
            architecture, num_classes=0, in_chans=channels, pretrained=pretrained, **sized
        )
    set_pooling(module, architecture, pooling)
    return module


class Projected(nn.Module):
    """A backbone with a linear layer after its pooled features.

    Parameters
    ----------
    backbone
        Maps (n, channels, size, size) to (n, features).
    features, dim
        Length of its vectors, and of those that come out.
    seed
        Of the layer's first weights.
    """

    def __init__(self, backbone: nn.Module, features: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        with own_random_numbers(seed):
            self.projection = nn.Linear(features, dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, dim)."""
        out: Tensor = self.projection(self.backbone(images))
        return out


def module_of(spec: EncoderSpec, seed: int = 0) -> nn.Module:
    """Make the network of a spec with weights that have learnt nothing.

    Raises
    ------
    UsageError
        As `build_module`.
    """
    backbone = build_module(
        spec.architecture, spec.size, spec.channels, pooling=spec.pooling, seed=seed
    )
    if not spec.projection:
        return backbone
    features = feature_dim(backbone, spec.size, spec.channels)
    return Projected(backbone, features, spec.projection, seed)


def set_pooling(module: nn.Module, architecture: str, pooling: Pooling) -> None:
    """Make a timm backbone pool its last feature map in another way; its weights stay.

    Raises
    ------
    UsageError
        If it cannot.
    """
    if pooling == "own":
        return
    try:
        module.reset_classifier(0, pooling)  # type: ignore[operator]
    except (TypeError, AssertionError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{architecture} cannot pool by {pooling!r}; use its own way, pooling='own'"
        ) from error


def feature_dim(module: nn.Module, size: int, channels: int) -> int:
    """Return the length of a backbone's pooled vector (asked, not looked up)."""
    device = next(module.parameters()).device
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        dim = module(torch.zeros(1, channels, size, size, device=device)).shape[-1]
    module.train(was_training)
    return int(dim)


def random_encoder(
    architecture: str,
    seed: int = 0,
    *,
    size: int = 224,
    channels: int = 1,
    engine: Engine | None = None,
) -> Encoder:
    """Return an encoder that has learnt nothing: the control for every claim about pretraining.

    The weights are the architecture's own initialisation drawn from `seed`. Even these beat
    chance, so a pretrained encoder must be compared with them and not with 0.5.
    """
    module = build_module(architecture, size, channels, seed=seed)
    spec = EncoderSpec(
        architecture=architecture,
        size=size,
        channels=channels,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        dim=feature_dim(module, size, channels),
        source=f"random weights, seed {seed}",
    )
    return Encoder(spec, module, engine)
