"""Named tensors in a file: written whole or not at all, read without running code, digested.

One `.safetensors` file holds the tensors and, in its header, one JSON document. A process that
is killed at any moment leaves the old file or the new one, never half of one.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hilum.errors import WeightsError
from hilum.files import replacing

FOREIGN = "; convert foreign weights with `hilum convert`"
HEADER = "hilum"  # the one metadata key: a file with several has no fixed byte order


def digest(tensors: Mapping[str, Tensor], header: Any) -> str:
    """Return the sha256 (hex) of a JSON header and of tensors in the order of their names.

    Name, type and shape count as well as the values, so a renamed or reshaped tensor differs.
    """
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu").contiguous()
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header to one file, whole or not at all."""
    plain = {name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary, metadata={HEADER: json.dumps(header, sort_keys=True)})


def read_header(path: Path) -> dict[str, Any]:
    """Read the JSON header of a file that `write_tensors` wrote.

    Raises
    ------
    WeightsError
        If there is no such file, it is cut short or not safetensors, or hilum did not write it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER)
        header = json.loads(text) if text is not None else None
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        foreign = "" if path.suffix == ".safetensors" else FOREIGN
        raise WeightsError(
            f"{path}: not a readable .safetensors file ({error}){foreign}"
        ) from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path}: a .safetensors file without hilum's header{FOREIGN}")
    return header


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write_tensors` wrote: its tensors on the CPU, and its header.

    Raises
    ------
    WeightsError
        As `read_header`.
    """
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
