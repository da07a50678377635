"""The tensors of a TorchScript archive, without running it.

OpenAI publishes CLIP's weights as TorchScript: a program with its tensors. `torch.jit.load`
would load the program too. But the file is a zip in which the tensors lie beside the code as they
do in any checkpoint, under objects whose classes exist only in that code. Without the code, and
with an inert class for each of those, torch's own reader of plain containers reads them.
"""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Inert = Callable[..., Any] | tuple[Callable[..., Any], str]  # as torch writes it
FOREIGN = "__torch__."  # where TorchScript puts the classes of an archive
CODE = ("/code/", "/constants.pkl", "/traced_inputs")


class Part:
    """A module of the archive: attributes, nothing that could be called."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def without_code(path: Path) -> BytesIO:
    """Return the archive in memory without its program: an ordinary checkpoint."""
    out = BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as plain:
        for name in archive.namelist():
            if not any(part in name for part in CODE):
                plain.writestr(name, archive.read(name))
    out.seek(0)
    return out


def inert_classes(checkpoint: BytesIO) -> list[Inert]:
    """Return what stands for each class of the archive while its tensors are read.

    Only classes of the archive's own code are stood in for, and lists of numbers: any other name
    that a file asks for is left to torch's reader, which refuses it.
    """
    names = torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint)
    checkpoint.seek(0)
    inert: list[Inert] = [(Part, name) for name in names if name.startswith(FOREIGN)]
    lists = [name for name in names if name.startswith("torch.jit._pickle.build_")]
    return inert + [(list, name) for name in lists]


def tensors_of(part: Part) -> dict[str, Tensor]:
    """Return every tensor below a part by its dotted name, as a state dict would name it."""
    found: dict[str, Tensor] = {}
    seen = {id(part)}
    waiting: list[tuple[str, Part]] = [("", part)]
    while waiting:
        prefix, one = waiting.pop()
        for name, value in vars(one).items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, Part) and id(value) not in seen:
                seen.add(id(value))
                waiting.append((f"{prefix}{name}.", value))
    return found
