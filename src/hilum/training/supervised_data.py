"""What a classifier is taught from: images of a collection with labels and numbers, by id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hilum.encoders.classifier import IMAGE
from hilum.errors import UsageError
from hilum.features import INPUTS, features_of
from hilum.features.inputs import check_inputs
from hilum.features.past import read_past
from hilum.tables import Table
from hilum.training.targets import Uncertain, averaged, majority, targets_of
from hilum.training.told import refuse_shared_patients, refuse_test_images

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.findings import Policy

Labels = Table | Sequence[Table]
Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """What a classifier shall see and score.

    Parameters
    ----------
    inputs
        ``"image"`` and any of `hilum.features.INPUTS`.
    findings
        In any spelling; all of the collection if None.
    uncertain
        What an uncertain label counts as.
    labels
        Tables that take the place of the collection's labels; several readers' are averaged.
    """

    inputs: tuple[str, ...]
    findings: tuple[str, ...] | None
    uncertain: Uncertain
    labels: tuple[Table, ...] | None = None

    @property
    def beside(self) -> tuple[str, ...]:
        """The inputs beside the image."""
        return tuple(name for name in self.inputs if name != IMAGE)

    @property
    def policy(self) -> "Policy":
        """What an uncertain label of an earlier visit counts as: unknown, where it is a number."""
        return self.uncertain if isinstance(self.uncertain, str) else "ignore"


@dataclass(frozen=True, eq=False)
class Lesson:
    """Images of a collection with a label at least, and what is known of them.

    Parameters
    ----------
    view
        The collection they are in.
    rows : (images,)
        Their rows in it.
    ids, patients : (images,)
    findings
        The columns of the targets.
    targets : (images, findings)
        From 0 to 1; NaN is unknown.
    names, groups
        Of the columns of `features`, and where those of each input are.
    features : (images, columns)
        NaN is unknown.
    first : (images,)
        Whether it is the patient's first visit.
    digest
        sha256 (hex) of all this and of the files.
    """

    view: "Collection"
    rows: NDArray[np.int64]
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    findings: tuple[str, ...]
    targets: Numbers
    names: tuple[str, ...]
    groups: dict[str, tuple[int, int]]
    features: Numbers
    first: NDArray[np.bool_]
    digest: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def truth(self) -> Table:
        """The labels to measure against: 1 above a half, 0 below."""
        return Table(
            self.ids,
            self.findings,
            majority(self.targets.astype(np.float64)),
            {"patient_id": self.patients},
        )


def lesson(view: "Collection", asked: Asked) -> Lesson:
    """Read the images of a view that have a known label; the order is the view's.

    Raises
    ------
    UsageError
        If there are no images or no labels, an input is none, or nothing is known of one.
    CollectionError, TableError
        If there is no such finding, or a table holds anything but labels.
    """
    check_asked(asked.inputs)
    if not len(view):
        raise UsageError(
            "there are no images to learn from; check the condition that chose them "
            "(hilum show lists the splits)"
        )
    findings, targets = _targets(view, asked)
    rows = np.flatnonzero(~np.isnan(targets).all(axis=1))
    if not len(rows):
        raise UsageError(f"none of the {len(view)} images has a known label, so nothing is taught")
    frame = view.table(["image_id", "patient_id", "sha256"])
    names, groups, features = _features(view, asked)
    past = read_past(view, asked.findings, "ignore")
    first = past.visits.rank[past.visit] == 0
    ids, patients, files = (frame[name].gather(rows).to_list() for name in frame.columns)
    made = Lesson(
        view, rows, tuple(ids), tuple(patients), findings, targets[rows].astype(np.float32),
        names, groups, features[rows], first[rows], digest="",
    )  # fmt: skip
    return replace(made, digest=_digest(made, files))


def check_asked(inputs: Sequence[str]) -> None:
    """Refuse inputs that are none, or leave out the image.

    Raises
    ------
    UsageError
        With the inputs that there are.
    """
    if IMAGE not in inputs:
        raise UsageError(
            f"{', '.join(inputs) or 'nothing'}: without image among the inputs this is a model on "
            "features alone (hilum.tabular.train)"
        )
    beside = [name for name in inputs if name != IMAGE]
    if len(inputs) - len(beside) > 1:
        raise UsageError(f"name each input once; got {', '.join(inputs)}")
    unknown = [name for name in beside if name not in INPUTS]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is not an input; there are {IMAGE}, {', '.join(INPUTS)}")
    if beside:
        check_inputs(beside)


def refuse_one_class(taught: Lesson) -> None:
    """Raise UsageError if a finding has no positive or no negative label: nothing to tell apart."""
    faults = []
    for name, column in zip(taught.findings, taught.targets.T, strict=True):
        known = column[~np.isnan(column)]
        if not len(known):
            faults.append(f"{name} has no known label")
        elif not known.any() or known.all():
            faults.append(f"{name} is {'absent from' if not known.any() else 'present in'} all")
    if faults:
        raise UsageError(
            f"{'; '.join(faults[:5])} of the {len(taught)} training images, so it cannot be "
            "taught; name the findings to learn (findings=[...], --findings) without such"
        )


def refuse_leaks(taught: Lesson, judged: Lesson | None) -> None:
    """Raise LeakError if a patient is on both sides, or an image is of the split test."""
    for one in (taught, judged):
        if one is not None:
            refuse_test_images(one.view.table(["split"])["split"].gather(one.rows))
    if judged is not None:
        refuse_shared_patients(taught.patients, judged.patients)


def _targets(view: "Collection", asked: Asked) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the findings, and the targets of every image of a view."""
    if asked.labels is None:
        own = view.labels(findings=asked.findings)
        if not own.findings:
            raise UsageError("there is no finding to learn: the collection has no labels")
        return own.findings, targets_of(own, asked.uncertain)
    table = averaged(asked.labels, asked.uncertain)
    if asked.findings is not None:
        table = table.select(asked.findings)
    place = {one: row for row, one in enumerate(table.ids)}
    ids = view.ids()
    targets = np.full((len(ids), len(table.findings)), np.nan)
    for row, one in enumerate(ids):
        if one in place:
            targets[row] = table.values[place[one]]
    return table.findings, targets


def _features(
    view: "Collection", asked: Asked
) -> tuple[tuple[str, ...], dict[str, tuple[int, int]], Numbers]:
    """Return names, groups and values of the features of every image of a view."""
    if not asked.beside:
        return (), {}, np.empty((len(view), 0), np.float32)
    found = features_of(view, asked.beside, view.findings, asked.policy)
    groups = {name: (part.start, part.stop) for name, part in found.groups.items()}
    return found.names, groups, found.values


def refuse_unknown_inputs(taught: Lesson) -> None:
    """Raise UsageError if nothing is known of an input for any training image."""
    for name, (start, stop) in taught.groups.items():
        flags = [at for at in range(start, stop) if taught.names[at].endswith(" known")]
        rest = [at for at in range(start, stop) if at not in flags]
        values = taught.features[:, rest]
        if not np.nan_to_num(values).any():
            raise UsageError(
                f"nothing is known of {name} for any of the {len(taught)} training images: "
                f"leave it out of the inputs"
            )


def _digest(taught: Lesson, files: list[str]) -> str:
    total = hashlib.sha256()
    stored = (taught.view.size, taught.view.settings.channels)
    parts = (taught.ids, taught.patients, files, stored, taught.findings, taught.names)
    total.update(repr([list(part) for part in parts]).encode())
    for values in (taught.targets, taught.features):
        total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()
