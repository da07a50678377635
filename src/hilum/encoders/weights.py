"""Weights on disk: one `.safetensors` file that says all its encoder expects.

The header holds the spec, the recipe and where the weights come from; the fingerprint is
checked when they are read. Nothing is loaded "as far as it fits": a missing or an unexpected
tensor is an error that names it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from hilum.encoders.device import Engine
from hilum.encoders.image import Encoder, EncoderSpec, module_of
from hilum.encoders.pair import PairEncoder, PairSpec
from hilum.encoders.pair_build import pair_module
from hilum.encoders.tensors import digest, read_tensors, write_tensors
from hilum.encoders.text_tower import TextSpec
from hilum.errors import UsageError, WeightsError

FILE_NAME = "encoder.safetensors"
FORMAT = 1
AnyEncoder = Encoder | PairEncoder
S = TypeVar("S", EncoderSpec, PairSpec, TextSpec)


def save_encoder(
    encoder: AnyEncoder,
    path: str | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write an encoder, of images or of images and texts, to one file, whole or not at all.

    Parameters
    ----------
    path
        A `.safetensors` file.
    recipe
        Every setting it was trained with.
    provenance
        What it was trained on or converted from. Neither this nor `recipe` is part of the
        fingerprint, which covers the spec and the tensors.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = encoder_header(encoder, recipe=recipe, provenance=provenance)
    write_tensors(path, encoder.module.state_dict(), header)
    return path


def encoder_header(
    encoder: AnyEncoder,
    *,
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the file of an encoder says beside its tensors; parameters as `save_encoder`."""
    return {
        "format": FORMAT,
        "kind": "pair" if isinstance(encoder, PairEncoder) else "image",
        "spec": encoder.spec.as_dict(),
        "fingerprint": encoder.fingerprint,
        "recipe": dict(recipe or {}),
        "provenance": dict(provenance or {}),
    }


def read_encoder(path: Path, engine: Engine | None = None) -> AnyEncoder:
    """Read a file that `save_encoder` wrote.

    Raises
    ------
    WeightsError
        If it is missing, damaged, incomplete, changed or for something else.
    """
    tensors, header = read_tensors(path)
    kind = header.get("kind")
    if header.get("format") != FORMAT or kind not in ("image", "pair"):
        raise WeightsError(
            f"{path}: expected the weights of an encoder (kind image or pair) in format {FORMAT}; "
            f"got kind {kind!r}, format {header.get('format')!r}"
        )
    if kind == "pair":
        pair = _pair_spec(header.get("spec"), path)
        check_fingerprint(tensors, pair, header, path)
        with naming(path):
            towers = pair_module(pair)
        load_module(towers, tensors, str(path))
        return PairEncoder(pair, towers, engine)
    spec = image_spec(header.get("spec"), path)
    check_fingerprint(tensors, spec, header, path)
    with naming(path):
        module = module_of(spec)
    load_module(module, tensors, str(path))
    return Encoder(spec, module, engine)


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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a spec that cannot be built into an error about the file that holds it."""
    try:
        yield
    except UsageError as error:
        raise WeightsError(f"{path}: {error}") from error


class _Spec(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


def check_fingerprint(
    tensors: Mapping[str, Tensor], spec: _Spec, header: Mapping[str, Any], path: Path
) -> None:
    """Raise WeightsError unless a header's fingerprint is that of the spec and the tensors."""
    if digest(tensors, spec.as_dict()) != header.get("fingerprint"):
        raise WeightsError(
            f"{path}: the weights do not match their own fingerprint "
            f"({str(header.get('fingerprint'))[:12]}); the file was changed or damaged"
        )


def image_spec(given: Any, path: Path) -> EncoderSpec:
    """Read an encoder's spec from a header.

    Raises
    ------
    WeightsError
        If it cannot be used.
    """
    plain = spec_fields(given, EncoderSpec, path)
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    return _spec(EncoderSpec, plain, path, text="architecture")


def _pair_spec(given: Any, path: Path) -> PairSpec:
    plain = spec_fields(given, PairSpec, path)
    plain["image"] = image_spec(plain.get("image"), path)
    if plain.get("text") is not None:
        plain["text"] = _spec(TextSpec, spec_fields(plain["text"], TextSpec, path), path)
    return _spec(PairSpec, plain, path)


def spec_fields(given: Any, kind: type, path: Path) -> dict[str, Any]:
    """Return a spec in a header as the fields of its dataclass, none of them unknown.

    Raises
    ------
    WeightsError
        If it is none.
    """
    names = {field.name for field in fields(kind)}
    if not isinstance(given, dict) or not set(given) <= names:
        raise WeightsError(f"{path}: its header has no spec that this version understands")
    return dict(given)


def _spec(kind: Callable[..., S], plain: dict[str, Any], path: Path, text: str = "") -> S:
    try:
        if text and not isinstance(plain.get(text), str):
            raise TypeError(f"{text} is missing or not a text")
        return kind(**plain)
    except (TypeError, UsageError) as error:
        raise WeightsError(f"{path}: the spec in its header cannot be used: {error}") from error


def _some(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
