"""Numbers about images that are not their pixels: ids × named columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import UsageError

Numbers = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """Some numbers about some images.

    Parameters
    ----------
    ids
        One id per row.
    names
        One name per column, unique.
    values : (n_ids, n_names)
        Float32; NaN is unknown. Every column that can be unknown has a column beside it that
        says whether it is known, so that a model which cannot read NaN may put any number there.
    groups
        The columns that each input made, by its name.

    Raises
    ------
    ValueError
        If the shapes do not fit or a name is there twice.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    values: Numbers
    groups: Mapping[str, slice]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.ids), len(self.names)):
            raise ValueError(
                f"{len(self.ids)} ids × {len(self.names)} names cannot hold values of shape "
                f"{self.values.shape}"
            )
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"a feature is there twice: {', '.join(self.names)}")

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> Numbers:
        """Return one column, (n_ids,).

        Raises
        ------
        UsageError
            If there is none of this name.
        """
        if name not in self.names:
            raise UsageError(f"there is no feature {name!r}; there are {', '.join(self.names)}")
        return self.values[:, self.names.index(name)]

    def group(self, name: str) -> Numbers:
        """Return the columns of one input, (n_ids, n_columns).

        Raises
        ------
        UsageError
            If it is not among the inputs.
        """
        if name not in self.groups:
            raise UsageError(f"there is no input {name!r}; there are {', '.join(self.groups)}")
        return self.values[:, self.groups[name]]

    def take(self, rows: ArrayLike) -> "Features":
        """Return the rows at these positions, or those where a mask is true."""
        positions = np.arange(len(self.ids))[np.asarray(rows)]
        ids = tuple(self.ids[at] for at in positions)
        return Features(ids, self.names, self.values[positions], self.groups)


def beside(parts: Mapping[str, Features]) -> Features:
    """Put several inputs of the same images side by side; their names become the groups.

    Raises
    ------
    ValueError
        If the parts are of different images, or share a column's name.
    """
    features = list(parts.values())
    if any(part.ids != features[0].ids for part in features):
        raise ValueError("the parts are of different images")
    ends = list(accumulate(len(part.names) for part in features))
    starts = [0, *ends[:-1]]
    return Features(
        features[0].ids,
        tuple(name for part in features for name in part.names),
        np.hstack([part.values for part in features]),
        {name: slice(*ends) for name, *ends in zip(parts, starts, ends, strict=True)},
    )


def columns_to_features(
    ids: Sequence[str], columns: Mapping[str, NDArray[np.generic]], name: str
) -> Features:
    """Stack named columns, each (n_ids,), into the features of one input."""
    values = np.empty((len(ids), len(columns)), dtype=np.float32)
    for at, column in enumerate(columns.values()):
        values[:, at] = column
    return Features(tuple(ids), tuple(columns), values, {name: slice(0, len(columns))})
