"""Images grouped into the visits of patients, in the order of time.

Everything that is said of the past is worked out on visits: a patient's visits lie one after
another, and what a visit may know of the past is what stands before it in its patient's stretch.
Images of one visit share all of it, and never see each other's labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.findings import UNCERTAIN

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Visits:
    """The visits of some patients.

    Parameters
    ----------
    of_image : (n_images,)
        Which visit each image belongs to.
    rank : (n_visits,)
        How many visits of the same patient come before.
    labels : (n_visits, n_findings)
        1, 0, -1 (uncertain) or NaN (unknown).
    ages : (n_visits,)
        Years; NaN where unknown.
    ap : (n_visits,)
        The share of AP among the visit's frontal images; NaN where it has none.
    """

    of_image: Rows
    rank: Rows
    labels: Floats
    ages: Floats
    ap: Floats

    def __len__(self) -> int:
        return len(self.rank)

    def before(self, values: Floats, steps: int = 1) -> Floats:
        """Return what each visit's patient had `steps` visits before; NaN where there is none."""
        out = np.full(values.shape, np.nan)
        there = np.flatnonzero(self.rank >= steps)
        out[there] = values[there - steps]
        return out

    def sum_before(self, values: Floats) -> Floats:
        """Return sums over all earlier visits of the patient, unknown ones left out."""
        running = np.cumsum(np.nan_to_num(values), axis=0)
        running = np.concatenate([np.zeros_like(running[:1]), running])  # [i]: before visit i
        first = np.arange(len(self)) - self.rank
        return np.asarray(running[:-1] - running[first], dtype=np.float64)

    def scan(self, state: Floats, step: Callable[[Floats, Rows], Floats]) -> Floats:
        """Go through every patient's visits in order, carrying a state along.

        Parameters
        ----------
        state
            What is carried into a first visit.
        step
            From the states of some patients and the rows of their present visits to the states
            they carry into their next.

        Returns
        -------
        (n_visits, ...)
            The state that each visit begins with: it knows earlier visits only.
        """
        out = np.empty((len(self), *state.shape))
        first = np.flatnonzero(self.rank == 0)
        lengths = np.diff(np.append(first, len(self)))
        first = first[np.argsort(-lengths, kind="stable")]  # those who still come stay in front
        carried = np.broadcast_to(state, (len(first), *state.shape)).copy()
        still_there = np.sort(lengths)
        for rank in range(int(still_there[-1]) if len(first) else 0):
            coming = len(first) - int(np.searchsorted(still_there, rank, side="right"))
            rows = first[:coming] + rank
            out[rows] = carried[:coming]
            carried[:coming] = step(carried[:coming], rows)
        return out


def group_visits(
    patients: ArrayLike, visits: ArrayLike, labels: Floats, ages: Floats, ap: Floats
) -> Visits:
    """Group images into visits.

    Parameters
    ----------
    patients : (n_images,)
        Any ids.
    visits : (n_images,)
        Ascending in time within a patient; images with the same number are of one visit.
    labels : (n_images, n_findings)
        1, 0, -1 (uncertain) or NaN (unknown).
    ages, ap : (n_images,)
        Years, and 1 for AP, 0 for PA; NaN where unknown.

    Returns
    -------
    Visits in the order of patients and time. The label of a visit is the first of 1, -1, 0 that
    one of its images has; its age is the largest known.
    """
    person = np.unique(np.asarray(patients), return_inverse=True)[1]
    order = np.lexsort((np.asarray(visits), person))
    key = np.stack([person, np.asarray(visits)], axis=1)[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (key[1:] != key[:-1]).any(axis=1)
    of_sorted = np.cumsum(new) - 1
    of_image = np.empty(len(order), dtype=np.int64)
    of_image[order] = of_sorted
    starts = np.flatnonzero(new)
    owner = key[starts, 0]
    rank = np.arange(len(starts)) - np.searchsorted(owner, owner)
    return Visits(
        of_image,
        rank.astype(np.int64),
        _labels_of_visits(labels[order], starts),
        _greatest(ages[order], starts),
        _mean(ap[order], starts),
    )


def _labels_of_visits(labels: Floats, starts: Rows) -> Floats:
    present, uncertain, absent = (
        np.logical_or.reduceat(labels == value, starts) if len(starts) else labels == value
        for value in (1, UNCERTAIN, 0)
    )
    return np.select([present, uncertain, absent], [1.0, float(UNCERTAIN), 0.0], np.nan)


def _greatest(values: Floats, starts: Rows) -> Floats:
    return np.fmax.reduceat(values, starts) if len(starts) else values


def _mean(values: Floats, starts: Rows) -> Floats:
    if not len(starts):
        return values
    total = np.add.reduceat(np.nan_to_num(values), starts)
    known = np.add.reduceat((~np.isnan(values)).astype(np.float64), starts)
    mean: Floats = np.divide(total, known, out=np.full(len(starts), np.nan), where=known > 0)
    return mean
