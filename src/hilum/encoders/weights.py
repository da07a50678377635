"""Weights on disk: one `.safetensors` file that says all its encoder expects.

The header holds the spec, the recipe and where the weights come from; the fingerprint is
checked when they are read. Nothing is loaded "as far as it fits": a missing or an unexpected
tensor is an error that names it.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from timm import get_pretrained_cfg
from torch import Tensor, nn

from hilum.encoders.device import Engine
from hilum.encoders.image import Encoder, EncoderSpec, build_module, feature_dim, random_encoder
from hilum.encoders.tensors import digest, read_tensors, write_tensors
from hilum.errors import UsageError, WeightsError

FILE_NAME = "encoder.safetensors"
FORMAT = 1


def save_encoder(
    encoder: Encoder,
    path: str | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write an encoder to `path` (a `.safetensors` file), whole or not at all.

    Parameters
    ----------
    recipe
        Every setting it was trained with.
    provenance
        What it was trained on or converted from. Neither this nor `recipe` is part of the
        fingerprint, which covers the spec and the tensors.
    """
    path = Path(path)
    header = {
        "format": FORMAT,
        "kind": "image",
        "spec": encoder.spec.as_dict(),
        "fingerprint": encoder.fingerprint,
        "recipe": dict(recipe or {}),
        "provenance": dict(provenance or {}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, encoder.module.state_dict(), header)
    return path


def load_encoder(ref: str | Path, *, engine: Engine | None = None) -> Encoder:
    """Load an encoder.

    Parameters
    ----------
    ref
        One of: a `.safetensors` file that hilum wrote; a run folder; ``timm:NAME`` for timm's
        pretrained weights, from the local hub cache or else downloaded (with
        ``HF_HUB_OFFLINE=1`` only from the cache); ``random:NAME`` for the untrained control.
        The last two take ``?size=224&channels=3``, and the last ``&seed=0``.
    engine
        Where to run it; chosen for this machine if not given.

    Raises
    ------
    WeightsError
        If the weights are missing, damaged, incomplete or for something else.
    UsageError
        If `ref` is not one of the forms above.
    """
    text = str(ref)
    scheme, _, rest = text.partition(":")
    if isinstance(ref, str) and scheme in ("timm", "random"):
        name, options = _options(rest, ("size", "channels", "seed"))
        if scheme == "random":
            return random_encoder(name, options.pop("seed", 0), engine=engine, **options)
        return _timm_encoder(name, options, engine)
    path = Path(text)
    if path.is_dir():
        return _from_file(_in_run(path), engine)
    return _from_file(path, engine)


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Fill a module with tensors of exactly its names and shapes.

    Raises
    ------
    WeightsError
        Naming every missing, unexpected and misshapen tensor (the first ten of each).
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in tensors]
    unexpected = [name for name in tensors if name not in wanted]
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    if len(missing) == len(wanted):
        raise WeightsError(
            f"{where}: none of its {len(tensors)} tensors has a name of this architecture's "
            f"{len(wanted)}; it begins with {_some(list(tensors), 3)}"
        )
    faults = [
        f"{len(names)} {kind}: {_some(names)}"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if names
    ]
    if faults:
        raise WeightsError(f"{where}: the tensors do not fit; " + "; ".join(faults))
    module.load_state_dict(dict(tensors), strict=True)


def _some(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _in_run(folder: Path) -> Path:
    path = folder / FILE_NAME
    if not path.is_file():
        unfinished = (folder / "settings.json").is_file()
        raise WeightsError(
            f"{folder}: holds no {FILE_NAME}; "
            + ("the run is not finished" if unfinished else "it is not a run folder")
        )
    return path


def _from_file(path: Path, engine: Engine | None) -> Encoder:
    tensors, header = read_tensors(path)
    spec = _spec(header, path)
    if digest(tensors, spec.as_dict()) != header.get("fingerprint"):
        raise WeightsError(
            f"{path}: the weights do not match their own fingerprint "
            f"({str(header.get('fingerprint'))[:12]}); the file was changed or damaged"
        )
    try:
        module = build_module(spec.architecture, spec.size, spec.channels)
    except UsageError as error:
        raise WeightsError(f"{path}: {error}") from error
    load_module(module, tensors, str(path))
    return Encoder(spec, module, engine)


def _spec(header: Mapping[str, Any], path: Path) -> EncoderSpec:
    if header.get("format") != FORMAT or header.get("kind") != "image":
        raise WeightsError(
            f"{path}: expected the weights of an image encoder in format {FORMAT}; "
            f"got kind {header.get('kind')!r}, format {header.get('format')!r}"
        )
    given = header.get("spec")
    names = {field.name for field in fields(EncoderSpec)}
    if not isinstance(given, dict) or not set(given) <= names:
        raise WeightsError(f"{path}: its header has no spec that this version understands")
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    try:
        if not isinstance(plain.get("architecture"), str):
            raise TypeError("architecture is missing or not a text")
        return EncoderSpec(**plain)
    except (TypeError, UsageError) as error:
        raise WeightsError(f"{path}: the spec in its header cannot be used: {error}") from error


def _options(rest: str, known: tuple[str, ...]) -> tuple[str, dict[str, int]]:
    name, _, query = rest.partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    for key, value in pairs.items():
        if key not in known or not value.isdecimal():
            raise UsageError(
                f"{rest!r}: cannot use {key}={value!r}; "
                f"whole numbers for {', '.join(known)} can be given"
            )
    return name, {key: int(value) for key, value in pairs.items()}


def _timm_encoder(name: str, options: dict[str, int], engine: Engine | None) -> Encoder:
    config = get_pretrained_cfg(name)
    if config is None:
        raise UsageError(f"timm has no pretrained weights named {name!r}")
    channels = options.get("channels", 3)
    size = options.get("size", config.input_size[-1])
    module = pretrained_module(name, size, channels)
    mean, std = tuple(config.mean), tuple(config.std)
    if channels == 1:  # timm sums the kernels over the channels; the means follow
        mean, std = (sum(mean) / 3,), (sum(std) / 3,)
    spec = EncoderSpec(
        architecture=name,
        size=size,
        channels=channels,
        mean=mean,
        std=std,
        dim=feature_dim(module, size, channels),
        source=f"timm {name.partition('.')[0]}.{config.tag}",
    )
    return Encoder(spec, module, engine)


def pretrained_module(name: str, size: int, channels: int) -> nn.Module:
    """Make a timm backbone with timm's pretrained weights.

    Raises
    ------
    WeightsError
        If there are none, or they are neither cached nor to be had from here.
    """
    try:
        return build_module(name, size, channels, pretrained=True)
    except UsageError:
        raise
    except Exception as error:  # whatever the hub, the network or timm raises
        raise WeightsError(
            f"timm:{name}: pretrained weights could not be had ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}); fill the hub "
            f"cache where there is a network, or use random:{name}"
        ) from error
