"""The reward on the device, for training: the same as `reward`, and a smooth AUROC with a gradient.

Everything runs over all tasks of a step at once and waits for nothing: no check looks at values,
so vectors must be finite and none zero (`TaskSource` sees to it).
"""

import torch
from torch import Tensor

from hilum.errors import UsageError
from hilum.select.reward import Metric


def prototype_scores(
    query: Tensor,
    labelled: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    metric: Metric = "cosine",
) -> Tensor:
    """Score queries as `hilum.select.reward.prototype_scores` does.

    Shapes are the same: query (n_tasks, n_query, dim), labelled (n_tasks, k, dim), labels and
    weights (n_tasks, k), result (n_tasks, n_query). With a whole pool as `labelled` and soft
    choices as `weights` the scores have a gradient in the weights; no unit copy of the pool is
    made. Autocast is off here: in bfloat16 many of a hundred cosines would tie.

    Raises
    ------
    UsageError
        If there is no such metric.
    """
    with torch.autocast(query.device.type, enabled=False):
        weight = torch.ones_like(labels) if weights is None else weights
        contrast = _contrast(labels.to(query.dtype), weight.to(query.dtype))  # (n_tasks, k)
        if metric == "euclidean":
            # by differences: by products, equal vectors would not be at distance 0
            distance = torch.cdist(query, labelled, compute_mode="donot_use_mm_for_euclid_dist")
            return -(distance @ contrast[:, :, None])[:, :, 0]
        if metric != "cosine":
            raise UsageError(f"{metric!r} is not a metric; choose from cosine, euclidean")
        shares = contrast / torch.linalg.vector_norm(labelled, dim=-1)
        direction = (shares[:, None] @ labelled)[:, 0]  # (n_tasks, dim)
        along = (query @ direction[:, :, None])[:, :, 0]
        scores: Tensor = along / torch.linalg.vector_norm(query, dim=-1)
        return scores


def aurocs(scores: Tensor, truth: Tensor) -> Tensor:
    """Return the area under each row's ROC curve, ties counting one half; it has no gradient.

    Parameters
    ----------
    scores, truth : (n_tasks, n_query)
        Finite scores; truth 1 or 0.

    Returns
    -------
    (n_tasks,)
        NaN where the truth has one class only.
    """
    scores, positive = scores.detach().contiguous(), truth.bool()
    ordered = scores.sort(dim=1).values
    # twice the number of queries below, ties counting one half, in whole numbers: exact
    below = torch.searchsorted(ordered, scores)
    twice = below + torch.searchsorted(ordered, scores, right=True)
    n_positive, n_negative = positive.sum(dim=1), (~positive).sum(dim=1)
    wins = (twice * positive).sum(dim=1) - n_positive**2  # less those against positives
    return wins.to(scores.dtype) / (2 * n_positive * n_negative)


def smooth_aurocs(scores: Tensor, truth: Tensor, temperature: float) -> Tensor:
    """Return each row's AUROC with a sigmoid in the place of "is higher than"; it has a gradient.

    The mean of sigmoid((positive - negative) / temperature) over all pairs. It tends to `aurocs` as
    the temperature falls, ties counting one half at any temperature, and to 1/2 as it rises.

    Parameters
    ----------
    scores, truth : (n_tasks, n_query)
        As in `aurocs`.
    temperature
        Above 0, in units of the scores. Pairs much further apart than it have no gradient.

    Returns
    -------
    (n_tasks,)
        NaN where the truth has one class only.

    Raises
    ------
    UsageError
        If the temperature is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"the temperature must be above 0; got {temperature}")
    positive = truth.to(scores.dtype)
    pair = positive[:, :, None] * (1 - positive)[:, None, :]  # (n_tasks, n_query, n_query)
    win = torch.sigmoid((scores[:, :, None] - scores[:, None, :]) / temperature)
    return (win * pair).sum(dim=(1, 2)) / pair.sum(dim=(1, 2))


def _contrast(labels: Tensor, weights: Tensor) -> Tensor:
    """Return each class's shares (n_tasks, k), which add up to 1, the negatives' with a minus."""
    positive, negative = weights * labels, weights * (1 - labels)
    return _shares(positive) - _shares(negative)


def _shares(weights: Tensor) -> Tensor:
    total = weights.sum(dim=1, keepdim=True)
    return weights / torch.where(total > 0, total, torch.ones_like(total))
