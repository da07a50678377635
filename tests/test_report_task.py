"""Learning from images and reports: batches, loss, chunks, several processes, best weights."""

import json
import math
import socket
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hilum.encoders.image import to_input
from hilum.encoders.tensors import read_header, read_tensors
from hilum.training import TrainSettings, train
from hilum.training.cached import in_chunks
from hilum.training.contrastive import ContrastSettings
from hilum.training.folder import CHECKPOINT
from hilum.training.kept import Keeper, Kept, entered
from hilum.training.report_task import ReportBatch, ReportTask
from hilum.training.texts import Texts, TextSettings
from hilum.training.views import ViewSettings
from reference_reports import (
    RESUMED,
    SHARED,
    TinyPair,
    softmax_slowly,
    tiny_task,
    train_shared_reports,
    train_tiny,
)
from reference_training import Line, checkpoint_of, in_processes, slow_processor


def a_batch(task: ReportTask, rows: list[int], mine: slice = slice(None)) -> ReportBatch:
    return task.batch(np.array(rows), np.random.default_rng(0), mine)


# ------------------------------------------------------------------ batches


def test_a_share_of_a_batch_is_that_part_of_the_whole() -> None:
    task = tiny_task(words=TextSettings(whole=1, scattered=1))
    rows = [5, 3, 8, 1, 9, 0]
    whole, last = a_batch(task, rows), a_batch(task, rows, slice(3, 6))
    assert torch.equal(last.pixels, whole.pixels[3:])
    assert torch.equal(last.tokens, whole.tokens[3:])
    assert torch.equal(last.positives, whole.positives)
    assert whole.view is not None
    assert last.view is not None
    np.testing.assert_array_equal(last.view.angle, whole.view.angle[3:])


def test_three_ways_to_say_which_texts_are_true() -> None:
    """Worked by hand: two films are normal in the same words, the third says more than they do."""
    reports = [
        ["Lungs clear.", "No mass."],
        ["Lungs clear.", "No mass."],
        ["Lungs CLEAR.", "Edema."],
    ]
    masks = {}
    for kind in ("own", "same", "said"):
        task = tiny_task(ContrastSettings(positives=kind), n=3)
        joined: list[str | None] = [" ".join(report) for report in reports]
        texts = Texts(joined, [None] * 3, TextSettings(whole=1))
        task.texts = texts
        told = [texts.whole[0], texts.whole[1].take([0]), texts.whole[2]]
        masks[kind] = task._positives(np.arange(3), told).astype(int).tolist()
    assert masks["own"] == np.eye(3, dtype=int).tolist()
    assert masks["same"] == np.eye(3, dtype=int).tolist()
    assert masks["said"] == [[1, 1, 0], [1, 1, 0], [0, 1, 1]]


def test_an_image_may_get_several_texts_in_a_step() -> None:
    """Each is true of its image; a share of the batch has the texts of its own images."""
    for kind in ("own", "same", "said"):
        task = tiny_task(ContrastSettings(texts=3, positives=kind))
        whole, last = (a_batch(task, [5, 3, 8, 1], mine) for mine in (slice(None), slice(2, 4)))
        assert whole.tokens.shape[0] == 12
        assert torch.equal(last.tokens, whole.tokens[6:])
        assert whole.positives.shape == (4, 12)
        blocks = whole.positives.reshape(4, 4, 3)
        assert blocks[range(4), range(4)].all()
        if kind == "own":
            assert whole.positives.sum() == 12
    loss, _ = task(whole)
    images, texts = task._image_features(task._see(whole)), task._text_features(whole.tokens)
    scale = task.pair.logit_scale.exp().item()
    slow = softmax_slowly(images.detach(), texts.detach(), scale, whole.positives.numpy())
    assert loss.item() == pytest.approx(slow, rel=1e-4)


def test_the_same_text_is_looked_for_among_all_texts_of_an_image() -> None:
    task = tiny_task(ContrastSettings(texts=2, positives="same"), n=2)
    texts = Texts(["Edema. No mass.", "No mass. Large heart."], [None] * 2, TextSettings(whole=1))
    task.texts = texts
    told = [texts.whole[0].take([0]), texts.whole[0].take([1]), *[texts.whole[1].take([0])] * 2]
    assert task._positives(np.arange(2), told).astype(int).tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]


def test_the_loss_of_a_step_is_the_double_loop_over_its_features() -> None:
    task = tiny_task(ContrastSettings(scale=4.0))
    batch = a_batch(task, [3, 1, 4, 15, 9, 2])
    loss, numbers = task(batch)
    images, texts = task._image_features(task._see(batch)), task._text_features(batch.tokens)
    slow = softmax_slowly(images.detach(), texts.detach(), 4.0, batch.positives.numpy())
    assert loss.item() == pytest.approx(slow, rel=1e-4)
    assert numbers["scale"].item() == pytest.approx(4)
    assert numbers["positives"].item() == pytest.approx(batch.positives.sum().item() / 6)


def test_a_text_that_stands_often_in_a_batch_is_encoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The vectors and the gradients are those of encoding every text for itself."""
    task = tiny_task()
    tokens = a_batch(task, [5, 3, 8, 1]).tokens[[0, 1, 0, 2, 3, 2, 0]]
    plain = task.pair.text_features
    weights = torch.randn(7, 8, generator=torch.Generator().manual_seed(0))

    def gradients(features: Tensor) -> list[Tensor]:
        task.zero_grad()
        torch.autograd.backward((features * weights).sum())
        return [p.grad.clone() for p in task.parameters() if p.grad is not None]

    slow = torch.nn.functional.normalize(torch.cat([plain(row[None]) for row in tokens]), dim=1)
    expected = gradients(slow)
    read: list[int] = []
    monkeypatch.setattr(task.pair, "text_features", lambda t: read.append(len(t)) or plain(t))  # type: ignore[func-returns-value]
    features = task._text_features(tokens)
    assert sum(read) == 4
    torch.testing.assert_close(features, slow)
    for ours, theirs in zip(gradients(features), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_images_without_a_view_are_resized_as_their_spec_says() -> None:
    task = tiny_task(view=ViewSettings())
    spec = replace(task.spec.image, size=8, resize="bicubic")
    task.spec = replace(task.spec, image=spec)
    batch = a_batch(task, [0, 1])
    assert batch.view is None
    seen: list[Tensor] = []
    task.pair.image_features = lambda images: seen.append(images) or torch.ones(2, 8)  # type: ignore[method-assign,func-returns-value]
    task._image_features(task._see(batch))
    assert torch.equal(seen[0], to_input(batch.pixels, spec))


def test_the_bias_learns_only_where_it_is_used() -> None:
    assert not tiny_task().pair.logit_bias.requires_grad
    task = tiny_task(ContrastSettings(loss="sigmoid"))
    loss, _ = task(a_batch(task, [0, 1, 2, 3]))
    torch.autograd.backward(loss)
    assert task.pair.logit_bias.grad is not None
    assert task.pair.logit_scale.grad is not None


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_images_learn_what_is_said_of_them(tmp_path: Path, loss: Any) -> None:
    task = tiny_task(
        ContrastSettings(loss=loss), words=TextSettings(whole=1), view=ViewSettings(), n=16
    )
    plan = TrainSettings(steps=80, batch=16, lr=1e-2, optimiser="adam", log_every=80)
    train(task, plan, tmp_path / "run", engine=slow_processor())
    log = log_of(tmp_path / "run")
    assert log[0]["top1"] < 0.3
    assert log[-1]["top1"] > 0.8
    assert log[-1]["loss"] < log[0]["loss"] - 0.5


def test_the_scale_is_limited_before_it_is_used(tmp_path: Path) -> None:
    task = tiny_task(ContrastSettings(scale=4.0, most_scale=4.0))
    with torch.no_grad():
        task.pair.logit_scale.add_(3.0)
    assert task(a_batch(task, [0, 1, 2]))[1]["scale"].item() == pytest.approx(4.0)


# ------------------------------------------------------------------ chunks


def weights_after(run: Path, **options: Any) -> dict[str, Tensor]:
    task = tiny_task(**options)
    plan = TrainSettings(steps=3, batch=12, lr=0.1, optimiser="sgd")
    train(task, plan, run, engine=slow_processor())
    return task.state_dict()


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("chunk", [1, 5])
def test_chunks_end_with_the_weights_of_the_whole_batch(
    tmp_path: Path, loss: Any, chunk: int
) -> None:
    """Three steps of a network whose normalisation does not see the batch."""
    whole = weights_after(tmp_path / "whole", settings=ContrastSettings(loss=loss))
    parts = weights_after(tmp_path / "p", settings=ContrastSettings(loss=loss, chunk=chunk))
    start = tiny_task(ContrastSettings(loss=loss)).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-4)
    assert max(float((whole[name] - start[name]).abs().max()) for name in whole) > 1e-2


class Noted(torch.autograd.Function):
    """Writes down when it is passed, either way."""

    events: list[tuple[str, int]]

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        Noted.events.append(("encode", int(x[0, 0])))
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        Noted.events.append(("back", int(x[0, 0])))
        return gradient


def test_activations_of_one_chunk_at_a_time_are_in_memory() -> None:
    """The first pass keeps none; each chunk goes back before the next is encoded again."""
    Noted.events = []
    layer = nn.Linear(1, 1)
    held: list[Tensor] = []

    def encode(part: Tensor) -> Tensor:
        out: Tensor = Noted.apply(layer(torch.ones(len(part), 1)) * 0 + part)  # type: ignore[no-untyped-call]
        return out

    inputs = torch.tensor([[0.0], [0.0], [1.0], [1.0], [2.0]])
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
        features = in_chunks(encode, inputs, 2, layer)
    assert [part.tolist() for part in held] == [part.tolist() for part in inputs.split(2)]  # type: ignore[no-untyped-call]
    assert Noted.events == [("encode", 0), ("encode", 1), ("encode", 2)]
    torch.autograd.backward(features.sum())
    way_back = [(what, part) for part in (2, 1, 0) for what in ("encode", "back")]
    assert Noted.events[3:] == way_back


@pytest.mark.parametrize("tower", [{"dropout": 0.5}, {"batch_norm": True}])
def test_a_chunk_encoded_twice_is_as_if_encoded_once(tower: dict[str, Any]) -> None:
    """The same numbers are dropped in both passes; batch statistics are counted in one."""
    outcome = []
    for chunk in (0, 4):
        pair = TinyPair(**tower)
        images = torch.randn(12, 1, 12, 12, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng():
            torch.manual_seed(3)
            parts = [images] if chunk else images.split(4)  # type: ignore[no-untyped-call]
            features = torch.cat([in_chunks(pair.image_features, p, chunk, pair) for p in parts])
        weights = torch.randn(12, 8, generator=torch.Generator().manual_seed(1))
        torch.autograd.backward((features * weights).sum())
        gradients = [p.grad for p in pair.image.parameters()]
        outcome.append([features, *gradients, *pair.image.buffers()])
    for ours, theirs in zip(*outcome, strict=True):
        assert ours is not None
        assert torch.equal(ours, theirs)


# ------------------------------------------------------------------ several processes


@pytest.mark.parametrize("chunk", [0, 4])
def test_two_processes_train_as_one_does(tmp_path: Path, chunk: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    calls = [(shared, 0, 2, port, chunk), (shared, 1, 2, port, chunk), (alone, 0, 1, port, 0)]
    assert in_processes(train_shared_reports, calls) == [0, 0, 0]
    ours, theirs = checkpoint_of(shared), checkpoint_of(alone)
    assert ours.keys() == theirs.keys()
    start = tiny_task().state_dict()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=2e-6, rtol=1e-4, msg=name)
    moved = [float((theirs[f"task.{k}"] - start[k]).abs().max()) for k in start]
    assert max(moved) > 1e-2
    assert theirs["task.pair.logit_scale"] != start["pair.logit_scale"]
    losses = [[line["loss"] for line in log_of(run)] for run in (shared, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(losses[0]) == SHARED.steps


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------ the best weights


@given(measures=st.lists(st.sampled_from([0.1, 0.5, 0.5, 0.7]), max_size=8), most=st.integers(1, 4))
@settings(max_examples=60)
def test_the_best_are_kept_and_of_equals_the_earlier(measures: list[float], most: int) -> None:
    kept: list[Kept] = []
    for step, measure in enumerate(measures):
        kept = entered(kept, Kept(step, measure), most)
    order = sorted(range(len(measures)), key=lambda step: (-measures[step], step))
    assert kept == [Kept(step, measures[step]) for step in order[:most]]


PLAIN = TrainSettings(steps=12, batch=4, lr=0.1, optimiser="sgd", schedule="constant",
                      weight_decay=0.0, checkpoint_every=3, evaluate_every=2, keep=3)  # fmt: skip


def test_as_many_best_weights_as_asked_for_lie_in_files_that_say_what_they_are(
    tmp_path: Path,
) -> None:
    task, values = Line(), iter([0.3, 0.9, 0.1, 0.7, 0.5, 0.7])
    seen: dict[int, float] = {}

    def measure() -> float:
        value = next(values)
        seen[2 * len(seen) + 2] = task.value
        return value

    metrics = train(task, PLAIN, tmp_path / "run", engine=slow_processor(), measure=measure)
    assert metrics["kept"] == [f"best-{step:06d}.safetensors" for step in (4, 8, 12)]
    assert sorted(p.name for p in (tmp_path / "run").glob("best-*")) == metrics["kept"]
    for step, value in ((4, 0.9), (8, 0.7), (12, 0.7)):
        tensors, header = read_tensors(tmp_path / "run" / f"best-{step:06d}.safetensors")
        assert header == {"step": step, "measure": value}
        assert tensors["weight"].item() == pytest.approx(seen[step])
    assert task.value == pytest.approx(seen[4])
    assert (metrics["best"], metrics["best_step"]) == (0.9, 4)


def test_a_keeper_writes_one_part_of_a_task_under_a_header_of_its_own(tmp_path: Path) -> None:
    task = tiny_task()
    plan = replace(PLAIN, batch=8, steps=2, keep=1)
    keeper = Keeper(task.pair.image, lambda kept: {"of": "image", "after": kept.step})  # type: ignore[arg-type]
    train(task, plan, tmp_path / "run", engine=slow_processor(), measure=lambda: 1.0, keeper=keeper)
    tensors, header = read_tensors(tmp_path / "run" / "best-000002.safetensors")
    assert header == {"of": "image", "after": 2}
    assert tensors.keys() == task.pair.image.state_dict().keys()  # type: ignore[union-attr]


def test_training_goes_on_in_training_mode_after_weights_were_kept(tmp_path: Path) -> None:
    task = Line()

    def header(kept: Kept) -> dict[str, Any]:
        assert not task.training
        task.eval()  # as whoever makes an encoder of it does
        return {}

    modes: list[bool] = []
    forward = task.forward
    task.forward = lambda batch: modes.append(task.training) or forward(batch)  # type: ignore[method-assign,func-returns-value]
    train(task, PLAIN, tmp_path / "run", engine=slow_processor(), measure=lambda: 1.0,
          keeper=Keeper(task, header))  # fmt: skip
    assert modes == [True] * PLAIN.steps


def test_a_run_killed_twice_ends_with_the_same_bits_and_the_same_best(tmp_path: Path) -> None:
    """All is on: order, views, noise, texts, dropout, chunks, batch statistics, Adam, two best."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    codes = in_processes(train_tiny, [(whole,), (killed, 7)])
    assert_every_named_file_is_there(killed)
    codes += in_processes(train_tiny, [(killed, 14)])
    assert codes == [0, -9, -9]
    assert_every_named_file_is_there(killed)
    assert in_processes(train_tiny, [(killed,)]) == [0]
    ours, theirs = checkpoint_of(killed), checkpoint_of(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [line["loss"] for line in log_of(killed)] == [line["loss"] for line in log_of(whole)]
    best = [sorted(path.name for path in run.glob("best-*")) for run in (killed, whole)]
    assert best[0] == best[1]
    assert len(best[0]) == RESUMED.keep
    for name in best[0]:
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def assert_every_named_file_is_there(run: Path) -> None:
    kept = read_header(run / CHECKPOINT)["notes"]["kept"]
    assert kept
    for step, measure in kept:
        header = read_header(run / f"best-{step:06d}.safetensors")
        assert (header["step"], header["measure"]) == (step, measure)
    assert all(math.isfinite(one[1]) for one in kept)
    assert [a[1] >= b[1] for a, b in pairwise(kept)] == [True] * (len(kept) - 1)
