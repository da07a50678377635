"""What every few-label line is computed from: the pool, its labels, and the test images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import CollectionError, UsageError
from hilum.findings import Policy, canonical
from hilum.select.labelled import LabelledVectors, labelled_vectors
from hilum.select.pool import Pool, Vectors
from hilum.tables import Table

if TYPE_CHECKING:
    from hilum.collection import Collection

HEALTHY: Final = "No Finding"
TRAIN, TEST = "train", "test"

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Truth:
    """Whom everything is measured on.

    Parameters
    ----------
    table
        Labels of the test images after the policy, with their patients.
    left_out
        Findings that are not measured, and why.
    """

    table: Table
    left_out: dict[str, str]


@dataclass(frozen=True, eq=False)
class Material:
    """One embedding of the training and of the test images.

    Parameters
    ----------
    name
        Of the embedding.
    pool
        The training images.
    labels : (n_train, n_findings)
        1, 0 or NaN, of the measured findings.
    test : (n_test, dim)
        Vectors of the test images, in the order of the truth.
    encoder
        Fingerprint of what made the vectors.
    digest
        Of everything above: what is cached by it can be used again.
    """

    name: str
    pool: LabelledVectors
    labels: Floats
    test: Vectors
    encoder: str
    digest: str

    def candidates(self, labelled: Rows) -> Pool:
        """Return the pool as a strategy sees it, with the labels that were spent so far."""
        patients = np.unique(np.array(self.pool.patients), return_inverse=True)[1]
        people = self.pool.people
        return Pool(
            self.pool.vectors,
            self.pool.ids,
            patients.astype(np.int64),
            labelled,
            self.labels[labelled],
            age=people.age.astype(np.float32),
            sex=people.female.astype(np.float32),
            frontal=people.frontal.astype(np.float32),
            ap=people.ap.astype(np.float32),
        )


def truth_of(
    collection: "Collection", findings: Sequence[str] | None, policy: Policy, fewest: int
) -> Truth:
    """Read the labels of the test images, and choose what can be measured.

    Raises
    ------
    UsageError
        If there are no test or training images, a patient is on both sides, a finding is unknown
        to the collection, or none has enough images.
    """
    for split in (TRAIN, TEST):
        if not len(collection.where(f"split = '{split}'")):
            raise UsageError(
                f"{collection.uri}: no image has split = '{split}'; a frontier learns from "
                "training patients and is measured on test patients"
            )
    people = [set(_patients(collection, split)) for split in (TRAIN, TEST)]
    if shared := sorted(people[0] & people[1]):
        raise UsageError(f"{len(shared)} patients are in both train and test; ingest them again")
    names = _names(collection, findings)
    taught = collection.where(f"split = '{TRAIN}'").labels(findings=names, policy=policy)
    table = collection.where(f"split = '{TEST}'").labels(findings=names, policy=policy)
    kept, left_out = [], {}
    for column, name in enumerate(table.findings):
        why = _too_few(table.values[:, column], taught.values[:, column], fewest)
        if why:
            left_out[name] = why
        else:
            kept.append(name)
    if not kept:
        raise UsageError(f"nothing can be measured: {_listed(left_out)}")
    return Truth(table.select(kept), left_out)


def _names(collection: "Collection", findings: Sequence[str] | None) -> list[str]:
    if findings is None:
        return [name for name in collection.findings if name != HEALTHY]
    wanted = list(dict.fromkeys(canonical(name) or name for name in findings))
    if strange := [name for name in wanted if name not in collection.findings]:
        raise UsageError(
            f"the collection has no finding {strange[0]!r}; it has {', '.join(collection.findings)}"
        )
    return wanted


def _too_few(test: Floats, train: Floats, fewest: int) -> str:
    for value, what in ((1, "with"), (0, "without")):
        if (count := int((test == value).sum())) < fewest:
            return f"{count} test images {what} it, {fewest} are needed"
        if not (train == value).any():
            return f"no training image {what} it"
    return ""


def _listed(left_out: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "there is no finding"


def _patients(collection: "Collection", split: str) -> list[str]:
    return collection.where(f"split = '{split}'").table(["patient_id"])["patient_id"].to_list()


def gather(collection: "Collection", embedding: str, truth: Truth, policy: Policy) -> Material:
    """Read one embedding.

    Raises
    ------
    CollectionError
        If there is no such embedding, or images have no vector.
    UsageError
        If a vector is zero or not finite.
    """
    pool = labelled_vectors(collection, embedding, TRAIN, policy)
    columns = [pool.findings.index(name) for name in truth.table.findings]
    labels = np.ascontiguousarray(pool.labels[:, columns])
    ids, vectors = collection.where(f"split = '{TEST}'").vectors(embedding)
    if tuple(ids) != tuple(truth.table.ids):
        raise CollectionError(
            f"{collection.uri}: the collection changed while it was read; start again"
        )
    info = collection.embeddings[embedding]
    total = hashlib.sha256(embedding.encode())
    for texts in (pool.ids, pool.patients, ids, truth.table.findings, [info.fingerprint]):
        total.update("\n".join(["", *texts]).encode())
    for array in (pool.vectors, labels, vectors, *vars(pool.people).values()):
        total.update(np.ascontiguousarray(array).tobytes())
    return Material(embedding, pool, labels, vectors, info.fingerprint, total.hexdigest())


def with_values(truth: Truth, scores: NDArray[np.floating]) -> Table:
    """Return scores (n_test, n_findings) in the truth's order as a table."""
    return Table(truth.table.ids, truth.table.findings, scores.astype(np.float64))
