"""Retrieval on real films: X-MIR's procedure and ours, what it rests on, and a class left out.

    python benchmarks/metric.py PHANTOM NIH [--data covidx-sample] [--steps 80] [--seeds 1]
    python benchmarks/metric.py PHANTOM NIH --losses --steps 160

PHANTOM and NIH are encoders pretrained without labels (`hilum pretrain moco`) on phantom films and
on NIH films. Recipes `x-mir` and `metric-small` are trained on COVIDx's training list from random
weights and from both, under one budget: a ResNet-10 at 96 px and `--steps` batches of 48, since
X-MIR's DenseNet-121 at 224 px takes a GPU and there are no ImageNet weights here. 80 batches are
X-MIR's 20 epochs of this sample (an epoch ends with the rarest class: 70 images, 4 batches of 16).
`x-mir` keeps its last weights; ours are chosen on a quarter of the training patients, from whom
nothing else is learnt. The test list is read once, at
the end: every image looks for its class among those of other patients, beside raw pixels and
weights that have learnt nothing.

Then what that rests on: in COVIDx a class comes from one source. It measures how well images find
their source, and their class within it, with the same vectors and with the frame of the film alone,
where there is hardly any lung. Last, COVID-19 is left out of training, and what stands out is
measured.

`--losses` reads no test image: it trains `metric-small` with each loss and a few rates from NIH,
and prints the mAP of the validation patients.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

import hilum
from hilum.cli.console import note, progress_bar
from hilum.collection import Collection
from hilum.collection.vectors import EmbeddingInfo
from hilum.encoders import random_encoder
from hilum.evaluate import Measure
from hilum.retrieve import (
    NeighbourMetrics,
    compare_neighbours,
    evaluate_anomaly,
    evaluate_confounding,
    evaluate_neighbours,
)

TEST: Final = "split = 'test'"
LEFT_OUT: Final = "COVID-19"
SMALL: Final[dict[str, Any]] = {"architecture": "resnet10t", "size": 96, "channels": 1}
PROXIES: Final = {"alpha": 32.0, "margin": 0.1, "backbone_rate": 0.1, "lr": 1e-2}
LOSSES: Final[dict[str, dict[str, Any]]] = {
    **{
        f"{loss}, rate {rate:g}": {"loss": loss, "lr": rate}
        for loss in ("triplet", "multi-similarity", "supcon")
        for rate in (3e-4, 1e-3, 3e-3)
    },
    "triplet, margin 0.5, rate 0.001": {"loss": "triplet", "margin": 0.5, "lr": 1e-3},
    "supcon, projection 128, rate 0.001": {"loss": "supcon", "projection": 128, "lr": 1e-3},
    "proxy-anchor, alpha 32, margin 0.1, rate 0.01 and 0.001": {"loss": "proxy-anchor", **PROXIES},
}
SIDE: Final = 32  # of an image whose pixels are its vector
EDGE: Final = 4  # pixels of its frame: an eighth of the side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(os.environ.get("HILUM_DATA", "../shared/data")) / "covidx-sample"
    parser.add_argument("phantom", help="an encoder pretrained on phantom films")
    parser.add_argument("nih", help="an encoder pretrained on NIH films")
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--out", type=Path, default=Path("metric"))
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--losses", action="store_true", help="compare losses on validation")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    uri = asked.out / "films.lance"
    if not uri.exists():
        hilum.ingest(asked.data, uri, layout="covidx", size=128)
    if asked.losses:
        losses(asked, hilum.open(uri))
        return
    starts = {"random": "random", "phantom": asked.phantom, "nih": asked.nih}
    untaught(uri, starts)
    spent = {
        name: taught(asked, uri, name, recipe, start, seed)
        for seed in range(asked.seeds)
        for recipe in ("x-mir", "metric-small")
        for key, start in starts.items()
        for name in [f"{recipe}-{key}-{seed}"]
    }
    retrieval(hilum.open(uri), spent)
    confounding(hilum.open(uri), asked.data)
    for recipe in ("x-mir", "metric-small"):
        taught(asked, uri, f"{recipe}-without", recipe, asked.nih, 0, anomaly=LEFT_OUT)
    anomalies(hilum.open(uri))


# ------------------------------------------------------------------ vectors


def untaught(uri: Path, starts: dict[str, str]) -> None:
    """Add the vectors that no label has touched."""
    pixels(uri, "pixels", whole)
    pixels(uri, "frame", frame)
    hilum.embed(hilum.open(uri), random_encoder("resnet10t", size=96), "random")
    for key in ("phantom", "nih"):
        hilum.embed(hilum.open(uri), starts[key], f"moco-{key}")


def whole(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1)


def frame(images: NDArray[np.float32]) -> NDArray[np.float32]:
    outside = np.ones((SIDE, SIDE), np.bool_)
    outside[EDGE:-EDGE, EDGE:-EDGE] = False
    return images[:, outside]


def pixels(uri: Path, name: str, take: Any) -> None:
    """Add pixels as vectors: shrunk by averaging, less their mean, so that cosines correlate."""
    films = hilum.open(uri)
    dim = take(np.zeros((1, SIDE, SIDE), np.float32)).shape[1]
    info = EmbeddingInfo(dim, hashlib.sha256(name.encode()).hexdigest(), f"{name} as it is")
    rows, ids = films.without_vector(name, info), films.ids()

    def batches() -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        for part in np.array_split(rows, max(1, len(rows) // 200)):
            images = films.pixels(part).astype(np.float32)
            step = images.shape[1] // SIDE
            small = images.reshape(len(part), SIDE, step, SIDE, step).mean(axis=(2, 4))
            vectors = take(small)
            yield [ids[row] for row in part], vectors - vectors.mean(axis=1, keepdims=True)

    if len(rows):
        films.add_embedding(name, batches(), info)


def taught(
    asked: argparse.Namespace, uri: Path, name: str, recipe: str, start: str, seed: int,
    anomaly: str | None = None,
) -> float:  # fmt: skip
    """Train one way, add its vectors, and return the processor time."""
    films = hilum.open(uri)
    learnt, judged = films.where("split = 'train'"), None
    if recipe != "x-mir":
        learnt, judged = apart(films)
    changes = {"steps": asked.steps, **SMALL}
    before = time.process_time()
    with progress_bar(name) as progress:
        encoder = hilum.train_metric(
            learnt, asked.out / name, recipe, validation=judged, anomaly=anomaly, init=start,
            seed=seed, progress=progress, **changes,
        )  # fmt: skip
    spent = time.process_time() - before
    hilum.embed(hilum.open(uri), encoder, name)
    note(f"{name}: {spent:.0f} s of processor")
    return spent


def losses(asked: argparse.Namespace, films: Collection) -> None:
    """Train with each loss, and print what validation patients say; no test image is read."""
    learnt, judged = apart(films)
    print(f"{len(learnt)} training images, {len(judged)} of other patients to judge")
    print("| loss | mAP on validation patients | after step |\n|---|---|---|")
    for number, (name, changes) in enumerate(LOSSES.items()):
        run = asked.out / f"loss-{number}"
        hilum.train_metric(
            learnt, run, "metric-small", validation=judged, init=asked.nih, collapse=0.0,
            steps=asked.steps, evaluate_every=asked.steps // 10, **SMALL, **changes,
        )  # fmt: skip
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        print(f"| {name} | {metrics['best']:.3f} | {metrics['best_step']} |", flush=True)


def apart(films: Collection) -> tuple[Collection, Collection]:
    """Return the training images of three quarters of the patients, and of the others."""
    patients = sorted(set(films.where("split = 'train'").table(["patient_id"])["patient_id"]))
    quarter = [patient for patient in patients if crc32(patient.encode()) % 4 == 0]
    listed = ", ".join(f"'{patient}'" for patient in quarter)
    within = f"split = 'train' AND patient_id {{}} ({listed})"
    return films.where(within.format("NOT IN")), films.where(within.format("IN"))


# ------------------------------------------------------------------ tables


def retrieval(films: Collection, spent: dict[str, float]) -> None:
    names = ["pixels", "frame", "random", "moco-phantom", "moco-nih", *spent]
    found = {name: evaluate_neighbours(films, name, queries=TEST) for name in names}
    one = found["pixels"]
    print(f"\n{one.queries} queries of {one.patients} patients, by chance {one.chance['all']:.3f}")
    columns = ("average_precision", "precision@1", "precision@5", "precision@10")
    print(
        "| vectors | mAP | mP@1 | mP@5 | mP@10 | mAP as X-MIR counts | CPU |\n" + "|---" * 7 + "|"
    )
    for name, metrics in found.items():
        as_xmir = evaluate_neighbours(films, name, queries=TEST, same_patient=True, bootstrap=0)
        cells = [said(metrics.mean[column]) for column in columns]
        cells += [f"{as_xmir.mean['average_precision_xmir'].estimate:.3f}"]
        cells += [f"{spent[name]:.0f} s" if name in spent else ""]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    by_class(found)
    print()
    for name in (name for name in found if name.startswith("metric-small")):
        for other in (name.replace("metric-small", "x-mir"), "pixels"):
            gap = compare_neighbours(found[name], found[other])["average_precision"]
            print(f"mAP, {name} less {other}: {said(gap, '+')}", flush=True)


def by_class(found: dict[str, NeighbourMetrics]) -> None:
    classes = list(found["pixels"].findings)
    print(f"\n| vectors | {' | '.join(f'mAP of {name}' for name in classes)} |")
    print("|---" * (len(classes) + 1) + "|")
    for name, metrics in found.items():
        cells = [said(metrics.findings[one]["average_precision"]) for one in classes]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def confounding(films: Collection, data: Path) -> None:
    lines = [
        line.split()
        for split in ("train", "test")
        for line in (data / f"{split}_split.txt").read_text(encoding="utf-8").splitlines()
    ]
    sources = {words[1]: words[3] for words in lines}
    names = [name for name in films.embeddings if not name.endswith("-without")]
    found = {name: evaluate_confounding(films, name, sources, where=TEST) for name in names}
    print("\n" + found["pixels"].to_text().splitlines()[-1])
    ways = list(found["pixels"].found)
    print(f"| vectors | {' | '.join(ways)} | nearest of the same source |\n" + "|---" * 6 + "|")
    chance = [found["pixels"].chance[way] for way in ways]
    said_by_chance = ["" if one is None else f"{one:.3f}" for one in chance]
    print(f"| by chance | {' | '.join(said_by_chance)} | {1 / found['pixels'].sources:.3f} |")
    for name, metrics in found.items():
        cells = [said(metrics.found[way]) for way in ways]
        print(f"| {name} | {' | '.join(cells)} | {metrics.nearest:.3f} |", flush=True)


def anomalies(films: Collection) -> None:
    print(f"\n{LEFT_OUT} left out of training")
    columns = ("auroc", "average_precision", "fpr@95")
    print("| vectors | AUROC | AUPR | FPR at 95 % recall |\n|---|---|---|---|")
    without = [name for name in films.embeddings if name.endswith("-without")]
    chance = {}
    for name in ("pixels", "frame", "random", "moco-phantom", "moco-nih", *without):
        found = evaluate_anomaly(films, name, LEFT_OUT)
        chance = found.chance
        print(
            f"| {name} | {' | '.join(said(found.measures[one]) for one in columns)} |", flush=True
        )
    print(f"| by chance | {' | '.join(f'{chance[one]:.3f}' for one in columns)} |")


def said(measure: Measure, sign: str = "") -> str:
    low, middle, high = (
        format(value, f"{sign}.3f") if value is not None else "?"
        for value in (measure.low, measure.estimate, measure.high)
    )
    if measure.estimate is None:
        return "none can"
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    main()
