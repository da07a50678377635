"""Does pretraining help on real films? The 1,115-image sample of ChestX-ray14, its own test split.

Pretrains `moco-small` without labels on the sample's training patients and on a synthetic hospital,
embeds the sample with it and with random weights, trains a logistic probe on the labels of the
training patients, and reads the test patients. Validation patients take no part. Prints AUROC with
95 % intervals over patients, and the paired difference.

    python benchmarks/real_films.py [--data NIH_SAMPLE] [--patients 600] [--epochs 25]
"""

import argparse
import os
import tempfile
from pathlib import Path

import hilum
from hilum.cli.console import progress_bar
from hilum.encoders import random_encoder
from hilum.evaluate.text import as_text

SIZE = 128
RARE = ("Hernia",)  # 8 training films


def main() -> None:
    data = Path(os.environ.get("HILUM_DATA", "../shared/data")) / "nih-sample"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--patients", type=int, default=600, help="of the synthetic hospital")
    parser.add_argument("--epochs", type=float, default=25)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(asked, Path(folder))


def measure(asked: argparse.Namespace, folder: Path) -> None:
    uri = folder / "films.lance"
    real = hilum.ingest(asked.data, uri, layout="nih", size=SIZE, name="real").collection
    findings = [name for name in real.findings if name not in RARE]
    if asked.patients:
        hospital = hilum.write_hospital(folder / "phantom", asked.patients, size=SIZE, seed=3)
        hilum.ingest(hospital, uri, layout="folder", size=SIZE, name="phantom")
    train = hilum.open(uri).where("split = 'train'")
    with progress_bar("Pretraining") as progress:
        moco = hilum.pretrain(
            train, folder / "run", epochs=asked.epochs, seed=asked.seed, progress=progress
        )
    control = random_encoder(moco.spec.architecture, asked.seed, size=moco.spec.size)
    for name, encoder in (("moco", moco), ("random", control)):
        hilum.embed(hilum.open(uri), encoder, name=name)

    films = hilum.open(uri).where("source = 'real'")
    labels, truth = films.labels("train", findings), films.labels("test", findings)
    print(f"pretrained on {len(train)} films; {len(labels)} labelled, {len(truth)} read")
    for method in ("probe", "cosine", "knn"):
        ours, theirs = (hilum.classify(films, n, labels, method) for n in ("moco", "random"))
        found = hilum.compare(ours, theirs, truth)
        print(f"\n{method}: pretrained\n{found.first.to_text()}")
        for name, metrics in (("pretrained", found.first), ("random weights", found.second),
                              ("difference", found.difference)):  # fmt: skip
            print(f"{method:>7} {name:<15} mean AUROC {as_text(metrics.mean['auroc'])}")


if __name__ == "__main__":
    main()
