"""The best weights of a run: as many as asked for, each in a file that says its step and measure.

    best-000400.safetensors      after 400 steps; its header holds the step and the measure

A checkpoint names the files that count. A file that it does not name is removed only once such a
checkpoint is on disk, so a process killed at any moment leaves every file its checkpoint names,
and a run that goes on writes the others again.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, final

from torch import nn

from hilum.encoders.tensors import read_tensors, write_tensors
from hilum.training.folder import RunFolder


class Kept(NamedTuple):
    """Weights worth keeping: after which step, and what they measured."""

    step: int
    measure: float


def entered(kept: list[Kept], new: Kept, most: int) -> list[Kept]:
    """Return the best `most` of those kept and a new one, best first; the earlier of two equals."""
    return sorted([*kept, new], key=lambda one: (-one.measure, one.step))[:most]


@final
class Keeper:
    """Writes the weights of a module while they are at their best, and brings them back.

    Parameters
    ----------
    module
        Whose weights.
    header
        What their file says of them beside step and measure.
    """

    def __init__(
        self, module: nn.Module, header: Callable[[Kept], Mapping[str, Any]] = Kept._asdict
    ) -> None:
        self.module = module
        self.header = header

    def write(self, folder: RunFolder, kept: Kept) -> None:
        """Write the module's weights as they are now."""
        if folder.writes:
            write_tensors(path_of(folder, kept), self.module.state_dict(), self.header(kept))

    def load(self, folder: RunFolder, kept: Kept) -> None:
        """Give the module the weights that were written."""
        self.module.load_state_dict(read_tensors(path_of(folder, kept))[0])


def path_of(folder: RunFolder, kept: Kept) -> Path:
    """Return the file of some weights."""
    return folder.path / f"best-{kept.step:06d}.safetensors"


def prune(folder: RunFolder, kept: list[Kept]) -> None:
    """Remove the files of weights that are no longer among the best."""
    if not folder.writes:
        return
    named = {path_of(folder, one) for one in kept}
    for path in folder.path.glob("best-*.safetensors"):
        if path not in named:
            path.unlink()
