"""The demo's page: the answer first, then what it rests on."""

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from hilum import plots
from hilum.collection import Collection, open_collection
from hilum.demo.curve import Point
from hilum.demo.story import CONTROL, PRETRAINED, Story
from hilum.evaluate import Measure
from hilum.report import (
    Block,
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

NAMES: Final = {PRETRAINED: "Pretrained (MoCo)", CONTROL: "Random weights"}
METHODS: Final = {"cosine": "cosine prototypes", "probe": "logistic probe"}
FILMS: Final = 10
HEADLINE: Final = ("probe", 100)  # what the first sentence speaks of
PACKAGES: Final = ("hilum", "torch", "torchvision", "timm", "pylance", "polars", "numpy")


def write_page(story: Story) -> Path:
    """Write ``OUT/report.html``; return its path."""
    collection = open_collection(story.folder / "collection.lance")
    run = _run(story)
    page = Page(
        title="How far do few labels go?",
        lead=_lead(story.points),
        sections=[
            _answer(story.points, collection),
            _by_finding(story.points),
            _films(collection),
            _data(collection),
            _training(run),
            _map(collection),
        ],
        settings=_settings(story, collection, run),
    )
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


# ------------------------------------------------------------------ the answer


def _pick(points: Sequence[Point], embedding: str, method: str) -> list[Point]:
    return [p for p in points if (p.embedding, p.method) == (embedding, method)]


def _at(points: Sequence[Point], embedding: str, method: str, labels: int) -> Point:
    """Return the point with this many labels, or the nearest below in a smaller demo."""
    line = _pick(points, embedding, method)
    return max((p for p in line if p.labels <= labels), key=lambda p: p.labels, default=line[0])


def _lead(points: Sequence[Point]) -> str:
    method, labels = HEADLINE
    ours, control = (_at(points, name, method, labels) for name in (PRETRAINED, CONTROL))
    gap = ours.over_control
    assert gap is not None
    verdict = "the interval excludes zero" if _apart(gap.mean) else "the interval includes zero"
    return (
        f"With {ours.labels} images labelled, a {METHODS[method]} on an encoder pretrained "
        f"without labels reads the films of held-out patients with a mean AUROC of "
        f"{_text(ours.result.mean)}; on random weights it reaches {_text(control.result.mean)}. "
        f"The difference is {_text(gap.mean, signed=True)}: {verdict}."
    )


def _apart(measure: Measure) -> bool:
    return measure.low is not None and measure.high is not None and measure.low * measure.high > 0


def _text(measure: Measure, *, signed: bool = False) -> str:
    if measure.estimate is None or measure.low is None or measure.high is None:
        return "undefined"
    sign = "+" if signed else ""
    return (
        f"{measure.estimate:{sign}.3f} (95 % interval {measure.low:{sign}.3f} to "
        f"{measure.high:{sign}.3f})"
    )


def _answer(points: Sequence[Point], collection: Collection) -> Section:
    test = collection.where("split = 'test'").table(["patient_id"])
    blocks: list[Block] = [
        Prose(
            "For each number of labels, images of the training patients are drawn at random "
            f"{max(p.result.repeats for p in points)} times, the same draws for both encoders. "
            "What they are labelled with classifies every image of the test patients. The "
            "encoder that never trained is the control: what any network of this shape gives.",
        )
    ]
    blocks += [_curve(points, method) for method in METHODS]
    where = f"{test.height} images of {test['patient_id'].n_unique()} test patients"
    blocks += [_curve_table(points, method, where) for method in METHODS]
    return Section("AUROC against labels", blocks)


def _curve_table(points: Sequence[Point], method: str, where: str) -> Block:
    line = _pick(points, PRETRAINED, method)
    untaught = [f"{p.untaught:.0%} of findings with {p.labels}" for p in line if p.untaught]
    remark = (
        f" Labels of one class only: {', '.join(untaught)}; such a finding counts as chance."
        if untaught
        else ""
    )
    return Rows(
        columns=("Labelled", *NAMES.values(), "Difference", "Spread"),
        rows=list(_curve_rows(points, method)),
        caption=(
            f"{METHODS[method].capitalize()}: mean AUROC over findings and draws on {where}, with "
            "95 % intervals from resampled patients; the difference is paired by draw and "
            "patient. Spread: standard deviation between draws (pretrained)." + remark
        ),
    )


def _curve(points: Sequence[Point], method: str) -> Block:
    series = [
        plots.Series(
            NAMES[name],
            [p.labels for p in _pick(points, name, method)],
            [p.result.mean for p in _pick(points, name, method)],
        )
        for name in NAMES
    ]
    last = [_pick(points, name, method)[-1] for name in NAMES]
    return figure(
        plots.label_efficiency(series),
        alt=(
            f"Mean AUROC of the {METHODS[method]} against the number of labelled images, from "
            f"{series[0].labels[0]} to {last[0].labels}: at the right end "
            + " and ".join(f"{p.result.mean.estimate:.3f} ({NAMES[p.embedding]})" for p in last)
        ),
        caption=(
            f"{METHODS[method].capitalize()}. Bands: 95 % intervals over test patients. "
            "The last point uses every training label."
        ),
    )


def _curve_rows(points: Sequence[Point], method: str) -> Iterator[list[Cell]]:
    for ours in _pick(points, PRETRAINED, method):
        control = _at(points, CONTROL, method, ours.labels)
        assert ours.over_control is not None
        yield [
            f"{ours.labels} images",
            ours.result.mean,
            control.result.mean,
            ours.over_control.mean,
            ours.result.spread,
        ]


def _by_finding(points: Sequence[Point]) -> Section:
    method = HEADLINE[0]
    drawn = [p.labels for p in points if p.result.repeats > 1]
    most = max(drawn, default=points[0].labels)
    ours, control = (_at(points, name, method, most) for name in (PRETRAINED, CONTROL))
    assert ours.over_control is not None
    gaps = ours.over_control
    findings = list(ours.result.findings)
    series = {
        NAMES[p.embedding]: [*p.result.findings.values(), p.result.mean] for p in (ours, control)
    }
    rows: list[list[Cell]] = [
        [name, ours.result.findings[name], control.result.findings[name], gaps.findings[name]]
        for name in findings
    ]
    rows.append(["Mean", ours.result.mean, control.result.mean, gaps.mean])
    return Section(
        "Finding by finding",
        [
            figure(
                plots.forest([*findings, "Mean"], series, last_is_mean=True),
                alt=f"AUROC with interval of each finding with {most} labels, both encoders; "
                "the numbers are in the table below.",
                caption=f"AUROC with {most} labelled images ({METHODS[method]}), 95 % intervals "
                "over test patients.",
            ),
            Rows(
                columns=("Finding", *NAMES.values(), "Difference"),
                rows=rows,
                caption=f"AUROC with {most} labelled images, mean over draws.",
                last_is_total=True,
            ),
        ],
    )


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
