"""Work in processes that may die: order, isolation, limits, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hilum.errors import CollectionError
from hilum.workers import AHEAD, Failure, Limits, run_in_order
from worker_tasks import task


def run(items: list[str], processes: int = 2, **limits: float) -> list[str | Failure]:
    chosen = Limits(**limits) if limits else Limits()  # type: ignore[arg-type]
    return list(run_in_order(task, items, processes=processes, limits=chosen))


def test_results_come_in_the_order_of_the_items() -> None:
    items = ["sleep 0.3", *(f"item {n}" for n in range(100)), "sleep 0.1", "last"]
    assert run(items) == items


def test_no_items_need_no_process() -> None:
    assert run([]) == []


def test_a_crash_costs_one_item_and_no_other() -> None:
    items = [f"item {n}" for n in range(20)]
    items[3] = items[4] = items[11] = "segfault"
    results = run(items)
    crash = Failure("decoder-crashed", "the decoder ended its process (SIGSEGV)")
    assert [at for at, result in enumerate(results) if result == crash] == [3, 4, 11]
    assert [r for r in results if isinstance(r, str)] == [i for i in items if i != "segfault"]


def test_a_bug_in_a_decoder_is_a_crash() -> None:
    assert run(["bug", "fine"], processes=1) == [
        Failure("decoder-crashed", "the decoder ended its process (exit status 1)"),
        "fine",
    ]


def test_an_image_error_keeps_its_reason_and_the_process() -> None:
    assert run(["bad", "fine"]) == [Failure("truncated", "ends after 10 bytes"), "fine"]


def test_a_hang_ends_at_the_limit() -> None:
    results = run(["item", "hang", "next"], processes=1, seconds=0.5)
    assert results == ["item", Failure("timeout", "not decoded within 0.5 s"), "next"]


def test_greed_for_memory_is_an_error_of_one_item() -> None:
    results = run(["greedy", "fine"], processes=1, memory=2 << 30)
    assert results == [
        Failure("out-of-memory", "decoding needs more memory than a worker may use"),
        "fine",
    ]


def test_items_are_taken_only_a_bounded_number_ahead() -> None:
    taken = 0

    def items() -> Iterator[str]:
        nonlocal taken
        yield "sleep 1"
        for n in range(10_000):
            taken = n
            yield f"item {n}"

    results = run_in_order(task, items(), processes=2)
    assert next(results) == "sleep 1"
    assert taken <= 2 * AHEAD
    results.close()  # type: ignore[attr-defined]


def test_work_that_other_processes_cannot_import_is_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_here = ModuleType("only_here")
    exec("def work(item): return item", only_here.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", only_here)
    with pytest.raises(
        CollectionError, match=r"a worker process could not start \(exit status 1\): .*only_here"
    ):
        list(run_in_order(only_here.work, ["x"], processes=2))


SCRIPT = """
import sys
sys.path[:] = {path!r}
from worker_tasks import task
from hilum.workers import run_in_order
for result in run_in_order(task, ["a", "hang", "b"], processes=2):
    print(result, flush=True)
"""


def test_a_plain_script_needs_no_guard_and_leaves_nobody_behind(tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(SCRIPT.format(path=sys.path))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "a\n"
        children = _children(parent.pid)
        assert children
        parent.send_signal(signal.SIGKILL)
    idle = [child for child in children if _gone_within(child, 5)]
    for child in set(children) - set(idle):  # the one that hangs ends at its time limit
        os.kill(child, signal.SIGKILL)
    assert len(idle) >= len(children) - 1


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    if not text.exists():
        pytest.skip("this system does not list the children of a process")
    return [int(child) for child in text.read_text().split()]


def _gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
