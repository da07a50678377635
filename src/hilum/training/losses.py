"""What a wrong answer about a finding costs: one function per loss, one number per label.

Every loss gives the cost of each label by itself, (images, findings), and `Loss` sums the known
ones: unknown labels cost nothing and have no gradient. Targets may lie between 0 and 1, where
readers disagree. Because costs are only ever summed, several processes that share a batch have
together the loss of one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from hilum.errors import UsageError
from hilum.training.processes import sum_over_ranks

LossName = Literal["study", "bce", "positive", "focal", "asymmetric", "adjusted", "auc"]


@dataclass(frozen=True)
class LossSettings:
    """Which loss, and its numbers.

    Parameters
    ----------
    loss
        A key of `LOSSES`.
    most_ratio
        ``positive``: a positive label weighs as many negatives as there are per positive, at most
        this many.
    focus
        ``focal``: the exponent gamma.
    focus_present, focus_absent, shift
        ``asymmetric``: exponents of positive and of negative labels, and what is taken off the
        probability of a negative before.
    strength
        ``adjusted``: how much of the log odds of the finding's frequency is put before the loss.
    gap
        ``auc``: by how much the mean score of positives shall exceed that of negatives.
    memory
        ``auc``: how much an earlier batch counts beside the one after it in those two means.
    """

    loss: LossName = "bce"
    most_ratio: float = 20.0
    focus: float = 2.0
    focus_present: float = 0.0
    focus_absent: float = 4.0
    shift: float = 0.05
    strength: float = 1.0
    gap: float = 1.0
    memory: float = 0.99

    def __post_init__(self) -> None:
        if self.loss not in get_args(LossName):
            raise UsageError(f"{self.loss!r} is not a loss; choose from {', '.join(LOSSES)}")
        for name in ("focus", "focus_present", "focus_absent", "strength", "gap"):
            if not 0 <= getattr(self, name) <= 1e3:
                raise UsageError(f"{name} cannot be {getattr(self, name)}: from 0 to 1000")
        for name in ("shift", "memory"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} cannot be {getattr(self, name)}: at least 0, below 1")
        if not self.most_ratio >= 1:
            raise UsageError(f"most_ratio must be at least 1; got {self.most_ratio}")


class Means(NamedTuple):
    """Mean probability of positives and of negatives, each (findings,), from the batches so far."""

    present: Tensor
    absent: Tensor


class Known(NamedTuple):
    """What a loss knows beside a batch.

    Parameters
    ----------
    frequency : (findings,)
        Share of positives among the labels that are drawn for training, above 0 and below 1.
    means
        For ``auc``.
    settings
        The loss's numbers.
    """

    frequency: Tensor
    means: Means
    settings: LossSettings


Cost = Callable[[Tensor, Tensor, Known], Tensor]
"""Logits and targets (0 to 1, none unknown), each (images, findings), to the cost of each."""


def study(logits: Tensor, targets: Tensor, known: Known) -> Tensor:
    """Return the NIH study's cost: a class weighs as much as the other is frequent.

    -(1 - f) y log p - f (1 - y) log(1 - p), which `Loss` averages over images and sums over
    findings. Without knowledge p = 1/2 is the best constant and costs 2 f (1 - f) log 2 a
    finding. The original adds 1e-7 inside the logarithms; this uses log-sigmoids, which need none.
    """
    present, absent = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    f = known.frequency
    return -(1 - f) * targets * present - f * (1 - targets) * absent


def bce(logits: Tensor, targets: Tensor, known: Known) -> Tensor:
    """Return the binary cross-entropy."""
    del known
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def positive(logits: Tensor, targets: Tensor, known: Known) -> Tensor:
    """Return the cross-entropy with each positive counted as often as there are negatives to it."""
    f = known.frequency
    ratio = ((1 - f) / f).clamp(max=known.settings.most_ratio)
    return functional.binary_cross_entropy_with_logits(
        logits, targets, reduction="none", pos_weight=ratio
    )


def focal(logits: Tensor, targets: Tensor, known: Known) -> Tensor:
    """Return the focal loss |y - p|^gamma times the cross-entropy.

    Of labels 0 and 1 that of Lin et al. (ICCV 2017, arXiv:1708.02002) without its class weight;
    of those between, the quality focal loss of Li et al. (NeurIPS 2020, arXiv:2006.04388), which
    is least where p is the label.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _power((targets - logits.sigmoid()).abs(), known.settings.focus) * entropy


def asymmetric(logits: Tensor, targets: Tensor, known: Known) -> Tensor:
    """Return the asymmetric loss of Ridnik et al. (ICCV 2021, arXiv:2009.14119).

    -y (1 - p)^g+ log p - (1 - y) q^g- log(1 - q) with q = max(p - shift, 0): negatives that are
    far below cost nothing. The gradient goes through the powers too, as in the paper's analysis.
    """
    settings, p = known.settings, logits.sigmoid()
    present = _power(1 - p, settings.focus_present) * functional.logsigmoid(logits)
    q = (p - settings.shift).clamp(min=0)
    # log(1 - q) is the log-sigmoid of -logit where nothing is taken off: exact for large logits
    log_rest = torch.log1p(-q) if settings.shift else functional.logsigmoid(-logits)
    absent = _power(q, settings.focus_absent) * log_rest
    return -targets * present - (1 - targets) * absent


def adjusted(logits: Tensor, targets: Tensor, known: Known) -> Tensor:
    """Return the cross-entropy of logits to which the log odds of the frequency are added.

    The logit adjustment of Menon et al. (ICLR 2021, arXiv:2007.07314) for one finding at a time:
    the plain logits, which are the scores, learn what an image says beyond the frequency.
    """
    logits = logits + known.settings.strength * torch.logit(known.frequency)
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def auc(logits: Tensor, targets: Tensor, known: Known) -> Tensor:
    """Return the margin loss of deep AUC maximisation (Yuan et al., ICCV 2021, arXiv:2012.03173).

    E+[(p - a)^2] + E-[(p - b)^2] + 2 alpha (gap + E-[p] - E+[p]) - alpha^2, where E+ and E- are
    means over positives and negatives, written as one mean over labels. The best a, b and alpha
    are E+[p], E-[p] and max(0, gap + b - a): they are put in, from means over the batches so far,
    where the paper follows them by gradient steps with rates of their own (its PESG). By the
    envelope theorem the gradient is the same.
    """
    p, f = logits.sigmoid(), known.frequency
    a, b = known.means
    alpha = (known.settings.gap + b - a).clamp(min=0)
    present, absent = targets / f, (1 - targets) / (1 - f)
    spread = present * (p - a).square() + absent * (p - b).square()
    return spread + 2 * alpha * (known.settings.gap + (absent - present) * p) - alpha.square()


LOSSES: Final[dict[str, Cost]] = {
    "study": study,
    "bce": bce,
    "positive": positive,
    "focal": focal,
    "asymmetric": asymmetric,
    "adjusted": adjusted,
    "auc": auc,
}


class Loss(nn.Module):
    """A loss over batches with unknown labels.

    Parameters
    ----------
    frequency : (findings,)
        Share of positives among the labels that are drawn for training.
    settings
        Which loss.

    Raises
    ------
    UsageError
        If a frequency is 0 or 1: there is nothing to tell apart.
    """

    frequency: Tensor
    seen: Tensor

    def __init__(self, frequency: Tensor, settings: LossSettings) -> None:
        super().__init__()
        if not ((frequency > 0) & (frequency < 1)).all():
            raise UsageError(
                "a loss needs positive and negative labels of every finding; the shares of "
                f"positives are {[round(one, 4) for one in frequency.tolist()]}"
            )
        self.settings = settings
        self.register_buffer("frequency", frequency.float())
        # Decayed sums over positives and negatives: of probabilities, and of their number.
        self.register_buffer("seen", torch.zeros(2, 2, len(frequency)))

    def forward(self, logits: Tensor, targets: Tensor, counts: Tensor | None = None) -> Tensor:
        """Return the loss of a batch; no dimensions.

        Parameters
        ----------
        logits, targets : (images, findings)
            Targets from 0 to 1; NaN is unknown.
        counts : (findings,)
            Known labels that this batch would have if all processes had like shares of the whole
            batch's; this batch's own if not given.

        Returns
        -------
        The mean over known labels; for ``study`` the sum over findings of such means.
        """
        logits = logits.float()
        known = ~targets.isnan()
        targets = torch.where(known, targets, 0.0)
        if counts is None:
            counts = known.sum(dim=0)
        if self.settings.loss == "auc" and self.training:
            self._remember(logits.detach().sigmoid(), targets, known)
        about = Known(self.frequency, self.means, self.settings)
        costs = torch.where(known, LOSSES[self.settings.loss](logits, targets, about), 0.0)
        if self.settings.loss == "study":
            return (costs.sum(dim=0) / counts.clamp(min=1e-9)).sum()
        return costs.sum() / counts.sum().clamp(min=1e-9)

    @property
    def means(self) -> Means:
        """The mean probabilities of positives and negatives in the batches so far."""
        sums, numbers = self.seen
        return Means(*(sums / numbers.clamp(min=1e-9)))

    def _remember(self, p: Tensor, targets: Tensor, known: Tensor) -> None:
        present = targets * known
        parts = torch.stack([present, known.float() - present])  # (2, images, findings)
        now = torch.stack([(parts * p).sum(dim=1), parts.sum(dim=1)])  # (2, 2, findings)
        self.seen = self.settings.memory * self.seen + sum_over_ranks(now)


def _power(base: Tensor, exponent: float) -> Tensor:
    # A power below 1 has no gradient at 0, which probabilities reach in float32.
    return base.clamp(min=1e-12) ** exponent if exponent else torch.ones_like(base)
