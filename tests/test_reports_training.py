"""From a collection with reports to a pair of encoders: `pretrain_reports` and its command."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hilum import cli
from hilum.collection import Collection
from hilum.embed import embed
from hilum.encoders import load_pair, random_encoder, save_encoder, tokenise
from hilum.encoders.tensors import read_header
from hilum.errors import LeakError, RunError, UsageError
from hilum.evaluate import auroc
from hilum.ingest import ingest
from hilum.prompts import pair_scores, prompt_pairs, prompt_vectors
from hilum.tables import Table
from hilum.training import RECIPES, REPORT_RECIPES, pretrain_reports
from hilum.training import train as loop
from hilum.training.feed import Feed, Resident
from hilum.training.recipes import find, override
from hilum.training.report_task import ReportTask
from hilum.training.report_validation import recall, retrieval, zeroshot
from hilum.training.texts import Texts, TextSettings
from hilum.training.told import survey, told
from reference_reports import made_up
from reference_training import blobs, slow_processor

SECRET = "Zebediah"  # in every report; must be in no file of a run
TINY: dict[str, Any] = {
    "architecture": "test_resnet", "size": 32, "margin": 1, "dim": 16, "text_width": 16,
    "text_heads": 2, "text_layers": 1, "steps": 2, "batch": 8, "precision": "fp32",
    "evaluate_every": 1, "device": "cpu",
}  # fmt: skip


def write_source(root: Path, n: int = 28) -> Path:
    """Write n films of n // 2 patients with reports: 18 train, 8 val, the rest test."""
    (root / "films").mkdir(parents=True)
    findings, impressions = made_up(n)
    with (root / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image_id", "patient_id", "file", "split", "Edema", "report_findings",
                        "report_impression"])  # fmt: skip
        for row, film in enumerate(blobs(n, size=32)):
            name = f"films/i{row:02}.png"
            cv2.imwrite(str(root / name), film)
            split = "train" if row < 18 else "val" if row < 26 else "test"
            told_ = f"{findings[row]} Seen by {SECRET}." if row != 3 else ""
            impression = impressions[row] if row not in (3, 4) else ""
            table.writerow([f"i{row:02}", f"p{row // 2:02}", name, split, row % 2, told_,
                            impression])  # fmt: skip
    return root


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("reports")
    source = write_source(folder / "source")
    return ingest(source, folder / "c.lance", layout="folder", size=32, workers=1).collection


@pytest.fixture
def train(collection: Collection) -> Collection:
    return collection.where("split = 'train'")


@pytest.fixture
def val(collection: Collection) -> Collection:
    return collection.where("split = 'val'")


# ------------------------------------------------------------------ a run


def test_a_collection_becomes_a_pair_in_a_run_folder(
    train: Collection, val: Collection, collection: Collection, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    pair = pretrain_reports(train, run, validation=val, keep=2, **TINY)
    again = load_pair(run, engine=slow_processor())
    assert again.fingerprint == pair.fingerprint
    assert (pair.spec.recipe, pair.spec.dim, pair.spec.size) == ("reports-small", 16, 32)
    assert pair.spec.source == "17 images and their reports, from random weights"
    asked = json.loads((run / "settings.json").read_text())
    counts = {"images": 17, "left_out": 1, "reports": 17, "longer_reports": 0}
    assert {key: asked["reports"][key] for key in counts} == counts
    assert (asked["validate"], asked["matching"]["positives"]) == ("retrieval", "said")
    metrics = json.loads((run / "metrics.json").read_text())
    header = read_header(run / "encoder.safetensors")
    assert header["provenance"]["best_step"] == metrics["best_step"]
    assert header["recipe"]["train"]["steps"] == 2
    for name, step in zip(metrics["kept"], (metrics["best_step"], 3 - metrics["best_step"]),
                          strict=True):  # fmt: skip
        one = load_pair(run / name, engine=slow_processor())
        assert (read_header(run / name)["step"], one.spec) == (step, pair.spec)
    best = load_pair(run / metrics["kept"][0], engine=slow_processor())
    assert best.fingerprint == pair.fingerprint
    pixels = val.pixels()
    np.testing.assert_array_equal(again.encode_images(pixels), pair.encode_images(pixels))
    np.testing.assert_allclose(np.linalg.norm(pair.encode_texts(["Edema."]), axis=1), 1, rtol=1e-5)
    _, vectors = embed(collection, run, "reports").vectors("reports")
    np.testing.assert_allclose(vectors[18:26], pair.encode_images(pixels), atol=2e-2)

    control = pretrain_reports(train, tmp_path / "other", **TINY, seed=1)
    assert control.fingerprint != pair.fingerprint
    repeated = pretrain_reports(train, run, validation=val, keep=2, **TINY)
    assert repeated.fingerprint == pair.fingerprint


def test_images_are_told_with_their_own_reports_where_others_have_none(
    train: Collection, val: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 3 of the training images and the first of the others have nothing to say."""
    fed: dict[str, NDArray[np.uint8]] = {}
    said: dict[str, str] = {image: f"Edema, number {image}." for image in train.ids() + val.ids()}
    del said["i03"], said["i18"]

    def note(kind: str, feed: Feed, words_: Sequence[str], view: Collection) -> None:
        fed[kind] = feed(np.arange(len(feed))).numpy()
        told_ = [image for image in view.ids() if image in said]
        assert list(words_) == [said[image] for image in told_]

    class Noted(ReportTask):
        def __init__(self, pair: Any, spec: Any, feed: Feed, texts: Texts, *rest: Any) -> None:
            note("train", feed, [one.text for one in texts.whole], train)
            super().__init__(pair, spec, feed, texts, *rest)

    def noted(pair: Any, feed: Feed, words_: Sequence[str]) -> Any:
        note("val", feed, words_, val)
        return retrieval(pair, feed, words_)

    monkeypatch.setattr("hilum.training.reports.ReportTask", Noted)
    monkeypatch.setattr("hilum.training.reports.retrieval", noted)
    pretrain_reports(train, tmp_path / "run", validation=val, reports=said, **TINY)
    np.testing.assert_array_equal(fed["train"], np.delete(train.pixels(), 3, axis=0))
    np.testing.assert_array_equal(fed["val"], val.pixels()[1:])


def test_the_scale_is_within_its_limit_also_after_the_last_step(
    train: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beyond(task: ReportTask, *given: Any, **named: Any) -> dict[str, Any]:
        metrics = loop(task, *given, **named)
        with torch.no_grad():
            task.pair.logit_scale.add_(9.0)
        return metrics

    monkeypatch.setattr("hilum.training.reports.train", beyond)
    assert pretrain_reports(train, tmp_path / "run", **TINY).scale == pytest.approx(100)


def test_no_word_of_a_report_is_in_the_files_of_a_run(
    train: Collection, val: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain_reports(train, tmp_path / "run", validation=val, context=8, **TINY)
    asked = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert asked["reports"]["longer_reports"] > 10
    for path in (tmp_path / "run").iterdir():
        assert SECRET.lower().encode() not in path.read_bytes().lower(), path
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err


def test_the_labels_of_validation_images_choose_only_when_asked_to(
    train: Collection, val: Collection, tmp_path: Path
) -> None:
    pretrain_reports(train, tmp_path / "a", validation=val, validate="zeroshot", **TINY)
    pretrain_reports(train, tmp_path / "b", validation=val, **TINY)
    pretrain_reports(train, tmp_path / "c", validation=val, validate="none", **TINY)
    pretrain_reports(train, tmp_path / "d", **TINY)  # no images to choose by
    ways = {}
    for name in "abcd":
        asked = json.loads((tmp_path / name / "settings.json").read_text())
        log = (tmp_path / name / "log.jsonl").read_text().splitlines()
        ways[name] = asked["validate"], "measure" in json.loads(log[0])
        made = read_header(tmp_path / name / "encoder.safetensors")["provenance"]
        assert made["validate"] == asked["validate"]
    assert ways == {"a": ("zeroshot", True), "b": ("retrieval", True), "c": ("none", False),
                    "d": ("none", False)}  # fmt: skip


def test_the_image_tower_starts_from_an_image_encoder(train: Collection, tmp_path: Path) -> None:
    start = random_encoder("test_resnet", 7, size=32, engine=slow_processor())
    path = save_encoder(start, tmp_path / "moco.safetensors")
    still = pretrain_reports(
        train, tmp_path / "run", init=str(path), lr=0.0, **{**TINY, "steps": 1}
    )
    weights = dict(start.module.named_parameters())
    for name, value in still.module.image.named_parameters():
        np.testing.assert_array_equal(value.detach(), weights[name].detach())
    with pytest.raises(UsageError, match=r"it is a test_resnet, resnet18 is asked for"):
        pretrain_reports(
            train, tmp_path / "r", init=str(path), **{**TINY, "architecture": "resnet18"}
        )


def test_training_goes_on_from_a_pair(train: Collection, tmp_path: Path) -> None:
    first = pretrain_reports(train, tmp_path / "first", **TINY)
    still = pretrain_reports(train, tmp_path / "still", init=tmp_path / "first", lr=0.0, **TINY)
    texts = ["Edema.", "No effusion."]
    np.testing.assert_array_equal(still.encode_texts(texts), first.encode_texts(texts))


# ------------------------------------------------------------------ what is refused


def test_other_reports_do_not_continue_a_run(train: Collection, tmp_path: Path) -> None:
    said = dict.fromkeys(train.ids(), "No edema.") | {"i00": "Edema."}
    pretrain_reports(train, tmp_path / "run", reports=said, **TINY)
    with pytest.raises(RunError, match=r"started with other settings \(data was '.*name a new fo"):
        pretrain_reports(train, tmp_path / "run", reports=said | {"i01": "Edema."}, **TINY)


def test_other_weights_under_the_same_name_do_not_continue_a_run(
    train: Collection, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    for seed in (0, 1):
        save_encoder(random_encoder("test_resnet", seed, size=32, engine=slow_processor()), start)
        if not seed:
            pretrain_reports(train, tmp_path / "run", init=start, **TINY)
    with pytest.raises(RunError, match=r"started with other settings \(start was '"):
        pretrain_reports(train, tmp_path / "run", init=start, **TINY)


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ({}, "no report has the id of one of the 18 images: those of the images are like 'i00', n"),
        ({"x": "Edema."}, "those of the images are like 'i00', those of the reports are like 'x'"),
        (dict.fromkeys(["i00", "i01"], "  "), "none of the 18 images has a report"),
        ({"i00": "Normal.", "i01": "1. NORMAL"}, "all 2 reports have the same words, so there is"),
    ],
)
def test_reports_that_teach_nothing_are_refused(
    train: Collection, tmp_path: Path, reports: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pretrain_reports(train, tmp_path / "run", reports=reports, **TINY)
    assert not (tmp_path / "run").exists()


def test_images_without_what_is_drawn_are_left_out_or_refused(
    train: Collection, tmp_path: Path
) -> None:
    found = told(train, TextSettings(impression=1))
    assert (len(found), found.left_out) == (16, 2)
    assert list(found.rows) == [row for row in range(18) if row not in (3, 4)]
    only = train.where("image_id = 'i04' OR image_id = 'i03'")
    with pytest.raises(UsageError, match=r"none of the 2 images has what is .*\(impression\), 1 h"):
        pretrain_reports(only, tmp_path / "run", scattered=0, whole=0, **TINY)
    with pytest.raises(UsageError, match="there are no images to learn from; check the condition"):
        pretrain_reports(train.where("visit = 9"), tmp_path / "run", **TINY)
    with pytest.raises(UsageError, match="17 images do not fill one batch of 32"):
        pretrain_reports(train, tmp_path / "run", **{**TINY, "batch": 32})


def test_a_patient_on_both_sides_is_a_leak(
    collection: Collection, train: Collection, tmp_path: Path
) -> None:
    with pytest.raises(LeakError, match=r"9 patients have images for training and for val.*p00, p"):
        pretrain_reports(
            train, tmp_path / "run", validation=collection.where("split <> 'test'"), **TINY
        )
    for taught, judged in ((train, collection), (collection, None)):
        with pytest.raises(LeakError, match=r"of the images to learn from or to choose by are of"):
            pretrain_reports(taught, tmp_path / "run", validation=judged, **TINY)


@pytest.mark.parametrize(
    ("choose", "changes", "message"),
    [
        (lambda val: val.where("visit = 9"), {}, "there are no validation images; check the cond"),
        (lambda _: None, {"validate": "zeroshot"}, "validate='zeroshot' needs images of other pat"),
        (lambda val: val, {"validate": "loss"}, "'loss' is not a way to validate; choose from ret"),
        (
            lambda val: val.where("Edema = 1"), {"validate": "zeroshot"},
            "none of 1 findings is present in some of the 4 validation images and absent in others",
        ),
    ],
)  # fmt: skip
def test_validation_that_cannot_be_is_refused(
    train: Collection, val: Collection, tmp_path: Path,
    choose: Callable[[Collection], Collection | None], changes: dict[str, Any], message: str,
) -> None:  # fmt: skip
    with pytest.raises(UsageError, match=message):
        pretrain_reports(train, tmp_path / "run", validation=choose(val), **TINY, **changes)


def test_what_a_recipe_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="'clip' is not a recipe; choose from reports-small, chex"):
        find("clip", REPORT_RECIPES)
    with pytest.raises(UsageError, match=r"a recipe has no 'queue'; it has architecture, .*alike"):
        override(REPORT_RECIPES["reports-small"], {"queue": 1})


# ------------------------------------------------------------------ recipes


def test_the_published_recipe_has_the_published_numbers() -> None:
    recipe = REPORT_RECIPES["chexzero"]
    assert recipe.architecture == "open_clip:ViT-B-32-quickgelu"
    assert recipe.init == "open_clip:ViT-B-32-quickgelu:openai"
    assert (recipe.size, recipe.stored, recipe.context, recipe.resize) == (224, 320, 77, "bicubic")
    assert recipe.mean == pytest.approx((0.39799,) * 3, abs=1e-5)
    assert recipe.std == pytest.approx((0.32721,) * 3, abs=1e-5)
    assert (recipe.matching.loss, recipe.matching.positives) == ("softmax", "own")
    assert (recipe.matching.most_scale, recipe.matching.scale) == (0, None)
    assert recipe.words == TextSettings(impression=1)
    plan = recipe.train
    assert (plan.optimiser, plan.lr, plan.schedule, plan.warm_up) == ("sgd", 1e-4, "constant", 0)
    assert (plan.batch, plan.epochs, plan.weight_decay, plan.clip) == (64, 4, 0, 0)
    assert (plan.keep, plan.evaluate_every, recipe.validate) == (10, 1000, "zeroshot")


@pytest.mark.parametrize("recipe", [RECIPES["moco-small"], REPORT_RECIPES["reports-small"]])
def test_every_number_of_a_recipe_has_a_name_of_its_own(recipe: Any) -> None:
    parts = [getattr(recipe, one.name) for one in fields(recipe)]
    names = [
        one.name for record in (recipe, *filter(is_dataclass, parts)) for one in fields(record)
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("recipe", REPORT_RECIPES.values(), ids=REPORT_RECIPES)
def test_no_recipe_turns_left_to_right(recipe: Any) -> None:
    assert recipe.view.flip == 0


def test_a_recipe_is_changed_by_the_names_of_its_fields() -> None:
    recipe = override(
        REPORT_RECIPES["reports-small"],
        {"steps": 9, "chunk": 4, "whole": 2.0, "rotate": 1, "channels": 3, "alike": 1.0},
    )
    assert (recipe.train.steps, recipe.matching.chunk, recipe.matching.alike) == (9, 4, 1.0)
    assert (recipe.words.whole, recipe.view.rotate, recipe.mean) == (2.0, 1, None)
    grey = override(REPORT_RECIPES["chexzero"], {"channels": 1})
    assert grey.mean == pytest.approx((0.39799,), abs=1e-5)


def test_every_recipe_trains(collection: Collection, train: Collection, tmp_path: Path) -> None:
    for name, recipe in REPORT_RECIPES.items():
        small = replace(recipe, validate="retrieval")
        changes = {**TINY, "init": "random", "channels": 1, "resize": recipe.resize, "steps": 1}
        if name == "chexzero":
            changes["size"] = 16  # so that the stored 32 are resized its way
        pair = pretrain_reports(
            train, tmp_path / name, small, validation=collection.where("split = 'val'"), **changes
        )
        assert pair.spec.image.resize == recipe.resize
        assert pair.spec.recipe == name


# ------------------------------------------------------------------ measures


def test_recall_worked_by_hand() -> None:
    """Row 0 finds its own text second, row 1 an identical report first, row 2 nothing."""
    cosines = np.array([[0.5, 0.9, 0.1], [0.8, 0.3, 0.2], [0.9, 0.8, 0.7]], np.float32)
    hits = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]], np.bool_)
    assert recall(cosines, hits, 1) == pytest.approx(1 / 3)
    assert recall(cosines, hits, 2) == pytest.approx(2 / 3)
    assert recall(cosines, hits, 3) == 1
    assert recall(np.ones((3, 3), np.float32), hits, 2) == pytest.approx(1 / 3)  # ties are no hits


def test_the_retrieval_measure_is_the_recall_of_both_directions(
    train: Collection, val: Collection, tmp_path: Path
) -> None:
    pair = pretrain_reports(train, tmp_path / "run", **TINY)
    feed = Resident(torch.from_numpy(np.concatenate([val.pixels(), train.pixels()])))
    reports = [f"Edema, number {n // 2:03}." for n in range(len(feed))]
    cosines = pair.encode_images(feed.pixels.numpy()) @ pair.encode_texts(reports[::2]).T
    found = []
    for image in range(26):
        own = cosines[image, image // 2]
        found.append(sum(cosines[image, text] >= own for text in range(13) if text != image // 2))
        column, two = cosines[:, image // 2], {image, image ^ 1}
        best = max(column[one] for one in two)
        found.append(sum(column[other] >= best for other in set(range(26)) - two))
    assert retrieval(pair, feed, reports)() == pytest.approx(np.mean(np.array(found) < 10))
    with pytest.raises(UsageError, match="26 validation images have one report between them"):
        retrieval(pair, feed, ["Same."] * 26)


def test_the_zeroshot_measure_is_the_mean_auroc_by_hilum_s_prompts(
    train: Collection, val: Collection, tmp_path: Path
) -> None:
    pair = pretrain_reports(train, tmp_path / "run", **TINY)
    feed = Resident(torch.from_numpy(val.pixels()))
    values = np.array([[0, 1, 1, 0, 1, -1, np.nan, 0], [1] * 8, [0, 1] * 4], np.float64).T
    names = ("Edema", "Mass", "Pleural Effusion")
    labels = Table(val.ids(), names, values)
    measure = zeroshot(pair, feed, labels)
    two = prompt_pairs(["Edema", "Pleural Effusion"])
    scores = pair_scores(pair.encode_images(val.pixels()), prompt_vectors(two, pair.encode_texts))
    known = np.isin(values[:, 0], (0, 1))
    expected = [auroc(scores[known, 0], values[known, 0] == 1), auroc(scores[:, 1], values[:, 2])]
    assert measure() == pytest.approx(np.mean(expected))
    rare = Table(val.ids(), ("Melanoma", "Nonsense"), values[:, [2, 2]])  # words for one of them
    (mole,) = prompt_pairs(["Melanoma"])
    one = pair_scores(pair.encode_images(val.pixels()), prompt_vectors([mole], pair.encode_texts))
    assert zeroshot(pair, feed, rare)() == pytest.approx(auroc(one[:, 0], values[:, 2] == 1))


def test_a_survey_counts_reports_and_names_their_tokens(train: Collection) -> None:
    texts = told(train, TextSettings(whole=1)).texts
    tokens = tokenise([passage.text for passage in texts.whole], 77)
    long = (tokens != 0).sum(axis=1)
    for context in sorted(set(long.tolist())):  # a text that just fits is not cut
        ids, counts = survey(texts, context)
        assert ids == sorted(set(tokens.ravel().tolist()) | {0})
        assert counts["longer_reports"] == int((long > context).sum())
    assert counts["sentences"] == len(texts.vocabulary)


# ------------------------------------------------------------------ the command


def run_command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["hilum", "pretrain", "report", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    code = stop.value.code
    return code if isinstance(code, int) else 0


SETTINGS = [f"--set={name}={value}" for name, value in TINY.items()
            if name not in ("steps", "batch", "device")]  # fmt: skip


def test_the_command_trains_and_says_what_came_out(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    code = run_command(
        monkeypatch, collection.uri, str(run), "--steps", "2", "--batch", "8", "--validate",
        "zeroshot", "--device", "cpu", "--json", *SETTINGS,
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out)
    assert found["fingerprint"] == load_pair(run, engine=slow_processor()).fingerprint
    assert found["reports"]["left_out"] == 1
    assert found["metrics"]["steps"] == 2
    assert "18 images\n" in said.err
    assert "1 images left out: nothing to learn from in their reports" in said.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--where", "visit = 9"], 2, "there are no images to learn from"),
        (["--where", "image_id = 'i00'"], 2, "all 1 reports have the same words, so there is not"),
        (["--where", "image_id IN ('i03', 'i04')", "--set=scattered=0", "--set=whole=0"], 2,
         "none of the 2 images has what is to be drawn from its report (impression), 1 have anoth"),
        (["--validation", "visit = 9"], 2, "there are no validation images"),
        (["--validation", "split = 'train'"], 1, "9 patients have images for training and for val"),
        (["--init", "nowhere.safetensors"], 1, "nowhere.safetensors: there is no such file"),
        (["--set=texts=0"], 2, "an image gets at least 1 text in a step; got texts=0"),
        (["--recipe", "clip"], 2, "'clip' is not a recipe; choose from reports-small, chexzero"),
    ],
)  # fmt: skip
def test_the_command_refuses_in_one_line(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str,
) -> None:  # fmt: skip
    run = tmp_path / "r"
    found = run_command(monkeypatch, collection.uri, str(run), "--steps", "1", *SETTINGS, *words)
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("Error")]
    assert (found, len(errors)) == (code, 1), said.err
    assert message in said.err
    assert not said.out
    assert not run.exists()
