"""CheXNet's and X-MIR's checkpoints become image encoders.

CheXNet's reproduction (the checkpoint ``model.pth.tar`` of a DataParallel DenseNet-121 with 14
outputs) has names from before torchvision took the dots out of them. X-MIR (Hu, Vasu, Hoogs, WACV
2022) holds a DenseNet-121 or a ResNet-50 as an unnamed sequence, with or without a linear layer
after it. Both were trained at 224 px on ImageNet's mean and deviation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from hilum.encoders.checkpoint import read_checkpoint, split_state
from hilum.encoders.conversion import Conversion
from hilum.encoders.image import Encoder, EncoderSpec, module_of
from hilum.encoders.weights import load_module, save_encoder
from hilum.errors import WeightsError

SIZE: Final = 224
MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
DIMS: Final = {"densenet121": 1024, "resnet50": 2048}
HEAD: Final = "classification head"
CHEXNET: Final = "densenet121.features."
STAGES: Final = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}

Renamed = tuple[str, str] | None  # architecture and name in timm; None is dropped


def from_chexnet(path: Path, out: Path, size: int | None, name: str | None) -> Conversion:
    """Convert a CheXNet checkpoint: one of `convert`'s layouts.

    Raises
    ------
    WeightsError
        If it is something else, or incomplete.
    """
    return _convert(path, out, size, name, "chexnet", _chexnet_name)


def from_x_mir(path: Path, out: Path, size: int | None, name: str | None) -> Conversion:
    """Convert an X-MIR checkpoint: one of `convert`'s layouts. Its ``fc`` becomes the projection.

    Raises
    ------
    WeightsError
        If it is something else, or incomplete.
    """
    return _convert(path, out, size, name, "x-mir", _x_mir_name)


def _chexnet_name(name: str) -> Renamed:
    if name.startswith(CHEXNET):
        inner = re.sub(r"\.(norm|conv)\.(\d)\.", r".\1\2.", name.removeprefix("densenet121."))
        return "densenet121", inner
    if name.startswith("densenet121.classifier."):
        return None
    raise KeyError(name)


def _x_mir_name(name: str) -> Renamed:
    if name.startswith("densenet121.0."):
        return "densenet121", name.replace("densenet121.0.", "features.", 1)
    found = re.fullmatch(r"resnet50\.(\d+)\.(.+)", name)
    if found and int(found[1]) in STAGES:
        return "resnet50", f"{STAGES[int(found[1])]}.{found[2]}"
    if name in ("fc.weight", "fc.bias"):
        return "", name.replace("fc.", "projection.")
    raise KeyError(name)


def _convert(
    path: Path, out: Path, size: int | None, name: str | None, layout: str,
    rename: Callable[[str], Renamed],
) -> Conversion:  # fmt: skip
    content = read_checkpoint(path)
    state, beside = split_state(content, path)
    found = _account(state, path, layout, rename)
    architecture, projection = found.architecture, found.projection
    if name not in (None, architecture):
        raise WeightsError(f"{path}: a {architecture}, not the {name} that is asked for")
    length = len(projection["projection.weight"]) if projection else 0
    spec = EncoderSpec(
        architecture=architecture, size=size or SIZE, channels=3, mean=MEAN, std=STD,
        dim=length or DIMS[architecture], recipe=layout,
        source=f"converted from a checkpoint of {layout}", projection=length,
    )  # fmt: skip
    module = module_of(spec)
    prefix = "backbone." if projection else ""
    tensors = {f"{prefix}{key}": tensor for key, tensor in found.backbone.items()} | projection
    filled = _with_counters(tensors, module.state_dict())
    load_module(module, filled, str(path))
    encoder = Encoder(spec, module)
    save_encoder(encoder, out, provenance={"file": path.name, "layout": layout})
    notes: dict[str, Any] = {
        key: value
        for key in ("epoch", "best_loss")
        if isinstance(value := content.get(key), int | float | str)
    }
    if added := len(filled) - len(tensors):
        notes["counts of batches that it lacks, set to 0"] = added
    return Conversion(
        architecture, tuple(found.used), {**found.dropped, **beside}, notes, out,
        encoder.fingerprint,
    )  # fmt: skip


@dataclass
class _Account:
    """Tensors of backbone and projection under timm's names, and what is dropped and why."""

    architecture: str = ""
    backbone: dict[str, Tensor] = field(default_factory=dict)
    projection: dict[str, Tensor] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)


def _account(
    state: Mapping[str, Tensor], path: Path, layout: str, rename: Callable[[str], Renamed]
) -> _Account:
    out, architectures = _Account(), set[str]()
    for name, tensor in state.items():
        try:
            found = rename(name.removeprefix("module."))
        except KeyError:
            raise WeightsError(
                f"{path}: {name!r} is no name of {layout}'s network; it begins with "
                f"{', '.join(list(state)[:3])}"
            ) from None
        if found is None:
            out.dropped[name] = HEAD
            continue
        out.used.append(name)
        architecture, inner = found
        (out.backbone if architecture else out.projection)[inner] = tensor
        architectures |= {architecture} - {""}
    if len(architectures) != 1:
        raise WeightsError(
            f"{path}: expected one network of {' or '.join(DIMS)}; found "
            f"{' and '.join(sorted(architectures)) or 'none'}"
        )
    out.architecture = architectures.pop()
    return out


def _with_counters(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Add batch norm's counts of batches, which old torch did not keep; nothing reads them."""
    counters = {
        key: value
        for key, value in wanted.items()
        if key.endswith("num_batches_tracked") and key not in tensors
    }
    return {**tensors, **counters}
