"""Confidence intervals by drawing whole patients again.

Two images of one patient are not two independent observations, so what is resampled with
replacement is the patient, with all their images, and the same patients are drawn for every
finding and for both sides of a comparison. A resample in which a statistic is undefined (no
positive was drawn) is left out and counted; none is given an invented value.

Percentile intervals: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13;
resampling of clusters: Davison and Hinkley, Bootstrap Methods, 1997, section 3.8.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilum.evaluate.metrics import STATISTICS, Floats, Ranking

MEMORY = 64 * 2**20
"""Bytes that the weights and sums of one chunk of resamples may take, roughly."""


@dataclass(frozen=True)
class Measure:
    """A statistic with its interval; None is undefined and never stands for a number.

    Parameters
    ----------
    estimate
        The statistic of all the images.
    low, high
        Ends of the interval, or None.
    undefined
        Resamples in which the statistic was undefined.
    reason
        Why the estimate or the interval is None, where one is.
    """

    estimate: float | None
    low: float | None = None
    high: float | None = None
    undefined: int = 0
    reason: str | None = None


def resample(n_units: int, resamples: int, seed: int, chunk: int) -> Iterator[tuple[slice, Floats]]:
    """Yield how often each unit is drawn, a chunk of resamples at a time.

    Every resample draws `n_units` units with replacement. What is drawn depends on the seed
    alone, not on `chunk`.

    Yields
    ------
    The resamples that the chunk holds, and their counts (n_units, n_in_chunk).
    """
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, chunk):
        stop = min(start + chunk, resamples)
        drawn = rng.integers(n_units, size=(stop - start, n_units))
        drawn += np.arange(stop - start)[:, None] * n_units  # one range of bins per resample
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield slice(start, stop), np.ascontiguousarray(counts.T, dtype=np.float64)


def replicate(
    rankings: Sequence[Ranking | None], n_units: int, resamples: int, seed: int
) -> dict[str, Floats]:
    """Compute every statistic of every ranking in every resample.

    Parameters
    ----------
    rankings
        One per finding, over the same units; None where the finding is undefined.
    n_units
        How many units there are to draw from.

    Returns
    -------
    For each statistic, (resamples, n_rankings), NaN where undefined.
    """
    shape = (resamples, len(rankings))
    out = {name: np.full(shape, np.nan) for name in STATISTICS}
    for place, counts in resample(n_units, resamples, seed, _chunk(rankings, n_units)):
        for column, ranking in enumerate(rankings):
            if ranking is not None:
                steps = ranking.weigh(counts[: ranking.positives.shape[1]])
                for name, statistic in STATISTICS.items():
                    out[name][place, column] = statistic(steps)
    return out


def _chunk(rankings: Sequence[Ranking | None], n_units: int) -> int:
    """Return how many resamples fit in `MEMORY`; about seven arrays of steps live at once."""
    steps = max((r.positives.shape[0] for r in rankings if r is not None), default=0)
    return int(np.clip(MEMORY // (8 * (3 * n_units + 7 * steps + 1)), 1, 512))


def percentile(estimate: float, replicates: Floats, level: float) -> Measure:
    """Put a percentile interval around an estimate.

    Parameters
    ----------
    estimate
        The statistic of all the images, not NaN.
    replicates : (resamples,)
        The statistic of each resample, NaN where undefined.
    level
        Coverage aimed at, such as 0.95.

    Returns
    -------
    The measure. Where more than half of the resamples are undefined it has no interval: what is
    left of them would describe a data set with more positives than there are.
    """
    defined = replicates[~np.isnan(replicates)]
    lost = replicates.size - defined.size
    if not replicates.size:
        return Measure(estimate)
    if lost > defined.size:
        reason = f"no interval: undefined in {lost} of {replicates.size} resamples"
        return Measure(estimate, undefined=lost, reason=reason)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Measure(estimate, float(low), float(high), lost)


def one_unit_only(ranking: Ranking, unit: str) -> str | None:
    """Say why resampling cannot show this finding's spread, or None where it can.

    With one positive patient every resample that has a positive has the same one, and the
    interval would be that of the negatives alone.
    """
    negatives = _units_with(ranking.tied) | _units_with(ranking.between)
    for what, count in (
        ("positive", int(_units_with(ranking.positives).sum())),
        ("negative", int(negatives.sum())),
    ):
        if count == 1:
            return f"no interval: all {what} images belong to one {unit}"
    return None


def _units_with(matrix: object) -> NDArray[np.bool_]:
    counts: Floats = matrix.sum(axis=0)  # type: ignore[attr-defined]
    return counts > 0


def measures(
    estimates: Mapping[str, float],
    replicates: Mapping[str, Floats],
    level: float,
    reason: str | None = None,
) -> dict[str, Measure]:
    """Put an interval around each statistic, or the reason why there is none."""
    out = {}
    for name, estimate in estimates.items():
        if np.isnan(estimate):
            out[name] = Measure(None, reason=reason)
        elif reason is not None:
            out[name] = Measure(estimate, reason=reason)
        else:
            out[name] = percentile(estimate, replicates[name], level)
    return out
