"""From tasks to a selector: a recipe, the loop, a weights file; and the selector as a strategy."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from hilum.encoders.device import choose_engine
from hilum.errors import UsageError
from hilum.progress import Progress, silent
from hilum.select.beside import People, columns
from hilum.select.pool import Vectors
from hilum.select.reward import rewards
from hilum.select.selector import (
    SelectorSpec,
    SetSelector,
    save_selector,
)
from hilum.select.selector_task import Learning, SelectorTask, chosen_by, unit_vectors
from hilum.select.tasks import TaskSource, refuse_shared_patients
from hilum.training.loop import train
from hilum.training.recipes import Recipe, find, override
from hilum.training.schedule import TrainSettings

FILE_NAME: Final = "selector.safetensors"


@dataclass(frozen=True)
class SelectorRecipe(Recipe):
    """Everything that decides a selector, but for the data.

    Parameters
    ----------
    name, about
        As in `Recipe`.
    learning
        Route, budgets and what belongs to them.
    train
        Steps, batch, rate.
    beside
        What the selector sees beside the embedding: of ``age``, ``sex``, ``view``.
    width, heads, inducing, layers
        Of the network (`SelectorSpec`).
    validation_tasks, judged
        How many validation tasks decide which weights are kept, and at which budgets.
    """

    learning: Learning
    train: TrainSettings
    beside: tuple[str, ...] = ()
    width: int = 32
    heads: int = 2
    inducing: int = 16
    layers: int = 1
    validation_tasks: int = 200
    judged: tuple[int, ...] = (10, 20, 40)


_TRAIN: Final = TrainSettings(
    steps=2000, batch=64, lr=2e-3, warm_up=0.03, weight_decay=1e-2, clip=1.0, precision="fp32",
    evaluate_every=100, patience=8, checkpoint_every=100,
)  # fmt: skip

RECIPES: Final[dict[str, SelectorRecipe]] = {
    recipe.name: recipe
    for recipe in (
        SelectorRecipe(
            name="policy",
            about="Policy gradient on the exact AUROC; unbiased, and noisier.",
            learning=Learning(route="policy"),
            train=_TRAIN,
        ),
        SelectorRecipe(
            name="relaxed",
            about="A soft choice and a smooth AUROC; less noise, some bias.",
            learning=Learning(route="relaxed"),
            train=_TRAIN,
        ),
    )
}


def train_selector(
    source: TaskSource,
    validation: TaskSource,
    run: str | Path,
    recipe: str | SelectorRecipe = "policy",
    *,
    people: tuple[People, People] | None = None,
    encoder: str = "",
    device: str = "auto",
    progress: Progress = silent,
    about: Mapping[str, Any] | None = None,
    **changes: Any,
) -> SetSelector:
    """Train a selector, or take up its run where it was left.

    Parameters
    ----------
    source, validation
        Tasks of training patients, and of others that decide when to stop.
    run
        A folder, new or of the same run.
    recipe
        A name of `RECIPES`, or a recipe.
    people
        Age, sex and view of the images of both sources, for a recipe that looks at them.
    encoder
        Fingerprint of the encoder that made the embeddings; a selector is of no use on others.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    about
        Where the data come from, kept with the weights.
    changes
        Fields of the recipe, of its `learning` or of its `train`, such as ``steps=500``.

    Returns
    -------
    The selector with the best validation AUROC, which is also in ``RUN/selector.safetensors``.

    Raises
    ------
    LeakError
        If a patient is in both sources.
    UsageError, RunError
        If the recipe or the run cannot be used, or the sources do not fit each other.
    """
    chosen = override(find(recipe, RECIPES), changes)
    refuse_shared_patients(source, validation)
    dim = source.vectors.shape[1]
    if validation.vectors.shape[1] != dim:
        raise UsageError(
            f"training embeddings have {dim} numbers and those of validation "
            f"{validation.vectors.shape[1]}: take one encoder for both"
        )
    spec = SelectorSpec(
        dim=dim,
        encoder=encoder,
        beside=chosen.beside,
        width=chosen.width,
        heads=chosen.heads,
        inducing=chosen.inducing,
        layers=chosen.layers,
        pool=source.plan.pool,
        budgets=(min(chosen.learning.budgets), max(chosen.learning.budgets)),
        recipe=chosen.name,
        findings=source.findings,
        held_out=source.plan.held_out,
        provenance=dict(about or {}),
    )
    selector = SetSelector(spec, seed=chosen.train.seed)
    beside, beside_judged = _beside(chosen, people)
    task = SelectorTask(selector, source, chosen.learning, beside)
    settings = {**_as_json(chosen), "plan": _as_json(source.plan), "data": _digest(source, beside)}
    train(
        task,
        chosen.train,
        run,
        about=settings,
        engine=choose_engine(device, chosen.train.precision),
        measure=measure_of(selector, validation, chosen, beside_judged),
        progress=progress,
    )
    selector.to("cpu").eval()
    save_selector(selector, Path(run) / FILE_NAME)
    return selector


def _as_json(record: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(asdict(record)))
    return document


def _beside(
    recipe: SelectorRecipe, people: tuple[People, People] | None
) -> tuple[Vectors | None, Vectors | None]:
    """Return what the selector sees of the images of both sources beside their embeddings."""
    if not recipe.beside:
        return None, None
    if people is None:
        raise UsageError(
            f"the recipe looks at {', '.join(recipe.beside)}: give people, or train on a collection"
        )
    train_side, judged = (columns(part, recipe.beside) for part in people)
    return train_side, judged


def _digest(source: TaskSource, beside: Vectors | None) -> str:
    total = hashlib.sha256(source.digest.encode())
    if beside is not None:
        total.update(np.ascontiguousarray(beside).data)
    return total.hexdigest()


def measure_of(
    selector: SetSelector,
    validation: TaskSource,
    recipe: SelectorRecipe,
    beside: Vectors | None = None,
) -> Callable[[], float]:
    """Return the mean AUROC over fixed validation tasks and budgets, with the best choices.

    Raises
    ------
    UsageError
        If a pool leaves nothing to choose at any of the recipe's budgets.
    """
    size = validation.plan.pool
    budgets = [budget for budget in recipe.judged if budget < size]
    if not budgets:
        raise UsageError(
            f"a pool of {size} leaves nothing to choose at the budgets that decide which weights "
            f"are kept ({', '.join(map(str, recipe.judged))}): take larger pools, or smaller "
            "budgets with --set judged=[...]"
        )
    tasks = validation.batch(range(recipe.validation_tasks))
    unit = unit_vectors(validation.vectors)
    pools = torch.from_numpy(tasks.pool)
    more = None if beside is None else torch.from_numpy(beside)

    def measure() -> float:
        here = next(selector.parameters()).device
        found = []
        for budget in budgets:
            seen = None if more is None else more.to(here)
            picks = chosen_by(selector, unit.to(here), pools.to(here), budget, seen)
            found.append(rewards(validation.vectors, tasks, picks.cpu().numpy()).mean())
        return float(np.mean(found))

    return measure
