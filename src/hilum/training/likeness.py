"""Losses for retrieval: images of a kind close together, others apart.

All work on unit vectors and on two relations between the images of a batch, who is alike and who
is unlike, so that images with several findings are handled as those with one class: two images are
alike if they share a positive finding, unlike if they share none. Where hilum has no reason to do
better, the loss is pytorch-metric-learning's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from hilum.errors import UsageError

Loss = Literal["triplet", "triplet-hard", "multi-similarity", "supcon", "proxy-anchor"]
Indices = tuple[Tensor, ...]


@dataclass(frozen=True)
class LikenessSettings:
    """What defines the task of telling like from unlike.

    Parameters
    ----------
    loss
        ``"triplet"``: every triplet of the batch that violates the margin, averaged over those
        (batch-all; X-MIR). ``"triplet-hard"``: for each image the farthest of its kind and the
        nearest of another (Hermans et al., arXiv:1703.07737). ``"multi-similarity"``: pairs
        weighted by how hard they are (Wang et al., CVPR 2019). ``"supcon"``: supervised
        contrastive (Khosla et al., NeurIPS 2020). ``"proxy-anchor"``: one learnt vector per
        finding instead of pairs (Kim et al., CVPR 2020).
    margin
        Of the triplets, in Euclidean distance between unit vectors (0 to 2); of the proxies, in
        cosine.
    temperature
        Of ``"supcon"``.
    alpha, beta, base
        Of ``"multi-similarity"``; `alpha` is also the scale of ``"proxy-anchor"``.
    """

    loss: Loss = "multi-similarity"
    margin: float = 0.2
    temperature: float = 0.1
    alpha: float = 2.0
    beta: float = 50.0
    base: float = 0.5

    def __post_init__(self) -> None:
        if self.loss not in get_args(Loss):
            raise UsageError(
                f"{self.loss!r} is not a loss for likeness; choose from {', '.join(get_args(Loss))}"
            )
        for name in ("margin", "temperature", "alpha", "beta"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive; got {getattr(self, name)}")


def relations(positive: Tensor) -> tuple[Tensor, Tensor]:
    """Say which images of a batch are alike and which unlike.

    Parameters
    ----------
    positive : (n, f) bool
        The findings of each image.

    Returns
    -------
    (n, n) bool each; an image is neither alike nor unlike itself. Images without any positive
    finding are unlike all others.
    """
    shared = positive.float() @ positive.float().T > 0
    alike = shared.clone().fill_diagonal_(fill_value=False)
    unlike = (~shared).fill_diagonal_(fill_value=False)
    return alike, unlike


def likeness_loss(settings: LikenessSettings, vectors: Tensor, positive: Tensor,
                  proxies: Tensor | None = None) -> Tensor:  # fmt: skip
    """Return the loss of a batch.

    Parameters
    ----------
    vectors : (n, dim)
        Brought to length 1 here.
    positive : (n, f) bool
        The findings of each image.
    proxies : (f, dim)
        For ``"proxy-anchor"``: one vector per finding.

    Returns
    -------
    (); 0 where no pair or triplet of the batch counts.
    """
    if settings.loss == "proxy-anchor":
        assert proxies is not None
        return proxy_anchor(vectors, positive, proxies, settings.margin, settings.alpha)
    alike, unlike = relations(positive)
    return PAIRS[settings.loss](settings, functional.normalize(vectors.float(), dim=1), alike,
                                unlike)  # fmt: skip


def _triplet(settings: LikenessSettings, vectors: Tensor, alike: Tensor, unlike: Tensor) -> Tensor:
    from pytorch_metric_learning.losses import TripletMarginLoss

    wanted = alike[:, :, None] & unlike[:, None]  # (anchor, positive, negative)
    return _asked(TripletMarginLoss(margin=settings.margin), vectors, torch.where(wanted))


def _hard(settings: LikenessSettings, vectors: Tensor, alike: Tensor, unlike: Tensor) -> Tensor:
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.reducers import MeanReducer

    with torch.no_grad():
        cosines = vectors @ vectors.T
        farthest = cosines.masked_fill(~alike, torch.inf).argmin(dim=1)
        nearest = cosines.masked_fill(~unlike, -torch.inf).argmax(dim=1)
    anchors = torch.where(alike.any(dim=1) & unlike.any(dim=1))[0]
    loss = TripletMarginLoss(margin=settings.margin, reducer=MeanReducer())
    return _asked(loss, vectors, (anchors, farthest[anchors], nearest[anchors]))


def _multi_similarity(
    settings: LikenessSettings, vectors: Tensor, alike: Tensor, unlike: Tensor
) -> Tensor:
    from pytorch_metric_learning.losses import MultiSimilarityLoss

    loss = MultiSimilarityLoss(alpha=settings.alpha, beta=settings.beta, base=settings.base)
    return _asked(loss, vectors, (*torch.where(alike), *torch.where(unlike)))


def _supcon(settings: LikenessSettings, vectors: Tensor, alike: Tensor, unlike: Tensor) -> Tensor:
    from pytorch_metric_learning.losses import SupConLoss

    loss = SupConLoss(temperature=settings.temperature)
    return _asked(loss, vectors, (*torch.where(alike), *torch.where(unlike)))


def _asked(loss: nn.Module, vectors: Tensor, indices: Indices) -> Tensor:
    if not len(indices[0]):
        return vectors.sum() * 0
    nobody = torch.zeros(len(vectors), dtype=torch.long, device=vectors.device)  # labels unused
    found: Tensor = loss(vectors, nobody, indices_tuple=indices)
    return found


PAIRS: Final[dict[str, Callable[[LikenessSettings, Tensor, Tensor, Tensor], Tensor]]] = {
    "triplet": _triplet,
    "triplet-hard": _hard,
    "multi-similarity": _multi_similarity,
    "supcon": _supcon,
}


def proxy_anchor(
    vectors: Tensor, positive: Tensor, proxies: Tensor, margin: float, alpha: float
) -> Tensor:
    """Return the proxy anchor loss (Kim et al., CVPR 2020, arXiv:2003.13911, equation 4).

    Its sums over an image's class become sums over each finding that it has, so that an image
    with two findings is drawn to both proxies.

    Parameters
    ----------
    vectors : (n, dim)
    positive : (n, f) bool
    proxies : (f, dim)
        One per finding.
    margin, alpha
        Delta and alpha of the paper.
    """
    near = functional.normalize(vectors.float(), dim=1) @ functional.normalize(proxies, dim=1).T
    pulled = torch.where(positive, -alpha * (near - margin), -torch.inf)
    pushed = torch.where(positive, -torch.inf, alpha * (near + margin))
    there = positive.any(dim=0)
    pull = functional.softplus(torch.logsumexp(pulled, dim=0)).sum()
    push = functional.softplus(torch.logsumexp(pushed, dim=0)).sum()
    return pull / there.sum().clamp(min=1) + push / len(proxies)


def spread(vectors: Tensor, positive: Tensor, margin: float) -> dict[str, Tensor]:
    """Return numbers that tell learning from collapse, for the log.

    Returns
    -------
    ``distance``, the mean Euclidean distance between unit vectors (0 is collapse, 1.41 is what
    directions drawn at random have); ``active``, the share of triplets that violate the margin.
    """
    with torch.no_grad():
        unit = functional.normalize(vectors.float(), dim=1)
        apart = torch.cdist(unit, unit)
        alike, unlike = relations(positive)
        wanted = alike[:, :, None] & unlike[:, None]
        violated = apart[:, :, None] - apart[:, None] + margin > 1e-16
        count = len(vectors) * (len(vectors) - 1)
        share = (violated & wanted).sum() / wanted.sum().clamp(min=1)
        return {"distance": apart.sum() / max(count, 1), "active": share}
