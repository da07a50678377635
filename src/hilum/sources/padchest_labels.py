"""PadChest's labels: from the text of a cell to what it says of each finding.

A cell of the column ``Labels`` is a Python list as text, ``['copd signs', ' pleural effusion']``,
with stray spaces and capitals. It lists what the report mentions as present: 193 labels, among them
four that are no findings (`_SILENT`) and ``normal``.
"""

import ast
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final

from hilum.errors import UsageError
from hilum.findings import canonical

_LONGEST: Final = 10_000  # characters of a cell; the longest of the real ones has 443
_NORMAL: Final = "normal"
_HEALTHY: Final = "No Finding"

_SILENT: Final = frozenset({"unchanged", "exclude", "suboptimal study"})
_PARTIAL: Final = frozenset({"unchanged", "exclude"})
"""Where these are listed, the report tells a part: what it does not mention is not absent."""

LABELS: Final[dict[str, frozenset[str]]] = {
    finding: frozenset(labels)
    for finding, labels in {
        _HEALTHY: (_NORMAL,),
        "Atelectasis": (
            *("atelectasis", "laminar atelectasis", "lobar atelectasis", "segmental atelectasis"),
            *("atelectasis basal", "total atelectasis", "round atelectasis"),
        ),
        "Cardiomegaly": ("cardiomegaly",),
        "Consolidation": ("consolidation",),
        "Edema": ("pulmonary edema",),
        "Emphysema": ("emphysema",),
        "Enlarged Cardiomediastinum": (
            *("mediastinal enlargement", "superior mediastinal enlargement"),
        ),
        "Fibrosis": ("pulmonary fibrosis",),
        "Fracture": (
            *("fracture", "rib fracture", "callus rib fracture", "vertebral fracture"),
            *("clavicle fracture", "humeral fracture"),
        ),
        "Hernia": ("hiatal hernia",),
        "Infiltration": ("infiltrates",),
        "Mass": ("mass", "pulmonary mass"),
        "Nodule": ("nodule", "multiple nodules"),
        "Pleural Effusion": (
            *("pleural effusion", "loculated pleural effusion", "loculated fissural effusion"),
            "hydropneumothorax",
        ),
        "Pleural Thickening": (
            *("pleural thickening", "apical pleural thickening", "calcified pleural thickening"),
        ),
        "Pneumonia": ("pneumonia", "atypical pneumonia"),
        "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
        "Support Devices": (
            *("pacemaker", "single chamber device", "dual chamber device", "electrical device"),
            *("dai", "artificial heart valve", "artificial aortic heart valve"),
            *("artificial mitral heart valve", "catheter", "central venous catheter"),
            *("central venous catheter via jugular vein", "reservoir central venous catheter"),
            *("central venous catheter via subclavian vein",),
            *("central venous catheter via umbilical vein", "chest drain tube"),
            *("endotracheal tube", "gastrostomy tube", "nephrostomy tube", "nsg tube"),
            *("tracheostomy tube", "ventriculoperitoneal drain tube", "double j stent"),
        ),
    }.items()
}  # fmt: skip
"""hilum's findings, and the labels that name them, each compared as a whole.

``dai`` is an implanted defibrillator. Prostheses, sutures and osteosynthesis are no support
devices; ``mediastinal mass`` is no mass of the lung and ``pericardial effusion`` no pleural one.
"""


def parse(text: str) -> frozenset[str] | None:
    """Return the labels of a cell, stripped and in lower case, or None if it is no list of texts.

    Empty labels are left out: they stand for a sentence that no label was found for.

    >>> sorted(parse("['COPD signs', ' pacemaker', '']"))
    ['copd signs', 'pacemaker']
    """
    if len(text) > _LONGEST:
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        return None
    return frozenset(label.strip().lower() for label in found) - {""}


def choose(wanted: Collection[str] | None, known: Collection[str]) -> dict[str, frozenset[str]]:
    """Decide which findings become columns.

    Parameters
    ----------
    wanted
        Findings or PadChest's own labels; ``all`` stands for all of `LABELS`, and for every other
        label under its own name. None: `LABELS`.
    known
        The labels that the table holds.

    Returns
    -------
    Column to the labels that make it 1.

    Raises
    ------
    UsageError
        If one is neither a finding that PadChest has nor a label of the table; the message says
        which are like it.
    """
    if wanted is None:
        return dict(LABELS)
    chosen: dict[str, frozenset[str]] = {}
    for name in wanted:
        if name == "all":
            used = frozenset().union(*LABELS.values())
            chosen |= LABELS | {label: frozenset({label}) for label in sorted({*known} - used)}
        else:
            chosen |= _one(name, known)
    return chosen


def _one(name: str, known: Collection[str]) -> dict[str, frozenset[str]]:
    finding, label = canonical(name), name.strip().lower()
    if finding in LABELS:
        return {finding: LABELS[finding]}
    if label in known:
        return {label: frozenset({label})}
    alike = get_close_matches(label, [*known, *LABELS], n=3)
    hint = f"; do you mean {' or '.join(map(repr, alike))}?" if alike else ""
    raise UsageError(
        f"{name!r} is neither a finding of the padchest layout ({', '.join(LABELS)}) nor one of "
        f"the table's {len(known)} labels{hint}"
    )


def values(labels: frozenset[str] | None, chosen: Mapping[str, frozenset[str]]) -> list[int | None]:
    """Say what a cell means for each finding: 1, 0, or None for unknown.

    A finding that is listed is present. One that is not is absent, unless the cell says nothing of
    findings (no labels, or only `_SILENT` ones) or tells a part (`_PARTIAL`): then it is unknown.
    ``normal`` beside a finding leaves "No Finding" unknown, for one of the two is wrong.

    Parameters
    ----------
    labels
        As from `parse`; None where the cell is empty.
    chosen
        As from `choose`.

    Returns
    -------
    One value per finding, in the order of `chosen`.
    """
    if labels is None:
        return [None] * len(chosen)
    said = labels - _SILENT
    unlisted = None if labels & _PARTIAL or not said else 0
    found: list[int | None] = []
    for finding, names in chosen.items():
        if finding == _HEALTHY:
            found.append(_health(said))
        else:
            found.append(1 if labels & names else unlisted)
    return found


def _health(said: frozenset[str]) -> int | None:
    if _NORMAL in said:
        return 1 if said == {_NORMAL} else None
    return 0 if said else None


def is_silent(labels: frozenset[str]) -> bool:
    """Tell whether a cell says nothing of findings."""
    return not labels - _SILENT


def is_partial(labels: frozenset[str]) -> bool:
    """Tell whether a cell lists findings of a report that does not tell them all."""
    return bool(labels & _PARTIAL) and not is_silent(labels)


def is_contradictory(labels: frozenset[str]) -> bool:
    """Tell whether a cell says ``normal`` beside a finding."""
    return _NORMAL in labels and labels - _SILENT != {_NORMAL}
