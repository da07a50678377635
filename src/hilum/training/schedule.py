"""How long to train, and how fast: the settings every task shares."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch

from hilum.encoders.device import PRECISIONS, Precision
from hilum.errors import UsageError
from hilum.training.task import Task

Optimiser = Literal["adam", "adamw", "sgd"]
Schedule = Literal["cosine", "step", "constant"]


@dataclass(frozen=True)
class TrainSettings:
    """Everything about training that does not depend on what is learnt.

    Parameters
    ----------
    steps, epochs
        How long: give one of them. An epoch is every example once, less what does not fill a
        batch.
    batch
        Examples per step, over all processes together.
    lr
        Highest learning rate.
    min_lr
        Where the cosine ends.
    warm_up
        Share of the run in which the rate rises linearly from 0.
    schedule
        ``"cosine"`` falls from `lr` to `min_lr`, which it reaches when the run ends (in
        MoCo-CXR's code it is stretched fourfold and never does); ``"step"`` divides by ten at
        each of `milestones`, given as shares of the run; ``"constant"`` stays.
    optimiser
        ``"adam"`` (as MoCo-CXR), ``"adamw"`` or ``"sgd"`` with momentum 0.9.
    weight_decay
        Of every weight.
    clip
        Largest norm of all gradients together; 0 is no limit.
    precision
        ``"auto"``, ``"bf16"`` or ``"fp32"``.
    seed
        Of the order of examples, the views and everything else that is random.
    checkpoint_every, log_every
        Steps between checkpoints, and between writes to the log (which has a line for every
        step; writing makes a GPU wait). They do not change the result.
    evaluate_every
        Steps between evaluations, where the caller gives a measure; 0 is only at the end.
    patience
        Stop after so many evaluations in a row without a new best; 0 is never.
    keep
        How many of the best weights so far are kept, where there is a measure.
    ema
        Share of the average of weights that is carried over a step: 0 is no average. Where there
        is one it is what is measured, kept and left at the end. It starts fast: after step t the
        share is at most (1 + t) / (10 + t).
    """

    steps: int = 0
    epochs: float = 0.0
    batch: int = 64
    lr: float = 1e-3
    min_lr: float = 0.0
    warm_up: float = 0.0
    schedule: Schedule = "cosine"
    milestones: tuple[float, ...] = ()
    optimiser: Optimiser = "adamw"
    weight_decay: float = 1e-4
    clip: float = 0.0
    precision: Precision = "auto"
    seed: int = 0
    checkpoint_every: int = 200
    log_every: int = 10
    evaluate_every: int = 0
    patience: int = 0
    keep: int = 1
    ema: float = 0.0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.epochs > 0):
            raise UsageError(
                f"give either steps or epochs; got steps={self.steps}, epochs={self.epochs}"
            )
        for name, choices in (
            ("schedule", get_args(Schedule)),
            ("optimiser", get_args(Optimiser)),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"{name} {getattr(self, name)!r} is not known; choose from {', '.join(choices)}"
                )
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("batch", "checkpoint_every", "log_every", "keep"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("lr", "min_lr", "weight_decay", "clip", "evaluate_every", "patience", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} cannot be {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema must be at least 0 and below 1; got {self.ema}")
        for share in (self.warm_up, *self.milestones):
            if not 0 <= share <= 1:
                raise UsageError(
                    f"warm_up and milestones are shares of the run, 0 to 1; got {share}"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types.

        No average is left out: runs that were started before there was one still go on.
        """
        return {key: value for key, value in asdict(self).items() if key != "ema" or value}

    def total_steps(self, examples: int, processes: int = 1) -> int:
        """Return the length of the run in steps.

        Raises
        ------
        UsageError
            If the examples do not fill one batch, or a batch cannot be shared out.
        """
        if examples < self.batch:
            raise UsageError(
                f"{examples} images do not fill one batch of {self.batch}; "
                f"choose a batch of at most {examples}"
            )
        if self.batch % processes:
            raise UsageError(
                f"a batch of {self.batch} cannot be shared equally by {processes} processes"
            )
        return self.steps or max(1, round(self.epochs * (examples // self.batch)))


def learning_rate(settings: TrainSettings, step: int, total: int) -> float:
    """Return the rate for a step (counted from 0) of a run of `total` steps."""
    warm = round(settings.warm_up * total)
    if step < warm:
        return settings.lr * (step + 1) / warm
    if settings.schedule == "step":
        passed = sum(step >= round(share * total) for share in settings.milestones)
        return settings.lr * 0.1**passed
    if settings.schedule == "constant":
        return settings.lr
    done = (step - warm) / max(1, total - warm)  # reaches 1 at step == total
    span = settings.lr - settings.min_lr
    return settings.min_lr + span * 0.5 * (1 + math.cos(math.pi * done))


def make_optimiser(task: Task, settings: TrainSettings) -> torch.optim.Optimizer:
    """Make the optimiser over the task's trainable weights, in the groups that it names."""
    groups = [
        {
            "params": group.weights,
            "weight_decay": settings.weight_decay if group.decay else 0.0,
            "factor": group.factor,
        }
        for group in task.groups()
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9)
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.lr)
