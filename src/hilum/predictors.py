"""From a few labelled vectors to scores for any others.

Three ways and a variant, none of which needs a GPU or knows what an image is:

``cosine``
    Nearer to the labelled images that have the finding, or to those that have not? MedSelect's
    predictor (Smit et al., Medical Imaging with Deep Learning 2021, arXiv:2103.14339), which is
    a prototype classifier. It works from the first label on.
``euclidean``
    The same by distances.
``knn``
    The vote of the nearest labelled images, weighted by likeness (Wu et al., CVPR 2018,
    arXiv:1805.01978).
``probe``
    Logistic regression on the embedding.

Every finding has its own labelled images: one that is unknown for a finding takes no part in it.
Scores rank images; they are not calibrated probabilities.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from hilum.errors import UsageError

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Embeddings = NDArray[np.floating]
Floats = NDArray[np.float64]

_BLOCK_BYTES: Final = 32 * 2**20  # of float64 per block of query rows


@dataclass(frozen=True, eq=False)
class Predicted:
    """Scores of some images for some findings.

    Parameters
    ----------
    scores : (n_images, n_findings)
        Higher is likelier; a column of NaN where the labels do not suffice.
    notes
        By column, why it is NaN, or what its scores lack.
    """

    scores: Floats
    notes: dict[int, str]


# --------------------------------------------------------------------------- cosine


def cosine_prototypes(
    embeddings: Embeddings,
    labelled: Embeddings,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
) -> Predicted:
    """Score by the mean cosine to the positives minus the mean cosine to the negatives.

    Parameters
    ----------
    embeddings : (n_images, dim)
        What to score.
    labelled : (n_labelled, dim)
        Embeddings of the labelled images.
    labels : (n_labelled, n_findings)
        1, 0 or NaN (unknown).
    weights : (n_labelled,) or (n_labelled, n_findings)
        How much each labelled image counts in its class's mean; by default all the same. A
        weight of 2 is the image drawn twice.

    Returns
    -------
    Scores in [-2, 2]. The mean over a class without examples is 0, as in MedSelect, so that
    one class ranks images by likeness to it; the notes say so.

    Raises
    ------
    UsageError
        If shapes do not fit, a label is not 1, 0 or NaN, a weight is negative, or a vector is
        zero (it has no direction) or not finite.
    """
    target, weight = _targets(embeddings, labelled, labels, weights)
    # mean cosines are linear in the query: both prototypes fold into one direction per finding
    direction = _unit(labelled, "labelled").T @ _contrast(target, weight)  # (dim, n_findings)
    scores = np.empty((len(embeddings), target.shape[1]))
    for rows in _blocks(len(embeddings), embeddings.shape[1]):
        scores[rows] = _unit(embeddings[rows], "image") @ direction
    return _blank(scores, target * np.where(weight > 0, 1.0, np.nan), one_class_is_enough=True)


def euclidean_prototypes(
    embeddings: Embeddings,
    labelled: Embeddings,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
) -> Predicted:
    """Score by the mean distance to the negatives minus the mean distance to the positives.

    Parameters, notes and errors as in `cosine_prototypes`; here a zero vector is allowed.
    """
    from scipy.spatial.distance import cdist

    target, weight = _targets(embeddings, labelled, labels, weights)
    contrast = -_contrast(target, weight)
    known = _finite(labelled, "labelled")
    scores = np.empty((len(embeddings), target.shape[1]))
    for rows in _blocks(len(embeddings), embeddings.shape[1] + len(labelled)):
        scores[rows] = cdist(_finite(embeddings[rows], "image"), known) @ contrast
    return _blank(scores, target * np.where(weight > 0, 1.0, np.nan), one_class_is_enough=True)


def _contrast(target: Floats, weight: Floats) -> Floats:
    """Return (n_labelled, n_findings): each class's shares, the negatives' with a minus."""
    share = [np.where(target == value, weight, 0.0) for value in (1, 0)]
    total = [part.sum(axis=0) for part in share]
    mean = [
        np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
        for part, whole in zip(share, total, strict=True)
    ]
    return np.asarray(mean[0] - mean[1], dtype=np.float64)


# --------------------------------------------------------------------------- neighbours


def nearest_neighbours(
    embeddings: Embeddings,
    labelled: Embeddings,
    labels: ArrayLike,
    k: int = 10,
    temperature: float = 0.07,
) -> Predicted:
    """Score by the vote of the k most similar labelled images.

    A neighbour's vote counts exp(cosine / temperature). Parameters and errors as in
    `cosine_prototypes`; with fewer than k labels for a finding, all of them vote.

    Returns
    -------
    Scores in [0, 1]; NaN with a note where a finding has labels of one class only, whose vote
    would be the same for every image.
    """
    if k < 1 or not temperature > 0:
        raise UsageError(f"k must be 1 or more and temperature above 0, got {k}, {temperature}")
    target, _ = _targets(embeddings, labelled, labels, None)
    known = _unit(labelled, "labelled")
    scores = np.empty((len(embeddings), target.shape[1]))
    for rows in _blocks(len(embeddings), embeddings.shape[1] + 4 * len(labelled)):
        likeness = _unit(embeddings[rows], "image") @ known.T  # (block, n_labelled)
        for column in range(target.shape[1]):
            voters = ~np.isnan(target[:, column])
            if voters.any():
                scores[rows, column] = _vote(
                    likeness[:, voters], target[voters, column], k, temperature
                )
    return _blank(scores, target, one_class_is_enough=False)


def _vote(likeness: Floats, label: Floats, k: int, temperature: float) -> Floats:
    if k < label.size:
        nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
        likeness, label = np.take_along_axis(likeness, nearest, axis=1), label[nearest]
    # relative to the nearest one, so that no exponential overflows and no sum is 0
    weight = np.exp((likeness - likeness.max(axis=1, keepdims=True)) / temperature)
    return np.asarray((weight * label).sum(axis=1) / weight.sum(axis=1), dtype=np.float64)


# --------------------------------------------------------------------------- probe

PROBE_STRENGTHS: Final = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse strengths C of the L2 penalty that cross-validation tries."""

ENOUGH_TO_TUNE: Final = 10
"""Labels of the rarer class from which on C is tuned; below, folds hold one or two of them."""


def linear_probe(
    embeddings: Embeddings, labelled: Embeddings, labels: ArrayLike, seed: int = 0
) -> Predicted:
    """Score by logistic regression on the embedding, one per finding.

    Features are standardised by the labelled images alone and divided by the square root of
    their number, so that one scale of penalties suits every embedding. C is the one of
    `PROBE_STRENGTHS` with the least five-fold log loss among the labelled images, or 1 where
    the rarer class has fewer than `ENOUGH_TO_TUNE` labels. Parameters and errors as in
    `cosine_prototypes`.

    Parameters
    ----------
    seed
        Of the division into folds.

    Returns
    -------
    Log odds; NaN with a note where a finding has labels of one class only.
    """
    target, _ = _targets(embeddings, labelled, labels, None)
    known = _finite(labelled, "labelled")
    n_findings = target.shape[1]
    slope, offset = np.zeros((known.shape[1], n_findings)), np.zeros(n_findings)
    # One thread: the matrices are small, so that threads cost half the speed, and sums taken in
    # one order give the same bits on machines with other numbers of cores.
    with threadpool_limits(limits=1):
        for column in range(n_findings):
            rows = ~np.isnan(target[:, column])
            if np.unique(target[rows, column]).size == 2:
                slope[:, column], offset[column] = _fit(known[rows], target[rows, column], seed)
    scores = np.empty((len(embeddings), n_findings))
    for block in _blocks(len(embeddings), embeddings.shape[1]):
        scores[block] = _finite(embeddings[block], "image") @ slope + offset
    return _blank(scores, target, one_class_is_enough=False)


def _fit(features: Floats, label: Floats, seed: int) -> tuple[Floats, float]:
    """Return slope (dim,) and offset of the log odds in the embedding's own coordinates."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0) * np.sqrt(features.shape[1])
    scaled = (features - centre) / scale
    # the penalty does not see rotations, so the span of the labelled images holds the solution;
    # with 50 labels in 512 dimensions, solving there is ten times less work
    _, singular, axes = np.linalg.svd(scaled, full_matrices=False)
    axes = axes[singular > singular.max() * 1e-10]
    if not len(axes):  # all labelled images look the same: nothing to learn but how many
        return np.zeros(features.shape[1]), float(np.log(label.mean() / (1 - label.mean())))
    reduced = scaled @ axes.T
    model = _logistic(reduced, label, _strength(reduced, label, seed))
    slope = (axes.T @ model.coef_[0]) / scale
    return slope, float(model.intercept_[0] - centre @ slope)


def _logistic(features: Floats, label: Floats, strength: float) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000, tol=1e-6).fit(features, label)


def _strength(features: Floats, label: Floats, seed: int) -> float:
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    if min((label == 1).sum(), (label == 0).sum()) < ENOUGH_TO_TUNE:
        return 1.0
    folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(features, label))

    def loss(strength: float) -> float:
        total = 0.0
        for train, test in folds:
            model = _logistic(features[train], label[train], strength)
            total += log_loss(label[test], model.predict_proba(features[test])[:, 1])
        return total

    return min(PROBE_STRENGTHS, key=loss)


# --------------------------------------------------------------------------- shared checks


def _targets(
    embeddings: Embeddings,
    labelled: Embeddings,
    labels: ArrayLike,
    weights: ArrayLike | None,
) -> tuple[Floats, Floats]:
    """Return labels and weights, both (n_labelled, n_findings), once everything fits."""
    target = np.asarray(labels, dtype=np.float64)
    if target.ndim != 2 or len(labelled) != len(target):
        raise UsageError(
            "labels must be (n_labelled, n_findings) with a row per labelled image; "
            f"got {target.shape} for {len(labelled)} images"
        )
    if embeddings.ndim != 2 or labelled.ndim != 2 or embeddings.shape[1] != labelled.shape[1]:
        raise UsageError(
            "embeddings and labelled must be two-dimensional and share their last axis; "
            f"got {embeddings.shape} and {labelled.shape}"
        )
    if not np.isin(target[~np.isnan(target)], (0, 1)).all():
        raise UsageError("labels must be 1, 0 or NaN: choose a policy for uncertain ones")
    weight = np.ones(len(target)) if weights is None else np.asarray(weights, dtype=np.float64)
    weight = weight[:, None] if weight.ndim == 1 else weight
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise UsageError("weights must be finite and not negative")
    return target, np.broadcast_to(weight, target.shape)


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK_BYTES // (8 * max(1, width)))
    return (slice(start, start + step) for start in range(0, n_rows, step))


def _finite(vectors: Embeddings, what: str) -> Floats:
    out = np.asarray(vectors, dtype=np.float64)
    if count := int((~np.isfinite(out).all(axis=1)).sum()):
        raise UsageError(f"{count} {what} vectors are not finite; embed those images again")
    return out


def _unit(vectors: Embeddings, what: str) -> Floats:
    """Scale rows to unit length."""
    out = _finite(vectors, what)
    length = np.linalg.norm(out, axis=1, keepdims=True)
    if count := int((length == 0).sum()):
        raise UsageError(
            f"{count} {what} vectors are zero and have no direction; embed those images again"
        )
    return np.asarray(out / length, dtype=np.float64)


def _blank(scores: Floats, target: Floats, *, one_class_is_enough: bool) -> Predicted:
    """Put NaN where the labels do not suffice, and say why."""
    notes = {}
    for column in range(target.shape[1]):
        positive, negative = (bool((target[:, column] == value).any()) for value in (1, 0))
        if positive and negative:
            continue
        if not positive and not negative:
            notes[column] = "no labelled image"
        else:
            notes[column] = f"no labelled image is {'negative' if positive else 'positive'}"
        if one_class_is_enough and (positive or negative):
            notes[column] += "; scored by likeness to the others alone"
        else:
            scores[:, column] = np.nan
    return Predicted(scores, notes)


METHODS: Final[dict[str, Callable[..., Predicted]]] = {
    "cosine": cosine_prototypes,
    "euclidean": euclidean_prototypes,
    "knn": nearest_neighbours,
    "probe": linear_probe,
}
