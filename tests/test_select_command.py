"""`hilum select`: what it writes, what it says, and how it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hilum import cli
from hilum.collection import Collection, EmbeddingInfo
from hilum.ingest import ingest
from small_source import small_source


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("hospital")
    source = small_source(folder / "small")
    made = ingest(source.root, folder / "c.lance", layout="folder", size=32, workers=1).collection
    vectors = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    info = EmbeddingInfo(4, "a" * 64, "small net")
    return made.add_embedding("moco", [(made.ids(), vectors)], info)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the pseudonyms' key out of the tester's own settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Give the command line these words; return its exit status."""
    monkeypatch.setattr("sys.argv", ["hilum", "select", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    code = stop.value.code
    return code if isinstance(code, int) else 0


def test_the_command_writes_a_worklist_and_a_sheet(
    collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, sheet = tmp_path / "w.csv", tmp_path / "picks.png"
    code = run(
        monkeypatch, collection.uri, "--embedding", "moco", "--budget", "5", "--strategy",
        "k-center", "--per-patient", "1", "--where", "view <> 'LATERAL'", "--out", str(out),
        "--sheet", str(sheet),
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    assert said.out == f"{out}: 5 images chosen by k-center\n"
    assert said.err == f"{sheet}\n"
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["rank", "image_id", "patient", "score", "why"]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert len({row["patient"] for row in rows}) == 5
    frontal = collection.where("view <> 'LATERAL'").ids()
    assert all(row["image_id"] in frontal for row in rows)
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_json_says_the_same_for_machines(
    collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "labels.csv").write_text("Study,Edema\ni0000,1\ni0001,0\ni0002,\n")
    out, key = tmp_path / "w.csv", tmp_path / "hospital.key"
    code = run(
        monkeypatch, collection.uri, "--embedding", "moco", "--budget", "2", "--strategy",
        "random", "--labelled", str(tmp_path / "labels.csv"), "--id", "Study", "--seed", "3",
        "--key", str(key), "--out", str(out), "--json",
    )  # fmt: skip
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    picks = said.pop("picks")
    assert said == {"worklist": str(out), "strategy": "random", "images": 2, "note": "",
                    "sheets": []}  # fmt: skip
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [pick["image_id"] for pick in picks] == [row["image_id"] for row in rows]
    assert [pick["score"] for pick in picks] == [None, None]
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--budget", "25"], 2, "asked for 25 images to label, but 24 of 24 can be picked"),
        (["--budget", "2", "--strategy", "magic"], 2, "'magic' is not a strategy; choose from "),
        (["--budget", "2", "--strategy", "medselect"], 2, "needs the weights of a trained selec"),
        (["--budget", "2", "--strategy", "badge"], 2, "badge learns from labels"),
        (["--budget", "2", "--id", "Study", "--policy", "positive"], 2,
         "--id, --policy: of no effect without --labelled"),
        (["--budget", "2", "--where", "shoe = 3"], 1, "cannot filter by 'shoe = 3'"),
    ],
)  # fmt: skip
def test_misuse_ends_in_one_sentence(
    collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    out = tmp_path / "w.csv"
    common = [collection.uri, "--embedding", "moco", "--out", str(out)]
    assert run(monkeypatch, *common, *words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Error: ")
    assert said.err.count("\n") == 1
    assert message in said.err
    assert not out.exists()
