"""What decides a training of likeness: who is asked, how deep lists go, and what counts as one."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

import hilum.training.metric as training
import hilum.training.metric_validation as validation
from hilum.encoders.device import choose_engine
from hilum.encoders.image import Encoder
from hilum.training.feed import Feed
from hilum.training.metric_data import Shown, shown
from hilum.training.metric_recipes import METRIC_RECIPES, BatchSettings, MetricRecipe
from hilum.training.metric_task import MetricTask
from hilum.training.metric_validation import Finder, distances, refuse_unfindable
from hilum.training.supervised_data import Lesson
from reference_metric import ANCHOR, KINDS, tiny_metric
from small_table import small_table

SMALL = METRIC_RECIPES["metric-small"]


def judged(findings: str, patients: str) -> Shown:
    """Return images of findings 0, 1, ... and patients a, b, ..., a letter each."""
    positive = np.array([[int(one) == kind for kind in range(3)] for one in findings])
    lesson = cast(Lesson, SimpleNamespace(patients=tuple(patients)))
    return Shown(lesson, np.arange(len(patients)), ("Edema", "Mass", "Hernia"), positive)


def finder(findings: str, patients: str) -> Finder:
    return Finder(judged(findings, patients), cast(Feed, None))


# ------------------------------------------------------------------ validation


@pytest.mark.parametrize(("patients", "cuts"), [("aaabcdef", {1, 5}), ("aaaabcde", {1})])
def test_lists_are_cut_where_every_gallery_reaches(patients: str, cuts: set[int]) -> None:
    """Of 8 images those of patient a look among the 5 or 4 of others."""
    vectors = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    found = finder("01010101", patients).metrics(vectors)
    assert {name for name in found if name.startswith("recall@")} == {f"recall@{k}" for k in cuts}


def test_images_whose_like_is_nowhere_else_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first finds the third, then its like; the second finds its like; the third has none."""
    angles = np.array([0.0, 0.3, -0.2])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    monkeypatch.setattr(validation, "encode_feed", lambda *_: vectors)
    found = finder("001", "abc").mean_average_precision(cast(Encoder, None))
    assert found == pytest.approx((1 / 2 + 1) / 2)
    refuse_unfindable(judged("001", "abc"))


def test_the_mean_distance_is_that_of_pairs_and_not_of_an_image_with_itself() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 700)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = vectors.astype(np.float64)
    pairs = [np.linalg.norm(exact[one] - exact[other]) for one, other in ((0, 1), (0, 2), (1, 2))]
    assert distances(vectors) == pytest.approx(np.mean(pairs), rel=2e-7)


# ------------------------------------------------------------------ what is decided before


def test_validation_is_of_the_findings_that_are_taught(tmp_path: Path) -> None:
    taught, held_out = (
        small_table(tmp_path / name, [
            {"image_id": f"{name}{at}", "patient_id": f"{name}{at}", "split": split,
             **{finding: int(at % 3 == kind) for kind, finding in enumerate(findings)}}
            for at in range(6)
        ])
        for name, split, findings in (
            ("t", "train", ("Edema", "Mass")), ("v", "val", ("Hernia", "Mass", "Edema")),
        )
    )  # fmt: skip
    ours, theirs = training._images(taught, held_out, None, None, SMALL)
    assert theirs is not None
    assert theirs.findings == ours.findings == ("Edema", "Mass")
    assert len(theirs) == 4


def taught(tmp_path: Path, counts: tuple[int, ...]) -> Shown:
    """Return images of three findings, so many of each."""
    kinds = np.repeat(np.arange(3), counts)
    names = ("Edema", "Mass", "Hernia")
    rows = [
        {"image_id": f"i{at}", "patient_id": f"p{at}",
         **{name: int(kind == one) for one, name in enumerate(names)}}
        for at, kind in enumerate(kinds)
    ]  # fmt: skip
    return shown(small_table(tmp_path / "t", rows), names)


@pytest.mark.parametrize(
    ("counts", "changes", "kinds"),
    [
        ((2, 3, 1), {}, 2),
        ((2, 3, 1), {"kinds": 3}, 3),
        ((2, 2, 2), {}, 3),
        ((4, 1, 1), {}, 3),
    ],
)
def test_one_finding_fewer_a_batch_where_the_one_left_out_is_missing(
    tmp_path: Path, counts: tuple[int, ...], changes: dict[str, Any], kinds: int
) -> None:
    recipe = replace(SMALL, sample=BatchSettings(3, 2), train=replace(SMALL.train, batch=6))
    found = training._fewer(recipe, taught(tmp_path, counts), changes)
    assert (found.sample.kinds, found.train.batch) == (kinds, 2 * kinds)


def test_it_is_measured_twenty_times_where_nothing_else_is_said() -> None:
    def every(steps: int, given: int = 0, validate: Any = "map") -> int:
        plan = replace(SMALL.train, steps=steps, evaluate_every=given)
        recipe: MetricRecipe = replace(SMALL, train=plan, validate=validate)
        return training._plan(recipe).evaluate_every

    assert (every(400), every(19), every(400, 7), every(400, 0, "none")) == (20, 1, 7, 0)


@pytest.mark.parametrize(("size", "side"), [(32, 32), (500, 128), (None, 128)])
def test_images_are_held_no_larger_than_they_are(
    monkeypatch: pytest.MonkeyPatch, size: int | None, side: int
) -> None:
    sides: list[int] = []
    monkeypatch.setattr(training, "feed_of", lambda _, held, *__: sides.append(held))
    view = SimpleNamespace(size=size)
    some = cast(Shown, SimpleNamespace(lesson=SimpleNamespace(view=view), rows=np.arange(3)))
    training._feed(SMALL, some, choose_engine("cpu"))  # 4/3 of 96
    assert sides == [side]


def test_a_network_from_nothing_sees_what_is_stored(tmp_path: Path) -> None:
    images = taught(tmp_path, (2, 2, 2))
    recipe = replace(SMALL, architecture="test_resnet", size=32, init="random")
    for channels in (1, 3):
        view = SimpleNamespace(settings=SimpleNamespace(channels=channels))
        stored = SimpleNamespace(view=view)
        some = replace(images, lesson=cast(Lesson, stored))
        assert training._start(recipe, some)[1].channels == channels


def test_proxies_begin_where_the_seed_puts_them() -> None:
    task = tiny_metric(ANCHOR)

    def proxies(seed: int) -> torch.Tensor:
        made = MetricTask(
            task.module, task.spec, task.pupils, ANCHOR, KINDS, task.view, seed=seed
        ).proxies  # fmt: skip
        assert made is not None
        return made.detach()

    assert torch.equal(proxies(3), proxies(3))
    assert not torch.equal(proxies(3), proxies(4))


# ------------------------------------------------------------------ collapse


@pytest.mark.parametrize(
    ("apart", "collapsed"),
    [((0.05, 0.5), True), ((0.5, 0.05), True), ((0.1, 0.5), False), ((0.5, 0.5), False)],
)
def test_training_collapsed_if_images_of_either_side_are_all_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: tuple[float, float], collapsed: bool
) -> None:
    said, saved = iter(apart), []
    monkeypatch.setattr(training, "distances", lambda _: next(said))
    monkeypatch.setattr(training, "encode_feed", lambda *_: np.zeros((1, 2), np.float32))
    monkeypatch.setattr(training, "save_encoder", lambda *_, **__: saved.append(1))
    seeds: list[int] = []
    recipe = replace(SMALL, train=replace(SMALL.train, seed=5), collapse=0.1)
    job = cast(training._Job, SimpleNamespace(
        encoder=lambda: None, feed=None, recipe=recipe, made=dict,
        groups=SimpleNamespace(left_out={}),
        finder=SimpleNamespace(feed=None, metrics=lambda _, seed: seeds.append(seed)),
    ))  # fmt: skip
    metrics = {"steps": 1, "loss": 0.5, "engine": "", "best": None}
    training._finish(job, tmp_path, metrics)
    file = tmp_path / "metrics.json"
    told = json.loads(file.read_text())
    assert told["collapsed"] is collapsed
    assert saved == ([] if collapsed else [1])
    assert seeds == [5]
    file.unlink()
    training._finish(job, tmp_path, told)  # a finished run has all of it
    assert not file.exists()
