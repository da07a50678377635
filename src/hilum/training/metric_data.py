"""What likeness is learnt from: images with a positive finding, and who has which."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.training.metric_recipes import BatchSettings
from hilum.training.supervised_data import Asked, Lesson, lesson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hilum.collection import Collection

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shown:
    """Images that show something.

    Parameters
    ----------
    lesson
        The images with labels that they are among.
    places : (images,)
        Where they are in it.
    findings
        The columns of `positive`.
    positive : (images, findings)
        What each shows: one finding at least.
    """

    lesson: Lesson
    places: Rows
    findings: tuple[str, ...]
    positive: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def rows(self) -> Rows:
        """Their rows in the collection."""
        return self.lesson.rows[self.places]

    @property
    def patients(self) -> tuple[str, ...]:
        """Whose they are."""
        return tuple(self.lesson.patients[place] for place in self.places)


@dataclass(frozen=True, eq=False)
class Groups:
    """The images of each finding that a batch can be made of.

    Parameters
    ----------
    members
        By finding, (n,) positions of its images.
    left_out
        Findings with too few images, and how many they have.
    """

    members: dict[str, Rows]
    left_out: dict[str, int]


def shown(
    view: "Collection", findings: "Sequence[str] | None", anomaly: str | None = None
) -> Shown:
    """Find the images of a view that show one of some findings.

    Parameters
    ----------
    findings
        Which count; all of the collection if None.
    anomaly
        A finding that does not, and whose images are left out: only those stay in which it is
        known to be absent.

    Raises
    ------
    UsageError
        If there are no such images.
    CollectionError
        If there is no such finding.
    """
    unknown = view.labels(findings=[anomaly]).findings if anomaly else ()
    names = view.labels(findings=findings).findings
    known = tuple(name for name in names if name not in unknown)
    if not known:
        raise UsageError(
            f"there is no finding beside {', '.join(unknown) or 'none'}, so no image is like "
            "another"
        )
    found = lesson(view, Asked(("image",), (*known, *unknown), "ignore"))
    order = [found.findings.index(name) for name in known]
    positive = found.targets[:, order] == 1
    there = positive.any(axis=1)
    if unknown:
        there &= found.targets[:, found.findings.index(unknown[0])] == 0
    places = np.flatnonzero(there)
    if not len(places):
        without = f" without {unknown[0]}" if unknown else ""
        raise UsageError(
            f"none of {len(found)} images with labels has one of the findings "
            f"{', '.join(known)}{without}, so none is like another"
        )
    return Shown(found, places, known, positive[places])


def grouped(images: Shown, sample: BatchSettings) -> Groups:
    """Find the images of each finding.

    Raises
    ------
    UsageError
        If fewer findings have enough images than a batch asks for, or classes are asked for and
        images have several findings.
    """
    several = int((images.positive.sum(axis=1) > 1).sum())
    if sample.draw == "classes" and several:
        raise UsageError(
            f"{several} of {len(images)} images have more than one of the findings "
            f"{', '.join(images.findings)}, so these are not classes: draw by findings "
            "(draw='findings', --set draw=findings) or name findings that exclude each other"
        )
    every = {
        name: np.flatnonzero(column)
        for name, column in zip(images.findings, images.positive.T, strict=True)
    }
    members = {name: rows for name, rows in every.items() if len(rows) >= sample.each}
    left_out = {name: len(rows) for name, rows in every.items() if name not in members}
    if len(members) < sample.kinds:
        raise UsageError(
            f"a batch is to hold {sample.kinds} findings with {sample.each} images each, and "
            f"{len(members)} have as many ({_counts(every)}): ask for fewer (kinds, each)"
        )
    return Groups(members, left_out)


def _counts(every: dict[str, Rows]) -> str:
    return ", ".join(f"{name} {len(rows)}" for name, rows in every.items())
