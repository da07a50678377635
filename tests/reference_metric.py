"""A tiny encoder of likeness over blobs, its training in processes of its own, films of kinds."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hilum.encoders import EncoderSpec
from hilum.encoders.image import Projected, build_module
from hilum.training import TrainSettings, train
from hilum.training.feed import Resident
from hilum.training.likeness import LikenessSettings
from hilum.training.metric_recipes import BatchSettings
from hilum.training.metric_task import MetricTask, Pupils
from hilum.training.synced import synchronise
from hilum.training.views import ViewSettings
from reference_supervised import compute_exactly
from reference_training import blobs, slow_processor

TRIPLET = LikenessSettings(loss="triplet")
ANCHOR = LikenessSettings(loss="proxy-anchor", margin=0.1, alpha=8.0)
KINDS = BatchSettings(kinds=2, each=4)


def some_positive(n: int) -> NDArray[np.bool_]:
    """Return what n images show of three findings: one at least, some two."""
    rng = np.random.default_rng(3)
    positive = np.zeros((n, 3), np.bool_)
    positive[np.arange(n), np.arange(n) % 3] = True
    positive[rng.random(n) < 0.3, 0] = True
    return positive


def tiny_metric(
    likeness: LikenessSettings = TRIPLET,
    sample: BatchSettings = KINDS,
    view: ViewSettings = ViewSettings(),  # noqa: B008 (immutable)
    *,
    n: int = 40,
    rate: float = 1.0,
) -> MetricTask:
    """Return the task of telling blobs apart, with a projection to 6 numbers."""
    spec = EncoderSpec("test_resnet", 32, 1, (0.5,), (0.25,), dim=6, projection=6)
    backbone = build_module("test_resnet", 32, 1, seed=1)
    module = Projected(backbone, 96, 6, seed=1)
    positive = some_positive(n)
    members = tuple(np.flatnonzero(column) for column in positive.T)
    pupils = Pupils(Resident(torch.from_numpy(blobs(n, size=32))), positive, members)
    return MetricTask(module, spec, pupils, likeness, sample, view, backbone_rate=rate, seed=1)


LEARNT = TrainSettings(
    steps=12, batch=8, lr=3e-3, warm_up=0.2, clip=1.0, seed=5, checkpoint_every=3, log_every=1,
    ema=0.8, evaluate_every=4, keep=2,
)  # fmt: skip


def train_tiny_metric(run: Path, kill_after: int = 0) -> None:
    """Train with everything random switched on; die by SIGKILL after a step, if given."""
    torch.set_num_threads(1)
    view = ViewSettings(crop=(0.7, 1), rotate=10, contrast=0.2, noise=0.05)
    task = tiny_metric(ANCHOR, view=view, rate=0.5)

    def progress(done: int, total: int, note: str = "") -> None:
        if kill_after and done >= kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    layer: Any = task.module.projection

    def measure() -> float:
        return -float(layer.weight.detach().square().sum())

    train(task, LEARNT, run, engine=slow_processor(), measure=measure, progress=progress)


SHARED = TrainSettings(steps=4, batch=8, lr=0.05, optimiser="sgd", seed=2, ema=0.5)


def train_shared_metric(
    run: Path, rank: int, world: int, port: int, likeness: LikenessSettings
) -> None:
    """Train as one of `world` processes, as torchrun would start it."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in place.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    task = tiny_metric(likeness, view=ViewSettings(rotate=10))
    synchronise(task.module)
    assert isinstance(task.module, Projected)
    compute_exactly(task.module.backbone)
    train(task, SHARED, run, engine=slow_processor())


def films_of_kinds(root: Path, n: int = 60) -> Path:
    """Write n films of n // 2 patients: 36 train, 12 val, the rest test.

    "No Finding" is a dark film, Edema a bright one, Mass one with a bright square; both films of a
    patient are of one kind. Hernia is present in one, and of the last film nothing is known.
    """
    (root / "films").mkdir(parents=True)
    with (root / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        names = ["No Finding", "Edema", "Mass", "Hernia"]
        table.writerow(["image_id", "patient_id", "file", "split", "visit", "age", *names])
        for row, film in enumerate(blobs(n, size=32)):
            kind = (row // 2) % 3
            film = film // 2 + 120 * (kind == 1)
            if kind == 2:
                film[4:16, 4:16] = 250
            name = f"films/i{row:02}.png"
            cv2.imwrite(str(root / name), film)
            split = "train" if row < 36 else "val" if row < 48 else "test"
            labels: list[Any] = [int(kind == one) for one in range(3)] + [int(row == 1)]
            if row == n - 1:
                labels = [""] * 4
            table.writerow(
                [f"i{row:02}", f"p{row // 2:02}", name, split, row % 2, 40 + kind, *labels]
            )
    return root
