"""The frontier of a small hospital, against its parts done one by one, and through the command."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from typer.testing import CliRunner

import hilum
from hilum.cli import app
from hilum.collection import Collection
from hilum.encoders import TextSpec, random_encoder, random_pair, save_encoder
from hilum.errors import CollectionError, LeakError, RunError, UsageError, WeightsError
from hilum.evaluate import evaluate_repeats
from hilum.evaluate.multiplicity import holm
from hilum.frontier import (
    Design,
    FewLabels,
    Frontier,
    Measuring,
    OtherLines,
    as_json,
    as_text,
    save,
)
from hilum.frontier import draw_frontier as draw
from hilum.frontier import few as few_module
from hilum.frontier import goal as goal_module
from hilum.frontier import measured as measured_module
from hilum.frontier.kept import Kept
from hilum.frontier.material import gather, truth_of
from hilum.frontier.others import Work, said
from hilum.frontier.page import lead
from hilum.frontier.tracks import Track
from hilum.predictors import METHODS
from hilum.select import STRATEGIES
from hilum.select.pool import Pool, Settings
from hilum.tables import Table
from reference_training import slow_processor
from watching import misuse

FINDINGS = ("Edema", "Mass")
FEW = FewLabels(
    budgets=(4, 8, 16), strategies=("random", "k-means", "margin"), readers=("cosine", "probe"),
    controls=("blind",), repeats=2,
)  # fmt: skip
MEASURING = Measuring(fewest=2, bootstrap=30)
TINY: dict[str, Any] = {
    "margin": 1.0, "width": 8, "batch": 8, "precision": "fp32", "epochs": 1.0, "size": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 60 films of 30 patients with reports, a collection with two embeddings, encoders."""
    root = tmp_path_factory.mktemp("frontier")
    rng = np.random.default_rng(5)
    (root / "source" / "films").mkdir(parents=True)
    with (root / "source" / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        about = ["image_id", "patient_id", "file", "split", "visit", "age", "sex", "view"]
        texts = ["report_findings", "report_impression"]
        table.writerow([*about, *texts, *FINDINGS, "No Finding"])
        for row in range(60):
            patient, edema, mass = row // 2, (row // 4) % 2, int(rng.random() < 0.4)
            film = rng.integers(0, 90, (32, 32)) + 110 * edema
            film[8:16, 8:16] += 50 * mass
            _write_film(root / "source" / "films" / f"i{row:02}.png", film.astype(np.uint8))
            split = ("train", "train", "train", "val", "test")[patient % 5]
            text = ("Edema. " if edema else "No edema. ") + ("There is a mass." if mass else "")
            table.writerow([f"i{row:02}", f"p{patient:02}", f"films/i{row:02}.png", split, row % 2,
                            40 + patient, "MF"[patient % 2], "PA", text, "", edema, mass,
                            int(not edema and not mass)])  # fmt: skip
    made = hilum.ingest(root / "source", root / "c.lance", layout="folder", size=32, workers=1)
    encoder = random_encoder("test_resnet", 0, size=32, engine=slow_processor())
    save_encoder(encoder, root / "encoder.safetensors")
    blind = random_encoder("test_resnet", 9, size=32, engine=slow_processor())
    hilum.embed(hilum.embed(made.collection, encoder, name="seen"), blind, name="blind")
    pair = random_pair("test_resnet", size=32, dim=8, context=16, text=TextSpec(16, 1, 2),
                       engine=slow_processor())  # fmt: skip
    save_encoder(pair, root / "pair.safetensors")
    return root


def _write_film(path: Path, film: Any) -> None:
    import cv2

    cv2.imwrite(str(path), film)


@pytest.fixture(scope="module")
def collection(folder: Path) -> Collection:
    return hilum.open(folder / "c.lance")


@pytest.fixture(scope="module")
def design(folder: Path) -> Design:
    others = OtherLines(
        pairs=(str(folder / "pair.safetensors"),), encoder=str(folder / "encoder.safetensors"),
        full=(("image",), ("image", "demographics")), changes=TINY,
    )  # fmt: skip
    return Design("seen", FEW, others, MEASURING, seed=3)


@pytest.fixture(scope="module")
def found(collection: Collection, design: Design, folder: Path) -> Frontier:
    return draw(collection, folder / "whole", design, device="cpu")


def test_few_labels_are_those_of_the_strategies_and_readers_one_by_one(
    collection: Collection, found: Frontier
) -> None:
    train, test = (collection.where(f"split = '{split}'") for split in ("train", "test"))
    ids, vectors = train.vectors("seen")
    labels, truth = train.labels(findings=FINDINGS), test.labels(findings=FINDINGS)
    tables = []
    for seed in (3, 4):
        words = [seed, crc32(b"k-means")]
        picks = (
            STRATEGIES["k-means"]
            .pick(Pool(vectors, ids), 8, Settings(), np.random.default_rng(words))
            .rows
        )
        scores = METHODS["probe"](test.vectors("seen")[1], vectors[picks], labels.values[picks])
        values = np.where(np.isnan(scores.scores), 0.0, scores.scores)
        tables.append(Table(truth.ids, truth.findings, values))
    expected = evaluate_repeats(tables, truth, bootstrap=30, seed=3)
    point = found.line("k-means, probe").points[1]
    assert (point.labels, point.repeats) == (8, 2)
    for mine, reference in ((point.mean, expected.mean),
                            (point.findings["Mass"], expected.findings["Mass"])):  # fmt: skip
        # scores are kept in single precision
        assert mine.estimate == pytest.approx(reference.estimate, abs=1e-6)
        assert mine.low == pytest.approx(reference.low, abs=1e-6)
        assert mine.high == pytest.approx(reference.high, abs=1e-6)
    assert point.spread == pytest.approx(expected.spread, abs=1e-6)


def test_random_images_are_the_same_for_every_embedding_and_grow(
    collection: Collection, design: Design, found: Frontier, folder: Path
) -> None:
    assert found.goal
    truth = truth_of(collection, None, "ignore", 2)
    picks = {}
    for name in ("seen", "blind"):
        one = gather(collection, name, truth, "ignore")
        walk = few_module.Walk("random", 3, (4, 8), ("cosine",))
        stops = few_module.go(walk, one, folder / "walk")
        picks[name] = [Kept.load(stop.picks).tolist() for stop in stops]
    assert picks["seen"] == picks["blind"]
    assert picks["seen"][1][:4] == picks["seen"][0]


def test_what_stands_beside_is_what_the_commands_give(
    collection: Collection, design: Design, found: Frontier, folder: Path
) -> None:
    test = collection.where("split = 'test'")
    truth = test.labels(findings=FINDINGS)

    def auroc(scores: Table) -> float | None:
        return evaluate_repeats([scores], truth, bootstrap=0).mean.estimate

    sentences = hilum.zeroshot(test, folder / "pair.safetensors", FINDINGS)
    assert found.line("zero-shot").last.mean.estimate == pytest.approx(auroc(sentences), abs=1e-6)
    run = next((folder / "whole" / "networks").glob("full-*"))
    networks = {
        name: found.line(f"network: {name}").last.mean.estimate
        for name in ("image", "image, demographics")
    }
    assert any(value == pytest.approx(auroc(hilum.predict(test, run)), abs=1e-6)
               for value in networks.values())  # fmt: skip
    floor = next((folder / "whole" / "networks").glob("floor-*"))
    floors = [line.last.mean.estimate for line in found.of("floor")]
    assert any(
        value == pytest.approx(auroc(hilum.predict(test, floor)), abs=1e-6) for value in floors
    )
    assert found.line("all labels, probe").last.labels == 36
    assert found.line("labels from reports, probe").last.labels == 0
    assert [line.kind for line in found.lines] == sorted(
        (line.kind for line in found.lines),
        key=["none", "few", "control", "tuned", "all", "full", "floor"].index,
    )


def test_strategies_are_compared_with_random_images_and_corrected_together(
    found: Frontier,
) -> None:
    gaps = {line.name: line.over_chance for line in found.of("few") if line.over_chance}
    assert set(gaps) == {f"{s}, {r}" for s in ("k-means", "margin") for r in ("cosine", "probe")}
    values = [gap.p_value for gap in gaps.values()]
    adjusted = [gap.p_adjusted for gap in gaps.values()]
    np.testing.assert_allclose(adjusted, holm(values))  # type: ignore[arg-type]
    for name, gap in gaps.items():
        own, chance = found.line(name), found.line(f"random, {name.split(', ')[1]}")
        heights = [line.height.estimate for line in (own, chance) if line.height]
        assert gap.estimate == pytest.approx(heights[0] - heights[1])  # type: ignore[operator]


def test_what_a_report_does_not_mention_is_absent() -> None:
    values = np.array([[1.0, -1.0, 0.0, np.nan]])
    assert said(values, "positive").tolist() == [[1.0, 1.0, 0.0, 0.0]]
    assert said(values, "negative").tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_nothing_is_computed_twice(
    collection: Collection, design: Design, found: Frontier, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(few_module, "read", never)
    monkeypatch.setattr(measured_module, "replicate_repeats", never)
    again = draw(collection, folder / "whole", design, device="cpu")
    assert as_json(again) == as_json(found)


def test_more_budgets_and_seeds_keep_what_was_there(
    collection: Collection, design: Design, found: Frontier, folder: Path
) -> None:
    before = set((folder / "whole" / "kept").iterdir())
    few = replace(FEW, budgets=(4, 8, 16, 30), repeats=2)
    wider = draw(collection, folder / "whole", replace(design, few=few), device="cpu")
    assert before < set((folder / "whole" / "kept").iterdir())
    for line in found.of("few"):
        assert wider.line(line.name).points[:3] == line.points


def test_two_processes_find_what_one_does(
    collection: Collection, design: Design, found: Frontier, tmp_path: Path
) -> None:
    few = replace(FEW, controls=(), strategies=("random",), repeats=1)
    alone = replace(design, few=few, others=OtherLines(reports=False))
    one, two = (
        draw(collection, tmp_path / str(n), alone, device="cpu", processes=n) for n in (1, 2)
    )
    assert as_json(one) == as_json(two)


def test_test_labels_move_neither_picks_nor_the_goal(
    collection: Collection, design: Design, folder: Path, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    few = replace(FEW, strategies=("random", "margin"), controls=(), repeats=1)
    asked = replace(design, few=few, others=replace(design.others, pairs=(), full=(("image",),)))
    goals, files = [], []
    for at, turned in enumerate((False, True)):
        if turned:
            own = Collection.labels

            def labels(self: Collection, *args: Any, **kwargs: Any) -> Table:
                table = own(self, *args, **kwargs)  # noqa: B023
                if set(self.table(["split"])["split"]) != {"test"}:
                    return table
                return replace(table, values=np.where(np.isnan(table.values), np.nan,
                                                      1 - table.values))  # fmt: skip

            monkeypatch.setattr(Collection, "labels", labels)
        found = draw(collection, tmp_path / str(at), asked, device="cpu")
        goals.append(found.goal)
        files.append({path.name: path.read_bytes()
                      for path in (tmp_path / str(at) / "kept").glob("picks-*")})  # fmt: skip
    assert goals[0] == goals[1]
    assert files[0] == files[1]


def test_a_network_taught_few_labels_stands_at_their_number(
    collection: Collection, design: Design, tmp_path: Path
) -> None:
    few = replace(FEW, strategies=("random",), controls=(), repeats=1, fine_tuned=(4, 16),
                  fine_tune_steps=2, fine_tune_rounds=0.25)  # fmt: skip
    none: dict[str, Any] = {"pairs": (), "full": (), "floors": (), "reports": False}
    others = replace(design.others, **none)
    found = draw(collection, tmp_path, replace(design, few=few, others=others), device="cpu")
    (line,) = found.of("tuned")
    assert [point.labels for point in line.points] == [4, 16]
    assert line.last.mean.estimate is not None
    assert (
        f"Where 16 teach the whole network and not only what reads its vectors, it is "
        f"{line.last.mean.estimate:.3f}" in lead(found)
    )
    runs = sorted((tmp_path / "networks").iterdir())
    settings = [json.loads((run / "settings.json").read_text()) for run in runs]
    taught = {one["images"]: one["train"]["steps"] for one in settings}
    assert taught == {4: 2, 16: 2}
    more = replace(few, fine_tuned=(16,), fine_tune_rounds=3.5)
    draw(collection, tmp_path, replace(design, few=more, others=others), device="cpu")
    (run,) = set((tmp_path / "networks").iterdir()) - set(runs)
    assert json.loads((run / "settings.json").read_text())["train"]["steps"] == 4


def alone(design: Design, **others: Any) -> Design:
    """Ask for random images and for some of what stands beside."""
    few = replace(FEW, strategies=("random",), controls=(), repeats=1)
    none: dict[str, Any] = {"pairs": (), "full": (), "floors": (), "reports": False}
    return replace(design, few=few, others=replace(design.others, **none | others))


def test_a_network_of_other_weights_under_the_same_path_is_another_network(
    folder: Path, design: Design, tmp_path: Path
) -> None:
    shutil.copytree(folder / "c.lance", tmp_path / "c.lance")
    path = tmp_path / "encoder.safetensors"
    asked = alone(design, full=(("image",),), encoder=str(path))
    scores = []
    for seed in (0, 1):
        encoder = random_encoder("test_resnet", seed, size=32, engine=slow_processor())
        save_encoder(encoder, path)
        made = hilum.embed(hilum.open(tmp_path / "c.lance"), encoder, "seen", overwrite=True)
        found = draw(made, tmp_path / "run", asked, device="cpu")
        scores.append(found.line("network: image").last.mean.estimate)
    assert len(list((tmp_path / "run" / "networks").iterdir())) == 2
    assert scores[0] != scores[1]


def test_networks_learn_uncertain_labels_by_the_policy_that_they_are_measured_by(
    collection: Collection, design: Design, tmp_path: Path
) -> None:
    asked = alone(design, full=(("image",),))
    asked = replace(asked, measuring=replace(MEASURING, policy="positive"))
    draw(collection, tmp_path, asked, device="cpu")
    (run,) = (tmp_path / "networks").iterdir()
    assert json.loads((run / "settings.json").read_text())["uncertain"] == "positive"


def test_a_network_that_is_not_validated_is_no_candidate_for_the_goal(
    collection: Collection, design: Design, tmp_path: Path
) -> None:
    asked = alone(design, full=(("image",),), changes=TINY | {"validate": "none"})
    found = draw(collection, tmp_path, asked, device="cpu")
    assert found.line("network: image").last.mean.estimate is not None
    assert found.goal in ("all labels, cosine", "all labels, probe")


def test_the_goal_is_the_highest_mean_over_findings_that_all_candidates_have(
    collection: Collection, design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = {"probe": {"Edema": 0.9, "Mass": 0.6}, "cosine": {"Edema": 0.8}}
    monkeypatch.setattr(goal_module, "_of_reader", lambda _, __, reader: readers[reader])
    run = tmp_path / "made"
    run.mkdir()
    estimates = {"Edema": 0.85, "Mass": None}
    measured = {name: {"auroc": {"estimate": value}} for name, value in estimates.items()}
    (run / "metrics.json").write_text(json.dumps({"validation": {"findings": measured}}))
    truth = truth_of(collection, None, "ignore", 2)
    material = gather(collection, "seen", truth, "ignore")
    work = Work(collection, truth, design, tmp_path)
    tracks = [Track("network", "full", (36,), ([],), inputs=("image",), runs=(run,))]
    tracks += [Track(reader, "all", (36,), ([],), reader=reader, embedding="seen")
               for reader in readers]  # fmt: skip
    assert goal_module.choose_goal(work, material, tracks) == "probe"
    readers["probe"] = {}
    assert goal_module.choose_goal(work, material, tracks) == "network"


def test_the_number_of_all_training_images_is_a_budget(
    collection: Collection, design: Design, tmp_path: Path
) -> None:
    asked = alone(design)
    asked = replace(asked, few=replace(asked.few, budgets=(4, 36, 37), readers=("probe",)))
    found = draw(collection, tmp_path, asked, device="cpu")
    points = found.line("random, probe").points
    assert [point.labels for point in points] == [4, 36]
    assert points[-1].mean.estimate == found.line("all labels, probe").last.mean.estimate


def test_a_goal_that_fewer_labels_surpass_is_doubted(found: Frontier, tmp_path: Path) -> None:
    goal = found.line(found.goal)
    height = goal.last.mean.estimate
    assert height is not None
    lines = list(found.lines)
    at = next(at for at, line in enumerate(lines) if line.name == "random, probe")

    def with_second(estimate: float, labels: int = 8) -> Frontier:
        points = list(lines[at].points)
        mean = replace(points[1].mean, estimate=estimate)
        points[1] = replace(points[1], mean=mean, labels=labels)
        low = [replace(point, mean=replace(point.mean, estimate=0.2)) for point in points]
        low[1] = points[1]
        others = [replace(line, points=tuple(
            replace(point, mean=replace(point.mean, estimate=0.1)) for point in line.points
        )) if line.kind == "few" else line for line in lines]  # fmt: skip
        others[at] = replace(lines[at], points=tuple(low))
        return replace(found, lines=tuple(others))

    assert with_second(height).doubt == ""
    assert with_second(height + 0.01, goal.last.labels).doubt == ""
    above = with_second(height + 0.01)
    assert above.doubt.startswith(
        f"random, probe is at {height + 0.01:.3f} with 8 labels, above {found.goal} with all 36: "
    )
    assert above.doubt in as_text(above)
    assert as_json(above)["goal"]["doubt"] == above.doubt
    assert above.doubt.split(":")[0] in save(above, tmp_path)[-1].read_text()
    assert as_json(with_second(height))["goal"]["doubt"] is None


# ------------------------------------------------------------------ as the command


def words(folder: Path, out: Path) -> list[str]:
    changes = [w for name, value in TINY.items() for w in ("--set", f"{name}={value}")]
    return [
        "frontier", str(folder / "c.lance"), str(out), "--embedding", "seen", "--budgets", "4,8",
        "--strategies", "random,k-means", "--repeats", "2", "--encoder",
        str(folder / "encoder.safetensors"), "--full", "image", "--fewest", "2", "--bootstrap",
        "20", "--device", "cpu", *changes,
    ]  # fmt: skip


def test_the_command_writes_one_json_one_csv_one_figure_and_a_page(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f"
    result = CliRunner().invoke(app, words(folder, out))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Mean AUROC over 2 findings on 12 images of 6 test patients")
    assert result.stdout.endswith(f"{out}/frontier.html\n")
    told = CliRunner().invoke(app, [*words(folder, out), "--json"])
    document = json.loads(told.stdout)
    assert document == json.loads((out / "frontier.json").read_text())
    with (out / "frontier.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = {line["name"]: line for line in document["lines"]}
    for row in rows:
        (point,) = (p for p in lines[row["line"]]["points"] if str(p["labels"]) == row["labels"])
        own = point["mean"] if row["finding"] == "mean" else point["findings"][row["finding"]]
        assert float(row["estimate"]) == pytest.approx(own["estimate"])
    assert (out / "frontier.pdf").read_bytes().startswith(b"%PDF")
    page = (out / "frontier.html").read_text()
    assert "<h1>How far do few labels go?</h1>" in page
    assert "<script" not in page
    assert "not a medical device" in page


def test_a_killed_frontier_goes_on_to_the_same_result(folder: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "hilum"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, *words(folder, killed)], env=environment, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not list((killed / "kept").glob("scores-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "frontier.json").exists()
    for out in (killed, whole):
        result = CliRunner().invoke(app, words(folder, out))
        assert result.exit_code == 0, result.output
    assert (killed / "frontier.csv").read_bytes() == (whole / "frontier.csv").read_bytes()
    assert (killed / "frontier.json").read_bytes() == (whole / "frontier.json").read_bytes()
    assert (killed / "frontier.svg").read_bytes() == (whole / "frontier.svg").read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--budgets", "ten"], "expected whole numbers such as 0,1,2; got 'ten'"),
        (["--budgets", "8,4"], "numbers of labels must ascend; got [8, 4]"),
        (["--budgets", "1,4"], "one label shows one class only: begin with 2 or more"),
        (["--budgets", "500"], "there are 36 training images to label, fewer than any budget"),
        (["--strategies", "best"], "'best' is not a strategy; choose from random"),
        (["--readers", "magic"], "'magic' is not a reader; choose from cosine"),
        (["--full", "demographics"], "full supervision sees the image; got inputs"),
        (["--floors", "image"], "a model without pixels cannot have the image as input"),
        (["--share", "2"], "a share lies between 0 and 1, got 2.0"),
        (["--fewest", "50"], "nothing can be measured: Edema: "),
        (["--findings", "Gout"], "the collection has no finding 'Gout'; it has Edema, Mass"),
        (["--fine-tuned", "6"], "fine-tuning is asked for [6] labels, not in budgets"),
        (["--embedding", "nothing"], "nothing"),
    ],
)
def test_misuse_is_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], more: list[str], message: str,
) -> None:  # fmt: skip
    code, told = misuse([*words(folder, tmp_path / "f"), *more], monkeypatch, capsys)
    assert code in (1, 2)
    assert message in told


def test_full_supervision_starts_from_what_made_the_vectors(
    collection: Collection, design: Design, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"is not the encoder of the embedding 'blind'"):
        draw(collection, tmp_path, replace(design, embedding="blind"), device="cpu")


def test_a_pair_that_is_not_there_is_said_before_anything_is_computed(
    collection: Collection, design: Design, tmp_path: Path
) -> None:
    others = replace(design.others, pairs=(str(tmp_path / "pair.safetensors"),))
    with pytest.raises(WeightsError, match=r"pair\.safetensors"):
        draw(collection, tmp_path / "f", replace(design, others=others), device="cpu")
    assert not (tmp_path / "f").exists()


def test_splits_are_looked_at_first(collection: Collection, design: Design, tmp_path: Path) -> None:
    for split in ("train", "test"):
        with pytest.raises(UsageError, match=f"no image has split = '{split}'"):
            draw(collection.where(f"split != '{split}'"), tmp_path, design, device="cpu")


def test_without_an_encoder_networks_are_left_out_and_said(
    collection: Collection, tmp_path: Path
) -> None:
    few = replace(FEW, strategies=("random",), controls=(), repeats=1, fine_tuned=(8,))
    told: list[str] = []
    found = draw(collection, tmp_path, Design("seen", few, OtherLines(), MEASURING),
                 told=told.append)  # fmt: skip
    assert found.missing["network: image"] == "no encoder to start from was given"
    assert found.missing["random, fine-tuned"] == "no encoder to start from was given"
    assert found.goal in ("all labels, cosine", "all labels, probe")
    assert "network: image is left out: no encoder to start from was given" in as_text(found)
    assert any("network: image: left out" in line for line in told)
    page = save(found, tmp_path / "out")[-1].read_text()
    assert "What is missing, and why" in page


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "scores-x.npy").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"scores-x\.npy: damaged .*; delete it and start again"):
        Kept.load(tmp_path / "scores-x.npy")


def test_errors_of_collections_pass_through(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="nothing"):
        draw(collection, tmp_path, Design("nothing", FEW, OtherLines(), MEASURING))


def test_a_selector_that_saw_test_patients_is_refused(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spec:
        provenance = {"train": "test", "validation": "val"}  # noqa: RUF012

    class Seen:
        spec = Spec()

    monkeypatch.setattr(import_module("hilum.select.selector"), "load_selector", lambda _: Seen())
    few = replace(FEW, selector=str(tmp_path / "selector.safetensors"))
    with pytest.raises(LeakError, match="which the selector was trained on"):
        draw(collection, tmp_path, Design("seen", few, OtherLines(), MEASURING))
