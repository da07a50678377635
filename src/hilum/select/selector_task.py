"""Learning to select: from tasks to a loss, by two routes.

*Policy gradient*: choices are drawn from the Plackett-Luce law of the logits, without
replacement, and made likelier by how much better their AUROC is than that of the other draws for
the same task (REINFORCE with a leave-one-out baseline; Kool, van Hoof and Welling, ICLR 2019
workshop). *Relaxed*: the choice is the hard top k of noisy logits going forward and a soft one
going backward, and AUROC is smooth, so that a gradient reaches the logits directly; of lower
variance, and biased.

No task is handled on its own: a step is a few tensor products over all its tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hilum.errors import UsageError
from hilum.select.pool import Vectors
from hilum.select.reward_torch import aurocs, smooth_aurocs
from hilum.select.selector import SetSelector, gumbel_top_k, log_plackett_luce, relaxed_top_k
from hilum.select.tasks import TaskSource
from hilum.training.task import Task

Route = Literal["policy", "relaxed"]


@dataclass(frozen=True)
class Learning:
    """How a selector is taught.

    Parameters
    ----------
    route
        ``"policy"`` or ``"relaxed"``.
    budgets
        Each step has one of these, at random.
    samples
        Policy: choices drawn for each task.
    entropy
        Policy: weight of the logits' entropy, which keeps choices from becoming certain early.
    temperature
        Relaxed: of the soft choice.
    smoothness
        Relaxed: temperature of the smooth AUROC, in standard deviations of the scores.
    """

    route: Route = "policy"
    budgets: tuple[int, ...] = (5, 10, 20, 40, 80)
    samples: int = 4
    entropy: float = 1e-3
    temperature: float = 0.5
    smoothness: float = 0.5

    def __post_init__(self) -> None:
        if self.route not in get_args(Route):
            raise UsageError(f"{self.route!r} is not a route; choose from policy, relaxed")
        if not self.budgets or min(self.budgets) < 1:
            raise UsageError(f"budgets must be 1 or more, got {self.budgets}")
        if self.route == "policy" and self.samples < 2:
            raise UsageError("the other draws are the baseline: samples must be 2 or more")


@dataclass(frozen=True, eq=False)
class SelectorBatch:
    """One step: rows and labels of its tasks, and their budget."""

    pool: Tensor
    pool_labels: Tensor
    query: Tensor
    query_labels: Tensor
    budget: int
    seed: int


class SelectorTask(Task):
    """A selector and the tasks that it learns from.

    Parameters
    ----------
    selector
        To be trained; standardised by the source's images here.
    source
        Tasks of training patients.
    learning
        How.
    beside : (n_images, n)
        What the selector sees of the source's images beside their embeddings; None for nothing.
    tasks
        How many different tasks there are.
    """

    unit: Tensor
    standard: Tensor
    beside: Tensor | None

    def __init__(
        self,
        selector: SetSelector,
        source: TaskSource,
        learning: Learning,
        beside: Vectors | None = None,
        tasks: int = 1_000_000,
    ) -> None:
        super().__init__()
        if max(learning.budgets) >= source.plan.pool:
            raise UsageError(
                f"a budget of {max(learning.budgets)} leaves nothing to choose in a pool of "
                f"{source.plan.pool}; give smaller budgets or a larger pool"
            )
        self.selector = selector
        self.source = source
        self.learning = learning
        self.tasks = tasks
        self.register_buffer("unit", unit_vectors(source.vectors), persistent=False)
        selector.standardise_by(self.unit)
        more = None if beside is None else torch.from_numpy(beside)
        self.register_buffer("beside", more, persistent=False)
        self.register_buffer("standard", selector.standardised(self.unit), persistent=False)

    @property
    def examples(self) -> int:
        """How many different tasks there are."""
        return self.tasks

    def batch(
        self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice
    ) -> SelectorBatch:
        """Draw this process's tasks of a step, and the budget of all."""
        budget, seed = int(rng.choice(self.learning.budgets)), int(rng.integers(2**62))
        drawn = self.source.batch(rows[mine])
        return SelectorBatch(
            torch.from_numpy(drawn.pool),
            torch.from_numpy(drawn.pool_labels),
            torch.from_numpy(drawn.query),
            torch.from_numpy(drawn.query_labels),
            budget,
            seed + mine.start,
        )

    def forward(self, batch: SelectorBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a step, and its mean AUROC."""
        device = self.unit.device
        pool, query = batch.pool.to(device), batch.query.to(device)
        labels = batch.pool_labels.to(device, self.unit.dtype)
        truth = batch.query_labels.to(device)
        budgets = torch.full((len(pool),), batch.budget, device=device)
        described = self.selector.described(self.standard, self.beside)
        # index_select: its gradient is added up row by row, that of indexing sorts the rows first
        items = described.index_select(0, pool.flatten()).view(*pool.shape, -1)
        logits = self.selector(items, budgets).float()
        generator = torch.Generator(device).manual_seed(batch.seed)
        with torch.autocast(device.type, enabled=False):
            return ROUTES[self.learning.route](
                self, logits, _Reward(self.unit, pool, labels, query, truth), batch, generator
            )


@dataclass(frozen=True, eq=False)
class _Reward:
    """What choices are worth: AUROC of the cosine classifier on the query."""

    unit: Tensor
    pool: Tensor
    labels: Tensor
    query: Tensor
    truth: Tensor

    def of(self, picks: Tensor) -> Tensor:
        """Return the AUROC (samples, n_tasks) of choices (samples, n_tasks, budget)."""
        samples, n_tasks, _ = picks.shape
        rows = self.pool.expand(samples, -1, -1).gather(2, picks)
        labels = self.labels.expand(samples, -1, -1).gather(2, picks)
        direction = torch.einsum("stk,stkd->std", contrast(labels), self.unit[rows])
        scores = torch.einsum("tqd,std->stq", self.unit[self.query], direction)
        flat = aurocs(scores.flatten(0, 1), self.truth.expand(samples, -1, -1).flatten(0, 1))
        return flat.view(samples, n_tasks)

    def scores(self, chosen: Tensor) -> Tensor:
        """Return scores (n_tasks, n_query), with a gradient in how much each image is chosen."""
        shares = contrast(self.labels, chosen)
        direction = torch.einsum("tp,tpd->td", shares, self.unit[self.pool])
        return torch.einsum("tqd,td->tq", self.unit[self.query], direction)


def contrast(labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the positives' shares minus the negatives' (..., k); an absent class has none."""
    weight = torch.ones_like(labels) if weights is None else weights
    positive, negative = weight * labels, weight * (1 - labels)
    return _shares(positive) - _shares(negative)


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)


def _by_policy(
    task: SelectorTask,
    logits: Tensor,
    reward: _Reward,
    batch: SelectorBatch,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    learning = task.learning
    picks = gumbel_top_k(logits.detach(), batch.budget, learning.samples, generator)
    area = reward.of(picks)
    # the mean of the others, as a share of this one's distance from the mean of all
    gain = (area - area.mean(dim=0)) * learning.samples / (learning.samples - 1)
    gain = gain / (gain.std() + 1e-6)
    log_p = log_plackett_luce(logits, picks)
    chances = logits.log_softmax(dim=-1)
    entropy = -(chances.exp() * chances).sum(dim=-1).mean()
    # the log-probability of k picks grows with k, and its gradient's noise with the root of k
    loss = -(gain * log_p).mean() / batch.budget**0.5 - learning.entropy * entropy
    return loss, {"auroc": area.mean(), "entropy": entropy.detach()}


def _by_relaxation(
    task: SelectorTask,
    logits: Tensor,
    reward: _Reward,
    batch: SelectorBatch,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    learning = task.learning
    exponential = torch.empty_like(logits).exponential_(generator=generator)
    noisy = logits - exponential.clamp(min=1e-30).log()
    soft = relaxed_top_k(noisy, batch.budget, learning.temperature)
    picks = noisy.detach().topk(batch.budget, dim=-1).indices
    hard = torch.zeros_like(soft).scatter(1, picks, 1.0)
    scores = reward.scores(hard + soft - soft.detach())
    spread = scores.detach().std(dim=1, keepdim=True) + 1e-6
    area = smooth_aurocs(scores / spread, reward.truth, learning.smoothness).mean()
    return -area, {"auroc": aurocs(scores, reward.truth).mean()}


_Step = Callable[
    [SelectorTask, Tensor, _Reward, SelectorBatch, torch.Generator],
    tuple[Tensor, dict[str, Tensor]],
]
ROUTES: Final[dict[str, _Step]] = {"policy": _by_policy, "relaxed": _by_relaxation}


def unit_vectors(vectors: NDArray[np.float32]) -> Tensor:
    """Return embeddings (n_images, dim) at length 1."""
    return torch.nn.functional.normalize(torch.from_numpy(np.array(vectors, dtype=np.float32)))


def chosen_by(
    selector: SetSelector,
    unit: Tensor,
    pools: Tensor,
    budget: int,
    beside: Tensor | None = None,
) -> Tensor:
    """Return the selector's choice (n_tasks, budget), best first, as positions in each pool.

    Parameters
    ----------
    unit : (n_images, dim)
        Embeddings at length 1.
    pools : (n_tasks, n_pool)
        Rows of `unit`.
    beside : (n_images, n)
        What else the selector sees of the images; None for nothing.
    """
    with torch.inference_mode():
        described = selector.describe(unit, beside)
        budgets = torch.full((len(pools),), budget, device=unit.device)
        logits: Tensor = selector(described[pools], budgets)
        return logits.topk(budget, dim=-1).indices
