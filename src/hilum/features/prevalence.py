"""How rare findings are, and what that makes their labels weigh in a loss."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hilum.tables import label_values

if TYPE_CHECKING:
    from hilum.findings import Policy
    from hilum.tables import Table

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassWeights:
    """What a known label of each finding weighs.

    Parameters
    ----------
    findings
        Names, one per entry of the arrays.
    known, positives : (n_findings,)
        How many labels are 1 or 0, and how many of them 1.
    """

    findings: tuple[str, ...]
    known: NDArray[np.int64]
    positives: NDArray[np.int64]

    @property
    def frequency(self) -> Floats:
        """Share of positives among known labels, (n_findings,); NaN without any."""
        return _share(self.positives, self.known)

    @property
    def positive(self) -> Floats:
        """Weight of a positive label, 1 - f, as in the NIH study: (n_findings,)."""
        return 1 - self.frequency

    @property
    def negative(self) -> Floats:
        """Weight of a negative label, f, (n_findings,). Both classes then weigh f (1 - f)."""
        return self.frequency

    @property
    def ratio(self) -> Floats:
        """Negatives per positive, torch's ``pos_weight``, (n_findings,); NaN without a positive."""
        return _share(self.known - self.positives, self.positives)


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return share


def class_weights(labels: "Table", policy: "Policy" = "ignore") -> ClassWeights:
    """Count the labels of a table, of training patients.

    Parameters
    ----------
    labels
        1, 0, -1 (uncertain) and NaN (unknown, counted nowhere).
    policy
        What an uncertain label counts as.

    Raises
    ------
    TableError
        If the table holds anything else.
    """
    values = label_values(labels, policy)
    return ClassWeights(
        labels.findings,
        np.isin(values, (0, 1)).sum(axis=0).astype(np.int64),
        (values == 1).sum(axis=0).astype(np.int64),
    )
