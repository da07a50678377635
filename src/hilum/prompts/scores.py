"""From vectors of sentences and of images to scores.

Images and sentences lie in one space, all of length 1: their product is a cosine. CheXzero (Tiu
et al., Nature Biomedical Engineering 2022, doi:10.1038/s41551-022-00936-9) compares the cosine
with "X" with that of "no X".
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hilum.prompts.pairs import PromptPair

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Encode = Callable[[Sequence[str]], Vectors]
"""Texts → (n, dim) float32, rows of length 1."""

_AT_ONCE: Final = 8192  # images in one product of float64
_NO_LENGTH: Final = 1e-6  # of the mean of unit vectors in float32 that cancel out
_EQUAL: Final = 1e-12  # cosines that differ by less differ by rounding


def prompt_vectors(pairs: Sequence[PromptPair], encode: Encode) -> Vectors:
    """Return the two vectors of each pair: the mean of a side's sentences, of length 1 again.

    Parameters
    ----------
    pairs
        What is asked.
    encode
        Called once, with every different sentence once.

    Returns
    -------
    (k, 2, dim)
        ``[:, 0]`` says present, ``[:, 1]`` absent.

    Raises
    ------
    ValueError
        As `mean_vectors`, or if there is no pair.
    """
    if not pairs:
        raise ValueError("there is no pair to encode")
    sides = [side for pair in pairs for side in (pair.present, pair.absent)]
    return mean_vectors(sides, encode).reshape(len(pairs), 2, -1)


def mean_vectors(groups: Sequence[Sequence[str]], encode: Encode) -> Vectors:
    """Return one vector per group of sentences: their mean, of length 1 again.

    Parameters
    ----------
    groups
        At least one, of at least one sentence each.
    encode
        Called once, with every different sentence once.

    Returns
    -------
    (n_groups, dim)

    Raises
    ------
    ValueError
        If the sentences of a group point in opposite directions, so that they have no mean.
    """
    place = {text: at for at, text in enumerate(dict.fromkeys(t for one in groups for t in one))}
    found = np.asarray(encode(tuple(place)), dtype=np.float64)
    means = np.stack([found[[place[text] for text in one]].mean(axis=0) for one in groups])
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    if (norms < _NO_LENGTH).any():
        first = groups[int((norms < _NO_LENGTH).argmax())][0]
        raise ValueError(
            f"{first!r} and the sentences it is averaged with cancel out: their mean has no "
            "direction"
        )
    vectors: Vectors = (means / norms).astype(np.float32)
    return vectors


def pair_scores(images: Vectors, prompts: Vectors, *, scale: float = 1.0) -> Floats:
    """Score images by the softmax over the two cosines of each pair.

    Parameters
    ----------
    images : (n, dim)
        Rows of length 1.
    prompts : (k, 2, dim)
        As `prompt_vectors` gives them.
    scale
        Multiplies the cosines. 1 is CheXzero's, whose scores all lie near 0.5; what training
        multiplied them with spreads them out. Neither changes the order of images.

    Returns
    -------
    (n, k)
        sigmoid(scale × (cosine with present − cosine with absent)): above 0.5 is nearer to
        present. Not a calibrated probability.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the scale is not above 0.
    """
    if prompts.ndim != 3 or prompts.shape[1] != 2:
        raise ValueError(f"prompts are (k, 2, dim); got {prompts.shape}")
    if not 0 < scale < np.inf:
        raise ValueError(f"a scale is above 0 and finite; got {scale}")
    two = prompts.astype(np.float64)
    gaps = _cosines(images, two[:, 0] - two[:, 1])
    scores: Floats = expit(scale * gaps)
    return scores


def class_scores(images: Vectors, classes: Vectors) -> Floats:
    """Score images for classes that exclude each other: the sexes, the views.

    CheXzero without its softmax: an image's cosines with all classes, less their mean, over
    their standard deviation, through the sigmoid.

    Parameters
    ----------
    images : (n, dim)
        Rows of length 1.
    classes : (k, dim)
        One vector for each class, of length 1; at least two.

    Returns
    -------
    (n, k)
        NaN where all the cosines of an image are equal. With two classes there are two values,
        sigmoid(1) and sigmoid(-1): the score says which, and not by how much.

    Raises
    ------
    ValueError
        If the shapes do not fit or there is one class.
    """
    if classes.ndim != 2 or len(classes) < 2:
        raise ValueError(f"classes are (k, dim), two at least; got {classes.shape}")
    cosines = _cosines(images, classes.astype(np.float64))
    spread = cosines.std(axis=1, keepdims=True)
    centred = cosines - cosines.mean(axis=1, keepdims=True)
    scores: Floats = expit(
        np.divide(centred, spread, out=np.full_like(centred, np.nan), where=spread > _EQUAL)
    )
    return scores


def _cosines(images: Vectors, directions: Floats) -> Floats:
    """Multiply in float64, some images at a time: (n, dim), (k, dim) to (n, k)."""
    if images.ndim != 2 or images.shape[1] != directions.shape[1]:
        raise ValueError(
            f"images of shape {images.shape} and texts of length {directions.shape[1]} are not "
            "vectors of one space"
        )
    out = np.empty((len(images), len(directions)))
    for start in range(0, len(images), _AT_ONCE):
        out[start : start + _AT_ONCE] = images[start : start + _AT_ONCE] @ directions.T
    return out
