"""The words of a text: what is left when two texts are said to be the same."""

import re
from typing import Final

_WORD: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_LIST_NUMBER: Final = re.compile(r"(?:^\s*|(?<=[.;:!?])\s+|\n\s*)\(?\d{1,2}[.)](?=\s+\S)")


def words(text: str) -> tuple[str, ...]:
    """Return the words and numbers of a text, without case, punctuation and list numbers.

    >>> words("1. NO  acute process; 3.5-cm nodule.")
    ('no', 'acute', 'process', '3.5', 'cm', 'nodule')
    """
    return tuple(_WORD.findall(_LIST_NUMBER.sub(" ", text).casefold()))
