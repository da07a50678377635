"""What a training logged on its way: the loss, and the measure on validation images."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

FROZEN: Final = "frozen"  # the folder of a run's first stage, where it has two


@dataclass(frozen=True, eq=False)
class Curve:
    """One training.

    Parameters
    ----------
    steps, losses : (n_steps,)
        As logged.
    measured, measures : (n_measured,)
        The steps at which validation images were looked at, and what was found.
    validate
        What that was: ``"auroc"``, or ``"loss"``, of which it is the negative.
    """

    steps: Numbers
    losses: Numbers
    measured: Numbers
    measures: Numbers
    validate: str = "auroc"

    @property
    def last_step(self) -> int:
        """How many steps there were."""
        return int(self.steps[-1]) if self.steps.size else 0


def read_curve(run: Path) -> Curve:
    """Read the log of a run, after that of its frozen stage where there was one.

    A last line that was cut off is left out; no log is an empty curve.
    """
    lines = _log(run / FROZEN)
    before = lines[-1]["step"] if lines else 0
    lines += [{**line, "step": line["step"] + before} for line in _log(run)]
    measured = [line for line in lines if line.get("measure") is not None]
    return Curve(
        _column(lines, "step"),
        _column(lines, "loss"),
        _column(measured, "step"),
        _column(measured, "measure"),
        _validate(run),
    )


def _validate(run: Path) -> str:
    path = run / "settings.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return str(settings.get("validate", "auroc"))


def _log(run: Path) -> list[dict[str, float]]:
    path = run / "log.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _column(lines: list[dict[str, float]], name: str) -> Numbers:
    return np.array([line.get(name, np.nan) for line in lines], dtype=np.float64)
