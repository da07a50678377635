"""MedSelect as published in 2021: the thing to beat, faithful where it decides the result.

Smit et al., Medical Imaging with Deep Learning 2021, arXiv:2103.14339, and the released code. A
bidirectional LSTM reads the pool as if it were a sentence and gives each image a logit. K images
are drawn from the softmax *with* replacement, so that fewer than K are labelled; the reward is the
AUROC that they give, less the AUROC of one random draw; the loss is REINFORCE.

What is kept although it is weak: the order of the pool matters to the network, an image drawn
twice counts twice, the baseline is one draw, rewards are not normalised.

What differs:

* Tasks come from `TaskSource`, which shares no patient between pool and query and takes its random
  numbers from (seed, task); the original's come from the global generator.
* The loop shuffles the tasks of an epoch and leaves out the 16 that do not fill a batch of 64: 156
  steps an epoch, not 157, always in the same order. The random draw has a seed.
* With `beside` (age, sex, view), only the network sees those columns. In the original they also
  enter the cosine of the random baseline and of every evaluation, but not of the reward.
* Validation draws are seeded by task. The original seeds the test anew for every batch, so that
  tasks of different batches share their random numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hilum.encoders.device import own_random_numbers
from hilum.errors import UsageError
from hilum.select.pool import Rows, Vectors
from hilum.select.reward import rewards
from hilum.select.reward_torch import aurocs, prototype_scores
from hilum.select.tasks import Tasks, TaskSource
from hilum.training.schedule import TrainSettings
from hilum.training.task import Task

TRAINING: Final = TrainSettings(
    epochs=5, batch=64, lr=1e-4, schedule="step", milestones=(0.4,), optimiser="adam",
    weight_decay=0.0, precision="fp32", evaluate_every=30,
)  # fmt: skip
"""Five epochs of 10,000 tasks; the rate falls tenfold when the third begins."""

_HIDDEN: Final = 256  # per direction
_DRAW: Final = 13  # keeps this stream of random numbers apart from that of the tasks
_AGE_MEAN, _AGE_SPREAD = 60.33, 17.92  # years, of the original's training patients


class LstmSelector(nn.Module):
    """The network: an embedding's logit depends on all embeddings before and after it.

    Parameters
    ----------
    dim
        Length of what it reads about an image.
    seed
        Of its first weights.
    """

    def __init__(self, dim: int, seed: int = 0) -> None:
        super().__init__()
        with own_random_numbers(seed):
            # capitals: the original's checkpoints call it so
            self.LSTM = nn.LSTM(dim, _HIDDEN, batch_first=True, bidirectional=True)
            self.linear = nn.Linear(2 * _HIDDEN, 1)

    def forward(self, pools: Tensor) -> Tensor:
        """Return logits (n_tasks, n_pool) for pools (n_tasks, n_pool, dim)."""
        states, _ = self.LSTM(pools)
        logits: Tensor = self.linear(states)[:, :, 0]
        return logits


def log_multinomial(logits: Tensor, counts: Tensor) -> Tensor:
    """Return the log-probability (n_tasks,) of drawing each image as often as it was drawn.

    ln K! - sum ln x! + sum x ln p with p the softmax of the logits; its gradient in the logits is
    x - K p.

    Parameters
    ----------
    logits, counts : (n_tasks, n_pool)
        Counts add up to K in every row.
    """
    times = counts.to(logits.dtype)
    arrangements = torch.lgamma(times.sum(dim=1) + 1) - torch.lgamma(times + 1).sum(dim=1)
    return arrangements + (times * torch.log_softmax(logits, dim=1)).sum(dim=1)


@dataclass(frozen=True)
class OriginalBatch:
    """One step's tasks, and a random draw for each.

    Parameters
    ----------
    pool, query : (n_tasks, n_pool) and (n_tasks, n_query)
        Rows of the source.
    pool_labels, query_labels
        1 or 0, of the same shapes.
    at_random : (n_tasks, k)
        Distinct positions in each pool.
    """

    pool: Tensor
    pool_labels: Tensor
    query: Tensor
    query_labels: Tensor
    at_random: Tensor


class OriginalTask(Task):
    """The training of 2021, for the loop.

    Parameters
    ----------
    source
        Tasks; their numbers are the examples.
    budget
        K, the number of draws.
    tasks
        How many different ones an epoch has.
    beside : (n_images, n)
        What else the network sees of each image of the source, see `columns_beside`.
    seed
        Of the network's first weights.

    Raises
    ------
    UsageError
        If the pool has fewer images than the budget, or `beside` has no row for each.
    """

    vectors: Tensor
    beside: Tensor | None

    def __init__(
        self,
        source: TaskSource,
        budget: int,
        tasks: int = 10_000,
        beside: Vectors | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < budget <= source.plan.pool:
            raise UsageError(
                f"the budget must be from 1 to the pool's {source.plan.pool} images; got {budget}"
            )
        self.source, self.budget, self.tasks = source, budget, tasks
        # not in the state: a checkpoint of the network need not carry the data
        self.register_buffer("vectors", _tensor(source.vectors), persistent=False)
        self.register_buffer("beside", _beside(source, beside), persistent=False)
        more = 0 if self.beside is None else self.beside.shape[1]
        self.selector = LstmSelector(self.vectors.shape[1] + more, seed)

    @property
    def examples(self) -> int:
        """The number of tasks."""
        return self.tasks

    def batch(
        self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice
    ) -> OriginalBatch:
        """Draw this process's tasks, and K images at random from each pool."""
        keys = rng.random((len(rows), self.source.plan.pool))  # for all: see `Task.batch`
        at_random = np.argpartition(keys[mine], self.budget - 1, axis=1)[:, : self.budget]
        drawn = self.source.batch(rows[mine])
        return OriginalBatch(
            torch.from_numpy(drawn.pool),
            torch.from_numpy(drawn.pool_labels),
            torch.from_numpy(drawn.query),
            torch.from_numpy(drawn.query_labels),
            torch.from_numpy(at_random),
        )

    def forward(self, batch: OriginalBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return REINFORCE's loss, and both AUROCs and the number of images really labelled."""
        pool = batch.pool.to(self.vectors.device)
        logits = self.selector(_see(self.vectors, self.beside, pool)).float()
        with torch.no_grad():
            picks = torch.multinomial(logits.softmax(dim=1), self.budget, replacement=True)
            counts = torch.zeros_like(logits).scatter_add_(
                1, picks, torch.ones_like(picks, dtype=logits.dtype)
            )
            ours, base = self._reward(batch, picks), self._reward(batch, batch.at_random)
        loss = -((ours - base) * log_multinomial(logits, counts)).mean()
        distinct = (counts > 0).sum(dim=1).float().mean()
        return loss, {"reward": ours.mean(), "random": base.mean(), "distinct": distinct}

    def _reward(self, batch: OriginalBatch, picks: Tensor) -> Tensor:
        device = self.vectors.device
        picks = picks.to(device)
        rows = batch.pool.to(device).gather(1, picks)
        labels = batch.pool_labels.to(device).gather(1, picks)
        query = self.vectors[batch.query.to(device)]
        scores = prototype_scores(query, self.vectors[rows], labels)
        return aurocs(scores, batch.query_labels.to(device))


def columns_beside(age: ArrayLike, female: ArrayLike, frontal: ArrayLike) -> Vectors:
    """Return sex, age and view as the original appends them to an embedding.

    Parameters
    ----------
    age : (n_images,)
        Years.
    female, frontal : (n_images,)
        1 or 0.

    Returns
    -------
    (n_images, 3)
        Sex, age in standard deviations of the original's patients, view; 0 where unknown (NaN),
        which the original reads as male, of average age or lateral.
    """
    years = (np.asarray(age, dtype=np.float64) - _AGE_MEAN) / _AGE_SPREAD
    columns = np.stack([np.asarray(female), years, np.asarray(frontal)], axis=1)
    known = np.where(np.isnan(columns), 0.0, columns)
    return np.asarray(known, dtype=np.float32)


# --------------------------------------------------------------------------- after training


def select_tasks(
    selector: LstmSelector,
    source: TaskSource,
    indices: ArrayLike,
    budget: int,
    *,
    beside: Vectors | None = None,
    seed: int = 0,
) -> Iterator[tuple[Tasks, Rows]]:
    """Select for some tasks of a source, 64 at a time.

    As the original's test: K draws with replacement, from probabilities in float64.

    Parameters
    ----------
    selector
        A trained network.
    source, beside
        Where the tasks come from, and what else it sees of those images.
    indices
        The tasks' numbers.
    budget
        K.
    seed
        Of the draws: those of a task depend on (seed, its number) and on nothing else.

    Yields
    ------
    Tasks, and the positions (n_tasks, budget) in their pools, ascending, drawn twice twice.
    """
    numbers = np.asarray(indices, dtype=np.int64)
    device = selector.linear.weight.device
    vectors, more = _tensor(source.vectors), _beside(source, beside)
    for start in range(0, len(numbers), TRAINING.batch):
        part = numbers[start : start + TRAINING.batch]
        tasks = source.batch(part)
        with torch.inference_mode():
            logits = selector(_see(vectors, more, torch.from_numpy(tasks.pool)).to(device))
        yield tasks, draw(logits.double().cpu().numpy(), budget, part, seed)


def draw(logits: ArrayLike, budget: int, indices: ArrayLike, seed: int = 0) -> Rows:
    """Draw positions (n_tasks, budget) with replacement, ascending, from logits (n_tasks, n_pool).

    A task's draws depend on its logits, its number in `indices` and the seed.
    """
    power = np.asarray(logits, dtype=np.float64)
    power = np.exp(power - power.max(axis=1, keepdims=True))
    share = power / power.sum(axis=1, keepdims=True)
    rows = [
        np.repeat(
            np.arange(share.shape[1]),
            np.random.default_rng([seed, _DRAW, int(index)]).multinomial(budget, chances),
        )
        for chances, index in zip(share, np.asarray(indices), strict=True)
    ]
    return np.stack(rows)


def distinct(picks: Rows) -> Rows:
    """Count the different images (n_tasks,) among picks (n_tasks, k): those really labelled."""
    ordered = np.sort(picks, axis=1)
    different = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    return np.asarray(1 + different, dtype=np.int64)


def validation(
    task: OriginalTask,
    source: TaskSource,
    tasks: int = 1000,
    *,
    beside: Vectors | None = None,
    seed: int = 0,
) -> Callable[[], float]:
    """Return the measure by which the original keeps its best weights, for the loop.

    Mean AUROC over the first `tasks` tasks of a source of other patients, drawn at random as in
    training, always with the same random numbers.
    """

    def measure() -> float:
        parts = select_tasks(
            task.selector, source, range(tasks), task.budget, beside=beside, seed=seed
        )
        values = [rewards(source.vectors, drawn, picks) for drawn, picks in parts]
        return float(np.concatenate(values).mean())

    return measure


def _tensor(array: Vectors) -> Tensor:
    # a copy only where torch could not write to the array: it warns of those that are read-only
    return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def _beside(source: TaskSource, beside: Vectors | None) -> Tensor | None:
    if beside is None:
        return None
    if np.ndim(beside) != 2 or len(beside) != len(source.vectors):
        raise UsageError(
            f"beside must have a row for each of {len(source.vectors)} images; "
            f"got shape {np.shape(beside)}"
        )
    return _tensor(beside)


def _see(vectors: Tensor, beside: Tensor | None, rows: Tensor) -> Tensor:
    """Return what the network sees of some images."""
    if beside is None:
        return vectors[rows]
    return torch.cat([vectors[rows], beside[rows]], dim=-1)
