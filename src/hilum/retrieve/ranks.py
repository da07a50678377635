"""At which place an image finds its report, and a report its images, in two passes over the images.

A place is 1 more than the number of wrong answers that are as near as the nearest right one, or
nearer. So ties count against the encoder: one that gives all the same vector finds nothing.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]
Batches = Callable[[], Iterable[Vectors]]
"""Starts over: the images' vectors (n, dim) of length 1 in row order, some at a time."""

TIE: Final = 1e-6
"""Cosines in float32 that differ by less are equal."""

_TEXTS_AT_ONCE: Final = 4096


def places(images: Batches, texts: Vectors, owner: Ints) -> tuple[Ints, Ints]:
    """Rank each image's report among all reports, and each report's images among all images.

    Parameters
    ----------
    images
        The images.
    texts : (m, dim)
        The different reports, each once, of length 1.
    owner : (n,)
        The report of each image; every report has at least one.

    Returns
    -------
    (n,), the place of each image's report among the m; and (m,), the place of the first of a
    report's images among all n, its other images left aside.

    Notes
    -----
    Memory: the texts, a batch of images and their products with 4,096 texts.
    """
    own = np.empty(len(owner), np.float32)
    for start, vectors in _numbered(images):
        rows = slice(start, start + len(vectors))
        own[rows] = np.einsum("nd,nd->n", vectors, texts[owner[rows]])
    best = np.full(len(texts), -np.inf, np.float32)
    np.maximum.at(best, owner, own)
    before_text, before_image = np.zeros(len(owner), np.int64), np.zeros(len(texts), np.int64)
    for start, vectors in _numbered(images):
        rows = slice(start, start + len(vectors))
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            columns = slice(first, first + _TEXTS_AT_ONCE)
            cosines = _wrong_answers(vectors, texts[columns], owner[rows] - first)
            before_text[rows] += (cosines >= own[rows, None] - TIE).sum(axis=1)
            before_image[columns] += (cosines >= best[columns] - TIE).sum(axis=0)
    return 1 + before_text, 1 + before_image


def _wrong_answers(vectors: Vectors, texts: Vectors, own: Ints) -> Vectors:
    """Return the cosines (n, m), those of an image with its own report put below all others."""
    cosines = vectors @ texts.T
    here = np.flatnonzero((own >= 0) & (own < len(texts)))
    cosines[here, own[here]] = -np.inf
    return cosines


def _numbered(images: Batches) -> Iterable[tuple[int, Vectors]]:
    start = 0
    for vectors in images():
        yield start, vectors
        start += len(vectors)
