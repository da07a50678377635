"""All phrases, with their meanings, in one tree."""

from collections.abc import Iterator
from functools import cache

from hilum.reports.claims import ABSENT, OTHER, PRESENT, Claim, Joint, Meaning, Part, State
from hilum.reports.phrases import Lexicon
from hilum.reports.vocabulary import anatomy, cues, findings, other

__all__ = ["lexicon"]


@cache
def lexicon() -> Lexicon[Meaning]:
    """Return the tree of every phrase; it is built on first use."""
    return Lexicon((phrase, meaning) for phrases, meaning in _groups() for phrase in phrases)


def _groups() -> Iterator[tuple[tuple[str, ...], Meaning]]:
    for finding, phrases in findings.MENTIONS.items():
        yield phrases, Claim({finding: PRESENT}, {finding: ABSENT})
    for finding, phrases in findings.SIGNS.items():
        yield phrases, Claim({finding: -1}, {finding: ABSENT})
    for labels, phrases in findings.MIXED:
        present = {finding: label for finding, label in labels.items() if label != ABSENT}
        yield phrases, Claim(present, dict.fromkeys(labels, ABSENT))
    yield other.ABNORMALITIES, Claim({OTHER: PRESENT}, {OTHER: ABSENT})
    yield other.ACUTE, anatomy.NO_ACUTE_DISEASE
    yield other.BONES, anatomy.NO_BONE_DISEASE
    yield other.DECOYS, Joint.PLAIN
    yield from ((phrases, Part(name)) for name, phrases in anatomy.PARTS.items())
    yield from ((phrases, State(name)) for name, phrases in anatomy.STATES.items())
    yield from ((phrases, cue) for cue, phrases in cues.CUES.items())
    yield from ((phrases, joint) for joint, phrases in cues.JOINTS.items())
