"""What a comparison asks of whoever trains its arms."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hilum.progress import Progress, silent

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.tables import Table


@dataclass(frozen=True)
class Job:
    """One training.

    Parameters
    ----------
    uri, version, condition
        The view of the collection that it learns from.
    run
        Its folder.
    recipe, changes
        As `hilum.train` takes them.
    device
        As there.
    """

    uri: str
    version: int
    condition: str | None
    run: str
    recipe: str
    changes: Mapping[str, Any]
    device: str = "auto"


@dataclass(frozen=True)
class Cost:
    """What a training took, over all the times it was taken up.

    Parameters
    ----------
    seconds
        On the clock.
    processor_seconds
        Of all processor cores together.
    memory
        Bytes: the most that its process held.
    device_memory
        Bytes: the most that tensors held on a GPU; None without one.
    """

    seconds: float
    processor_seconds: float
    memory: int
    device_memory: int | None = None

    def __add__(self, other: "Cost") -> "Cost":
        held = [m for m in (self.device_memory, other.device_memory) if m is not None]
        return Cost(
            self.seconds + other.seconds,
            self.processor_seconds + other.processor_seconds,
            max(self.memory, other.memory),
            max(held, default=None),
        )


class Trainer(Protocol):
    """Who trains the arms of a comparison, and scores images with them."""

    def check(self, job: Job) -> None:
        """Refuse settings that cannot be used, before anything is trained; UsageError."""

    def train(self, job: Job, progress: Progress = silent) -> Cost:
        """Train, or take up a run where it was left, in ``job.run``; HilumError if it fails."""

    def predict(self, view: "Collection", run: Path, device: str) -> "Table":
        """Score every image of a view with the model of a run."""
