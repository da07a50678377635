"""Foreign checkpoints become hilum encoders, with every tensor accounted for.

MoCo-CXR (Sowrirajan et al., MIDL 2021, arXiv:2010.05352) saves the whole pretraining state:
query encoder, key encoder, queue and optimiser. The query encoder's backbone is what transfers.
Checkpoints are pickles; only tensors and plain containers are read from them
(`weights_only=True`), so a hostile file is refused and runs nothing.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from hilum.encoders.image import Encoder, EncoderSpec, build_module, feature_dim
from hilum.encoders.weights import load_module, save_encoder
from hilum.errors import UsageError, WeightsError

PREFIXES = ("module.encoder_q.", "encoder_q.", "backbone.", "module.", "")
DROPPED = {
    "encoder_k.": "key encoder: a delayed copy that served only the contrastive loss",
    "queue_ptr": "position in the queue",
    "queue": "queue of keys",
    "fc.": "projection or classification head",
    "classifier.": "projection or classification head",
}
# What tells one architecture from another: tensor name -> shape.
SIGNATURES: dict[str, dict[str, tuple[int, ...]]] = {
    "resnet18": {"layer1.1.conv2.weight": (64, 64, 3, 3), "layer4.1.bn2.weight": (512,)},
    "resnet34": {"layer1.2.conv2.weight": (64, 64, 3, 3), "layer3.5.bn2.weight": (256,)},
    "resnet50": {"layer4.2.bn3.weight": (2048,), "layer3.5.bn3.weight": (1024,)},
    "densenet121": {"features.norm5.weight": (1024,), "features.conv0.weight": (64, 3, 7, 7)},
}
NOT_IN = {"resnet18": "layer1.2.conv1.weight", "resnet34": "layer1.0.conv3.weight",
          "resnet50": "layer3.6.bn3.weight"}  # fmt: skip


@dataclass(frozen=True)
class Conversion:
    """What became of every entry of a foreign checkpoint.

    Parameters
    ----------
    architecture
        The timm architecture that was recognised.
    used
        Tensors that are in the encoder, under their names in the checkpoint.
    dropped
        Other entries, with the reason for each.
    notes
        What else the checkpoint says: epochs trained, length of the queue.
    path, fingerprint
        The file written and the encoder in it.
    """

    architecture: str
    used: tuple[str, ...]
    dropped: Mapping[str, str]
    notes: Mapping[str, Any]
    path: Path
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return {
            "architecture": self.architecture,
            "used": list(self.used),
            "dropped": dict(self.dropped),
            "notes": dict(self.notes),
            "path": str(self.path),
            "fingerprint": self.fingerprint,
        }

    def as_text(self) -> str:
        """Return the report for a person."""
        lines = [f"{self.path}: {self.architecture}, fingerprint {self.fingerprint[:12]}"]
        lines.append(f"used: {len(self.used)} tensors")
        reasons = sorted(set(self.dropped.values()))
        for reason in reasons:
            names = [name for name, why in self.dropped.items() if why == reason]
            lines.append(f"dropped: {len(names)} ({reason}): {', '.join(names[:4])}" +
                         (", ..." if len(names) > 4 else ""))  # fmt: skip
        lines.extend(f"{name}: {value}" for name, value in self.notes.items())
        return "\n".join(lines)


def convert(
    checkpoint: str | Path, out: str | Path, layout: str = "moco-cxr", *, size: int = 320
) -> Conversion:
    """Convert a foreign checkpoint to one `.safetensors` encoder.

    Parameters
    ----------
    checkpoint
        A ``.pth.tar``, ``.pth`` or ``.pt`` file.
    out
        The `.safetensors` file to write.
    layout
        One of `LAYOUTS`: who wrote the checkpoint.
    size
        Input size in pixels; MoCo-CXR trained at 320.

    Raises
    ------
    WeightsError
        If the file is hostile, damaged, of another architecture, or its backbone is incomplete.
    UsageError
        If there is no such layout.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"{layout!r} is not a layout; choose from {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](Path(checkpoint), Path(out), size)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a torch checkpoint that holds nothing but tensors and plain containers.

    Raises
    ------
    WeightsError
        If it is missing, damaged, not a dictionary, or asks for code to be run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused, because it is damaged or holds more than tensors and plain "
            f"containers and could run code ({str(error).splitlines()[0]})"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not a readable torch checkpoint ({error})") from error
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path}: expected a dictionary of tensors, got {type(content).__name__}"
        )
    return content


def _from_moco_cxr(path: Path, out: Path, size: int) -> Conversion:
    content = read_checkpoint(path)
    state, beside = _split_state(content, path)
    backbone, used, dropped = _account(state, path)
    architecture = _recognise(backbone, path)
    module = build_module(architecture, size, 3)
    load_module(module, backbone, str(path))
    spec = EncoderSpec(
        architecture=architecture,
        size=size,
        channels=3,
        mean=(0.5020,) * 3,  # MoCo-CXR's training set, over all pixels
        std=(0.085585,) * 3,
        dim=feature_dim(module, size, 3),
        recipe="moco-cxr",
        source="converted from a MoCo-CXR checkpoint",
    )
    encoder = Encoder(spec, module)
    save_encoder(encoder, out, provenance={"file": path.name, "layout": "moco-cxr"})
    notes = {"epochs trained": content.get("epoch"), "named architecture": content.get("arch")}
    queue = next((t for name, t in state.items() if name.endswith("queue")), None)
    notes["queue length"] = None if queue is None else queue.shape[-1]
    return Conversion(
        architecture=architecture,
        used=used,
        dropped={**dropped, **beside},
        notes={name: value for name, value in notes.items() if value is not None},
        path=out,
        fingerprint=encoder.fingerprint,
    )


LAYOUTS: dict[str, Callable[[Path, Path, int], Conversion]] = {"moco-cxr": _from_moco_cxr}


def _split_state(content: dict[str, Any], path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by name, and a reason for each entry beside them."""
    inner = content.get("state_dict", content)
    if not isinstance(inner, dict):
        raise WeightsError(f"{path}: its state_dict is not a dictionary")
    beside = {} if inner is content else {
        str(name): "record of the training run" for name in content if name != "state_dict"
    }  # fmt: skip
    state = {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}
    beside |= {str(name): "not a tensor" for name in inner if str(name) not in state}
    if not state:
        raise WeightsError(f"{path}: holds no tensors")
    return state, beside


def _account(
    state: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, str]]:
    """Split tensors into the backbone (prefix removed) and what is dropped, with reasons."""
    prefix = next(p for p in PREFIXES if any(name.startswith(p) for name in state))
    backbone: dict[str, Tensor] = {}
    used: list[str] = []
    dropped: dict[str, str] = {}
    for name, tensor in state.items():
        inner = name.removeprefix(prefix) if name.startswith(prefix) else None
        reason = _reason(inner if inner is not None else name.removeprefix("module."))
        if reason:
            dropped[name] = reason
        elif inner is None:
            raise WeightsError(
                f"{path}: the weights are under {prefix!r}, but there is also {name!r}, "
                "which is neither a key encoder, a queue nor a head"
            )
        else:
            backbone[inner] = tensor
            used.append(name)
    return backbone, tuple(used), dropped


def _reason(name: str) -> str | None:
    return next((why for start, why in DROPPED.items() if name.startswith(start)), None)


def _recognise(backbone: Mapping[str, Tensor], path: Path) -> str:
    for architecture, signature in SIGNATURES.items():
        fits = all(
            name in backbone and tuple(backbone[name].shape) == shape
            for name, shape in signature.items()
        )
        if fits and NOT_IN.get(architecture) not in backbone:
            return architecture
    names = ", ".join(list(backbone)[:3]) or "nothing"
    raise WeightsError(
        f"{path}: not a backbone that is known here ({', '.join(SIGNATURES)}); it begins with "
        f"{names}"
    )
