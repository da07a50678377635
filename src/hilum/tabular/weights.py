"""A model without pixels in one `.safetensors` file: arrays, and a JSON header that tells the rest.

Reading it runs no code. The header's fingerprint covers what the model expects and every array;
whatever does not fit is an error, never left out.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hilum.errors import WeightsError
from hilum.files import replacing
from hilum.findings import POLICIES
from hilum.tabular.model import FAMILIES, KINDS, Spec, TabularModel

FILE_NAME: Final = "model.safetensors"
FORMAT: Final = 1
_HEADER: Final = "hilum"


def save(model: TabularModel, path: str | Path) -> Path:
    """Write a model to one file, whole or not at all."""
    path = Path(path)
    arrays = {
        f"{name}.{key}": np.ascontiguousarray(array)
        for name, part in model.parts.items()
        for key, array in part.tensors().items()
    }
    spec = asdict(model.spec)
    header = {
        "format": FORMAT,
        "kind": "tabular",
        "spec": spec,
        "fingerprint": fingerprint(spec, arrays),
        "notes": dict(model.notes),
        "provenance": dict(model.provenance),
    }
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={_HEADER: json.dumps(header, sort_keys=True)})
    return path


def load(path: str | Path) -> TabularModel:
    """Read a model from its file, or from the run folder that holds it.

    Raises
    ------
    WeightsError
        If it is missing, damaged, changed, incomplete or for something else.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    header, arrays = _read(path)
    if header.get("format") != FORMAT or header.get("kind") != "tabular":
        raise WeightsError(
            f"{path}: expected a model on features (kind tabular) in format {FORMAT}; got kind "
            f"{header.get('kind')!r}, format {header.get('format')!r}"
        )
    spec = _spec(header.get("spec"), path)
    if fingerprint(asdict(spec), arrays) != header.get("fingerprint"):
        raise WeightsError(
            f"{path}: the weights do not match their own fingerprint; the file was changed or "
            "damaged"
        )
    parts = {}
    for name in KINDS[spec.kind]:
        own = {k.removeprefix(f"{name}."): a for k, a in arrays.items() if k.startswith(f"{name}.")}
        try:
            made = FAMILIES[name].from_tensors(own, len(spec.features), len(spec.findings))
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from error
        parts[name] = made
    return TabularModel(spec, parts, header.get("notes") or {}, header.get("provenance") or {})


def fingerprint(spec: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 (hex) of what a model expects and of its arrays, by name."""
    total = hashlib.sha256(json.dumps(spec, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def is_model(path: Path) -> bool:
    """Say if a run folder, or a file, holds weights of this kind, whole or not."""
    return (path / FILE_NAME).exists() if path.is_dir() else path.name == FILE_NAME


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a readable .safetensors file ({error})") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path}: a .safetensors file without hilum's header")
    return header, arrays


def _spec(given: Any, path: Path) -> Spec:
    try:
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in given.items()
        }
        spec = Spec(**plain)
    except (AttributeError, TypeError) as error:
        raise WeightsError(f"{path}: its header has no spec that this version understands") from (
            error
        )
    lists = (spec.findings, spec.inputs, spec.past, spec.features)
    if spec.kind not in KINDS or spec.policy not in POLICIES or not all(
        isinstance(names, tuple) and all(isinstance(name, str) for name in names)
        for names in lists
    ):  # fmt: skip
        raise WeightsError(f"{path}: its header has no spec that this version understands")
    return spec
