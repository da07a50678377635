"""Does the phantom teach? A small network with all labels, against what needs no learning.

Trains a ResNet-10 on every label of the training patients of a synthetic hospital and reads the
test patients; beside it a logistic probe on the same network with random weights, and one on age,
sex and view alone. Prints AUROC per finding with 95 % intervals over patients.

    python benchmarks/teaching.py [--patients 600] [--seed 2] [--epochs 30]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import hilum
from hilum.collection import Collection
from hilum.encoders import EncoderSpec, random_encoder
from hilum.encoders.image import build_module, normalise, to_input
from hilum.phantom import FINDINGS
from hilum.predictors import linear_probe
from hilum.tables import Table
from hilum.training import Task, TrainSettings, train, views

ARCHITECTURE, SIZE, DIM = "resnet10t", 96, 512
SPEC = EncoderSpec(ARCHITECTURE, SIZE, 1, (0.5,), (0.25,), DIM)
VIEW = views.ViewSettings(crop=(0.7, 1.0), rotate=8, contrast=0.2, brightness=0.1, gamma=1.2)


class Supervised(Task):
    """Every label at once: weighted binary cross-entropy on augmented films."""

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.float64], seed: int) -> None:
        super().__init__()
        self.pixels, self.labels = torch.from_numpy(pixels), torch.from_numpy(labels).float()
        self.backbone = build_module(ARCHITECTURE, SIZE, 1, seed=seed)
        self.head = nn.Linear(DIM, labels.shape[1])
        share = self.labels.mean(dim=0)
        self.register_buffer("weight", ((1 - share) / share).sqrt())

    @property
    def examples(self) -> int:
        return len(self.pixels)

    def batch(self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice) -> Any:
        view = views.draw(rng, len(rows), VIEW).take(mine)
        return self.pixels[rows[mine]], self.labels[rows[mine]], view

    def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        pixels, labels, view = batch
        logits = self.head(self.backbone(normalise(views.apply(pixels, view, SIZE), SPEC))).float()
        weight: Tensor = self.get_buffer("weight")
        loss = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight)
        return loss, {}

    def read(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.eval()
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(pixels), 128)
            logits = [self.head(self.backbone(to_input(part, SPEC))).float() for part in parts]
        return torch.cat(logits).double().numpy()


def demographics(collection: Collection) -> NDArray[np.float64]:
    table = collection.table(["age", "sex", "view"])
    age = table["age"].to_numpy() / 50
    sex, view = (table["sex"] == "M").to_numpy(), (table["view"] == "AP").to_numpy()
    return np.stack([age, age**2, sex, view], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=600)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hospital = hilum.write_hospital(Path(folder) / "h", asked.patients, seed=asked.seed)
        uri = Path(folder) / "c.lance"
        hilum.ingest(hospital, uri, layout="folder", size=128, fractions=(0.65, 0.0, 0.35))
        collection = hilum.open(uri)
        measure(collection, Path(folder) / "run", asked.epochs)


def measure(collection: Collection, run: Path, epochs: int) -> None:
    learn, test = (collection.where(f"split = '{split}'") for split in ("train", "test"))
    labels, truth = learn.labels(findings=FINDINGS), test.labels(findings=FINDINGS)
    started = time.monotonic()
    task = Supervised(learn.pixels(), labels.values, seed=0)
    train(task, TrainSettings(epochs=epochs, batch=64, lr=2e-3, optimiser="adamw",
                              weight_decay=1e-2, warm_up=0.05), run)  # fmt: skip
    seconds = time.monotonic() - started
    control = random_encoder(ARCHITECTURE, 0, size=SIZE)
    known = [(control.encode_images(part.pixels()), demographics(part)) for part in (learn, test)]
    scores = {
        "all labels": task.read(test.pixels()),
        "probe, random weights": linear_probe(known[1][0], known[0][0], labels.values).scores,
        "age, sex, view": linear_probe(known[1][1], known[0][1], labels.values).scores,
    }
    for name, values in scores.items():
        print(f"\n{name}" + (f" ({seconds:.0f} s of training)" if name == "all labels" else ""))
        print(hilum.evaluate(Table(truth.ids, truth.findings, values), truth).to_text())


if __name__ == "__main__":
    main()
