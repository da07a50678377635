"""What labels teach: the NIH study's ladder on the phantom, and where to start on real films.

    python benchmarks/supervised.py ladder START [--collection C.lance]   (phantom)
    python benchmarks/supervised.py starts START [--data nih-sample]      (621 patients and more)

START is an encoder pretrained on phantom films without labels (`hilum pretrain moco`, or the one
that `hilum demo` leaves behind).

`ladder` climbs the study's steps with its own recipe (weighted loss, frozen backbone pooled by the
maximum, Dense 256, dropout 0.5, Dense 256, Adam 1e-4): the image; with demographics; with the
labels of the previous visit; with a residual path; with everything unfrozen. Beside it stand the
modern recipe, the same without what it can do without, and a model that never sees the image.
Everything is chosen on validation patients. It prints AUROC on test patients with 95 % intervals,
first visits and follow-ups apart, each step less the one before (paired), and what the residual
path changes for heat maps: the gradient of a finding's logit at the last feature map of its
positive test images, and the share of Grad-CAM maps that are blank.

`starts` trains one recipe under one budget from random weights, from START and from an encoder
pretrained on the very training images without their labels, with so many seeds each.
"""

import argparse
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

import hilum
from hilum.cli.console import progress_bar
from hilum.collection import Collection
from hilum.encoders import Classifier
from hilum.evaluate import Measure
from hilum.evaluate.repeats import compare_repeats, evaluate_repeats
from hilum.explain import explain
from hilum.tables import Table
from hilum.tabular import Recipe
from hilum.tabular import train as train_tabular

PREVIOUS: Final = ("image", "demographics", "previous")
STUDY: Final[dict[str, tuple[tuple[str, ...], dict[str, Any]]]] = {
    "image": (("image",), {}),
    "+ demographics": (("image", "demographics"), {}),
    "+ previous labels": (PREVIOUS, {}),
    "+ residual path": (PREVIOUS, {"residual": "study"}),
    "+ unfrozen": (PREVIOUS, {"residual": "study", "thaw_epochs": 3}),
}
MODERN: Final[dict[str, tuple[str, ...]]] = {
    "modern: image": ("image",),
    "modern: image, demographics, history": ("image", "demographics", "history"),
}
PARTS: Final = {"all": "", "first visits": "visit = 0", "follow-ups": "visit > 0"}
HEALTHY: Final = "No Finding"
FEWEST: Final = 5  # test images with a finding, or it is left out on real films


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways = parser.add_subparsers(required=True)
    data = Path(os.environ.get("HILUM_DATA", "../shared/data")) / "nih-sample"
    for name, run in (("ladder", ladder), ("starts", starts)):
        one = ways.add_parser(name)
        one.set_defaults(run=run)
        one.add_argument("start", help="an encoder pretrained on phantom films")
        one.add_argument("--collection", type=Path, help="made already; it is only read")
        one.add_argument("--data", type=Path, default=data)
        one.add_argument("--patients", type=int, default=6000, help="of the hospital made here")
        one.add_argument("--out", type=Path, default=Path(f"supervised_{name}"))
        one.add_argument("--epochs", type=float, help="instead of those of the recipes")
        one.add_argument("--size", type=int, default=96)
        one.add_argument("--seeds", type=int, default=3, help="of starts")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.run(asked)


# ------------------------------------------------------------------ the ladder


def ladder(asked: argparse.Namespace) -> None:
    films = hilum.open(asked.collection) if asked.collection else hospital(asked)
    findings = [name for name in films.findings if name != HEALTHY]
    tables: dict[str, Table] = {}
    made: dict[str, Classifier] = {}
    spent: dict[str, float] = {}
    for name, (inputs, changes) in STUDY.items():
        budget = {"batch": 64, "epochs": asked.epochs or 100, "thaw_epochs": 0}
        made[name] = taught(
            asked, films, name, "nih-study", inputs, findings, spent, **budget | changes
        )
        tables[name] = hilum.predict(films.where("split = 'test'"), made[name])
    for name, inputs in MODERN.items():
        changes = {"epochs": asked.epochs} if asked.epochs else {}
        made[name] = taught(
            asked, films, name, "modern-small", inputs, findings, spent, **changes
        )  # fmt: skip
        tables[name] = hilum.predict(films.where("split = 'test'"), made[name])
    last = list(MODERN)[-1]
    tables["the same, history unknown"] = hilum.predict(
        films.where("split = 'test'"), made[last], without=["history"]
    )
    floor = asked.out / "floor"
    train_tabular(films, floor, Recipe(kind="mean", findings=tuple(findings)))
    tables["no image: demographics, history"] = hilum.predict(films.where("split = 'test'"), floor)
    report(films, tables, findings, spent)
    steps(films, tables, findings)
    gradients(films, made, findings)


def hospital(asked: argparse.Namespace) -> Collection:
    with progress_bar("hospital") as progress:
        folder = hilum.write_hospital(
            asked.out / "hospital", asked.patients, size=128, seed=11, progress=progress
        )
    return hilum.ingest(
        folder, asked.out / "films.lance", layout="folder", size=128, fractions=(0.55, 0.2, 0.25)
    ).collection


def taught(
    asked: argparse.Namespace, films: Collection, name: str, recipe: str, inputs: Sequence[str],
    findings: Sequence[str], spent: dict[str, float], **changes: Any,
) -> Classifier:  # fmt: skip
    """Train one way, and remember the processor time."""
    run = asked.out / name.replace(" ", "-").replace(":", "").replace(",", "").replace("+-", "")
    changes = {"init": asked.start, "size": asked.size, "margin": 4 / 3, **changes}
    before = time.process_time()
    with progress_bar(name) as progress:
        made = hilum.train(
            films, run, recipe, inputs=inputs, findings=findings, progress=progress, **changes
        )
    spent[name] = time.process_time() - before
    return made


def report(
    films: Collection, tables: dict[str, Table], findings: list[str], spent: dict[str, float]
) -> None:
    print(f"\n| what it sees | {' | '.join(PARTS)} | CPU |\n|---|{'---|' * len(PARTS)}---|")
    for name, table in tables.items():
        cells = [
            said(hilum.evaluate(table, truth(films, findings, where)).mean["auroc"])
            for where in PARTS.values()
        ]
        cpu = f"{spent[name]:.0f} s" if name in spent else ""
        print(f"| {name} | {' | '.join(cells)} | {cpu} |", flush=True)


def steps(films: Collection, tables: dict[str, Table], findings: list[str]) -> None:
    print("\n| step | difference of the mean AUROC | p |\n|---|---|---|")
    names = list(tables)
    pairs = [(b, a) for a, b in pairwise(names) if b in STUDY]
    pairs += [("modern: image", "image"), (list(MODERN)[-1], "no image: demographics, history")]
    for more, less in pairs:
        found = hilum.compare(tables[more], tables[less], truth(films, findings))
        gap = found.difference.mean["auroc"]
        p = "" if gap.p_value is None else f"{gap.p_value:.3f}"
        print(f"| {more} less {less} | {said(gap, sign='+')} | {p} |", flush=True)


def gradients(films: Collection, made: dict[str, Classifier], findings: list[str]) -> None:
    print("\n| model | median gradient norm | 5th percentile | exactly 0 | blank maps |\n|"
          + "---|" * 5)  # fmt: skip
    test = films.where("split = 'test'")
    labels = test.labels(findings=findings)
    for name in ("+ previous labels", "+ residual path", "+ unfrozen", list(MODERN)[-1]):
        norms, blank = [], []
        for at, finding in enumerate(findings):
            ids = [labels.ids[row] for row in np.flatnonzero(labels.values[:, at] == 1)[:40]]
            maps = explain(test, made[name], ids, findings=[finding])
            norms += [one.gradient_norm for one in maps.diagnoses]
            blank += [one.blank for one in maps.diagnoses]
        low, middle = np.quantile(norms, [0.05, 0.5])
        zero = float(np.mean(np.array(norms) == 0))
        print(f"| {name} | {middle:.2e} | {low:.2e} | {zero:.1%} | {np.mean(blank):.1%} of "
              f"{len(blank)} |", flush=True)  # fmt: skip


# ------------------------------------------------------------------ starts


def starts(asked: argparse.Namespace) -> None:
    """Train from three starts on real films, several seeds each."""
    uri = asked.collection or asked.out / "films.lance"
    if not uri.exists():
        hilum.ingest(asked.data, uri, layout="nih", size=128)
    films = hilum.open(uri)
    own = asked.out / "moco"
    with progress_bar("moco") as progress:
        hilum.pretrain(films.where("split = 'train'"), own, size=asked.size, progress=progress)
    values = films.labels("test").values
    findings = [
        name for at, name in enumerate(films.findings)
        if name != HEALTHY and (values[:, at] == 1).sum() >= FEWEST
    ]  # fmt: skip
    inits = {"random weights": "random", "MoCo, phantom": asked.start, "MoCo, these films": own}
    tables: dict[str, list[Table]] = {name: [] for name in inits}
    spent: dict[str, float] = {}
    for name, init in inits.items():
        for seed in range(asked.seeds):
            made = taught(
                asked, films, f"{name} {seed}", "modern-small", ("image",), findings, spent,
                init=init, architecture="resnet10t", epochs=asked.epochs or 30, batch=32, seed=seed,
            )  # fmt: skip
            tables[name].append(hilum.predict(films.where("split = 'test'"), made))
    one = truth(films, findings)
    print(f"\n{len(findings)} findings, {len(one)} test images, {asked.seeds} seeds")
    print("| start | mean AUROC | between seeds |\n|---|---|---|")
    for name, found in tables.items():
        mean = evaluate_repeats(found, one)
        spread = "" if mean.spread is None else f"{mean.spread:.3f}"
        print(f"| {name} | {said(mean.mean)} | {spread} |")
    for more in list(inits)[1:]:
        gap = compare_repeats(tables[more], tables["random weights"], one)
        print(f"{more} less random weights: {said(gap.mean, sign='+')}, p = {gap.mean.p_value:.3f}")


def truth(films: Collection, findings: Sequence[str], where: str = "") -> Table:
    """Return the labels of the test images."""
    view = films.where(where) if where else films
    return view.labels("test", findings=findings)


def said(measure: Measure, sign: str = "") -> str:
    low, middle, high = (
        format(value, f"{sign}.3f") if value is not None else "?"
        for value in (measure.low, measure.estimate, measure.high)
    )
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    main()
