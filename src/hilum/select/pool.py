"""What a selection strategy may look at, and the form of what it gives back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

_MEGABYTE: Final = 2**20
_SHORTEST, _LONGEST = 1e-30, 1e30  # a vector beyond these is broken, and float32 fails it


@dataclass(frozen=True, eq=False)
class Pool:
    """Images to choose from, and those among them that have labels already.

    Parameters
    ----------
    vectors : (n, dim)
        Float32 embeddings of any scale; finite, none of them zero.
    ids : (n,)
        What the images are called.
    patients : (n,)
        A number for each patient, or None where patients are not known.
    labelled : (m,)
        Rows that have labels; no strategy picks them again.
    labels : (m, n_findings)
        1, 0 or NaN (unknown), a row per labelled image; empty where no strategy is to learn.
    findings : (n_findings,)
        What the columns of labels are called; numbered if not given.
    age, sex, frontal, ap : (n,)
        Years; 1 female and 0 male; 1 frontal and 0 lateral; of frontal films 1 AP and 0 PA; NaN
        unknown. For strategies that use them.

    Raises
    ------
    UsageError
        If shapes do not fit, a vector is zero or not finite, a labelled row is there twice or is
        not of the pool, or a label is not 1, 0 or NaN.
    """

    vectors: Vectors
    ids: tuple[str, ...]
    patients: Rows | None = None
    labelled: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    labels: Floats = field(default_factory=lambda: np.empty((0, 0)))
    findings: tuple[str, ...] = ()
    age: Vectors | None = None
    sex: Vectors | None = None
    frontal: Vectors | None = None
    ap: Vectors | None = None

    def __post_init__(self) -> None:
        vectors = np.asarray(self.vectors, dtype=np.float32)
        labelled = np.asarray(self.labelled, dtype=np.int64)
        labels = np.asarray(self.labels, dtype=np.float64)
        if not labels.size and len(labels) != len(labelled):
            labels = np.empty((len(labelled), 0))
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "labelled", labelled)
        object.__setattr__(self, "labels", labels)
        self._check_shapes()
        self._check_labels()
        if not self.findings:
            names = tuple(f"finding {at + 1}" for at in range(self.labels.shape[1]))
            object.__setattr__(self, "findings", names)
        refuse_unusable(vectors, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def _check_shapes(self) -> None:
        if self.vectors.ndim != 2 or not len(self.ids) or len(self.vectors) != len(self.ids):
            raise UsageError(
                "a pool needs a vector (n, dim) for each of one or more images; "
                f"got vectors of shape {self.vectors.shape} for {len(self.ids)} ids"
            )
        for name in ("patients", "age", "sex", "frontal", "ap"):
            column = getattr(self, name)
            if column is not None and np.shape(column) != (len(self.ids),):
                raise UsageError(
                    f"{name} must hold one number for each of {len(self.ids)} images; "
                    f"got shape {np.shape(column)}"
                )

    def _check_labels(self) -> None:
        n, rows = len(self.ids), self.labelled
        if rows.size and (rows.min() < 0 or rows.max() >= n):
            raise UsageError(f"labelled rows must be from 0 to {n - 1}; "
                             f"got {rows.min()} to {rows.max()}")  # fmt: skip
        if np.unique(rows).size != rows.size:
            raise UsageError("a labelled row is there twice; give each image one row of labels")
        if self.labels.ndim != 2 or len(self.labels) != rows.size:
            raise UsageError(
                f"labels must be (n_labelled, n_findings) with {rows.size} rows; "
                f"got shape {self.labels.shape}"
            )
        named, columns = len(self.findings), self.labels.shape[1]
        if named and named != columns:
            raise UsageError(f"{named} findings are named for {columns} columns of labels")
        if not np.isin(self.labels[~np.isnan(self.labels)], (0, 1)).all():
            raise UsageError("labels must be 1, 0 or NaN: choose a policy for uncertain ones")


@dataclass(frozen=True)
class Settings:
    """What a user may ask of every strategy.

    Parameters
    ----------
    per_patient
        At most so many images of one patient, those that are labelled already included; None for
        any number.
    """

    per_patient: int | None = None


@dataclass(frozen=True, eq=False)
class Picks:
    """What a strategy chose.

    Parameters
    ----------
    rows : (k,)
        Distinct rows of the pool, best first.
    scores : (k,)
        What the strategy went by; of a meaning of its own, and NaN where it went by nothing.
    why : (k,)
        The reason for each pick, in a short sentence.
    note
        What whoever uses the picks should know; "" for nothing.
    """

    rows: Rows
    scores: Floats
    why: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Strategy:
    """A way to choose images.

    Parameters
    ----------
    pick
        Pool, budget, settings and a generator of random numbers to exactly `budget` picks. The
        same generator state gives the same picks. Raises `UsageError` if the budget cannot be
        met or labels are missing.
    about
        What it does, in a sentence or two, with its limits.
    source
        The paper that it is from.
    needs_labels
        Whether it learns from labels, and so cannot choose the first round.
    """

    pick: Callable[[Pool, int, Settings, np.random.Generator], Picks]
    about: str
    source: str
    needs_labels: bool


def blocks(n_rows: int, row_bytes: int, megabytes: int = 4) -> Iterator[slice]:
    """Return slices that cover `n_rows`; the default is about what a processor's cache holds."""
    step = max(1, megabytes * _MEGABYTE // max(1, row_bytes))
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))


def counted(number: int, noun: str) -> str:
    """Return such as "1 image" or "2 images"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def lengths(vectors: Vectors) -> Floats:
    """Return the Euclidean length (n,) of each vector (n, dim), in double precision."""
    out = np.empty(len(vectors))
    for part in blocks(len(vectors), 8 * vectors.shape[1]):
        block = vectors[part].astype(np.float64)
        out[part] = np.sqrt(np.einsum("ij,ij->i", block, block))
    return out


def refuse_unusable(vectors: Vectors, names: Sequence[str] | None = None) -> None:
    """Make sure that every vector has a direction.

    Parameters
    ----------
    vectors : (n_images, dim)
        Any scale that float32 can square.
    names : (n_images,)
        What to call a row in the message; its number if None.

    Raises
    ------
    UsageError
        If a vector is zero, or not finite: with how many there are and the first.
    """
    length = lengths(vectors)
    for what, bad in (("not finite", ~(length < _LONGEST)), ("zero", length < _SHORTEST)):
        if bad.any():
            row = int(bad.argmax())
            first = f"row {row}" if names is None else repr(names[row])
            raise UsageError(
                f"{int(bad.sum())} of {len(vectors)} vectors are {what}, the first is that of "
                f"{first}; embed those images again, or leave them out"
            )
