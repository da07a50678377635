"""One training in a process of its own: its memory is its own, and its end ends nothing else.

The process is told its job as JSON on standard input. It answers in lines of JSON through a pipe,
so that nothing a library prints can come between; what is printed goes to a file. The caller's
script is not run again, so a plain script needs no ``if __name__ == "__main__"``.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from hilum import errors
from hilum.comparison.training import Cost, Job
from hilum.errors import HilumError, RunError
from hilum.progress import Progress, silent

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.tables import Table

MESSAGES: Final = "messages.log"
_NOT_IN_RECIPES: Final = ("inputs", "findings")
_KIBIBYTE: Final = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss


class Supervised:
    """The trainer of `hilum compare`: `hilum.train`, each time in a process of its own."""

    def check(self, job: Job) -> None:
        """Refuse what the recipe refuses.

        Raises
        ------
        UsageError
            If there is no such recipe, or no such field or value in it.
        """
        from hilum.training.recipes import find, override
        from hilum.training.supervised_recipes import SUPERVISED_RECIPES

        fields = {k: v for k, v in _changes(job).items() if k not in _NOT_IN_RECIPES}
        override(find(job.recipe, SUPERVISED_RECIPES), fields)

    def train(self, job: Job, progress: Progress = silent) -> Cost:
        """Train in a new process.

        Raises
        ------
        HilumError
            What `hilum.train` raised there; RunError if something ended the process.
        """
        return train_apart(job, progress)

    def predict(self, view: "Collection", run: Path, device: str) -> "Table":
        """Score images in this process."""
        from hilum.training.prediction import predict

        return predict(view, run, device=device)


def train_apart(
    job: Job, progress: Progress = silent, work: str = f"{__name__}:train_here"
) -> Cost:
    """Do a job in a new process and return what it cost; errors as in `Supervised.train`.

    Parameters
    ----------
    work
        The function that trains there, as ``module:name``.
    """
    begun = time.perf_counter()
    messages = Path(job.run).parent / MESSAGES
    messages.parent.mkdir(parents=True, exist_ok=True)
    ours, theirs = os.pipe()
    with messages.open("ab") as printed, os.fdopen(ours, encoding="utf-8") as answers:
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs), work],
            stdin=subprocess.PIPE, stdout=printed, stderr=printed, pass_fds=[theirs], text=True,
        )  # fmt: skip
        os.close(theirs)
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin:
                json.dump(asdict(job), process.stdin)
            used = _listen(answers, progress)
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
    if used is None:
        raise RunError(_why(job, status, messages))
    return Cost(time.perf_counter() - begun, **used)


def _listen(answers: IO[str], progress: Progress) -> dict[str, Any] | None:
    """Pass progress on until the process says what it used, fails, or is gone."""
    for line in answers:
        kind, said = json.loads(line)
        if kind == "progress":
            progress(*said)
        elif kind == "error":
            raise _error(*said)
        else:
            used: dict[str, Any] = said
            return used
    return None


def _error(name: str, message: str) -> HilumError:
    kind: type[HilumError] = getattr(errors, name, RunError)
    return RunError(message) if kind is errors.ImageError else kind(message)


def _why(job: Job, status: int, messages: Path) -> str:
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    lines = messages.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = f"; it said: {lines[-1]}" if lines and status > 0 else ""
    hint = " (out of memory?)" if status == -signal.SIGKILL else ""
    return f"{job.run}: its process was ended by {how}{hint}{said} (all of it is in {messages})"


def serve() -> None:
    """Do the job on standard input, and tell the process at the other end of the pipe."""
    descriptor, work = int(sys.argv[1]), sys.argv[2]
    job = Job(**json.load(sys.stdin))
    with os.fdopen(descriptor, "w", encoding="utf-8") as pipe:

        def tell(kind: str, said: Any) -> None:
            pipe.write(json.dumps([kind, said]) + "\n")
            pipe.flush()

        def progress(done: int, total: int, note: str = "") -> None:
            tell("progress", [done, total, note])

        try:
            _found(work)(job, progress)
        except HilumError as error:
            tell("error", [type(error).__name__, str(error)])
        else:
            tell("used", _used())


def _found(work: str) -> Any:
    from importlib import import_module

    module, _, name = work.partition(":")
    return getattr(import_module(module), name)


def train_here(job: Job, progress: Progress) -> None:
    """Train in this process."""
    from hilum.collection import open_collection
    from hilum.training.supervised import train_supervised

    view = open_collection(job.uri, job.version)
    view = view.where(job.condition) if job.condition else view
    train_supervised(
        view, job.run, job.recipe, device=job.device, progress=progress, **_changes(job)
    )  # fmt: skip


def _changes(job: Job) -> dict[str, Any]:
    """Return a job's changes as Python has them: JSON knows no tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in job.changes.items()}


def _used() -> dict[str, Any]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and torch.cuda.is_initialized()
    return {
        "processor_seconds": own.ru_utime + own.ru_stime,
        "memory": own.ru_maxrss * _KIBIBYTE,
        "device_memory": torch.cuda.max_memory_allocated() if torch and on_gpu else None,
    }
