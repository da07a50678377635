"""What work may do to its process; imported by the processes that work for the tests."""

import ctypes
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hilum.errors import ImageError


def task(item: str) -> str:
    """Do what an item says: what a decoder may do to its process."""
    kind, _, rest = item.partition(" ")
    if kind == "sleep":
        time.sleep(float(rest))
    elif kind == "segfault":
        ctypes.string_at(0)
    elif kind == "hang":
        while True:
            time.sleep(60)
    elif kind == "greedy":
        return str(len(bytearray(3 << 30)))
    elif kind == "bad":
        raise ImageError("truncated", "ends after 10 bytes")
    elif kind == "bug":
        raise ZeroDivisionError("a fault in the decoder's own code")
    return item


def halves(make_first: Path, x: int) -> int:
    """Die the first time that 3 is asked for, as a machine does."""
    if x == 3 and not make_first.exists():
        make_first.touch()
        os._exit(1)
    return x * 2


def doubling(flag: Path) -> Callable[[int], int]:
    return partial(halves, flag)


def refuse(x: int) -> int:
    if x == 4:
        raise ValueError("four is not done")
    return x


def refusing() -> Callable[[int], int]:
    return refuse
