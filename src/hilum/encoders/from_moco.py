"""MoCo-CXR's checkpoints become image encoders.

MoCo-CXR (Sowrirajan et al., MIDL 2021, arXiv:2010.05352) saves the whole pretraining state:
query encoder, key encoder, queue and optimiser. The query encoder's backbone is what transfers.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from hilum.encoders.checkpoint import read_checkpoint, split_state
from hilum.encoders.conversion import Conversion
from hilum.encoders.image import Encoder, EncoderSpec, build_module, feature_dim
from hilum.encoders.weights import load_module, save_encoder
from hilum.errors import WeightsError

SIZE = 320  # MoCo-CXR trained at 320 px
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


def from_moco_cxr(path: Path, out: Path, size: int | None, name: str | None) -> Conversion:
    """Convert a MoCo-CXR checkpoint: one of `convert`'s layouts.

    Raises
    ------
    WeightsError
        If it is of another architecture than is known here or named, or incomplete.
    """
    size = size or SIZE
    content = read_checkpoint(path)
    state, beside = split_state(content, path)
    backbone, used, dropped = _account(state, path)
    architecture = _recognise(backbone, path)
    if name not in (None, architecture):
        raise WeightsError(f"{path}: a {architecture}, not the {name} that is asked for")
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
