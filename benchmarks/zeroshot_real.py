"""Zero-shot on real films: the 1,115-image sample of ChestX-ray14, its own test patients.

The sample has no reports. Its only text here is written from its labels: each training film gets
an impression that states its findings, and denies about half of the others. So the pair is taught
by labels in the clothes of sentences, and this shows that the path works on real films, not what
reports would teach.

Pretrains `moco-small` without labels on the training films and on a synthetic hospital, goes on
from there with `reports-small` on the training films and those impressions, and reads the test
patients by hilum's prompts; beside it a logistic probe on all labels of the training patients, on
the vectors of MoCo and on those of the pair. Prints AUROC with 95 % intervals over patients, and
the paired difference. Validation patients decide which weights are kept, by retrieval.

    python benchmarks/zeroshot_real.py [--data NIH_SAMPLE] [--moco RUN] [FIELD=VALUE ...]
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import hilum
from hilum.cli.console import progress_bar
from hilum.collection import Collection
from hilum.encoders import PairEncoder
from hilum.evaluate.text import as_text

SIZE = 128
RARE = ("Hernia",)  # 8 training films


def main() -> None:
    data = Path(os.environ.get("HILUM_DATA", "../shared/data")) / "nih-sample"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("changes", nargs="*", metavar="FIELD=VALUE", help="of reports-small")
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--patients", type=int, default=600, help="of the synthetic hospital")
    parser.add_argument("--moco", type=Path, help="a run made already by this script")
    parser.add_argument("--epochs", type=float, default=25, help="of MoCo")
    parser.add_argument("--read", choices=("val", "test"), default="test")
    parser.add_argument("--out", type=Path, default=Path("zeroshot_real"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    films, moco = pretrained(asked)
    pair = taught(films, moco, asked)
    films = hilum.embed(hilum.embed(films, moco, "moco"), pair, "pair", overwrite=True)
    show(films, pair, asked)


def pretrained(asked: argparse.Namespace) -> tuple[Collection, Path]:
    """Bring the films together, and pretrain on those of training patients without labels."""
    uri = asked.out / "films.lance"
    hilum.ingest(asked.data, uri, layout="nih", size=SIZE, name="real")
    if asked.patients:
        hospital = hilum.write_hospital(asked.out / "hospital", asked.patients, size=SIZE, seed=3)
        hilum.ingest(hospital, uri, layout="folder", size=SIZE, name="phantom")
    run: Path = asked.moco or asked.out / "moco"
    if asked.moco is None:
        with progress_bar("MoCo") as progress:
            train = hilum.open(uri).where("split = 'train'")
            hilum.pretrain(train, run, epochs=asked.epochs, progress=progress)
    return hilum.open(uri).where("source = 'real'"), run


def impressions(films: Collection, seed: int = 0) -> dict[str, str]:
    """Write an impression for each film from its labels."""
    rng = np.random.default_rng(seed)
    labels = films.labels()
    written = {}
    for image, row in zip(labels.ids, labels.values, strict=True):
        there = dict(zip(labels.findings, row == 1, strict=True))
        if there.pop("No Finding", False):
            said = ["No acute cardiopulmonary abnormality."]
        else:
            said = [f"There is {name.lower()}." for name, found in there.items() if found]
        absent = [name for name, found in there.items() if not found and rng.random() < 0.5]
        written[image] = " ".join([*said, *(f"No {name.lower()}." for name in absent)])
    return written


def taught(films: Collection, moco: Path, asked: argparse.Namespace) -> PairEncoder:
    """Train on the training films and their impressions."""
    changes: dict[str, Any] = {}
    for change in asked.changes:
        field, value = change.split("=", 1)
        changes[field] = value if field in ("positives", "loss") else json.loads(value)
    with progress_bar("reports") as progress:
        return hilum.pretrain_reports(
            films.where("split = 'train'"), asked.out / "reports", init=moco,
            validation=films.where("split = 'val'"), reports=impressions(films),
            progress=progress, **changes,
        )  # fmt: skip


def show(films: Collection, pair: PairEncoder, asked: argparse.Namespace) -> None:
    findings = [name for name in films.findings if name not in RARE]
    truth = films.labels(asked.read, findings)
    labels = films.labels("train", findings)
    read = hilum.zeroshot(films, pair, findings=findings, keep=False)
    probes = {name: hilum.classify(films, name, labels, "probe") for name in ("moco", "pair")}
    print(f"{len(labels)} films to learn from, {len(truth)} read")
    for name, probe in probes.items():
        found = hilum.compare(read, probe, truth)
        print(
            f"\nzero-shot, and a probe with all labels on the vectors of {name}\n{found.to_text()}"
        )
        for title, metrics in (("zero-shot", found.first), (f"probe on {name}", found.second),
                               ("difference", found.difference)):  # fmt: skip
            print(f"{title:>15} mean AUROC {as_text(metrics.mean['auroc'])}")


if __name__ == "__main__":
    main()
