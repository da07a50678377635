"""Ways to train, compared: by a trainer that only pretends, so that the truth is known."""

import csv
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hilum
from hilum.collection import Collection
from hilum.comparison import (
    STUDY,
    Design,
    Intervals,
    TrainingComparison,
    as_text,
    compare_training,
    save,
)
from hilum.comparison.curves import read_curve
from hilum.comparison.design import Arm
from hilum.comparison.files import as_json
from hilum.comparison.judging import adjusted, choose
from hilum.comparison.training import Cost, Job
from hilum.errors import RunError, UsageError, WeightsError
from hilum.evaluate import Measure, compare_repeats, evaluate_repeats
from hilum.findings import Policy
from hilum.progress import Progress, silent
from hilum.tables import Table
from small_table import small_table

FINDINGS = ("Edema", "Mass")
FEW = Intervals(bootstrap=25)


def cohort(patients: int = 160) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for person in range(patients):
        wet = rng.random() < 0.4
        rows += [
            {
                "image_id": f"p{person}-{visit}",
                "patient_id": f"p{person}",
                "visit": visit,
                "age": 50 + visit,
                "sex": "MF"[person // 4 % 2],
                "view": "PA",
                "split": ("train", "val", "test", "test")[person % 4],
                "Edema": int(wet if rng.random() < 0.9 else not wet),
                "Mass": int(rng.random() < 0.3),
                "Hernia": 0,
            }
            for visit in range(int(rng.integers(1, 4)))
        ]
    return rows


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return small_table(tmp_path_factory.mktemp("cohort"), cohort())


def chance(*words: object) -> float:
    """Return a number from -1 to 1 that depends on nothing but some words."""
    return zlib.crc32(" ".join(map(str, words)).encode()) / 2**31 - 1


@dataclass
class Pretender:
    """Scores labels with as much noise as the arm's architecture says, by split.

    `noise` has for every architecture that on validation and on test images.
    """

    noise: Mapping[str, tuple[float, float]]
    fails: tuple[str, ...] = ()
    trained: list[str] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)

    def check(self, job: Job) -> None:
        if job.changes.get("loss") == "wrong":
            raise UsageError("'wrong' is not a loss")

    def train(self, job: Job, progress: Progress = silent) -> Cost:
        if job.changes["architecture"] in self.fails:
            raise WeightsError("there are no weights of this name")
        self.trained.append(f"{job.changes['architecture']} {job.changes['seed']}")
        run = Path(job.run)
        run.mkdir(parents=True)
        (run / "job.json").write_text(json.dumps(dict(job.changes)))
        lines: list[dict[str, Any]] = [{"step": s, "loss": 1 / s} for s in range(1, 21)]
        for line in lines[9::10]:
            line["measure"] = 0.6 + line["step"] / 100
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (run / "log.jsonl").write_text(text + '{"step": 21, "lo')  # killed in a line
        progress(20, 20)
        return Cost(60.0, 90.0, 10**9)

    def predict(self, view: Collection, run: Path, device: str) -> Table:
        del device
        job = json.loads((run / "job.json").read_text())
        name = job["architecture"]
        truth = view.labels(findings=FINDINGS)
        (split,) = set(view.table(["split"])["split"])
        self.scored.append(f"{name} {split}")
        noise = self.noise[name][split == "test"]
        wrong = [[chance(name, job["seed"], i, f) for f in FINDINGS] for i in truth.ids]
        values = np.column_stack(
            [truth.values + noise * np.array(wrong), np.full(len(truth), np.nan)]
        )
        return Table(truth.ids, (*FINDINGS, "Hernia"), values)


NOISE = {"good": (0.6, 0.9), "fair": (0.9, 0.5), "poor": (3.0, 3.0)}
TWO_SEEDS = Design({"backbone": ("poor", "good", "fair")}, changes={"epochs": 2}, seeds=(0, 1))


@dataclass
class Done:
    """A comparison that tests may read."""

    run: Path
    trainer: Pretender
    found: TrainingComparison


@pytest.fixture(scope="module")
def done(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> Done:
    run, trainer = tmp_path_factory.mktemp("done") / "run", Pretender(NOISE)
    found = compare_training(collection, run, TWO_SEEDS, intervals=FEW, trainer=trainer)
    return Done(run, replace(trainer, scored=list(trainer.scored)), found)


def test_the_choice_is_made_on_validation_images_though_test_would_choose_another(
    done: Done,
) -> None:
    found = done.found
    assert found.chosen == "good"
    good, fair = found.arm("good"), found.arm("fair")
    assert good.on("validation").estimate > fair.on("validation").estimate  # type: ignore[operator]
    assert good.on("test").estimate < fair.on("test").estimate  # type: ignore[operator]
    assert found.findings == FINDINGS
    assert found.left_out == ("Hernia",)
    scored = [entry.split()[1] for entry in done.trainer.scored[:12]]
    assert scored == ["val"] * 6 + ["test"] * 6  # nobody looks at test images before the choice


def test_numbers_are_those_of_evaluate_on_all_images_first_visits_and_follow_ups(
    collection: Collection, done: Done
) -> None:
    found = done.found
    test = collection.where("split = 'test'")
    tables = {
        name: [
            done.trainer.predict(
                test, done.run / "arms" / folder_of(name) / f"seed-{s}" / "run", "cpu"
            )
            for s in (0, 1)
        ]
        for name in NOISE
    }
    for group, where in (
        ("all", "TRUE"),
        ("first visits", "visit = 0"),
        ("follow-ups", "visit > 0"),
    ):
        truth = test.where(where).labels(findings=FINDINGS)
        for name in NOISE:
            expected = evaluate_repeats(tables[name], truth, bootstrap=25)
            assert found.arm(name).test[group]["auroc"] == expected
        gap = compare_repeats(tables["fair"], tables["good"], truth, bootstrap=25).mean
        minus = found.arm("fair").minus_chosen
        assert minus is not None
        assert replace(minus["test"].by_group[group], p_adjusted=None) == gap
    assert found.arm("good").minus_chosen is None
    assert found.arm("good").validation["all"]["average_precision"].spread is not None


def test_a_model_without_pixels_stands_beside_and_knows_more_of_follow_ups(
    collection: Collection, done: Done, tmp_path: Path
) -> None:
    found = done.found
    assert found.floor is not None
    first, later = (
        found.floor.test[group]["auroc"].findings["Edema"].estimate
        for group in ("first visits", "follow-ups")
    )
    assert first is not None
    assert later is not None
    assert first < 0.65 < 0.75 < later
    above = found.arm("fair").minus_floor
    assert above is not None
    expected = found.arm("fair").on("test").estimate - found.floor.on("test").estimate  # type: ignore[operator]
    assert above.by_group["all"].estimate == pytest.approx(expected)
    without = compare_training(
        collection, tmp_path, Design({"backbone": ("good",)}), floor=None, intervals=FEW,
        trainer=Pretender(NOISE),
    )  # fmt: skip
    assert (without.floor, without.arms[0].minus_floor) == (None, None)


def test_a_comparison_that_was_stopped_goes_on_and_trains_nothing_twice(
    collection: Collection, done: Done, tmp_path: Path
) -> None:
    class Killed(Exception):  # noqa: N818 (no fault)
        pass

    def stop(line: str) -> None:
        if line.startswith("good, seed 1"):
            raise Killed

    again = Pretender(NOISE)
    run = tmp_path / "run"
    with pytest.raises(Killed):
        compare_training(collection, run, TWO_SEEDS, intervals=FEW, trainer=again, told=stop)
    assert again.trained == ["poor 0", "poor 1", "good 0", "good 1"]
    found = compare_training(collection, run, TWO_SEEDS, intervals=FEW, trainer=again)
    assert again.trained[4:] == ["fair 0", "fair 1"]
    assert as_json(found) == as_json(done.found)
    scored = list(again.scored)
    compare_training(collection, run, TWO_SEEDS, intervals=FEW, trainer=again)
    assert again.scored == scored


def test_arms_can_be_added_and_nothing_else_be_changed(
    collection: Collection, tmp_path: Path
) -> None:
    trainer, run = Pretender(NOISE), tmp_path / "run"
    one = Design({"backbone": ("good",)}, changes={"epochs": 2})
    compare_training(collection, run, one, intervals=FEW, trainer=trainer)
    two = replace(one, vary={"backbone": ("good", "fair")})
    assert compare_training(collection, run, two, intervals=FEW, trainer=trainer).chosen == "good"
    assert trainer.trained == ["good 0", "fair 0"]

    def again(design: Design, view: Collection = collection) -> None:
        compare_training(view, run, design, intervals=FEW, trainer=trainer)

    with pytest.raises(RunError, match=r"is a comparison with other changes, seeds; arms can be"):
        again(replace(two, changes={"epochs": 3}, seeds=(1,)))
    with pytest.raises(RunError, match=r"is a comparison with other images, data; arms can be"):
        again(two, collection.where("sex = 'M'"))
    (run / "settings.json").write_text("{}")
    with pytest.raises(RunError, match="holds a run that is no comparison; name a new folder"):
        again(two)
    (run / "settings.json").write_text("{")
    with pytest.raises(RunError, match=r"settings\.json: not readable as JSON"):
        again(two)
    (run / "settings.json").unlink()
    with pytest.raises(RunError, match="not empty and not a comparison; name a new folder"):
        again(two)


def test_an_arm_is_known_by_all_that_it_sets_and_not_by_what_it_is_called(
    collection: Collection, tmp_path: Path
) -> None:
    trainer = Pretender(NOISE)

    def trained(**vary: tuple[str, ...]) -> list[str]:
        trainer.trained.clear()
        design = Design(vary)
        compare_training(
            collection, tmp_path / "run", design, intervals=FEW, trainer=trainer, floor=None
        )
        return list(trainer.trained)

    losses = ("bce", "focal")
    assert len(trained(backbone=("good",), loss=losses)) == 2
    assert len(trained(backbone=("fair",), loss=losses)) == 2  # both called bce and focal
    assert trained(backbone=("good", "fair"), loss=losses) == []
    assert trained(loss=("focal",), backbone=("fair",)) == []


def test_another_model_without_pixels_can_stand_beside_later(
    collection: Collection, tmp_path: Path
) -> None:
    trainer, design = Pretender(NOISE), Design({"backbone": ("good",)})
    asked: list[tuple[str, Policy]] = [
        ("mean", "ignore"), ("logistic", "ignore"), ("mean", "positive"),
    ]  # fmt: skip
    for floor, policy in asked:
        found = compare_training(
            collection, tmp_path / "run", design, intervals=FEW, trainer=trainer, floor=floor,
            policy=policy,
        )  # fmt: skip
        assert (found.settings["floor"], found.settings["policy"]) == (floor, policy)


def test_an_arm_that_fails_is_named_and_the_others_go_on(
    collection: Collection, tmp_path: Path
) -> None:
    lines: list[str] = []
    trainer = Pretender(NOISE, fails=("good",))
    run = tmp_path / "run"
    found = compare_training(
        collection, run, TWO_SEEDS, intervals=FEW, trainer=trainer, told=lines.append
    )
    assert found.chosen == "fair"
    assert found.failed == {"good": "there are no weights of this name"}
    assert [arm.name for arm in found.arms] == ["poor", "fair"]
    assert lines[1:3] == [
        "poor, seed 1 (2 of 6): trained",
        "good, seed 0 (3 of 6): there are no weights of this name",
    ]
    assert "good failed: there are no weights of this name" in as_text(found)
    mended = compare_training(collection, run, TWO_SEEDS, intervals=FEW, trainer=Pretender(NOISE))
    assert mended.chosen == "good"
    with pytest.raises(RunError, match="no arm could be trained; the first: there are no weights"):
        compare_training(
            collection, tmp_path / "none", TWO_SEEDS, trainer=Pretender(NOISE, fails=tuple(NOISE))
        )


def test_wrong_settings_of_one_arm_are_refused_before_any_is_trained(
    collection: Collection, tmp_path: Path
) -> None:
    trainer = Pretender(NOISE)
    design = Design({"backbone": ("good",), "loss": ("bce", "wrong")})
    with pytest.raises(UsageError, match="'wrong' is not a loss"):
        compare_training(collection, tmp_path / "run", design, trainer=trainer)
    assert trainer.trained == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test", "no image has split = 'test': arms are trained on training patients, chosen"),
        ("val", "no image has split = 'val': arms are trained on training patients, chosen"),
    ],
)
def test_every_split_is_needed(
    collection: Collection, tmp_path: Path, split: str, message: str
) -> None:
    view = collection.where(f"split <> '{split}'")
    with pytest.raises(UsageError, match=message):
        compare_training(view, tmp_path / "run", TWO_SEEDS, trainer=Pretender(NOISE))
    assert not (tmp_path / "run").exists()


def test_settings_that_are_none_are_refused(collection: Collection, tmp_path: Path) -> None:
    trainer = Pretender(NOISE)
    with pytest.raises(UsageError, match="choose what an uncertain label counts as"):
        compare_training(collection, tmp_path, TWO_SEEDS, policy="keep", trainer=trainer)
    with pytest.raises(UsageError, match="'magic' is not a kind of model; there are logistic"):
        compare_training(collection, tmp_path, TWO_SEEDS, floor="magic", trainer=trainer)


# --------------------------------------------------------------------------- designs


def test_arms_are_every_combination_and_named_by_what_tells_them_apart() -> None:
    inputs = (("image",), ("image", "demographics"))
    design = Design({"backbone": ("resnet18",), "loss": ("bce", "focal"), "inputs": inputs})
    assert [arm.name for arm in design.arms()] == [
        "bce · image", "bce · image+demographics", "focal · image", "focal · image+demographics",
    ]  # fmt: skip
    last = design.arms()[-1]
    assert last.changes == {
        "architecture": "resnet18", "loss": "focal", "inputs": ("image", "demographics"),
    }  # fmt: skip
    assert last.folder.startswith("resnet18-focal-image+demographics-")
    assert Design({"backbone": ("resnet18",)}).arms()[0].name == "resnet18"
    folder = Design({"start": ("random", "../runs/moco")}).arms()[1].folder
    assert re.fullmatch(r"runs-moco-[0-9a-f]{8}", folder)


def test_the_six_backbones_of_the_study_are_compared_if_nothing_is_said() -> None:
    assert [arm.changes["architecture"] for arm in Design().arms()] == list(STUDY)
    assert len(STUDY) == 6


def folder_of(backbone: str) -> str:
    return Arm(backbone, {"architecture": backbone}).folder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vary": {"colour": ("red",)}}, "'colour' cannot vary; choose from backbone, loss"),
        ({"vary": {"loss": ("bce", "bce")}}, "name each loss once, and at least one; got bce, bce"),
        ({"vary": {"loss": ()}}, "name each loss once, and at least one; got none"),
        ({"seeds": (1, 1)}, "name each seed once, and at least one; got 1, 1"),
        ({"changes": {"seed": 3}}, "name the seeds with seeds, not among the changes"),
        ({"changes": {"architecture": "x"}}, "architecture varies between arms: do not set it"),
    ],
)
def test_designs_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Design(**given)


def test_p_values_are_corrected_for_the_number_of_arms_as_by_hand() -> None:
    measures = {"a": Measure(1, p_value=0.01), "b": Measure(1), "c": Measure(1, p_value=0.03)}
    assert [m.p_adjusted for m in adjusted(measures).values()] == [0.02, None, 0.03]
    with pytest.raises(UsageError, match="no finding has both present and absent labels on val"):
        choose({})


# --------------------------------------------------------------------------- what is written


def test_everything_is_written_and_says_the_same(done: Done, tmp_path: Path) -> None:
    found = done.found
    names = [path.name for path in save(found, tmp_path / "out")]
    assert names == [
        "comparison.json", "comparison.csv", "comparison.txt", "comparison.html",
        "curves.svg", "test.svg", "differences.svg",
    ]  # fmt: skip
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written == as_json(found)
    assert written["chosen"] == "good"
    assert written["settings"]["images"] == {"train": 76, "val": 80, "test": 169}
    good = written["arms"]["good"]
    assert good["trainings"][1] == {
        "seed": 1, "run": f"arms/{folder_of('good')}/seed-1/run", "steps": 20, "seconds": 60.0,
        "processor_seconds": 90.0, "memory": 10**9, "device_memory": None,
    }  # fmt: skip
    with (tmp_path / "out" / "comparison.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_key = {tuple(list(row.values())[:5]): row for row in rows}
    assert len(by_key) == len(rows)
    mean = good["test"]["follow-ups"]["auroc"]["mean"]
    row = by_key["good", "test", "follow-ups", "auroc", "mean"]
    assert (float(row["estimate"]), float(row["spread"])) == (mean["estimate"], mean["spread"])
    gap = written["arms"]["fair"]["minus_chosen"]["test"]["findings"]["Mass"]
    row = by_key["fair", "test", "all", "auroc minus good", "Mass"]
    assert float(row["low"]) == gap["low"]
    text = (tmp_path / "out" / "comparison.txt").read_text()
    assert text == as_text(found) + "\n"
    assert "* good" in text
    assert "1.0 (1.5)" in text
    assert max(map(len, text.splitlines())) <= 110
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "good has the highest mean AUROC on validation patients" in page
    assert page.count("<svg") + page.count("data:image/svg") == 3


def test_losses_of_another_kind_are_not_drawn_beside_each_other(
    collection: Collection, tmp_path: Path
) -> None:
    design = Design({"backbone": ("good",), "loss": ("bce", "focal")})
    found = compare_training(
        collection, tmp_path / "run", design, intervals=FEW, trainer=Pretender(NOISE)
    )
    save(found, tmp_path)
    assert (
        "The losses differ in kind and are not shown." in (tmp_path / "comparison.html").read_text()
    )


def test_a_frozen_stage_comes_before_in_the_curve(tmp_path: Path) -> None:
    for folder, steps in (("frozen", 3), (".", 2)):
        (tmp_path / folder).mkdir(exist_ok=True)
        lines = [{"step": s, "loss": 1.0, "measure": -s} for s in range(1, steps + 1)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / folder / "log.jsonl").write_text(text)
    (tmp_path / "settings.json").write_text('{"validate": "loss"}')
    curve = read_curve(tmp_path)
    assert curve.measured.tolist() == [1, 2, 3, 4, 5]
    assert curve.measures.tolist() == [-1, -2, -3, -1, -2]
    assert (curve.last_step, curve.validate) == (5, "loss")
    assert read_curve(tmp_path / "none").last_step == 0


def test_more_arms_than_colours_take_several_figures(
    collection: Collection, tmp_path: Path
) -> None:
    many = {f"net{n}": (0.5 + n / 9, 1.0) for n in range(7)}
    found = compare_training(
        collection, tmp_path / "run", Design({"backbone": tuple(many)}), floor=None,
        intervals=FEW, trainer=Pretender(many),
    )  # fmt: skip
    drawn = [path.name for path in save(found, tmp_path)][4:]
    assert drawn == ["curves-1.svg", "curves-2.svg", "test.svg", "differences.svg"]


def test_the_door_has_it() -> None:
    assert hilum.compare_training is compare_training
