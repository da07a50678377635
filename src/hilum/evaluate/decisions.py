"""What yes-or-no readings are worth: F1, MCC, sensitivity, specificity, predictive values.

A decision is a score at or above a threshold, or a radiologist's reading. Each statistic is a
function of four counts, and the counts of a resample are the patients' own counts, weighted: one
matrix product for all resamples.

Undefined is NaN: sensitivity without positives, PPV where nothing was called positive, F1 where
nothing is and nothing was called positive, MCC where a row or a column of the table is empty.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.evaluate.ranking import Floats, number_units


@dataclass(frozen=True, eq=False)
class Confusion:
    """True and false positives and negatives, weighted; any shape, one shape for all four."""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats


def _share(numerator: Floats, denominator: Floats) -> Floats:
    out: Floats = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def sensitivity(c: Confusion) -> Floats:
    """Return TP / (TP + FN), or recall."""
    return _share(c.tp, c.tp + c.fn)


def specificity(c: Confusion) -> Floats:
    """Return TN / (TN + FP)."""
    return _share(c.tn, c.tn + c.fp)


def ppv(c: Confusion) -> Floats:
    """Return TP / (TP + FP), or precision."""
    return _share(c.tp, c.tp + c.fp)


def npv(c: Confusion) -> Floats:
    """Return TN / (TN + FN)."""
    return _share(c.tn, c.tn + c.fn)


def f1(c: Confusion) -> Floats:
    """Return the harmonic mean of sensitivity and PPV, 2TP / (2TP + FP + FN)."""
    return _share(2 * c.tp, 2 * c.tp + c.fp + c.fn)


def mcc(c: Confusion) -> Floats:
    """Return the correlation between readings and truth (Matthews, BBA 405:442-451, 1975)."""
    called, labelled = (c.tp + c.fp) * (c.fn + c.tn), (c.tp + c.fn) * (c.fp + c.tn)
    # roots before products, which may leave the range of floats; all right is exactly 1
    scale = np.where(called == labelled, called, np.sqrt(called) * np.sqrt(labelled))
    return _share(c.tp * c.tn - c.fp * c.fn, scale)


STATISTICS: Final[Mapping[str, Callable[[Confusion], Floats]]] = {
    "f1": f1,
    "mcc": mcc,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "ppv": ppv,
    "npv": npv,
}

WHY_UNDEFINED: Final[Mapping[str, str]] = {
    "f1": "no image is positive or was called positive",
    "mcc": "all images have one label or one reading",
    "sensitivity": "no image is positive",
    "specificity": "no image is negative",
    "ppv": "no image was called positive",
    "npv": "no image was called negative",
}


@dataclass(frozen=True, eq=False)
class Decisions:
    """One finding's readings, counted per unit.

    Parameters
    ----------
    counts : (n_units, 4)
        TP, FP, FN, TN of each unit.
    """

    counts: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """The statistics' names."""
        return tuple(STATISTICS)

    @property
    def n_units(self) -> int:
        """How many units there are to weight."""
        return len(self.counts)

    @property
    def bytes_per_weighting(self) -> int:
        """What one weighting takes while it is measured."""
        return 8 * 16

    @property
    def confusion(self) -> Confusion:
        """The four counts of all images, each ()."""
        return Confusion(*self.counts.sum(axis=0))

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Compute every statistic for each column of `weights` (n_units, n_weightings)."""
        confusion = Confusion(*(self.counts.T @ weights))
        return {name: statistic(confusion) for name, statistic in STATISTICS.items()}

    def influence(self) -> dict[str, Floats]:
        """Return each statistic's derivative by each unit's weight (n_units,) at weights of 1."""
        slopes = _slopes(self.confusion)
        return {name: self.counts @ slope for name, slope in slopes.items()}


def decide(
    decisions: ArrayLike,
    truth: ArrayLike,
    units: ArrayLike | None = None,
    n_units: int | None = None,
) -> Decisions:
    """Count one finding's readings.

    Parameters
    ----------
    decisions, truth : (n_images,)
        1, 0, or NaN; images take part where both are known.
    units : (n_images,)
        The unit that each image belongs to, 0 ... n_units - 1; by default its own.
    n_units
        How many units there are; by default the largest number plus one.

    Raises
    ------
    ValueError
        If the arrays differ in length or hold anything else, or a unit is not one of the
        `n_units`.
    """
    called, label = np.asarray(decisions, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    unit, n_units = number_units(units, called.size, n_units)
    if called.ndim != 1 or not called.shape == label.shape == unit.shape:
        raise ValueError(
            "decisions, truth and units must be one-dimensional and of one length; "
            f"got shapes {called.shape}, {label.shape} and {unit.shape}"
        )
    known = ~np.isnan(called) & ~np.isnan(label)
    if not np.isin(np.concatenate([called[known], label[known]]), (0, 1)).all():
        raise ValueError("decisions and truth must be 1, 0 or NaN")
    cell = _cells(called[known], label[known])
    counts = np.bincount(unit[known] * 4 + cell, minlength=4 * n_units)
    return Decisions(counts.reshape(n_units, 4).astype(np.float64))


def _cells(called: Floats, label: Floats) -> NDArray[np.int64]:
    """Return the place of each image in `Confusion`: TP 0, FP 1, FN 2, TN 3."""
    return (2 * (1 - called) + (1 - label)).astype(np.int64)


def _slopes(c: Confusion) -> dict[str, Floats]:
    """Return each statistic's derivatives by TP, FP, FN and TN (4,); NaN where undefined."""
    out = {}
    for name, top, bottom in (
        ("sensitivity", (1, 0, 0, 0), (1, 0, 1, 0)),
        ("specificity", (0, 0, 0, 1), (0, 1, 0, 1)),
        ("ppv", (1, 0, 0, 0), (1, 1, 0, 0)),
        ("npv", (0, 0, 0, 1), (0, 0, 1, 1)),
        ("f1", (2, 0, 0, 0), (2, 1, 1, 0)),
    ):
        value = STATISTICS[name](c)
        total = np.dot(bottom, [c.tp, c.fp, c.fn, c.tn])
        out[name] = _share(np.array(top) - value * np.array(bottom), np.full(4, total))
    out["mcc"] = _mcc_slopes(c)
    return out


def _mcc_slopes(c: Confusion) -> Floats:
    value = mcc(c)
    if np.isnan(value):
        return np.full(4, np.nan)
    called, passed, positive, negative = c.tp + c.fp, c.fn + c.tn, c.tp + c.fn, c.fp + c.tn
    scale = np.sqrt(called) * np.sqrt(passed) * np.sqrt(positive) * np.sqrt(negative)
    cross = np.array([c.tn, -c.fn, -c.fp, c.tp]) / scale
    # each cell is in one row and one column of the table: the derivative of log(scale)
    shrink = np.array(
        [
            1 / called + 1 / positive,
            1 / called + 1 / negative,
            1 / passed + 1 / positive,
            1 / passed + 1 / negative,
        ]
    )
    slopes: Floats = cross - value * shrink / 2
    return slopes
