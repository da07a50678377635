"""What commands that train share: the first of several processes, its documents, its measure."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def first_process() -> bool:
    """Say whether this is the process that speaks: of torchrun's the first, else the only one."""
    return os.environ.get("RANK", "0") == "0"


def read_document(run: Path, name: str = "metrics.json") -> dict[str, Any]:
    """Return one of the JSON documents of a run."""
    found: dict[str, Any] = json.loads((run / name).read_text(encoding="utf-8"))
    return found


def with_interval(measure: Mapping[str, Any]) -> str:
    """Write an estimate and its interval; of too few patients there is none.

    >>> with_interval({"estimate": 0.9, "low": 0.8, "high": 0.95})
    '0.900 (0.800 to 0.950)'
    >>> with_interval({"estimate": 0.9, "low": None, "high": None})
    '0.900'
    """
    estimate, low, high = (measure[name] for name in ("estimate", "low", "high"))
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{estimate:.3f}{interval}"
