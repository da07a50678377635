"""What do reports alone teach? Zero-shot AUROC on the phantom beside the same network with labels.

Trains `reports-small` on the images and reports of the training patients, without a label, and
reads ten findings of the test patients by hilum's own prompts. Then trains the same backbone on
all labels of the same images (binary cross-entropy, the same views, optimiser and steps; its best
validation AUROC decides which weights are kept, so it is given more). Prints AUROC with 95 %
intervals over patients, and how far of the way from 0.5 to the supervised network the reports go.

    python benchmarks/zeroshot_phantom.py [--collection C.lance] [FIELD=VALUE ...]

Without a collection a hospital of 6,000 patients is made first. Each FIELD=VALUE changes the
recipe (JSON values): steps=500 positives=own scattered=0 whole=1. `--read val` reads the
validation patients instead, for whoever changes the recipe.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import hilum
from hilum.cli.console import progress_bar
from hilum.collection import Collection
from hilum.encoders.device import choose_engine, own_random_numbers
from hilum.encoders.image import EncoderSpec, build_module, feature_dim, normalise, to_input
from hilum.evaluate import auroc
from hilum.training import REPORT_RECIPES, ReportRecipe, Task, train, views
from hilum.training.feed import Feed, feed_of
from hilum.training.recipes import override


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("changes", nargs="*", metavar="FIELD=VALUE")
    parser.add_argument("--collection", type=Path, help="made already; a copy is not needed")
    parser.add_argument("--patients", type=int, default=6000, help="of the hospital made here")
    parser.add_argument("--out", type=Path, default=Path("zeroshot_phantom"))
    parser.add_argument("--read", choices=("val", "test"), default="test")
    parser.add_argument("--no-supervised", action="store_true")
    parser.add_argument("--threads", type=int, help="of torch; all cores if not given")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    films = hilum.open(asked.collection) if asked.collection else make_hospital(asked)
    recipe = override(REPORT_RECIPES["reports-small"], dict(map(setting, asked.changes)))
    ours = read_by_reports(films, recipe, asked)
    if not asked.no_supervised:
        theirs = read_by_labels(films, recipe, asked)
        found = hilum.compare(ours, theirs, films.labels(asked.read))
        print(found.to_text())
        zero, full = (one.mean["auroc"].estimate or np.nan for one in (found.first, found.second))
        print(f"\n{(zero - 0.5) / (full - 0.5):.0%} of the way from 0.5 to the supervised network")
    else:
        print(hilum.evaluate(ours, films.labels(asked.read)).to_text())


def setting(text: str) -> tuple[str, Any]:
    field, value = text.split("=", 1)
    try:
        return field, json.loads(value)
    except ValueError:
        return field, value


def make_hospital(asked: argparse.Namespace) -> Collection:
    with progress_bar("hospital") as progress:
        hospital = hilum.write_hospital(
            asked.out / "hospital", asked.patients, size=128, seed=11, progress=progress
        )
    return hilum.ingest(
        hospital, asked.out / "films.lance", layout="folder", size=128, fractions=(0.55, 0.2, 0.25)
    ).collection


def read_by_reports(
    films: Collection, recipe: ReportRecipe, asked: argparse.Namespace
) -> hilum.Table:
    """Train on images and reports, and score the findings by sentences."""
    clock, cpu = time.perf_counter(), time.process_time()
    with progress_bar("reports") as progress:
        pair = hilum.pretrain_reports(
            films.where("split = 'train'"), asked.out / "reports", recipe,
            validation=films.where("split = 'val'"), progress=progress,
        )  # fmt: skip
    wall, used = time.perf_counter() - clock, time.process_time() - cpu
    print(f"trained on reports in {wall:.0f} s, {used:.0f} s of one core")
    return hilum.zeroshot(films.where(f"split = '{asked.read}'"), pair, keep=False)


def read_by_labels(
    films: Collection, recipe: ReportRecipe, asked: argparse.Namespace
) -> hilum.Table:
    """Train the same backbone on all labels of the same images, and score the findings."""
    engine = choose_engine()
    sets = {split: films.where(f"split = '{split}'") for split in ("train", "val", asked.read)}
    feeds = {
        split: feed_of(view, recipe.stored, engine.device, np.arange(len(view)))
        for split, view in sets.items()
    }
    truth = {split: view.labels().values for split, view in sets.items()}
    task = Supervised(recipe, feeds["train"], truth["train"])

    def measure() -> float:
        scores = task.scores(feeds["val"])
        columns = zip(scores.T, truth["val"].T, strict=True)
        return float(np.mean([auroc(score, label == 1) for score, label in columns]))

    settings = replace(recipe.train, patience=0)
    with progress_bar("labels") as progress:
        train(task, settings, asked.out / "labels", engine=engine, measure=measure,
              progress=progress)  # fmt: skip
    task.eval()
    read = sets[asked.read]
    return hilum.Table(read.ids(), read.findings, task.scores(feeds[asked.read]))


class Supervised(Task):
    """A backbone and one output per finding, taught by labels."""

    def __init__(self, recipe: ReportRecipe, feed: Feed, labels: NDArray[np.float64]) -> None:
        super().__init__()
        self.feed, self.view = feed, recipe.view
        self.spec = EncoderSpec(recipe.architecture, recipe.size, 1, (0.5,), (0.25,), dim=1)
        seed = recipe.train.seed
        self.backbone = build_module(recipe.architecture, recipe.size, 1, seed=seed)
        with own_random_numbers(seed):
            self.head = nn.Linear(feature_dim(self.backbone, recipe.size, 1), labels.shape[1])
        self.labels = torch.from_numpy(labels).float()

    @property
    def examples(self) -> int:
        return len(self.feed)

    def batch(
        self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice
    ) -> tuple[Tensor, views.View, Tensor]:
        view = views.draw(rng, len(rows), self.view).take(mine)
        return self.feed(rows[mine]), view, self.labels[torch.from_numpy(rows[mine])]

    def forward(self, batch: tuple[Tensor, views.View, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        pixels, view, labels = batch
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            images = normalise(views.apply(pixels, view, self.spec.size), self.spec)
        logits = self.head(self.backbone(images)).float()
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.device)), {}

    def scores(self, feed: Feed) -> NDArray[np.float64]:
        """Return (images, findings) logits."""
        found = []
        with torch.inference_mode():
            for start in range(0, len(feed), 256):
                pixels = feed(np.arange(start, min(start + 256, len(feed))))
                found.append(self.head(self.backbone(to_input(pixels, self.spec))).float().cpu())
        return torch.cat(found).double().numpy()


if __name__ == "__main__":
    main()
