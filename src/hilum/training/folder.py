"""A run on disk: what was asked, how far it is, what it logged, and enough to go on.

::

    settings.json            everything that decides the result; a run continues only with these
    log.jsonl                one line per step
    checkpoint.safetensors   every tensor of the task and of the optimiser, and the step
    state.json               the same step and digest, for people and scripts
    metrics.json             written when the run is finished

The checkpoint describes itself (its header holds the step and a digest of its tensors) and is
replaced in one rename, so a process killed at any moment leaves a state to continue from. The
log is cut back to that state when the run continues, so no step is in it twice.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from hilum.encoders.tensors import digest, read_tensors, write_tensors
from hilum.errors import RunError, WeightsError
from hilum.files import replacing, write_json

CHECKPOINT = "checkpoint.safetensors"


@final
class RunFolder:
    """The files of one run. Use `open_run`.

    Parameters
    ----------
    path
        The folder.
    writes
        Whether this process writes (rank 0 does).
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.path = path
        self.writes = writes

    def save(self, step: int, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
        """Replace the checkpoint: the state after `step` steps, and what else must be known."""
        if not self.writes:
            return
        header = {"step": step, "notes": dict(notes)}
        header["digest"] = digest(tensors, {"step": step, "notes": dict(notes)})
        write_tensors(self.path / CHECKPOINT, tensors, header)
        document = {**header, "checkpoint": CHECKPOINT}
        write_json(self.path / "state.json", document, allow_nan=True)

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Return step, tensors and notes of the checkpoint, or None before the first.

        Raises
        ------
        RunError
            If the checkpoint is damaged.
        """
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        try:
            tensors, header = read_tensors(path)
        except WeightsError as error:
            raise RunError(f"cannot continue: {error}") from error
        step, notes = header.get("step"), header.get("notes")
        if digest(tensors, {"step": step, "notes": notes}) != header.get("digest"):
            raise RunError(
                f"cannot continue: {path} does not match its own digest, so it was changed or "
                "damaged; remove the run folder to start again"
            )
        assert isinstance(step, int)
        assert isinstance(notes, dict)
        return step, tensors, notes

    def begun(self) -> bool:
        """Say whether there is a checkpoint to continue from."""
        return (self.path / CHECKPOINT).exists()

    def begin_log(self, step: int) -> None:
        """Cut the log back to its first `step` steps."""
        if not self.writes:
            return
        path = self.path / "log.jsonl"
        kept = [line for line in self.log() if line["step"] <= step] if path.exists() else []
        with replacing(path) as temporary:
            temporary.write_text("".join(map(_line, kept)), encoding="utf-8")

    def append_log(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to the log."""
        if self.writes and lines:
            with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write("".join(map(_line, lines)))

    def log(self) -> list[dict[str, Any]]:
        """Return the log; a last line that a killed process left unfinished is not in it."""
        text = (self.path / "log.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(True) if line.endswith("\n")]

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json."""
        if self.writes:
            write_json(self.path / "metrics.json", metrics, allow_nan=True)

    def metrics(self) -> dict[str, Any] | None:
        """Return metrics.json, or None if the run is not finished."""
        path = self.path / "metrics.json"
        if not path.exists():
            return None
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return metrics


@contextmanager
def open_run(
    path: str | Path, settings: Mapping[str, Any], free: Sequence[str] = (), *, writes: bool = True
) -> Iterator[RunFolder]:
    """Start a run, or take up one that was started with the same settings.

    Parameters
    ----------
    settings
        Everything that decides the result, as JSON types.
    free
        Dotted names that may differ when a run continues, because they do not.
    writes
        False in all processes but one.

    Raises
    ------
    RunError
        If the folder holds something else, was started with other settings (the message names
        them), or another process is training in it.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    with _locked(path, writes):
        known = path / "settings.json"
        if known.exists():
            _check_settings(path, _read_json(known), json.loads(json.dumps(settings)), free)
        elif any(not p.name.startswith(".") for p in path.iterdir()) and writes:
            raise RunError(f"{path}: not empty and not a run; name a new folder")
        if writes:
            write_json(known, settings, allow_nan=True)
        yield RunFolder(path, writes=writes)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's memory as named tensors."""
    return {
        f"optimiser.{index}.{name}": value
        for index, memory in optimiser.state_dict()["state"].items()
        for name, value in memory.items()
        if isinstance(value, Tensor)
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the memory that `optimiser_tensors` named."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    memory: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        start, _, rest = key.partition(".")
        if start == "optimiser":
            index, _, name = rest.partition(".")
            memory.setdefault(int(index), {})[name] = _laid_out_as(value, weights[int(index)])
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": memory, "param_groups": groups})


def _laid_out_as(value: Tensor, weight: Tensor) -> Tensor:
    # Memory layout decides which kernel runs, and so the last bit: keep that of the weight.
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value


@contextmanager
def _locked(path: Path, writes: bool) -> Iterator[None]:
    if not writes:
        yield
        return
    handle = os.open(path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process dies
        except OSError as error:
            raise RunError(f"{path}: another process is training in this run") from error
        yield
    finally:
        os.close(handle)


def _check_settings(path: Path, old: Any, new: Any, free: Sequence[str]) -> None:
    before, now = dict(_flat(old)), dict(_flat(new))
    differing = [
        f"{name} was {before.get(name, 'not set')!r} and is now {now.get(name, 'not set')!r}"
        for name in sorted({*before, *now})
        if name not in free and before.get(name) != now.get(name)
    ]
    if differing:
        raise RunError(
            f"{path}: was started with other settings ({'; '.join(differing[:5])}); continue "
            "with those, or name a new folder"
        )


def _flat(document: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    else:
        yield name, document


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: not readable as JSON ({error})") from error


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, allow_nan=True) + "\n"
