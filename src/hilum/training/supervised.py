"""From images with labels to a classifier: a recipe, a task, the loop, a file."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hilum.encoders.classifier import Classifier, ClassifierModule, ClassifierSpec
from hilum.encoders.classifier_file import (
    CLASSIFIER_FILE,
    classifier_header,
    load_classifier,
    save_classifier,
)
from hilum.encoders.device import Engine, choose_engine
from hilum.encoders.image import check_channels
from hilum.encoders.tensors import read_tensors
from hilum.errors import UsageError
from hilum.files import write_json
from hilum.progress import Progress, silent
from hilum.tables import Table
from hilum.training.backbones import start_backbone
from hilum.training.feed import Feed, feed_of
from hilum.training.kept import Keeper, Kept
from hilum.training.loop import Measure, train
from hilum.training.processes import joined, wait_for_all
from hilum.training.recipes import find, override
from hilum.training.schedule import TrainSettings
from hilum.training.supervised_data import (
    Asked,
    Labels,
    Lesson,
    lesson,
    refuse_leaks,
    refuse_one_class,
    refuse_unknown_inputs,
)
from hilum.training.supervised_recipes import SUPERVISED_RECIPES, SupervisedRecipe
from hilum.training.supervised_task import Examples, SupervisedTask
from hilum.training.supervised_validation import Judge, refuse_unjudgeable
from hilum.training.synced import synchronise

if TYPE_CHECKING:
    from hilum.collection import Collection

FROZEN: Final = "frozen"  # the folder of the first stage


def train_supervised(
    collection: "Collection",
    run: str | Path,
    recipe: str | SupervisedRecipe = "modern-small",
    *,
    validation: "Collection | None" = None,
    inputs: Sequence[str] = ("image",),
    findings: Sequence[str] | None = None,
    labels: Labels | None = None,
    device: str = "auto",
    progress: Progress = silent,
    **changes: Any,
) -> Classifier:
    """Teach a classifier the findings of a collection.

    Parameters
    ----------
    collection
        A view. Its images of the split ``train`` are learnt from, and those of ``val`` decide
        which weights are kept. With `validation` all its images are learnt from.
    run
        A folder, new or of the same run, which is then taken up where it was left.
    recipe
        A name of `hilum.training.SUPERVISED_RECIPES`, or a recipe.
    validation
        Images of other patients that decide instead. Images of the split ``test`` are refused on
        either side.
    inputs
        ``"image"`` and any of `hilum.features.INPUTS`: ``"demographics"``, ``"previous"``,
        ``"history"``, ``"course"``. Earlier visits are those of the whole collection.
    findings
        What to learn, in any spelling; all of the collection if None.
    labels
        A table, or one of each reader, in place of the collection's labels; where readers
        disagree, their mean is learnt. Images without one take no part.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``. Start with ``torchrun`` to use several.
    changes
        Fields of the recipe to change, such as ``init="moco-run", epochs=5, loss="asymmetric"``.

    Returns
    -------
    The classifier with the best measure, or the last, which is also in
    ``RUN/classifier.safetensors``; ``RUN/metrics.json`` says how it does on validation images.

    Raises
    ------
    UsageError, RunError, WeightsError
        If there is nothing to learn, a finding has no positive, or the recipe, the run or the
        weights to start from cannot be used.
    LeakError
        If a patient has images for training and for validation.
    CollectionError, TableError
        If the collection has no pixels or lacks a finding, or a table holds anything but labels.
    """
    chosen = _chosen(recipe, changes)
    engine = choose_engine(device, chosen.train.precision)
    tables = None if labels is None else (labels,) if isinstance(labels, Table) else tuple(labels)
    names = None if findings is None else tuple(findings)
    asked = Asked(tuple(inputs), names, chosen.uncertain, tables)
    taught, judged = _lessons(collection, validation, asked, chosen)
    spec, module = _start(chosen, asked, taught)
    job = _Job(chosen, spec, module, engine, taught, _examples(chosen, taught, engine))
    judge = None if judged is None else Judge(judged, _feed(chosen, judged, engine))
    return _train(job, judge, Path(run), progress)


@dataclass(frozen=True, eq=False)
class _Job:
    """What a run is made of."""

    recipe: SupervisedRecipe
    spec: ClassifierSpec
    module: ClassifierModule
    engine: Engine
    taught: Lesson
    examples: Examples

    def classifier(self) -> Classifier:
        return Classifier(self.spec, self.module, self.engine)

    def task(self, *, frozen: bool) -> SupervisedTask:
        recipe = self.recipe
        return SupervisedTask(
            self.module, self.spec, self.examples, recipe.cost, recipe.teach, recipe.view,
            frozen=frozen,
        )  # fmt: skip

    def about(self, judge: Judge | None) -> dict[str, Any]:
        """Return what decides the result beside the training's own settings."""
        recipe = self.recipe.as_dict()
        return {
            **{key: value for key, value in recipe.items() if key not in ("train", "about")},
            "inputs": list(self.spec.inputs),
            "findings": list(self.spec.findings),
            "data": self.taught.digest,
            "start": self.classifier().fingerprint,
            "judged": judge.lesson.digest if judge else "",
            "images": len(self.taught),
        }

    def made(self) -> dict[str, Any]:
        return {
            "images": len(self.taught),
            "data": self.taught.digest,
            "validate": self.recipe.validate,
        }


def _train(job: _Job, judge: Judge | None, run: Path, progress: Progress) -> Classifier:
    about = job.about(judge)
    teach, plan = job.recipe.teach, _plan(job, judge)
    with joined(job.engine.device) as here:
        if here.world > 1 and teach.statistics == "learnt" and not teach.frozen:
            synchronise(job.module.backbone)
        if not teach.thaw_epochs:
            with _frozen(job.module, teach.frozen):
                metrics = _stage(job, judge, run, plan, about, progress, frozen=teach.frozen)
        else:
            metrics = _two_stages(job, judge, run, plan, about, progress)
        if here.first:
            _finish(job, judge, run, metrics)
        wait_for_all()
    return load_classifier(run, engine=job.engine)


def _two_stages(
    job: _Job, judge: Judge | None, run: Path, plan: TrainSettings, about: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Teach the head, then everything from the head's best weights; the better of the two stays."""
    teach = job.recipe.teach
    second = replace(plan, steps=0, epochs=teach.thaw_epochs, lr=teach.thaw_lr)

    def first() -> None:
        with _frozen(job.module):
            _stage(job, judge, run / FROZEN, plan, about, progress, frozen=True)

    metrics = _stage(
        job, judge, run, second, about | {"thawed": plan.as_dict()}, progress, before=first
    )
    before = load_metrics(run / FROZEN)
    metrics = metrics | {"frozen": before, "stage": "thawed"}
    if judge is not None and before["best"] >= metrics["best"]:
        job.module.load_state_dict(read_tensors(run / FROZEN / before["kept"][0])[0])
        metrics["stage"] = FROZEN
    return metrics


def _stage(
    job: _Job, judge: Judge | None, run: Path, plan: TrainSettings, about: dict[str, Any],
    progress: Progress, *, frozen: bool = False, before: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """Train one stage in a folder of its own."""
    task = job.task(frozen=frozen)
    if frozen:
        task.hold_vectors(job.engine)
        judge = judge and judge.holding(job.classifier())

    def header(kept: Kept) -> dict[str, Any]:
        return classifier_header(
            job.classifier(), recipe=job.recipe.as_dict(), provenance=job.made() | kept._asdict()
        ) | kept._asdict()  # fmt: skip

    return train(
        task, plan, run, about=about, engine=job.engine, measure=_measure(job, judge, task),
        keeper=Keeper(task.module, header), before=before, progress=progress,
    )  # fmt: skip


def _finish(job: _Job, judge: Judge | None, run: Path, metrics: dict[str, Any]) -> None:
    """Write the classifier and what it measures; a finished run has both already."""
    if "split" in metrics:
        return
    classifier = job.classifier()
    measured = judge.metrics(classifier, job.recipe.train.seed) if judge else {}
    prefix = "validation: "
    classifier.notes |= {
        key.removeprefix(prefix): f"not measured in validation: {text}"
        for key, text in measured.get("notes", {}).items()
        if key.startswith(prefix)
    }
    made = job.made() | {key: metrics[key] for key in ("steps", "loss", "engine", "best")}
    save_classifier(
        classifier, run / CLASSIFIER_FILE, recipe=job.recipe.as_dict(), provenance=made
    )  # fmt: skip
    document = {"split": None, "validation": None, "first_visits": None, "follow_ups": None}
    told = {**metrics, **document, **measured}
    write_json(run / "metrics.json", told, allow_nan=True)


def load_metrics(run: Path) -> dict[str, Any]:
    """Return a run's ``metrics.json``."""
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


def _measure(job: _Job, judge: Judge | None, task: SupervisedTask) -> Measure | None:
    if judge is None:
        return None
    if job.recipe.validate == "loss":
        return lambda: -judge.loss(job.classifier(), task.loss)
    return lambda: judge.auroc(job.classifier())


def _plan(job: _Job, judge: Judge | None) -> TrainSettings:
    """Measure once an epoch where nothing else is said."""
    plan = job.recipe.train
    if judge is None or plan.evaluate_every:
        return plan
    return replace(plan, evaluate_every=max(1, len(job.taught) // plan.batch))


@contextmanager
def _frozen(module: ClassifierModule, frozen: bool = True) -> Iterator[None]:
    module.backbone.requires_grad_(not frozen)
    try:
        yield
    finally:
        module.backbone.requires_grad_(True)


def _chosen(recipe: str | SupervisedRecipe, changes: dict[str, Any]) -> SupervisedRecipe:
    found = find(recipe, SUPERVISED_RECIPES)
    changes = dict(changes)
    if "init" in changes:
        changes["init"] = str(changes["init"])
        if changes["init"] != "random" and not isinstance(recipe, SupervisedRecipe):
            changes.setdefault("architecture", None)
    if "architecture" in changes and "init" not in changes and found.init.startswith("timm:"):
        changes["init"] = f"timm:{changes['architecture']}"
    return override(found, changes)


def _lessons(
    collection: "Collection",
    validation: "Collection | None",
    asked: Asked,
    recipe: SupervisedRecipe,
) -> tuple[Lesson, Lesson | None]:
    held_out = validation
    if validation is None:
        held_out = collection.where("split = 'val'")
        collection = collection.where("split = 'train'")
    taught = lesson(collection, asked)
    refuse_one_class(taught)
    refuse_unknown_inputs(taught)
    judged = None
    if recipe.validate != "none":
        assert held_out is not None
        if not len(held_out):
            raise UsageError(
                "no image has split = 'val': the best weights are chosen on validation patients; "
                "give validation, or validate by none"
            )
        judged = lesson(held_out, replace(asked, findings=taught.findings))
        if recipe.validate == "auroc":
            refuse_unjudgeable(judged)
    refuse_leaks(taught, judged)
    return taught, judged


def _start(
    recipe: SupervisedRecipe, asked: Asked, taught: Lesson
) -> tuple[ClassifierSpec, ClassifierModule]:
    """Make the network a run starts from."""
    seed, stored = recipe.train.seed, taught.view.settings.channels
    wanted = recipe.wanted
    if recipe.init == "random" and wanted.channels is None:
        wanted = replace(wanted, channels=stored)
    backbone, image = start_backbone(recipe.init, wanted, seed)
    check_channels(stored, image.channels)
    start = "random weights" if recipe.init == "random" else recipe.init
    source = f"{len(taught)} images and their labels, from {start}"
    spec = ClassifierSpec(
        image=replace(image, recipe=recipe.name, source=source),
        findings=taught.findings,
        inputs=asked.inputs,
        features=taught.names,
        groups=taught.groups,
        past=tuple(taught.view.findings) if asked.beside else (),
        policy=asked.policy,
        head=recipe.head,
        missing=recipe.teach.missing if asked.beside else 0.0,
        looks=recipe.looks,
    )
    module = ClassifierModule(spec, backbone, seed=seed)
    if module.fusion is not None:
        module.fusion.input.fit(taught.features)
    return spec, module


def _examples(recipe: SupervisedRecipe, taught: Lesson, engine: Engine) -> Examples:
    return Examples(_feed(recipe, taught, engine), taught.features, taught.targets)


def _feed(recipe: SupervisedRecipe, images: Lesson, engine: Engine) -> Feed:
    side = min(recipe.stored, images.view.size or recipe.stored)
    return feed_of(images.view, side, engine.device, images.rows)
