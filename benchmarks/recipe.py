"""What is a pretraining recipe worth? A probe on patients that took no part, beside random weights.

    python benchmarks/recipe.py [FIELD=VALUE ...] [--seed 1] [--patients 600]

Each FIELD=VALUE changes the recipe `moco-small` (JSON values): temperature=0.1 steps=450 size=72.
Prints the mean AUROC over findings of a logistic probe with 20, 100 and all labels of the
pretraining patients. The hospital (seed 1) is not the demo's (seed 0).
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import hilum
from hilum.cli.console import progress_bar
from hilum.collection import Collection
from hilum.encoders import random_encoder
from hilum.frontier import Design, FewLabels, Measuring, OtherLines
from hilum.phantom import FINDINGS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("changes", nargs="*", metavar="FIELD=VALUE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patients", type=int, default=600)
    asked = parser.parse_args()
    changes = {}
    for change in asked.changes:
        field, value = change.split("=", 1)
        changes[field] = value if field in ("architecture", "optimiser") else json.loads(value)
    with tempfile.TemporaryDirectory() as folder:
        uri = Path(folder) / "films.lance"
        hospital = hilum.write_hospital(Path(folder) / "h", asked.patients, seed=asked.seed)
        hilum.ingest(hospital, uri, layout="folder", size=128, fractions=(0.6, 0.0, 0.4))
        with progress_bar("Pretraining") as progress:
            moco = hilum.pretrain(
                hilum.open(uri).where("split = 'train'"), Path(folder) / "run",
                progress=progress, **changes,
            )  # fmt: skip
        control = random_encoder(moco.spec.architecture, 0, size=moco.spec.size)
        for name, encoder in (("moco", moco), ("random", control)):
            hilum.embed(hilum.open(uri), encoder, name=name)
        show(hilum.open(uri))


def show(collection: Collection) -> None:
    few = FewLabels((20, 100), ("random",), readers=("probe",), controls=("random",))
    beside = OtherLines(reports=False, floors=(), full=())
    measuring = Measuring(tuple(FINDINGS), bootstrap=0)
    with tempfile.TemporaryDirectory() as folder:
        found = hilum.frontier(collection, folder, Design("moco", few, beside, measuring))
    for line in found.lines:
        for point in line.points:
            mean = np.nan if point.mean.estimate is None else point.mean.estimate
            print(f"{line.embedding:>7} {point.labels:>5} labels: {mean:.3f}")


if __name__ == "__main__":
    main()
