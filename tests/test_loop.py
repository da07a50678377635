import fcntl
import json
import math
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.encoders import tensors
from hilum.encoders.tensors import write_tensors
from hilum.errors import RunError, UsageError
from hilum.training import TrainSettings, train
from hilum.training.feed import Resident, Streamed, fits, read_ahead, resident, shrink
from hilum.training.folder import open_run
from hilum.training.loop import rows_of_step
from hilum.training.moco import MocoSettings
from hilum.training.schedule import learning_rate, make_optimiser
from hilum.training.task import Group
from reference_training import (
    RESUMED,
    SHARED,
    Line,
    checkpoint_of,
    in_processes,
    plain_line_training,
    slow_processor,
    tiny_moco,
    train_shared,
    train_tiny_moco,
)

PLAIN = TrainSettings(steps=6, batch=4, lr=0.5, optimiser="sgd", schedule="constant",
                      weight_decay=0.0, checkpoint_every=2, log_every=2)  # fmt: skip


def run_line(run: Path, plan: TrainSettings = PLAIN, **options: Any) -> Line:
    task = Line()
    options.setdefault("engine", slow_processor())
    train(task, plan, run, **options)
    return task


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------ schedule and order


def test_the_cosine_starts_at_the_highest_rate_and_reaches_its_end() -> None:
    plan = TrainSettings(steps=8, lr=1.0, min_lr=0.0)
    rates = [learning_rate(plan, step, 8) for step in (0, 2, 4, 6, 8)]
    half = math.sqrt(0.5) / 2
    assert rates == pytest.approx([1, 0.5 + half, 0.5, 0.5 - half, 0], abs=1e-12)
    assert learning_rate(replace(plan, min_lr=0.2), 8, 8) == pytest.approx(0.2)


def test_the_rate_warms_up_in_a_line() -> None:
    plan = TrainSettings(steps=20, lr=2.0, warm_up=0.2)
    assert [learning_rate(plan, s, 20) for s in range(5)] == pytest.approx([0.5, 1, 1.5, 2, 2])


def test_the_step_schedule_divides_by_ten_at_epochs_12_and_18_of_20() -> None:
    plan = TrainSettings(epochs=20, lr=1e-4, schedule="step", milestones=(0.6, 0.9))
    rates = {epoch: learning_rate(plan, epoch * 50, 1000) for epoch in (0, 11, 12, 17, 18, 19)}
    assert rates == pytest.approx({0: 1e-4, 11: 1e-4, 12: 1e-5, 17: 1e-5, 18: 1e-6, 19: 1e-6})


@given(
    examples=st.integers(4, 40), batch=st.integers(1, 4), seed=st.integers(0, 9),
    epoch=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_every_epoch_takes_each_example_at_most_once(
    examples: int, batch: int, seed: int, epoch: int
) -> None:
    steps = examples // batch
    rows = [rows_of_step(seed, epoch * steps + s, batch, examples) for s in range(steps)]
    seen = np.concatenate(rows)
    assert len(set(seen.tolist())) == len(seen) == steps * batch
    assert set(seen.tolist()) <= set(range(examples))


def test_epochs_and_seeds_have_their_own_order() -> None:
    orders = [rows_of_step(seed, step, 30, 30).tolist() for seed, step in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3


def test_the_length_of_a_run_follows_from_epochs_and_batch() -> None:
    assert TrainSettings(epochs=3, batch=8).total_steps(20) == 6
    assert TrainSettings(epochs=0.5, batch=8).total_steps(32) == 2
    assert TrainSettings(steps=5, batch=8).total_steps(20) == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"either steps or epochs; got steps=0, epochs=0\.0"),
        ({"steps": 3, "epochs": 1}, "either steps or epochs; got steps=3, epochs=1"),
        ({"steps": 3, "batch": 0}, "batch must be at least 1; got 0"),
        ({"steps": 3, "optimiser": "lion"}, "optimiser 'lion' is not known; choose from adam, ad"),
        ({"steps": 3, "schedule": "poly"}, "schedule 'poly' is not known; choose from cosine, st"),
        ({"steps": 3, "precision": "fp8"}, "precision 'fp8' is not known; choose from auto, bf16"),
        ({"steps": 3, "lr": math.nan}, "lr cannot be nan"),
        ({"steps": 3, "seed": -1}, "seed cannot be -1"),
        ({"steps": 3, "ema": 1.0}, r"ema must be at least 0 and below 1; got 1\.0"),
        ({"steps": 3, "warm_up": 5.0}, r"shares of the run, 0 to 1; got 5\.0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainSettings(**fields)


def test_too_few_images_and_unequal_shares_are_refused() -> None:
    with pytest.raises(
        UsageError, match="5 images do not fill one batch of 8; choose a batch of at"
    ):
        TrainSettings(steps=1, batch=8).total_steps(5)
    with pytest.raises(UsageError, match="a batch of 8 cannot be shared equally by 3 processes"):
        TrainSettings(steps=1, batch=8).total_steps(50, processes=3)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimiser_is_the_one_named(name: Any, kind: type) -> None:
    made = make_optimiser(Line(), TrainSettings(steps=1, optimiser=name, weight_decay=0.3))
    assert type(made) is kind
    assert made.param_groups[0]["weight_decay"] == 0.3


# ------------------------------------------------------------------ the loop


def test_the_loop_is_gradient_descent_over_the_batches(tmp_path: Path) -> None:
    task = run_line(tmp_path / "run")
    orders = [rows_of_step(PLAIN.seed, step, 4, 8) for step in range(6)]
    assert task.value == pytest.approx(plain_line_training(Line(), orders, 0.5), rel=1e-5)


def test_gradients_are_cut_to_the_length_asked_for(tmp_path: Path) -> None:
    task = run_line(tmp_path / "run", replace(PLAIN, steps=1, lr=1.0, clip=0.25))
    assert task.value == pytest.approx(0.25, rel=1e-4)


def test_a_run_leaves_its_files(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_line(run, about={"task": "line"})
    log = log_of(run)
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5, 6]
    assert log[0].keys() == {"step", "lr", "loss", "weight", "seconds"}
    asked = json.loads((run / "settings.json").read_text())
    assert (asked["task"], asked["train"]["lr"], asked["precision"]) == ("line", 0.5, "fp32")
    state = json.loads((run / "state.json").read_text())
    assert (state["step"], state["checkpoint"]) == (6, "checkpoint.safetensors")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["steps"] == 6
    assert metrics["engine"] == "cpu fp32, channels last"


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = run_line(run)
    before = (run / "log.jsonl").read_text()
    calls: list[int] = []
    second = run_line(run, progress=lambda done, *_: calls.append(done))
    assert not calls
    assert torch.equal(first.weight, second.weight)
    assert (run / "log.jsonl").read_text() == before


def test_the_progress_says_where_it_is(tmp_path: Path) -> None:
    said: list[tuple[int, int, str]] = []
    run_line(
        tmp_path / "run", progress=lambda done, total, note="": said.append((done, total, note))
    )
    assert [done for done, _, _ in said] == [2, 4, 6]
    assert said[0][1] == 6
    assert said[0][2].startswith("loss ")


def test_a_loss_that_is_not_a_number_stops_the_run_and_is_not_kept(tmp_path: Path) -> None:
    class Breaks(Line):
        def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
            loss, numbers = super().forward(batch)
            return (loss * torch.nan if self.value > 1 else loss), numbers

    run = tmp_path / "run"
    with pytest.raises(RunError, match=r"the loss of step 3 is nan; lower the learning rate, clip"):
        train(Breaks(), replace(PLAIN, checkpoint_every=1, lr=0.3), run, engine=slow_processor())
    assert [line["step"] for line in log_of(run)] == [1, 2]
    assert json.loads((run / "state.json").read_text())["step"] == 2


def test_nothing_random_leaks_out_of_the_loop_and_dropout_depends_on_the_seed(
    tmp_path: Path,
) -> None:
    class Drops(Line):
        def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
            return super().forward(nn.functional.dropout(batch, 0.5))

    before = torch.random.get_rng_state()
    weights: list[float] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        task = Drops()
        torch.rand(len(weights))  # the process's own numbers must not matter
        train(task, replace(PLAIN, seed=seed, batch=8), tmp_path / name, engine=slow_processor())
        weights.append(task.value)
    assert weights[0] == weights[1] != weights[2]
    torch.random.set_rng_state(before)
    run_line(tmp_path / "d")
    assert torch.equal(before, torch.random.get_rng_state())


def test_numbers_drawn_for_a_step_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    weights = []
    for name, every in (("a", 1), ("b", 3)):
        task = Line()
        task.noise = 0.3
        train(task, replace(PLAIN, log_every=every, checkpoint_every=every), tmp_path / name,
              engine=slow_processor())  # fmt: skip
        weights.append(task.value)
    assert weights[0] == weights[1]


# ------------------------------------------------------------------ measures


class Scores:
    """A measure that gives prepared values and remembers the weights it saw."""

    def __init__(self, task: Line, values: list[float]) -> None:
        self.task, self.values, self.weights = task, iter(values), list[float]()

    def __call__(self) -> float:
        assert not self.task.training
        self.weights.append(self.task.value)
        return next(self.values)


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    task = Line()
    scores = Scores(task, [0.5, 0.9, 0.7])
    metrics = train(task, replace(PLAIN, evaluate_every=2), tmp_path / "run",
                    engine=slow_processor(), measure=scores)  # fmt: skip
    assert (metrics["best"], metrics["best_step"], metrics["steps"]) == (0.9, 4, 6)
    assert task.value == scores.weights[1] != scores.weights[2]
    logged = [line.get("measure") for line in log_of(tmp_path / "run")]
    assert logged == [None, 0.5, None, 0.9, None, 0.7]


def test_a_run_stops_when_it_has_waited_long_enough(tmp_path: Path) -> None:
    task = Line()
    plan = replace(PLAIN, steps=20, evaluate_every=2, patience=2)
    scores = Scores(task, [0.5, 0.9, 0.7, 0.8])
    metrics = train(task, plan, tmp_path / "run", engine=slow_processor(), measure=scores)
    assert (metrics["steps"], metrics["best_step"]) == (8, 4)
    assert len(log_of(tmp_path / "run")) == 8


def test_a_measure_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the measure after step 6 is nan"):
        run_line(tmp_path / "run", measure=lambda: math.nan)


# ------------------------------------------------------------------ groups and averages


class TwoRates(Line):
    """Two weights, of which the second learns at half the rate and without decay."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Parameter(torch.tensor(1.0))

    def groups(self) -> list[Group]:
        return [Group([self.weight]), Group([self.other], factor=0.5, decay=False)]

    def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return self.weight + self.other + 0 * batch.sum(), {}


def test_groups_learn_at_rates_of_their_own(tmp_path: Path) -> None:
    task = TwoRates()
    plan = replace(PLAIN, steps=1, lr=0.25, weight_decay=1.0)
    train(task, plan, tmp_path / "run", engine=slow_processor())
    assert task.value == pytest.approx(-0.25)  # it was 0: a decay takes nothing from it
    assert task.other.item() == pytest.approx(1 - 0.125)
    made = make_optimiser(task, plan)
    assert [group["weight_decay"] for group in made.param_groups] == [1.0, 0.0]


AVERAGED = replace(PLAIN, ema=0.5)


def test_the_average_of_weights_is_measured_kept_and_left(tmp_path: Path) -> None:
    """Followed by hand: the share kept is at most (1 + t) / (10 + t)."""
    weights: list[float] = []

    class Tells(Line):
        def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
            if self.training:
                weights.append(self.value)
            return super().forward(batch)

    task = Tells()
    scores = Scores(task, [0.5, 0.9, 0.7])
    train(task, replace(AVERAGED, evaluate_every=2), tmp_path / "a", engine=slow_processor(),
          measure=scores)  # fmt: skip
    plain = Tells()
    train(plain, replace(AVERAGED, steps=6), tmp_path / "b", engine=slow_processor())
    mean, means = 0.0, []
    for step, weight in enumerate(weights[1:6]):
        kept = min(0.5, (1 + step) / (10 + step))
        mean = kept * mean + (1 - kept) * weight
        means.append(mean)
    assert scores.weights[:2] == pytest.approx([means[1], means[3]], rel=1e-5)
    assert task.value == scores.weights[1]
    assert plain.value == pytest.approx(scores.weights[2], rel=1e-6)


def test_an_average_is_taken_up_again(tmp_path: Path) -> None:
    whole, stopped = Line(), Line()
    train(whole, AVERAGED, tmp_path / "whole", engine=slow_processor())

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped, AVERAGED, tmp_path / "stopped", engine=slow_processor(), progress=stop)
    again = Line()
    train(again, AVERAGED, tmp_path / "stopped", engine=slow_processor())
    assert again.value == whole.value != run_line(tmp_path / "plain").value
    ours, theirs = checkpoint_of(tmp_path / "stopped"), checkpoint_of(tmp_path / "whole")
    assert ours.keys() == theirs.keys() >= {"average.weight"}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_runs_without_an_average_say_nothing_of_it(tmp_path: Path) -> None:
    run_line(tmp_path / "run")
    asked = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert "ema" not in asked["train"]


def test_an_earlier_stage_is_done_once_and_in_the_folder_of_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    calls = []

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 4:
            raise KeyboardInterrupt

    def two_stages(**options: Any) -> Line:
        task = Line()

        def before() -> None:
            calls.append(task.value)
            train(task, PLAIN, run / "first", engine=slow_processor())

        train(task, replace(PLAIN, steps=4, lr=0.1, seed=3), run, before=before,
              engine=slow_processor(), **options)  # fmt: skip
        return task

    with pytest.raises(KeyboardInterrupt):
        two_stages(progress=stop)
    made = two_stages()
    first = run_line(tmp_path / "alone")
    assert calls == [0]  # the second call found a checkpoint of the second stage
    assert checkpoint_of(run / "first")["task.weight"].item() == first.value
    by_hand = Line(first.value)
    train(by_hand, replace(PLAIN, steps=4, lr=0.1, seed=3), tmp_path / "by hand",
          engine=slow_processor())  # fmt: skip
    assert made.value == by_hand.value


# ------------------------------------------------------------------ stop and go on


def test_a_run_killed_twice_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Everything random is on: order, views, noise, dropout, partners, shuffle, Adam, queue."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    codes = in_processes(train_tiny_moco, [(whole,), (killed, 7)])
    codes += in_processes(train_tiny_moco, [(killed, 18)])
    assert codes == [0, -9, -9]
    assert len(log_of(killed)) == 18
    assert json.loads((killed / "state.json").read_text())["step"] == 16
    assert in_processes(train_tiny_moco, [(killed,)]) == [0]
    ours, theirs = checkpoint_of(killed), checkpoint_of(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    log = log_of(killed)
    assert [line["step"] for line in log] == list(range(1, RESUMED.steps + 1))
    assert [line["loss"] for line in log] == [line["loss"] for line in log_of(whole)]


def test_other_settings_do_not_continue_a_run(tmp_path: Path) -> None:
    run_line(tmp_path / "run", about={"data": "abc"})
    with pytest.raises(
        RunError, match=r"data was 'abc' and is now 'abd'; train\.lr was 0\.5 and is n"
    ):
        run_line(tmp_path / "run", replace(PLAIN, lr=0.1), about={"data": "abd"})
    run_line(
        tmp_path / "run", replace(PLAIN, log_every=3, checkpoint_every=5), about={"data": "abc"}
    )


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="not empty and not a run; name a new folder"):
        run_line(tmp_path)


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_line(run)
    with (run / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is training in this run"):
            run_line(run)


def test_a_damaged_checkpoint_is_not_continued(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_line(run)
    path = run / "checkpoint.safetensors"
    held, header = tensors.read_tensors(path)
    write_tensors(path, {**held, "task.weight": torch.tensor(9.0)}, header)
    with pytest.raises(
        RunError, match="does not match its own digest, so it was changed or damaged"
    ):
        run_line(run)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RunError, match=r"cannot continue: .*not a readable \.safetensors file"):
        run_line(run)
    (run / "settings.json").write_text("{")
    with pytest.raises(RunError, match=r"settings\.json: not readable as JSON"):
        run_line(run)


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def die_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die at the n-th file operation from now on."""
    calls: list[str] = []

    def guard(name: str, owner: Any) -> None:
        real = getattr(owner, name)

        def operation(*args: Any, **keywords: Any) -> Any:
            calls.append(name)
            if len(calls) == call:
                raise Killed
            return real(*args, **keywords)

        monkeypatch.setattr(owner, name, operation)

    guard("save_file", tensors)
    guard("fsync", os)
    for name in ("touch", "chmod", "replace", "write_text"):
        guard(name, Path)


@pytest.mark.parametrize("call", range(1, 13))
def test_a_save_that_is_killed_leaves_the_old_state_or_the_new(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(tmp_path / "run", {}) as folder:
        folder.save(1, {"w": torch.tensor(1.0)}, {"step": 1})
        die_at(call, monkeypatch)
        with pytest.raises(Killed):
            folder.save(2, {"w": torch.tensor(2.0)}, {"step": 2})
        monkeypatch.undo()
        loaded = folder.load()
        assert loaded is not None
        step, held, notes = loaded
        assert (float(held["w"]), notes["step"]) == (step, step)
        assert step in (1, 2)
        folder.save(3, {"w": torch.tensor(3.0)}, {"step": 3})
        assert json.loads((tmp_path / "run" / "state.json").read_text())["step"] == 3


def test_a_line_cut_short_by_a_kill_leaves_the_log(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", {}) as folder:
        folder.begin_log(0)
        folder.append_log([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}])
        with (tmp_path / "run" / "log.jsonl").open("a") as file:
            file.write('{"step": 3, "lo')
        assert [line["step"] for line in folder.log()] == [1, 2]
        folder.begin_log(1)
        assert [line["step"] for line in log_of(tmp_path / "run")] == [1]


# ------------------------------------------------------------------ several processes


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """Without batch normalisation the keys' shuffle, the queue and the gradients must agree."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    calls = [(shared, 0, 2, port, False), (shared, 1, 2, port, False), (alone, 0, 1, port, False)]
    assert in_processes(train_shared, calls) == [0, 0, 0]
    ours, theirs = checkpoint_of(shared), checkpoint_of(alone)
    assert ours.keys() == theirs.keys()
    start = tiny_moco(MocoSettings(queue=64), norm=False).state_dict()
    moved = 0.0
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=2e-5, rtol=1e-4, msg=name)
        if name.startswith("task.query"):
            moved += float((value - start[name.removeprefix("task.")]).abs().sum())
    assert moved > 0.1
    assert int(ours["task.pointer"]) == SHARED.steps * SHARED.batch % 64
    assert len(log_of(shared)) == SHARED.steps
    losses = [[line["loss"] for line in log_of(run)] for run in (shared, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# ------------------------------------------------------------------ feeds


def pixels(n: int = 5, side: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


def test_resident_and_streamed_pixels_are_the_same() -> None:
    array, rows = pixels(), np.array([4, 0, 2])
    held = resident([array[:3], array[3:]], 5, 4, torch.device("cpu"))
    read = Streamed(5, array.__getitem__, 4, torch.device("cpu"))
    assert torch.equal(held(rows), read(rows))
    assert len(held) == len(read) == 5
    whole = Resident(torch.from_numpy(array))
    np.testing.assert_array_equal(whole(rows).numpy(), array[rows])


def test_shrinking_averages_and_keeps_what_is_small_enough() -> None:
    image = torch.tensor([[[0, 100], [200, 100]]], dtype=torch.uint8)
    assert torch.equal(shrink(image, 2), image)
    assert shrink(image, 1).item() == 100


def test_pixels_fit_while_they_take_less_than_their_share_of_memory() -> None:
    cpu = torch.device("cpu")
    assert fits(1000, 64, cpu)
    assert not fits(10**12, 320, cpu)


def test_reading_ahead_keeps_the_order_and_passes_errors_on() -> None:
    assert list(read_ahead(lambda x: x * x, range(5), depth=2)) == [0, 1, 4, 9, 16]

    def read(item: int) -> int:
        if item == 2:
            raise UsageError("no such row")
        return item

    with pytest.raises(UsageError, match="no such row"):
        list(read_ahead(read, range(5)))
