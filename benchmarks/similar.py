"""Do maps of similarity show what makes two images similar? Every method, on pairs of two kinds.

Fifty pairs each of the phantom and of real films (COVIDx): a query of the test patients and its
nearest image of another patient, on the phantom the nearest in which a finding is marked that is
marked in the query, too. Every method of `hilum.explain.similarity` maps why they are similar;
scored by insertion and deletion and, on the phantom, by whether the map points at the shared
finding, beside noise and a prior for the middle of the image, on the same pairs, with intervals
that resample patients. Prints what a pair costs.

    python benchmarks/similar.py OUT --collection C.lance --masks HOSPITAL [--encoder E]
                                 [--covidx COVIDX_SAMPLE] [--covidx-encoder E]

C.lance is HOSPITAL, ingested. Encoders are taught here (`hilum.train_metric`) unless they are
given; runs in OUT that are finished are used again. OUT/phantom/METHOD and OUT/covidx/METHOD hold
pictures of pairs, OUT/DATA.png the first pairs by every method, OUT/similar.json the numbers.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

import hilum
from hilum.appraisal.heat_maps import Showing
from hilum.appraisal.similar_cases import draw_pairs
from hilum.cli.console import progress_bar
from hilum.collection import Collection
from hilum.encoders import Encoder, load_encoder
from hilum.evaluate.draws import Draws
from hilum.evaluate.text import as_text
from hilum.explain import Regions, Saliency, read_masks, score_maps
from hilum.explain.baselines import CENTRE, RANDOM
from hilum.explain.compared import Compared
from hilum.explain.insertion import Steps
from hilum.explain.localisation import ALL, MODEL
from hilum.explain.pair_scores import PairScores, as_findings, score_pairs, summarise_pairs
from hilum.explain.saliency import joined
from hilum.explain.similarity import SIMILARITY, compared, explain_similar

METHODS: Final = [name for name in SIMILARITY if name != "relevance"]  # which asks for examples
DRAWN: Final = 6  # pairs in pictures
Pair = tuple[str, str]


def main() -> None:
    data = Path(os.environ.get("HILUM_DATA", "../shared/data")) / "covidx-sample"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--encoder", help="for the phantom; taught if not given")
    parser.add_argument("--covidx", type=Path, default=data)
    parser.add_argument("--covidx-encoder", help="taught if not given")
    parser.add_argument("--size", type=int, default=128, help="of encoders that are taught here")
    parser.add_argument("--init", default="random", help="from which they start")
    parser.add_argument("--train-steps", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--steps", type=int, default=32, help="of insertion and deletion")
    parser.add_argument("--stride", type=int, help="of SBSM, pixels; X-MIR's in proportion if not")
    parser.add_argument("--channels", type=int, help="of Score-CAM; all if not given")
    parser.add_argument("--rise-masks", type=int, default=1000)
    parser.add_argument("--methods", nargs="*", default=METHODS, metavar="METHOD")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    found = {"phantom": on_phantom(asked)}
    save(asked, found)
    if asked.covidx.is_dir():
        found["covidx"] = on_covidx(asked)
        save(asked, found)


def save(asked: argparse.Namespace, found: dict[str, Any]) -> None:
    (asked.out / "similar.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")


def on_phantom(asked: argparse.Namespace) -> dict[str, Any]:
    films = hilum.open(asked.collection)
    encoder = taught(films, asked.encoder, asked.out / "phantom-run", asked)
    test = films.where("split = 'test'")
    some = test.where(f"image_id IN ({quoted(test.ids()[:600])})")
    marked = read_masks(asked.masks, some.ids())
    pairs = nearest_pairs(some, encoder, asked.pairs, marked)
    print(f"\nphantom: {len(pairs)} pairs that share a marked finding")
    return every_method(some, encoder, pairs, marked, asked, asked.out / "phantom")


def on_covidx(asked: argparse.Namespace) -> dict[str, Any]:
    uri = asked.out / "covidx.lance"
    films = (
        hilum.open(uri)
        if uri.exists()
        else hilum.ingest(asked.covidx, uri, layout="covidx", size=128).collection
    )
    encoder = taught(films, asked.covidx_encoder, asked.out / "covidx-run", asked)
    test = films.where("split = 'test'")
    pairs = nearest_pairs(test, encoder, asked.pairs, None)
    print(f"\ncovidx: {len(pairs)} pairs")
    return every_method(test, encoder, pairs, None, asked, asked.out / "covidx")


def taught(
    films: Collection, given: str | None, run: Path, asked: argparse.Namespace
) -> Encoder:  # fmt: skip
    if given is not None:
        return load_encoder(given)  # type: ignore[return-value]
    if not (run / "encoder.safetensors").is_file():
        with progress_bar(run.name) as progress:
            hilum.train_metric(
                films, run, progress=progress, architecture="resnet10t", size=asked.size,
                findings=[name for name in films.findings if name != "No Finding" or covidx(run)],
                steps=asked.train_steps, init=asked.init, validate="none", kinds=3, each=10,
            )  # fmt: skip
    return load_encoder(run)  # type: ignore[return-value]


def covidx(run: Path) -> bool:
    """Whether "No Finding" is a class like others, which images share."""
    return run.name.startswith("covidx")


def nearest_pairs(
    films: Collection, encoder: Encoder, count: int, marked: Regions | None
) -> list[Pair]:
    """Return queries of different patients, each with its nearest image of another patient."""
    ids = films.ids()
    patients = films.table(["patient_id"])["patient_id"].to_list()
    vectors = encoder.encode_images(films.pixels())
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    findings: dict[str, set[str]] = {image: set() for image in ids}
    for image, name in marked or ():
        findings[image].add(name)
    pairs: list[Pair] = []
    done: set[str] = set()
    for at, query in enumerate(ids):
        if patients[at] in done or (marked is not None and not findings[query]):
            continue
        for other in np.argsort(-(units @ units[at]), kind="stable"):
            like = marked is None or findings[query] & findings[ids[other]]
            if patients[other] != patients[at] and like:
                pairs.append((query, ids[other]))
                done.add(patients[at])
                break
        if len(pairs) == count:
            break
    return pairs


def every_method(
    films: Collection, encoder: Encoder, pairs: list[Pair], marked: Regions | None,
    asked: argparse.Namespace, out: Path,
) -> dict[str, Any]:  # fmt: skip
    network = compared(encoder)
    settings: dict[str, dict[str, Any]] = {
        "sbsm": {"stride": asked.stride}, "score-cam": {"channels": asked.channels},
        "rise": {"masks": asked.rise_masks},
    }  # fmt: skip
    found: dict[str, Any] = {"pairs": [list(pair) for pair in pairs]}
    first: PairScores | None = None
    print(f"{'':16}{'ms a pair':>10}  {'insertion (higher)':25}{'deletion (lower)':25}"
          + ("pointing                 energy" if marked is not None else ""))  # fmt: skip
    for method in asked.methods:
        maps, seconds = mapped(films, network, pairs, method, settings.get(method, {}))
        scores = score_pairs(
            maps, films, network, Steps(asked.steps, fast=True), baselines=first is None
        )
        first = first or scores
        pointing = pointed(maps, marked, films)
        found[method] = {"ms_a_pair": 1000 * seconds, **told(scores, first), "pointing": pointing}
        if scores is first:
            for name in (RANDOM, CENTRE):
                say(name, None, first.means[name], pointing, name)
        say(method, 1000 * seconds, scores.means[MODEL], pointing, MODEL)
        for name in (RANDOM, CENTRE):
            less = found[method]["differences"][name]
            print(f"  {f'less {name}':24}  {cell(less['insertion'])}{cell(less['deletion'])}")
        for at, own in enumerate(maps[:DRAWN]):
            draw_pairs(Showing(own, films, marked), out / method / f"{at:02d}")
    beside(out, asked.methods)
    return found


def beside(out: Path, methods: list[str]) -> None:
    """Write a page of the pictures: a row per pair, a column per method."""
    rows = [[next((out / name / f"{at:02d}").glob("*.png")) for name in methods]
            for at in range(DRAWN) if (out / methods[0] / f"{at:02d}").is_dir()]  # fmt: skip
    page = Image.new("RGB", (400 * len(methods), 520 * len(rows)), "white")
    for down, row in enumerate(rows):
        for across, path in enumerate(row):
            with Image.open(path) as picture:
                picture.thumbnail((400, 520))
                page.paste(picture, (400 * across, 520 * down))
    page.save(out.with_suffix(".png"))


def mapped(
    films: Collection, network: Compared, pairs: list[Pair], method: str, settings: dict[str, Any]
) -> tuple[list[Saliency], float]:
    """Return the maps of every pair, and the seconds that one took (the first is for warming)."""
    explain_similar(films, network, pairs[0][0], [pairs[0][1]], method=method, settings=settings)
    start = time.perf_counter()
    maps = [
        explain_similar(films, network, query, [other], method=method, settings=settings)
        for query, other in pairs
    ]
    return maps, (time.perf_counter() - start) / len(pairs)


def pointed(maps: list[Saliency], marked: Regions | None, films: Collection) -> Any:
    if marked is None:
        return None
    parts = [part for own in maps if (part := as_findings(own, marked)) is not None]
    result = score_maps(joined(parts), marked, films, draws=5)
    return result.to_json()["findings"][ALL]


def told(scores: PairScores, first: PairScores) -> dict[str, Any]:
    """Return means and paired differences; the baselines are the first method's, of all pairs."""
    curves = {**first.curves, MODEL: scores.curves[MODEL]}
    ids = scores.queries, scores.retrieved, scores.patients
    draws = Draws(len(set(scores.patients)), 1000, 0)
    whole = summarise_pairs(
        ids, scores.ranks, curves, scores.settings, draws, scores.level, scores.origin
    )
    return whole.to_json()


def say(label: str, cost: float | None, areas: Any, pointing: Any, series: str) -> None:
    line = f"{label:16}{'' if cost is None else f'{cost:.0f}':>10}  "
    line += "".join(f"{as_text(areas[kind]):25}" for kind in ("insertion", "deletion"))
    if pointing is not None:
        own = pointing["measures"][series]
        line += "".join(cell(own[name]) for name in ("pointing", "energy"))
    print(line.rstrip())


def cell(one: dict[str, Any]) -> str:
    return f"{one['estimate']:.3f} ({one['low']:.3f} to {one['high']:.3f})".ljust(25)


def quoted(names: tuple[str, ...]) -> str:
    return ", ".join("'{}'".format(name.replace("'", "''")) for name in names)


if __name__ == "__main__":
    main()
