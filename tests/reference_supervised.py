"""A tiny classifier over blobs, its training in processes of its own, and films with labels."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hilum.encoders import ClassifierModule, ClassifierSpec, EncoderSpec, HeadSettings
from hilum.encoders.image import build_module
from hilum.training import TrainSettings, train
from hilum.training.feed import Resident
from hilum.training.losses import LossSettings
from hilum.training.supervised_recipes import TeachSettings
from hilum.training.supervised_task import Examples, SupervisedTask
from hilum.training.synced import synchronise
from hilum.training.views import ViewSettings
from reference_training import blobs, slow_processor

GROUPS = {"demographics": (0, 2), "previous": (2, 4)}
PLAIN_HEAD = HeadSettings(hidden=(), dropout=0.0, width=6)
RANDOM_HEAD = HeadSettings(hidden=(8, 8), dropout=0.3, width=6, mix="gate", residual="plain")


def some_targets(n: int) -> NDArray[np.float32]:
    """Return labels of two findings, a third of them unknown, both classes of each there."""
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 2, (n, 2)).astype(np.float32)
    targets[rng.random((n, 2)) < 0.3] = np.nan
    targets[:2] = [[1, 1], [0, 0]]
    return targets


def tiny_supervised(
    head: HeadSettings = PLAIN_HEAD,
    loss: LossSettings = LossSettings(),  # noqa: B008 (immutable)
    teach: TeachSettings = TeachSettings(),  # noqa: B008
    view: ViewSettings = ViewSettings(),  # noqa: B008
    *,
    n: int = 40,
    frozen: bool = False,
    architecture: str = "test_resnet",
) -> SupervisedTask:
    """Return the task of scoring blobs with numbers beside them."""
    image = EncoderSpec(architecture, 32, 1, (0.5,), (0.25,), dim=96)
    spec = ClassifierSpec(
        image, ("Edema", "Mass"), ("image", *GROUPS), ("a", "b", "c", "d"), GROUPS, head=head
    )
    module = ClassifierModule(spec, build_module(architecture, 32, 1, seed=1), seed=1)
    features = np.random.default_rng(2).normal(size=(n, 4)).astype(np.float32)
    features[::7, 2:] = np.nan
    assert module.fusion is not None
    module.fusion.input.fit(features)
    feed = Resident(torch.from_numpy(blobs(n, size=32)))
    examples = Examples(feed, features, some_targets(n))
    return SupervisedTask(module, spec, examples, loss, teach, view, frozen=frozen)


LEARNT = TrainSettings(
    steps=12, batch=8, lr=3e-3, warm_up=0.2, clip=1.0, seed=5, checkpoint_every=3, log_every=1,
    ema=0.8, evaluate_every=4, keep=2,
)  # fmt: skip


def train_tiny_supervised(run: Path, kill_after: int = 0) -> None:
    """Train with everything random switched on; die by SIGKILL after a step, if given."""
    torch.set_num_threads(1)
    task = tiny_supervised(
        RANDOM_HEAD,
        LossSettings(loss="auc"),
        TeachSettings(backbone_rate=0.5, layer_decay=0.7, balanced=0.4, missing=0.3),
        ViewSettings(crop=(0.7, 1), rotate=10, contrast=0.2, noise=0.05),
    )

    def progress(done: int, total: int, note: str = "") -> None:
        if kill_after and done >= kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    last: Any = task.module.head[-1]

    def measure() -> float:
        return -float(last.weight.detach().square().sum())

    train(task, LEARNT, run, engine=slow_processor(), measure=measure, progress=progress)


def compute_exactly(backbone: nn.Module) -> None:
    """Use float64: where batches are normalised, rounding of float32 grows with every step."""
    backbone.double()
    backbone.register_forward_pre_hook(lambda _, images: images[0].double())
    backbone.register_forward_hook(lambda _, __, vectors: vectors.float())


SHARED = TrainSettings(steps=4, batch=8, lr=0.05, optimiser="sgd", seed=2, ema=0.5)


def train_shared_supervised(
    run: Path, rank: int, world: int, port: int, loss: Any, teach: TeachSettings
) -> None:
    """Train as one of `world` processes, as torchrun would start it."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in place.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    task = tiny_supervised(
        loss=LossSettings(loss=loss, memory=0.5), teach=teach, frozen=teach.frozen,
        view=ViewSettings(rotate=10),
    )  # fmt: skip
    task.module.backbone.requires_grad_(not teach.frozen)
    if teach.statistics == "learnt":
        synchronise(task.module.backbone)
        compute_exactly(task.module.backbone)
    train(task, SHARED, run, engine=slow_processor())


def films_of_patients(root: Path, n: int = 48) -> Path:
    """Write n films of n // 2 patients, two visits each: 28 train, 12 val, the rest test.

    Edema is a bright film, at both visits of a patient alike; Mass is at every third film; of
    Hernia there is one label. Of the first patient neither age nor sex is known.
    """
    (root / "films").mkdir(parents=True)
    with (root / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image_id", "patient_id", "file", "split", "visit", "age", "sex", "view",
                        "Edema", "Mass", "Hernia"])  # fmt: skip
        for row, film in enumerate(blobs(n, size=32)):
            patient, edema = row // 2, (row // 2) % 2
            name = f"films/i{row:02}.png"
            cv2.imwrite(str(root / name), film // 2 + 120 * edema)
            split = "train" if row < 28 else "val" if row < 40 else "test"
            mass = -1 if row == 5 else int(row % 3 == 0)
            table.writerow(
                [f"i{row:02}", f"p{patient:02}", name, split, row % 2,
                 "" if row < 2 else 40 + patient, "" if row < 2 else "MF"[patient % 3 == 0],
                 "AP" if row % 5 else "PA", edema, mass, 1 if row == 0 else ""]
            )  # fmt: skip
    return root
