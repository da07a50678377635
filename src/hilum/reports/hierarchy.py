"""Which findings belong to which, and what follows for a whole report.

The families are CheXpert's (Irvin et al., AAAI 2019, arXiv:1901.07031, figure 1) with the
findings of the other data sets put in. What is there makes the wider finding there: a nodule is a
lung lesion, and that is a lung opacity. What is absent says nothing of the wider finding unless
all that the family names is absent, and "no focal opacity" says nothing of an edema.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from hilum.findings import FINDINGS, UNCERTAIN
from hilum.reports.claims import ABSENT, OTHER, PRESENT

FAMILIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "Nodule or Mass": ("Nodule", "Mass"),
    "Lung Lesion": ("Nodule or Mass",),
    "Pneumonia": ("COVID-19",),
    "Lung Opacity": (
        "Atelectasis", "Consolidation", "Edema", "Infiltration", "Lung Lesion", "Pneumonia",
    ),
    "Enlarged Cardiomediastinum": ("Cardiomegaly",),
    "Pleural Other": ("Pleural Thickening",),
})  # fmt: skip
"""Wider finding → those that belong to it, in an order in which they can be worked out."""

_SUFFICIENT: Final = ("Nodule or Mass", "Lung Lesion")
"""Wider findings that are absent where all that belongs to them is."""

_NO_DISEASE: Final = ("No Finding", "Support Devices")


@cache
def ancestors(finding: str) -> frozenset[str]:
    """Return the wider findings that a finding belongs to."""
    parents = {wide for wide, narrow in FAMILIES.items() if finding in narrow}
    return frozenset(parents.union(*(ancestors(parent) for parent in parents)))


def complete(said: Mapping[str, int]) -> dict[str, int]:
    """Return the labels of a report from what its sentences say: families, and "No Finding".

    "No Finding" is 1 where something is said to be absent or normal and nothing to be abnormal,
    in the vocabulary or out of it, other than support devices; 0 where something is there, -1
    where something is only doubted, and has no label where nothing is said.
    """
    labels = dict(said)
    for wide, narrow in FAMILIES.items():
        given = [labels[name] for name in narrow if name in labels]
        if PRESENT in given:
            labels[wide] = PRESENT
        elif UNCERTAIN in given and labels.get(wide) != PRESENT:
            labels[wide] = UNCERTAIN
        elif wide in _SUFFICIENT and wide not in labels and given == [ABSENT] * len(narrow):
            labels[wide] = ABSENT
    disease = [label for name, label in labels.items() if name not in _NO_DISEASE]
    if disease:
        some = PRESENT in disease
        labels["No Finding"] = ABSENT if some else UNCERTAIN if UNCERTAIN in disease else PRESENT
    labels.pop(OTHER, None)
    return {name: labels[name] for name in FINDINGS if name in labels}
