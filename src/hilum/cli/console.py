"""What a command may show: data on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hilum.progress import Progress


def note(text: str) -> None:
    """Say one line to the person, on standard error."""
    sys.stderr.write(f"{text}\n")


def emit(data: Any, *, as_json: bool, text: str = "") -> None:
    """Print a command's result: `data` as one JSON document, or `text` for a person."""
    sys.stdout.write((json.dumps(data, indent=2, allow_nan=False) if as_json else text) + "\n")


@contextmanager
def progress_bar(label: str) -> Iterator["Progress"]:
    """Draw a bar with rate and time left on standard error while the block runs.

    Where standard error is not a terminal, a line is written at most every ten seconds.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(label)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None, note="", rate="")

        def report(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)
            speed = bar.tasks[task].speed
            bar.update(task, rate=f"{speed:.3g}/s" if speed else "")

        yield report


def _lines(label: str) -> "Progress":
    import time

    started = time.monotonic()
    last = started

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < 10 and done != total:
            return
        last = now
        rate = done / (now - started) if now > started else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        sys.stderr.write(f"{label}: {done}/{total} ({rate:.3g}/s{left}) {note}".rstrip() + "\n")

    return report
