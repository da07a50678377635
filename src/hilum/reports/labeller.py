"""Labels from the text of a report, by rules.

What the sentences say (`hilum.reports.statements`) is put together: over a report a claim that a
finding is there beats a doubt, and a doubt a denial (Irvin et al., AAAI 2019, arXiv:1901.07031). A
finding that is not mentioned has no label: silence is not absence.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from hilum.errors import UsageError
from hilum.findings import FINDINGS, UNCERTAIN, canonical
from hilum.reports.claims import ABSENT, PRESENT, Labels
from hilum.reports.hierarchy import complete
from hilum.reports.sections import narrative
from hilum.reports.sentences import sentences
from hilum.reports.statements import statements

_STRENGTH: Final = {ABSENT: 0, UNCERTAIN: 1, PRESENT: 2}


def label_report(text: str, findings: Sequence[str] | None = None) -> dict[str, int]:
    """Label a report.

    Parameters
    ----------
    text
        A whole report with its headings, or a part of one without. Only what tells what is seen
        is read (`hilum.reports.sections.narrative`): no indication, no recommendation.
    findings
        Which to label, in any spelling of `hilum.FINDINGS`; all if None.

    Returns
    -------
    1 present, 0 absent, -1 uncertain, in the order of `findings`. Findings that the report does
    not mention are left out.

    Raises
    ------
    UsageError
        If a finding is not in the vocabulary.

    >>> label_report("Small effusion, possibly fracture. No pneumothorax.")
    {'Fracture': -1, 'No Finding': 0, 'Pleural Effusion': 1, 'Pneumothorax': 0}
    """
    wanted = tuple(FINDINGS) if findings is None else labelled_names(findings)
    said: dict[str, int] = {}
    for passage in narrative(text):
        for sentence in sentences(passage):
            _add(said, statements(sentence))
    labels = complete(said)
    return {finding: labels[finding] for finding in wanted if finding in labels}


def labelled_names(findings: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of findings; UsageError if the labeller does not know one."""
    names = tuple(canonical(finding) or "" for finding in findings)
    strange = [said for said, name in zip(findings, names, strict=True) if name not in FINDINGS]
    if strange:
        raise UsageError(
            f"{strange[0]!r} is not a finding that reports are labelled for; "
            f"there are {', '.join(FINDINGS)}"
        )
    return tuple(dict.fromkeys(names))


def _add(said: dict[str, int], labels: Iterable[Labels]) -> None:
    for label in labels:
        for finding, value in label.items():
            if finding not in said or _STRENGTH[value] > _STRENGTH[said[finding]]:
                said[finding] = value
