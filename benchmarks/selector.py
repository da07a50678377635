"""Seconds per training step of 64 tasks: our selector against MedSelect's procedure of 2021.

The peer is the original's training step, written again from its description: draws from the
global generator and set differences, task by task, embeddings stacked; a bidirectional LSTM over
pools of 1,000, forwards and backwards; K = 20 multinomial draws; for every task a loop that lists
the images drawn, scores the query by cosine prototypes and calls scikit-learn for the AUROC, once
for the selector and once for a random draw; Adam. Its reading of tasks is timed apart and not
counted in the ratio, since loader processes can hide it. Ours counts everything: the drawing of
tasks by patient, the gathering of vectors, the reward, the step.

    python benchmarks/selector.py
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from hilum.select.original import LstmSelector
from hilum.select.selector import SelectorSpec, SetSelector
from hilum.select.selector_task import Learning, Route, SelectorTask
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import TaskSource

POOL, QUERY, BUDGET, TASKS, DIM = 1000, 100, 20, 64, 512
IMAGES, PATIENTS, FINDINGS = 10_000, 4_000, 6

Vectors = NDArray[np.float32]


def hospital(seed: int = 0) -> tuple[Vectors, NDArray[np.float64], NDArray[np.int64]]:
    """Return vectors like those after a ReLU, labels (the last is No Finding) and patients."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((IMAGES, FINDINGS + 1)) < 0.3).astype(np.float64)
    labels[:, -1] = rng.random(IMAGES) < 0.4
    labels[labels[:, -1] == 1, :-1] = 0
    directions = rng.normal(size=(FINDINGS, DIM))
    vectors = np.maximum(rng.normal(size=(IMAGES, DIM)) + 0.3 * labels[:, :-1] @ directions, 0)
    return vectors.astype(np.float32), labels, rng.integers(PATIENTS, size=IMAGES)


# --------------------------------------------------------------------------- the peer


class Peer:
    """The original's step. Its comments say what is done, not that it should be."""

    def __init__(self, vectors: Vectors, labels: NDArray[np.float64]) -> None:
        self.normals = vectors[labels[:, -1] == 1]
        self.positives = [vectors[labels[:, at] == 1] for at in range(FINDINGS)]
        self.network = LstmSelector(DIM)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-4)

    def task(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw one task in the original's order, from the global generator."""
        np.random.seed(index)  # noqa: NPY002
        choice = np.random.choice
        vectors = self.positives[choice(FINDINGS)]
        parts = []
        half, few = POOL // 2, QUERY // 2
        for kind in (vectors, self.normals):
            first = choice(len(kind), half, replace=False)
            parts.append((kind, first))
        rest = []
        for kind, first in parts:
            left = list(set(range(len(kind))) - set(first))
            rest.append((kind, choice(left, few, replace=False)))
        sets = []
        for chosen, n in ((parts, half), (rest, few)):
            order = np.random.permutation(2 * n)  # noqa: NPY002
            images = np.concatenate([kind[rows] for kind, rows in chosen])[order]
            truth = np.array([1] * n + [0] * n)[order]
            sets += [torch.from_numpy(images), torch.from_numpy(truth)]
        return sets[0], sets[1], sets[2], sets[3]

    def read(self, step: int) -> list[Tensor]:
        """Stack 64 tasks."""
        tasks = [self.task(step * TASKS + at) for at in range(TASKS)]
        return [torch.stack(list(one)) for one in zip(*tasks, strict=True)]

    def learn(self, batch: list[Tensor]) -> None:
        pools, labels, queries, truth = batch
        logits = self.network(pools)
        policy = torch.distributions.Multinomial(BUDGET, logits=logits)
        counts = policy.sample()  # type: ignore[no-untyped-call]
        drawn = []
        for row in counts:
            images: list[int] = []
            for at, times in enumerate(row.tolist()):
                images += [at] * int(times)
            drawn.append(images)
        at_random = [
            np.random.choice(POOL, BUDGET, replace=False).tolist()  # noqa: NPY002
            for _ in range(TASKS)
        ]
        reward = [
            score(queries[at], pools[at], labels[at], truth[at], drawn[at])
            - score(queries[at], pools[at], labels[at], truth[at], at_random[at])
            for at in range(TASKS)
        ]
        chances = policy.log_prob(counts)  # type: ignore[no-untyped-call]
        loss = -(torch.tensor(reward) * chances).mean()
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()


def score(query: Tensor, pool: Tensor, labels: Tensor, truth: Tensor, images: list[int]) -> float:
    """Return the AUROC of one task's query by cosine prototypes, from scikit-learn."""
    kind = labels[images]
    cosine = nn.functional.normalize(query) @ nn.functional.normalize(pool[images]).T
    means = [
        cosine[:, kind == value].mean(dim=1) if (kind == value).any() else torch.zeros(len(query))
        for value in (1, 0)
    ]
    return float(roc_auc_score(truth.numpy(), (means[0] - means[1]).numpy()))


# --------------------------------------------------------------------------- ours


def our_step(source: TaskSource, route: Route) -> Callable[[int], None]:
    """Return a whole training step as the loop does it, the drawing of its tasks included."""
    selector = SetSelector(SelectorSpec(dim=DIM, pool=POOL))
    task = SelectorTask(selector, source, Learning(route=route, budgets=(BUDGET,)))
    optimiser = torch.optim.AdamW(task.parameters(), lr=1e-3)

    def step(number: int) -> None:
        rows = np.arange(number * TASKS, (number + 1) * TASKS)
        loss, _ = task(task.batch(rows, np.random.default_rng(number), slice(0, TASKS)))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimiser.step()

    return step


# --------------------------------------------------------------------------- the clock


def seconds(call: Callable[[int], object], rounds: int) -> float:
    """Return the median time of some calls, after one that does not count."""
    call(0)
    times = []
    for step in range(1, rounds + 1):
        started = time.perf_counter()
        call(step)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    vectors, labels, patients = hospital()
    names = [*(f"finding {at}" for at in range(FINDINGS)), "No Finding"]
    source = TaskSource.of(vectors, labels, patients, names, TaskPlan(POOL, QUERY))
    peer = Peer(vectors, labels)
    batch = peer.read(0)
    print(f"{TASKS} tasks, pools of {POOL}, queries of {QUERY}, K = {BUDGET}, {DIM} numbers, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    print(f"MedSelect 2021, tasks  {seconds(peer.read, rounds):8.3f} s")
    theirs = seconds(lambda _: peer.learn(batch), rounds)
    print(f"MedSelect 2021, step   {theirs:8.3f} s")
    routes: tuple[Route, ...] = ("policy", "relaxed")
    for route in routes:
        step = our_step(source, route)
        ours = seconds(step, rounds)
        print(f"hilum, {route:<8} step {ours:11.3f} s   {theirs / ours:6.1f} x")


if __name__ == "__main__":
    main()
