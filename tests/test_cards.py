"""Cards say what weights, runs and collections say of themselves, and no id and no path."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hilum.cards import Card, Table, data_card, model_card
from hilum.cli import app
from hilum.collection import Collection
from hilum.encoders import random_encoder, save_encoder
from hilum.encoders.tensors import write_tensors
from hilum.errors import WeightsError
from hilum.ingest import ingest
from reference_training import slow_processor
from small_source import small_source
from watching import misuse


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    root = tmp_path_factory.mktemp("cards")
    source = small_source(root / "hospital", 24)
    (source.root / "films" / "i0003.png").write_bytes(b"no film")
    return ingest(source.root, root / "c.lance", layout="folder", size=32, workers=1).collection


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make the folder of a finished training, whose start and data lay at places of their own."""
    folder = tmp_path / "run"
    encoder = random_encoder("test_resnet", 0, size=32, engine=slow_processor())
    recipe = {"name": "moco-small", "init": "/home/someone/secret/start", "about": "prose",
              "train": {"lr": 0.5, "seed": 3}, "std": None}  # fmt: skip
    about = {"images": 1234, "steps": 80, "engine": "cpu", "data": "ab" * 32, "best": 0.75,
             "best_step": 60, "validate": "map"}  # fmt: skip
    save_encoder(encoder, folder / "encoder.safetensors", recipe=recipe, provenance=about)
    return folder


def test_a_model_card_says_what_the_weights_and_the_run_say(run: Path) -> None:
    encoder = random_encoder("test_resnet", 0, size=32, engine=slow_processor())
    said = model_card(run)
    assert said.title == "Model card: encoder of images"
    assert said.answers["What"].startswith("Encoder of images: test_resnet, 32 × 32 pixels, ")
    assert said.answers["Taught by"] == (
        f"1,234 images; 80 steps on cpu; sha256 of the data {'ab' * 8}…"
    )
    assert said.answers["Recipe"] == "moco-small"
    assert said.answers["Started from"] == "start"  # not where it lay
    assert said.answers["Chosen by"] == "map 0.750 on validation images at step 60"
    assert said.answers["Measured"].startswith("not here")
    assert "not a medical device" in said.answers["Not for"]
    assert said.answers["Fingerprint"] == encoder.fingerprint
    assert said.settings == {"train": {"lr": 0.5, "seed": 3}, "std": None}
    assert model_card(run / "encoder.safetensors") == said
    text = said.as_markdown()
    assert "| `train.lr` | `0.5` |" in text
    assert "std" not in text
    assert "someone" not in text


def measure(estimate: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"estimate": estimate, "low": low, "high": high}


def test_what_a_run_measured_stands_below_with_its_intervals(run: Path) -> None:
    findings = {
        "Edema": {"positives": 7, "auroc": measure(0.8, 0.7, 0.9), "f1": measure(0.5)},
        "Mass": {"positives": 1, "auroc": measure(None)},
    }
    mean = {"auroc": measure(0.81234)}
    settings = {"images": 1500, "level": 0.9, "resampled": "patient_id"}
    document = {"validation": {"findings": findings, "mean": mean, "settings": settings}}
    (run / "metrics.json").write_text(json.dumps(document))
    said = model_card(run)
    assert said.answers["Measured"].startswith("below, on validation images")
    assert said.tables == (
        Table(
            "Validation images (1,500), 90% intervals by patient",
            ("finding", "positives", "auroc"),
            (("Edema", "7", "0.800 (0.700-0.900)"), ("Mass", "1", "–"), ("mean", "", "0.812")),
        ),
    )
    likeness = {"validation": {"recall@1": measure(0.5, 0.4, 0.6), "images": 30}}
    (run / "metrics.json").write_text(json.dumps(likeness))
    assert model_card(run).tables[0].rows == (("recall@1", "0.500 (0.400-0.600)"),)
    for nothing in ({"validation": None}, {}):
        (run / "metrics.json").write_text(json.dumps(nothing))
        assert model_card(run).tables == ()
    (run / "metrics.json").write_text("{")
    with pytest.raises(WeightsError, match=r"metrics\.json: not readable as JSON"):
        model_card(run)


def test_a_selectors_card_does_not_tell_which_patients_taught_it(tmp_path: Path) -> None:
    spec = {"findings": ["Edema"], "encoder": "cd" * 32, "budgets": [5, 80], "dim": 8,
            "provenance": {"train": "patient_id IN ('p17')", "validation": "x"}}  # fmt: skip
    path = tmp_path / "selector.safetensors"
    write_tensors(path, {}, {"kind": "selector", "spec": spec, "recipe": "policy"})
    said = model_card(tmp_path)
    assert said.answers["What"] == (
        f"Selector of images to label: 8 numbers, of an encoder with the fingerprint {'cd' * 8}…, "
        "budgets of 5 to 80 images"
    )
    assert said.answers["Recipe"] == "policy"
    assert "p17" not in said.as_markdown()
    write_tensors(path, {}, {"kind": "oracle"})
    with pytest.raises(WeightsError, match="of the kind 'oracle'; there are cards of image, pair"):
        model_card(path)


def test_a_data_card_counts_and_names_nobody(collection: Collection) -> None:
    said = data_card(collection)
    table = collection.table()
    patients = table["patient_id"].unique().to_list()
    assert said.answers["What"] == (
        f"23 images of {len(patients)} patients in {table['study_id'].n_unique()} studies, "
        "32 × 32 pixels, grey, resized by area"
    )
    assert said.answers["Left out"] == "in quarantine, by reason: unknown-format 1"
    splits, labels = said.tables
    assert {row[0]: int(row[1]) for row in splits.rows} == {
        split: table.filter(pl.col("split") == split).height for split in ("train", "val", "test")
    }
    for row in labels.rows:
        values = table[row[0]]
        counts = [(values == value).sum() for value in (1, 0, -1)]
        assert row[1:5] == tuple(str(count) for count in (*counts, values.null_count()))
    text = said.as_markdown()
    assert not [name for name in (*collection.ids(), *patients) if name in text]
    assert str(Path(collection.uri).parent) not in text


@given(st.text(max_size=30))
@example("a|b")
@example("two\nlines\\| and <b>more</b>")
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    card = Card("A card", {"What": text}, (Table("t", ("a", "b"), ((text, "1"),)),))
    lines = card.as_markdown().split("\n")
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 6
    for row in rows:
        assert len(row.replace("\\\\", "").replace("\\|", "").split("|")) == 4
        assert "<" not in row


def test_the_command_writes_a_card_of_either(
    collection: Collection, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "cards" / "MODEL_CARD.md"
    result = CliRunner().invoke(app, ["card", str(run), "--out", str(out)])
    assert result.stdout == f"{out}\n"
    assert out.read_text() == model_card(run).as_markdown()
    result = CliRunner().invoke(app, ["card", str(collection.uri), "--json"])
    expected = json.loads(json.dumps(data_card(collection).as_json()))
    assert json.loads(result.stdout) == expected
    result = CliRunner().invoke(app, ["card", str(collection.uri)])
    assert result.stdout == data_card(collection).as_markdown()
    code, said = misuse(["card", str(tmp_path / "nothing")], monkeypatch, capsys)
    assert code == 1
    assert "nothing" in said
