"""Readers to try things on; their numbers by counting images, by leaving patients out in turn."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hilum.tables import Table

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

FINDINGS = ("Edema", "Mass", "Pneumonia")
LIMIT = 0.5


def table(values: Floats, findings: tuple[str, ...] = FINDINGS, per_patient: int = 2) -> Table:
    """Give images ids, and patients with several of them."""
    ids = tuple(f"i{at:03d}" for at in range(len(values)))
    patients = tuple(f"p{at // per_patient:03d}" for at in range(len(values)))
    return Table(ids, findings, values, {"patient_id": patients})


def case(
    n: int = 80, readers: int = 3, seed: int = 0, unread: float = 0.1
) -> tuple[Table, Table, dict[str, Table]]:
    """Return scores, truth and readers who are right in most cases; some cells are unknown."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 3)) < 0.4).astype(float)
    scores = np.clip(0.3 + 0.3 * truth + 0.25 * rng.normal(size=(n, 3)), 0, 1)
    panel = {}
    for name in "abcdef"[:readers]:
        said = np.where(rng.random((n, 3)) < 0.75, truth, 1 - truth)
        said[rng.random((n, 3)) < unread] = np.nan
        panel[name] = table(said)
    truth[rng.random((n, 3)) < unread / 2] = np.nan
    return table(scores), table(truth), panel


def counts(called: Floats, truth: Floats) -> tuple[int, int, int, int]:
    """Return TP, FP, FN, TN of the images where both are known."""
    tp = fp = fn = tn = 0
    for said, label in zip(called.tolist(), truth.tolist(), strict=True):
        if math.isnan(said) or math.isnan(label):
            continue
        tp += said == 1 and label == 1
        fp += said == 1 and label == 0
        fn += said == 0 and label == 1
        tn += said == 0 and label == 0
    return tp, fp, fn, tn


def readings(called: Floats, truth: Floats) -> dict[str, float]:
    """Return every statistic of yes-or-no readings, NaN where undefined."""
    tp, fp, fn, tn = counts(called, truth)
    margins = (tp + fp) * (fn + tn) * (tp + fn) * (fp + tn)
    return {
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "mcc": _share(tp * tn - fp * fn, math.sqrt(margins)),
        "sensitivity": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "ppv": _share(tp, tp + fp),
        "npv": _share(tn, tn + fn),
    }


def _share(top: float, bottom: float) -> float:
    return top / bottom if bottom else math.nan


def gap(statistic: str, model: Floats, readers: Floats, truth: Floats) -> float:
    """Average over readers (n_readers, n_images) the model minus the reader, on their images."""
    gaps = []
    for reader in readers:
        read = ~np.isnan(reader)
        own = readings(model[read], truth[read])[statistic]
        gaps.append(own - readings(reader, truth)[statistic])
    return sum(gaps) / len(gaps)


def jackknife(measure: Callable[[Booleans], Floats], units: Sequence[int]) -> tuple[Floats, Floats]:
    """Leave out one unit after the other; return the numbers (k,) and their covariance (k, k)."""
    unit = np.asarray(units)
    everyone = np.unique(unit)
    left_out = np.array([measure(unit != one) for one in everyone])
    deviations = left_out - left_out.mean(axis=0)
    n = len(everyone)
    return measure(np.ones(unit.size, dtype=bool)), (n - 1) / n * deviations.T @ deviations


def chexzero_by_loop(
    statistic: Callable[[Floats, Floats], float], called: Floats, truth: Floats, resamples: int
) -> Floats:
    """Draw rows as CheXzero's code does, one seed per resample."""
    n, out = len(truth), []
    for seed in range(resamples):
        rows = np.random.RandomState(seed).randint(0, n, n)
        out.append(statistic(called[rows], truth[rows]))
    return np.array(out)
