"""Few labels, spent by one strategy with one seed: from each number of labels to test scores."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hilum.frontier.design import CHANCE
from hilum.frontier.kept import Kept
from hilum.frontier.material import Floats, Material, Rows
from hilum.predictors import METHODS
from hilum.select.pool import Settings, Strategy
from hilum.select.strategies import STRATEGIES
from hilum.select.worklist import MEDSELECT

ALL: Final = "all labels"
"""In place of a strategy: no image is left to choose."""


@dataclass(frozen=True)
class Walk:
    """One strategy with one seed, from budget to budget.

    Parameters
    ----------
    strategy
        Its name, or `ALL`.
    seed
        Of its random numbers.
    budgets
        Ascending.
    readers
        What reads the test images with the labels.
    per_patient
        At most so many images of one patient.
    selector
        The file of a trained selector, for ``medselect``.
    """

    strategy: str
    seed: int
    budgets: tuple[int, ...]
    readers: tuple[str, ...]
    per_patient: int | None = None
    selector: str | None = None


@dataclass(frozen=True)
class Stop:
    """Where a walk's results at one number of labels are.

    Parameters
    ----------
    labels
        How many images.
    picks
        File of the rows of the pool, (labels,).
    scores
        By reader, the file of the scores of the test images (n_test, n_findings), float32; a
        finding that the labels could not teach is NaN.
    """

    labels: int
    picks: Path
    scores: dict[str, Path]


def go(walk: Walk, material: Material, folder: Path) -> list[Stop]:
    """Select and read at every budget; what is there already is not computed again."""
    kept = Kept(folder)
    picked = np.empty(0, dtype=np.int64)
    out = []
    strategy = None if walk.strategy == ALL else _strategy(walk, material)
    for at, budget in enumerate(walk.budgets):
        path = kept.path("picks", material.digest, *_decided(walk, strategy, at))
        if not path.exists():
            kept.save(path, _picks(walk, strategy, material, picked, at))
        picked = kept.load(path)
        out.append(Stop(budget, path, _read(walk, material, picked, path, kept)))
    return out


def _strategy(walk: Walk, material: Material) -> Strategy:
    if walk.strategy != MEDSELECT:
        return STRATEGIES[walk.strategy]
    from hilum.select.trained import selector_strategy

    assert walk.selector is not None
    return selector_strategy(walk.selector, material.encoder)


def _decided(walk: Walk, strategy: Strategy | None, at: int) -> list[Any]:
    """Return what the picks at a budget depend on."""
    if strategy is None:
        return [ALL]
    # one that learns from labels depends on the numbers of labels before, too
    steps = walk.budgets[: at + 1] if strategy.needs_labels else walk.budgets[at : at + 1]
    weights = ""
    if walk.strategy == MEDSELECT and walk.selector:
        weights = hashlib.sha256(Path(walk.selector).read_bytes()).hexdigest()
    return [walk.strategy, walk.seed, steps, walk.per_patient, weights]


def _picks(
    walk: Walk, strategy: Strategy | None, material: Material, before: Rows, at: int
) -> Rows:
    budget = walk.budgets[at]
    if strategy is None:
        return np.arange(len(material.labels), dtype=np.int64)
    words = [walk.seed, crc32(walk.strategy.encode())]
    settings = Settings(walk.per_patient)
    if not strategy.needs_labels:
        # the same generator at every budget: random picks grow, and so differ by no chance more
        pool = material.candidates(np.empty(0, dtype=np.int64))
        return strategy.pick(pool, budget, settings, np.random.default_rng(words)).rows
    pool = material.candidates(before)
    if not _teach(material.labels[before]):
        strategy, words = STRATEGIES[CHANCE], [walk.seed, crc32(CHANCE.encode())]
    else:
        words = [*words, at]
    added = strategy.pick(pool, budget - len(before), settings, np.random.default_rng(words)).rows
    return np.concatenate([before, added])


def _teach(labels: Floats) -> bool:
    """Tell whether any finding has labels of both classes: what an uncertain probe begins from."""
    return bool(((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any())


def _read(walk: Walk, material: Material, picked: Rows, picks: Path, kept: Kept) -> dict[str, Path]:
    out = {}
    for reader in walk.readers:
        out[reader] = kept.path("scores", picks.name, material.digest, reader)
        if not out[reader].exists():
            kept.save(out[reader], read(reader, material, picked))
    return out


def read(
    reader: str, material: Material, picked: Rows, labels: Floats | None = None
) -> NDArray[np.float32]:
    """Score the test images with labels of some training images.

    Parameters
    ----------
    picked : (n,)
        Rows of the pool.
    labels : (n, n_findings)
        Of them; those of the collection if None.

    Returns
    -------
    (n_test, n_findings)
        NaN for a finding that the labels cannot teach.
    """
    known = material.labels[picked] if labels is None else labels
    # the probe's folds are part of the reader, not of the experiment: their seed stays
    score = partial(METHODS[reader], seed=0) if reader == "probe" else METHODS[reader]
    found = score(material.test, material.pool.vectors[picked], known)
    return found.scores.astype(np.float32)


def walks(
    strategies: Sequence[str],
    seeds: int,
    seed: int,
    budgets: tuple[int, ...],
    readers: tuple[str, ...],
    per_patient: int | None,
    selector: str | None,
) -> Iterator[Walk]:
    """Yield every strategy with every seed."""
    for name in strategies:
        for repeat in range(seeds):
            yield Walk(name, seed + repeat, budgets, readers, per_patient, selector)
