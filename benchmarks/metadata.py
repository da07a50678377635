"""How far without pixels? The whole table of ChestX-ray14, on its official test patients.

Ingests `Data_Entry_2017_v2020.csv` with the official lists (86,524 images of 28,008 patients, and
25,596 of 2,797 to test on), and draws validation patients from the former by a hash of their ids.
Models are fitted on training patients; whatever there is to choose, down to which model is the
best, is chosen on validation patients. Only then are the test patients read. Logistic regression
and the chosen model are then fitted again, as was chosen, on both together.

Prints a table: means over 14 findings with 95 % intervals over patients, first visits and
follow-ups apart; what the best model has more than the others, paired; seconds of processor time.

    python benchmarks/metadata.py [--data METADATA] [--out FOLDER] [--seed 0]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import hilum
from hilum import tabular
from hilum.cli.console import progress_bar
from hilum.evaluate import Measure, Metrics
from hilum.tabular import KINDS, TabularModel

INPUTS: Final = {
    "age, sex, view": ("demographics",),
    "+ labels of the previous visit": ("demographics", "previous"),
    "+ of all earlier visits": ("demographics", "history"),
    "+ their course": ("demographics", "history", "course"),
}
HEALTHY: Final = "No Finding"
GROUPS: Final = {"first visits": "below 1", "follow-ups": "1 and over"}
HEAD: Final = (
    "| what the model sees | model | validation | test: AUROC | first visits | follow-ups "
    "| average precision | CPU |"
)


@dataclass(frozen=True)
class Row:
    """A model, what it sees, its mean AUROC on validation patients and the seconds it cost."""

    inputs: str
    kind: str
    model: TabularModel
    validation: float
    seconds: float


def main() -> None:
    data = Path(os.environ.get("HILUM_DATA", "../shared/data")) / "metadata"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--out", type=Path, help="keep the collection and the score tables there")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(asked, asked.out or Path(folder))


def run(asked: argparse.Namespace, folder: Path) -> None:
    begun, spent = time.perf_counter(), time.process_time()
    collection = hilum.ingest(asked.data, folder / "all.lance", layout="nih", pixels=False)
    view = collection.collection
    findings = [name for name in view.findings if name != HEALTHY]
    counts = {name: len(view.where(f"split = '{name}'")) for name in ("train", "val", "test")}
    print(f"images: {counts}; ingested in {time.process_time() - spent:.0f} s of CPU")
    rows: list[Row] = []
    for name, inputs in INPUTS.items():
        rows += fit(view, name, inputs, findings, asked.seed)
    best = max(rows, key=lambda row: row.validation)
    again = [row for row in rows if row.kind == "logistic" or row is best]
    rows += [refit(view, row, findings, asked.seed) for row in again]

    test = view.where("split = 'test'")
    truth = test.labels(findings=findings)
    visits = tuple(str(visit) for visit in test.table(["visit"])["visit"])
    truth = replace(truth, extra={**truth.extra, "visit": visits})
    scores = [tabular.predict(test, row.model) for row in rows]
    print(f"\n{HEAD}\n|{' --- |' * 8}")
    for row, table in zip(rows, scores, strict=True):
        print(line(row, hilum.evaluate(table, truth, subgroups=["visit=1"], seed=asked.seed)))
        hilum.write_table(table, folder / f"{row.inputs} {row.kind}.csv")
    print(f"\nchosen on validation patients: {best.inputs}, {best.kind}. Its AUROC on test minus")
    print("that of the other models that see as much, paired over patients:")
    chosen = scores[rows.index(best)]
    for row, table in zip(rows, scores, strict=True):
        if row.inputs == best.inputs and row is not best:
            found = hilum.compare(chosen, table, truth, seed=asked.seed).difference
            print(f"  {row.kind}: {said(found.mean['auroc'], '+.4f')}")
    minutes = (time.perf_counter() - begun) / 60
    print(f"{time.process_time() - spent:.0f} s of CPU, {minutes:.1f} minutes")


def fit(
    view: hilum.Collection, name: str, inputs: Sequence[str], findings: Sequence[str], seed: int
) -> Iterator[Row]:
    """Fit each part once, and put them together for the kinds that average parts."""
    parts: dict[str, tuple[TabularModel, float]] = {}
    validation = view.where("split = 'val'")
    truth = validation.labels(findings=findings)
    for kind, names in KINDS.items():
        if names == (kind,):
            begun = time.process_time()
            with progress_bar(f"{name}: {kind}") as progress:
                fitted = tabular.fit(view, inputs, kind, findings, seed=seed, progress=progress)
            parts[kind] = fitted.model, time.process_time() - begun
        first = parts[names[0]][0]
        made = {part: parts[part][0].parts[part] for part in names}
        model = replace(first, spec=replace(first.spec, kind=kind), parts=made)
        found = hilum.evaluate(tabular.predict(validation, model), truth, bootstrap=0)
        estimate = found.mean["auroc"].estimate
        assert estimate is not None
        yield Row(name, kind, model, estimate, sum(parts[part][1] for part in names))


def refit(view: hilum.Collection, row: Row, findings: Sequence[str], seed: int) -> Row:
    """Fit again, as was chosen, on training and validation patients together."""
    begun = time.process_time()
    with progress_bar(f"{row.inputs}: {row.kind} again") as progress:
        inputs = INPUTS[row.inputs]
        fitted = tabular.fit(
            view, inputs, row.kind, findings, refit=True, seed=seed, progress=progress
        )
    seconds = time.process_time() - begun
    return Row(row.inputs, f"{row.kind}, on both", fitted.model, row.validation, seconds)


def line(row: Row, found: Metrics) -> str:
    groups = found.subgroups["visit"]
    apart = [said(groups[group].card.mean["auroc"]) for group in GROUPS.values()]
    cells = [
        row.inputs,
        row.kind,
        f"{row.validation:.3f}",
        f"**{said(found.mean['auroc'])}**",
        *apart,
        said(found.mean["average_precision"]),
        f"{row.seconds:.0f} s",
    ]
    return f"| {' | '.join(cells)} |"


def said(measure: Measure, form: str = ".3f") -> str:
    return f"{measure.estimate:{form}} ({measure.low:{form}} to {measure.high:{form}})"


if __name__ == "__main__":
    main()
