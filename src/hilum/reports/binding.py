"""Which part a state is said of: "heart size and mediastinum are normal", "normal heart size".

A state that follows its parts takes all those of the list before it; one that stands in front of
a part takes that one and the list after it. A state that follows another ("hyperexpanded but
clear") is said of the same parts.
"""

from collections.abc import Sequence
from typing import Final

from hilum.reports.claims import Claim, Joint, Meaning, Part, State

Pieces = Sequence[Meaning | None]
"""A sentence as its phrases, and None for each word that is in no phrase."""

_BEFORE: Final = 8  # plain words between a part and the state that follows it
_AFTER: Final = 4  # ... between a state and the part that follows it
_ADJECTIVES: Final = 2  # ... between "large" and the finding that is large
_IN_LIST: Final = 4  # ... between two parts of a list

WORDS: Final = (None, Joint.OPENING, Joint.SIDE)
"""Pieces that neither say, turn nor divide anything."""

_LISTING: Final = (*WORDS, Joint.COMMA, Joint.AND, Joint.OR)


def bind(pieces: Pieces) -> dict[int, tuple[int, ...]]:
    """Return, for each state that is said of parts, its place and theirs."""
    states = [
        place
        for place, piece in enumerate(pieces)
        if isinstance(piece, State) and not _belongs_to_claim(pieces, place)
    ]
    found: dict[int, tuple[int, ...]] = {}
    taken: set[int] = set()
    for place in states:  # in front of a part
        part = _next_part(pieces, place)
        if part is not None:
            found[place] = (part,)
            taken.add(part)
    for place in states:  # after its parts
        if place not in found:
            parts = _parts_before(pieces, place, taken, found)
            if parts:
                found[place] = parts
                taken.update(parts)
    for place in states:  # the rest of a list that a state stands in front of
        if place in found and found[place][0] > place:
            found[place] += _rest_of_list(pieces, found[place][0], taken)
    return found


def _belongs_to_claim(pieces: Pieces, place: int) -> bool:
    """Tell a state from the adjective of a finding: "stable heart and a large hiatal hernia"."""
    following = (
        piece for piece in pieces[place + 1 : place + 2 + _ADJECTIVES] if piece not in WORDS
    )
    return isinstance(next(following, None), Claim)


def _next_part(pieces: Pieces, place: int) -> int | None:
    for at in range(place + 1, min(place + 2 + _AFTER, len(pieces))):
        piece = pieces[at]
        if isinstance(piece, Part):
            return at
        if piece not in WORDS:
            return None
    return None


def _parts_before(
    pieces: Pieces, place: int, taken: set[int], found: dict[int, tuple[int, ...]]
) -> tuple[int, ...]:
    """Return the parts of the list that ends before a state, or those of the state before it."""
    words = 0
    for at in range(place - 1, -1, -1):
        piece = pieces[at]
        if isinstance(piece, Part):
            return (at, *_list_before(pieces, at, taken))
        if isinstance(piece, State):
            parts = found.get(at, ())
            return parts if parts and parts[0] < at else ()
        words += piece is None
        if isinstance(piece, Claim) or words > _BEFORE:
            return ()
        if piece is Joint.COMMA and not _follows_state(pieces, at, found):
            return ()
    return ()


def _follows_state(pieces: Pieces, place: int, found: dict[int, tuple[int, ...]]) -> bool:
    """Tell whether the nearest phrase before a comma is a state that has its parts."""
    for at in range(place - 1, max(place - 1 - _BEFORE, -1), -1):
        if pieces[at] is not None:
            return at in found
    return False


def _list_before(pieces: Pieces, place: int, taken: set[int]) -> list[int]:
    parts: list[int] = []
    words = 0
    for at in range(place - 1, -1, -1):
        piece = pieces[at]
        if isinstance(piece, Part) and at not in taken:
            parts.append(at)
            words = 0
        elif piece not in _LISTING or words > _IN_LIST:
            break
        else:
            words += piece is None
    return parts


def _rest_of_list(pieces: Pieces, place: int, taken: set[int]) -> tuple[int, ...]:
    parts: list[int] = []
    words = 0
    for at in range(place + 1, len(pieces)):
        piece = pieces[at]
        if isinstance(piece, Part) and at not in taken:
            parts.append(at)
            words = 0
        elif piece not in _LISTING or words > _IN_LIST:
            break
        else:
            words += piece is None
    return tuple(parts)
