"""From a collection to images with vectors and labels, and whom a selector has seen of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from hilum.collection.splits import SPLITS
from hilum.errors import LeakError, UsageError
from hilum.findings import Policy
from hilum.select.beside import People
from hilum.select.pool import Floats, Vectors, refuse_unusable
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import TaskSource

if TYPE_CHECKING:
    from hilum.collection import Collection

TRAINED_ON = ("train", "validation")
"""Keys of a selector's provenance that hold, as SQL, which images taught it."""


@dataclass(frozen=True, eq=False)
class LabelledVectors:
    """Images with vectors and labels, and whose they are.

    Parameters
    ----------
    ids
        Of the images.
    vectors : (n_images, dim) float32
        Finite, none of them zero.
    findings
        Names of the columns of `labels`; in MedSelect's files No Finding is the last.
    labels : (n_images, n_findings)
        1, 0 or NaN (unknown).
    patients
        Whose each image is.
    people
        Age, sex and view of each image.
    places
        Where each image comes from; tasks are cut from one place at a time.
    """

    ids: tuple[str, ...]
    vectors: Vectors
    findings: tuple[str, ...]
    labels: Floats
    patients: tuple[str, ...]
    people: People
    places: tuple[str, ...] = ()

    def tasks(self, plan: TaskPlan | None = None, seed: int = 0) -> TaskSource:
        """Prepare tasks; errors as in `TaskSource.of`."""
        people, places = np.array(self.patients), np.array(self.places) if self.places else None
        return TaskSource.of(self.vectors, self.labels, people, self.findings, plan, seed, places)


def condition(where: str) -> str:
    """Return SQL for some images: the name of a split, or SQL itself.

    >>> condition("test")
    "split = 'test'"
    """
    return f"split = '{where}'" if where in SPLITS else where


def labelled_vectors(
    collection: "Collection", embedding: str, where: str, policy: Policy = "ignore"
) -> LabelledVectors:
    """Read a part of a collection for a selector's training or test.

    Parameters
    ----------
    where
        The name of a split, or SQL.
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.

    Raises
    ------
    CollectionError
        If there is no such embedding, images have no vector, or `where` cannot be evaluated.
    UsageError
        If no image fulfils `where`, a vector is zero or not finite, or the policy decides nothing.
    """
    if policy == "keep":
        raise UsageError("choose what an uncertain label counts as: ignore, positive or negative")
    view = collection.where(condition(where))
    if not len(view):
        raise UsageError(f"no image of {collection.uri} fulfils {condition(where)!r}")
    ids, vectors = view.vectors(embedding)
    refuse_unusable(vectors, ids)
    table = view.labels(policy=policy)
    about = view.table(["age", "sex", "view", "source"])
    return LabelledVectors(
        ids=ids,
        vectors=vectors,
        findings=table.findings,
        labels=table.values,
        patients=tuple(map(str, table.extra["patient_id"])),
        people=people_of(about),
        places=tuple(about["source"]),
    )


def people_of(about: pl.DataFrame) -> People:
    """Read columns age, sex (F, M) and view (PA, AP, LATERAL) of a collection."""

    def column(values: pl.Expr) -> Floats:
        return about.select(values.cast(pl.Float64).fill_null(np.nan)).to_series().to_numpy()

    def coded(name: str, codes: Mapping[str, int]) -> Floats:
        return column(pl.col(name).replace_strict(codes, default=None, return_dtype=pl.Float64))

    return People(
        age=column(pl.col("age")),
        female=coded("sex", {"F": 1, "M": 0}),
        frontal=coded("view", {"PA": 1, "AP": 1, "LATERAL": 0}),
        ap=coded("view", {"PA": 0, "AP": 1}),
    )


def refuse_seen_patients(
    collection: "Collection", where: str, provenance: Mapping[str, Any]
) -> None:
    """Make sure that a selector is tested on patients who did not teach it.

    A split is a property of the patient, so the splits that a selector was trained on name its
    patients, here and in a copy of the collection.

    Parameters
    ----------
    where
        Which images it is tested on.
    provenance
        Of the selector.

    Raises
    ------
    LeakError
        If a patient is on both sides, or the selector does not say which images taught it.
    CollectionError
        If a condition cannot be evaluated here.
    """
    taught = [str(provenance[key]) for key in TRAINED_ON if provenance.get(key)]
    if len(taught) < len(TRAINED_ON):
        raise LeakError(
            "this selector does not say which images of a collection taught it, so they cannot be "
            "kept out of its test; if it has seen none of these patients, test it as external "
            "(hilum selector test --external)"
        )
    tested = set(collection.where(condition(where)).table(["patient_id"])["patient_id"])
    for part in taught:
        seen = set(collection.where(condition(part)).table(["patient_id"])["patient_id"])
        if shared := sorted(tested & seen):
            raise LeakError(
                f"{len(shared)} of {len(tested)} patients ({', '.join(shared[:3])}) fulfil "
                f"{condition(part)!r}, which the selector was trained on: test it on others, such "
                "as the split test, or, if it has never seen this collection, as external "
                "(hilum selector test --external)"
            )
