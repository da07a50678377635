"""From scores to AUROC and its resamples: the same patients are drawn for every line."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hilum.evaluate import Intervals, Measure, replicate_repeats
from hilum.evaluate.intervals import p_value, percentile
from hilum.frontier.kept import Kept
from hilum.frontier.material import Floats, Truth, with_values

UNTAUGHT: Final = 0.0
"""The score of every image for a finding that the labels could not teach: an AUROC of one half."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """AUROC of one experiment, and of every resample of the test patients.

    Parameters
    ----------
    estimates : (repeats, n_findings)
        NaN where undefined.
    replicates : (resamples, n_findings)
        Averaged over the repeats.
    untaught
        Share of the repeats' findings that could not be taught.
    """

    estimates: Floats
    replicates: Floats
    untaught: float

    @property
    def mean(self) -> float:
        """Over repeats and findings."""
        return float(self.estimates.mean())

    @property
    def mean_replicates(self) -> Floats:
        """Over the findings, (resamples,); NaN where a finding is undefined in a resample."""
        drawn: Floats = self.replicates.mean(axis=1)
        return drawn

    @property
    def spread(self) -> float | None:
        """Standard deviation between repeats; None for one."""
        means = self.estimates.mean(axis=1)
        return float(means.std(ddof=1)) if len(means) > 1 else None

    def measure(self, level: float) -> Measure:
        """Return the mean over findings with its interval over patients."""
        return percentile(self.mean, self.mean_replicates, level)

    def of_finding(self, column: int, level: float) -> Measure:
        """Return one finding's mean over repeats."""
        value = float(self.estimates[:, column].mean())
        return percentile(value, self.replicates[:, column], level)


def measure(scores: Sequence[Path], truth: Truth, how: Intervals, folder: Path) -> Drawn:
    """Measure the repeats of one experiment.

    Parameters
    ----------
    scores
        A file (n_test, n_findings) for each repeat, in the truth's order.
    truth
        Test images.
    how
        Resamples.
    folder
        Where what was measured is kept.
    """
    kept = Kept(folder)
    key = [[path.name for path in scores], digest_of(truth), how.bootstrap, how.seed]
    found = kept.path("estimates", *key), kept.path("replicates", *key)
    arrays = [Kept.load(path) for path in scores]
    untaught = float(np.mean([np.isnan(array).all(axis=0) for array in arrays]))
    if not all(path.exists() for path in found):
        tables = [with_values(truth, _filled(array)) for array in arrays]
        made = replicate_repeats(tables, truth.table, bootstrap=how.bootstrap, seed=how.seed)
        for path, array in zip(found, made, strict=True):
            kept.save(path, array)
    estimates, replicates = map(Kept.load, found)
    return Drawn(estimates, replicates, untaught)


def _filled(scores: Floats) -> Floats:
    """Give findings without a score the same score everywhere; a single gap stays a gap."""
    empty = np.isnan(scores).all(axis=0)
    return np.where(empty, UNTAUGHT, scores)


def digest_of(truth: Truth) -> str:
    """Return the sha256 (hex) of the test images' ids, patients, findings and labels."""
    total = hashlib.sha256()
    table = truth.table
    for texts in (table.ids, table.findings, table.extra["patient_id"]):
        total.update("\n".join(["", *map(str, texts)]).encode())
    total.update(np.ascontiguousarray(table.values).tobytes())
    return total.hexdigest()


def apart(first: Floats, second: Floats, estimate: float, level: float) -> Measure:
    """Return a difference whose replicates (resamples,) are paired, with its p-value.

    Parameters
    ----------
    first, second
        Replicates of the two sides.
    estimate
        The difference on all the images.
    level
        Coverage of the interval.
    """
    gaps = first - second
    found = percentile(estimate, gaps, level)
    return Measure(found.estimate, found.low, found.high, found.undefined, found.reason,
                   p_value(gaps))  # fmt: skip
