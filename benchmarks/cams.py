"""Do heat maps point at what is there? Every method on the phantom's masks and on real boxes.

Trains a ResNet-18 on the phantom's training patients (`hilum.train`), maps each finding in test
patients where its mask says it is, and scores every method of `hilum.explain` against the masks,
beside noise, a prior for the centre, and the model's own map of another patient with the same
finding. Then the same against the 39 boxes of the NIH sample, by a classifier that starts from the
phantom's and learns from the sample's patients without a box. Intervals resample patients.

Two more comparisons, on the phantom: maps of the layer before (twice as fine), and maps drawn as
if each cell looked at the middle of its part of the image, which it does not.

    python benchmarks/cams.py OUT --collection C.lance --masks HOSPITAL [--nih NIH_SAMPLE]

C.lance is HOSPITAL, ingested. What is finished in OUT is not done again. OUT/phantom and OUT/nih
hold the pages of overlays, OUT/phantom.json and OUT/nih.json the numbers.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import hilum
from hilum.appraisal.heat_maps import Showing, write_maps
from hilum.cli.console import progress_bar
from hilum.collection import Collection
from hilum.encoders import Classifier, load_classifier
from hilum.evaluate.text import as_text
from hilum.explain import METHODS, Localisation, Regions, boxes_of, read_masks, score_maps
from hilum.explain.localisation import ALL, MEAN, MODEL

SHOWN: Final = ("pointing", "energy", "iou_best")
RARE: Final = ("Hernia",)  # 8 training films


def main() -> None:
    data = Path(os.environ.get("HILUM_DATA", "../shared/data")) / "nih-sample"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--nih", type=Path, default=data)
    parser.add_argument("--size", type=int, default=128, help="of the network's input")
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--images", type=int, default=600, help="of the test patients, the first")
    parser.add_argument("--draws", type=int, default=5, help="noise maps per image")
    asked = parser.parse_args()
    for name, films in (("phantom", on_phantom), ("nih", on_real_films)):
        path = asked.out / f"{name}.json"
        if path.exists() or (name == "nih" and not asked.nih.is_dir()):
            continue  # done before, or there are no such films
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(films(asked), indent=1, allow_nan=False) + "\n")


def on_phantom(asked: argparse.Namespace) -> dict[str, Any]:
    films = hilum.open(asked.collection)
    model = taught(films, asked.out / "phantom-run", asked)
    say_auroc(asked.out / "phantom-run")
    test = films.where("split = 'test'")
    marked = read_masks(asked.masks, test.ids()[: asked.images])
    print(f"\nphantom, {len(marked)} masks in {asked.images} films of test patients")
    found = every_method(test, model, marked, asked, asked.out / "phantom")
    finer = model_layer(model)
    for method in ("grad-cam", "hires-cam", "layer-cam"):
        maps = hilum.explain(test, model, test.ids()[: asked.images], method=method, layer=finer,
                             marked=marked)  # fmt: skip
        found[f"{method} at {finer}"] = say(f"{method}, {finer}", scored(maps, marked, test, asked))
    for method in ("grad-cam", "layer-cam"):
        maps = hilum.explain(test, model, test.ids()[: asked.images], method=method, marked=marked)
        naive = replace(maps, origin=replace(maps.origin, offset=0.0))
        label = f"{method}, not moved by {maps.origin.offset:g}"
        found[label] = say(label, scored(naive, marked, test, asked))
    return found


def on_real_films(asked: argparse.Namespace) -> dict[str, Any]:
    """Score maps of patients none of whose films were learnt from or chosen on."""
    uri = asked.out / "nih.lance"
    films = (
        hilum.open(uri)
        if uri.exists()
        else hilum.ingest(asked.nih, uri, layout="nih", size=256).collection
    )
    marked = boxes_of(films)
    ids = ", ".join(f"'{image}'" for image in sorted({image for image, _ in marked}))
    patients = films.where(f"image_id IN ({ids})").table(["patient_id"])["patient_id"].unique()
    owners = ", ".join(f"'{one}'" for one in sorted(patients))
    others = films.where(f"split != 'test' AND patient_id NOT IN ({owners})")
    model = taught(others, asked.out / "nih-run", asked, init=str(asked.out / "phantom-run"))
    say_auroc(asked.out / "nih-run")
    print(f"\nNIH sample, {sum(len(one) for one in marked.boxes.values())} boxes")
    return every_method(films, model, marked, asked, asked.out / "nih")


def taught(films: Collection, run: Path, asked: argparse.Namespace, **more: Any) -> Classifier:
    if (run / "metrics.json").is_file():
        return load_classifier(run)
    findings = [name for name in films.findings if name not in ("No Finding", *RARE)]
    with progress_bar(run.name) as progress:
        return hilum.train(
            films, run, findings=findings, progress=progress, architecture="resnet18",
            size=asked.size, margin=1.1, epochs=asked.epochs, checkpoint_every=100, **more,
        )  # fmt: skip


def say_auroc(run: Path) -> None:
    told = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    for name, mean in means_in(told):
        value = mean.get("estimate")
        print(f"{run.name}: {name} {'undefined' if value is None else format(value, '.3f')}")


def means_in(told: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mean AUROC in a run's metrics, with the path to it."""
    for key, value in told.items():
        if key == "mean" and isinstance(value, dict) and "auroc" in value:
            yield f"{name}mean AUROC".strip(), value["auroc"]
        elif isinstance(value, dict):
            yield from means_in(value, f"{name}{key} ")


def model_layer(model: Classifier) -> str:
    """Return the stage before the last: twice as fine."""
    return "backbone.layer3" if hasattr(model.module.backbone, "layer3") else "backbone.stages.2"


def every_method(
    films: Collection, model: Classifier, marked: Regions, asked: argparse.Namespace, out: Path
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ids = sorted({image for image, _ in marked}, key=films.ids().index)
    for method in METHODS:
        start = time.perf_counter()
        maps = hilum.explain(films, model, ids, method=method, marked=marked)
        each = (time.perf_counter() - start) / len(maps)
        result = scored(maps, marked, films, asked)
        found[method] = say(f"{method}, {1000 * each:.0f} ms a map", result, first=not found)
        write_maps(Showing(maps, films, marked), out / method, result, most=20)
    return found


def scored(
    maps: hilum.Saliency, marked: Regions, films: Collection, asked: argparse.Namespace
) -> Localisation:
    return score_maps(maps, marked, films, draws=asked.draws)


def say(label: str, result: Localisation, *, first: bool = False) -> dict[str, Any]:
    """Print what a method scores, after the first one's baselines; return all of it."""
    whole = MEAN if MEAN in result.findings else ALL
    one = result.findings[whole]
    if first:
        for name in (name for name in one.measures if name not in (MODEL, "other patient")):
            print(f"{name:34}" + row(one.measures[name]))
    print(f"{label:34}{row(one.measures[MODEL])}  blank {one.blank}/{one.n}")
    print(f"{'  other patient':34}{row(one.measures['other patient'])}")
    for name, own in result.findings.items():
        print(f"    {name:30}{row(own.measures[MODEL])}  {own.n}")
    return result.to_json()


def row(measures: dict[str, Any]) -> str:
    return "  ".join(f"{as_text(measures[name], 2):18}" for name in SHOWN)


if __name__ == "__main__":
    main()
