"""Phrases written compactly, and a tree that finds them all in one walk over a sentence.

A phrase is words with single spaces. A word may list alternatives (``heart|cardiac``), endings
(``effusion(s)``, ``opacit(y,ies)``), or be left out (``the?``)::

    blunting of the? left|right costophrenic angle(s)

There is no other pattern: nothing can repeat, so a search takes a time linear in the length of the
sentence whatever it says, which regular expressions promise only to the careful.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Meaning = TypeVar("Meaning")

_WORD: Final = re.compile(r"[^\W_]+(?:\.\d+)?|__+|[,;:?/()]|\+/-")
_ENDINGS: Final = re.compile(r"([^(]*)\(([^)]*)\)")


def tokens(sentence: str) -> tuple[str, ...]:
    """Return a sentence's words and marks, in lower case; hyphens divide, apostrophes join.

    >>> tokens("Air-space disease, 3.5 cm; patient's edema?")
    ('air', 'space', 'disease', ',', '3.5', 'cm', ';', 'patients', 'edema', '?')
    """
    plain = sentence.casefold().replace("&", " and ").replace("'", "").replace("’", "")
    return tuple(_WORD.findall(plain))


@dataclass(frozen=True)
class Hit(Generic[Meaning]):
    """A phrase found: what it means, and its place among the tokens."""

    meaning: Meaning
    start: int
    end: int


class _Node(Generic[Meaning]):
    __slots__ = ("meaning", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node[Meaning]] = {}
        self.meaning: Meaning | None = None


class Lexicon(Generic[Meaning]):
    """Phrases and what they mean.

    Parameters
    ----------
    entries
        Pairs of a phrase and its meaning.

    Raises
    ------
    ValueError
        If one wording is given two meanings, or a phrase may be no words at all.
    """

    def __init__(self, entries: Iterable[tuple[str, Meaning]]) -> None:
        self._root: _Node[Meaning] = _Node()
        for phrase, meaning in entries:
            self._add(phrase, meaning)

    def _add(self, phrase: str, meaning: Meaning) -> None:
        ends = [self._root]
        for word in phrase.split():
            optional = len(word) > 1 and word.endswith("?")
            spellings = list(_spellings(word[:-1] if optional else word))
            onward = [node.next.setdefault(text, _Node()) for node in ends for text in spellings]
            ends = ends + onward if optional else onward
        for node in ends:
            if node is self._root or node.meaning not in (None, meaning):
                raise ValueError(f"the phrase {phrase!r} is empty or means two things")
            node.meaning = meaning

    def find(self, words: Sequence[str]) -> Iterator[Hit[Meaning]]:
        """Yield the phrases in a sentence from left to right: the longest at each place."""
        start = 0
        while start < len(words):
            hit = self._longest(words, start)
            if hit:
                yield hit
            start = hit.end if hit else start + 1

    def _longest(self, words: Sequence[str], start: int) -> Hit[Meaning] | None:
        node, hit = self._root, None
        for place in range(start, len(words)):
            following = node.next.get(words[place])
            if following is None:
                break
            node = following
            if node.meaning is not None:
                hit = Hit(node.meaning, start, place + 1)
        return hit


def _spellings(word: str) -> Iterator[str]:
    """Yield what a word of a phrase may be: its alternatives, each with its endings."""
    for alternative in word.split("|"):
        match = _ENDINGS.fullmatch(alternative)
        if match is None:
            yield alternative
        else:
            endings = match[2].split(",") if "," in match[2] else ["", match[2]]
            yield from (match[1] + ending for ending in endings)
