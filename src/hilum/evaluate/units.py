"""What is resampled as a whole: patients, images, or the values of any column."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError
from hilum.evaluate.draws import Ints
from hilum.evaluate.plan import PATIENT, Plan
from hilum.tables import Table


@dataclass(frozen=True, eq=False)
class Units:
    """What is resampled as a whole.

    Parameters
    ----------
    numbers : (n_images,)
        The unit of each image of the truth, 0 ... count - 1.
    count
        How many units there are.
    name
        What they are: ``"image"``, ``"patient_id"`` or another column.
    strata : (count,)
        The stratum of each unit, or None.
    """

    numbers: Ints
    count: int
    name: str
    strata: Ints | None = None

    @property
    def singular(self) -> str:
        """One of them, in a sentence."""
        return self.name.removesuffix("_id")


def units_of(truth: Table, plan: Plan) -> Units:
    """Give each image of a truth table the number of its unit.

    Raises
    ------
    TableError
        If the column is not there, has holes, or a unit lies in two strata.
    """
    by = None if plan.interval == "chexzero" else plan.by
    if by is None or (by == PATIENT and by not in truth.extra):
        numbers, name = np.arange(len(truth)), "image"
    else:
        cells = _column(truth, by, "resample by")
        numbers, name = np.unique(cells, return_inverse=True)[1].astype(np.int64), by
    count = int(numbers.max(initial=-1)) + 1
    return Units(numbers, count, name, _strata(truth, plan.stratify, numbers, count))


def _column(truth: Table, name: str, purpose: str) -> NDArray[np.str_]:
    if name not in truth.extra:
        known = ", ".join(truth.extra) or "none"
        raise TableError(f"cannot {purpose} {name!r}: the truth's extra columns are: {known}")
    cells = truth.extra[name]
    if empty := sum(not cell for cell in cells):
        raise TableError(f"cannot {purpose} {name!r}: it is empty for {empty} of the "
                         f"truth's {len(truth)} rows")  # fmt: skip
    return np.array(cells)


def _strata(truth: Table, column: str | None, numbers: Ints, count: int) -> Ints | None:
    if column is None:
        return None
    if column in truth.findings and column not in truth.extra:
        # a unit with the finding in any image is one stratum, the rest the other
        has = np.bincount(numbers, weights=truth.column(column) == 1, minlength=count) > 0
        return has.astype(np.int64)
    names, cells = np.unique(_column(truth, column, "stratify by"), return_inverse=True)
    strata = np.zeros(count, dtype=np.int64)
    strata[numbers] = cells
    if mixed := int((strata[numbers] != cells).sum()):
        raise TableError(
            f"cannot stratify by {column!r}: {mixed} images lie in another of its {len(names)} "
            "strata than other images of the same unit"
        )
    return np.unique(strata, return_inverse=True)[1].astype(np.int64)
