"""Who was examined and how: age, sex and view, as a model can take them."""

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from hilum.features.table import Features, Numbers, columns_to_features

if TYPE_CHECKING:
    from hilum.collection import Collection

CENTURY: Final = 100.0  # ages are given as a share of it, so that they are about as large as flags


def demographics(collection: "Collection") -> Features:
    """Describe the patient and the view of every image of a view, in its order.

    Returns
    -------
    ``age`` (years / 100), ``age squared``, ``female`` (1, 0), ``AP`` and ``lateral`` (1, 0; both 0
    for PA), each NaN where unknown, and 1 or 0 for ``age known``, ``sex known``, ``view known``.
    """
    table = collection.table(["image_id", "age", "sex", "view"])
    age = _numbers(table["age"]) / np.float32(CENTURY)
    return columns_to_features(
        tuple(table["image_id"]),
        {
            "age": age,
            "age squared": age**2,
            "age known": ~np.isnan(age),
            "female": _numbers(table["sex"] == "F"),
            "sex known": table["sex"].is_not_null().to_numpy(),
            "AP": _numbers(table["view"] == "AP"),
            "lateral": _numbers(table["view"] == "LATERAL"),
            "view known": table["view"].is_not_null().to_numpy(),
        },
        "demographics",
    )


def _numbers(column: pl.Series) -> Numbers:
    """Return float32 with NaN for null; a comparison with null is null."""
    return column.cast(pl.Float32).fill_null(np.nan).to_numpy()
