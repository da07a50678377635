"""Where a network that is taught labels starts from: nothing, ImageNet, or any weights here."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from hilum.encoders import Encoder, EncoderSpec, load_encoder
from hilum.encoders.device import choose_engine
from hilum.encoders.image import Pooling, build_module, feature_dim
from hilum.encoders.small_pair import SmallPair
from hilum.encoders.weights import load_module
from hilum.errors import UsageError
from hilum.training.recipes import Recipe


@dataclass(frozen=True)
class Wanted:
    """What a backbone shall be; None is as in the weights to start from.

    Parameters
    ----------
    architecture, channels, mean, std
        As in `EncoderSpec`. Random weights have one channel about 0.5 with 0.25 where nothing is
        said, and need an architecture.
    size, pooling
        Height and width in pixels, and how the last feature map becomes a vector.
    """

    architecture: str | None
    size: int
    channels: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    pooling: Pooling


@dataclass(frozen=True)
class BackboneRecipe(Recipe):
    """What recipes share that teach a timm backbone; abstract.

    Parameters
    ----------
    name, about
        As in `Recipe`.
    architecture, init, size, channels, mean, std, pooling
        The backbone and where it starts; None is as in the weights. Where another `init` is asked
        for and no architecture, its own is taken. A projection of the weights is left off.
    """

    architecture: str | None = "resnet10t"
    init: str = "random"
    size: int = 96
    channels: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pooling: Pooling = "own"

    @property
    def wanted(self) -> Wanted:
        """What the backbone shall be."""
        return Wanted(
            self.architecture, self.size, self.channels, self.mean, self.std, self.pooling
        )


def start_backbone(init: str, wanted: Wanted, seed: int = 0) -> tuple[nn.Module, EncoderSpec]:
    """Make the backbone that training starts from.

    Parameters
    ----------
    init
        ``"random"``, or what `load_encoder` takes: ``timm:NAME``, a MoCo run, a classifier, a
        pair (its image tower, where that is timm's) or a weights file.

    Raises
    ------
    UsageError
        If it has another architecture or other channels than wanted, or is no timm backbone.
    WeightsError
        If the weights cannot be had or do not fit.
    """
    if init == "random":
        return _random(wanted, seed)
    tower, spec = _weights(init, wanted)
    _check(init, wanted, spec)
    module = build_module(
        spec.architecture, wanted.size, spec.channels, pooling=wanted.pooling, seed=seed
    )
    load_module(module, tower.state_dict(), init)
    spec = replace(
        spec,
        size=wanted.size,
        pooling=wanted.pooling,
        mean=wanted.mean or spec.mean,
        std=wanted.std or spec.std,
        dim=feature_dim(module, wanted.size, spec.channels),
        findings=(),
    )
    return module, spec


def _random(wanted: Wanted, seed: int) -> tuple[nn.Module, EncoderSpec]:
    if wanted.architecture is None:
        raise UsageError("random weights need an architecture: name a backbone")
    channels = wanted.channels or 1
    module = build_module(
        wanted.architecture, wanted.size, channels, seed=seed, pooling=wanted.pooling
    )
    spec = EncoderSpec(
        architecture=wanted.architecture,
        size=wanted.size,
        channels=channels,
        mean=wanted.mean or (0.5,) * channels,
        std=wanted.std or (0.25,) * channels,
        dim=feature_dim(module, wanted.size, channels),
        pooling=wanted.pooling,
    )
    return module, spec


def _weights(init: str, wanted: Wanted) -> tuple[nn.Module, EncoderSpec]:
    """Return a timm module with the weights to start from, and its spec."""
    ref: str | Path = init
    if init.startswith("timm:"):
        if wanted.architecture and init[5:].partition(".")[0] != wanted.architecture:
            _refuse(init, f"it is a {init[5:].partition('.')[0]}", wanted)
        ref = f"{init.partition('?')[0]}?size={wanted.size}&channels={wanted.channels or 3}"
    found = load_encoder(ref, engine=choose_engine("cpu", "fp32"))
    if isinstance(found, Encoder):
        found = found.backbone()
        plain = found.spec.architecture.partition(".")[0]  # what comes after names the weights
        return found.module, replace(found.spec, architecture=plain)
    if isinstance(found.module, SmallPair):
        return found.module.image, found.spec.image
    raise UsageError(
        f"cannot start from {init}: its image tower is open_clip's {found.spec.architecture}, and "
        "a classifier needs a backbone of timm; hilum classify uses its vectors as they are"
    )


def _check(init: str, wanted: Wanted, spec: EncoderSpec) -> None:
    other_kind = wanted.architecture not in (None, spec.architecture)
    if other_kind or wanted.channels not in (None, spec.channels):
        _refuse(init, f"it is a {spec.architecture} with {_channels(spec.channels)}", wanted)


def _refuse(init: str, found: str, wanted: Wanted) -> None:
    asked = wanted.architecture or "backbone"
    if wanted.channels:
        asked += f" with {_channels(wanted.channels)}"
    raise UsageError(f"cannot start from {init}: {found}, and a {asked} is asked for")


def _channels(number: int) -> str:
    return f"{number} channel" + ("s" if number > 1 else "")
