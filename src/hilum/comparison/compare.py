"""From a design to what it found: train, choose on validation patients, then read the test."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hilum.comparison.contest import Contest
from hilum.comparison.design import Design, json_types
from hilum.comparison.processes import Supervised
from hilum.comparison.result import TrainingComparison
from hilum.comparison.runs import SPLITS, open_comparison, plan, train_all
from hilum.comparison.training import Trainer
from hilum.errors import UsageError
from hilum.evaluate import Intervals
from hilum.findings import Policy
from hilum.progress import Progress, silent
from hilum.tabular import Recipe
from hilum.tabular import train as fit_floor
from hilum.tabular.model import check_kind

if TYPE_CHECKING:
    from hilum.collection import Collection

FLOOR_INPUTS: Final = ("demographics", "history")


def compare_training(
    collection: "Collection",
    run: str | Path,
    design: Design | None = None,
    *,
    floor: str | None = "logistic",
    policy: Policy = "ignore",
    intervals: Intervals | None = None,
    device: str = "auto",
    trainer: Trainer | None = None,
    progress: Progress = silent,
    told: Callable[[str], None] = lambda _: None,
) -> TrainingComparison:
    """Train several ways under one budget, and choose one by what validation patients say.

    Every arm is trained with every seed, in a process of its own. The arm of the highest mean
    AUROC on validation images is chosen; only then are the test images scored. All numbers are
    given for all images, for first visits and for follow-ups, next to a model that sees no pixels.

    Parameters
    ----------
    collection
        A view with images of the splits train, val and test. Earlier visits are those of the whole
        collection.
    run
        A folder, new or of a comparison with the same settings, which is then taken up where it
        was left. Arms may be added.
    design
        What is compared; the six backbones of the NIH study if not given.
    floor
        The model without pixels, a key of `hilum.tabular.KINDS`; None for none. It sees
        `FLOOR_INPUTS`.
    policy
        What an uncertain label counts as where arms are measured, and for the floor.
    intervals
        How intervals are made.
    device
        As in `hilum.train`.
    trainer
        Who trains; `Supervised` if not given.
    progress, told
        Told of every step, and of every training in a line.

    Raises
    ------
    UsageError
        If settings cannot be used, or nothing can be measured.
    RunError
        If the folder holds something else, or no arm could be trained.
    """
    folder = Path(run)
    design = Design() if design is None else design
    trainer = Supervised() if trainer is None else trainer
    intervals = Intervals() if intervals is None else intervals
    if policy == "keep":
        raise UsageError("choose what an uncertain label counts as: ignore, positive or negative")
    if floor is not None:
        check_kind(floor)
    planned = plan(collection, folder, design, trainer, device)
    open_comparison(folder, design, collection)
    done = train_all(planned, trainer, progress, told)
    failed = {t.arm.name: t.failed for t in reversed(done) if t.failed}
    contest = Contest(collection, trainer, device, policy, intervals)
    for arm in design.arms():
        if arm.name not in failed:
            contest.trainings[arm.name] = [t for t in done if t.arm == arm]
    if not contest.trainings:
        raise UsageError(f"every arm failed with some seed: {next(iter(failed.values()))}")
    if floor is not None:
        recipe = Recipe(FLOOR_INPUTS, floor, policy=policy)
        contest.floor = fit_floor(collection, folder / f"floor-{floor}-{policy}", recipe, progress)
    found = contest.judge()
    return replace(found, settings=_settings(collection, design, floor, contest), failed=failed)


def _settings(
    view: "Collection", design: Design, floor: str | None, contest: Contest
) -> dict[str, Any]:
    arms = {arm.name: json_types(arm.changes) for arm in design.arms()}
    counts = {split: len(view.where(f"split = '{split}'")) for split in SPLITS}
    return {
        **design.as_dict(),
        "arms": arms,
        "floor": floor,
        "policy": contest.policy,
        **asdict(contest.intervals),
        "images": counts,
    }
