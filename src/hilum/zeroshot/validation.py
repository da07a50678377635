"""What validation labels say: which wording is best, and if one is the wrong way round.

The images and labels of the split ``test`` are for reporting, and are never looked at here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hilum.collection.splits import SPLITS
from hilum.errors import TableError, UsageError
from hilum.evaluate import auroc
from hilum.findings import Policy, canonical
from hilum.prompts.scores import Floats
from hilum.tables import Table, label_values, read_columns, read_table
from hilum.zeroshot.questions import Column

if TYPE_CHECKING:
    from hilum.collection import Collection

_REPORTED: Final = "test"


@dataclass(frozen=True)
class Choice:
    """The wording that is used for a finding.

    Parameters
    ----------
    finding
        Which.
    name
        Of the wording.
    column
        Its place among all that were scored.
    aurocs
        AUROC on the validation images of each candidate, by name; None where it is undefined.
    n, positives
        Validation images with a known label, and those of them that have the finding.
    """

    finding: str
    name: str
    column: int
    aurocs: Mapping[str, float | None]
    n: int = 0
    positives: int = 0

    @property
    def auroc(self) -> float | None:
        """Of the wording that is used."""
        return self.aurocs.get(self.name)

    def remark(self) -> str | None:
        """Say what a reader of the scores has to know, if anything."""
        if self.auroc is None or self.auroc >= 0.5:
            return None
        return (
            f"validation AUROC {self.auroc:.3f} is below 0.5 ({self.positives} of {self.n} "
            f"positive): the prompt {self.name!r} seems to be the wrong way round"
        )


def validation_labels(
    collection: "Collection", choose_on: "str | Path | Table", findings: Sequence[str]
) -> Table:
    """Return the labels to choose by, of those findings that have any.

    Parameters
    ----------
    collection
        Where the images are.
    choose_on
        ``"val"`` or ``"train"``: the collection's own labels of that split. Or a label table, or
        its CSV file, of images that are in the collection and not in the split ``test``.
    findings
        What is asked.

    Raises
    ------
    UsageError
        If the split is ``test``, images of a table are in it, or no label is known.
    TableError
        If an id is not in the collection, or the table cannot be read.
    """
    if isinstance(choose_on, str) and choose_on in SPLITS:
        if choose_on == _REPORTED:
            raise UsageError("the split test is for reporting; choose on val or train")
        where = f"the split {choose_on!r}"
        labels = collection.labels(choose_on)
    else:
        where = "the validation table" if isinstance(choose_on, Table) else str(choose_on)
        labels = _own(collection, choose_on, findings)
    shared = [name for name in labels.findings if name in findings]
    labels = labels.select(shared)
    if np.isnan(labels.values).all():
        raise UsageError(
            f"{where} has no known label for {', '.join(findings)}: there is nothing to choose by"
        )
    return labels


def _own(
    collection: "Collection", choose_on: "str | Path | Table", findings: Sequence[str]
) -> Table:
    labels = choose_on
    if not isinstance(labels, Table):
        if not Path(labels).is_file():
            raise UsageError(
                f"{str(labels)!r} is neither a split (val, train) nor a file of labels"
            )
        labels = read_table(labels, findings=_columns(labels, findings))
    split = dict(zip(*collection.table(["image_id", "split"]).get_columns(), strict=True))
    if unknown := [image for image in labels.ids if image not in split]:
        raise TableError(
            f"{len(unknown)} of {len(labels)} validation ids are not in the collection, the first "
            f"is {unknown[0]!r}; are the labels of this collection?"
        )
    if reported := [image for image in labels.ids if split[image] == _REPORTED]:
        raise UsageError(
            f"{len(reported)} of {len(labels)} validation images are in the split test, which is "
            f"for reporting, the first is {reported[0]!r}; leave them out"
        )
    return labels


def _columns(path: str | Path, findings: Sequence[str]) -> list[str]:
    """Return which findings a file has labels of."""
    there = {canonical(name) or name for name in read_columns(path)}
    if not (shared := [name for name in findings if name in there]):
        raise TableError(f"{path}: has no column for {', '.join(findings)}")
    return shared


def choose(
    columns: Sequence[Column], scores: Floats, labels: Table, policy: Policy
) -> tuple[Choice, ...]:
    """Choose for each finding the candidate with the strictly highest AUROC, else the first.

    Parameters
    ----------
    columns
        What was scored.
    scores : (n_labelled, n_columns)
        Of the labelled images, in their order.
    labels
        Of findings that are asked; one without labels has its first candidate.
    policy
        What an uncertain label counts as.

    Raises
    ------
    UsageError
        If a finding has several candidates and no AUROC.
    """
    truth = label_values(labels, policy).astype(np.float64)
    nothing = np.full(len(labels), np.nan)
    chosen = []
    for finding in dict.fromkeys(column.finding for column in columns):
        has = finding in labels.findings
        target = truth[:, labels.findings.index(finding)] if has else nothing
        chosen.append(_best(finding, columns, scores, target))
    return tuple(chosen)


def first(columns: Sequence[Column]) -> tuple[Choice, ...]:
    """Return the only candidate of each finding.

    Raises
    ------
    UsageError
        If a finding has several: nothing says which.
    """
    by_finding: dict[str, list[int]] = {}
    for at, column in enumerate(columns):
        by_finding.setdefault(column.finding, []).append(at)
    for finding, places in by_finding.items():
        if len(places) > 1:
            raise UsageError(
                f"{finding!r} has {len(places)} candidates; say what they are chosen on: "
                'choose_on="val" (--choose-on val)'
            )
    return tuple(Choice(finding, columns[at].name, at, {}) for finding, (at,) in by_finding.items())


def _best(finding: str, columns: Sequence[Column], scores: Floats, target: Floats) -> Choice:
    places = [at for at, column in enumerate(columns) if column.finding == finding]
    known = ~np.isnan(target)
    n, positives = int(known.sum()), int(np.nansum(target))
    if positives in (0, n):
        if len(places) > 1:
            raise UsageError(
                f"{finding!r} has {len(places)} candidates and no AUROC to choose by: {positives} "
                f"of its {n} known validation labels are positive; give one candidate"
            )
        return Choice(finding, columns[places[0]].name, places[0], {}, n, positives)
    found = [auroc(scores[known, at], target[known]) for at in places]
    at = places[int(np.argmax(found))]  # the first of equals
    aurocs = {columns[place].name: value for place, value in zip(places, found, strict=True)}
    return Choice(finding, columns[at].name, at, aurocs, n, positives)
