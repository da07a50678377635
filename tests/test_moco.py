from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from array_pretraining import pretrain_pixels
from hilum.encoders import load_encoder, random_encoder, save_encoder
from hilum.errors import RunError, UsageError, WeightsError
from hilum.training import RECIPES, train
from hilum.training.moco import (
    Moco,
    MocoSettings,
    PairBatch,
    Partners,
    contrast,
    expected_at_random,
    follow,
    projection_head,
    queue_columns,
)
from hilum.training.recipes import find, override
from hilum.training.schedule import TrainSettings
from hilum.training.views import View, ViewSettings
from reference_training import (
    blobs,
    contrastive_loss,
    slow_processor,
    tiny_backbone,
    tiny_moco,
)


def unit(rows: int, dim: int, seed: int = 0) -> Tensor:
    return functional.normalize(
        torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))
    )


def a_batch(moco: Moco, rows: list[int], seed: int = 0) -> PairBatch:
    batch = moco.batch(np.array(rows), np.random.default_rng(seed), slice(None))
    assert isinstance(batch, PairBatch)
    return batch


# ------------------------------------------------------------------ the queue


def test_new_keys_replace_the_oldest_and_go_round() -> None:
    columns = [queue_columns(torch.tensor(p), 2, 5).tolist() for p in (0, 2, 4)]
    assert columns == [[0, 1], [2, 3], [4, 0]]


def test_the_queue_moves() -> None:
    """Worked by hand: five places, two keys a step, so the third step comes round."""
    moco = tiny_moco(MocoSettings(queue=5, projection=4))
    start = moco.queue.clone()
    assert moco.queue.norm(dim=0).tolist() == pytest.approx([1] * 5)
    pairs = [(torch.full((2, 4), float(s)), torch.tensor([s, s + 10])) for s in (1, 2, 3)]
    moco._enqueue(*pairs[0])
    assert moco.pointer == 2
    assert torch.equal(moco.queue[:, :2], torch.ones(4, 2))
    assert torch.equal(moco.queue[:, 2:], start[:, 2:])
    moco._enqueue(*pairs[1])
    moco._enqueue(*pairs[2])
    assert moco.pointer == 1
    assert moco.queue[0].tolist() == [3, 1, 2, 2, 3]
    assert moco.queue_owners.tolist() == [13, 11, 2, 12, 3]


def test_a_step_puts_its_own_keys_into_the_queue() -> None:
    moco = tiny_moco(MocoSettings(queue=16, projection=4), norm=False, view=ViewSettings())
    before = moco.queue.clone()
    moco(a_batch(moco, [3, 1, 2]))
    keys = moco._project(moco.key_encoder, moco.key_head, moco._see(*_key_side(moco, [3, 1, 2])))
    torch.testing.assert_close(moco.queue[:, :3], keys.detach().T)
    assert torch.equal(moco.queue[:, 3:], before[:, 3:])
    assert moco.pointer == 3
    moco(a_batch(moco, [4, 5]))
    assert moco.pointer == 5
    torch.testing.assert_close(moco.queue[:, :3], keys.detach().T)


def _key_side(moco: Moco, rows: list[int]) -> tuple[Tensor, View]:
    batch = a_batch(moco, rows)
    return batch.key, batch.key_view


def test_a_batch_larger_than_the_queue_is_refused() -> None:
    with pytest.raises(UsageError, match="a batch of 6 does not fit in a queue of 5"):
        a_batch(tiny_moco(MocoSettings(queue=5)), [0, 1, 2, 3, 4, 5])


# ------------------------------------------------------------------ the key encoder


def test_the_key_encoder_follows_by_one_part_in_ten() -> None:
    key, query = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    key.weight.data.fill_(1.0)
    query.weight.data.fill_(3.0)
    follow(key, query, 0.9)
    assert key.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 3)
    assert query.weight.item() == 3


def test_running_statistics_are_not_averaged_but_evolve_by_their_own_batches() -> None:
    key, query = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    query.running_mean.fill_(5.0)  # type: ignore[union-attr]
    follow(key, query, 0.5)
    assert key.running_mean.item() == 0  # type: ignore[union-attr]

    moco = tiny_moco(MocoSettings(queue=16))
    moco(a_batch(moco, list(range(8))))
    own, other = moco.key_encoder[1], moco.query_encoder[1]  # type: ignore[index]
    assert own.num_batches_tracked == other.num_batches_tracked == 1
    assert not torch.equal(own.running_mean, other.running_mean)


def test_the_key_encoder_starts_as_a_copy_and_gets_no_gradient() -> None:
    moco = tiny_moco(MocoSettings(queue=16))
    for ours, theirs in zip(moco.key_encoder.parameters(), moco.query_encoder.parameters(),
                            strict=True):  # fmt: skip
        assert torch.equal(ours, theirs)
    loss, _ = moco(a_batch(moco, list(range(8))))
    loss.backward()
    followers = [*moco.key_encoder.parameters(), *moco.key_head.parameters()]
    assert not any(p.requires_grad for p in followers)  # so no optimiser holds them
    assert all(p.grad is None for p in moco.key_encoder.parameters())
    assert all(p.grad is None for p in moco.key_head.parameters())
    assert all(p.grad is not None for p in moco.query_encoder.parameters())


def test_the_head_is_linear_relu_linear() -> None:
    first, middle, last = projection_head(6, 3)
    assert isinstance(middle, nn.ReLU)
    assert [part.weight.shape for part in (first, last)] == [(6, 6), (3, 6)]


# ------------------------------------------------------------------ shuffled batch statistics


@pytest.mark.parametrize("splits", [1, 2, 3])
def test_the_shuffle_is_undone(splits: int) -> None:
    """Without batch normalisation neither shuffle nor groups may change anything."""
    moco = tiny_moco(MocoSettings(queue=16, bn_splits=splits), norm=False)
    images = torch.randn(7, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    plain = moco._project(moco.key_encoder, moco.key_head, images)
    torch.testing.assert_close(moco._keys(images, order), plain, atol=1e-5, rtol=1e-5)


def test_each_group_of_the_shuffled_batch_is_normalised_for_itself() -> None:
    moco = tiny_moco(MocoSettings(queue=16, bn_splits=2))
    images = torch.randn(6, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([5, 0, 2, 1, 4, 3])
    expected = torch.empty(6, 128)
    for group in (order[:3], order[3:]):
        expected[group] = moco._project(moco.key_encoder, moco.key_head, images[group]).detach()
    keys = moco._keys(images, order)
    torch.testing.assert_close(keys, expected)
    whole = moco._project(moco.key_encoder, moco.key_head, images)
    assert not torch.allclose(keys, whole, atol=1e-2)


# ------------------------------------------------------------------ the loss


def test_the_loss_is_the_double_loop_over_queries_and_keys() -> None:
    queries, keys, queue = unit(5, 8, 1), unit(5, 8, 2), unit(11, 8, 3).T
    logits = contrast(queries, keys, queue, 0.2)
    ours = functional.cross_entropy(logits, torch.zeros(5, dtype=torch.int64)).item()
    assert ours == pytest.approx(contrastive_loss(queries, keys, queue, 0.2), rel=1e-5)


def test_vectors_that_carry_nothing_cost_the_logarithm_of_all_choices() -> None:
    """The loss is ln(K + 1) where nothing is known (in the limit of a high temperature)."""
    logits = contrast(unit(64, 32, 1), unit(64, 32, 2), unit(4096, 32, 3).T, 50.0)
    loss = functional.cross_entropy(logits, torch.zeros(64, dtype=torch.int64)).item()
    assert loss == pytest.approx(expected_at_random(4096), abs=2e-3)
    assert expected_at_random(4096) == pytest.approx(8.3180, abs=1e-4)


def test_keys_of_the_same_patient_are_no_negatives() -> None:
    queries, queue = unit(2, 8, 1), unit(3, 8, 3).T
    spared = torch.tensor([[True, False, False], [False, False, False]])
    logits = contrast(queries, queries, queue, 0.2, spared)
    assert logits[0, 1] == -torch.inf
    fewer = contrast(queries[:1], queries[:1], queue[:, 1:], 0.2)
    torch.testing.assert_close(logits[0, [0, 2, 3]], fewer[0])


def test_a_step_spares_what_the_queue_holds_of_its_own_patients() -> None:
    settings_ = MocoSettings(queue=8, spare_own=True)
    owners = np.arange(64) // 2
    losses = {}
    for spare in (True, False):
        moco = tiny_moco(replace(settings_, spare_own=spare), norm=False, owners=owners)
        moco(a_batch(moco, [0, 2, 4, 6, 8, 10, 12, 14]))
        losses[spare] = moco(a_batch(moco, [1, 3, 5, 7, 9, 11, 13, 15]))[0].item()
    assert losses[True] < losses[False] - 0.01


def test_the_loss_falls_below_chance_on_data_with_structure(tmp_path: Path) -> None:
    """A queue that stands still, as in lightly 1.4, keeps the loss at ln(K + 1) for ever."""
    moco = tiny_moco(MocoSettings(queue=64, temperature=0.2), n=96,
                     view=ViewSettings(crop=(0.6, 1.0), contrast=0.2))  # fmt: skip
    plan = TrainSettings(steps=60, batch=32, lr=1e-2, optimiser="adam")
    metrics = train(moco, plan, tmp_path / "run", engine=slow_processor())
    assert metrics["loss"] < expected_at_random(64) - 1.0


# ------------------------------------------------------------------ patients


@given(owners=st.lists(st.integers(0, 5), min_size=1, max_size=30), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_partner_is_another_image_of_the_same_patient(owners: list[int], seed: int) -> None:
    owner = np.array(owners)
    rows = np.random.default_rng(seed).permutation(len(owner))
    partners = Partners(owner).draw(rows, np.random.default_rng(seed), 1.0)
    assert (owner[partners] == owner[rows]).all()
    alone = np.array([owners.count(owners[row]) == 1 for row in rows])
    assert ((partners == rows) == alone).all()


def test_partners_are_drawn_as_often_as_asked_and_evenly() -> None:
    partners = Partners(np.zeros(4, np.int64))
    rng = np.random.default_rng(0)
    drawn = np.stack([partners.draw(np.array([2]), rng, 0.6) for _ in range(3000)])[:, 0]
    share = np.bincount(drawn, minlength=4) / 3000
    np.testing.assert_allclose(share, [0.2, 0.2, 0.4, 0.2], atol=0.03)


def test_the_second_view_comes_from_the_partner() -> None:
    moco = tiny_moco(MocoSettings(queue=16, same_patient=1.0), owners=np.arange(64) // 2)
    batch = a_batch(moco, [0, 5])
    assert torch.equal(batch.query, moco.feed(np.array([0, 5])))
    assert torch.equal(batch.key, moco.feed(np.array([1, 4])))
    assert batch.owners.tolist() == [0, 2]


# ------------------------------------------------------------------ recipes


def test_the_published_recipe_has_the_published_numbers() -> None:
    recipe = RECIPES["moco-cxr"]
    assert (recipe.architecture, recipe.size, recipe.channels) == ("resnet18", 320, 3)
    assert (recipe.mean, recipe.std) == ((0.5020,) * 3, (0.085585,) * 3)
    moco, plan, view = recipe.moco, recipe.train, recipe.view
    assert (moco.queue, moco.momentum, moco.temperature) == (24576, 0.999, 0.2)
    assert (plan.epochs, plan.batch, plan.lr, plan.weight_decay) == (20, 16, 1e-4, 1e-4)
    assert (plan.optimiser, plan.schedule, plan.milestones) == ("adam", "step", (0.6, 0.9))
    assert (view.flip, view.rotate, view.tone * view.contrast) == (0.5, 10, 0)
    assert moco.queue % plan.batch == 0


def test_a_recipe_is_changed_by_the_names_of_its_fields() -> None:
    recipe = override(RECIPES["moco-small"], {"steps": 9, "queue": 64, "rotate": 5, "size": 48})
    assert (recipe.train.steps, recipe.train.epochs) == (9, 0)
    assert (recipe.moco.queue, recipe.view.rotate, recipe.size) == (64, 5, 48)
    assert recipe.stored == 64
    grey = override(RECIPES["moco-cxr"], {"channels": 1})
    assert grey.mean == pytest.approx((0.502,))
    assert grey.std == pytest.approx((0.085585,))


def test_what_a_recipe_does_not_have_is_refused() -> None:
    with pytest.raises(
        UsageError, match="'moco-big' is not a recipe; choose from moco-small, moco"
    ):
        find("moco-big", RECIPES)
    with pytest.raises(UsageError, match=r"a recipe has no 'beta'; it has architecture, .*queue"):
        override(RECIPES["moco-small"], {"beta": 1})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("queue", 0, "queue must be at least 1; got 0"),
        ("momentum", 1.5, "momentum must be from 0 to 1; got 1.5"),
        ("temperature", 0.0, r"temperature must be positive; got 0\.0"),
    ],
)
def test_settings_outside_their_range_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(RECIPES["moco-small"], {field: value})


# ------------------------------------------------------------------ from pixels to an encoder

SMALL: dict[str, Any] = {
    "architecture": "test_resnet",
    "size": 16,
    "margin": 1,
    "batch": 8,
    "queue": 16,
    "precision": "fp32",
    "steps": 2,
}


def test_pixels_become_an_encoder_in_a_run_folder(tmp_path: Path) -> None:
    pixels = blobs(24, size=16)
    encoder = pretrain_pixels(
        pixels, tmp_path / "run", groups=list("ab" * 12), device="cpu", **SMALL
    )
    again = load_encoder(tmp_path / "run", engine=slow_processor())
    assert again.fingerprint == encoder.fingerprint
    assert again.spec.recipe == "moco-small"
    np.testing.assert_array_equal(again.encode_images(pixels), encoder.encode_images(pixels))
    control = random_encoder("test_resnet", 0, size=16, engine=slow_processor())
    assert control.fingerprint != encoder.fingerprint
    repeated = pretrain_pixels(
        pixels, tmp_path / "run", groups=list("ab" * 12), device="cpu", **SMALL
    )
    assert repeated.fingerprint == encoder.fingerprint


def test_other_pixels_do_not_continue_a_run(tmp_path: Path) -> None:
    pretrain_pixels(blobs(24, size=16), tmp_path / "run", device="cpu", **SMALL)
    with pytest.raises(RunError, match=r"started with other settings \(data was '.*name a new fol"):
        pretrain_pixels(blobs(24, seed=1, size=16), tmp_path / "run", device="cpu", **SMALL)


def test_pretraining_starts_from_the_weights_it_is_told_to(tmp_path: Path) -> None:
    start = random_encoder("test_resnet", 7, size=16, engine=slow_processor())
    path = save_encoder(start, tmp_path / "start.safetensors")
    images = blobs(8, size=16)
    still = pretrain_pixels(
        images, tmp_path / "run", init=str(path), lr=0.0, device="cpu", **{**SMALL, "steps": 1}
    )
    for ours, theirs in zip(still.module.parameters(), start.module.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    other = {**SMALL, "architecture": "resnet18"}
    with pytest.raises(UsageError, match="it is a test_resnet with 1 channels, the recipe asks"):
        pretrain_pixels(images, tmp_path / "other", init=str(path), **other)
    absent = str(tmp_path / "absent.safetensors")
    with pytest.raises(WeightsError, match=r"absent\.safetensors: there is no such file"):
        pretrain_pixels(images, tmp_path / "other", init=absent, **SMALL)


def test_the_process_keeps_its_own_random_numbers(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    pretrain_pixels(blobs(8, size=16), tmp_path / "run", device="cpu", **SMALL)
    tiny_backbone()
    assert torch.equal(before, torch.random.get_rng_state())
