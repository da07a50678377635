"""The training loop: one for every task, on one processor, one GPU or many.

Read `train`, then `_steps`, from top to bottom. Nothing random is carried from step to step: the
order of an epoch comes from (seed, epoch) and everything drawn in a step from (seed, step). So
the state of a run is its step and its tensors, and a run that was killed and continued ends with
the same weights, bit for bit on a CPU, as one that was not.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.encoders.device import Engine, choose_engine, own_random_numbers
from hilum.errors import RunError
from hilum.progress import Progress, silent
from hilum.training.average import Average
from hilum.training.feed import read_ahead
from hilum.training.folder import RunFolder, load_optimiser, open_run, optimiser_tensors
from hilum.training.kept import Keeper, Kept, entered, path_of, prune
from hilum.training.processes import Ranks, from_first, joined, mean_over_ranks, wait_for_all
from hilum.training.schedule import TrainSettings, learning_rate, make_optimiser
from hilum.training.task import Task

ORDER, STEP = 1, 2  # keep the streams of random numbers apart
# What may change when a run goes on; "precision" holds what train.precision became.
FREE = ("train.checkpoint_every", "train.log_every", "train.precision", "train.keep")

Measure = Callable[[], float]


@dataclass
class State:
    """How far a run is; with the tensors, all that a checkpoint holds.

    Parameters
    ----------
    step
        Steps done.
    best, best_step
        The highest measure so far and the step it was taken after.
    waited
        Evaluations since then.
    kept
        The best so far whose weights are kept, best first.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    kept: list[Kept] = field(default_factory=list)


def train(
    task: Task,
    settings: TrainSettings,
    run: str | Path,
    *,
    about: Mapping[str, Any] | None = None,
    engine: Engine | None = None,
    measure: Measure | None = None,
    keeper: Keeper | None = None,
    before: Callable[[], None] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a task, or take up its run where it was left; a finished run is not repeated.

    Parameters
    ----------
    task
        What to learn. It ends with the last weights (their average, with `settings.ema`), or
        with the best where there is a `measure`.
    run
        A folder, new or of the same run.
    about
        What else decides the result (recipe, digest of the data), as JSON types: a run goes on
        only with the same.
    measure
        Evaluates the task (in evaluation mode); higher is better. Called in one process only.
    keeper
        Writes the best weights, `settings.keep` of them; those of the whole task if not given.
    before
        Called in every process before the first step, not when a run goes on: an earlier stage
        that leaves its weights in the task. It may train a run of its own in a folder of this.

    Returns
    -------
    The run's metrics, as in its ``metrics.json``.

    Raises
    ------
    RunError
        If the run cannot be started or continued, or the loss is not a number.
    """
    engine = engine or choose_engine(precision=settings.precision)
    keeper = keeper or Keeper(task)
    with joined(engine.device) as here:
        total = settings.total_steps(task.examples, here.world)
        asked = {
            "train": settings.as_dict(),
            "precision": engine.precision,
            "examples": task.examples,
            "processes": here.world,
            **(about or {}),
        }
        with open_run(run, asked, FREE, writes=here.first) as folder:
            wait_for_all()
            task.to(engine.device, memory_format=engine.memory_format)  # type: ignore[call-overload]
            if before is not None and not folder.begun():
                before()
            optimiser = make_optimiser(task, settings)
            average = Average(task, settings.ema) if settings.ema else None
            held = _Held(task, optimiser, average)
            state = _restore(folder, held)
            if folder.metrics() is None:
                folder.begin_log(state.step)
                job = _Job(held, settings, engine, here, folder, total, keeper)
                _steps(job, state, measure, (here.first and progress) or silent)
                folder.finish(_metrics(job, state) if here.first else {})
            wait_for_all()
            if here.world > 1:  # batch statistics differ between processes: keep those saved
                _restore(folder, held)
            if state.kept:
                keeper.load(folder, state.kept[0])
            elif average is not None:
                average.give(task)
            return folder.metrics() or {}


@dataclass(frozen=True)
class _Held:
    """What a checkpoint holds beside the state."""

    task: Task
    optimiser: torch.optim.Optimizer
    average: Average | None

    def tensors(self) -> dict[str, Tensor]:
        own = {f"task.{name}": tensor for name, tensor in self.task.state_dict().items()}
        averaged = self.average.tensors if self.average is not None else {}
        own |= {f"average.{name}": tensor for name, tensor in averaged.items()}
        return own | optimiser_tensors(self.optimiser)


@dataclass(frozen=True)
class _Job:
    """What stays the same from step to step."""

    held: _Held
    settings: TrainSettings
    engine: Engine
    here: Ranks
    folder: RunFolder
    total: int
    keeper: Keeper

    @property
    def task(self) -> Task:
        return self.held.task

    def due(self, step: int, every: int) -> bool:
        return step == self.total or (every > 0 and step % every == 0)


def _steps(job: _Job, state: State, measure: Measure | None, progress: Progress) -> None:
    settings = job.settings
    model: nn.Module = job.task
    if job.here.world > 1:
        # Each process keeps its own batch statistics, as MoCo's shuffle needs.
        model = nn.parallel.DistributedDataParallel(job.task, broadcast_buffers=False)
    log = _Log(job.folder, progress, job.total)
    job.task.train()
    for step, batch in _batches(job, state.step):
        rate = learning_rate(settings, step, job.total)
        seed = _seed_of_step(job, step)
        with own_random_numbers(seed, job.engine.device), job.engine.autocast():
            loss, numbers = model(batch)
        _update(job, loss, rate, step)

        state.step = step + 1
        log.add(state.step, rate, {"loss": loss.detach(), **numbers})
        if measure and job.due(state.step, settings.evaluate_every):
            log.note("measure", _evaluate(job, measure, state))
        stop = 0 < settings.patience <= state.waited
        if stop or job.due(state.step, settings.log_every):
            log.write()
        if stop or job.due(state.step, settings.checkpoint_every):
            log.write()  # first: a loss that is not a number must never be checkpointed
            job.folder.save(state.step, job.held.tensors(), asdict(state))
            prune(job.folder, state.kept)
        if stop:
            return


def _update(job: _Job, loss: Tensor, rate: float, step: int) -> None:
    optimiser, average = job.held.optimiser, job.held.average
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    if job.settings.clip:
        nn.utils.clip_grad_norm_(job.task.parameters(), job.settings.clip)
    optimiser.step()
    if average is not None:
        average.follow(job.task, step)


@lru_cache(maxsize=2)  # of this epoch and the next: every step asks, and to shuffle takes long
def epoch_order(seed: int, epoch: int, examples: int) -> NDArray[np.int64]:
    """Return the order of examples in an epoch; not to be written to."""
    order = np.random.default_rng([seed, ORDER, epoch]).permutation(examples)
    order.flags.writeable = False
    return order


def rows_of_step(seed: int, step: int, batch: int, examples: int) -> NDArray[np.int64]:
    """Return the examples of a step; an epoch leaves out what does not fill a batch."""
    epoch, place = divmod(step, examples // batch)
    return epoch_order(seed, epoch, examples)[place * batch : (place + 1) * batch].copy()


def _batches(job: _Job, start: int) -> Iterator[tuple[int, Any]]:
    """Give each step its batch, read one step ahead in a thread."""
    settings, task = job.settings, job.task
    mine = job.here.share(settings.batch)

    def read(step: int) -> Any:
        rows = rows_of_step(settings.seed, step, settings.batch, task.examples)
        return task.batch(rows, np.random.default_rng([settings.seed, STEP, step]), mine)

    steps = range(start, job.total)
    return zip(steps, read_ahead(read, steps), strict=True)


def _seed_of_step(job: _Job, step: int) -> int:
    """Return the seed of torch's own generators (dropout) for one step of one process."""
    words = np.random.SeedSequence([job.settings.seed, STEP, step, job.here.rank])
    return int(words.generate_state(1, np.uint64)[0] >> 1)


def _evaluate(job: _Job, measure: Measure, state: State) -> float:
    """Measure the task, and keep its weights if they are among the best so far."""
    job.task.eval()
    average = job.held.average
    with average.lent(job.task) if average is not None else nullcontext():
        value = from_first(measure() if job.here.first else 0.0)
        if not math.isfinite(value):
            raise RunError(f"{job.folder.path}: the measure after step {state.step} is {value}")
        now = Kept(state.step, value)
        state.kept = entered(state.kept, now, job.settings.keep)
        if now in state.kept:
            job.keeper.write(job.folder, now)
    if state.best is not None and value <= state.best:
        state.waited += 1
    else:
        state.best, state.best_step, state.waited = value, state.step, 0
    job.task.train()
    return value


def _restore(folder: RunFolder, held: _Held) -> State:
    saved = folder.load()
    if saved is None:
        return State()
    _, tensors, notes = saved
    held.task.load_state_dict(_starting(tensors, "task."))
    if held.average is not None:
        held.average.load(_starting(tensors, "average."))
    load_optimiser(held.optimiser, tensors)
    kept = [Kept(*one) for one in notes.pop("kept", [])]  # a list of lists in JSON
    return State(**notes, kept=kept)


def _starting(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _metrics(job: _Job, state: State) -> dict[str, Any]:
    log = job.folder.log()
    tail = log[-max(1, len(log) // 20) :]  # the last twentieth: one batch is noisy
    seconds = sum(line["seconds"] for line in log)
    return {
        "steps": state.step,
        "loss": sum(line["loss"] for line in tail) / len(tail),
        "seconds": round(seconds, 3),
        "images_per_second": round(state.step * job.settings.batch / max(seconds, 1e-9), 2),
        "engine": str(job.engine),
        "best": state.best,
        "best_step": state.best_step or None,
        "kept": [path_of(job.folder, one).name for one in state.kept],
    }


class _Log:
    """Log lines that wait on the device, so that not every step waits for them."""

    def __init__(self, folder: RunFolder, progress: Progress, total: int) -> None:
        self.folder = folder
        self.progress = progress
        self.total = total
        self.waiting: list[tuple[dict[str, Any], dict[str, Tensor]]] = []
        self.since = time.perf_counter()

    def add(self, step: int, rate: float, numbers: dict[str, Tensor]) -> None:
        self.waiting.append(({"step": step, "lr": rate}, numbers))

    def note(self, name: str, value: float) -> None:
        self.waiting[-1][0][name] = value

    def write(self) -> None:
        """Write what waits; stop at the first loss that is not a number."""
        if not self.waiting:
            return
        names = list(self.waiting[0][1])
        table = torch.stack([torch.stack([n[k].float() for k in names]) for _, n in self.waiting])
        values = mean_over_ranks(table).tolist()  # (steps, numbers); the device is waited for here
        seconds = (time.perf_counter() - self.since) / len(values)
        lines = [
            {**line, **dict(zip(names, row, strict=True)), "seconds": seconds}
            for (line, _), row in zip(self.waiting, values, strict=True)
        ]
        self.waiting.clear()
        self.since = time.perf_counter()
        for index, line in enumerate(lines):
            if not math.isfinite(line["loss"]):
                self.folder.append_log(lines[:index])
                raise RunError(
                    f"{self.folder.path}: the loss of step {line['step']} is {line['loss']}; "
                    "lower the learning rate, clip gradients or train in fp32"
                )
        self.folder.append_log(lines)
        self.progress(lines[-1]["step"], self.total, f"loss {lines[-1]['loss']:.3f}")
