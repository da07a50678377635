"""The demo's page: the answer first, then what it rests on."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from hilum import plots
from hilum.collection import Collection
from hilum.demo import chapters
from hilum.demo.cards import cards, collection_card, run_card
from hilum.demo.story import PRETRAINED, Reporter, Story
from hilum.evaluate.text import as_text
from hilum.frontier.page import TITLE, lead
from hilum.frontier.page import parts as frontier_parts
from hilum.progress import silent
from hilum.report import (
    Box,
    Cell,
    Film,
    Gallery,
    KeyFigure,
    KeyFigures,
    Page,
    Prose,
    Rows,
    Section,
    figure,
    film,
)

FILMS: Final = 10
PACKAGES: Final = ("hilum", "torch", "torchvision", "timm", "pylance", "polars", "numpy")


def write_page(story: Story, reporter: Reporter = lambda _: silent) -> Path:
    """Write ``OUT/report.html``; return its path."""
    assert story.frontier is not None
    collection, run = story.collection(), _run(story)
    with story.stage("Page"):
        sections = [
            *frontier_parts(story.frontier),
            chapters.which_to_label(story),
            *chapters.in_words(story, reporter),
            *chapters.what_is_alike(story, reporter),
            *chapters.where_it_looks(story, reporter),
            _films(collection),
            _data(collection),
            _training(run),
            _map(collection),
            _cards(story, collection),
        ]
    page = Page(TITLE, sections, lead(story.frontier), _settings(story, collection, run))
    return page.save(story.folder / "report.html")


@dataclass(frozen=True)
class _Run:
    """What the page tells of the pretraining run."""

    settings: dict[str, Any]
    log: list[dict[str, Any]]


def _run(story: Story) -> _Run:
    folder = story.folder / "pretraining"
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return _Run(settings, [json.loads(line) for line in lines])


# ------------------------------------------------------------------ what it rests on


def _films(collection: Collection) -> Section:
    """Show one film per finding, with the planted boxes, and a normal one."""
    train = collection.where("split = 'train'")
    table = train.table(["image_id", "view", "age", "sex", "boxes", *collection.findings])
    rows = [row for name in collection.findings if (row := _example(table, name)) is not None]
    chosen = list(dict.fromkeys(rows))[:FILMS]
    pixels = train.pixels(chosen)
    films = [
        _film(image, table.row(row, named=True), collection.findings)
        for row, image in zip(chosen, pixels, strict=True)
    ]
    return Section(
        "The films",
        [
            Prose(
                "Synthetic radiographs: a real chest CT, bent into another patient each time and "
                "projected by X-ray physics, with findings planted in three dimensions. Boxes "
                "mark what was planted."
            ),
            Gallery(films, "Films of training patients, one for each finding."),
        ],
    )


def _example(table: pl.DataFrame, name: str) -> int | None:
    """Return the first row that has this finding, with as few others as possible."""
    found = table.with_row_index().filter(pl.col(name) == 1)
    if found.is_empty():
        return None
    others = [c for c in table.columns if table[c].dtype == pl.Int8]
    found = found.with_columns(pl.sum_horizontal(pl.col(others) == 1).alias("count"))
    return int(found.sort("count", "index")["index"][0])


def _film(
    pixels: np.ndarray[Any, np.dtype[np.uint8]], row: dict[str, Any], names: Sequence[str]
) -> Film:
    present = ", ".join(name for name in names if row[name] == 1)
    about = f"{row['view']}, {row['sex']}, {row['age']:.0f} y"
    boxes = [Box(b["finding"], b["x"], b["y"], b["w"], b["h"]) for b in row["boxes"] or []]
    alt = f"Synthetic chest radiograph ({about}) with: {present}"
    return film(pixels, f"{present} ({about})", alt, boxes)


def _data(collection: Collection) -> Section:
    table = collection.table(["patient_id", "visit", "split", "age", "view", *collection.findings])
    patients = table.group_by("patient_id").agg(pl.col("visit").n_unique().alias("visits"))
    repeated = patients.filter(pl.col("visits") > 1).height
    splits = ("train", "val", "test")
    rows: list[list[Cell]] = [
        [name, *(_share(table.filter(pl.col("split") == split)[name]) for split in splits)]
        for name in collection.findings
    ]
    parts = [table.filter(pl.col("split") == split) for split in splits]
    rows[:0] = [
        ["Images", *(str(part.height) for part in parts)],
        ["Patients", *(str(part["patient_id"].n_unique()) for part in parts)],
    ]
    return Section(
        "The collection",
        [
            KeyFigures(
                [
                    KeyFigure(f"{len(collection):,}", "images"),
                    KeyFigure(
                        f"{patients.height:,}", "patients", f"{repeated} with several visits"
                    ),
                    KeyFigure(f"{len(collection.findings)}", "findings"),
                ]
            ),
            Rows(
                columns=("", "Training", "Validation", "Test"),
                rows=rows,
                caption="Images, patients, and images with each finding. Every patient is in one "
                "split only.",
            ),
            figure(
                plots.histogram(table["age"].to_numpy(), x="Age (years)", y="Images", width=10),
                alt=f"Histogram of ages: median {np.nanmedian(table['age'].to_numpy()):.0f} years.",
                caption="Age at the time of the image.",
            ),
        ],
    )


def _share(column: pl.Series) -> str:
    positive = int((column == 1).sum())
    return f"{positive} ({positive / max(len(column), 1):.0%})"


def _training(run: _Run) -> Section:
    from hilum.training.moco import expected_at_random

    log = run.log
    queue = int(run.settings["moco"]["queue"])
    first, last = log[0]["loss"], float(np.mean([line["loss"] for line in log[-20:]]))
    return Section(
        "Pretraining without labels",
        [
            figure(
                plots.training_curve(
                    [line["step"] for line in log],
                    [line["loss"] for line in log],
                    chance=expected_at_random(queue),
                    name="Contrastive loss (nats)",
                ),
                alt=f"Contrastive loss by step, from {first:.2f} to {last:.2f}.",
                caption=(
                    f"Momentum contrast: two views of a film against a queue of {queue:,} others. "
                    "The line is what an encoder that tells nothing apart would reach."
                ),
            )
        ],
    )


def _map(collection: Collection) -> Section:
    ids, vectors = collection.vectors(PRETRAINED)
    table = collection.table(["image_id", "patient_id", "visit", *collection.findings])
    assert tuple(table["image_id"]) == ids
    shown = [n for n in ("Pleural Effusion", "Cardiomegaly", "Edema", "No Finding") if n in table]
    order = table.with_row_index().sort("patient_id", "visit")["index"].to_numpy()
    return Section(
        "The embedding",
        [
            figure(
                plots.embedding_map(vectors, {n: table[n].to_numpy() for n in shown}),
                alt="The embedding's first two principal components, a panel per finding: "
                + ", ".join(shown),
                caption="Every image, placed by the pretrained encoder; those with the finding "
                "in colour.",
                as_png=True,
            ),
            figure(
                plots.patient_map(vectors[order], table["patient_id"].to_numpy()[order].tolist()),
                alt="The same map with the visits of six patients joined by lines.",
                caption="Visits of six patients. A line that stays in one place would mean that "
                "the encoder knows the patient rather than the film.",
                as_png=True,
            ),
        ],
    )


def _cards(story: Story, collection: Collection) -> Section:
    assert story.frontier is not None
    blocks = [collection_card(collection)]
    told = {line.name: as_text(line.last.mean) for line in story.frontier.lines}
    use = "vectors that a few labels read, and films that are alike"
    reached = f"mean AUROC with every label {told['all labels, probe']}, probe, test patients"
    blocks.append(run_card("encoder of images", story.pretraining, use, reached))
    if "zero-shot" in told:
        use = "finding in films what a sentence says, without a label"
        reached = f"mean AUROC {told['zero-shot']}, test patients"
        blocks.append(run_card("encoders of images and reports", story.pair, use, reached))
    if (run := chapters.network_run(story)) is not None:
        use = "scores of findings, and maps of where it sees them"
        reached = f"mean AUROC {told['network: image']}, test patients"
        blocks.append(run_card("classifier", run, use, reached))
    return cards(blocks)


def _settings(story: Story, collection: Collection, run: _Run) -> dict[str, Any]:
    return {
        "patients": story.patients,
        "seed": story.seed,
        "seconds in this run": {name: round(s, 1) for name, s in story.seconds.items()},
        "embeddings": {name: asdict(info) for name, info in collection.embeddings.items()},
        "pretraining": run.settings,
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }
