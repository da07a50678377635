"""`hilum zeroshot`: what it writes, what it says, and how it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilum import cli
from hilum.collection import Collection, open_collection
from hilum.encoders import PairEncoder, TextSpec, random_encoder, random_pair, save_encoder
from hilum.ingest import ingest
from hilum.prompts import TEMPLATES
from hilum.tables import read_table, write_table
from hilum.zeroshot import detect
from small_source import small_source

E = "e.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a collection c.lance, two pairs and an image encoder."""
    root = tmp_path_factory.mktemp("hospital")
    source = small_source(root / "small", 48).root
    ingest(source, root / "c.lance", layout="folder", size=32, workers=1,
           fractions=(0.4, 0.3, 0.3), seed=1)  # fmt: skip
    for seed, name in enumerate((E, "f.safetensors")):
        save_encoder(pair_of(seed), root / name)
    save_encoder(random_encoder("test_resnet", size=32), root / "image.safetensors")
    return root


def pair_of(seed: int) -> PairEncoder:
    return random_pair("test_resnet", seed, size=32, dim=8, context=16, text=TextSpec(16, 1, 2))


@pytest.fixture
def collection(folder: Path) -> Collection:
    return open_collection(folder / "c.lance")


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    """Give the command line these words; return its exit status."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["hilum", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    code = stop.value.code
    return code if isinstance(code, int) else 0


def zeroshot(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    return run(monkeypatch, folder, "zeroshot", "c.lance", *words)


def test_scores_go_to_a_table_that_evaluate_takes(
    folder: Path,
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not zeroshot(monkeypatch, folder, "--encoder", E, "--out", "s.csv", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["scores"], said["images"], said["mode"]) == ("s.csv", 48, "hilum")
    assert said["prompts"]["Edema"]["absent"] == [text.format("edema") for _, text in TEMPLATES]
    assert [one["fingerprint"] for one in said["encoders"]] == [pair_of(0).fingerprint]
    scores = read_table(folder / "s.csv")
    assert scores.ids == collection.ids()
    assert scores.findings == collection.findings
    np.testing.assert_array_equal(scores.values, detect(collection, pair_of(0)).scores.values)
    write_table(collection.labels("test"), folder / "truth.csv")
    evaluated = run(monkeypatch, folder, "evaluate", "s.csv", "truth.csv", "--out", "e",
                    "--bootstrap", "0", "--no-plots", "--json")  # fmt: skip
    assert not evaluated
    assert json.loads(capsys.readouterr().out)["findings"]["Edema"]["n"] == 4


def test_everything_can_be_said_on_the_command_line(
    folder: Path,
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prompts = {"Edema": ["edema", "wet lungs"], "Effusion": "fluid"}
    (folder / "p.json").write_text(json.dumps(prompts))
    assert not zeroshot(
        monkeypatch, folder, "--encoder", E, "--encoder", "f.safetensors", "--out", "t.csv.gz",
        "--prompts", "p.json", "--findings", "oedema, Pleural Effusion,No Finding",
        "--template", "{} is seen|no {}", "--template", "{}|without {}", "--scale", "4",
        "--choose-on", "val", "--calibrate", "platt", "--threshold", "mcc",
        "--thresholds", "limits.csv", "--where", "split = 'test'", "--no-keep", "--batch", "9",
        "--policy", "positive", "--device", "cpu", "--json",
    )  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    options: dict[str, Any] = {
        "prompts": prompts, "templates": [("{} is seen", "no {}"), ("{}", "without {}")],
        "scale": 4, "choose_on": "val", "calibrate": "platt", "threshold": "mcc",
        "where": "split = 'test'", "policy": "positive", "keep": False,
    }  # fmt: skip
    findings = ["Edema", "Effusion", "No Finding"]
    expected = detect(collection, [pair_of(0), pair_of(1)], findings, **options)
    assert expected.thresholds is not None
    assert said == {"scores": "t.csv.gz", **json.loads(json.dumps(expected.to_json()))}
    scores = read_table(folder / "t.csv.gz")
    assert scores.ids == expected.scores.ids
    np.testing.assert_allclose(scores.values, expected.scores.values)
    limits = read_table(folder / "limits.csv", "finding", ["threshold"])
    numbers = expected.thresholds.numbers()
    assert numbers
    wanted = [numbers.get(name, np.nan) for name in limits.ids]  # one cannot be calibrated
    np.testing.assert_allclose(limits.column("threshold"), wanted)


def test_classes_and_chexzero_are_modes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--findings", "male,female", "--template", "the sex is {}")
    assert not zeroshot(monkeypatch, folder, "--encoder", E, "--out", "sex.csv", "--mode",
                        "classes", *words)  # fmt: skip
    assert capsys.readouterr().out == "sex.csv: 48 images, male, female\n"
    assert detect(open_collection(folder / "c.lance"), pair_of(0), ["male", "female"],
                  mode="classes").encoders[0].scale is None  # fmt: skip
    values = read_table(folder / "sex.csv", findings=["male", "female"]).values
    np.testing.assert_allclose(np.unique(values.round(7)), [0.2689414, 0.7310586])
    assert not zeroshot(monkeypatch, folder, "--encoder", E, "--out", "c.csv", "--mode",
                        "chexzero", "--json")  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert said["encoders"][0]["scale"] == 1
    assert said["prompts"]["No Finding"]["absent"] == ["no No Finding"]


def test_a_prompt_the_wrong_way_round_is_said_on_standard_error(
    folder: Path,
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (plain,) = detect(collection, pair_of(0), ["Edema"], choose_on="val").choices
    sides = {"present": "edema", "absent": "no edema"}
    (one,) = detect(collection, pair_of(0), prompts={"Edema": sides}, choose_on="val").choices
    assert plain.auroc is not None
    assert one.auroc is not None
    assert one.auroc != 0.5
    wrong = sides if one.auroc < 0.5 else {"present": "no edema", "absent": "edema"}
    (folder / "w.json").write_text(json.dumps({"Edema": wrong}))
    assert not zeroshot(monkeypatch, folder, "--encoder", E, "--out", "w.csv", "--prompts",
                        "w.json", "--choose-on", "val")  # fmt: skip
    said = capsys.readouterr()
    assert "Edema: validation AUROC 0." in said.err
    assert "seems to be the wrong way round" in said.err
    assert said.out == "w.csv: 48 images, Edema\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--encoder", E, "--findings", "Scoliosis"], 2, "no sentences for 'Scoliosis'"),
        (["--encoder", "image.safetensors"], 1, "encodes images alone; texts need a pair"),
        (["--encoder", "nowhere"], 1, "nowhere"),
        (["--encoder", E, "--template", "{}"], 2, "'{}' is not a template: it has two sides"),
        (["--encoder", E, "--choose-on", "test"], 2, "the split test is for reporting"),
        (["--encoder", E, "--threshold", "mcc"], 2, "give both or neither"),
        (["--encoder", E, "--calibrate", "platt"], 2, "needs validation labels"),
        (["--encoder", E, "--policy", "ignore"], 2, "--policy: of no effect without --choose-on"),
    ],
)
def test_a_fault_is_one_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert zeroshot(monkeypatch, folder, *words, "--out", "never.csv") == code
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert not (folder / "never.csv").exists()
