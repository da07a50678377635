"""Radiologists of a synthetic hospital: what was planted, misread at stated rates."""

from typing import Final

import numpy as np

from hilum.tables import Table

SENSITIVITY: Final = (0.65, 0.9)
SPECIFICITY: Final = (0.88, 0.98)
READERS: Final = 3


def simulated_readers(truth: Table, seed: int) -> dict[str, Table]:
    """Return readings of the test images by three readers who do not exist.

    Each reads each finding with a sensitivity and a specificity of their own, drawn uniformly
    from `SENSITIVITY` and `SPECIFICITY`; their mistakes are independent of each other and of how
    hard an image is, which those of people are not.

    Parameters
    ----------
    truth
        1, 0 or NaN (not read).
    seed
        Of the readers and of their mistakes.
    """
    rng = np.random.default_rng([seed, 77])
    out = {}
    for number in range(1, READERS + 1):
        shape = len(truth.findings)
        finds, clears = rng.uniform(*SENSITIVITY, shape), rng.uniform(*SPECIFICITY, shape)
        right = rng.random(truth.values.shape) < np.where(truth.values == 1, finds, clears)
        values = np.where(right, truth.values, 1 - truth.values)
        out[f"reader {number}"] = Table(truth.ids, truth.findings, values)
    return out
