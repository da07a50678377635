"""What a phrase may mean: a claim about findings, a part and its state, a cue, or a joint.

A *claim* is what a sentence would say if nothing turned it round: "effusion". A *part* ("heart
size") and a *state* ("within normal limits") make a claim together. A *cue* turns claims round:
it denies them, doubts them, or says that they are not about this film. A *joint* is a word that
holds the sentence together or divides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from hilum.findings import UNCERTAIN

PRESENT: Final = 1
ABSENT: Final = 0

OTHER: Final = "Other Abnormality"
"""Any abnormality that the vocabulary of findings has no name for: only "No Finding" asks."""

Labels = Mapping[str, int]


@dataclass(frozen=True)
class Claim:
    """What is said of findings.

    Parameters
    ----------
    present
        The labels if it stands as it is. A sign that names no finding has -1: blunted angles
        may be fluid or a scar.
    absent
        The labels if it is denied. "Not normal" says nothing: empty.
    """

    present: Labels = field(default_factory=dict)
    absent: Labels = field(default_factory=dict)

    @property
    def doubted(self) -> Labels:
        """The labels if it is doubted: what "is probably normal" denies stays denied."""
        return {name: label and UNCERTAIN for name, label in self.present.items()}


NOTHING: Final = Claim()
"""What a state says that is said of no part, or of a part of which it tells nothing."""


@dataclass(frozen=True)
class Part:
    """A part of the body as the subject of a statement."""

    name: str


@dataclass(frozen=True)
class State:
    """What may be said of a part."""

    name: str


class Sense(Enum):
    """What a cue does to the claims in its reach, weakest first."""

    DOUBT = 1  # a reader's doubt
    DENIAL = 2
    SILENCE = 3  # not a statement about this film: history, advice, a condition


Reach = Literal["after", "before", "either", "end"]
Span = Literal["item", "list", "rest"]


@dataclass(frozen=True)
class Cue:
    """A word that turns claims round.

    Parameters
    ----------
    sense
        What it does.
    reach
        Where the claims are; ``"either"`` is after it, or before it if none is after, and
        ``"end"`` the same, but before it only where the statement ends: "an effusion is likely"
        doubts it, "an effusion is likely chronic" does not.
    span
        How far it reaches: "possible A, B" one item, "no A, B, C" a list, and "the differential
        includes A, small B" whatever comes.
    """

    sense: Sense
    reach: Reach
    span: Span = "list"


class Joint(Enum):
    """A word or mark by its work in the sentence."""

    STOP = "stop"  # but, however, except, ";": nothing reaches over it
    VERB = "verb"  # is, are, has, remains: a clause of its own
    COMMA = "comma"
    AND = "and"
    OR = "or"  # or, versus, "/": between claims it makes alternatives
    OPENING = "opening"  # a, there, small: after a comma or "and", a new statement
    SIDE = "side"  # left, basilar: a new statement, unless an "or" is still to come
    QUESTION = "question"
    PLAIN = "plain"  # a phrase that must not be read as its words: "no change in"


Meaning = Claim | Part | State | Cue | Joint
