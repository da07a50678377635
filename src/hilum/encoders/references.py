"""Encoders by reference: a file, a run folder, or a name that says where the weights come from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from timm import get_pretrained_cfg
from torch import nn

from hilum.encoders.classifier_file import CLASSIFIER_FILE, KIND, read_classifier
from hilum.encoders.clip import PREFIX, pretrained_clip
from hilum.encoders.device import Engine
from hilum.encoders.image import Encoder, EncoderSpec, build_module, feature_dim, random_encoder
from hilum.encoders.pair import PairEncoder
from hilum.encoders.pair_build import random_pair
from hilum.encoders.tensors import read_header
from hilum.encoders.weights import FILE_NAME, AnyEncoder, read_encoder
from hilum.errors import UsageError, WeightsError


def load_encoder(ref: str | Path, *, engine: Engine | None = None) -> AnyEncoder:
    """Load an encoder of images, or of images and texts.

    Parameters
    ----------
    ref
        One of: a `.safetensors` file that hilum wrote (of a classifier the backbone is taken); a
        run folder; ``timm:NAME`` or
        ``open_clip:NAME:TAG`` for pretrained weights, from the local hub cache or else
        downloaded (with ``HF_HUB_OFFLINE=1`` only from the cache); for untrained controls
        ``random:NAME`` (a timm backbone), ``random:pair/NAME`` (the same with a small text
        tower) and ``random:open_clip/NAME``. Names take options, such as ``?size=224&seed=0``:
        `size`, `channels` (timm), `seed` (random), `context` (pairs), `dim` (small pairs).
    engine
        Where to run it; chosen for this machine if not given.

    Returns
    -------
    An `Encoder`, or a `PairEncoder`, which encodes texts too.

    Raises
    ------
    WeightsError
        If the weights are missing, damaged, incomplete or for something else.
    UsageError
        If `ref` is not one of the forms above.
    """
    scheme, _, rest = str(ref).partition(":")
    if isinstance(ref, str) and scheme in SCHEMES:
        return SCHEMES[scheme](rest, engine)
    path = Path(ref)
    path = _in_run(path) if path.is_dir() else path
    if read_header(path).get("kind") == KIND:
        return read_classifier(path, engine).encoder()
    return read_encoder(path, engine)


def load_image(ref: str | Path, *, engine: Engine | None = None) -> Encoder:
    """Load an encoder of images alone: `load_encoder`, for those who go on training its module.

    A projection is left out: what is to be learnt needs one of its own.

    Raises
    ------
    WeightsError, UsageError
        As `load_encoder`, and if it is a pair.
    """
    found = load_encoder(ref, engine=engine)
    if isinstance(found, PairEncoder):
        raise WeightsError(f"{ref}: a pair of encoders, where one of images alone is needed")
    return found.backbone()


def load_pair(ref: str | Path, *, engine: Engine | None = None) -> PairEncoder:
    """Load a pair of encoders: `load_encoder`, for those who need texts.

    Raises
    ------
    WeightsError, UsageError
        As `load_encoder`, and if it reads images alone.
    """
    found = load_encoder(ref, engine=engine)
    if isinstance(found, Encoder):
        raise WeightsError(
            f"{ref}: encodes images alone; texts need a pair, made by `hilum pretrain report` or "
            "`hilum convert --from chexzero`"
        )
    return found


def _in_run(folder: Path) -> Path:
    path = next(
        (path for name in (FILE_NAME, CLASSIFIER_FILE) if (path := folder / name).is_file()), None
    )
    if path is None:
        unfinished = (folder / "settings.json").is_file()
        raise WeightsError(
            f"{folder}: holds no {FILE_NAME}; "
            + ("the run is not finished" if unfinished else "it is not a run folder")
        )
    return path


def _options(rest: str, known: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    name, _, query = rest.partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    for key, value in pairs.items():
        if key not in known or not value.isdecimal():
            raise UsageError(
                f"{rest!r}: cannot use {key}={value!r}; "
                f"whole numbers for {', '.join(known)} can be given"
            )
    return name, {key: int(value) for key, value in pairs.items()}


def _random(rest: str, engine: Engine | None) -> AnyEncoder:
    family, slash, _ = rest.partition("/")
    if slash and family == "open_clip":
        name, options = _options(rest, ("size", "context", "seed"))
        return random_pair(name.replace("open_clip/", PREFIX, 1), **options, engine=engine)
    if slash and family == "pair":
        name, options = _options(rest, ("size", "channels", "context", "dim", "seed"))
        return random_pair(name.removeprefix("pair/"), **options, engine=engine)
    name, options = _options(rest, ("size", "channels", "seed"))
    return random_encoder(name, options.pop("seed", 0), engine=engine, **options)


def _open_clip(rest: str, engine: Engine | None) -> PairEncoder:
    found, options = _options(rest, ("size",))
    name, _, tag = found.partition(":")
    if not tag:
        raise UsageError(
            f"{PREFIX}{name} names no weights; give {PREFIX}{name}:TAG, or "
            f"random:open_clip/{name} for the untrained control"
        )
    spec, module = pretrained_clip(name, tag, **options)
    return PairEncoder(spec, module, engine)


def _timm(rest: str, engine: Engine | None) -> Encoder:
    name, options = _options(rest, ("size", "channels"))
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


SCHEMES: Final[dict[str, Callable[[str, Engine | None], AnyEncoder]]] = {
    "timm": _timm,
    "random": _random,
    "open_clip": _open_clip,
}
