"""`hilum train` and `hilum predict` with the image among the inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hilum.cli import app
from hilum.collection import Collection
from hilum.encoders import load_classifier
from hilum.ingest import ingest
from hilum.tables import read_table
from hilum.training import predict
from reference_supervised import films_of_patients
from reference_training import slow_processor
from watching import misuse

TINY = [
    "--backbone", "test_resnet", "--epochs", "1", "--batch", "8", "--device", "cpu", "--findings",
    "Edema,Mass", *(f"--set={pair}" for pair in ("size=32", "margin=1", "width=8",
                                                 "precision=fp32")),
]  # fmt: skip


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("labels")
    source = films_of_patients(folder / "source")
    return ingest(source, folder / "c.lance", layout="folder", size=32, workers=1).collection


def test_from_films_to_scores_by_commands(collection: Collection, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "scores.csv"
    command = ["train", collection.uri, str(run), "--inputs", "image, demographics,history",
               "--loss", "asymmetric", "--pooling", "max", "--uncertain", "0.4", *TINY]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{run}: mean AUROC on validation patients 0.")
    asked = json.loads((run / "settings.json").read_text())
    assert (asked["cost"]["loss"], asked["pooling"], asked["uncertain"]) == (
        "asymmetric", "max", 0.4,
    )  # fmt: skip
    assert asked["inputs"] == ["image", "demographics", "history"]
    facts = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    made = load_classifier(run, engine=slow_processor())
    assert (facts["fingerprint"], facts["images"]) == (made.fingerprint, 28)
    assert facts["follow_ups"]["mean"]["auroc"]["estimate"] is not None

    command = ["predict", collection.uri, "--model", str(run), "--out", str(out), "--device",
               "cpu", "--without", "history", "--looks", "5"]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.stdout == f"{out}: 8 images\n", result.output
    view = collection.where("split = 'test'")
    expected = predict(view, run, without=["history"], looks=5, device="cpu")
    found = read_table(out)
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)


def test_images_are_looked_at_where_there_are_any(collection: Collection, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", collection.uri, str(tmp_path / "run"), *TINY])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["inputs"] == ["image"]


def test_settings_are_kept_where_their_options_are_not_given(
    collection: Collection, tmp_path: Path
) -> None:
    command = ["train", collection.uri, str(tmp_path / "run"), *TINY, "--set",
               "uncertain=positive", "--set", "seed=7"]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    asked = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (asked["uncertain"], asked["train"]["seed"]) == ("positive", 7)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "boosted", "--refit"], 2, "--model, --refit: only for a model without the im"),
        (["--inputs", "history", "--loss", "bce", "--set", "size=9"], 2,
         "--loss, --set: only for a model with the image (see --inputs)"),
        (["--inputs", "history", "--backbone", "resnet18"], 2, "--backbone: only for a model with"),
        (["--uncertain", "0.5", "--set", "uncertain=positive"], 2,
         "--uncertain says 0.5 and --set uncertain says 'positive': give one"),
        (["--seed", "0", "--set", "seed=1"], 2, "--seed says 0 and --set seed says 1: give one"),
        (["--backbone", "resnet18", "--set", "architecture=vgg11"], 2,
         "--backbone says 'resnet18' and --set architecture says 'vgg11': give one"),
        (["--inputs", "history", "--uncertain", "0.5"], 2,
         "without the image an uncertain label counts as ignore, positive or negative; got '0.5'"),
        (["--findings", "Hernia"], 2, "Hernia is present in all of the 1 training images, so it"),
        (["--recipe", "best"], 2, "'best' is not a recipe; choose from nih-study, modern, m"),
        (["--loss", "hinge"], 2, "'hinge' is not a loss; choose from study, bce"),
    ],
    ids=["tabular", "image", "backbone", "two policies", "two seeds", "two backbones",
         "uncertain", "one class", "recipe", "loss"],
)  # fmt: skip
def test_misuse_is_one_sentence(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str,
) -> None:  # fmt: skip
    command = ["train", collection.uri, str(tmp_path / "r"), *words]
    found, told = misuse(command, monkeypatch, capsys)
    assert found == code
    assert f"Error: {message}" in told
    assert not (tmp_path / "r").exists()
