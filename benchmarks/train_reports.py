"""Training on images and reports: images per second, and what share of the device that is.

Runs hilum's own training loop (drawing, tokenising, views, both towers, the loss, the optimiser)
on random films and made-up reports, and measures beside it how fast the device multiplies
matrices in the same precision. The share is the operations of a step (counted by torch: products
of matrices, convolutions and attention, forwards and back) over its time, divided by that rate.
Nothing is learnt from noise; nothing is counted as work that a larger batch would not do.

    python benchmarks/train_reports.py                               # a GPU: ViT-B/32, 64 and 512
    python benchmarks/train_reports.py --batch 8 --steps 8 --images 64              # two cores
    python benchmarks/train_reports.py --recipe reports-small --batch 64 --steps 40
"""

import argparse
from dataclasses import replace

import numpy as np
import torch

from hilum.encoders import PairEncoder, TextSpec, build_pair, tokenise
from hilum.encoders.device import Engine, choose_engine
from hilum.findings import FINDINGS
from hilum.training import REPORT_RECIPES, ReportRecipe
from hilum.training.feed import Resident
from hilum.training.report_task import ReportTask
from hilum.training.texts import Texts
from rates import Speed, matrix_rate, speed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", choices=tuple(REPORT_RECIPES), default="chexzero")
    parser.add_argument("--batch", type=int, nargs="+", default=(64, 512))
    parser.add_argument("--steps", type=int, default=80, help="the first quarter warms up")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--chunk", type=int, default=0, help="images encoded at a time; 0: all")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="bf16")
    asked = parser.parse_args()
    engine = choose_engine(asked.device, asked.precision)
    name = torch.cuda.get_device_name() if engine.device.type == "cuda" else "processor"
    rate = matrix_rate(engine)
    print(f"{name}, {engine}: products of matrices {rate / 1e12:.2f} TFLOP/s")
    recipe = REPORT_RECIPES[asked.recipe]
    recipe = replace(recipe, matching=replace(recipe.matching, chunk=asked.chunk))
    pixels, texts = made_up(asked.images, recipe)
    for batch in asked.batch:
        found = measure(recipe, batch, asked.steps, pixels, texts, engine)
        print(f"{recipe.architecture}, batch {batch}: {found.as_text(rate)}")


def made_up(images: int, recipe: ReportRecipe) -> tuple[torch.Tensor, Texts]:
    """Return films of noise, and a report of five sentences for each."""
    rng = np.random.default_rng(0)
    shape = (images, recipe.stored, recipe.stored)
    pixels = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    said = [f"There is {one.present}." for one in FINDINGS.values()]
    said += [f"There is {one.absent}." for one in FINDINGS.values()]
    reports = [" ".join(rng.choice(said, 5)) for _ in range(images)]
    return pixels, Texts([None] * images, reports, recipe.words)


def measure(
    recipe: ReportRecipe, batch: int, steps: int, pixels: torch.Tensor, texts: Texts, engine: Engine
) -> Speed:  # fmt: skip
    pair = start(recipe, texts, engine)
    feed = Resident(pixels.to(engine.device))
    task = ReportTask(pair.module, pair.spec, feed, texts, recipe.matching, recipe.view)
    return speed(task, recipe.train, batch, steps, engine)


def start(recipe: ReportRecipe, texts: Texts, engine: Engine) -> PairEncoder:
    """Make the recipe's pair with random weights."""
    if not recipe.small:
        pair = build_pair(recipe.architecture, size=recipe.size, engine=engine)
        image = replace(
            pair.spec.image, mean=recipe.mean or pair.spec.mean, std=recipe.std or pair.spec.std,
            resize=recipe.resize,
        )  # fmt: skip
        return PairEncoder(replace(pair.spec, image=image), pair.module, engine)
    ids = np.unique(tokenise([one.text for one in texts.whole], recipe.context, on_long="cut"))
    tower = TextSpec(recipe.text_width, recipe.text_layers, recipe.text_heads)
    return build_pair(
        recipe.architecture, size=recipe.size, channels=1, context=recipe.context, dim=recipe.dim,
        text=tower, ids=ids.tolist(), engine=engine,
    )  # fmt: skip


if __name__ == "__main__":
    main()
