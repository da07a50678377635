"""What stands beside few labels: sentences alone, reports, all labels, and no pixel at all.

Each function gives files of scores of the test images, one per repeat, and keeps them by what
decided them. A network's run has its own folder, which a killed one goes on from.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilum.collection.digest import content_digest
from hilum.errors import CollectionError, UsageError
from hilum.findings import Policy
from hilum.frontier.design import Design
from hilum.frontier.few import read
from hilum.frontier.kept import Kept
from hilum.frontier.material import TEST, TRAIN, Floats, Material, Rows, Truth
from hilum.frontier.measured import digest_of
from hilum.progress import Progress, silent
from hilum.tables import Table

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.tabular import TabularModel


@dataclass(frozen=True, eq=False)
class Work:
    """What every line beside few labels is made from.

    Parameters
    ----------
    collection
        With all its splits.
    truth
        Of the test images.
    design
        What was asked.
    folder
        Of the frontier.
    device
        For networks.
    progress
        Told of their steps.
    """

    collection: "Collection"
    truth: Truth
    design: Design
    folder: Path
    device: str = "auto"
    progress: Progress = silent

    @property
    def kept(self) -> Kept:
        """Where scores are."""
        return Kept(self.folder / "kept")

    @cached_property
    def content(self) -> str:
        """All that networks, sentences and models without pixels are made from."""
        return content_digest(self.collection, self.findings)

    @property
    def findings(self) -> tuple[str, ...]:
        """What is measured."""
        return self.truth.table.findings

    def part(self, split: str) -> "Collection":
        """Return the images of a split."""
        return self.collection.where(f"split = '{split}'")

    def save(self, path: Path, table: Table) -> None:
        """Keep scores of the test images in the truth's order; a finding not there is NaN."""
        if tuple(table.ids) != tuple(self.truth.table.ids):
            raise CollectionError(
                f"{self.collection.uri}: the collection changed while it was read; start again"
            )
        scores = np.full((len(table), len(self.findings)), np.nan, dtype=np.float32)
        for column, name in enumerate(self.findings):
            if name in table.findings:
                scores[:, column] = table.column(name)
        self.kept.save(path, scores)


# ------------------------------------------------------------------ no label by a reader of images


def from_sentences(work: Work) -> list[Path]:
    """Score the test images by zero-shot detection.

    Raises
    ------
    WeightsError, UsageError, CollectionError
        As `hilum.zeroshot`.
    """
    from hilum.encoders import load_encoder
    from hilum.encoders.device import choose_engine
    from hilum.zeroshot import zeroshot

    engine = choose_engine(work.device)
    pairs = [load_encoder(path, engine=engine) for path in work.design.others.pairs]
    prints = [pair.fingerprint for pair in pairs]
    path = work.kept.path("sentences", prints, digest_of(work.truth), work.content)
    if not path.exists():
        found = zeroshot(work.part(TEST), pairs, work.findings, keep=False, progress=work.progress)  # type: ignore[arg-type]
        work.save(path, found)
    return [path]


def from_reports(work: Work, material: Material, reader: str) -> list[Path]:
    """Score the test images with labels that were read from the training images' reports.

    What a report does not mention counts as absent, as readers of reports mean it.

    Raises
    ------
    CollectionError
        If no training image has a report.
    """
    picked, labels = report_lessons(work, material)
    path = work.kept.path("reports", material.digest, reader, hashlib.sha256(
        labels.tobytes() + picked.tobytes()
    ).hexdigest())  # fmt: skip
    if not path.exists():
        work.kept.save(path, read(reader, material, picked, labels))
    return [path]


def report_lessons(work: Work, material: Material) -> tuple[Rows, Floats]:
    """Return the pool's rows that have a report, and what it says of the findings."""
    from hilum.reports import report_labels

    table = report_labels(work.part(TRAIN), work.findings)
    place = {image: row for row, image in enumerate(material.pool.ids)}
    picked = np.array([place[image] for image in table.ids], dtype=np.int64)
    return picked, said(table.select(work.findings).values, work.design.measuring.policy)


def said(values: Floats, policy: Policy) -> Floats:
    """Return labels to learn from: uncertain ones by policy, what is not mentioned absent.

    >>> said(np.array([[1.0, -1.0, np.nan]]), "ignore").tolist()
    [[1.0, nan, 0.0]]
    """
    out = np.where(np.isnan(values), 0.0, values)
    uncertain = {"ignore": np.nan, "positive": 1.0, "negative": 0.0}[policy]
    return np.where(out == -1, uncertain, out)


# ------------------------------------------------------------------ networks


def fully_supervised(work: Work, inputs: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Train on all labels of the training images, with each seed; score the test images.

    Returns the files of scores, and the runs.

    The best weights are chosen on validation images, so that their labels are spent, too.

    Raises
    ------
    UsageError, CollectionError, WeightsError, RunError
        As `hilum.train`.
    """
    from hilum.training import predict, train_supervised

    others = work.design.others
    out, runs = [], []
    for repeat in range(others.networks):
        changes = _changes(work, work.design.seed + repeat)
        run = _run(work, "full", inputs, changes)
        path = work.kept.path("full", run.name)
        if not path.exists():
            model = train_supervised(
                work.collection, run, others.recipe, inputs=inputs, findings=work.findings,
                device=work.device, progress=work.progress, **changes,
            )  # fmt: skip
            work.save(path, predict(work.part(TEST), model, device=work.device))
        out.append(path)
        runs.append(run)
    return out, runs


def fine_tuned(work: Work, material: Material, picked: Rows, repeat: int) -> Path:
    """Teach the whole network a few labels, for a number of steps; score the test images.

    A finding that these labels cannot teach, for lack of a positive or of a negative, is NaN.
    """
    from hilum.training import predict, train_supervised

    few, findings = work.design.few, _teachable(work, material.labels[picked])
    changes = _changes(work, work.design.seed + repeat)
    changes.pop("epochs", None)  # those of all labels: rounds of a handful would teach nothing
    batch = min(32, len(picked))
    steps = max(few.fine_tune_steps, math.ceil(few.fine_tune_rounds * len(picked) / batch))
    changes |= {"validate": "none", "steps": steps, "batch": batch}
    run = _run(work, f"few-{len(picked)}", picked.tolist(), changes)
    path = work.kept.path("few", run.name)
    if path.exists():
        return path
    if not findings:
        blank = np.full((len(work.truth.table), len(work.findings)), np.nan, dtype=np.float32)
        work.kept.save(path, blank)
        return path
    ids = [material.pool.ids[row] for row in picked.tolist()]
    columns = [work.findings.index(name) for name in findings]
    labels = Table(tuple(ids), tuple(findings), material.labels[picked][:, columns])
    model = train_supervised(
        work.collection, run, work.design.others.recipe, findings=findings, labels=labels,
        device=work.device, progress=work.progress, **changes,
    )  # fmt: skip
    work.save(path, predict(work.part(TEST), model, device=work.device))
    return path


def _teachable(work: Work, labels: Floats) -> list[str]:
    both = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    return [name for name, able in zip(work.findings, both, strict=True) if able]


def _changes(work: Work, seed: int) -> dict[str, Any]:
    start = work.design.others.encoder
    assert start is not None  # whoever asks for a network has looked
    learnt = {"init": start, "seed": seed, "uncertain": work.design.measuring.policy}
    return learnt | dict(work.design.others.changes)


def _run(work: Work, name: str, about: Any, changes: dict[str, Any]) -> Path:
    """Return a folder that no run of other settings or other images has."""
    if "init" in changes:  # a path says nothing of what is there now; the embedding knows it
        start = work.collection.embeddings[work.design.embedding].fingerprint
        changes = {**changes, "init": start}
    decided = [name, about, changes, work.design.others.recipe, digest_of(work.truth),
               work.content]  # fmt: skip
    text = json.dumps(decided, sort_keys=True, default=str)
    return work.folder / "networks" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


# ------------------------------------------------------------------ no pixel


def without_pixels(work: Work, inputs: Sequence[str]) -> list[Path]:
    """Fit a model on who was examined and what earlier visits said; score the test images.

    Raises
    ------
    UsageError, CollectionError
        As `hilum.tabular.fit`.
    """
    from hilum.tabular import Recipe, predict, train

    others, measuring = work.design.others, work.design.measuring
    recipe = Recipe(
        tuple(inputs), others.floor_kind, work.findings, measuring.policy, seed=work.design.seed
    )
    run = _run(work, "floor", asdict(recipe), {})
    path = work.kept.path("floor", run.name)
    if not path.exists():
        model: TabularModel = train(work.collection, run, recipe, work.progress)
        work.save(path, predict(work.part(TEST), model))
    return [path]


def check_models(work: Work) -> None:
    """Load every model that was named, before hours are spent on what comes first.

    Raises
    ------
    UsageError
        If full supervision would start from another encoder than the embedding's.
    WeightsError
        If one cannot be loaded.
    """
    from hilum.encoders import load_encoder

    for pair in work.design.others.pairs:
        load_encoder(pair)
    start = work.design.others.encoder
    if start is None:
        return
    found = load_encoder(start).fingerprint
    expected = work.collection.embeddings[work.design.embedding].fingerprint
    if found != expected:
        raise UsageError(
            f"{start}: is not the encoder of the embedding {work.design.embedding!r} "
            f"(fingerprint {found[:12]}…, not {expected[:12]}…): few and all labels would be "
            "compared on different encoders"
        )
