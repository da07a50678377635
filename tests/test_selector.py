"""The selector: laws of its network and of its choices, what it learns, and what it refuses."""

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from hilum.encoders.tensors import write_tensors
from hilum.errors import LeakError, UsageError, WeightsError
from hilum.select.pool import Pool, Settings
from hilum.select.reward import prototype_scores, rewards
from hilum.select.selector import (
    Attention,
    SelectorSpec,
    SetSelector,
    gumbel_top_k,
    load_selector,
    log_plackett_luce,
    relaxed_top_k,
    save_selector,
)
from hilum.select.selector_run import (
    FILE_NAME,
    RECIPES,
    train_selector,
)
from hilum.select.selector_task import Learning, SelectorTask, chosen_by, contrast, unit_vectors
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import TaskSource
from hilum.select.trained import selector_strategy, strangeness
from hilum.training.recipes import override

Vectors = NDArray[np.float32]


def awake(spec: SelectorSpec, seed: int = 0) -> SetSelector:
    """Return a selector whose logits differ, as if it had been trained."""
    selector = SetSelector(spec, seed).eval()
    with torch.no_grad():
        torch.nn.init.normal_(selector.judge.weight, generator=torch.Generator().manual_seed(seed))
    return selector


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------ the network


@given(st.integers(0, 1000), st.integers(2, 30))
def test_permuting_the_pool_permutes_the_logits(seed: int, n_pool: int) -> None:
    selector = awake(SelectorSpec(dim=6))
    unit = unit_vectors(np.random.default_rng(seed).normal(size=(n_pool, 6)).astype(np.float32))
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n_pool))
    with torch.no_grad():
        items = selector.describe(unit)
        plain = selector(items[None], torch.tensor([2]))[0]
        turned = selector(items[order][None], torch.tensor([2]))[0]
    torch.testing.assert_close(turned, plain[order], atol=1e-4, rtol=1e-4)


def test_others_share_the_attention_of_each_item() -> None:
    # shares add up to 1 over the others: to meet each of them twice is to meet them once
    torch.manual_seed(0)
    block = Attention(32, heads=2)
    items, others = (torch.randn(2, n, 32, generator=generator(n)) for n in (3, 5))
    with torch.no_grad():
        once, twice = block(items, others), block(items, torch.cat([others, others], dim=1))
        one = block(items, others[:, :1])
    torch.testing.assert_close(twice, once)
    assert (one - once).abs().max() > 1e-3


def test_pools_do_not_look_at_each_other() -> None:
    selector = awake(SelectorSpec(dim=5))
    items = selector.describe(unit_vectors(np.random.default_rng(0).normal(size=(40, 5))
                                           .astype(np.float32)))  # fmt: skip
    pools, budgets = torch.arange(40).view(2, 20), torch.tensor([3, 9])
    with torch.no_grad():
        both = selector(items[pools], budgets)
        alone = selector(items[pools[1:]], budgets[1:])
    torch.testing.assert_close(both[1:], alone)


def test_the_budget_and_the_rest_of_the_pool_matter() -> None:
    selector = awake(SelectorSpec(dim=5))
    items = selector.describe(unit_vectors(np.random.default_rng(1).normal(size=(20, 5))
                                           .astype(np.float32)))  # fmt: skip
    with torch.no_grad():
        first = selector(items[None], torch.tensor([2]))[0]
        other = selector(items[None], torch.tensor([10]))[0]
        fewer = selector(items[None, :10], torch.tensor([2]))[0]
    assert (first - other).abs().max() > 1e-3
    assert (first[:10] - fewer).abs().max() > 1e-3


def test_an_untrained_selector_has_no_preference() -> None:
    selector = SetSelector(SelectorSpec(dim=4))
    logits = selector(torch.randn(2, 7, 32, generator=generator()), torch.tensor([3, 3]))
    assert (logits == 0).all()


def test_the_same_seed_gives_the_same_network_and_leaves_torchs_own_alone() -> None:
    before = torch.random.get_rng_state()
    one, other = (SetSelector(SelectorSpec(dim=4), seed=3) for _ in range(2))
    assert torch.equal(one.describe_one.weight, other.describe_one.weight)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("dim", "layers", "width"), [(0, 2, 32), (4, 0, 32), (4, 2, 31)])
def test_a_network_that_cannot_be_is_refused(dim: int, layers: int, width: int) -> None:
    with pytest.raises(UsageError, match="a width that its heads divide; got dim="):
        SelectorSpec(dim=dim, layers=layers, width=width)


# ------------------------------------------------------------------------------ the choices


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(1, 3))
def test_log_probabilities_of_all_ordered_draws_sum_to_one(seed: int, n: int, k: int) -> None:
    logits = torch.randn(1, n, generator=generator(seed), dtype=torch.float64) * 3
    every = torch.tensor(list(permutations(range(n), min(k, n))))
    total = log_plackett_luce(logits, every[:, None, :]).exp().sum()
    assert float(total) == pytest.approx(1)


def test_a_hand_worked_draw_and_its_gradient() -> None:
    # chances 1/6, 2/6, 3/6; the last first, then the first of the two that are left: 1/2 * 1/3
    logits = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64).log().requires_grad_()
    found = log_plackett_luce(logits, torch.tensor([[[2, 0]]]))
    assert found.item() == pytest.approx(math.log(1 / 6))
    torch.autograd.backward(found.sum())
    # of -log(1 + 2 + 3) and of -log(1 + 2), by the logits, and the two picks
    expected = np.array([1 - 1 / 6 - 1 / 3, -2 / 6 - 2 / 3, 1 - 3 / 6])
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad[0].numpy(), expected)


def test_draws_are_distinct_and_follow_their_law() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    picks = gumbel_top_k(logits, 2, 40_000, generator())[:, 0]
    assert (picks[:, 0] != picks[:, 1]).all()
    for pair in permutations(range(4), 2):
        share = (picks == torch.tensor(pair)).all(dim=1).float().mean().item()
        law = log_plackett_luce(logits, torch.tensor([[pair]])).exp().item()
        assert share == pytest.approx(law, abs=4 * math.sqrt(law / 40_000))


@given(st.integers(0, 1000), st.integers(1, 8))
def test_the_relaxed_choice_adds_up_to_the_budget_and_tends_to_the_hard_one(
    seed: int, budget: int
) -> None:
    logits = torch.randn(2, 9, generator=generator(seed), dtype=torch.float64)
    soft = relaxed_top_k(logits, budget, 0.7)
    torch.testing.assert_close(soft.sum(dim=1), torch.full((2,), float(budget)).double())
    hard = torch.zeros_like(logits).scatter(1, logits.topk(budget, dim=1).indices, 1.0)
    ordered = logits.sort(dim=1, descending=True).values
    gap = (ordered[:, budget - 1] - ordered[:, budget]).min().item()
    torch.testing.assert_close(relaxed_top_k(logits, budget, gap / 60), hard, atol=1e-9, rtol=0)


def test_the_relaxed_choice_has_the_gradient_of_what_it_computes() -> None:
    logits = torch.randn(1, 6, generator=generator(), dtype=torch.float64, requires_grad=True)
    weights = torch.randn(6, generator=generator(1), dtype=torch.float64)

    def value(at: Tensor) -> Tensor:
        return (relaxed_top_k(at, 2, 0.5) * weights).sum()

    (slope,) = torch.autograd.grad(value(logits), logits)
    for at in range(6):
        step = torch.zeros(1, 6, dtype=torch.float64)
        step[0, at] = 1e-5
        with torch.no_grad():
            expected = (value(logits + step) - value(logits - step)) / 2e-5
        assert slope[0, at].item() == pytest.approx(expected.item(), abs=1e-6)


# ------------------------------------------------------------------------------ learning


def planted(seed: int, images: int = 300) -> tuple[Vectors, NDArray[np.float64], list[str]]:
    """Return images of which those with a flag show the finding clearly, and the rest hardly."""
    rng = np.random.default_rng(seed)
    present = rng.random((images, 2)) < 0.5
    clear = rng.random(images) < 0.3
    vectors = rng.normal(size=(images, 8)).astype(np.float32)
    vectors[:, :2] += np.where(clear[:, None], 6.0, 0.3) * (2 * present - 1)
    vectors[:, 2] = 4.0 * clear
    labels = np.column_stack([present, np.zeros(images)]).astype(np.float64)
    return vectors, labels, [f"{seed}-{row}" for row in range(images)]


def source(seed: int, plan: TaskPlan | None = None) -> TaskSource:
    vectors, labels, patients = planted(seed)
    plan = plan or TaskPlan(pool=60, query=40, negatives="rest")
    return TaskSource.of(vectors, labels, patients, ("A", "B", "No Finding"), plan, seed)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_a_selector_learns_which_images_tell_most(recipe: str, tmp_path: Path) -> None:
    validation = source(2)
    selector = train_selector(
        source(1), validation, tmp_path / "run", recipe, steps=60, batch=16, lr=1e-2,
        budgets=(4, 8), evaluate_every=20, validation_tasks=40, judged=(4, 8),
    )  # fmt: skip
    fresh = source(3)
    tasks = fresh.batch(range(200))
    unit, pools = unit_vectors(fresh.vectors), torch.from_numpy(tasks.pool)
    chosen = rewards(fresh.vectors, tasks, chosen_by(selector, unit, pools, 6).numpy())
    chance = rewards(fresh.vectors, tasks, np.tile(np.arange(6), (200, 1)))  # pools are shuffled
    gain = chosen - chance
    assert gain.mean() > 4 * gain.std() / math.sqrt(200)
    clear = fresh.vectors[tasks.pool[0][chosen_by(selector, unit, pools[:1], 6)[0]], 2]
    assert (clear > 1).mean() > 0.6
    assert load_selector(tmp_path / "run" / FILE_NAME).spec.recipe == recipe


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    settings = {"batch": 4, "budgets": (3, 5, 7), "evaluate_every": 3, "validation_tasks": 4,
                "judged": (3,), "checkpoint_every": 2}  # fmt: skip

    class StopError(Exception):
        pass

    def stop(done: int, total: int, note: str = "") -> None:
        if done >= 4:
            raise StopError(total, note)

    whole = train_selector(source(1), source(2), tmp_path / "a", steps=8, **settings)  # type: ignore[arg-type]
    with pytest.raises(StopError):
        train_selector(
            source(1), source(2), tmp_path / "b", steps=8, progress=stop, log_every=1,
            **settings,  # type: ignore[arg-type]
        )  # fmt: skip
    again = train_selector(source(1), source(2), tmp_path / "b", steps=8, **settings)  # type: ignore[arg-type]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_the_reward_in_training_is_that_of_the_predictor() -> None:
    task = SelectorTask(SetSelector(SelectorSpec(dim=8)), source(1), Learning(budgets=(5,)))
    tasks = task.source.batch(range(3))
    picks = np.stack([np.random.default_rng(at).permutation(60)[:5] for at in range(3)])
    rows = np.take_along_axis(tasks.pool, picks, axis=1)
    labels = np.take_along_axis(tasks.pool_labels, picks, axis=1).astype(np.float64)
    expected = prototype_scores(task.source.vectors[tasks.query], task.source.vectors[rows], labels)
    shares = contrast(torch.from_numpy(labels).float())
    direction = torch.einsum("tk,tkd->td", shares, task.unit[rows])
    ours = torch.einsum("tqd,td->tq", task.unit[tasks.query], direction)
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)


def test_an_absent_class_has_no_share() -> None:
    shares = contrast(torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]))
    assert shares.tolist() == [[0.5, 0.5], [-0.5, -0.5], [1.0, -1.0]]


def test_patients_on_both_sides_are_a_leak(tmp_path: Path) -> None:
    with pytest.raises(LeakError, match="300 patients are in both source 1 and source 2"):
        train_selector(source(1), source(1), tmp_path / "run")


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'greedy' is not a route; choose from policy, relaxed"):
        Learning(route="greedy")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="budgets must be 1 or more"):
        Learning(budgets=())
    with pytest.raises(UsageError, match="samples must be 2 or more"):
        Learning(samples=1)
    with pytest.raises(UsageError, match="a budget of 60 leaves nothing to choose in a pool of 60"):
        SelectorTask(SetSelector(SelectorSpec(dim=8)), source(1), Learning(budgets=(60,)))
    with pytest.raises(UsageError, match="'best' is not a recipe; choose from policy, relaxed"):
        train_selector(source(1), source(2), tmp_path / "run", "best")
    with pytest.raises(UsageError, match="a recipe has no 'colour'; it has beside, width, heads"):
        train_selector(source(1), source(2), tmp_path / "run", colour=1)
    narrow = TaskSource.of(*_narrow(), ("A", "B", "No Finding"), TaskPlan(60, 40, 0.5, "rest"), 9)
    with pytest.raises(UsageError, match=r"training embeddings have 8 numbers and .* validation 3"):
        train_selector(source(1), narrow, tmp_path / "run")


def test_a_recipe_of_a_selector_is_changed_as_any_other() -> None:
    found = override(
        RECIPES["policy"], {"epochs": 2, "judged": [5, 10], "budgets": [3], "width": 8}
    )
    assert (found.train.epochs, found.train.steps) == (2, 0)
    assert (found.judged, found.learning.budgets, found.width) == ((5, 10), (3,), 8)


def _narrow() -> tuple[Vectors, NDArray[np.float64], list[str]]:
    vectors, labels, patients = planted(9)
    return vectors[:, :3], labels, patients


# ------------------------------------------------------------------------------ files, strategy


def test_a_selector_survives_its_file(tmp_path: Path) -> None:
    spec = SelectorSpec(dim=4, encoder="abc", recipe="policy", findings=("A",), held_out=("B",))
    selector = awake(spec)
    save_selector(selector, tmp_path / "s.safetensors")
    again = load_selector(tmp_path / "s.safetensors")
    assert again.spec == spec
    for name, tensor in selector.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_other_files_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    write_tensors(path, {"a": torch.zeros(1)}, {"kind": "encoder"})
    with pytest.raises(WeightsError, match="not a selector; `hilum selector train` writes"):
        load_selector(path)
    write_tensors(path, {"a": torch.zeros(1)}, {"kind": "selector", "spec": {"dim": 4}})
    with pytest.raises(WeightsError, match="a damaged selector: "):
        load_selector(path)


def pool(n: int, dim: int = 4, **more: NDArray[np.int64]) -> Pool:
    vectors = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    return Pool(vectors, tuple(map(str, range(n))), **more)  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "selector.safetensors"
    save_selector(awake(SelectorSpec(dim=4, encoder="e" * 64, pool=20)), path)
    return path


@pytest.mark.parametrize(("n", "budget"), [(12, 1), (12, 12), (40, 5), (200, 30)])
def test_the_strategy_picks_distinct_open_images_best_first(
    weights: Path, n: int, budget: int
) -> None:
    labelled = np.array([0, 3]) if n > 12 else np.array([], dtype=np.int64)
    strategy = selector_strategy(weights)
    picks = strategy.pick(
        pool(n, labelled=labelled), budget, Settings(), np.random.default_rng(0)
    )  # fmt: skip
    assert len(set(picks.rows.tolist())) == budget == len(picks.scores) == len(picks.why)
    assert not set(picks.rows.tolist()) & set(labelled.tolist())
    again = strategy.pick(pool(n, labelled=labelled), budget, Settings(), np.random.default_rng(0))
    assert (picks.rows == again.rows).all()
    if n <= 40:
        assert (np.diff(picks.scores) <= 0).all()


def test_the_strategy_looks_at_a_part_of_a_large_pool_of_the_size_it_knows(weights: Path) -> None:
    picks = selector_strategy(weights).pick(pool(500), 3, Settings(), np.random.default_rng(1))
    assert all(text.endswith("of the 20 images that the selector saw") for text in picks.why)
    assert picks.rows.max() > 20  # a random part, not the first


def test_a_part_with_too_few_patients_is_followed_by_others(weights: Path) -> None:
    patients = np.repeat(np.arange(6), [95, 1, 1, 1, 1, 1])
    picks = selector_strategy(weights).pick(
        pool(100, patients=patients), 6, Settings(per_patient=1), np.random.default_rng(0)
    )
    assert sorted(patients[picks.rows]) == [0, 1, 2, 3, 4, 5]


def test_embeddings_of_another_encoder_are_refused(weights: Path) -> None:
    with pytest.raises(UsageError, match="trained on embeddings of the encoder eeeeeeeeeeee…, the"):
        selector_strategy(weights, encoder="f" * 64)
    selector_strategy(weights, encoder="e" * 64)
    with pytest.raises(UsageError, match=r"embeddings of 4 numbers, the pool's have 5"):
        selector_strategy(weights).pick(pool(9, 5), 2, Settings(), np.random.default_rng(0))


def test_a_pool_with_nothing_to_choose_at_any_judged_budget_is_refused(tmp_path: Path) -> None:
    plan = TaskPlan(pool=8, query=10, negatives="rest")
    sources = (source(1, plan), source(2, plan))
    with pytest.raises(UsageError, match=r"a pool of 8 leaves nothing .*\(10, 20\): take larger"):
        train_selector(*sources, tmp_path / "run", steps=1, budgets=(3,), judged=(10, 20))


def test_a_recipe_that_looks_at_people_needs_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the recipe looks at age, sex: give people"):
        train_selector(source(1), source(2), tmp_path / "run", beside=["age", "sex"])


def test_images_unlike_those_that_taught_are_told_of(weights: Path) -> None:
    selector = load_selector(weights)
    unit = unit_vectors(np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32))
    selector.standardise_by(unit)
    assert strangeness(selector, unit[:60]) == ""
    assert strangeness(selector, unit[:1]) == ""  # how far one image lies is chance
    moved = torch.nn.functional.normalize(unit + 1, dim=1)
    assert "standard deviations from those that taught the selector" in strangeness(selector, moved)
    save_selector(selector, weights)
    strategy, names = selector_strategy(weights), tuple(map(str, range(60)))
    for vectors, told in ((unit[:60], False), (moved[:60], True)):
        picks = strategy.pick(
            Pool(vectors.numpy(), names), 2, Settings(), np.random.default_rng(0)
        )  # fmt: skip
        assert bool(picks.note) == told
