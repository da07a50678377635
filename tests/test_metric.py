"""From a collection with findings to an encoder by which like finds like: `hilum.train_metric`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import hilum
from hilum.cli import app
from hilum.collection import Collection
from hilum.embed import embed
from hilum.encoders import Encoder, load_encoder, random_encoder, save_encoder
from hilum.encoders.image import Projected
from hilum.encoders.tensors import read_header
from hilum.errors import LeakError, RunError, UsageError
from hilum.evaluate.rankings import rank, statistics
from hilum.ingest import ingest
from hilum.retrieve import evaluate_neighbours
from hilum.training import METRIC_RECIPES, metric, train_metric
from hilum.training.metric_data import grouped, shown
from hilum.training.metric_recipes import BatchSettings
from hilum.training.metric_validation import distances, leave_one_out
from reference_metric import films_of_kinds
from reference_training import slow_processor
from watching import record_pixels

CLASSES = ["No Finding", "Edema", "Mass"]
TINY: dict[str, Any] = {
    "architecture": "test_resnet", "size": 32, "held": 1.0, "steps": 6, "each": 4,
    "precision": "fp32", "device": "cpu", "findings": CLASSES, "checkpoint_every": 2,
    "loss": "triplet", "collapse": 0.0,
}  # fmt: skip
FEW = {key: value for key, value in TINY.items() if key not in ("device", "findings")}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("kinds")
    source = films_of_kinds(folder / "source")
    return ingest(source, folder / "c.lance", layout="folder", size=32, workers=1).collection


@pytest.fixture(scope="module")
def trained(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    train_metric(collection, run, **TINY, projection=8)
    return run


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


def encoder_of(run: Path) -> Encoder:
    found = load_encoder(run, engine=slow_processor())
    assert isinstance(found, Encoder)
    return found


# ------------------------------------------------------------------ a run


def test_a_collection_becomes_an_encoder_in_a_run_folder(
    collection: Collection, trained: Path
) -> None:
    made = encoder_of(trained)
    assert (made.spec.projection, made.spec.dim, made.spec.recipe) == (8, 8, "metric-small")
    assert made.spec.source == "likeness of 36 images by their findings, from random weights"
    assert isinstance(made.module, Projected)
    header = read_header(trained / "encoder.safetensors")
    assert header["recipe"]["likeness"]["loss"] == "triplet"
    assert header["provenance"]["findings"] == CLASSES
    asked = json.loads((trained / "settings.json").read_text())
    assert (asked["findings"], asked["anomaly"], asked["images"]) == (CLASSES, None, 36)
    assert asked["train"]["evaluate_every"] == 1
    metrics = metrics_of(trained)
    assert (metrics["split"], metrics["collapsed"], metrics["left_out"]) == ("val", False, {})
    best = load_encoder(trained / metrics["kept"][0], engine=slow_processor())
    assert best.fingerprint == made.fingerprint
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert log[0].keys() >= {"loss", "distance", "active", "measure"}
    assert metrics["best"] == max(line["measure"] for line in log)
    again = train_metric(collection, trained, **TINY, projection=8)
    assert again.fingerprint == made.fingerprint
    assert metrics_of(trained) == metrics


def test_validation_measures_are_those_of_retrieval(collection: Collection, trained: Path) -> None:
    embed(collection, encoder_of(trained), "taught", overwrite=True)
    view = hilum.open(collection.uri)
    theirs = evaluate_neighbours(view, "taught", findings=CLASSES, queries="split = 'val'",
                                 k=(1, 5, 10), voters=1)  # fmt: skip
    metrics = metrics_of(trained)
    ours = metrics["validation"]
    for name in ("average_precision", "precision@5", "recall@1", "r_precision"):
        assert ours[name]["estimate"] == pytest.approx(theirs.mean[name].estimate, abs=1e-6)
        assert ours[name]["low"] == pytest.approx(theirs.mean[name].low, abs=1e-6)
    assert metrics["best"] == pytest.approx(ours["average_precision"]["estimate"], abs=1e-6)


def test_like_films_are_learnt_to_be_near(collection: Collection, tmp_path: Path) -> None:
    train_metric(collection, tmp_path / "run", **{**TINY, "steps": 40}, lr=3e-3)
    measured = metrics_of(tmp_path / "run")
    assert measured["validation"]["average_precision"]["estimate"] > 0.95
    assert measured["distance"]["validation"] > 0.3


def test_no_image_of_the_test_split_is_read(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = record_pixels(monkeypatch)
    train_metric(collection, tmp_path / "run", **TINY, anomaly="Mass")
    kinds = [(row // 2) % 3 for row in range(48)]
    assert read == {f"i{row:02}" for row in range(48) if kinds[row] != 2}


def test_weights_are_taken_over_without_their_projection(
    collection: Collection, trained: Path, tmp_path: Path
) -> None:
    changes = {key: value for key, value in TINY.items() if key != "architecture"}
    made = train_metric(collection, tmp_path / "run", **{**changes, "steps": 1}, lr=0.0,
                        init=trained, ema=0.0)  # fmt: skip
    assert (made.spec.projection, made.spec.dim) == (0, 96)
    start = encoder_of(trained).backbone().module
    weights = dict(made.module.named_parameters())
    assert all(torch.equal(weights[name], value) for name, value in start.named_parameters())


def test_x_mirs_recipe_runs_without_validation_images(
    collection: Collection, tmp_path: Path
) -> None:
    changes = {**TINY, "init": "random"}
    made = train_metric(collection.where("split = 'train'"), tmp_path / "run", "x-mir", **changes)
    metrics = metrics_of(tmp_path / "run")
    assert (metrics["best"], metrics["validation"], metrics["kept"]) == (None, None, [])
    assert made.fingerprint == encoder_of(tmp_path / "run").fingerprint


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def test_a_run_that_is_stopped_ends_with_the_same_bits(
    collection: Collection, tmp_path: Path
) -> None:
    def stop(done: int, total: int, note: str = "") -> None:
        if done >= 3:
            raise Killed

    whole = train_metric(collection, tmp_path / "whole", **TINY, log_every=1)
    with pytest.raises(Killed):
        train_metric(collection, tmp_path / "killed", **TINY, log_every=1, progress=stop)
    again = train_metric(collection, tmp_path / "killed", **TINY, log_every=1)
    assert again.fingerprint == whole.fingerprint
    ours, theirs = metrics_of(tmp_path / "killed"), metrics_of(tmp_path / "whole")
    assert ours["validation"] == theirs["validation"]


def test_a_run_killed_before_its_metrics_gets_them(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(metric, "save_encoder", die)
        with pytest.raises(Killed):
            train_metric(collection, tmp_path / "run", **TINY)
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    train_metric(collection, tmp_path / "run", **TINY)
    assert metrics_of(tmp_path / "run")["collapsed"] is False


# ------------------------------------------------------------------ collapse


def test_a_collapse_is_said_while_it_happens_and_not_finished_silently(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def together(_: Any, vectors: Tensor, *__: Any) -> Tensor:
        """Draw all vectors to one place: what a triplet loss does when it collapses."""
        return (vectors - torch.ones_like(vectors)).square().sum()

    monkeypatch.setattr("hilum.training.metric_task.likeness_loss", together)
    said: list[str] = []
    changes = {**TINY, "steps": 50, "collapse": 0.1, "log_every": 1, "evaluate_every": 50}

    def report(done: int, total: int, note: str = "") -> None:
        said.append(note)

    for _ in range(2):  # a finished run says it again
        with pytest.raises(RunError, match=r"run: training collapsed: the mean distance .* is 0\.0"
                           r"\d+, less than 0\.1, .* not written; start from better"):  # fmt: skip
            train_metric(collection, tmp_path / "run", **changes, lr=2e-2, projection=4,
                         progress=report)  # fmt: skip
    metrics = metrics_of(tmp_path / "run")
    assert metrics["collapsed"] is True
    assert metrics["distance"]["taught"] < 0.1
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    assert said[-1].endswith("(COLLAPSED)")
    assert "distance" in said[0]
    assert "COLLAPSED" not in said[0]


def test_distances_worked_by_hand() -> None:
    corners = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    pairs = [0, 2**0.5, 2, 2**0.5, 2, 2**0.5]
    assert distances(corners) == pytest.approx(np.mean(pairs))
    assert distances(np.tile(corners[:1], (2000, 1))) == 0
    assert distances(corners[:1]) == 0


# ------------------------------------------------------------------ what is learnt from


def test_findings_with_too_few_images_are_left_out_and_said(
    collection: Collection, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, [
        "metric", collection.uri, str(tmp_path / "run"), "--findings",
        "No Finding,Edema,Mass,Hernia",
        "--device", "cpu", "--json", *_options(FEW),
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Hernia: left out of the batches, 1 images are too few" in result.stderr
    facts = json.loads(result.stdout)
    assert facts["left_out"] == {"Hernia": 1}
    assert facts["fingerprint"] == encoder_of(tmp_path / "run").fingerprint


def _options(settings: dict[str, Any]) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def test_the_command_says_how_validation_images_find_each_other(
    collection: Collection, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, [
        "metric", collection.uri, str(tmp_path / "run"), "--findings", ",".join(CLASSES),
        "--backbone", "test_resnet", "--steps", "2", "--each", "4", "--size", "32", "--loss",
        "triplet", "--set", "collapse=0", "--set", "precision=fp32",
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "run: mAP on validation patients " in result.stdout
    assert "mean distance between images" in result.stdout


def test_an_anomaly_is_neither_taught_nor_judged(collection: Collection, tmp_path: Path) -> None:
    train_metric(collection, tmp_path / "run", **TINY, anomaly="mass")
    asked = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (asked["findings"], asked["anomaly"]) == (["No Finding", "Edema"], "mass")
    assert (asked["sample"]["kinds"], asked["train"]["batch"], asked["images"]) == (2, 8, 24)
    held_out = shown(collection.where("split = 'val'"), CLASSES, "Mass")
    assert [held_out.lesson.ids[place] for place in held_out.places] == [
        f"i{row:02}" for row in range(36, 48) if (row // 2) % 3 != 2
    ]


def test_images_that_show_nothing_asked_for_take_no_part(collection: Collection) -> None:
    found = shown(collection, ["Edema"])
    assert len(found) == sum((row // 2) % 3 == 1 for row in range(59))
    assert found.positive.all()
    np.testing.assert_array_equal(found.rows, [int(found.lesson.ids[p][1:]) for p in found.places])


def test_groups_worked_by_hand(collection: Collection) -> None:
    found = shown(collection.where("split = 'val'"), None)
    groups = grouped(found, BatchSettings(kinds=3, each=4))
    assert {name: list(rows) for name, rows in groups.members.items()} == {
        "No Finding": [0, 1, 6, 7], "Edema": [2, 3, 8, 9], "Mass": [4, 5, 10, 11],
    }  # fmt: skip
    assert groups.left_out == {"Hernia": 0}


def test_classes_must_exclude_each_other(collection: Collection) -> None:
    found = shown(collection.where("split = 'train'"), None)
    with pytest.raises(UsageError, match=r"1 of 36 images have more than one of the findings .* so "
                       "these are not classes: draw by findings"):  # fmt: skip
        grouped(found, BatchSettings(kinds=3, each=4, draw="classes"))
    assert len(grouped(found, BatchSettings(kinds=3, each=4)).members) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kinds": 4},
            "to hold 4 findings with 4 images each, and 3 have as many .No Find",
        ),
        ({"each": 13}, r"3 findings with 13 images each, and 0 have as many .* ask for fewer"),
        ({"findings": ["Hernia"], "anomaly": "Hernia"}, "there is no finding beside Hernia, so no"),
        ({"batch": 7}, r"a batch is kinds × each = 12 images; got batch=7"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(
    collection: Collection, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        train_metric(collection, tmp_path / "run", **{**TINY, **changes})


def test_validation_that_cannot_judge_is_refused(collection: Collection, tmp_path: Path) -> None:
    train, run = collection.where("split = 'train'"), tmp_path / "run"
    with pytest.raises(UsageError, match="no image has split = 'val': the best weights are chosen"):
        train_metric(train, run, **TINY)
    alone = collection.where("patient_id IN ('p18', 'p19', 'p20')")
    with pytest.raises(
        UsageError, match="none of the 6 validation images shares a finding with an"
    ):
        train_metric(train, run, validation=alone, **TINY)
    with pytest.raises(LeakError, match="p00"):
        train_metric(train, run, validation=train, **TINY)
    with pytest.raises(LeakError, match="11 of the images to learn from or to choose by are of"):
        train_metric(train, run, validation=collection.where("split <> 'train'"), **TINY)


def test_weights_of_another_architecture_are_refused(
    collection: Collection, tmp_path: Path
) -> None:
    engine = slow_processor()
    save_encoder(random_encoder("test_vit", size=32, engine=engine), tmp_path / "v.safetensors")
    with pytest.raises(UsageError, match=r"cannot start from .*: it is a test_vit with 1 channel"):
        train_metric(collection, tmp_path / "run", **TINY, init=tmp_path / "v.safetensors")


# ------------------------------------------------------------------ leaving one out


def test_leaving_one_out_is_one_list_after_another() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    positive = rng.random((300, 3)) < 0.3
    positive[~positive.any(axis=1), 0] = True
    patients = tuple(f"p{row // 2}" for row in range(300))
    found = leave_one_out(vectors, positive, patients, (3,))
    for row in (0, 7, 255, 256, 299):
        others = np.array([patients[at] != patients[row] for at in range(300)])
        right = (positive & positive[row]).any(axis=1)[others].astype(np.int64)
        one = rank(vectors[row : row + 1] @ vectors[others].T, right[None], np.array([0.0, 1.0]),
                   np.zeros((1, others.sum()), np.bool_))  # fmt: skip
        for name, value in statistics(one, (3,)).items():
            assert found[name][row] == pytest.approx(value[0]), name


def test_the_door_has_it() -> None:
    assert hilum.train_metric is train_metric
    assert list(METRIC_RECIPES) == ["x-mir", "metric", "metric-small"]
