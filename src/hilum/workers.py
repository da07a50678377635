"""Run a function over many items in processes that may die, and keep the order of the items.

A decoder of a clinical format can crash, hang or ask for all the memory. So each item is worked
on in another process, under a limit of time and of memory; an item that brings its process down
becomes a `Failure`, its process is replaced, and the others notice nothing.

The processes are started afresh (Lance and OpenCV do not survive a fork), without running the
caller's script again, so that a plain script needs no ``if __name__ == "__main__"``.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Final, Generic, TypeVar

from hilum.errors import CollectionError, ImageError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD: Final = 32  # results one process may be ahead of the oldest unfinished item
_QUEUE: Final = 2  # items at a process at once: one in work, one waiting, so it never idles


def processors() -> int:
    """Count the processors that this process may use; where the system does not say, all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """What one item may use: wall-clock seconds, and bytes of address space of its process."""

    seconds: float = 60.0
    memory: int = 4 << 30


@dataclass(frozen=True)
class Failure:
    """Why an item has no result: a short stable code, and a sentence."""

    reason: str
    message: str


def run_in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    processes: int,
    limits: Limits = Limits(),
) -> Iterator[Result | Failure]:
    """Yield ``work(item)`` or a `Failure` for each item, in the order of the items.

    Memory is bounded: at most ``AHEAD * processes`` results are held for the sake of order, and
    items are taken from their iterable only as fast as they are worked on.

    Parameters
    ----------
    work
        A function that other processes can import. An `ImageError` that it raises becomes a
        failure with the error's reason; any other exception ends its process and becomes
        ``"decoder-crashed"``, as a crash does.
    items
        Anything that can be pickled.
    processes
        How many processes work, at least 1.
    limits
        Exceeded time is the failure ``"timeout"``, exceeded memory ``"out-of-memory"``.

    Raises
    ------
    CollectionError
        If a process cannot even start.
    """
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        crew = _Crew(work, limits, log, [])
        stack.callback(crew.dismiss)
        yield from crew.run(items, processes)


@dataclass
class _Process(Generic[Item]):
    popen: "subprocess.Popen[bytes]"
    pipe: Connection
    ready: bool = False
    pending: "deque[tuple[int, Item]]" = field(default_factory=deque)

    def end(self) -> int:
        """Stop the process and return its exit status (negative: the signal that ended it)."""
        self.pipe.close()
        try:
            return self.popen.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


@dataclass
class _Crew(Generic[Item, Result]):
    work: Callable[[Item], Result]
    limits: Limits
    log: IO[bytes]
    members: list[_Process[Item]]

    def run(self, items: Iterable[Item], processes: int) -> Iterator[Result | Failure]:
        todo = _Queue(items)
        done: dict[int, Result | Failure] = {}
        due = 0  # the index that the caller gets next
        while True:
            self._feed(todo, limit=due + AHEAD * processes, processes=processes)
            busy = [member for member in self.members if member.pending]
            if not busy:
                return
            for pipe in wait([member.pipe for member in busy]):
                self._receive(next(m for m in busy if m.pipe is pipe), todo, done)
            while due in done:
                yield done.pop(due)
                due += 1

    def _feed(self, todo: "_Queue[Item]", *, limit: int, processes: int) -> None:
        while (work := todo.peek(limit)) is not None:
            if len(self.members) < processes:
                self.members.append(_start(self.work, self.limits, self.log))
            member = min(self.members, key=lambda m: len(m.pending))
            if len(member.pending) >= _QUEUE:
                return
            try:
                member.pipe.send(work)
            except (BrokenPipeError, ConnectionResetError):
                if member.pending:  # its end will be seen, and this item given to another
                    return
                self.members.remove(member)
                member.end()
                continue
            member.pending.append(todo.take())

    def _receive(
        self,
        member: _Process[Item],
        todo: "_Queue[Item]",
        done: "dict[int, Result | Failure]",
    ) -> None:
        try:
            answer = member.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.members.remove(member)
            status = member.end()
            if not member.ready:
                raise CollectionError(self._why_not_started(status)) from None
            culprit, *rest = member.pending
            done[culprit[0]] = self._autopsy(status)
            todo.put_back(rest)
            return
        if not member.ready:
            member.ready = True
            return
        index, _ = member.pending.popleft()
        done[index] = answer

    def _autopsy(self, status: int) -> Failure:
        if status == -signal.SIGALRM:
            return Failure("timeout", f"not decoded within {self.limits.seconds:g} s")
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Failure("decoder-crashed", f"the decoder ended its process ({how})")

    def _why_not_started(self, status: int) -> str:
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return (
            f"a worker process could not start (exit status {status}): "
            f"{lines[-1] if lines else 'it said nothing'}"
        )

    def dismiss(self) -> None:
        for member in self.members:
            member.popen.kill()
            member.end()


class _Queue(Generic[Item]):
    """Items with their index; some may come back when their process died under another item."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._fresh = enumerate(items)
        self._waiting: deque[tuple[int, Item]] = deque()

    def peek(self, limit: int) -> tuple[int, Item] | None:
        """Return the next index and item, or None if there is none below `limit`."""
        if not self._waiting:
            self._waiting.extend([entry for entry in (next(self._fresh, None),) if entry])
        if self._waiting and self._waiting[0][0] < limit:
            return self._waiting[0]
        return None

    def take(self) -> tuple[int, Item]:
        return self._waiting.popleft()

    def put_back(self, entries: Iterable[tuple[int, Item]]) -> None:
        self._waiting.extendleft(entries)


def _start(work: Callable[[Any], Any], limits: Limits, log: IO[bytes]) -> _Process[Any]:
    ours, theirs = socket.socketpair()
    pipe = Connection(ours.detach())
    with theirs:
        pipe.send((work, limits))  # waits in the socket; a work that cannot be sent fails here
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from hilum.workers import serve; serve({theirs.fileno()})"
        )
        popen = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,  # decoders write warnings there, sometimes with names of files
        )
    return _Process(popen, pipe)


def serve(descriptor: int) -> None:
    """Work in this process for the one that holds the other end of a socket, until it closes.

    The alarm has its default action, which ends the process even inside a decoder written in C.
    """
    pipe = Connection(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted and ends this one
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    work, limits = pipe.recv()
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patient data
    pipe.send("ready")
    while True:
        try:
            _, item = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        answer = _answer(work, item)
        signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.send(answer)


def _answer(work: Callable[[Any], Any], item: Any) -> Any:
    try:
        return work(item)
    except ImageError as error:
        return Failure(error.reason, error.message)
    except MemoryError:
        return Failure("out-of-memory", "decoding needs more memory than a worker may use")
