"""Telling like from unlike: what a batch is made of, its loss, stopping, several processes."""

import json
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hilum.encoders.image import to_input
from hilum.errors import UsageError
from hilum.training import TrainSettings, train
from hilum.training.likeness import LikenessSettings, likeness_loss, spread
from hilum.training.metric_recipes import (
    METRIC_RECIPES,
    BatchSettings,
    MetricRecipe,
)
from hilum.training.metric_task import LikenessBatch, MetricTask, draw_rows
from hilum.training.recipes import find, override
from hilum.training.views import ViewSettings
from reference_metric import (
    ANCHOR,
    LEARNT,
    TRIPLET,
    tiny_metric,
    train_shared_metric,
    train_tiny_metric,
)
from reference_training import checkpoint_of, in_processes, slow_processor


def a_batch(task: MetricTask, seed: int = 0, mine: slice = slice(None)) -> LikenessBatch:
    return task.batch(np.arange(8), np.random.default_rng(seed), mine)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------ batches


@given(
    sizes=st.lists(st.integers(4, 9), min_size=3, max_size=5), seed=st.integers(0, 99),
    kinds=st.integers(2, 3),
)  # fmt: skip
def test_a_batch_of_classes_holds_as_many_images_of_each(
    sizes: list[int], seed: int, kinds: int
) -> None:
    bounds = np.cumsum([0, *sizes])
    members = [np.arange(a, b) for a, b in pairwise(bounds)]
    drawn = draw_rows(
        members, BatchSettings(kinds, 4), int(bounds[-1]), np.random.default_rng(seed)
    )
    assert len(drawn) == len(set(drawn.tolist())) == 4 * kinds
    owner = np.searchsorted(bounds, drawn, side="right") - 1
    assert all(len(set(part)) == 1 for part in owner.reshape(kinds, 4))
    assert len(set(owner)) == kinds


def test_classes_and_their_images_are_each_as_likely() -> None:
    members = [np.arange(4), np.arange(4, 10), np.arange(10, 30)]
    rng = np.random.default_rng(0)
    drawn = [draw_rows(members, BatchSettings(2, 3), 30, rng) for _ in range(3000)]
    often = np.bincount(np.concatenate(drawn), minlength=30) / 3000
    expected = np.concatenate([np.full(len(own), 2 / 3 * 3 / len(own)) for own in members])
    np.testing.assert_allclose(often, expected, atol=0.03)


def test_an_image_with_two_findings_comes_once_and_others_fill_the_batch() -> None:
    members = [np.arange(4), np.arange(4), np.arange(1, 5)]
    sample = BatchSettings(kinds=3, each=3)
    for seed in range(20):
        drawn = draw_rows(members, sample, 12, np.random.default_rng(seed))
        assert len(drawn) == len(set(drawn.tolist())) == 9
        assert set(range(5)) <= set(drawn.tolist())


def test_a_share_of_a_batch_is_that_part_of_the_whole() -> None:
    task = tiny_metric(view=ViewSettings(rotate=5))
    whole, last = a_batch(task), a_batch(task, mine=slice(4, 8))
    assert torch.equal(last.pixels, whole.pixels[4:])
    assert torch.equal(last.positive, whole.positive)  # of all processes
    assert whole.view is not None
    assert last.view is not None
    np.testing.assert_array_equal(last.view.angle, whole.view.angle[4:])


def test_a_step_depends_on_its_random_numbers_alone() -> None:
    task = tiny_metric()
    assert torch.equal(a_batch(task, 4).pixels, a_batch(task, 4).pixels)
    assert not torch.equal(a_batch(task, 4).pixels, a_batch(task, 5).pixels)


def test_the_loss_of_a_step_is_that_of_its_images() -> None:
    for settings in (TRIPLET, LikenessSettings(loss="supcon"), ANCHOR):
        task = tiny_metric(settings).eval()
        batch = a_batch(task)
        loss, numbers = task(batch)
        vectors = task.module(to_input(batch.pixels, task.spec))
        expected = likeness_loss(settings, vectors, batch.positive, task.proxies)
        torch.testing.assert_close(loss, expected)
        apart = spread(vectors, batch.positive, settings.margin)
        torch.testing.assert_close(numbers, apart)
        assert task.distance is not None
        assert float(task.distance) == pytest.approx(float(apart["distance"]))


def test_a_backbone_learns_more_slowly_than_what_comes_after_it() -> None:
    task = tiny_metric(ANCHOR, rate=0.25)
    found = {id(w): group for group in task.groups() for w in group.weights}
    assert len(found) == len(list(task.parameters()))
    module: Any = task.module
    stem, layer = module.backbone.conv1[0].weight, module.projection
    assert task.proxies is not None
    assert (found[id(stem)].factor, found[id(stem)].decay) == (0.25, True)
    assert (found[id(layer.weight)].factor, found[id(layer.bias)].decay) == (1, False)
    assert found[id(task.proxies)].factor == 1


def test_likeness_is_learnt(tmp_path: Path) -> None:
    task = tiny_metric(n=24)
    plan = TrainSettings(steps=60, batch=8, lr=3e-3, optimiser="adam", log_every=60)
    train(task, plan, tmp_path / "run", engine=slow_processor())
    log = log_of(tmp_path / "run")
    first, last = (np.mean([line["active"] for line in part]) for part in (log[:5], log[-5:]))
    assert last < 0.5 * first
    assert log[-1]["distance"] > 0.5


# ------------------------------------------------------------------ stop and go on, and together


def test_a_run_killed_twice_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Everything random is on: rows, views, proxies, Adam, averages."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    codes = in_processes(train_tiny_metric, [(whole,), (killed, 4)])
    codes += in_processes(train_tiny_metric, [(killed, 8)])
    assert codes == [0, -9, -9]
    assert in_processes(train_tiny_metric, [(killed,)]) == [0]
    ours, theirs = checkpoint_of(killed), checkpoint_of(whole)
    assert ours.keys() == theirs.keys()
    assert "task.proxies" in ours
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    log = log_of(killed)
    assert [line["step"] for line in log] == list(range(1, LEARNT.steps + 1))
    assert [line["loss"] for line in log] == [line["loss"] for line in log_of(whole)]


@pytest.mark.parametrize("likeness", [TRIPLET, ANCHOR], ids=["triplet", "proxy-anchor"])
def test_two_processes_train_as_one_does(likeness: LikenessSettings, tmp_path: Path) -> None:
    """Pairs between the images of both, and batch statistics of all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    calls = [(shared, 0, 2, port), (shared, 1, 2, port), (alone, 0, 1, port)]
    codes = in_processes(train_shared_metric, [(*call, likeness) for call in calls])
    assert codes == [0, 0, 0]
    ours, theirs = checkpoint_of(shared), checkpoint_of(alone)
    assert ours.keys() == theirs.keys()
    start = tiny_metric(likeness).state_dict()
    moved = 0.0
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=2e-5, rtol=1e-3, msg=name)
        if name.startswith("task.") and value.is_floating_point():
            moved += float((value - start[name.removeprefix("task.")]).abs().sum())
    assert moved > 0.1
    losses = [[line["loss"] for line in log_of(run)] for run in (shared, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# ------------------------------------------------------------------ recipes


def test_x_mirs_recipe_is_what_was_published() -> None:
    recipe = METRIC_RECIPES["x-mir"]
    assert (recipe.architecture, recipe.size, recipe.projection) == ("densenet121", 224, 0)
    assert (recipe.likeness.loss, recipe.likeness.margin) == ("triplet", 0.2)
    assert (recipe.sample.kinds, recipe.sample.each, recipe.sample.draw) == (3, 16, "classes")
    plan = recipe.train
    assert (plan.steps, plan.batch, plan.lr, plan.schedule) == (620, 48, 1e-4, "constant")
    assert (plan.optimiser, plan.weight_decay, plan.clip, plan.ema) == ("adam", 0, 0, 0)
    assert (recipe.view, recipe.validate) == (ViewSettings(flip=0.5), "none")


@pytest.mark.parametrize("recipe", METRIC_RECIPES.values(), ids=list(METRIC_RECIPES))
def test_every_number_of_a_recipe_can_be_changed(recipe: MetricRecipe) -> None:
    changed = override(recipe, {"kinds": 2, "each": 5, "batch": 10, "loss": "supcon", "rotate": 3})
    assert (changed.train.batch, changed.likeness.loss, changed.view.rotate) == (10, "supcon", 3)
    assert find(recipe.name, METRIC_RECIPES) is recipe
    assert f"--recipe {recipe.name}" in recipe.about or recipe.name == "metric-small"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 40}, r"a batch is kinds × each = 48 images; got batch=40: give kinds and each"),
        ({"validate": "loss"}, "'loss' is not a way to validate; choose from map, none"),
        ({"projection": -1}, "projection is a length .* got -1 and 0.1"),
        ({"collapse": 2.5}, r"collapse a distance between unit vectors \(0 to 2\); got 0 and 2.5"),
        ({"backbone_rate": 0}, "backbone_rate is a share, 0 to 1; got 0"),
        ({"kinds": 1}, "a batch needs 2 kinds at least .* got kinds=1, each=16"),
        ({"draw": "pairs"}, "'pairs' is not a way to draw; choose from classes, findings"),
        ({"speed": 1}, "a recipe has no 'speed'; it has architecture"),
    ],
)
def test_recipes_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(METRIC_RECIPES["metric-small"], changes)


def test_an_unknown_recipe_is_told_the_others() -> None:
    with pytest.raises(UsageError, match="'best' is not a recipe; choose from x-mir, metric, metr"):
        find("best", METRIC_RECIPES)
