"""Foreign checkpoints become hilum encoders, with every tensor accounted for."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hilum.encoders.conversion import Conversion
from hilum.encoders.from_clip import from_chexzero, from_open_clip
from hilum.encoders.from_densenet import from_chexnet, from_x_mir
from hilum.encoders.from_moco import from_moco_cxr
from hilum.errors import UsageError


def convert(
    checkpoint: str | Path,
    out: str | Path,
    layout: str = "moco-cxr",
    *,
    size: int | None = None,
    architecture: str | None = None,
) -> Conversion:
    """Convert a foreign checkpoint to one `.safetensors` encoder.

    Parameters
    ----------
    checkpoint
        A ``.pth.tar``, ``.pth`` or ``.pt`` file; for ``open-clip`` also ``.safetensors``, and
        OpenAI's own TorchScript archives, which are read without being run.
    out
        The `.safetensors` file to write.
    layout
        One of `LAYOUTS`: who wrote the checkpoint. ``moco-cxr``, ``chexnet`` and ``x-mir`` become
        an image encoder, ``chexzero`` and ``open-clip`` a pair that reads texts too.
    size
        Input size in pixels. MoCo-CXR's networks take any (320 if not given), and so do CheXNet's
        and X-MIR's (224); others must be what their shapes say.
    architecture
        What the checkpoint is (a timm name, or open_clip's): needed for an ``open-clip``
        checkpoint whose shapes do not tell; where they do, it is checked.

    Raises
    ------
    WeightsError
        If the file is hostile, damaged, of another architecture, or incomplete.
    UsageError
        If there is no such layout or architecture, or the size is not the checkpoint's.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"{layout!r} is not a layout; choose from {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](Path(checkpoint), Path(out), size, architecture)


LAYOUTS: Final[dict[str, Callable[[Path, Path, int | None, str | None], Conversion]]] = {
    "moco-cxr": from_moco_cxr,
    "chexzero": from_chexzero,
    "open-clip": from_open_clip,
    "chexnet": from_chexnet,
    "x-mir": from_x_mir,
}
