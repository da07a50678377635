"""CLIP checkpoints become pairs: CheXzero's, OpenAI's and open_clip's.

CheXzero (Tiu et al., Nature Biomedical Engineering 2022) saves the bare state dict of OpenAI's
CLIP: 302 tensors of a ViT-B/32, or of a larger grid when it was trained from random weights.
Its shapes say everything but the activation, which is OpenAI's x * sigmoid(1.702 x).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hilum.encoders.checkpoint import read_checkpoint, split_state
from hilum.encoders.clip import ClipPair, build_clip, clip_config, clip_spec
from hilum.encoders.clip_shapes import config_of, name_of
from hilum.encoders.conversion import Conversion
from hilum.encoders.pair import PairEncoder, PairSpec
from hilum.encoders.weights import load_module, save_encoder
from hilum.errors import UsageError, WeightsError

SIZES = ("input_resolution", "context_length", "vocab_size")  # beside the weights in OpenAI's file
# CheXzero's numbers are of pixels of 0...255; it resized without antialiasing.
CHEXZERO: dict[str, Any] = {
    "mean": (101.48761 / 255,) * 3,
    "std": (83.43944 / 255,) * 3,
    "resize": "bicubic",
    "recipe": "chexzero",
    "source": "converted from a CheXzero checkpoint",
}


@dataclass(frozen=True)
class Found:
    """The weights of a checkpoint by their own names, and what else is in it."""

    path: Path
    weights: Mapping[str, Tensor]
    prefix: str
    dropped: Mapping[str, str]
    has_sizes: bool


def from_chexzero(path: Path, out: Path, size: int | None, name: str | None) -> Conversion:
    """Convert a CheXzero checkpoint: one of `convert`'s layouts.

    Raises
    ------
    WeightsError
        If it is not a CLIP of OpenAI's layout, or incomplete.
    UsageError
        If its size or architecture is not what is asked for.
    """
    found = _read(path)
    config = config_of(found.weights, str(path))
    own = name_of(config)
    if name not in (None, own):
        raise UsageError(f"{path}: a {own}, not the {name} that is asked for")
    return _write(found, clip_spec(own, config, **CHEXZERO), out, size, "chexzero")


def from_open_clip(path: Path, out: Path, size: int | None, name: str | None) -> Conversion:
    """Convert a checkpoint of OpenAI's CLIP or of open_clip: one of `convert`'s layouts.

    OpenAI's own file is known by the three sizes it holds. Of other files the activation must be
    known to give the right features, and no weights tell it: `name` does.

    Raises
    ------
    WeightsError
        If the weights are not a CLIP's, or incomplete.
    UsageError
        If the model must be named, does not exist, or its size is not what is asked for.
    """
    found = _read(path)
    if "logit_scale" not in found.weights:
        raise WeightsError(
            f"{path}: not a CLIP: there is no logit_scale; it begins with "
            f"{next(iter(found.weights), 'nothing')}"
        )
    if name is not None:
        config = clip_config(name)
    elif found.has_sizes:
        config = config_of(found.weights, str(path))
        name = name_of(config)
    else:
        raise UsageError(
            f"{path}: its weights do not say which activation they were trained with; name the "
            "model, such as --arch ViT-B-32 (GELU) or --arch ViT-B-32-quickgelu (OpenAI's)"
        )
    source = f"converted from an open_clip checkpoint of {name}"
    spec = clip_spec(name, config, source=source, **_normal(name))
    return _write(found, spec, out, size, "open-clip")


def _read(path: Path) -> Found:
    state, dropped = split_state(read_checkpoint(path), path)
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    reasons = {name: _reason(name.removeprefix(prefix)) for name in [*state, *dropped]}
    dropped |= {name: reason for name, reason in reasons.items() if reason}
    weights = {
        name.removeprefix(prefix): tensor for name, tensor in state.items() if name not in dropped
    }
    sizes = {prefix + name for name in SIZES}
    return Found(path, weights, prefix, dropped, has_sizes=sizes <= set(dropped))


def _reason(name: str) -> str | None:
    if name in SIZES:
        return "a size, which the shapes say too"
    return "causal mask, made anew" if name.rpartition(".")[2] == "attn_mask" else None


def _write(found: Found, spec: PairSpec, out: Path, size: int | None, layout: str) -> Conversion:
    if size not in (None, spec.size):
        raise UsageError(
            f"{found.path}: its images are {spec.size} px, not {size}; leave the size out"
        )
    assert spec.clip is not None  # clip_spec made it
    pair = PairEncoder(spec, _filled(found.weights, build_clip(spec.clip), str(found.path)))
    save_encoder(pair, out, provenance={"file": found.path.name, "layout": layout})
    stored = {str(tensor.dtype).removeprefix("torch.") for tensor in found.weights.values()}
    notes = {
        "image": f"{spec.size} px, mean {spec.mean[0]:.4f}, std {spec.std[0]:.4f}",
        "text": f"{spec.context} tokens",
        "vectors": f"{spec.dim} numbers",
        "parameters": sum(tensor.numel() for tensor in found.weights.values()),
        "stored in": ", ".join(sorted(stored)),
        "logit scale": round(pair.scale, 3),
    }
    used = tuple(found.prefix + name for name in found.weights)
    return Conversion(spec.architecture, used, found.dropped, notes, out, pair.fingerprint)


def _filled(state: Mapping[str, Tensor], module: ClipPair, where: str) -> ClipPair:
    """Fill a model with weights of open_clip's names; scale and bias may be of one dimension."""
    weights = dict(state)
    scale = weights.pop("logit_scale", None)
    bias = weights.pop("logit_bias", torch.zeros(()))
    if scale is None or scale.numel() != 1 or bias.numel() != 1:
        raise WeightsError(
            f"{where}: expected one number each as logit_scale and, if it is there, logit_bias"
        )
    load_module(module.clip, weights, where)
    with torch.no_grad():
        module.logit_scale.copy_(scale.reshape(()))
        module.logit_bias.copy_(bias.reshape(()))
    return module


def _normal(name: str) -> dict[str, Any]:
    """Return the mean and std that all published weights of a model share, if they do."""
    import open_clip

    known = [
        open_clip.get_pretrained_cfg(name, tag)
        for tag in open_clip.list_pretrained_tags_by_model(name)
    ]
    pairs = {(tuple(one["mean"]), tuple(one["std"])) for one in known if "mean" in one}
    if len(pairs) != 1:
        return {}
    ((mean, std),) = pairs
    return {"mean": mean, "std": std}
