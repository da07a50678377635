"""Means over queries, with intervals that resample the patients who asked.

The gallery stays as it is: an interval tells how much the mean would change with other queries to
the same gallery, not with another gallery.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hilum.evaluate.draws import MEMORY, Draws
from hilum.evaluate.intervals import Measure, percentile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def query_means(
    values: Mapping[str, Floats], patients: Ints, draws: Draws, level: float
) -> dict[str, Measure]:
    """Average numbers per query.

    Parameters
    ----------
    values
        By name, (q,), NaN where a query has none: it is left out of that mean.
    patients : (q,)
        Whose image asks, 0 ... `draws.n_units` - 1.
    draws
        The resamples of patients.
    level
        Coverage of the intervals.
    """
    matrix = np.stack(list(values.values()))  # (s, q)
    known = ~np.isnan(matrix)
    sums = np.stack(
        [_by_patient(row, patients, draws.n_units) for row in np.where(known, matrix, 0)]
    )
    counts = np.stack([_by_patient(row, patients, draws.n_units) for row in known])
    total, asked = sums.sum(axis=1), counts.sum(axis=1)
    replicates = np.full((len(matrix), draws.resamples), np.nan)
    chunk = int(np.clip(MEMORY // (8 * (draws.n_units + 3 * len(matrix)) * 3), 1, 512))
    if draws.n_units > 1:
        for place, weights in draws.counts(chunk):
            with np.errstate(invalid="ignore"):
                replicates[:, place] = (sums @ weights) / (counts @ weights)
    out = {}
    for at, name in enumerate(values):
        if not asked[at]:
            out[name] = Measure(None, reason="no query has a right answer in its gallery")
        elif draws.n_units == 1:
            one = float(total[at] / asked[at])
            out[name] = Measure(one, reason="no interval: all queries are of one patient")
        else:
            out[name] = percentile(float(total[at] / asked[at]), replicates[at], level)
    return out


def _by_patient(values: Floats, patients: Ints, n: int) -> Floats:
    sums: Floats = np.bincount(patients, weights=values, minlength=n).astype(np.float64)
    return sums
