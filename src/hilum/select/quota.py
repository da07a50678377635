"""Which images may still be picked: not labelled, not picked, and not of a patient who is full."""

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.select.pool import Pool, Rows, Settings


class Quota:
    """The images that are open to be picked, kept up to date as picks are made.

    Sets of images within the limits form a partition matroid: however the first picks were
    chosen, more can follow until `budget` is reached. So a strategy that picks one open image
    after another never runs into a dead end.

    Parameters
    ----------
    pool
        What there is to choose from.
    budget
        How many picks will be made.
    settings
        The limit per patient.

    Raises
    ------
    UsageError
        If the budget or the limit is less than 1, there is a limit and no patients, or fewer
        images than the budget can be picked; the message counts what is left.
    """

    def __init__(self, pool: Pool, budget: int, settings: Settings) -> None:
        self.open: NDArray[np.bool_] = np.ones(len(pool), dtype=np.bool_)
        self._limit = settings.per_patient
        if self._limit is not None:
            self._count_patients(pool, self._limit)
        for row in pool.labelled:
            self.take(int(row))
        self._check(pool, budget)

    def take(self, row: int) -> None:
        """Close a row, and all rows of its patient where that patient is full now."""
        self.open[row] = False
        if self._limit is None:
            return
        patient = self._patient[row]
        self._room[patient] -= 1
        if self._room[patient] == 0:
            self.open[self._sorted[self._starts[patient] : self._starts[patient + 1]]] = False

    def _count_patients(self, pool: Pool, limit: int) -> None:
        if limit < 1:
            raise UsageError(f"the limit per patient must be 1 or more; got {limit}")
        if pool.patients is None:
            raise UsageError("there is a limit per patient, but the pool does not name patients")
        _, patient, count = np.unique(pool.patients, return_inverse=True, return_counts=True)
        self._patient: Rows = patient.astype(np.int64)
        self._sorted = np.argsort(self._patient, kind="stable")  # the rows of each patient together
        self._starts = np.concatenate([[0], np.cumsum(count)])
        self._room = np.full(len(count), limit)

    def _left(self) -> int:
        if self._limit is None:
            return int(self.open.sum())
        unlabelled = np.bincount(self._patient, weights=self.open, minlength=len(self._room))
        return int(np.minimum(unlabelled, np.maximum(self._room, 0)).sum())

    def _check(self, pool: Pool, budget: int) -> None:
        left = self._left()
        if 1 <= budget <= left:
            return
        limit = f", at most {self._limit} of one patient" if self._limit else ""
        advice = f"choose a budget from 1 to {left}" if left else "there is nothing left to label"
        raise UsageError(
            f"asked for {budget} images to label, but {left} of {len(pool)} can be picked "
            f"({pool.labelled.size} labelled already{limit}); {advice}"
        )
