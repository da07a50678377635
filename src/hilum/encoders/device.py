"""Where a network runs and in which precision: chosen per device, and recorded.

bfloat16 with channels-last memory runs a ResNet-18 about three times as fast as float32 on a
processor with AVX-512 bf16 or AMX, and on any recent NVIDIA GPU; on other processors bfloat16
is emulated and slower. So the fast setting is chosen where the hardware has it and nowhere else.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from hilum.errors import UsageError

Precision = Literal["auto", "bf16", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Engine:
    """A device and how to compute on it.

    Parameters
    ----------
    device
        ``cpu``, or one GPU. Under ``torchrun`` the GPU of this process.
    bf16
        Multiply in bfloat16 (weights, sums of losses and outputs stay float32).
    channels_last
        Keep images as (n, height, width, channels) in memory.
    """

    device: torch.device
    bf16: bool
    channels_last: bool

    def __str__(self) -> str:
        layout = ", channels last" if self.channels_last else ""
        return f"{self.device.type} {self.precision}{layout}"

    @property
    def precision(self) -> str:
        """``"bf16"`` or ``"fp32"``: what "auto" became."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of image batches."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in this engine's precision while the block runs."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            yield


def choose_engine(device: str = "auto", precision: str = "auto") -> Engine:
    """Choose where and how to compute.

    Parameters
    ----------
    device
        ``"auto"`` is the GPU where there is one, else ``"cpu"``; or any name torch knows.
    precision
        ``"auto"`` is ``"bf16"`` where the device multiplies in it, else ``"fp32"``.

    Raises
    ------
    UsageError
        If there is no such device here, or no such precision.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"{precision!r} is not a precision; choose from {', '.join(PRECISIONS)}")
    chosen = _device(device)
    bf16 = _multiplies_bf16(chosen) if precision == "auto" else precision == "bf16"
    return Engine(chosen, bf16, channels_last=chosen.type in ("cpu", "cuda"))


@contextmanager
def own_random_numbers(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's generators, of the CPU and of `device`, while the block runs, and no longer."""
    gpu = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(gpu):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU
        for one in gpu:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield


def _device(name: str) -> torch.device:
    local = int(os.environ.get("LOCAL_RANK", "0"))  # set by torchrun
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device("cuda", local) if name == "cuda" else torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); "
            "use auto, cpu or cuda"
        ) from error
    return device


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # The only questions torch answers about the processor; both names are private.
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cpu" and bool(fast)
