"""Calls in several processes, their results in order; one process calls here and now."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config

Result = TypeVar("Result")


def in_order(
    work: Callable[..., Result], items: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[Result]:
    """Yield ``work(*item)`` for each item.

    Large arrays among the arguments are shared between processes on disk, not copied; every
    process computes with one thread.
    """
    with parallel_config("loky", inner_max_num_threads=1):
        calls = (delayed(work)(*item) for item in items)
        yield from Parallel(n_jobs=processes, return_as="generator")(calls)
