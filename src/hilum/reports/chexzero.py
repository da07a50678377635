"""CheXzero's rules for the impression of a MIMIC-CXR report, exactly as released.

Tiu et al., Nat. Biomed. Eng. 2022, doi:10.1038/s41551-022-00936-9, and its released
preprocessing. For parity with its texts; `hilum.reports.impression` reads more reports.
"""

from collections.abc import Sequence
from typing import Final

NO_IMPRESSION: Final = "NO IMPRESSION"
"""Its text for a report without the word ``IMPRESSION:``."""

_RECOMMENDATIONS: Final = ("RECOMMENDATION(S):", "RECOMMENDATION:", "RECOMMENDATIONS:")
_NOTIFICATIONS: Final = ("NOTIFICATION:", "NOTIFICATIONS:")


def chexzero_impression(text: str) -> str:
    """Return what CheXzero trains on for a report.

    Words are divided by spaces, and a heading is one whole word in capitals. The text starts
    after the last ``IMPRESSION:``. It ends before the first ``RECOMMENDATION(S):`` of the whole
    report or, without one, ``RECOMMENDATION:`` or ``RECOMMENDATIONS:`` (the order of spelling
    counts, not of place), and before the first ``NOTIFICATION:`` or, without one,
    ``NOTIFICATIONS:``; the earlier of the two. One that is the report's first word is not seen.
    So the text is empty where an end comes before the impression.

    >>> chexzero_impression("IMPRESSION: Mild edema. NOTIFICATION: none.")
    'Mild edema.'
    """
    words = text.split()
    if "IMPRESSION:" not in words:
        return NO_IMPRESSION
    begin = len(words) - words[::-1].index("IMPRESSION:")
    ends = [_first(words, spellings) for spellings in (_RECOMMENDATIONS, _NOTIFICATIONS)]
    end = min((place for place in ends if place), default=len(words))
    return " ".join(words[begin:end])


def _first(words: Sequence[str], spellings: Sequence[str]) -> int:
    """Return the place of the first spelling that occurs; 0 without any, and for the first word."""
    return next((words.index(name) for name in spellings if name in words), 0)
