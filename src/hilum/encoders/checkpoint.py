"""Foreign checkpoints are read without running anything that is in them.

They are pickles: only tensors and plain containers are read from them (`weights_only=True`), so
a hostile file is refused and runs nothing.
"""

import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hilum.encoders.torchscript import Part, inert_classes, is_torchscript, tensors_of, without_code
from hilum.errors import WeightsError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that holds nothing but tensors and plain containers.

    Parameters
    ----------
    path
        What `torch.save` wrote, a `.safetensors` file, or a TorchScript archive, of which only
        the tensors are read.

    Raises
    ------
    WeightsError
        If it is missing, damaged, not a dictionary, or asks for code to be run.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except UnpicklingError as error:
        raise WeightsError(f"{path}: refused, because {_fault(error)}") from None
    except (
        RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError,
        IndexError, zipfile.BadZipFile, SafetensorError,
    ) as error:  # fmt: skip
        raise WeightsError(f"{path}: not a readable torch checkpoint ({_reason(error)})") from error
    if isinstance(content, Part):
        return dict(tensors_of(content))
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path}: expected a dictionary of tensors, got {type(content).__name__}"
        )
    return content


def split_state(content: dict[str, Any], path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by name, and a reason for each entry beside them.

    Raises
    ------
    WeightsError
        If there are no tensors.
    """
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


def _reason(error: Exception) -> str:
    """Say why a file cannot be read; a bare KeyError or EOFError says it to no one."""
    if isinstance(error, RuntimeError | OSError | SafetensorError | zipfile.BadZipFile):
        return str(error).splitlines()[0]
    return "it is empty, cut short, or something else"


def _fault(error: UnpicklingError) -> str:
    """Say what torch's reader stumbled on, without its advice to read the file all the same."""
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked is None:
        return "it is damaged or holds more than tensors and plain containers"
    return (
        "it holds more than tensors and plain containers and could run code: it asks for "
        f"{asked.group(1)}"
    )


def _unpickle(path: Path) -> Any:
    source = without_code(path) if is_torchscript(path) else path
    inert = [] if isinstance(source, Path) else inert_classes(source)
    with torch.serialization.safe_globals(inert):
        return torch.load(source, map_location="cpu", weights_only=True)
