"""What is known of the past of a collection's patients, read before any filter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from hilum.errors import UsageError
from hilum.features.table import Features, Numbers, columns_to_features
from hilum.features.visits import Floats, Rows, Visits, group_visits
from hilum.findings import Policy, apply_policy

if TYPE_CHECKING:
    from hilum.collection import Collection


@dataclass(frozen=True, eq=False)
class Past:
    """The visits of all patients, and where the images of a view stand among them.

    Parameters
    ----------
    ids
        The images of the view, in its order.
    visit : (n_ids,)
        The visit of each.
    visits
        Of every patient of the collection, from all its images.
    findings
        The columns of `visits.labels`.
    """

    ids: tuple[str, ...]
    visit: Rows
    visits: Visits
    findings: tuple[str, ...]

    def to_images(self, columns: dict[str, Floats], name: str) -> Features:
        """Give every image of the view what is known at its visit, each column (n_visits,)."""
        images: dict[str, Numbers] = {
            key: column.astype(np.float32)[self.visit] for key, column in columns.items()
        }
        return columns_to_features(self.ids, images, name)


def read_past(
    collection: "Collection", findings: Sequence[str] | None = None, policy: Policy = "ignore"
) -> Past:
    """Read labels, ages and views of every image of a collection, whatever its view keeps.

    A filter such as ``view = 'PA'`` hides images, and would make the one before the last the
    previous one: the whole collection is read, in the version that the view reads.

    Parameters
    ----------
    findings
        In any spelling; all if None.
    policy
        What an uncertain label of an earlier visit counts as: ``"ignore"`` (unknown),
        ``"positive"`` or ``"negative"``.

    Raises
    ------
    CollectionError
        If there is no such finding.
    UsageError
        If the policy is none of these.
    """
    from hilum.collection import open_collection

    if policy == "keep":
        raise UsageError(
            "choose what an uncertain label of an earlier visit counts as: "
            "ignore (unknown), positive or negative"
        )
    whole = open_collection(collection.uri, collection.version)
    labels = whole.labels(findings=findings)
    table = whole.table(["patient_id", "visit", "age", "view"])
    visits = group_visits(
        table["patient_id"].to_numpy(),
        table["visit"].to_numpy(),
        labels.values,
        table["age"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        _share_of_ap(table["view"]),
    )
    visits = replace(visits, labels=apply_policy(visits.labels, policy).astype(np.float64))
    ids = collection.ids()
    place = dict(zip(labels.ids, visits.of_image, strict=True))
    return Past(
        ids, np.array([place[image] for image in ids], dtype=np.int64), visits, labels.findings
    )


def _share_of_ap(views: pl.Series) -> Floats:
    """Return 1 for AP, 0 for PA and NaN for anything else."""
    known = views.replace_strict({"AP": 1.0, "PA": 0.0}, default=np.nan, return_dtype=pl.Float64)
    return known.to_numpy()
