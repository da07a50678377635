"""What a selection is worth: label it, score the query by it, and take the AUROC.

The predictor is MedSelect's (Smit et al., Medical Imaging with Deep Learning 2021,
arXiv:2103.14339), which is `hilum.predictors.cosine_prototypes` with one finding. Here it runs over
many tasks at once, in NumPy; `reward_torch` has the same for training.
"""

from collections.abc import Iterator
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata, t

from hilum.errors import UsageError
from hilum.evaluate import Measure
from hilum.predictors import Embeddings, Floats
from hilum.select.tasks import Tasks

Metric = Literal["cosine", "euclidean"]

_BLOCK_BYTES: Final = 64 * 2**20  # of float64 gathered at once


def rewards(
    vectors: Embeddings,
    tasks: Tasks,
    picks: ArrayLike,
    weights: ArrayLike | None = None,
    metric: Metric = "cosine",
) -> Floats:
    """Judge a selection for each task.

    Parameters
    ----------
    vectors : (n_images, dim)
        What the rows of the tasks point into.
    tasks
        The tasks.
    picks : (n_tasks, k)
        Positions in each task's pool. One that is there twice counts twice.
    weights : (n_tasks, k)
        How much each pick counts in its class's mean; all the same if None.
    metric
        ``"cosine"`` or ``"euclidean"``.

    Returns
    -------
    (n_tasks,)
        AUROC on each query.

    Raises
    ------
    UsageError
        If there is no such metric.
    ValueError
        If the picks do not fit the tasks, or as in `prototype_scores`.
    """
    chosen = np.asarray(picks, dtype=np.int64)
    n_tasks, n_pool = tasks.pool.shape
    if chosen.ndim != 2 or len(chosen) != n_tasks or not chosen.size:
        raise ValueError(
            f"picks must be ({n_tasks}, k) with k of 1 or more, a row per task; got {chosen.shape}"
        )
    if chosen.min() < 0 or chosen.max() >= n_pool:
        raise ValueError(
            f"picks must be positions in the pool, 0 to {n_pool - 1}; "
            f"got {chosen.min()} to {chosen.max()}"
        )
    share = np.ones(chosen.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    out = np.empty(n_tasks)
    for part in _blocks(n_tasks, (chosen.shape[1] + tasks.query.shape[1]) * vectors.shape[1]):
        rows = np.take_along_axis(tasks.pool[part], chosen[part], axis=1)
        labels = np.take_along_axis(tasks.pool_labels[part], chosen[part], axis=1)
        query = vectors[tasks.query[part]]
        scores = prototype_scores(query, vectors[rows], labels, share[part], metric)
        out[part] = aurocs(scores, tasks.query_labels[part])
    return out


def prototype_scores(
    query: Embeddings,
    labelled: Embeddings,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    metric: Metric = "cosine",
) -> Floats:
    """Score queries by what they are nearer to on average, positives or negatives.

    Parameters
    ----------
    query : (n_tasks, n_query, dim)
        What to score.
    labelled : (n_tasks, k, dim)
        The labelled images of each task.
    labels : (n_tasks, k)
        1 or 0.
    weights : (n_tasks, k)
        How much each labelled image counts in its class's mean; all the same if None.
    metric
        ``"cosine"``: mean cosine to the positives less that to the negatives; ``"euclidean"``:
        mean distance to the negatives less that to the positives.

    Returns
    -------
    (n_tasks, n_query)
        Higher is likelier positive. The mean over a class without examples is 0.

    Raises
    ------
    UsageError
        If there is no such metric.
    ValueError
        If a label is not 1 or 0, a weight is negative or not finite, or a vector is zero or not
        finite (`TaskSource` refuses those).
    """
    if metric not in get_args(Metric):
        raise UsageError(f"{metric!r} is not a metric; choose from {', '.join(get_args(Metric))}")
    contrast = _contrast(np.asarray(labels), np.shape(labelled)[:2], weights)  # (n_tasks, k)
    if metric == "euclidean":
        pairs = zip(query, labelled, contrast, strict=True)
        return -np.stack([cdist(one, others) @ shares for one, others, shares in pairs])
    # mean cosines are linear in the query: both classes fold into one direction per task
    direction = np.einsum("tk,tkd->td", contrast, _unit(labelled))
    scores = np.matmul(_unit(query), direction[:, :, None])[:, :, 0]
    return np.asarray(scores, dtype=np.float64)


def aurocs(scores: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the area under each row's ROC curve, ties counting one half.

    Parameters
    ----------
    scores, truth : (n_tasks, n_query)
        Finite scores; truth 1 or 0.

    Returns
    -------
    (n_tasks,)
        NaN where the truth has one class only. Each is `hilum.evaluate.auroc` of its row.

    >>> aurocs([[0.9, 0.4, 0.4, 0.1]], [[1, 1, 0, 0]])
    array([0.875])
    """
    positive = np.asarray(truth) == 1
    n_positive, n_negative = positive.sum(axis=1), (~positive).sum(axis=1)
    # the positives' ranks less those they would have among themselves: Mann and Whitney's U
    ranks = (rankdata(np.asarray(scores, dtype=np.float64), axis=1) * positive).sum(axis=1)
    wins, pairs = ranks - n_positive * (n_positive + 1) / 2, n_positive * n_negative
    out = np.full(len(pairs), np.nan)
    return np.asarray(np.divide(wins, pairs, out=out, where=pairs > 0), dtype=np.float64)


def improvement(differences: ArrayLike, level: float = 0.95) -> Measure:
    """Return the mean of paired differences with Student's interval and p-value.

    MedSelect's way to compare two selections on the same tasks. Its units are the tasks: the
    interval says how the mean would vary over other tasks from the same images, not over other
    patients.

    Parameters
    ----------
    differences : (n_tasks,)
        The reward of one selection less that of the other, finite.
    level
        Coverage of the interval.

    Raises
    ------
    ValueError
        If the differences are not one finite number per task, or the level is not above 0 and
        below 1.
    """
    gain = np.asarray(differences, dtype=np.float64)
    if gain.ndim != 1 or not np.isfinite(gain).all() or not 0 < level < 1:
        raise ValueError(
            "differences must be (n_tasks,) finite numbers and the level above 0 and below 1; "
            f"got shape {gain.shape}, {int((~np.isfinite(gain)).sum())} not finite, level {level}"
        )
    if gain.size < 2:
        mean = float(gain[0]) if gain.size else None
        return Measure(mean, reason=f"an interval needs two tasks or more, there is {gain.size}")
    mean, error = float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(gain.size))
    if np.ptp(gain) == 0:
        return Measure(mean, mean, mean, reason="no p-value: all differences are the same")
    reach = float(t.ppf((1 + level) / 2, gain.size - 1)) * error
    p_value = 2 * float(t.sf(abs(mean) / error, gain.size - 1))
    return Measure(mean, mean - reach, mean + reach, p_value=p_value)


def _contrast(
    labels: NDArray[np.generic], shape: tuple[int, ...], weights: ArrayLike | None
) -> Floats:
    """Return each class's shares (n_tasks, k), which add up to 1, the negatives' with a minus."""
    weight = np.ones(shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if labels.shape != shape or weight.shape != shape:
        raise ValueError(
            f"labels and weights must be {shape}, one for each labelled image; "
            f"got {labels.shape} and {weight.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 1 or 0")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("weights must be finite and not negative")
    share = []
    for value in (1, 0):
        part = np.where(labels == value, weight, 0.0)
        total = part.sum(axis=1, keepdims=True)
        share.append(np.divide(part, total, out=np.zeros(shape), where=total > 0))
    return np.asarray(share[0] - share[1], dtype=np.float64)


def _unit(vectors: Embeddings) -> Floats:
    out = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(out, axis=-1, keepdims=True)
    if not (np.isfinite(length) & (length > 0)).all():
        raise ValueError("a vector is zero or not finite; leave its image out of the tasks")
    return np.asarray(out / length, dtype=np.float64)


def _blocks(n_tasks: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK_BYTES // (8 * width))
    return (slice(start, start + step) for start in range(0, n_tasks, step))
