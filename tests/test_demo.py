"""The main job: the whole story through the real command, and what of it is made up."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hilum.collection import open_collection
from hilum.demo import tell
from hilum.demo.readers import SENSITIVITY, SPECIFICITY, simulated_readers
from hilum.errors import UsageError
from hilum.tables import Table


def test_simulated_readers_are_as_right_as_is_said_of_them() -> None:
    values = (np.random.default_rng(1).random((4000, 3)) < 0.5).astype(float)
    values[0, 0] = np.nan
    ids = tuple(map(str, range(4000)))
    truth = Table(ids, ("Edema", "Mass", "Nodule"), values)
    readers = simulated_readers(truth, seed=5)
    assert list(readers) == ["reader 1", "reader 2", "reader 3"]
    for reader in readers.values():
        for column in range(3):
            read, known = reader.values[:, column], values[:, column]
            assert SENSITIVITY[0] - 0.03 < read[known == 1].mean() < SENSITIVITY[1] + 0.03
            assert SPECIFICITY[0] - 0.03 < 1 - read[known == 0].mean() < SPECIFICITY[1] + 0.03
    first, second = readers["reader 1"].values, readers["reader 2"].values
    assert np.isnan(first[0, 0])
    assert (first[1:] != second[1:]).mean() > 0.05  # they err apart
    np.testing.assert_array_equal(simulated_readers(truth, seed=5)["reader 2"].values, second)


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
    headings = (
        "AUROC against labels", "Which images to label", "Finding by finding",
        "The images to label first, and why", "Sentences beside readers, finding by finding",
        "A case, its nearest, and why they are near", "Do the maps of likeness hold?",
        "The films", "The collection", "Data and model cards",
    )  # fmt: skip
    for heading in headings:
        assert f"<h2>{heading}</h2>" in page or heading in page
    assert (told / "frontier" / "frontier.json").exists()
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
    assert after["frontier"] == before["frontier"]
    assert (told / "pretraining" / "log.jsonl").read_bytes() == log


def test_another_demo_in_the_same_folder_is_refused_in_one_sentence(told: Path) -> None:
    other = run_demo(told, "--seed", "5")
    assert other.returncode == 2
    assert "holds a phantom with seed 0, asked for 5; choose another folder" in other.stderr
    assert other.stderr.startswith("Error: ")
    assert "Traceback" not in other.stderr
