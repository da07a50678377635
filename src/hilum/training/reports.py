"""From images and their reports to a pair of encoders: a recipe, a task, the loop, a file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hilum.encoders import PairEncoder, TextSpec, build_pair, save_encoder
from hilum.encoders.device import Engine, choose_engine
from hilum.encoders.weights import FILE_NAME, encoder_header
from hilum.errors import UsageError
from hilum.progress import Progress, silent
from hilum.training.feed import Feed, feed_of
from hilum.training.kept import Keeper, Kept
from hilum.training.loop import train
from hilum.training.processes import joined, wait_for_all
from hilum.training.recipes import find, override
from hilum.training.report_recipes import REPORT_RECIPES, ReportRecipe
from hilum.training.report_task import ReportTask
from hilum.training.report_validation import Measure, retrieval, zeroshot
from hilum.training.told import Told, refuse_shared_patients, refuse_test_images, survey, told

if TYPE_CHECKING:
    from hilum.collection import Collection

MOST: Final = 1000  # validation images among which a report is looked for


def pretrain_reports(
    collection: "Collection",
    run: str | Path,
    recipe: str | ReportRecipe = "reports-small",
    *,
    validation: "Collection | None" = None,
    reports: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: Progress = silent,
    **changes: Any,
) -> PairEncoder:
    """Pretrain a pair of encoders on the images of a collection and their reports, without labels.

    Parameters
    ----------
    collection
        The images, usually those of the training patients:
        ``collection.where("split = 'train'")``. Those without a report are left out and counted.
    run
        A folder, new or of the same run, which is then taken up where it was left.
    recipe
        A name of `hilum.training.REPORT_RECIPES`, or a recipe.
    validation
        Images of other patients that decide which weights are kept, by the recipe's `validate`:
        usually ``collection.where("split = 'val'")``. None keeps the last. Labels are read of
        these images alone, and only where `validate` is ``"zeroshot"``: weights chosen so are
        not weights found without labels.
    reports
        Texts by image id, in place of the collection's own sections.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``. Start with ``torchrun`` to use several.
    changes
        Fields of the recipe to change, such as ``steps=500, init="moco-run", scale=20.0``.

    Returns
    -------
    The pair with the best measure, or the last, which is also in ``RUN/encoder.safetensors``.
    Where the recipe keeps several, ``RUN/best-STEP.safetensors`` hold them.

    Raises
    ------
    UsageError, RunError, WeightsError
        If there is nothing to learn from, or the recipe, the run or the weights to start from
        cannot be used.
    LeakError
        If a patient has images for training and for validation, or an image is of the split
        ``test``.
    CollectionError
        If the collection has no pixels.
    """
    if "init" in changes:
        changes["init"] = str(changes["init"])
    chosen = override(find(recipe, REPORT_RECIPES), changes)
    if validation is None and changes.get("validate", "none") != "none":
        raise UsageError(
            f"validate={chosen.validate!r} needs images of other patients: give validation, such "
            "as collection.where(\"split = 'val'\")"
        )
    if validation is None:
        chosen = replace(chosen, validate="none")
    for view in (collection, validation):
        if view is not None:
            refuse_test_images(view.table(["split"])["split"])
    engine = choose_engine(device, chosen.train.precision)
    images = told(collection, chosen.words, reports)
    tokens, counts = survey(images.texts, chosen.context)
    pair = _start(chosen, tokens, len(images), engine)
    side = min(chosen.stored, collection.size or chosen.stored)
    feed = feed_of(collection, side, engine.device, images.rows)
    counts |= {"images": len(images), "left_out": images.left_out}
    job = _Job(chosen, pair, engine, images, counts)
    held_out = None if chosen.validate == "none" else validation
    judge = None if held_out is None else _judge(job, held_out, side, reports)
    return _train(job, feed, run, judge, progress)


@dataclass(frozen=True)
class _Job:
    """What a run is made of."""

    recipe: ReportRecipe
    pair: PairEncoder
    engine: Engine
    images: Told
    counts: dict[str, int]

    def about(self, judged: str) -> dict[str, Any]:
        """Return what decides the result beside the training's own settings."""
        recipe = self.recipe.as_dict()
        return {
            **{key: value for key, value in recipe.items() if key not in ("train", "about")},
            "data": self.images.digest,
            "start": self.pair.fingerprint,
            "judged": judged,
            "reports": self.counts,
        }


@dataclass(frozen=True)
class _Judge:
    """What decides which weights are kept, and a digest of what it looks at."""

    measure: Measure
    digest: str


def _train(
    job: _Job, feed: Feed, run: str | Path, judge: _Judge | None, progress: Progress
) -> PairEncoder:
    recipe, spec, engine = job.recipe, job.pair.spec, job.engine
    about = job.about(judge.digest if judge else "")
    task = ReportTask(job.pair.module, spec, feed, job.images.texts, recipe.matching, recipe.view)
    made = {"images": len(job.images), "data": job.images.digest, "validate": recipe.validate}

    def header(kept: Kept) -> dict[str, Any]:
        encoder = PairEncoder(spec, task.pair, engine)
        return encoder_header(
            encoder, recipe=recipe.as_dict(), provenance=made | kept._asdict()
        ) | kept._asdict()  # fmt: skip

    with joined(engine.device) as here:
        metrics = train(
            task, recipe.train, run, about=about, engine=engine,
            measure=judge.measure if judge else None, keeper=Keeper(task.pair, header),
            progress=progress,
        )  # fmt: skip
        recipe.matching.limit(task.pair.logit_scale)
        encoder = PairEncoder(spec, task.pair, engine)
        if here.first:
            made |= {key: metrics[key] for key in ("steps", "loss", "engine", "best", "best_step")}
            save_encoder(
                encoder, Path(run) / FILE_NAME, recipe=recipe.as_dict(), provenance=made
            )  # fmt: skip
        wait_for_all()
    return encoder


def _start(recipe: ReportRecipe, tokens: list[int], images: int, engine: Engine) -> PairEncoder:
    """Make the pair a run starts from."""
    shape: dict[str, Any] = {"size": recipe.size, "context": recipe.context}
    if recipe.small:
        text = TextSpec(recipe.text_width, recipe.text_layers, recipe.text_heads)
        shape |= {"channels": recipe.channels, "mean": recipe.mean, "std": recipe.std,
                  "dim": recipe.dim, "text": text, "ids": tokens}  # fmt: skip
    pair = build_pair(
        recipe.architecture, init=recipe.init, seed=recipe.train.seed, engine=engine, **shape
    )
    start = "random weights" if recipe.init == "random" else recipe.init
    image = replace(
        pair.spec.image,
        mean=recipe.mean or pair.spec.mean,
        std=recipe.std or pair.spec.std,
        resize=recipe.resize,
        recipe=recipe.name,
        source=f"{images} images and their reports, from {start}",
    )
    return PairEncoder(replace(pair.spec, image=image), pair.module, engine)


def _judge(
    job: _Job, validation: "Collection", side: int, reports: Mapping[str, str] | None
) -> _Judge:
    """Say how weights are compared: by retrieval, or by the validation images' labels."""
    if not len(validation):
        raise UsageError(
            "there are no validation images; check the condition that chose them (hilum show "
            "lists the splits), or validate by none"
        )
    device, pair = job.engine.device, job.pair
    table = validation.table(["patient_id"])
    refuse_shared_patients(job.images.patients, table["patient_id"])
    if job.recipe.validate == "zeroshot":
        labels = validation.labels()
        feed = feed_of(validation, side, device, np.arange(len(validation)))
        seen = repr((labels.ids, labels.findings, labels.values.tolist()))
        return _Judge(zeroshot(pair, feed, labels), hashlib.sha256(seen.encode()).hexdigest())
    found = told(validation, job.recipe.words, reports)
    some = np.sort(np.random.default_rng(0).permutation(len(found))[:MOST])
    feed = feed_of(validation, side, device, found.rows[some])
    said = [found.texts.whole[row].text for row in some]
    return _Judge(retrieval(pair, feed, said), found.digest)
