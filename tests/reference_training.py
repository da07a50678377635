"""Slow, obvious versions of what training does, and tiny networks to try it on."""

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.encoders.device import Engine, choose_engine
from hilum.encoders.image import EncoderSpec
from hilum.encoders.tensors import read_tensors
from hilum.training.feed import Resident
from hilum.training.folder import CHECKPOINT
from hilum.training.loop import train
from hilum.training.moco import Moco, MocoSettings
from hilum.training.schedule import TrainSettings
from hilum.training.task import Task
from hilum.training.views import ViewSettings

SIZE = 12


def contrastive_loss(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> float:
    """Return the mean cross-entropy of each query's own key, by two loops."""
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        own = math.exp(float(query @ key) / temperature)
        others = sum(math.exp(float(query @ column) / temperature) for column in queue.T)
        total -= math.log(own / (own + others))
    return total / len(queries)


def blobs(n: int, seed: int = 0, size: int = SIZE) -> NDArray[np.uint8]:
    """Return n images, each with a few bright spots of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = np.zeros((n, size, size))
    for image in images:
        for _ in range(3):
            cy, cx = rng.uniform(2, size - 2, 2)
            image += rng.uniform(0.3, 1) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4)
    grey: NDArray[np.uint8] = (255 * images / images.max((1, 2), keepdims=True)).astype(np.uint8)
    return grey


def tiny_backbone(seed: int = 0, *, norm: bool = True, dropout: float = 0.0) -> nn.Module:
    """Return a network of 8 features, with or without batch normalisation."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(200, 8),
        )


TINY_SPEC = EncoderSpec("resnet18", SIZE, 1, (0.5,), (0.25,), dim=8)


def tiny_moco(
    settings: MocoSettings,
    *,
    norm: bool = True,
    dropout: float = 0.0,
    owners: NDArray[np.int64] | None = None,
    view: ViewSettings | None = None,
    n: int = 64,
) -> Moco:
    """Return MoCo over blobs with a tiny network."""
    return Moco(
        tiny_backbone(norm=norm, dropout=dropout),
        TINY_SPEC,
        Resident(torch.from_numpy(blobs(n))),
        settings,
        view or ViewSettings(crop=(0.5, 1.0), rotate=10, contrast=0.2),
        owners=owners,
    )


class Line(Task):
    """Fit y = 3 x by one weight: small enough to work out by hand."""

    def __init__(self, start: float = 0.0, n: int = 8) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))
        self.x = torch.linspace(-1, 1, n)
        self.noise = 0.0

    @property
    def value(self) -> float:
        return self.weight.detach().item()

    @property
    def examples(self) -> int:
        return len(self.x)

    def batch(self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice) -> Any:
        shift = self.noise * rng.normal(size=len(rows))[mine]
        return self.x[torch.from_numpy(rows[mine])] + torch.from_numpy(shift).float()

    def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss = ((self.weight - 3.0) * batch).square().mean()
        return loss, {"weight": self.weight.detach().clone()}


def plain_line_training(task: Line, orders: list[NDArray[np.int64]], lr: float) -> float:
    """Return the weight after gradient descent with momentum 0.9 over the batches given."""
    weight, velocity = task.value, 0.0
    for rows in orders:
        x = task.x[torch.from_numpy(rows)]
        velocity = 0.9 * velocity + float((2 * (weight - 3.0) * x * x).mean())
        weight -= lr * velocity
    return weight


FP32 = ("cpu", "fp32")
RESUMED = TrainSettings(
    steps=24, batch=16, lr=3e-3, warm_up=0.2, clip=1.0, seed=5, checkpoint_every=4, log_every=1
)


def slow_processor() -> Engine:
    """Return float32 on the CPU: exact and the same everywhere."""
    return choose_engine(*FP32)


def train_tiny_moco(run: Path, kill_after: int = 0) -> None:
    """Train with everything random switched on; die by SIGKILL after a step, if given."""
    torch.set_num_threads(1)
    task = tiny_moco(
        MocoSettings(queue=48, bn_splits=2, same_patient=0.5, spare_own=True),
        dropout=0.2,
        owners=np.arange(64) // 3,
        view=ViewSettings(crop=(0.5, 1), rotate=10, contrast=0.2, noise=0.05, blur=1, cutout=0.3),
    )

    def progress(done: int, total: int, note: str = "") -> None:
        if kill_after and done >= kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    train(task, RESUMED, run, engine=slow_processor(), progress=progress)


SHARED = TrainSettings(steps=6, batch=16, lr=0.1, optimiser="sgd", seed=2)


def train_shared(run: Path, rank: int, world: int, port: int, norm: bool) -> None:
    """Train MoCo as one of `world` processes, as torchrun would start it."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in place.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    task = tiny_moco(MocoSettings(queue=64, momentum=0.9, spare_own=True), norm=norm)
    train(task, SHARED, run, engine=slow_processor())


def checkpoint_of(run: Path) -> dict[str, Tensor]:
    """Return the tensors of a run's checkpoint."""
    return read_tensors(run / CHECKPOINT)[0]


def in_processes(target: Callable[..., None], calls: list[tuple[Any, ...]]) -> list[int | None]:
    """Run calls at the same time in processes of their own; return their exit codes.

    The processes are forked from a server that has imported torch, once, and nothing else.
    """
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hilum.training", "reference_training"])
    running = [context.Process(target=target, args=arguments) for arguments in calls]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
        if process.is_alive():  # or the tests would wait for it when they end
            process.kill()
            process.join()
    return [process.exitcode for process in running]
