"""What the MeSH headings of an OpenI report say of hilum's findings.

Indexers gave each report headings such as ``Opacity/lung/base/left``: a root, then where and how.
They coded all that a report states as present, or wrote ``normal`` alone; so a finding without a
heading is absent. The machine's own list (``automatic``) is not used: it names what a report only
denies, too.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

_NOT_INDEXED: Final = "No Indexing"
_UNREADABLE: Final = "Technical Quality of Image Unsatisfactory"
_NORMAL: Final = "normal"
_DOUBTFUL: Final = "borderline"
_HEALTHY: Final = "No Finding"


class _Heading(NamedTuple):
    """A root, and the part that must stand behind it, if any."""

    root: str
    part: str | None = None


HEADINGS: Final[dict[str, tuple[_Heading, ...]]] = {
    _HEALTHY: (_Heading(_NORMAL),),
    "Atelectasis": (_Heading("Pulmonary Atelectasis"),),
    "Cardiomegaly": (
        _Heading("Cardiomegaly"),
        _Heading("Cardiac Shadow", "enlarged"),
        _Heading("Cardiac Shadow", _DOUBTFUL),
    ),
    "Consolidation": (_Heading("Consolidation"),),
    "Edema": (_Heading("Pulmonary Edema"),),
    "Emphysema": (
        _Heading("Emphysema"),
        _Heading("Pulmonary Emphysema"),
        _Heading("Bullous Emphysema"),
    ),
    "Fibrosis": (_Heading("Pulmonary Fibrosis"), _Heading("Fibrosis")),
    "Fracture": (_Heading("Fractures, Bone"),),
    "Hernia": (_Heading("Hernia, Hiatal"), _Heading("Hernia, Diaphragmatic")),
    "Infiltration": (_Heading("Infiltrate"),),
    "Lung Opacity": (_Heading("Opacity", "lung"), _Heading("Airspace Disease")),
    "Mass": (_Heading("Mass", "lung"),),
    "Nodule": (_Heading("Nodule"),),
    "Pleural Effusion": (_Heading("Pleural Effusion"), _Heading("Hydropneumothorax")),
    "Pleural Thickening": (_Heading("Thickening", "pleura"),),
    "Pneumonia": (_Heading("Pneumonia"),),
    "Pneumothorax": (
        _Heading("Pneumothorax"),
        _Heading("Hydropneumothorax"),
        _Heading("Hemopneumothorax"),
    ),
    "Support Devices": (
        _Heading("Catheters, Indwelling"),
        _Heading("Implanted Medical Device"),
        _Heading("Medical Device"),
        _Heading("Tube, Inserted"),
    ),
}
"""Each root is compared as a whole: ``Subcutaneous Emphysema`` is no emphysema."""

FINDINGS: Final = tuple(HEADINGS)


def values(headings: Iterable[str]) -> list[int | None]:
    """Say what a report's headings mean for each of `FINDINGS`.

    Returns
    -------
    1 present; -1 where every heading that names it says ``borderline``; 0 absent; None for all
    where the report has no headings, was not indexed, or only says that the image is unreadable.
    """
    known = [[part.strip() for part in heading.split("/")] for heading in headings]
    if all(parts[0] in (_NOT_INDEXED, _UNREADABLE) for parts in known):
        return [None] * len(FINDINGS)
    return [_value(known, HEADINGS[finding]) for finding in FINDINGS]


def _value(known: list[list[str]], named: tuple[_Heading, ...]) -> int:
    doubts = [
        _DOUBTFUL in parts
        for parts in known
        for heading in named
        if parts[0] == heading.root and heading.part in (None, *parts[1:])
    ]
    if not doubts:
        return 0
    return -1 if all(doubts) else 1
