"""What a model without pixels learns from, and how well it does on patients it did not see."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilum.features.table import Numbers

Floats = NDArray[np.float64]
Choice = dict[str, Any]
"""How one finding is fitted: JSON."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with numbers and labels.

    Parameters
    ----------
    names
        Of the columns of `values`.
    values : (n_images, n_columns)
        NaN is unknown.
    labels : (n_images, n_findings)
        1, 0 or NaN (unknown: the image takes no part for that finding).
    """

    names: tuple[str, ...]
    values: Numbers
    labels: Floats

    def of(self, finding: int) -> tuple[Numbers, Floats]:
        """Return values and labels of the images whose label of a finding is known."""
        known = ~np.isnan(self.labels[:, finding])
        return self.values[known], self.labels[known, finding]

    def gaps(self) -> dict[int, str]:
        """Return the findings that cannot be learnt, and why: a class has no image."""
        counts = [[(column == value).any() for value in (1, 0)] for column in self.labels.T]
        words = {(False, True): "positive", (True, False): "negative", (False, False): "labelled"}
        return {
            at: f"no training image is {words[bool(positive), bool(negative)]}"
            for at, (positive, negative) in enumerate(counts)
            if not (positive and negative)
        }

    def informative(self) -> NDArray[np.int64]:
        """Return the columns that are neither constant nor a copy of one before them."""
        seen: set[bytes] = set()
        kept = []
        for at in range(self.values.shape[1]):
            column = np.ascontiguousarray(self.values[:, at])
            content = column.tobytes()
            varies = len(column) > 0 and not (
                (column == column[0]).all() or np.isnan(column).all()
            )  # fmt: skip
            if varies and content not in seen:
                kept.append(at)
                seen.add(content)
        return np.array(kept, dtype=np.int64)


def together(first: Examples, second: Examples) -> Examples:
    """Return the examples of both, first those of the first."""
    return Examples(
        first.names,
        np.concatenate([first.values, second.values]),
        np.concatenate([first.labels, second.labels]),
    )


def log_loss(log_odds: Floats, labels: Floats) -> Floats:
    """Return the mean negative log-likelihood of known labels, (...), over the last axis.

    Parameters
    ----------
    log_odds : (..., n_images)
    labels : (n_images,)
        1 or 0.
    """
    loss: Floats = (np.logaddexp(0, log_odds) - labels * log_odds).mean(axis=-1)
    return loss
