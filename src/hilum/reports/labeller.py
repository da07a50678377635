"""Labels from the text of a report, by rules.

A report is divided into sentences, a sentence into phrases (`hilum.reports.vocabulary`). Phrases
that name a finding, and parts of the body with what is said of them, are claims; cues deny or
doubt those in their reach (`hilum.reports.scope`). Over the report a claim that a finding is
there beats a doubt, and a doubt a denial (Irvin et al., AAAI 2019, arXiv:1901.07031). A finding
that is not mentioned has no label: silence is not absence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hilum.errors import UsageError
from hilum.findings import FINDINGS, UNCERTAIN, canonical
from hilum.reports.binding import Pieces, bind
from hilum.reports.claims import (
    ABSENT,
    PRESENT,
    Claim,
    Joint,
    Labels,
    Meaning,
    Part,
    Sense,
    State,
)
from hilum.reports.hierarchy import ancestors, complete
from hilum.reports.phrases import tokens
from hilum.reports.scope import alternatives, senses
from hilum.reports.sections import narrative
from hilum.reports.sentences import sentences
from hilum.reports.vocabulary import lexicon
from hilum.reports.vocabulary.anatomy import ALL_IS_WELL, NO_ACUTE_DISEASE, judge

_STRENGTH = {ABSENT: 0, UNCERTAIN: 1, PRESENT: 2}
_ALONE = 4  # pieces of a sentence that says "Normal." or "Negative." of the whole film


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
    if "" in names:
        raise UsageError(
            f"{findings[names.index('')]!r} is not a finding that reports are labelled for; "
            f"there are {', '.join(FINDINGS)}"
        )
    return tuple(dict.fromkeys(names))


def _add(said: dict[str, int], labels: Iterable[Labels]) -> None:
    for label in labels:
        for finding, value in label.items():
            if finding not in said or _STRENGTH[value] > _STRENGTH[said[finding]]:
                said[finding] = value


def statements(sentence: str) -> Iterator[Labels]:
    """Yield what each claim of a sentence says of findings."""
    pieces = _pieces(sentence)
    bound = bind(pieces)
    claims = dict(_claims(pieces, bound))
    places = frozenset(claims)
    clauses = frozenset(
        min(parts) for place, parts in bound.items() if _is_clause(pieces, place, parts)
    )
    turned = senses(pieces, places, clauses)
    unsure = _doubted_alternatives(pieces, claims, turned)
    for place, several in claims.items():
        for claim in several:
            yield _said(claim, turned[place], unsure.get(place))


def _pieces(sentence: str) -> Pieces:
    words = tokens(sentence)
    pieces: list[Meaning | None] = []
    last = 0
    for hit in lexicon().find(words):
        pieces += [None] * (hit.start - last)
        pieces.append(hit.meaning)
        last = hit.end
    return [*pieces, *[None] * (len(words) - last)]


def _claims(
    pieces: Pieces, bound: Mapping[int, tuple[int, ...]]
) -> Iterator[tuple[int, list[Claim]]]:
    for place, piece in enumerate(pieces):
        if isinstance(piece, Claim):
            yield place, [piece]
        elif isinstance(piece, State):
            parts = [pieces[part] for part in bound.get(place, ())]
            said = [judge(part.name, piece.name) for part in parts if isinstance(part, Part)]
            yield place, said or [_of_nothing(piece, pieces)]


def _of_nothing(state: State, pieces: Pieces) -> Claim:
    """Return what a state says that is said of no part: "Normal.", "no acute abnormality"."""
    if state.name == "abnormal":
        return NO_ACUTE_DISEASE
    alone = len(pieces) <= _ALONE and not any(isinstance(piece, Claim | Part) for piece in pieces)
    return ALL_IS_WELL if alone and state.name in ("normal", "negative") else Claim()


def _is_clause(pieces: Pieces, place: int, parts: tuple[int, ...]) -> bool:
    state = pieces[place]
    first = min(parts)
    healthy = isinstance(state, State) and state.name in ("normal", "clear", "intact")
    return first < place and (healthy or Joint.VERB in pieces[first:place])


def _doubted_alternatives(
    pieces: Pieces, claims: Mapping[int, list[Claim]], turned: Mapping[int, set[Sense]]
) -> dict[int, frozenset[str]]:
    """Return, for each claim that is one of several alternatives, what all of them share."""
    unsure: dict[int, frozenset[str]] = {}
    for group in alternatives(pieces, frozenset(claims)):
        if any(turned[place] & {Sense.DENIAL, Sense.SILENCE} for place in group):
            continue
        meant = [_all_meant(claims[place]) for place in group]
        shared = frozenset.intersection(*meant)
        for place in group:
            unsure[place] = unsure.get(place, shared) & shared
    return unsure


def _all_meant(claims: list[Claim]) -> frozenset[str]:
    """Return the findings that claims say are there, and the wider ones these belong to."""
    names = {name for claim in claims for name, label in claim.present.items() if label == PRESENT}
    return frozenset(names.union(*(ancestors(name) for name in names)))


def _said(claim: Claim, turned: set[Sense], shared: frozenset[str] | None) -> Labels:
    if Sense.SILENCE in turned:
        return {}
    if Sense.DENIAL in turned:
        return claim.absent
    if Sense.DOUBT in turned:
        return claim.doubted
    if shared is None:
        return claim.present
    return {**claim.doubted, **dict.fromkeys(shared, PRESENT)}
