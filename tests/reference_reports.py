"""Slow, obvious versions of what learning from reports does, and tiny towers to try it on."""

import math
import os
import signal
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.encoders.image import EncoderSpec
from hilum.encoders.pair import PairModule, PairSpec
from hilum.encoders.text_tower import TextSpec
from hilum.training.contrastive import ContrastSettings
from hilum.training.feed import Resident
from hilum.training.loop import train
from hilum.training.report_task import ReportTask
from hilum.training.schedule import TrainSettings
from hilum.training.texts import Texts, TextSettings
from hilum.training.views import ViewSettings
from reference_training import blobs, slow_processor

SIDE = 12
CONTEXT = 24


# ------------------------------------------------------------------ losses


def softmax_slowly(
    images: Tensor, texts: Tensor, scale: float, positives: NDArray[np.bool_]
) -> float:
    """Return the symmetric loss with several positives, pair by pair."""

    def one_way(rows: Tensor, columns: Tensor, right: NDArray[np.bool_]) -> float:
        total = 0.0
        for i, row in enumerate(rows):
            heights = [math.exp(scale * float(row @ column)) for column in columns]
            good = [j for j in range(len(columns)) if right[i, j]]
            total -= sum(math.log(heights[j] / sum(heights)) for j in good) / len(good)
        return total / len(rows)

    return (one_way(images, texts, positives) + one_way(texts, images, positives.T)) / 2


def sigmoid_slowly(
    images: Tensor, texts: Tensor, scale: float, bias: float, positives: NDArray[np.bool_]
) -> float:
    """Return the loss of every pair for itself, summed over texts and averaged over images."""
    total = 0.0
    for i, image in enumerate(images):
        for j, text in enumerate(texts):
            logit = scale * float(image @ text) + bias
            total += math.log(1 + math.exp(-logit if positives[i, j] else logit))
    return total / len(images)


# ------------------------------------------------------------------ texts


def shingles(sentence: str) -> set[tuple[str, ...]]:
    """Return the words and pairs of neighbouring words of a sentence of plain words."""
    words = sentence.lower().replace(",", "").rstrip(".").split()
    return {(word,) for word in words} | set(pairwise(words))


def said_slowly(report: Sequence[str], text: Sequence[str], least: float) -> bool:
    """Say whether each sentence of a text has one like it in a report."""

    def alike(one: str, other: str) -> bool:
        a, b = shingles(one), shingles(other)
        return len(a & b) / len(a | b) >= least - 1e-9

    return all(any(alike(said, asked) for said in report) for asked in text)


# ------------------------------------------------------------------ towers and tasks

SENTENCES = ("Edema.", "No edema.", "Small left effusion.", "No effusion.", "A nodule is seen.",
             "The heart is large.", "Normal heart size.", "Lines in place.")  # fmt: skip


def made_up(n: int, seed: int = 0) -> tuple[list[str | None], list[str | None]]:
    """Return findings and impressions of n images: a few sentences each, some the same."""
    rng = np.random.default_rng(seed)
    findings: list[str | None] = []
    impressions: list[str | None] = []
    for _ in range(n):
        chosen = rng.choice(SENTENCES, int(rng.integers(2, 5)), replace=False)
        findings.append(" ".join(chosen[1:]))
        impressions.append(str(chosen[0]))
    return findings, impressions


class TinyPair(PairModule):
    """Two towers of a few hundred weights.

    Parameters
    ----------
    batch_norm
        Normalise images by their batch, or in groups of channels, which no batch touches.
    dropout
        In the image tower.
    """

    def __init__(self, *, batch_norm: bool = False, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            norm = nn.BatchNorm2d(8) if batch_norm else nn.GroupNorm(2, 8)
            self.image = nn.Sequential(
                nn.Conv2d(1, 8, 3, stride=2), norm, nn.ReLU(), nn.Dropout(dropout), nn.Flatten(),
                nn.Linear(200, 8),
            )  # fmt: skip
            self.text = nn.Embedding(49408, 8)

    def image_features(self, images: Tensor) -> Tensor:
        out: Tensor = self.image(images)
        return out

    def text_features(self, tokens: Tensor) -> Tensor:
        there = (tokens != 0)[..., None]
        out: Tensor = (self.text(tokens) * there).sum(1) / there.sum(1)
        return out


SPEC = PairSpec(EncoderSpec("tiny", SIDE, 1, (0.5,), (0.25,), dim=8), CONTEXT, text=TextSpec())


def tiny_task(
    settings: ContrastSettings | None = None,
    *,
    words: TextSettings | None = None,
    view: ViewSettings | None = None,
    n: int = 48,
    **tower: Any,
) -> ReportTask:
    """Return the task over blobs with made-up reports."""
    texts = Texts(*made_up(n), words or TextSettings(scattered=1.0))
    feed = Resident(torch.from_numpy(blobs(n, size=SIDE)))
    chosen = ViewSettings(crop=(0.6, 1.0), contrast=0.2) if view is None else view
    return ReportTask(TinyPair(**tower), SPEC, feed, texts, settings or ContrastSettings(), chosen)


RESUMED = TrainSettings(
    steps=18, batch=12, lr=3e-3, warm_up=0.2, clip=1.0, seed=5, checkpoint_every=4, log_every=1,
    evaluate_every=3, keep=2,
)  # fmt: skip


def train_tiny(run: Path, kill_after: int = 0) -> None:
    """Train with everything random switched on and two best kept; die after a step, if given."""
    torch.set_num_threads(1)
    task = tiny_task(
        ContrastSettings(chunk=5),
        words=TextSettings(whole=1, consecutive=1, scattered=1, impression=1),
        view=ViewSettings(crop=(0.5, 1), rotate=10, contrast=0.2, noise=0.05, cutout=0.3),
        batch_norm=True,
        dropout=0.2,
    )

    def progress(done: int, total: int, note: str = "") -> None:
        if kill_after and done >= kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def measure() -> float:  # up and down, by the weights alone
        return math.sin(1e4 * float(task.pair.logit_scale))

    train(task, RESUMED, run, engine=slow_processor(), measure=measure, progress=progress)


SHARED = TrainSettings(steps=5, batch=12, lr=0.1, optimiser="sgd", seed=2)


def train_shared_reports(run: Path, rank: int, world: int, port: int, chunk: int) -> None:
    """Train as one of `world` processes, as torchrun would start it."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in place.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    train(tiny_task(ContrastSettings(chunk=chunk)), SHARED, run, engine=slow_processor())
