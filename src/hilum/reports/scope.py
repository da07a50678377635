"""How far a cue reaches, and which claims are alternatives.

In the line of NegEx (Chapman et al., J. Biomed. Inform. 34:301-310, 2001) and ConText (Harkema et
al., J. Biomed. Inform. 42:839-851, 2009): a cue turns round what follows or precedes it up to a
word that ends its reach. Ours differ in what ends it: the grammar of lists. "No A, B or C" denies
all three; "no A, small B" denies one, because a new item that is small is there.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from hilum.reports.binding import WORDS, Pieces
from hilum.reports.claims import Cue, Joint, Sense

Places = frozenset[int]


def senses(pieces: Pieces, claims: Places, clauses: Places) -> dict[int, set[Sense]]:
    """Return what cues do to each claim.

    Parameters
    ----------
    pieces
        The sentence.
    claims
        Where claims are: claims themselves and states that are said of a part.
    clauses
        Where the parts of states begin that make a clause of their own ("the heart is normal").
    """
    found: dict[int, set[Sense]] = {place: set() for place in claims}
    choices, verbs = _has_choice_ahead(pieces), _has_verb_behind(pieces)
    for place, piece in enumerate(pieces):
        cue = Cue(Sense.DOUBT, "either", "item") if piece is Joint.QUESTION else piece
        if not isinstance(cue, Cue):
            continue
        reached: list[int] = []
        if cue.reach != "before":
            ahead = _ahead(pieces, place, cue, clauses, choices)
            reached = [at for at in ahead if at in claims]
        backward = cue.reach == "end" and _is_last(pieces, place)
        if cue.reach == "before" or ((cue.reach == "either" or backward) and not reached):
            reached = [at for at in _behind(pieces, place, cue, verbs) if at in claims]
        for at in reached:
            found[at].add(cue.sense)
    return found


def _ahead(
    pieces: Pieces, place: int, cue: Cue, clauses: Places, choices: list[bool]
) -> Iterator[int]:
    """Yield the places after a cue that it reaches."""
    verb = False
    for at in range(place + 1, len(pieces)):
        piece = pieces[at]
        if piece is Joint.STOP or (isinstance(piece, Cue) and _ends(piece, cue)):
            return
        if piece in (Joint.COMMA, Joint.AND) and cue.span != "rest":
            in_list = choices[at] or (cue.span == "list" and not verb)
            if not in_list or _opens_statement(pieces, at, clauses, choices):
                return
        verb = verb or piece is Joint.VERB
        yield at


def _is_last(pieces: Pieces, place: int) -> bool:
    """Tell whether a statement ends with this piece."""
    return place + 1 == len(pieces) or pieces[place + 1] in (Joint.STOP, Joint.COMMA, Joint.AND)


def _ends(piece: Cue, cue: Cue) -> bool:
    """Tell whether a later cue takes over from an earlier one: so no piece is visited twice."""
    return piece.reach != "before" and piece.sense is cue.sense


def _opens_statement(pieces: Pieces, place: int, clauses: Places, choices: list[bool]) -> bool:
    """Tell whether a new statement, not one more item, follows a comma or an "and"."""
    following = place + 1
    while following < len(pieces) and pieces[following] is Joint.AND:
        following += 1
    if following == len(pieces):
        return True
    piece = pieces[following]
    if piece is Joint.SIDE:
        return not choices[place]
    doubt = isinstance(piece, Cue) and piece.sense is Sense.DOUBT
    return piece is Joint.OPENING or doubt or following in clauses


def _behind(pieces: Pieces, place: int, cue: Cue, verbs: list[bool]) -> Iterator[int]:
    """Yield the places before a cue that it reaches."""
    listed = False
    for at in range(place - 1, -1, -1):
        piece = pieces[at]
        if piece is Joint.STOP or (isinstance(piece, Cue) and piece.sense is cue.sense):
            return
        # what is before the verb of an earlier statement is no item of this list
        if piece in (Joint.COMMA, Joint.AND) and verbs[at]:
            return
        aside = at == place - 1 and cue.reach == "before"  # "an effusion, if any, is small"
        if piece is Joint.COMMA and not (listed or aside):
            return
        listed = listed or piece in (Joint.AND, Joint.OR)
        yield at


def _has_verb_behind(pieces: Pieces) -> list[bool]:
    """Return, for each place, whether a verb comes before it and after the last stop."""
    found = [False] * len(pieces)
    for at in range(1, len(pieces)):
        found[at] = pieces[at - 1] is not Joint.STOP and (
            pieces[at - 1] is Joint.VERB or found[at - 1]
        )
    return found


def _has_choice_ahead(pieces: Pieces) -> list[bool]:
    """Return, for each place, whether an "or" follows before a verb, a cue or a stop."""
    found = [False] * len(pieces)
    ahead = False
    for at in range(len(pieces) - 1, -1, -1):
        piece = pieces[at]
        if piece is Joint.OR:
            ahead = True
        elif piece in (Joint.STOP, Joint.VERB) or isinstance(piece, Cue):
            ahead = False
        found[at] = ahead
    return found


_BETWEEN: Final = 6  # plain words between "or" and what it joins


def alternatives(pieces: Pieces, claims: Places) -> list[list[int]]:
    """Return the claims that are alternatives: "A or B", "A, B or C", "A versus B or C"."""
    groups: list[list[int]] = []
    for place, piece in enumerate(pieces):
        if piece is not Joint.OR:
            continue
        right = _nearest(pieces, range(place + 1, len(pieces)), claims)
        comma = place > 0 and pieces[place - 1] is Joint.COMMA
        left = list(_list_before(pieces, place - comma, claims))
        if right is None or not left:
            continue
        if groups and groups[-1][-1] == left[0]:  # "A or B" goes on with "or C"
            groups[-1].append(right)
        else:
            groups.append([*left, right])
    return groups


def _nearest(pieces: Pieces, places: Iterable[int], claims: Places) -> int | None:
    words = 0
    for at in places:
        piece = pieces[at]
        if at in claims:
            return at
        words += piece is None
        if not (piece in WORDS or isinstance(piece, Cue)) or words > _BETWEEN:
            return None
    return None


def _list_before(pieces: Pieces, place: int, claims: Places) -> Iterator[int]:
    at: int | None = place
    while at is not None:
        at = _nearest(pieces, range(at - 1, -1, -1), claims)
        if at is None:
            return
        yield at
        comma = at - 1
        while comma >= 0 and pieces[comma] is None:
            comma -= 1
        at = comma if comma >= 0 and pieces[comma] is Joint.COMMA else None
