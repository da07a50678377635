"""Learning from labels: batches, rates, freezing, batch statistics, several processes."""

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from hilum.encoders.image import to_input
from hilum.encoders.tensors import read_tensors
from hilum.errors import UsageError
from hilum.training import TrainSettings, train
from hilum.training.losses import LossSettings
from hilum.training.supervised_recipes import TeachSettings
from hilum.training.supervised_task import LabelBatch, SupervisedTask, chances, hide
from hilum.training.synced import SyncedBatchNorm, batch_norms, synchronise
from hilum.training.views import ViewSettings
from reference_supervised import (
    GROUPS,
    LEARNT,
    PLAIN_HEAD,
    SHARED,
    tiny_supervised,
    train_shared_supervised,
    train_tiny_supervised,
)
from reference_training import checkpoint_of, in_processes, slow_processor

NAN = np.nan


def a_batch(task: SupervisedTask, rows: list[int], mine: slice = slice(None)) -> LabelBatch:
    return task.batch(np.array(rows), np.random.default_rng(0), mine)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------ batches


def test_a_share_of_a_batch_is_that_part_of_the_whole() -> None:
    task = tiny_supervised(
        teach=TeachSettings(balanced=0.5, missing=0.4), view=ViewSettings(rotate=5)
    )
    rows = [5, 3, 8, 1, 9, 0]
    whole, last = a_batch(task, rows), a_batch(task, rows, slice(3, 6))
    for name in ("pixels", "features", "targets"):
        torch.testing.assert_close(
            getattr(last, name), getattr(whole, name)[3:], equal_nan=True, rtol=0, atol=0
        )
    torch.testing.assert_close(last.counts, whole.counts / 2)
    assert whole.view is not None
    assert last.view is not None
    np.testing.assert_array_equal(last.view.angle, whole.view.angle[3:])


def test_the_loss_of_a_step_is_that_of_its_known_labels() -> None:
    task = tiny_supervised()
    batch = a_batch(task, [3, 1, 4, 15, 9, 2])
    assert batch.view is None
    loss, numbers = task(batch)
    logits = task.module(to_input(batch.pixels, task.spec.image), batch.features)
    known = ~batch.targets.isnan()
    expected = functional.binary_cross_entropy_with_logits(logits[known], batch.targets[known])
    torch.testing.assert_close(loss, expected)
    assert {name: round(value.item(), 6) for name, value in numbers.items()} == {
        "weight_image": 0.5, "weight_features": 0.5, "mix_scale": 1,
    }  # fmt: skip


def test_inputs_are_hidden_whole_and_as_often_as_asked() -> None:
    features = np.zeros((4000, 4), np.float32)
    hide(features, list(GROUPS.values()), 0.3, np.random.default_rng(0))
    hidden = np.isnan(features)
    np.testing.assert_array_equal(hidden[:, 0], hidden[:, 1])
    np.testing.assert_array_equal(hidden[:, 2], hidden[:, 3])
    assert hidden[:, 0].mean() == pytest.approx(0.3, abs=0.03)
    assert (hidden[:, 0] & hidden[:, 2]).mean() == pytest.approx(0.09, abs=0.02)
    task = tiny_supervised(teach=TeachSettings(missing=0.99))
    before = task.given.features.copy()
    a_batch(task, [0, 1, 2])
    np.testing.assert_array_equal(task.given.features, before)  # hidden in the copy alone


def test_chances_worked_by_hand() -> None:
    """Two findings: of the first two positives, of the second one; a quarter by image."""
    targets = np.array([[1, 0], [1, NAN], [0, 1], [0, 0]], np.float32)
    by_finding = np.array([1 / 4, 1 / 4, 1 / 2, 0])
    np.testing.assert_allclose(chances(targets, 1.0), by_finding)
    np.testing.assert_allclose(chances(targets, 0.75), 0.25 / 4 + 0.75 * by_finding)


def test_balanced_batches_have_their_frequencies_known_to_the_loss() -> None:
    task = tiny_supervised(teach=TeachSettings(balanced=0.6), n=40)
    rng = np.random.default_rng(0)
    drawn = [task.batch(np.arange(40), rng, slice(None)).targets for _ in range(60)]
    seen = torch.cat(drawn).nanmean(dim=0)
    torch.testing.assert_close(task.loss.frequency, seen, atol=0.03, rtol=0)
    assert not torch.allclose(task.loss.frequency, tiny_supervised(n=40).loss.frequency, atol=0.03)


# ------------------------------------------------------------------ what learns, and how fast


def test_rates_fall_with_depth_and_biases_do_not_decay() -> None:
    task = tiny_supervised(teach=TeachSettings(backbone_rate=0.5, layer_decay=0.1))
    found = {id(w): group for group in task.groups() for w in group.weights}
    assert len(found) == len(list(task.parameters()))
    backbone: Any = task.module.backbone
    last, stem = found[id(backbone.layer4[0].conv1.weight)], found[id(backbone.conv1[0].weight)]
    assert (last.factor, stem.factor) == pytest.approx((0.5, 0.5 * 0.1**4))
    assert last.decay
    assert not found[id(backbone.layer4[0].bn1.weight)].decay
    head: Any = task.module.head[-1]
    assert (found[id(head.weight)].factor, found[id(head.weight)].decay) == (1, True)
    assert not found[id(head.bias)].decay


@pytest.mark.parametrize("architecture", ["test_vit", "test_efficientnet", "densenet121"])
def test_every_weight_of_other_backbones_has_a_rate_too(architecture: str) -> None:
    backbone = timm.create_model(architecture, num_classes=0)
    task = tiny_supervised(teach=TeachSettings(layer_decay=0.5))
    task.module.backbone = backbone
    factors = {group.factor for group in task.groups()}
    assert sum(len(group.weights) for group in task.groups()) == len(list(task.parameters()))
    assert len(factors) > 2


def test_a_frozen_backbone_stays_as_it_is_and_so_do_its_statistics(tmp_path: Path) -> None:
    task = tiny_supervised(teach=TeachSettings(frozen=True), frozen=True)
    task.module.backbone.requires_grad_(False)
    before = {name: t.clone() for name, t in task.state_dict().items()}
    train(task, replace(SHARED, ema=0.0), tmp_path / "run", engine=slow_processor())
    for name, tensor in task.state_dict().items():
        fixed = name.startswith(("module.backbone", "module.fusion.input", "loss"))
        assert torch.equal(tensor, before[name]) == fixed, name


def test_vectors_held_once_teach_as_those_computed_anew(tmp_path: Path) -> None:
    heads = []
    for held in (False, True):
        task = tiny_supervised(frozen=True)
        task.module.backbone.requires_grad_(False)
        if held:
            task.hold_vectors(slow_processor())
            assert task.vectors is not None
        train(task, SHARED, tmp_path / str(held), engine=slow_processor())
        heads.append(task.module.head[-1].weight)
    torch.testing.assert_close(*heads, rtol=1e-4, atol=1e-6)
    with_views = tiny_supervised(frozen=True, view=ViewSettings(rotate=3))
    with_views.hold_vectors(slow_processor())
    assert with_views.vectors is None


def test_statistics_are_learnt_or_kept(tmp_path: Path) -> None:
    ways: list[Any] = [("learnt", True), ("kept", False)]
    for statistics, moved in ways:
        teach = TeachSettings(statistics=statistics)
        task = tiny_supervised(teach=teach)
        norm: Any = batch_norms(task.module.backbone)[0]
        mean, weight = norm.running_mean.clone(), norm.weight.detach().clone()
        train(task, replace(SHARED, ema=0.0), tmp_path / statistics, engine=slow_processor())
        assert torch.equal(norm.running_mean, mean) != moved
        assert not torch.equal(norm.weight, weight)


def test_what_the_labels_say_is_learnt(tmp_path: Path) -> None:
    """Of twenty blobs and their numbers by heart."""
    task = tiny_supervised(n=20)
    plan = TrainSettings(steps=60, batch=20, lr=1e-2, optimiser="adam", log_every=60)
    train(task, plan, tmp_path / "run", engine=slow_processor())
    log = log_of(tmp_path / "run")
    assert log[0]["loss"] > 0.5
    assert log[-1]["loss"] < 0.05
    assert log[-1].keys() >= {"weight_image", "weight_features", "mix_scale"}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"statistics": "batch"}, "statistics 'batch' is not known; choose from learnt, kept"),
        ({"backbone_rate": 2}, "backbone_rate is a share, 0 to 1; got 2"),
        ({"missing": 1.0}, r"missing must be at least 0 and below 1; got 1\.0"),
        ({"thaw_epochs": 3.0}, "thaw_epochs follow a frozen stage; got thaw_epochs=3.0, frozen=F"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TeachSettings(**numbers)


# ------------------------------------------------------------------ stop and go on, and together


def test_a_run_killed_twice_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Everything random is on: balanced rows, views, hidden inputs, dropout, Adam, averages."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    codes = in_processes(train_tiny_supervised, [(whole,), (killed, 4)])
    codes += in_processes(train_tiny_supervised, [(killed, 8)])
    assert codes == [0, -9, -9]
    assert in_processes(train_tiny_supervised, [(killed,)]) == [0]
    ours, theirs = checkpoint_of(killed), checkpoint_of(whole)
    assert ours.keys() == theirs.keys()
    assert {name.partition(".")[0] for name in ours} == {"task", "average", "optimiser"}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert ours["task.loss.seen"].abs().sum() > 0
    for path in whole.glob("best-*"):
        kept = read_tensors(path)[0]
        assert all(torch.equal(t, read_tensors(killed / path.name)[0][n]) for n, t in kept.items())
    log = log_of(killed)
    assert [line["step"] for line in log] == list(range(1, LEARNT.steps + 1))
    assert [line["loss"] for line in log] == [line["loss"] for line in log_of(whole)]


@pytest.mark.parametrize(
    ("loss", "teach"),
    [
        ("bce", TeachSettings(missing=0.3)),
        ("study", TeachSettings(statistics="kept", layer_decay=0.5)),
        ("auc", TeachSettings(frozen=True, balanced=0.5)),
    ],
    ids=["statistics of all", "statistics kept", "frozen"],
)
def test_two_processes_train_as_one_does(loss: str, teach: TeachSettings, tmp_path: Path) -> None:
    """Batch statistics, unknown labels, running means and the average: those of one process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    calls = [(shared, 0, 2, port), (shared, 1, 2, port), (alone, 0, 1, port)]
    codes = in_processes(train_shared_supervised, [(*call, loss, teach) for call in calls])
    assert codes == [0, 0, 0]
    ours, theirs = checkpoint_of(shared), checkpoint_of(alone)
    assert ours.keys() == theirs.keys()
    start = tiny_supervised().state_dict()
    moved = 0.0
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=2e-5, rtol=1e-3, msg=name)
        if name.startswith("task.module") and value.is_floating_point():
            moved += float((value - start[name.removeprefix("task.")]).abs().sum())
    assert moved > 0.1
    losses = [[line["loss"] for line in log_of(run)] for run in (shared, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet"])
def test_a_synchronised_network_alone_is_the_plain_one(architecture: str) -> None:
    torch.manual_seed(0)
    plain = timm.create_model(architecture, num_classes=0, in_chans=1)
    synced = timm.create_model(architecture, num_classes=0, in_chans=1)
    synced.load_state_dict(plain.state_dict())
    synchronise(synced)
    assert synced.state_dict().keys() == plain.state_dict().keys()
    assert len(batch_norms(synced)) == len(batch_norms(plain))
    assert any(isinstance(layer, SyncedBatchNorm) for layer in synced.modules())
    x = torch.randn(3, 1, 32, 32)
    for mode in (True, False):
        torch.testing.assert_close(synced.train(mode)(x), plain.train(mode)(x))
    torch.testing.assert_close(dict(synced.named_buffers()), dict(plain.named_buffers()))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_over_all_worked_out_as_torch_does(
    momentum: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of several processes, with one: value, gradient and running statistics."""
    plain = nn.BatchNorm2d(3, momentum=momentum)
    synced = SyncedBatchNorm(nn.BatchNorm2d(3, momentum=momentum))
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        x = torch.randn(4, 3, 5, 5, generator=generator) * 3 + 1
        xs = [x.clone().requires_grad_() for _ in range(2)]
        torch.autograd.backward(plain(xs[0]).square().sum())
        torch.autograd.backward(synced._over_all(xs[1]).square().sum())
        torch.testing.assert_close(xs[1].grad, xs[0].grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dict(synced.named_buffers()), dict(plain.named_buffers()))
    torch.testing.assert_close(synced.weight.grad, plain.weight.grad, atol=1e-4, rtol=1e-4)


def test_losses_of_a_classifier_s_task_go_through_its_head() -> None:
    task = tiny_supervised(replace(PLAIN_HEAD, mix="gate"), LossSettings(loss="focal"))
    loss, _ = task(a_batch(task, [0, 1, 2, 3]))
    torch.autograd.backward(loss)
    assert all(weight.grad is not None for weight in task.parameters())
