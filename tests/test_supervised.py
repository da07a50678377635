"""From a collection with labels to a classifier and its scores: `hilum.train`, `hilum.predict`."""

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hilum
from hilum.collection import Collection
from hilum.embed import embed
from hilum.encoders import (
    Classifier,
    Encoder,
    load_classifier,
    load_encoder,
    random_encoder,
    random_pair,
    save_encoder,
)
from hilum.encoders.image import Projected
from hilum.encoders.tensors import read_header, read_tensors
from hilum.errors import CollectionError, LeakError, RunError, UsageError, WeightsError
from hilum.evaluate import evaluate
from hilum.features import features_of
from hilum.ingest import ingest
from hilum.tables import Table
from hilum.training import SUPERVISED_RECIPES, predict, pretrain, train_supervised
from hilum.training.backbones import Wanted, start_backbone
from hilum.training.recipes import find
from hilum.training.supervised_data import Asked, Lesson, lesson
from hilum.training.supervised_recipes import SupervisedRecipe
from hilum.training.supervised_validation import Judge
from reference_supervised import films_of_patients
from reference_training import slow_processor
from watching import record_pixels

TINY: dict[str, Any] = {
    "architecture": "test_resnet", "size": 32, "margin": 1.0, "width": 8, "epochs": 2, "batch": 8,
    "precision": "fp32", "device": "cpu", "findings": ["Edema", "Mass"], "checkpoint_every": 2,
}  # fmt: skip
ALL = ("image", "demographics", "history")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("labels")
    source = films_of_patients(folder / "source")
    return ingest(source, folder / "c.lance", layout="folder", size=32, workers=1).collection


@pytest.fixture(scope="module")
def trained(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    train_supervised(collection, run, inputs=ALL, **TINY)
    return run


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


# ------------------------------------------------------------------ a run


def test_a_collection_becomes_a_classifier_in_a_run_folder(
    collection: Collection, trained: Path
) -> None:
    made = load_classifier(trained, engine=slow_processor())
    spec = made.spec
    assert (spec.findings, spec.inputs) == (("Edema", "Mass"), ALL)
    assert (spec.image.recipe, spec.past) == ("modern-small", ("Edema", "Mass", "Hernia"))
    assert spec.image.source == "28 images and their labels, from random weights"
    header = read_header(trained / "classifier.safetensors")
    assert header["recipe"]["train"]["epochs"] == 2
    assert header["provenance"]["images"] == 28
    asked = json.loads((trained / "settings.json").read_text())
    assert (asked["inputs"], asked["findings"]) == (list(ALL), ["Edema", "Mass"])
    assert asked["train"]["evaluate_every"] == 3  # once an epoch
    metrics = metrics_of(trained)
    best = load_classifier(trained / metrics["kept"][0], engine=slow_processor())
    assert best.fingerprint == made.fingerprint
    first = json.loads((trained / "log.jsonl").read_text().splitlines()[0])
    assert first.keys() >= {"weight_image", "weight_features", "mix_scale"}
    again = train_supervised(collection, trained, inputs=ALL, **TINY)
    assert again.fingerprint == made.fingerprint
    assert metrics_of(trained) == metrics


def test_validation_metrics_are_those_of_evaluate_in_three_parts(
    collection: Collection, trained: Path
) -> None:
    made = load_classifier(trained, engine=slow_processor())
    scores = predict(collection.where("split = 'val'"), made)
    metrics = metrics_of(trained)
    assert metrics["split"] == "val"
    for name, where in (
        ("validation", "split = 'val'"), ("first_visits", "split = 'val' AND visit = 0"),
        ("follow_ups", "split = 'val' AND visit = 1"),
    ):  # fmt: skip
        truth = collection.where(where).labels(findings=["Edema", "Mass"])
        found = evaluate(scores, truth)
        ours, theirs = metrics[name]["mean"]["auroc"], found.mean["auroc"]
        assert ours["estimate"] == pytest.approx(theirs.estimate, abs=1e-6)
        assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
        assert metrics[name]["settings"]["resampled"] == "patient_id"
    assert metrics["best"] == pytest.approx(metrics["validation"]["mean"]["auroc"]["estimate"])


def test_scores_are_those_of_the_classifier_s_own_calls(
    collection: Collection, trained: Path
) -> None:
    made = load_classifier(trained, engine=slow_processor())
    view = collection.where("view = 'AP' AND split = 'test'")
    table = predict(view, made)
    told = features_of(view, ALL[1:], collection.findings)
    expected = made.scores(view.pixels(), told.values)
    assert table.ids == view.ids()
    np.testing.assert_allclose(table.values, expected, rtol=1e-6)
    np.testing.assert_allclose(
        expected, 1 / (1 + np.exp(-made.logits(view.pixels(), told.values))), rtol=1e-5
    )
    five = predict(view, trained, looks=5, device="cpu")
    assert np.abs(five.values - table.values).max() > 1e-5


def test_a_classifier_does_without_what_it_learnt_to_do_without(
    collection: Collection, trained: Path, tmp_path: Path
) -> None:
    view = collection.where("split = 'test'")
    made = load_classifier(trained, engine=slow_processor())
    told = features_of(view, ALL[1:], collection.findings)
    hidden = told.values.copy()
    hidden[:, told.groups["history"]] = np.nan
    found = predict(view, made, without=["history"])
    np.testing.assert_allclose(found.values, made.scores(view.pixels(), hidden), rtol=1e-6)
    nothing = predict(view, made, without=["demographics", "history"])
    np.testing.assert_allclose(nothing.values, made.scores(view.pixels()), rtol=1e-6)
    with pytest.raises(UsageError, match="cannot do without course: it looks at image, demograph"):
        predict(view, made, without=["course"])
    always = train_supervised(collection, tmp_path / "a", inputs=ALL, missing=0.0, **TINY)
    with pytest.raises(UsageError, match=r"without history: .* trained with missing=0, so it ne"):
        predict(view, always, without=["history"])


def test_a_trained_classifier_embeds_images(collection: Collection, trained: Path) -> None:
    made = load_classifier(trained, engine=slow_processor())
    _, vectors = embed(collection, trained, "taught").vectors("taught")
    np.testing.assert_allclose(
        vectors[:4], made.encoder().encode_images(collection.pixels(range(4))), atol=2e-2
    )


def test_the_door_trains_and_predicts_with_every_kind(
    collection: Collection, tmp_path: Path
) -> None:
    assert (hilum.train, hilum.predict) == (train_supervised, predict)
    from hilum.tabular import Recipe, train

    train(collection, tmp_path / "tabular", Recipe(findings=("Edema",)))
    scores = hilum.predict(collection.where("split = 'test'"), tmp_path / "tabular")
    assert scores.findings == ("Edema",)
    with pytest.raises(UsageError, match="without and looks are for classifiers that see the im"):
        hilum.predict(collection, tmp_path / "tabular", looks=5)
    with pytest.raises(WeightsError, match=r"holds no classifier\.safetensors; it is not a run of"):
        hilum.predict(collection, tmp_path)


def test_no_image_of_the_test_split_is_read(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = record_pixels(monkeypatch)
    train_supervised(collection, tmp_path / "run", **TINY)
    assert read == {f"i{row:02}" for row in range(40)}


def test_bright_films_are_learnt(collection: Collection, tmp_path: Path) -> None:
    made = train_supervised(
        collection, tmp_path / "run", **{**TINY, "epochs": 12, "findings": ["Edema"]}
    )
    test = collection.where("split = 'test'")
    found = evaluate(predict(test, made), test.labels(findings=["Edema"]), bootstrap=0)
    assert found.mean["auroc"].estimate == 1
    assert metrics_of(tmp_path / "run")["best"] == 1


# ------------------------------------------------------------------ the study's two stages


STUDY: dict[str, Any] = {
    **{k: v for k, v in TINY.items() if k != "width"}, "init": "random", "patience": 0,
    "thaw_epochs": 2, "hidden": [8, 8],
}  # fmt: skip


def test_the_head_is_taught_first_and_then_everything(
    collection: Collection, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    made = train_supervised(collection, run, "nih-study", **STUDY, thaw_lr=1e-2)
    stages = [metrics_of(run / "frozen"), metrics_of(run)]
    start, _ = start_backbone("random", Wanted("test_resnet", 32, 1, None, None, "max"), 0)
    own = start.state_dict()
    frozen = read_tensors(run / "frozen" / stages[0]["kept"][0])[0]
    thawed = read_tensors(run / stages[1]["kept"][0])[0]
    for name, tensor in own.items():
        assert torch.equal(frozen[f"backbone.{name}"], tensor)
        moved = not torch.equal(thawed[f"backbone.{name}"], tensor)
        assert moved == (not name.endswith(("running_mean", "running_var", "num_batches_tracked")))
    better = "thawed" if stages[1]["best"] > stages[0]["best"] else "frozen"
    assert stages[1]["stage"] == better
    assert stages[1]["frozen"]["best"] == stages[0]["best"]
    chosen = {"thawed": thawed, "frozen": frozen}[better]
    found = load_classifier(run, engine=slow_processor()).module.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in chosen.items())
    assert made.spec.pooling == "max"
    assert made.spec.hidden == (8, 8)
    again = train_supervised(collection, run, "nih-study", **STUDY, thaw_lr=1e-2)
    assert again.fingerprint == made.fingerprint


def test_a_second_stage_that_makes_it_worse_is_not_kept(
    collection: Collection, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    made = train_supervised(
        collection, run, "nih-study", **{**STUDY, "epochs": 6, "lr": 1e-2}, thaw_lr=10.0
    )
    metrics = metrics_of(run)
    assert metrics["stage"] == "frozen"
    kept = read_tensors(run / "frozen" / metrics["frozen"]["kept"][0])[0]
    assert all(torch.equal(made.module.state_dict()[name], value) for name, value in kept.items())


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


@pytest.mark.parametrize("kill_at", [3, 9], ids=["in the first stage", "in the second"])
def test_two_stages_that_are_stopped_end_with_the_same_bits(
    kill_at: int, collection: Collection, tmp_path: Path
) -> None:
    steps = 0

    def stop(done: int, total: int, note: str = "") -> None:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Killed

    changes = {**STUDY, "log_every": 1, "checkpoint_every": 1, "inputs": ALL}
    whole = train_supervised(collection, tmp_path / "whole", "nih-study", **changes)
    with pytest.raises(Killed):
        train_supervised(collection, tmp_path / "killed", "nih-study", progress=stop, **changes)
    again = train_supervised(collection, tmp_path / "killed", "nih-study", **changes)
    assert again.fingerprint == whole.fingerprint
    assert (tmp_path / "killed" / "frozen" / "metrics.json").exists()


def test_a_run_killed_before_its_metrics_gets_them(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Judge, "metrics", die)
        with pytest.raises(Killed):
            train_supervised(collection, tmp_path / "run", **TINY)
    assert not (tmp_path / "run" / "classifier.safetensors").exists()
    train_supervised(collection, tmp_path / "run", **TINY)
    assert metrics_of(tmp_path / "run")["validation"]["mean"]["auroc"]["estimate"] is not None


# ------------------------------------------------------------------ labels


def test_uncertain_labels_count_as_asked(collection: Collection, tmp_path: Path) -> None:
    """Of i05 the mass is uncertain."""
    train = collection.where("split = 'train'")
    found = {
        name: lesson(train, Asked(("image",), ("mass",), name)).targets[5:6, 0].tolist()
        for name in ("positive", "negative", 0.3)
    }
    assert found == {"positive": [1], "negative": [0], 0.3: [pytest.approx(0.3)]}
    ignored = lesson(train, Asked(("image",), ("Mass",), "ignore"))
    assert "i05" not in ignored.ids
    assert len(ignored) == 27
    assert list(ignored.rows) == [row for row in range(28) if row != 5]
    run = tmp_path / "run"
    train_supervised(collection, run, uncertain=0.3, **TINY)
    assert json.loads((run / "settings.json").read_text())["uncertain"] == 0.3


def test_tables_of_readers_take_the_place_of_labels(collection: Collection, tmp_path: Path) -> None:
    ids = collection.ids()
    votes = np.arange(len(ids), dtype=np.float64)[:, None] % 2
    one = Table(ids, ("Edema",), votes)
    other = Table(ids[:36], ("Edema",), 1 - votes[:36] * (np.arange(36)[:, None] > 7))
    asked = Asked(("image",), None, "ignore", (one, other))
    found = lesson(collection.where("split <> 'test'"), asked)
    assert found.findings == ("Edema",)
    assert found.targets[:10, 0].tolist() == [0.5, 1, 0.5, 1, 0.5, 1, 0.5, 1, 0.5, 0.5]
    assert np.isnan(found.truth.values[0, 0])
    assert found.truth.values[1, 0] == 1
    made = train_supervised(
        collection, tmp_path / "run", labels=[one, one], **{**TINY, "findings": None}
    )
    assert made.spec.findings == ("Edema",)


def test_images_without_a_label_take_no_part(collection: Collection) -> None:
    found = lesson(collection, Asked(("image",), ("Hernia",), "ignore"))
    assert found.ids == ("i00",)


def test_first_visits_are_told_from_the_whole_collection(collection: Collection) -> None:
    view = collection.where("visit = 1")
    assert not lesson(view, Asked(("image",), ("Edema",), "ignore")).first.any()


# ------------------------------------------------------------------ where it starts


def test_training_starts_from_the_weights_it_is_told_to(
    collection: Collection, tmp_path: Path
) -> None:
    moco = pretrain(
        collection.where("split = 'train'"), tmp_path / "moco", architecture="test_resnet",
        size=32, margin=1.0, steps=2, batch=8, queue=16, device="cpu", precision="fp32",
    )  # fmt: skip
    still = {**{k: v for k, v in TINY.items() if k != "architecture"}, "lr": 0.0, "epochs": 1,
             "ema": 0.0}  # fmt: skip
    made = train_supervised(
        collection, tmp_path / "a", init=tmp_path / "moco", statistics="kept", **still
    )
    for name, value in moco.module.state_dict().items():
        assert torch.equal(made.module.backbone.state_dict()[name], value), name
    assert made.spec.image.mean == moco.spec.mean
    pair = random_pair("test_resnet", 5, size=32, channels=1, engine=slow_processor())
    path = save_encoder(pair, tmp_path / "pair.safetensors")
    told = train_supervised(collection, tmp_path / "b", init=path, statistics="kept", **still)
    tower: Any = pair.module
    for name, value in tower.image.state_dict().items():
        assert torch.equal(told.module.backbone.state_dict()[name], value), name
    next_one = train_supervised(
        collection, tmp_path / "c", init=tmp_path / "a", statistics="kept", **still
    )
    own, theirs = (one.module.backbone.state_dict() for one in (next_one, made))
    assert all(torch.equal(own[name], value) for name, value in theirs.items())


def wanted(**changes: Any) -> Wanted:
    return replace(Wanted(None, 32, None, None, None, "own"), **changes)


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    encoder = random_encoder("test_resnet", size=32, engine=slow_processor())
    path = str(save_encoder(encoder, tmp_path / "e.safetensors"))
    with pytest.raises(UsageError, match=r"it is a test_resnet with 1 channel, and a resnet18 is"):
        start_backbone(path, wanted(architecture="resnet18"))
    with pytest.raises(UsageError, match="1 channel, and a backbone with 3 channels is asked for"):
        start_backbone(path, wanted(channels=3))
    with pytest.raises(UsageError, match="it is a resnet18, and a vgg19 is asked for"):
        start_backbone("timm:resnet18.a1_in1k", wanted(architecture="vgg19"))
    with pytest.raises(UsageError, match="random weights need an architecture: name a backbone"):
        start_backbone("random", wanted())
    clip = "random:open_clip/ViT-S-32-alt?size=32"
    with pytest.raises(UsageError, match="its image tower is open_clip's open_clip:ViT-S-32-alt, "):
        start_backbone(clip, wanted())


def test_a_start_may_be_seen_at_another_size_and_pooled_otherwise() -> None:
    module, spec = start_backbone("random:test_resnet?seed=4", wanted(size=48, pooling="max"))
    assert (spec.size, spec.pooling, spec.dim, spec.architecture) == (48, "max", 96, "test_resnet")
    own = random_encoder("test_resnet", 4, engine=slow_processor()).module.state_dict()
    assert all(torch.equal(module.state_dict()[name], value) for name, value in own.items())


def test_a_projection_is_left_where_it_was(tmp_path: Path) -> None:
    image = random_encoder("test_resnet", size=32, engine=slow_processor())
    spec = replace(image.spec, dim=7, projection=7)
    projected = Encoder(spec, Projected(image.module, image.spec.dim, 7), slow_processor())
    path = save_encoder(projected, tmp_path / "p.safetensors")
    module, found = start_backbone(str(path), wanted())
    assert (found.dim, found.projection) == (96, 0)
    own = image.module.state_dict()
    assert all(torch.equal(module.state_dict()[name], value) for name, value in own.items())


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("where", "options", "message"),
    [
        ("visit = 9", {}, "there are no images to learn from; check the condition that chose"),
        ("split = 'train'", {}, "no image has split = 'val': the best weights are chosen on"),
        ("split <> 'x'", {"findings": ["Hernia"]}, "Hernia is present in all of the 1 training"),
        ("Edema = 0", {"findings": ["Edema"]}, "Edema is absent from all of the 14 training imag"),
        ("image_id > 'i00'", {"findings": ["Hernia"]}, "none of the 27 images has a known label"),
        ("image_id > 'i01'", {"findings": ["Hernia", "Edema"]}, "Hernia has no known label of the"),
        ("split <> 'x'", {"inputs": ["history"]}, "history: without image among the inputs this "),
        ("split <> 'x'", {"inputs": ["image", "weight"]}, "'weight' is not an input; there are im"),
        ("split <> 'x'", {"inputs": ["image", "image"]}, "name each input once; got image, image"),
        ("visit = 0", {"inputs": ["image", "previous"]}, "nothing is known of previous for any of"),
        ("split <> 'x'", {"batch": 64}, "28 images do not fill one batch of 64"),
        ("split <> 'x'", {"validate": "f1"}, "'f1' is not a way to validate; choose from auroc, l"),
        ("split <> 'x'", {"uncertain": "soft"}, "counts as ignore, positive, negative or a number"),
        ("split <> 'x'", {"queue": 3}, "a recipe has no 'queue'; it has architecture, init,"),
        ("split = 'train' OR visit = 0 AND Edema = 1", {"findings": ["Edema"]},
         "none of 1 findings is present in some of the 3 validation images and absent in others"),
    ],
)  # fmt: skip
def test_what_cannot_be_taught_is_refused_in_a_sentence(
    where: str, options: dict[str, Any], message: str, collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        train_supervised(collection.where(where), tmp_path / "run", **{**TINY, **options})
    assert not (tmp_path / "run" / "classifier.safetensors").exists()


def test_patients_and_test_images_are_kept_apart(collection: Collection, tmp_path: Path) -> None:
    train, val = (collection.where(f"split = '{split}'") for split in ("train", "val"))
    odd = collection.where("split = 'val' AND visit = 1")
    with pytest.raises(LeakError, match="6 patients have images for training and for val"):
        train_supervised(
            collection.where("split <> 'test' AND (split <> 'val' OR visit = 0)"),
            tmp_path / "a", validation=odd, **TINY,
        )  # fmt: skip
    with pytest.raises(LeakError, match="8 of the images to learn from or to choose by are of"):
        train_supervised(train, tmp_path / "b", validation=collection.where("visit >= 0 AND "
                         "(split = 'test' OR split = 'val')"), **TINY)  # fmt: skip
    given = train_supervised(train, tmp_path / "c", validation=val, **TINY)
    assert given.fingerprint == train_supervised(collection, tmp_path / "d", **TINY).fingerprint


def test_other_labels_do_not_continue_a_run(collection: Collection, trained: Path) -> None:
    with pytest.raises(RunError, match=r"started with other settings \(data was '.*name a new fo"):
        train_supervised(collection, trained, inputs=ALL, uncertain="positive", **TINY)


def test_collections_without_pixels_or_labels_are_refused(
    collection: Collection, tmp_path: Path
) -> None:
    source = films_of_patients(tmp_path / "source")
    bare = ingest(source, tmp_path / "bare.lance", layout="folder", pixels=False).collection
    with pytest.raises(CollectionError, match="was made with --no-pixels and has no images"):
        train_supervised(bare, tmp_path / "run", **TINY)
    with pytest.raises(CollectionError, match="there is no finding 'Nodule' in this collection"):
        train_supervised(collection, tmp_path / "run", **{**TINY, "findings": ["Nodule"]})


def test_a_collection_of_other_findings_gives_other_features(trained: Path, tmp_path: Path) -> None:
    source = films_of_patients(tmp_path / "source")
    table = (source / "table.csv").read_text().replace("Mass", "Nodule")
    (source / "table.csv").write_text(table)
    other = ingest(source, tmp_path / "o.lance", layout="folder", size=32, workers=1).collection
    with pytest.raises(CollectionError, match="there is no finding 'Mass' in this collection"):
        predict(other, trained)


# ------------------------------------------------------------------ recipes


def test_the_study_s_recipe_has_the_study_s_numbers() -> None:
    recipe = SUPERVISED_RECIPES["nih-study"]
    assert (recipe.init, recipe.size, recipe.pooling) == ("timm:efficientnet_b3", 224, "max")
    assert (recipe.head.hidden, recipe.head.dropout) == ((256, 256), 0.5)
    assert (recipe.head.mix, recipe.head.activation) == ("sauce", "relu")
    plan, teach = recipe.train, recipe.teach
    assert (plan.optimiser, plan.lr, plan.schedule, plan.patience) == ("adam", 1e-4, "constant", 5)
    assert (plan.weight_decay, plan.ema, plan.warm_up, plan.epochs) == (0, 0, 0, 200)
    assert (teach.frozen, teach.thaw_epochs, teach.missing) == (True, 10, 0)
    assert (recipe.cost.loss, recipe.validate, recipe.looks) == ("study", "loss", 1)


@pytest.mark.parametrize("recipe", SUPERVISED_RECIPES.values(), ids=SUPERVISED_RECIPES)
def test_no_recipe_turns_left_to_right(recipe: SupervisedRecipe) -> None:
    assert recipe.view.flip == 0


def test_every_number_of_a_recipe_has_a_name_of_its_own() -> None:
    recipe = SUPERVISED_RECIPES["modern"]
    parts: list[Any] = [getattr(recipe, one.name) for one in fields(recipe)]
    records = [recipe, *filter(is_dataclass, parts)]
    names = [one.name for record in records for one in fields(record)]
    assert len(set(names)) == len(names)
    with pytest.raises(UsageError, match="'best' is not a recipe; choose from nih-study, modern"):
        find("best", SUPERVISED_RECIPES)


@pytest.mark.parametrize("name", SUPERVISED_RECIPES)
def test_every_recipe_trains(name: str, collection: Collection, tmp_path: Path) -> None:
    changes = {**TINY, "epochs": 1, "init": "random"}
    if name == "nih-study":
        changes["thaw_epochs"] = 1
    made = train_supervised(collection, tmp_path / "run", name, inputs=ALL, **changes)
    assert isinstance(made, Classifier)
    assert made.spec.looks == SUPERVISED_RECIPES[name].looks
    assert load_encoder(tmp_path / "run", engine=slow_processor()).spec.recipe == name


def test_the_last_weights_are_left_where_nothing_is_measured(
    collection: Collection, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train_supervised(collection.where("split = 'train'"), run, validate="none", **TINY)
    metrics = metrics_of(run)
    assert (metrics["kept"], metrics["split"], metrics["validation"]) == ([], None, None)


def test_a_loss_decides_where_it_is_asked_to(collection: Collection, tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = train_supervised(collection, run, validate="loss", **TINY)
    val = lesson(collection.where("split = 'val'"), Asked(("image",), ("Edema", "Mass"), "ignore"))
    assert isinstance(val, Lesson)
    logits = made.logits(collection.where("split = 'val'").pixels())
    known = ~np.isnan(val.targets)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits[known]), torch.from_numpy(val.targets[known])
    )
    assert metrics_of(run)["best"] == pytest.approx(-expected.item(), rel=1e-4)


def test_a_finding_that_validation_lacks_is_named_with_the_reason(
    collection: Collection, tmp_path: Path
) -> None:
    view = collection.where("split = 'train' OR Mass = 0")
    made = train_supervised(view, tmp_path / "run", **TINY)
    notes = metrics_of(tmp_path / "run")["notes"]
    assert notes["validation: Mass"] == "no image has it"
    assert made.notes == {"Mass": "not measured in validation: no image has it"}
    table = predict(collection.where("split = 'test'"), made)
    assert table.notes == made.notes
