"""Strategies as they are judged: the same tasks for all of them, picks for each.

What one of them picks for a task depends on its own name, the seed, the finding, the budget and
the task's number, and so on nothing about the others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

import numpy as np

from hilum.errors import UsageError
from hilum.select.pool import Pool, Rows, Settings, Strategy
from hilum.select.strategies import STRATEGIES
from hilum.select.tasks import Tasks, TaskSource

if TYPE_CHECKING:
    from hilum.select.original_run import Original
    from hilum.select.pool import Vectors
    from hilum.select.selector import SetSelector

Contender = Callable[[TaskSource, Tasks, Rows, int], Rows]
"""Source, some tasks of it, their numbers and a budget, to positions (n_tasks, budget) in pools."""

SELECTOR: Final = "medselect"
ORIGINAL: Final = "medselect-2021"
_PICK: Final = 21  # keeps this stream of random numbers apart from that of the tasks


def without_labels(names: Sequence[str] | None = None, seed: int = 0) -> dict[str, Contender]:
    """Return the strategies that need no labels, or some of them, as contenders.

    Raises
    ------
    UsageError
        If there is no such strategy, or it learns from labels that a task has not.
    """
    blind = [name for name, one in STRATEGIES.items() if not one.needs_labels]
    for name in names or ():
        if name not in blind:
            raise UsageError(
                f"{name!r} is not a strategy that chooses without labels; "
                f"choose from {', '.join(blind)}"
            )
    return {name: by_strategy(name, STRATEGIES[name], seed) for name in names or blind}


def by_strategy(name: str, strategy: Strategy, seed: int = 0) -> Contender:
    """Let a strategy pick for every task, with random numbers of its own for each."""

    def pick(source: TaskSource, tasks: Tasks, indices: Rows, budget: int) -> Rows:
        ids = tuple(map(str, range(tasks.pool.shape[1])))
        out = np.empty((len(tasks), budget), dtype=np.int64)
        for at, index in enumerate(indices.tolist()):
            asked = crc32(source.findings[int(tasks.finding[at])].encode())
            words = [seed, _PICK, crc32(name.encode()), asked, budget, index]
            pool = Pool(source.vectors[tasks.pool[at]], ids)
            rng = np.random.default_rng(words)
            out[at] = strategy.pick(pool, budget, Settings(), rng).rows
        return out

    return pick


def by_selector(selector: "SetSelector", beside: "Vectors | None" = None) -> Contender:
    """Let a trained selector pick: the highest logits, nothing drawn.

    Parameters
    ----------
    beside : (n_images, n)
        What it sees of the images of the sources beside their embeddings; None for nothing.
    """
    import torch

    from hilum.select.selector_task import chosen_by, unit_vectors

    def pick(source: TaskSource, tasks: Tasks, indices: Rows, budget: int) -> Rows:  # noqa: ARG001
        # only the images that these tasks show it
        shown, places = np.unique(tasks.pool, return_inverse=True)
        pools = torch.from_numpy(places.reshape(tasks.pool.shape).astype(np.int64))
        more = None if beside is None else torch.from_numpy(beside[shown])
        picks = chosen_by(selector, unit_vectors(source.vectors[shown]), pools, budget, more)
        return np.asarray(picks.numpy(), dtype=np.int64)

    return pick


def by_original(original: "Original", beside: "Vectors | None" = None, seed: int = 0) -> Contender:
    """Let MedSelect of 2021 pick, as its test does: draws with replacement.

    Parameters
    ----------
    original
        A trained one.
    beside : (n_images, 3)
        Sex, age and view of the images of the sources, where it was trained to see them.
    """
    from hilum.select.original import select_tasks

    def pick(source: TaskSource, tasks: Tasks, indices: Rows, budget: int) -> Rows:  # noqa: ARG001
        parts = select_tasks(original.network, source, indices, budget, beside=beside, seed=seed)
        return np.concatenate([picks for _, picks in parts])

    return pick


def selected_first(contenders: Mapping[str, Contender]) -> str:
    """Return the contender that others are compared with: a selector, else the first.

    Raises
    ------
    UsageError
        If there are fewer than two.
    """
    if len(contenders) < 2:
        raise UsageError(
            f"a comparison needs two strategies or more, got {', '.join(contenders) or 'none'}"
        )
    return SELECTOR if SELECTOR in contenders else next(iter(contenders))
