"""What one sentence says of findings.

It is read as phrases (`hilum.reports.vocabulary`). Phrases that name a finding, and parts of the
body with what is said of them, are claims; cues deny or doubt those in their reach
(`hilum.reports.scope`).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from hilum.reports.binding import Pieces, bind
from hilum.reports.claims import NOTHING, PRESENT, Claim, Joint, Labels, Meaning, Part, Sense, State
from hilum.reports.hierarchy import ancestors
from hilum.reports.phrases import tokens
from hilum.reports.scope import alternatives, senses
from hilum.reports.vocabulary import lexicon
from hilum.reports.vocabulary.anatomy import ALL_IS_WELL, NO_ACUTE_DISEASE, judge

_ALONE: Final = 4  # pieces of a sentence that says "Normal." or "Negative." of the whole film


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
    unsure = _doubted_alternatives(pieces, claims)
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
            telling = [claim for claim in said or [_of_nothing(piece, pieces)] if claim != NOTHING]
            if telling:
                yield place, telling


def _of_nothing(state: State, pieces: Pieces) -> Claim:
    """Return what a state says that is said of no part: "Normal.", "no acute abnormality"."""
    if state.name == "abnormal":
        return NO_ACUTE_DISEASE
    alone = len(pieces) <= _ALONE and not any(isinstance(piece, Claim | Part) for piece in pieces)
    return ALL_IS_WELL if alone and state.name in ("normal", "negative") else NOTHING


def _is_clause(pieces: Pieces, place: int, parts: tuple[int, ...]) -> bool:
    state = pieces[place]
    first = min(parts)
    healthy = isinstance(state, State) and state.name in ("normal", "clear", "intact")
    return first < place and (healthy or Joint.VERB in pieces[first:place])


def _doubted_alternatives(
    pieces: Pieces, claims: Mapping[int, list[Claim]]
) -> dict[int, frozenset[str]]:
    """Return, for each claim that is one of several alternatives, what all of them share."""
    unsure: dict[int, frozenset[str]] = {}
    for group in alternatives(pieces, frozenset(claims)):
        shared = frozenset.intersection(*(_all_meant(claims[place]) for place in group))
        for place in group:
            unsure[place] = shared
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
