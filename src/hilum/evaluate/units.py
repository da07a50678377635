"""What is resampled as a whole: patients, images, or the values of any column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hilum.errors import TableError
from hilum.evaluate.draws import Ints
from hilum.evaluate.plan import PATIENT, Plan
from hilum.findings import apply_policy, canonical
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

    Units are numbered in the order of their names, so that the same table in another order has
    the same resamples; CheXzero's are numbered by the rows, as in its code.

    Raises
    ------
    TableError
        If a column is not there or has holes, or a unit lies in two strata.
    """
    by = plan.by
    if plan.interval == "chexzero":
        numbers, name = np.arange(len(truth)), "image"
    elif by is None or (by == PATIENT and by not in truth.extra):
        numbers, name = _numbered(truth.ids), "image"
    else:
        numbers, name = _numbered(_column(truth, by, "resample by")), by
    count = int(numbers.max(initial=-1)) + 1
    return Units(numbers, count, name, _strata(truth, plan, numbers, count))


def _numbered(names: Sequence[str]) -> Ints:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _column(truth: Table, name: str, purpose: str) -> list[str]:
    if name not in truth.extra:
        known = ", ".join(truth.extra) or "none"
        raise TableError(f"cannot {purpose} {name!r}: the truth's extra columns are: {known}")
    cells = truth.extra[name]
    if empty := sum(not cell for cell in cells):
        raise TableError(f"cannot {purpose} {name!r}: it is empty for {empty} of the "
                         f"truth's {len(truth)} rows")  # fmt: skip
    return [cell for cell in cells if cell]


def _strata(truth: Table, plan: Plan, numbers: Ints, count: int) -> Ints | None:
    column = plan.stratify
    if column is None:
        return None
    if column not in truth.extra:
        finding = canonical(column) or column
        if finding not in truth.findings:
            raise TableError(
                f"cannot stratify by {column!r}: it is neither an extra column nor a finding of "
                f"the truth; its findings are: {', '.join(truth.findings)}"
            )
        # a unit with the finding in any image is one stratum, the rest the other
        has = apply_policy(truth.column(finding), plan.policy) == 1
        return (np.bincount(numbers, weights=has, minlength=count) > 0).astype(np.int64)
    cells = _numbered(_column(truth, column, "stratify by"))
    strata = np.zeros(count, dtype=np.int64)
    strata[numbers] = cells
    if mixed := np.unique(numbers[strata[numbers] != cells]).size:
        raise TableError(
            f"cannot stratify by {column!r}: images of {mixed} of the {count} units lie in more "
            f"than one of its {cells.max() + 1} strata; every unit may lie in one"
        )
    return strata
