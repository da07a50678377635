"""A selector on real films: what it learnt, tried on patients and on children it never saw.

One collection: a synthetic hospital, the sample of ChestX-ray14, and PneumoniaMNIST (children of
one to five years, 28 × 28 pixels; its test split). An encoder is pretrained without labels on the
training patients of the first two, and a selector is trained on their labels (of adults wherever a
finding is frequent enough), without those of pneumonia and without the films that have it. It is
tested on the test patients of ChestX-ray14 and on the children, whose condition and age it never
saw, against strategies that learn nothing. Prints AUROC and what the selector has more, with 95 %
intervals over patients.

    python benchmarks/selector_real.py [--data SHARED_DATA] [--hospital FOLDER] [--out FOLDER]
"""

import argparse
import os
from pathlib import Path

import numpy as np
from PIL import Image

import hilum
from hilum.cli.console import progress_bar
from hilum.select import comparison_files
from hilum.select.selector_trial import prepare_trial, teach_on, try_selector
from hilum.select.task_plan import TaskPlan

SIZE = 128
TAUGHT = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Mass", "Nodule",
          "Pleural Effusion", "Pneumothorax", "Support Devices")  # fmt: skip
ASKED = ("Pneumonia", "Infiltration", "Pleural Effusion", "Atelectasis")
OTHERS = ("random", "k-means", "k-medoids", "k-center", "typiclust", "probcover")
TRIALS = {
    # what is asked, on which films, from which pools
    "adults": (ASKED, "nih", TaskPlan(40, 20), (5, 10, 20), (0.5, 0.2)),
    "children": (("Pneumonia",), "children", TaskPlan(200, 100), (5, 10, 20, 40), (0.5, 0.2)),
}


def main() -> None:
    data = Path(os.environ.get("HILUM_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--hospital", type=Path, help="made already by `hilum phantom`")
    parser.add_argument("--patients", type=int, default=3000, help="of the hospital, if made here")
    parser.add_argument("--out", type=Path, default=Path("selector_real"))
    parser.add_argument("--encoder-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    collection = gather(asked)
    with progress_bar("encoder") as progress:
        train = collection.where("split = 'train' AND source <> 'children'")
        encoder = hilum.pretrain(
            train, asked.out / "encoder", steps=asked.encoder_steps, seed=asked.seed,
            progress=progress,
        )  # fmt: skip
    collection = hilum.embed(collection, encoder, "moco")
    with progress_bar("selector") as progress:
        teach_on(
            collection, "moco", asked.out / "selector",
            plan=TaskPlan(40, 20, findings=TAUGHT, held_out=("Pneumonia",)),
            train="split = 'train' AND source <> 'children'",
            validation="split = 'val' AND source <> 'children'", progress=progress,
            steps=asked.steps, seed=asked.seed, budgets=(5, 10, 20), judged=(5, 10, 20),
        )  # fmt: skip
    for name, (findings, source, plan, budgets, prevalences) in TRIALS.items():
        trial = prepare_trial(
            collection, "moco", asked.out / "selector", strategies=OTHERS, findings=findings,
            where=f"split = 'test' AND source = '{source}'", seed=asked.seed,
        )  # fmt: skip
        with progress_bar(name) as progress:
            found = try_selector(
                trial, progress=progress, plan=plan, budgets=budgets, prevalences=prevalences,
                tasks=asked.tasks, seed=asked.seed,
            )  # fmt: skip
        comparison_files.save(found, asked.out / name)
        print(f"\n{name}\n{comparison_files.as_text(found)}")


def gather(asked: argparse.Namespace) -> hilum.Collection:
    """Bring the three sources into one collection."""
    uri = asked.out / "films.lance"
    hospital = asked.hospital
    if hospital is None:
        with progress_bar("hospital") as progress:
            hospital = hilum.write_hospital(
                asked.out / "hospital", asked.patients, size=SIZE, seed=11, progress=progress
            )
    hilum.ingest(hospital, uri, layout="folder", size=SIZE, name="hospital")
    hilum.ingest(asked.data / "nih-sample", uri, layout="nih", size=SIZE, name="nih")
    children = write_children(asked.data / "pneumoniamnist.npz", asked.out / "children")
    return hilum.ingest(children, uri, layout="folder", size=SIZE, name="children").collection


def write_children(arrays: Path, folder: Path) -> Path:
    """Write the test images of PneumoniaMNIST as PNG files, each its own patient, and a table."""
    folder.mkdir(exist_ok=True)
    with np.load(arrays) as content:
        images, labels = content["test_images"], content["test_labels"][:, 0]
    lines = ["image_id,patient_id,file,split,age,Pneumonia,No Finding"]
    for at, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = f"child{at:04}"
        Image.fromarray(image).save(folder / f"{name}.png")
        lines.append(f"{name},{name},{name}.png,test,,{label},{1 - label}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
