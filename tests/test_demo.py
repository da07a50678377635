"""The main job: the curve by hand, and the whole story through the real command."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from hilum.collection import Collection, open_collection
from hilum.demo import tell
from hilum.demo.curve import Plan, draw_labels, label_curve
from hilum.errors import UsageError
from hilum.tables import Table

FINDINGS = ("Edema", "Mass")


@dataclass
class Known:
    """A collection whose embedding "seen" is its labels, and whose "blind" is noise."""

    seed: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.present = (rng.random((120, 2)) < 0.4).astype(float)
        self.noise = rng.normal(size=(120, 2))
        self.names = tuple(f"image-{n}" for n in range(120))

    def labels(self, split: str, findings: Sequence[str]) -> Table:
        rows = slice(0, 80) if split == "train" else slice(80, 120)
        patients = tuple(f"patient-{n // 2}" for n in range(120))
        return Table(
            self.names[rows], tuple(findings), self.present[rows],
            extra={"patient_id": patients[rows]},
        )  # fmt: skip

    def vectors(self, name: str) -> tuple[Sequence[str], NDArray[np.float32]]:
        signal = self.present * 2 - 1 + 0.1 * self.noise if name == "seen" else self.noise
        return self.names, signal.astype(np.float32)


def curve(**changes: Any) -> list[Any]:
    settings = {"budgets": (10, 40), "draws": 3, "findings": FINDINGS, "bootstrap": 40}
    plan = Plan(("seen", "blind"), **{**settings, **changes})
    return list(label_curve(cast("Collection", Known()), plan))


def test_an_embedding_that_knows_the_answer_wins_with_few_labels() -> None:
    points = {(p.embedding, p.method, p.labels): p for p in curve()}
    best, blind = points["seen", "cosine", 40], points["blind", "cosine", 40]
    assert best.result.mean.estimate > 0.95
    assert abs(blind.result.mean.estimate - 0.5) < 0.2
    assert best.over_control.mean.low > 0
    assert blind.over_control is None
    gap = best.result.mean.estimate - blind.result.mean.estimate
    assert best.over_control.mean.estimate == pytest.approx(gap)


def test_every_budget_ends_with_all_labels_and_those_are_drawn_once() -> None:
    points = curve(methods=("cosine",), budgets=(10, 500))
    assert [(p.labels, p.result.repeats) for p in points if p.embedding == "seen"] == [
        (10, 3),
        (80, 1),
    ]


def test_labels_of_one_class_count_as_chance_and_are_counted() -> None:
    point = curve(methods=("probe",), budgets=(1,))[0]
    assert point.labels == 1
    assert point.untaught == 1.0
    assert point.result.mean.estimate == 0.5


def test_draws_depend_on_their_number_alone_and_are_distinct() -> None:
    train = Known().labels("train", FINDINGS)
    first = draw_labels(train, 20, draw=0, seed=0)
    assert first.ids == draw_labels(train, 20, draw=0, seed=0).ids
    assert len(set(first.ids)) == 20
    assert first.ids != draw_labels(train, 20, draw=1, seed=0).ids
    assert first.ids != draw_labels(train, 20, draw=0, seed=1).ids


def test_too_few_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"at least 20 patients .* got 3"):
        tell(tmp_path, patients=3)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    assert run_demo(out).returncode == 0
    return out


def run_demo(out: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = ["demo", str(out), "--patients", "24", "--steps", "3", "--json", *more]
    return subprocess.run(
        [sys.executable, "-m", "hilum", *command], capture_output=True, text=True, check=False
    )


def test_the_command_ends_with_a_page_that_asks_nothing_of_the_network(told: Path) -> None:
    page = (told / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=[\"']https?:", page)
    assert "<script" not in page
    assert page.count("<img") == page.count("alt=")
    for heading in ("AUROC against labels", "Finding by finding", "The films", "The collection"):
        assert heading in page
    assert "not a medical device" in page


def test_the_patients_of_the_test_split_trained_nothing(told: Path) -> None:
    collection = open_collection(told / "collection.lance")
    table = collection.table(["patient_id", "split"])
    splits = table.unique().group_by("patient_id").len()["len"]
    assert splits.max() == 1
    settings = json.loads((told / "pretraining" / "settings.json").read_text(encoding="utf-8"))
    assert settings["examples"] == len(collection.where("split = 'train'"))
    assert set(collection.embeddings) == {"moco", "random"}


def test_a_demo_that_is_run_again_continues_and_says_the_same(told: Path) -> None:
    before = json.loads((told / "results.json").read_text(encoding="utf-8"))
    (told / "report.html").unlink()
    log = (told / "pretraining" / "log.jsonl").read_bytes()
    again = run_demo(told)
    assert json.loads(again.stdout) == {"report": str(told / "report.html")}
    after = json.loads((told / "results.json").read_text(encoding="utf-8"))
    assert after["points"] == before["points"]
    assert (told / "pretraining" / "log.jsonl").read_bytes() == log


def test_another_demo_in_the_same_folder_is_refused_in_one_sentence(told: Path) -> None:
    other = run_demo(told, "--seed", "5")
    assert other.returncode == 2
    assert "holds a phantom with seed 0, asked for 5; choose another folder" in other.stderr
    assert other.stderr.startswith("Error: ")
    assert "Traceback" not in other.stderr
