"""Sentences of a dictated text: numbers, lists, abbreviations and redactions do not break them."""

import re
from collections.abc import Iterator
from typing import Final

_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n\s*")
_GLUED: Final = re.compile(r"(?<=[^\W\d_]{2})([.!?]{1,3})(?=[^\W\d_]{2}|\d{1,2}[.)]\s)")
_MARK: Final = re.compile(r"\(?(\d{1,2})[.)](?=$|[^\W\d])")  # 1.  2)  (3)  and 1.Small
_BULLETS: Final = frozenset("-*•–·")
_CLOSING: Final = "\"')]}”’"
_INITIAL: Final = re.compile(r"\(?[^\W\d_]\.")
_ABBREVIATIONS: Final = frozenset({
    "dr.", "drs.", "mr.", "mrs.", "ms.", "prof.", "st.", "jr.", "sr.", "m.d.", "d.o.", "r.n.",
    "vs.", "e.g.", "i.e.", "eg.", "ie.", "cf.", "ca.", "approx.", "resp.", "incl.", "esp.", "fig.",
    "a.m.", "p.m.", "hosp.", "dept.", "ext.",
})  # fmt: skip


def sentences(text: str) -> tuple[str, ...]:
    """Divide a text into sentences, each with single spaces and without its list number.

    A sentence ends with a full stop, question or exclamation mark after a word that is no
    abbreviation and no initial, before an item of a numbered or bulleted list, and at a blank
    line. A single line break does not end it: dictated reports are wrapped.

    >>> sentences("1. Nodule of 3.5 cm, seen by Dr. ___. 2. No effusion.No edema")
    ('Nodule of 3.5 cm, seen by Dr. ___.', 'No effusion.', 'No edema')
    """
    found: list[str] = []
    for paragraph in _BLANK_LINE.split(text):
        found += _of_paragraph(_GLUED.sub(r"\1 ", paragraph))
    return tuple(found)


def _of_paragraph(text: str) -> Iterator[str]:
    words: list[str] = []
    expected = 1  # the number of the next item of a list
    for line in text.split("\n"):
        for place, word in enumerate(line.split()):
            mark = _MARK.match(word)
            starts = not words or place == 0
            if mark and (starts or int(mark[1]) == expected > 1):
                yield from _joined(words)
                expected, words = int(mark[1]) + 1, []
                word = word[mark.end() :]
            elif place == 0 and word in _BULLETS:
                yield from _joined(words)
                word, words = "", []
            words += [word] if word else []
            if word and _ends_sentence(word):
                yield from _joined(words)
                words = []
    yield from _joined(words)


def _joined(words: list[str]) -> Iterator[str]:
    if words:
        yield " ".join(words)


def _ends_sentence(word: str) -> bool:
    bare = word.rstrip(_CLOSING)
    if not bare.endswith((".", "!", "?")) or bare == "?":  # "? pneumonia" asks what follows
        return False
    return bare.lower() not in _ABBREVIATIONS and not _INITIAL.fullmatch(bare)
