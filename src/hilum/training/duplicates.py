"""Which texts are true of which images, as far as the words tell.

In a batch of reports the same sentence stands again and again: half of all films are normal, and
the films of a study share a report. Whoever takes these for negatives teaches that a film is not
what its own report says.

Two sentences are one here if they have the same words, whatever their case, spaces, punctuation
and list numbers; or nearly all words and pairs of neighbouring words in common (shingles: Broder,
SEQUENCES 1997). A report says a text if it has each of the text's sentences. The unit is the
sentence, because two reports of many words may have nearly all in common and differ in the one
that counts (measured in docs/choices.md). All are products of sparse matrices: no loop over pairs.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hilum.reports.words import words

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Vocabulary:
    """The different sentences of a set of reports, numbered, and the shingles of each.

    A shingle is a word, or two neighbouring words of a sentence.
    """

    def __init__(self) -> None:
        self._sentences: dict[tuple[str, ...], int] = {}
        self._shingles: dict[tuple[str, ...], int] = {}
        self._of_sentence: list[Codes] = []

    def __len__(self) -> int:
        return len(self._sentences)

    def code(self, sentence: str) -> int | None:
        """Return the number of a sentence, a new one if it is new; None if it has no word."""
        found = words(sentence)
        if not found:
            return None
        if found not in self._sentences:
            known = self._shingles
            shingles = {*((word,) for word in found), *pairwise(found)}
            codes = sorted(known.setdefault(shingle, len(known)) for shingle in shingles)
            self._of_sentence.append(np.array(codes, np.int64))
            self._sentences[found] = len(self._sentences)
        return self._sentences[found]

    def alike(self, sentences: Codes, least: float) -> csr_array:
        """Say which sentences share at least this part of their shingles (Jaccard index).

        Parameters
        ----------
        sentences : (n,)
            Their numbers.
        least
            Above 0; 1 is all of them.

        Returns
        -------
        (n, n) of 0 and 1.
        """
        has = _incidence([self._of_sentence[code] for code in sentences], len(self._shingles))
        both = (has @ has.T).tocoo()
        each = has.sum(axis=1)
        joined = each[both.row] + each[both.col] - both.data
        enough = both.data >= least * joined - 1e-9  # 17 of 20 is 0.85, whatever the last bit says
        ones = np.ones(int(enough.sum()), np.int32)
        return csr_array((ones, (both.row[enough], both.col[enough])), shape=both.shape)


def said(
    reports: Sequence[Codes], texts: Sequence[Codes], vocabulary: Vocabulary, least: float = 1.0
) -> Mask:
    """Say which report has every sentence of which text, or one like it.

    Parameters
    ----------
    reports, texts
        The numbers of their sentences; none is empty.
    least
        What makes two sentences alike (`Vocabulary.alike`).

    Returns
    -------
    (reports, texts) bool
    """
    sets = [np.unique(codes) for codes in (*reports, *texts)]
    present, places = np.unique(np.concatenate(sets), return_inverse=True)
    parts = np.split(places, np.cumsum([len(codes) for codes in sets])[:-1])
    there = _incidence(parts[: len(reports)], len(present))
    asked = _incidence(parts[len(reports) :], len(present))
    has = there @ vocabulary.alike(present, least)
    has.data[:] = 1  # one sentence like it or two: it is there
    mask: Mask = (has @ asked.T).toarray() == asked.sum(axis=1)
    return mask


def same(texts: Sequence[Codes], vocabulary: Vocabulary, least: float = 1.0) -> Mask:
    """Say which texts have the same sentences, or ones like them, in any order: (n, n) bool."""
    one_way = said(texts, texts, vocabulary, least)
    return one_way & one_way.T


def _incidence(rows: Sequence[Codes], width: int) -> csr_array:
    """Return (rows, width), 1 where a row names a column; each names it once."""
    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.concatenate(rows)
    return csr_array((np.ones(len(columns), np.int32), columns, ends), shape=(len(rows), width))
