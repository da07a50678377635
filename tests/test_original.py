"""MedSelect of 2021: its golden values, its loss, its draws, and its training in the one loop."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hilum.errors import UsageError
from hilum.select.original import (
    TRAINING,
    LstmSelector,
    OriginalTask,
    columns_beside,
    distinct,
    draw,
    log_multinomial,
    select_tasks,
    validation,
)
from hilum.select.reward import rewards
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import TaskSource
from hilum.training import TrainSettings, train
from hilum.training.schedule import learning_rate
from reference_tasks import every_count, hospital, multinomial
from reference_training import checkpoint_of, slow_processor

PLAN = TaskPlan(pool=20, query=10)


@pytest.fixture(scope="module")
def source() -> TaskSource:
    return hospital().source(PLAN)


@pytest.fixture(autouse=True)
def _own_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        yield


# --------------------------------------------------------------------------- the network


def test_the_network_is_the_published_one() -> None:
    network = LstmSelector(512)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    one_way = {
        "LSTM.weight_ih_l0": (1024, 512),
        "LSTM.weight_hh_l0": (1024, 256),
        "LSTM.bias_ih_l0": (1024,),
        "LSTM.bias_hh_l0": (1024,),
    }
    back = {f"{name}_reverse": shape for name, shape in one_way.items()}
    assert shapes == {**one_way, **back, "linear.weight": (1, 512), "linear.bias": (1,)}
    assert sum(p.numel() for p in network.parameters()) == 1_577_473
    assert network(torch.zeros(2, 7, 512)).shape == (2, 7)


def test_its_first_weights_come_from_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (LstmSelector(8, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_the_order_of_a_pool_changes_what_it_selects() -> None:
    """A defect that is kept; the selector of ours has none of it."""
    network, pool = LstmSelector(8), torch.randn(1, 20, 8)
    order = torch.randperm(20)
    assert not torch.allclose(network(pool[:, order]), network(pool)[:, order], atol=1e-5)


# --------------------------------------------------------------------------- log-probability


def test_the_log_probability_and_its_gradient_are_the_published_ones() -> None:
    logits = torch.log(torch.tensor([[1.0, 2, 3]], dtype=torch.float64) / 6).requires_grad_()
    found = log_multinomial(logits, torch.tensor([[1, 0, 2]]))
    assert float(found.detach()) == pytest.approx(-2.0794415, abs=5e-8)
    torch.autograd.backward(found)
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad, torch.tensor([[0.5, -1, 0.5]]), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 4), k=st.integers(1, 4))
def test_probabilities_of_all_counts_add_up_to_one(seed: int, n: int, k: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, n)) * 2)
    chances = logits.softmax(dim=1)[0].numpy()
    counts = list(every_count(n, k))
    found = log_multinomial(logits.expand(len(counts), n), torch.tensor(counts)).exp()
    np.testing.assert_allclose(found, [multinomial(chances, one) for one in counts], atol=1e-12)
    assert float(found.sum()) == pytest.approx(1)


# --------------------------------------------------------------------------- the loss


class Logits(nn.Module):
    """In the place of the network: the same logits for every task, to differentiate by hand."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, pools: Tensor) -> Tensor:
        return self.values.expand(len(pools), -1)


def test_the_loss_is_reinforce_against_one_random_draw(source: TaskSource) -> None:
    task = OriginalTask(source, 6)
    logits = torch.randn(20)
    task.selector = Logits(logits)  # type: ignore[assignment]
    batch = task.batch(np.arange(8), np.random.default_rng(0), slice(0, 8))
    torch.default_generator.manual_seed(1)
    loss, numbers = task(batch)
    torch.autograd.backward(loss)

    torch.default_generator.manual_seed(1)
    picks = torch.multinomial(logits.softmax(0).expand(8, -1), 6, replacement=True).numpy()
    tasks = source.batch(range(8))
    ours = rewards(source.vectors, tasks, picks)
    base = rewards(source.vectors, tasks, batch.at_random)
    counts = np.stack([np.bincount(row, minlength=20) for row in picks])
    chances = logits.softmax(0).numpy().astype(np.float64)
    logs = [np.log(multinomial(chances, tuple(row.tolist()))) for row in counts]
    assert float(loss.detach()) == pytest.approx(float(-((ours - base) * logs).mean()), abs=1e-5)
    slope = -((ours - base)[:, None] * (counts - 6 * chances)).mean(axis=0)
    np.testing.assert_allclose(task.selector.values.grad, slope, atol=1e-6)  # type: ignore[arg-type]
    expected = {
        "reward": ours.mean(), "random": base.mean(), "distinct": (counts > 0).sum(1).mean(),
    }  # fmt: skip
    assert {name: float(value) for name, value in numbers.items()} == pytest.approx(expected)


def test_a_processs_share_of_a_step_is_a_part_of_the_whole(source: TaskSource) -> None:
    task, rows = OriginalTask(source, 6), np.array([5, 2, 9, 11])
    whole = task.batch(rows, np.random.default_rng(3), slice(0, 4))
    for mine in (slice(0, 2), slice(2, 4)):
        part = task.batch(rows, np.random.default_rng(3), mine)
        for name, tensor in vars(part).items():
            assert torch.equal(tensor, getattr(whole, name)[mine])
    expected = source.draw(9)
    np.testing.assert_array_equal(whole.pool[2], expected.pool)
    np.testing.assert_array_equal(whole.query_labels[2], expected.query_labels)


def test_the_baseline_draws_different_images_all_equally_often(source: TaskSource) -> None:
    task = OriginalTask(source, 6)
    picks = task.batch(np.arange(2000), np.random.default_rng(0), slice(0, 2000)).at_random.numpy()
    assert (distinct(picks) == 6).all()
    counts = np.bincount(picks.ravel(), minlength=20)
    assert np.abs(counts - 600).max() < 4 * np.sqrt(2000 * 0.3 * 0.7)
    whole = OriginalTask(source, 20).batch(np.arange(2), np.random.default_rng(0), slice(0, 2))
    assert (whole.at_random.sort(dim=1).values == torch.arange(20)).all()


# --------------------------------------------------------------------------- age, sex, view


def test_columns_beside_are_sex_age_and_view() -> None:
    found = columns_beside([60.33, 78.25, np.nan], [1, 0, np.nan], [0, 1, np.nan])
    np.testing.assert_allclose(found, [[1, 0, 0], [0, 1, 1], [0, 0, 0]], atol=1e-6)
    assert found.dtype == np.float32


def test_the_network_sees_what_is_beside_and_the_reward_does_not(source: TaskSource) -> None:
    beside = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    task = OriginalTask(source, 6, beside=beside)
    assert task.selector.LSTM.input_size == 11
    seen: list[Tensor] = []
    task.selector = Logits(torch.zeros(20))  # type: ignore[assignment]
    task.selector.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    batch = task.batch(np.arange(3), np.random.default_rng(0), slice(0, 3))
    _, numbers = task(batch)
    rows = batch.pool.numpy()
    np.testing.assert_array_equal(seen[0], np.concatenate([source.vectors, beside], 1)[rows])
    plain = rewards(source.vectors, source.batch(range(3)), batch.at_random)
    assert float(numbers["random"]) == pytest.approx(plain.mean())
    with pytest.raises(UsageError, match=r"a row for each of 400 images; got shape \(399, 3\)"):
        OriginalTask(source, 6, beside=beside[1:])


# --------------------------------------------------------------------------- draws of a test


def test_draws_are_as_likely_as_the_softmax_says() -> None:
    logits = np.array([[0.0, 1, 2, -np.inf]])
    n = 3000
    picks = draw(np.repeat(logits, n, axis=0), 4, range(n))
    assert picks.shape == (n, 4)
    assert (np.diff(picks, axis=1) >= 0).all()
    chances = np.exp(logits[0]) / np.exp(logits[0]).sum()
    found = np.bincount(picks.ravel(), minlength=4) / (4 * n)
    assert np.abs(found - chances).max() < 4 * 0.5 / np.sqrt(4 * n)


@pytest.mark.parametrize(("budget", "expected"), [(10, 9.96), (20, 19.81), (200, 181.35)])
def test_few_of_many_uniform_draws_coincide(budget: int, expected: float) -> None:
    found = distinct(draw(np.zeros((200, 1000)), budget, range(200)))
    assert found.mean() == pytest.approx(expected, abs=4 * found.std() / np.sqrt(200))


def test_distinct_images_are_counted_in_any_order() -> None:
    assert distinct(np.array([[3, 1, 3, 3], [4, 3, 2, 1], [7, 7, 7, 7]])).tolist() == [2, 4, 1]


def test_a_tasks_draws_do_not_depend_on_its_batch(source: TaskSource) -> None:
    network = LstmSelector(8)
    together = list(select_tasks(network, source, range(70), 6))
    assert [len(tasks) for tasks, _ in together] == [64, 6]
    picks = np.concatenate([part for _, part in together])
    [(tasks, alone)] = select_tasks(network, source, [66], 6)
    np.testing.assert_array_equal(alone[0], picks[66])
    np.testing.assert_array_equal(tasks.pool[0], source.draw(66).pool)
    [(_, other)] = select_tasks(network, source, [66], 6, seed=1)
    assert not np.array_equal(other, alone)


def test_a_certain_network_selects_one_image_again_and_again(source: TaskSource) -> None:
    picks = draw(np.eye(20)[:3] * 1e4, 6, range(3))
    np.testing.assert_array_equal(picks, np.repeat([[0], [1], [2]], 6, axis=1))


# --------------------------------------------------------------------------- in the loop

SHORT = replace(
    TRAINING, epochs=0, steps=7, batch=4, checkpoint_every=2, log_every=1, evaluate_every=3
)


def test_the_rate_falls_tenfold_when_the_third_of_five_epochs_begins() -> None:
    total = TRAINING.total_steps(10_000)
    assert total == 780
    rates = [learning_rate(TRAINING, step, total) for step in (0, 311, 312, 779)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
    assert (TRAINING.optimiser, TRAINING.weight_decay, TRAINING.clip) == ("adam", 0, 0)


def run(source: TaskSource, folder: Path, plan: TrainSettings = SHORT, **options: Any) -> Any:
    task = OriginalTask(source, 6, tasks=16)
    measure = validation(task, hospital(seed=1).source(PLAN), 10)
    train(task, plan, folder, engine=slow_processor(), measure=measure, **options)
    return task


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def test_a_run_that_was_killed_ends_with_the_same_bits(source: TaskSource, tmp_path: Path) -> None:
    def die(step: int, *_: Any) -> None:
        if step == 5:
            raise Killed

    whole = run(source, tmp_path / "whole")
    with pytest.raises(Killed):
        run(source, tmp_path / "killed", progress=die)
    again = run(source, tmp_path / "killed")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    ours, theirs = checkpoint_of(tmp_path / "killed"), checkpoint_of(tmp_path / "whole")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not any("vectors" in name for name in theirs)


def test_training_makes_good_picks_likelier(source: TaskSource, tmp_path: Path) -> None:
    """One task, a high rate: its reward must rise."""
    task = OriginalTask(source, 3, tasks=4)
    plan = replace(SHORT, steps=60, lr=3e-3, schedule="constant", checkpoint_every=100)
    train(task, plan, tmp_path / "run", engine=slow_processor())
    before = validation(OriginalTask(source, 3), source, 4)()
    assert validation(task, source, 4)() > before + 0.02


def test_validation_is_the_mean_reward_with_the_same_numbers_each_time(source: TaskSource) -> None:
    task = OriginalTask(source, 6)
    measure = validation(task, source, 30, seed=4)
    parts = list(select_tasks(task.selector, source, range(30), 6, seed=4))
    expected = np.concatenate([rewards(source.vectors, *part) for part in parts])
    assert measure() == measure() == pytest.approx(expected.mean())


def test_validation_sees_what_is_beside_its_own_images(source: TaskSource) -> None:
    beside = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    task = OriginalTask(source, 2, beside=beside)
    torch.nn.init.constant_(task.selector.linear.weight, 3.0)  # far from uniform
    values = [validation(task, source, 40, beside=factor * beside)() for factor in (1.0, 9.0)]
    assert values[0] != values[1]
    with pytest.raises(RuntimeError, match="input"):
        validation(task, source, 40)()


@pytest.mark.parametrize("budget", [0, 21])
def test_a_budget_beyond_the_pool_is_refused(source: TaskSource, budget: int) -> None:
    with pytest.raises(UsageError, match=f"from 1 to the pool's 20 images; got {budget}"):
        OriginalTask(source, budget)


def test_vectors_that_may_not_be_written_to_are_copied() -> None:
    films = hospital()
    films.vectors.flags.writeable = False
    task = OriginalTask(films.source(PLAN), 6)
    np.testing.assert_array_equal(task.vectors, films.vectors)
