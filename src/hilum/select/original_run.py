"""MedSelect of 2021 from tasks to a weights file, so that it can be compared with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from hilum.encoders.device import choose_engine
from hilum.encoders.tensors import read_tensors, write_tensors
from hilum.errors import UsageError, WeightsError
from hilum.progress import Progress, silent
from hilum.select.beside import INPUTS
from hilum.select.labelled import LabelledVectors
from hilum.select.original import (
    TRAINING,
    LstmSelector,
    OriginalTask,
    columns_beside,
    validation,
)
from hilum.select.pool import Vectors
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import refuse_shared_patients
from hilum.training.loop import train
from hilum.training.recipes import override
from hilum.training.schedule import TrainSettings

RECIPE: Final = "medselect-2021"
FILE_NAME: Final = "selector.safetensors"


@dataclass(frozen=True)
class OriginalRecipe:
    """What can be chosen about the original's training.

    Parameters
    ----------
    budget
        K, in training.
    tasks, validation_tasks
        Of an epoch, and of a validation.
    beside
        Whether the network sees age, sex and view.
    train
        Steps, rate and the rest.
    """

    budget: int = 20
    tasks: int = 10_000
    validation_tasks: int = 1000
    beside: bool = False
    train: TrainSettings = TRAINING


@dataclass(frozen=True, eq=False)
class Original:
    """A trained network, and what must be known to use it.

    Parameters
    ----------
    network
        It.
    dim
        Of the embeddings.
    budget
        K in training; any can be asked for afterwards.
    beside
        Whether it sees age, sex and view.
    encoder
        Fingerprint of the embeddings' encoder, "" if not known.
    findings, held_out, provenance
        What it was trained on.
    """

    network: LstmSelector
    dim: int
    budget: int
    beside: bool = False
    encoder: str = ""
    findings: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def columns(self, data: LabelledVectors) -> Vectors | None:
        """Return what it sees of images beside their embeddings."""
        seen = data.people
        return columns_beside(seen.age, seen.female, seen.frontal) if self.beside else None


def train_original(
    data: LabelledVectors,
    judged: LabelledVectors,
    run: str | Path,
    /,
    plan: TaskPlan | None = None,
    *,
    encoder: str = "",
    device: str = "auto",
    progress: Progress = silent,
    about: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Original:
    """Train MedSelect of 2021, or take up its run where it was left.

    Parameters
    ----------
    data, judged
        Images of training patients, and of others that decide which weights are kept.
    run
        A folder, new or of the same run.
    plan
        What tasks look like.
    encoder, device, about
        As in `hilum.select.selector_run.train_selector`.
    changes
        Fields of `OriginalRecipe` or of its `train`, such as ``budget=40`` or ``steps=100``.

    Returns
    -------
    The network with the best validation AUROC, which is also in ``RUN/selector.safetensors``.

    Raises
    ------
    LeakError
        If a patient is on both sides.
    UsageError, RunError
        If a field or the run cannot be used.
    """
    if "beside" in changes:
        changes["beside"] = _all_three(changes["beside"])
    recipe = override(OriginalRecipe(), changes)
    seed = recipe.train.seed
    # tasks that judge must differ from those that teach even where images are the same
    source, other = data.tasks(plan, seed), judged.tasks(plan, seed + 1)
    refuse_shared_patients(source, other)
    columns = [
        columns_beside(part.people.age, part.people.female, part.people.frontal)
        if recipe.beside
        else None
        for part in (data, judged)
    ]
    task = OriginalTask(source, recipe.budget, recipe.tasks, columns[0], seed)
    settings = {"recipe": _as_json(recipe), "plan": _as_json(source.plan), "data": _digest(data)}
    train(
        task,
        recipe.train,
        run,
        about=settings,
        engine=choose_engine(device, recipe.train.precision),
        measure=validation(task, other, recipe.validation_tasks, beside=columns[1], seed=seed),
        progress=progress,
    )
    task.to("cpu").eval()
    trained = Original(
        task.selector, data.vectors.shape[1], recipe.budget, recipe.beside, encoder,
        source.findings, source.plan.held_out, dict(about or {}),
    )  # fmt: skip
    save_original(trained, Path(run) / FILE_NAME)
    return trained


def save_original(original: Original, path: str | Path) -> None:
    """Write the weights and what must be known to use them to a ``.safetensors`` file."""
    spec = {name: getattr(original, name) for name in _spec()}
    write_tensors(Path(path), original.network.state_dict(), {"kind": RECIPE, "spec": spec})


def load_original(path: str | Path) -> Original:
    """Read a network that `train_original` wrote.

    Raises
    ------
    WeightsError
        If the file is none, or is damaged.
    """
    tensors, header = read_tensors(Path(path))
    if header.get("kind") != RECIPE:
        raise WeightsError(
            f"{path}: not MedSelect of 2021; `hilum selector train --recipe {RECIPE}` writes it"
        )
    try:
        spec = {name: header["spec"][name] for name in _spec()}
        lists = {name: tuple(spec[name]) for name in ("findings", "held_out")}
        network = LstmSelector(spec["dim"] + (3 if spec["beside"] else 0))
        network.load_state_dict(tensors)
    except (TypeError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{path}: damaged weights: {error}") from error
    return Original(network.eval(), **{**spec, **lists})


def _spec() -> list[str]:
    return [one.name for one in fields(Original) if one.name != "network"]


def _all_three(beside: Any) -> bool:
    """Say whether age, sex and view are asked for; it sees all of them or none."""
    if isinstance(beside, bool):
        return beside
    if set(beside) != set(INPUTS):
        raise UsageError(
            f"{RECIPE} sees {', '.join(INPUTS)} together or none of them; got {', '.join(beside)}"
        )
    return True


def _as_json(record: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(asdict(record)))
    return document


def _digest(data: LabelledVectors) -> str:
    total = hashlib.sha256(np.ascontiguousarray(data.vectors).data)
    total.update(np.ascontiguousarray(data.labels).data)
    total.update(json.dumps([data.patients, data.findings]).encode())
    return total.hexdigest()
