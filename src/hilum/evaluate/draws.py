"""Drawing whole patients again, and every statistic of every draw.

Two images of one patient are not two independent observations, so what is resampled with
replacement is the patient, with all their images, and the same patients are drawn for every
finding, every reader and both sides of a comparison (resampling of clusters: Davison and Hinkley,
Bootstrap Methods, 1997, section 3.8).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.evaluate.ranking import Floats
from hilum.workers import processors

MEMORY = 128 * 2**20
"""Bytes that the weights and sums of one chunk of resamples may take, roughly, over all cores."""

Ints = NDArray[np.int64]


class Instrument(Protocol):
    """Something that measures a finding for any weighting of the units.

    Weights are repetitions: a unit of weight 2 is there twice. Multiplying all weights by one
    number changes no statistic.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The statistics that it gives."""

    @property
    def n_units(self) -> int:
        """How many units it has."""

    @property
    def bytes_per_weighting(self) -> int:
        """What one weighting takes while it is measured, beside the weights."""

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Compute each statistic for each column of `weights` (n_units, n_weightings)."""

    def influence(self) -> dict[str, Floats]:
        """Return each statistic's derivative by each unit's weight (n_units,), at weights of 1."""


@dataclass(frozen=True, eq=False)
class Draws:
    """A recipe for resamples; what is drawn depends on nothing else.

    Parameters
    ----------
    n_units
        How many units there are; a resample draws as many, with replacement.
    resamples
        How many times.
    seed
        Of the generator; without use for `chexzero`.
    strata : (n_units,)
        The stratum of each unit, 0 ... n_strata - 1: each keeps its number of units in every
        resample. None draws from all.
    chexzero
        Draw as CheXzero's code does: resample i takes the rows ``randint(0, n, n)`` of a
        Mersenne Twister seeded with i, for i = 0 ... resamples - 1.
    """

    n_units: int
    resamples: int
    seed: int = 0
    strata: Ints | None = None
    chexzero: bool = False

    def __post_init__(self) -> None:
        if self.chexzero and self.strata is not None:
            raise UsageError("CheXzero's resamples have no strata: leave one of the two out")

    def counts(self, chunk: int) -> Iterator[tuple[slice, Floats]]:
        """Yield how often each unit is drawn, `chunk` resamples at a time.

        Yields
        ------
        The resamples that the chunk holds, and their counts (n_units, n_in_chunk).
        """
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.resamples, chunk):
            stop = min(start + chunk, self.resamples)
            if self.chexzero:
                drawn = np.stack([self._like_chexzero(i) for i in range(start, stop)])
            else:
                drawn = self._units(rng, stop - start)
            # one range of bins per resample, so that one call counts them all
            drawn += np.arange(stop - start)[:, None] * self.n_units
            counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
            yield slice(start, stop), np.ascontiguousarray(counts.T, dtype=np.float64)

    def _units(self, rng: np.random.Generator, resamples: int) -> Ints:
        if self.strata is None:
            return rng.integers(self.n_units, size=(resamples, self.n_units))
        # a row at a time, so that what is drawn does not depend on the chunk
        members = [np.flatnonzero(self.strata == s) for s in range(int(self.strata.max()) + 1)]
        rows = [
            np.concatenate([own[rng.integers(own.size, size=own.size)] for own in members])
            for _ in range(resamples)
        ]
        return np.stack(rows)

    def _like_chexzero(self, seed: int) -> Ints:
        drawn: Ints = np.random.RandomState(seed).randint(0, self.n_units, self.n_units)
        return drawn


def replicate(
    findings: Sequence[Sequence[Instrument]], draws: Draws, names: Sequence[str]
) -> dict[str, Floats]:
    """Compute every statistic of every finding in every resample.

    Parameters
    ----------
    findings
        The instruments of each finding, over the units of `draws`; no instrument where nothing
        is defined.
    draws
        What to draw.
    names
        The statistics wanted.

    Returns
    -------
    For each name, (resamples, n_findings), NaN where undefined.

    Notes
    -----
    Memory is bounded by `MEMORY` and the result. Findings are shared out to threads, one per
    core: sparse products and sums leave Python's lock alone.
    """
    out = {name: np.full((draws.resamples, len(findings)), np.nan) for name in names}

    def fill(column: int, place: slice, counts: Floats) -> None:
        for instrument in findings[column]:
            for name, values in instrument.measure(counts).items():
                if name in out:
                    out[name][place, column] = values

    threads = min(processors(), max(1, len(findings)))
    chunk = _chunk(findings, draws.n_units, threads)
    with ThreadPoolExecutor(threads) as pool:
        for place, counts in draws.counts(chunk):
            jobs = [pool.submit(fill, at, place, counts) for at in range(len(findings))]
            for job in jobs:
                job.result()
    return out


def influence(
    findings: Sequence[Sequence[Instrument]], n_units: int, names: Sequence[str]
) -> dict[str, Floats]:
    """Return each statistic's influence values, (n_units, n_findings) each."""
    out = {name: np.full((n_units, len(findings)), np.nan) for name in names}
    for column, instruments in enumerate(findings):
        for instrument in instruments:
            for name, values in instrument.influence().items():
                if name in out:
                    out[name][:, column] = values
    return out


def _chunk(findings: Sequence[Sequence[Instrument]], n_units: int, threads: int) -> int:
    """Return how many resamples fit in `MEMORY`: three arrays of weights, and the threads' own."""
    own = max((i.bytes_per_weighting for group in findings for i in group), default=0)
    return int(np.clip(MEMORY // (3 * 8 * n_units + threads * own + 1), 1, 512))
