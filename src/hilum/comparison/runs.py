"""Every arm trained with every seed, in folders that a killed comparison goes on from.

::

    RUN/settings.json                      what all arms share, and a digest of the images
    RUN/floor-KIND-POLICY/                 the model without pixels
    RUN/arms/ARM/seed-S/run/               a run of `hilum train`
    RUN/arms/ARM/seed-S/cost.json          written when it is finished
    RUN/arms/ARM/seed-S/{val,test}.csv.gz  its scores

Arms may be added to a comparison later: each depends on what all share and on nothing else.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hilum.collection.digest import content_digest
from hilum.comparison.design import Arm, Design
from hilum.comparison.training import Cost, Job, Trainer
from hilum.errors import HilumError, RunError, UsageError
from hilum.files import write_json
from hilum.progress import Progress, silent
from hilum.tables import Table, read_table, write_table

if TYPE_CHECKING:
    from hilum.collection import Collection

SPLITS: Final = ("train", "val", "test")


@dataclass(frozen=True)
class Training:
    """One arm trained with one seed.

    Parameters
    ----------
    arm, seed
        Which.
    folder
        Where everything of it is.
    cost
        What it took; None where it failed.
    failed
        Why it has no model; "" where it has one.
    """

    arm: Arm
    seed: int
    folder: Path
    cost: Cost | None = None
    failed: str = ""

    @property
    def run(self) -> Path:
        """The run of `hilum train`."""
        return self.folder / "run"


def open_comparison(folder: Path, design: Design, view: "Collection") -> None:
    """Start a comparison in a folder, or take up one that shares the same settings and images.

    Raises
    ------
    RunError
        If the folder holds something else, or a comparison with other settings or images.
    UsageError
        If a split has no image.
    """
    counts = {split: len(view.where(f"split = '{split}'")) for split in SPLITS}
    for split, count in counts.items():
        if not count:
            raise UsageError(
                f"no image has split = '{split}': arms are trained on training patients, chosen "
                "on validation patients and measured on test patients"
            )
    shared = {"comparison": design.as_dict(), "images": counts, "data": content_digest(view)}
    path = folder / "settings.json"
    if path.exists():
        _check_same(path, shared)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: not empty and not a comparison; name a new folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, shared)


def _check_same(path: Path, shared: dict[str, Any]) -> None:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(before, dict) or "comparison" not in before:
        raise RunError(f"{path.parent}: holds a run that is no comparison; name a new folder")
    if before == shared:
        return
    old, new = before["comparison"], shared["comparison"]
    differing = [name for name in new if old.get(name) != new[name]]
    differing += [name for name in ("images", "data") if before.get(name) != shared[name]]
    raise RunError(
        f"{path.parent}: is a comparison with other {', '.join(differing)}; arms can be added to "
        "it, and nothing else be changed: name a new folder"
    )


def plan(
    view: "Collection", folder: Path, design: Design, trainer: Trainer, device: str = "auto"
) -> list[tuple[Training, Job]]:
    """Return every training that there is to do, done or not, and its job.

    Raises
    ------
    UsageError
        If the settings of an arm cannot be used.
    """
    planned = []
    for arm in design.arms():
        for seed in design.seeds:
            training = Training(arm, seed, folder / "arms" / arm.folder / f"seed-{seed}")
            planned.append((training, _job(view, training, design, device)))
            trainer.check(planned[-1][1])
    return planned


def train_all(
    planned: Sequence[tuple[Training, Job]],
    trainer: Trainer,
    progress: Progress = silent,
    told: Callable[[str], None] = lambda _: None,
) -> list[Training]:
    """Train what is not trained yet; one that fails is said to have failed, and the rest go on.

    Parameters
    ----------
    told
        Given a line for people about each training.

    Raises
    ------
    RunError
        If every training failed.
    """
    done: list[Training] = []
    for at, (training, job) in enumerate(planned, start=1):
        label = f"{training.arm.name}, seed {training.seed} ({at} of {len(planned)})"
        done.append(_trained(training, job, trainer, _labelled(progress, label)))
        told(f"{label}: {done[-1].failed or 'trained'}")
    if all(training.failed for training in done):
        raise RunError(f"no arm could be trained; the first: {done[0].failed}")
    return done


def _labelled(progress: Progress, label: str) -> Progress:
    def report(done: int, total: int, note: str = "") -> None:
        progress(done, total, f"{label}: {note}")

    return report


def _job(view: "Collection", training: Training, design: Design, device: str) -> Job:
    changes = {**design.changes, **training.arm.changes, "seed": training.seed}
    return Job(
        view.uri, view.version, view.condition, str(training.run), design.recipe, changes, device
    )


def _trained(training: Training, job: Job, trainer: Trainer, progress: Progress) -> Training:
    path = training.folder / "cost.json"
    if path.exists():
        return replace(training, cost=Cost(**json.loads(path.read_text(encoding="utf-8"))))
    try:
        cost = trainer.train(job, progress)
    except HilumError as error:
        return replace(training, failed=str(error))
    write_json(path, asdict(cost))
    return replace(training, cost=cost)


def scores_of(
    training: Training, view: "Collection", split: str, trainer: Trainer, device: str = "auto"
) -> Table:
    """Score the images of a split with the model of a training, once."""
    path = training.folder / f"{split}.csv.gz"
    if not path.exists():
        images = view.where(f"split = '{split}'")
        write_table(trainer.predict(images, training.run, device), path)
    return read_table(path, findings=_columns(path))


def _columns(path: Path) -> Sequence[str]:
    from hilum.tables import read_columns

    return read_columns(path)[1:]
