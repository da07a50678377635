"""What a decoder may do to its process; imported by the processes that work for the tests."""

import ctypes
import time

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
