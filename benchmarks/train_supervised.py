"""Learning from labels: images per second, and what share of the device that is.

Runs hilum's own training loop (views, backbone, head, loss, average of weights, optimiser) with the
recipe `modern` on films of noise with made-up labels, once with all pixels on the device and once
read from a collection on disk by the loader's thread. The share is the operations of a step
(counted by torch: products of matrices, convolutions and attention, forwards and back) over its
time, divided by the rate at which the device multiplies large matrices in the same precision.

    python benchmarks/train_supervised.py            # a GPU: ResNet-50, ViT-B/16, 224 px, bf16

On two cores add ``--architecture resnet10t --size 64 --batch 32 --steps 12 --images 128``.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

import hilum
from hilum.collection import Collection
from hilum.encoders import ClassifierModule, ClassifierSpec
from hilum.encoders.device import Engine, choose_engine
from hilum.training import SUPERVISED_RECIPES, SupervisedRecipe
from hilum.training.backbones import start_backbone
from hilum.training.feed import Feed, Streamed, resident
from hilum.training.supervised_task import Examples, SupervisedTask
from rates import Speed, matrix_rate, speed

FINDINGS = tuple(name for name in hilum.FINDINGS if name != "No Finding")[:14]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--architecture", nargs="+", default=("resnet50", "vit_base_patch16_224"))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=80, help="the first quarter warms up")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="bf16")
    asked = parser.parse_args()
    engine = choose_engine(asked.device, asked.precision)
    name = torch.cuda.get_device_name() if engine.device.type == "cuda" else "processor"
    rate = matrix_rate(engine)
    print(f"{name}, {engine}: products of matrices {rate / 1e12:.2f} TFLOP/s")
    with tempfile.TemporaryDirectory() as folder:
        recipe = replace(SUPERVISED_RECIPES["modern"], size=asked.size)
        films = made_up(Path(folder), asked.images, recipe.stored)
        for architecture in asked.architecture:
            own = replace(recipe, architecture=architecture, init="random")
            for how, feed in feeds(films, recipe.stored, engine).items():
                found = measure(own, asked.batch, asked.steps, feed, engine)
                about = f"{architecture}, {asked.size} px, batch {asked.batch}, {how}"
                print(f"{about}: {found.as_text(rate)}", flush=True)


def made_up(folder: Path, images: int, side: int) -> Collection:
    """Make a collection of smooth noise, which packs about as well as films do."""
    rng = np.random.default_rng(0)
    (folder / "films").mkdir()
    lines = ["image_id,patient_id,file"]
    for row in range(images):
        coarse = rng.integers(0, 256, (side // 4, side // 4), dtype=np.uint8)
        film = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"films/{row}.png"), film)
        lines.append(f"{row},{row},films/{row}.png")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return hilum.ingest(folder, folder / "films.lance", layout="folder", size=side).collection


def feeds(films: Collection, side: int, engine: Engine) -> dict[str, Feed]:
    """Return pixels held on the device, and read from the collection."""
    device = engine.device
    held = resident((pixels for _, pixels in films.pixel_batches()), len(films), side, device)
    return {
        "resident": held,
        "with the loader": Streamed(len(films), films.pixels, side, device),
    }


def measure(recipe: SupervisedRecipe, batch: int, steps: int, feed: Feed, engine: Engine) -> Speed:
    backbone, image = start_backbone("random", recipe.wanted)
    spec = ClassifierSpec(image, FINDINGS, head=recipe.head)
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (len(feed), len(FINDINGS))).astype(np.float32)
    examples = Examples(feed, np.empty((len(feed), 0), np.float32), targets)
    task = SupervisedTask(
        ClassifierModule(spec, backbone), spec, examples, recipe.cost, recipe.teach, recipe.view
    )
    return speed(task, recipe.train, batch, steps, engine)


if __name__ == "__main__":
    main()
