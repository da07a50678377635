"""From a collection with findings to an encoder by which like finds like: `hilum.train_metric`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from hilum.encoders.device import Engine, choose_engine
from hilum.encoders.image import Encoder, EncoderSpec, Projected, check_channels
from hilum.encoders.references import load_encoder
from hilum.encoders.weights import FILE_NAME, encoder_header, save_encoder
from hilum.errors import RunError, UsageError
from hilum.files import write_json
from hilum.progress import Progress, silent
from hilum.training.backbones import start_backbone
from hilum.training.feed import Feed, feed_of
from hilum.training.kept import Keeper, Kept
from hilum.training.loop import train
from hilum.training.metric_data import Groups, Shown, grouped, shown
from hilum.training.metric_recipes import METRIC_RECIPES, MetricRecipe
from hilum.training.metric_task import MetricTask, Pupils
from hilum.training.metric_validation import Finder, distances, encode_feed, refuse_unfindable
from hilum.training.processes import joined, wait_for_all
from hilum.training.recipes import find, override
from hilum.training.schedule import TrainSettings
from hilum.training.supervised_data import refuse_leaks
from hilum.training.synced import synchronise

if TYPE_CHECKING:
    from hilum.collection import Collection

ADVICE = "start from better weights, lower the learning rate, or ask for more images each"


def train_metric(
    collection: "Collection",
    run: str | Path,
    recipe: str | MetricRecipe = "metric-small",
    *,
    validation: "Collection | None" = None,
    findings: Sequence[str] | None = None,
    anomaly: str | None = None,
    device: str = "auto",
    progress: Progress = silent,
    **changes: Any,
) -> Encoder:
    """Teach an encoder that images with the same finding are near each other.

    Parameters
    ----------
    collection
        A view. Its images of the split ``train`` are learnt from, and those of ``val`` decide
        which weights are kept. With `validation` all its images are learnt from.
    run
        A folder, new or of the same run, which is then taken up where it was left.
    recipe
        A name of `hilum.training.METRIC_RECIPES`, or a recipe.
    validation
        Images of other patients that decide instead. Images of the split ``test`` are refused on
        either side.
    findings
        What makes images alike, in any spelling, "No Finding" as one of them; all of the
        collection if None. Images without a positive one take no part.
    anomaly
        A finding to leave out: of training and of validation, only images in which it is known to
        be absent take part, and a batch holds one finding fewer where there are no more (X-MIR).
        `hilum.retrieve.evaluate_anomaly` then measures how well it stands out.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``. Start with ``torchrun`` to use several.
    changes
        Fields of the recipe to change, such as ``init="moco-run", projection=256, steps=1000``.

    Returns
    -------
    The encoder with the best measure, or the last, which is also in ``RUN/encoder.safetensors``;
    ``RUN/metrics.json`` says how validation images find each other, how far apart images are, and
    which findings had too few images.

    Raises
    ------
    UsageError, WeightsError
        If there is nothing to learn, too few findings have enough images, or the recipe or the
        weights to start from cannot be used.
    RunError
        If the run cannot be used, or training collapsed: all images have nearly the same vector.
        Its metrics are written then, and no encoder.
    LeakError
        If a patient has images for training and for validation.
    CollectionError
        If the collection has no pixels or lacks a finding.
    """
    asked = _chosen(recipe, changes)
    engine = choose_engine(device, asked.train.precision)
    taught, judged = _images(collection, validation, findings, anomaly, asked)
    chosen = _fewer(asked, taught, changes) if anomaly else asked
    groups = grouped(taught, chosen.sample)
    module, spec = _start(chosen, taught)
    finder = None if judged is None else Finder(judged, _feed(chosen, judged, engine))
    job = _Job(
        chosen, spec, module, engine, taught, groups, _feed(chosen, taught, engine), finder, anomaly
    )
    return _train(job, Path(run), progress)


@dataclass(frozen=True, eq=False)
class _Job:
    """What a run is made of."""

    recipe: MetricRecipe
    spec: EncoderSpec
    module: nn.Module
    engine: Engine
    taught: Shown
    groups: Groups
    feed: Feed
    finder: Finder | None
    anomaly: str | None

    def encoder(self) -> Encoder:
        return Encoder(self.spec, self.module, self.engine)

    def task(self) -> MetricTask:
        recipe = self.recipe
        pupils = Pupils(self.feed, self.taught.positive, tuple(self.groups.members.values()))
        return MetricTask(
            self.module, self.spec, pupils, recipe.likeness, recipe.sample, recipe.view,
            backbone_rate=recipe.backbone_rate, seed=recipe.train.seed,
        )  # fmt: skip

    def about(self) -> dict[str, Any]:
        """Return what decides the result beside the training's own settings."""
        recipe = self.recipe.as_dict()
        return {
            **{key: value for key, value in recipe.items() if key not in ("train", "about")},
            "findings": list(self.taught.findings),
            "anomaly": self.anomaly,
            "data": self.taught.lesson.digest,
            "start": self.encoder().fingerprint,
            "judged": self.finder.images.lesson.digest if self.finder else "",
            "images": len(self.taught),
        }

    def made(self) -> dict[str, Any]:
        return {
            "images": len(self.taught),
            "data": self.taught.lesson.digest,
            "findings": list(self.taught.findings),
            "anomaly": self.anomaly,
            "validate": self.recipe.validate,
        }


def _train(job: _Job, run: Path, progress: Progress) -> Encoder:
    finder = job.finder
    chooses = finder is not None and job.recipe.validate == "map"
    with joined(job.engine.device) as here:
        if here.world > 1:
            synchronise(job.module)
        task = job.task()

        def measure() -> float:
            assert finder is not None
            return finder.mean_average_precision(job.encoder())

        def header(kept: Kept) -> dict[str, Any]:
            return encoder_header(
                job.encoder(), recipe=job.recipe.as_dict(), provenance=job.made() | kept._asdict()
            ) | kept._asdict()  # fmt: skip

        metrics = train(
            task, _plan(job.recipe), run, about=job.about(), engine=job.engine,
            measure=measure if chooses else None, keeper=Keeper(task.module, header),
            progress=_watched(task, job.recipe.collapse, progress),
        )  # fmt: skip
        if here.first:
            _finish(job, run, metrics)
        wait_for_all()
    _refuse_collapse(job, run)
    made = load_encoder(run, engine=job.engine)
    assert isinstance(made, Encoder)
    return made


def _watched(task: MetricTask, collapse: float, progress: Progress) -> Progress:
    """Add to what is reported how far apart the images of the last batch were."""

    def report(done: int, total: int, note: str = "") -> None:
        if task.distance is not None:
            apart = float(task.distance)
            note += f", distance {apart:.3f}" + (" (COLLAPSED)" if apart < collapse else "")
        progress(done, total, note)

    return report


def _finish(job: _Job, run: Path, metrics: dict[str, Any]) -> None:
    """Write the encoder and what it measures; a finished run has both already."""
    if "collapsed" in metrics:
        return
    encoder = job.encoder()
    apart = {"taught": distances(encode_feed(encoder, job.feed))}
    measured = None
    if job.finder is not None:
        vectors = encode_feed(encoder, job.finder.feed)
        apart["validation"] = distances(vectors)
        measured = job.finder.metrics(vectors, job.recipe.train.seed)
    collapsed = min(apart.values()) < job.recipe.collapse
    if not collapsed:
        made = job.made() | {key: metrics[key] for key in ("steps", "loss", "engine", "best")}
        save_encoder(encoder, run / FILE_NAME, recipe=job.recipe.as_dict(), provenance=made)
    told = {
        "split": "val" if measured else None, "validation": measured, "distance": apart,
        "collapsed": collapsed, "left_out": job.groups.left_out,
    }  # fmt: skip
    write_json(run / "metrics.json", {**metrics, **told}, allow_nan=True)


def _refuse_collapse(job: _Job, run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    if metrics["collapsed"]:
        apart = min(metrics["distance"].values())
        raise RunError(
            f"{run}: training collapsed: the mean distance between the vectors of images is "
            f"{apart:.4f}, less than {job.recipe.collapse}, so they are all alike to this encoder "
            f"and it is not written; {ADVICE} (collapse=0 would take it as it is)"
        )


def _plan(recipe: MetricRecipe) -> TrainSettings:
    """Measure twenty times where nothing else is said."""
    plan = recipe.train
    if recipe.validate == "none" or plan.evaluate_every or not plan.steps:
        return plan
    return replace(plan, evaluate_every=max(1, plan.steps // 20))


def _chosen(recipe: str | MetricRecipe, changes: dict[str, Any]) -> MetricRecipe:
    found = find(recipe, METRIC_RECIPES)
    changes = dict(changes)
    if "init" in changes:
        changes["init"] = str(changes["init"])
        if changes["init"] != "random" and not isinstance(recipe, MetricRecipe):
            changes.setdefault("architecture", None)
    if "architecture" in changes and "init" not in changes and found.init.startswith("timm:"):
        changes["init"] = f"timm:{changes['architecture']}"
    sample = found.sample
    kinds, each = (changes.get(name, getattr(sample, name)) for name in ("kinds", "each"))
    changes.setdefault("batch", kinds * each)
    return override(found, changes)


def _fewer(recipe: MetricRecipe, taught: Shown, changes: dict[str, Any]) -> MetricRecipe:
    """Return the recipe with one finding fewer a batch, where the one left out is missing."""
    sample = recipe.sample
    enough = int((taught.positive.sum(axis=0) >= sample.each).sum())
    if enough != sample.kinds - 1 or "kinds" in changes:
        return recipe
    return override(recipe, {"kinds": enough, "batch": enough * sample.each})


def _images(
    collection: "Collection", validation: "Collection | None", findings: Sequence[str] | None,
    anomaly: str | None, recipe: MetricRecipe,
) -> tuple[Shown, Shown | None]:  # fmt: skip
    held_out = validation
    if validation is None:
        held_out = collection.where("split = 'val'")
        collection = collection.where("split = 'train'")
    taught = shown(collection, findings, anomaly)
    judged = None
    assert held_out is not None
    if len(held_out):
        judged = shown(held_out, taught.findings, anomaly)
        if recipe.validate == "map":
            refuse_unfindable(judged)
    elif recipe.validate == "map":
        raise UsageError(
            "no image has split = 'val': the best weights are chosen on validation patients; give "
            "validation, or validate by none"
        )
    refuse_leaks(taught.lesson, judged.lesson if judged else None)
    return taught, judged


def _start(recipe: MetricRecipe, taught: Shown) -> tuple[nn.Module, EncoderSpec]:
    """Make the network a run starts from."""
    seed, stored = recipe.train.seed, taught.lesson.view.settings.channels
    wanted = recipe.wanted
    if recipe.init == "random" and wanted.channels is None:
        wanted = replace(wanted, channels=stored)
    module, spec = start_backbone(recipe.init, wanted, seed)
    check_channels(stored, spec.channels)
    start = "random weights" if recipe.init == "random" else recipe.init
    source = f"likeness of {len(taught)} images by their findings, from {start}"
    spec = replace(spec, recipe=recipe.name, source=source)
    if recipe.projection:
        module = Projected(module, spec.dim, recipe.projection, seed)
        spec = replace(spec, dim=recipe.projection, projection=recipe.projection)
    return module, spec


def _feed(recipe: MetricRecipe, images: Shown, engine: Engine) -> Feed:
    view = images.lesson.view
    side = min(recipe.stored, view.size or recipe.stored)
    return feed_of(view, side, engine.device, images.rows)
