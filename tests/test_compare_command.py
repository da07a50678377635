"""`hilum compare` with real trainings, and the processes that they run in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hilum.cli import app
from hilum.collection import Collection
from hilum.comparison.processes import Supervised, train_apart
from hilum.comparison.training import Job
from hilum.errors import RunError, UsageError, WeightsError
from hilum.ingest import ingest
from hilum.tables import read_table
from hilum.training import predict, train_supervised
from reference_supervised import films_of_patients
from watching import misuse

TINY: dict[str, Any] = {
    "margin": 1.0,
    "width": 8,
    "batch": 8,
    "precision": "fp32",
    "checkpoint_every": 2,
}
WORDS = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("labels")
    source = films_of_patients(folder / "source")
    return ingest(source, folder / "c.lance", layout="folder", size=32, workers=1).collection


def test_the_command_trains_ways_as_hilum_train_does_and_tells_of_them(
    collection: Collection, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [
        "compare", collection.uri, str(run), "--recipe", "modern-small", "--backbones",
        "test_resnet", "--inputs", "image,image+demographics", "--epochs", "1", "--size", "32",
        "--findings", "Edema,Mass", "--seeds", "3", "--device", "cpu", "--bootstrap", "20", *WORDS,
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "image+demographics, seed 3 (2 of 2): trained" in result.stderr
    assert result.stdout.startswith("Mean AUROC over 2 findings, with 95% intervals over patients.")
    assert result.stdout.endswith(f"{run}/comparison.html\n")

    told = CliRunner().invoke(app, [*command, "--json"])
    found = json.loads(told.stdout)
    assert found == json.loads((run / "comparison.json").read_text())
    assert list(found["arms"]) == ["image", "image+demographics"]
    cost = found["arms"]["image"]["trainings"][0]
    assert cost["steps"] == 3
    assert cost["processor_seconds"] > 0
    assert 10**8 < cost["memory"] < 10**11  # a process that holds torch, and nothing large

    again = tmp_path / "again"
    train_supervised(
        collection, again, "modern-small", inputs=("image", "demographics"), device="cpu",
        architecture="test_resnet", epochs=1.0, size=32, findings=("Edema", "Mass"), seed=3, **TINY,
    )  # fmt: skip
    expected = predict(collection.where("split = 'test'"), again, device="cpu")
    (arm,) = (run / "arms").glob("*-image+demographics-*/seed-3")
    scores = read_table(arm / "test.csv.gz", findings=expected.findings)
    np.testing.assert_array_equal(scores.values, expected.values)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--losses", "bce,hope"], 2, "'hope' is not a loss; choose from study, bce"),
        (["--seeds", "one"], 2, "expected whole numbers such as 0,1,2; got 'one'"),
        (["--set", "colour=1"], 2, "a recipe has no 'colour'; it has architecture"),
        (["--recipe", "magic"], 2, "'magic' is not a recipe; choose from nih-study, modern"),
        (["--where", "split = 'train'"], 2, "no image has split = 'val': arms are trained on"),
    ],
)
def test_misuse_is_one_sentence_before_anything_is_trained(
    collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    found, told = misuse(
        ["compare", collection.uri, str(tmp_path / "run"), *words], monkeypatch, capsys
    )
    assert found == code
    assert message in told
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------- processes


def job(folder: Path, work: str = "") -> Job:
    return Job("c.lance", 1, None, str(folder / "run"), "modern-small", {"work": work}, "cpu")


WORK = "pretend_work:pretend"


def test_what_another_process_prints_is_kept_and_its_progress_passed_on(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    cost = train_apart(
        job(tmp_path, "print"), lambda d, t, note="": seen.append((d, t, note)), WORK
    )
    assert seen == [(1, 2, "half")]
    assert (tmp_path / "messages.log").read_text() == '["used", {}]\n'
    assert cost.seconds > 0
    assert cost.memory > 10**7
    assert cost.device_memory is None


@pytest.mark.parametrize(
    ("work", "kind", "message"),
    [
        ("weights", WeightsError, "no such weights"),
        ("image", RunError, "half a file"),
        ("kill", RunError, r"run: its process was ended by SIGKILL \(out of memory\?\) \(all of"),
        ("crash", RunError, r"ended by exit status 1; it said: ZeroDivisionError: nothing to sh"),
    ],
)
def test_the_end_of_another_process_is_an_error_here(
    tmp_path: Path, work: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        train_apart(job(tmp_path, work), work=WORK)


def test_a_caller_that_is_stopped_stops_the_other_process(tmp_path: Path) -> None:
    def stop(done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_apart(job(tmp_path, "print"), stop, WORK)


def test_the_recipe_refuses_settings_before_a_process_is_started(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a recipe has no 'work'; it has architecture"):
        Supervised().check(job(tmp_path))
