"""`hilum selector`: a run from a collection to a comparison, and how it refuses."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from hilum import cli
from hilum.collection import Collection, EmbeddingInfo
from hilum.encoders.tensors import read_header
from hilum.errors import LeakError, UsageError, WeightsError
from hilum.ingest import ingest
from hilum.select.labelled import condition, labelled_vectors, refuse_seen_patients
from hilum.select.original_run import Original, load_original, save_original, train_original
from hilum.select.selector import load_selector
from hilum.select.selector_trial import teach_from_files
from hilum.select.task_plan import TaskPlan
from small_source import small_source

PLAN = ("--pool", "10", "--query", "6", "--negatives", "rest")
SMALL = ("--set", "budgets=[2,4]", "--set", "judged=[4]", "--set", "validation_tasks=5",
         "--set", "batch=8", "--device", "cpu")  # fmt: skip
TEST = ("--budgets", "3,6", "--prevalences", "0.5", "--tasks", "4", "--bootstrap", "50")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("hospital")
    source = small_source(folder / "small", images=400)
    made = ingest(
        source.root, folder / "c.lance", layout="folder", pixels=False, workers=1,
        fractions=(0.4, 0.3, 0.3),
    ).collection  # fmt: skip
    rng = np.random.default_rng(0)
    for name, fingerprint in (("moco", "a" * 64), ("other", "b" * 64)):
        vectors = rng.normal(size=(400, 5)).astype(np.float32)
        info = EmbeddingInfo(5, fingerprint, "small net")
        made = made.add_embedding(name, [(made.ids(), vectors)], info)
    return made


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Give the command line these words; return its exit status."""
    monkeypatch.setattr("sys.argv", ["hilum", "selector", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    code = stop.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture(scope="module")
def runs(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A selector and an original, each after two steps, by command."""
    folder = tmp_path_factory.mktemp("runs")
    common = ("--embedding", "moco", "--held-out", "effusion", "--steps", "2", *PLAN)
    small = ("--set", "budget=4", "--set", "tasks=64", "--set", "validation_tasks=5",
             "--set", "batch=8", "--beside", "age,sex,view", "--device", "cpu")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        ours, theirs = str(folder / "ours"), str(folder / "theirs")
        seen = ("--beside", "age, view")
        assert run(patch, "train", collection.uri, ours, *common, *SMALL, *seen) == 0
        words = ("train", collection.uri, theirs, "--recipe", "medselect-2021", *common, *small)
        assert run(patch, *words) == 0
    return folder / "ours", folder / "theirs"


# ------------------------------------------------------------------------------- training


def test_weights_say_what_taught_them(runs: tuple[Path, Path]) -> None:
    spec = load_selector(runs[0] / "selector.safetensors").spec
    assert (spec.encoder, spec.dim, spec.pool) == ("a" * 64, 5, 10)
    assert (spec.findings, spec.held_out) == (("Edema",), ("effusion",))
    assert spec.beside == ("age", "view")
    about = {"embedding": "moco", "train": "split = 'train'", "validation": "split = 'val'",
             "policy": "ignore"}  # fmt: skip
    assert spec.provenance == about
    original = load_original(runs[1] / "selector.safetensors")
    assert (original.encoder, original.dim, original.budget) == ("a" * 64, 5, 4)
    assert (original.findings, original.beside) == (("Edema",), True)
    assert original.provenance == about


def test_a_finished_run_is_told_again_as_json(
    collection: Collection, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ("train", collection.uri, str(runs[0]), "--embedding", "moco", "--held-out",
             "effusion", "--steps", "2", "--beside", "age,view", *PLAN, *SMALL)  # fmt: skip
    assert run(monkeypatch, *words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["weights"] == str(runs[0] / "selector.safetensors")
    assert said["recipe"] == "policy"
    assert said["metrics"]["steps"] == 2
    assert run(monkeypatch, *words) == 0
    assert "selector.safetensors: validation AUROC 0." in capsys.readouterr().out


def originals_files(folder: Path) -> Path:
    """Write twelve positives and twelve normals for training and as many for validation."""
    rng = np.random.default_rng(0)
    for at, part in enumerate(("meta_train", "meta_val")):
        (folder / part).mkdir(parents=True)
        for kind, first in (("positives", 0), ("no_findings", 50)):
            rows = range(100 * at + first, 100 * at + first + 12)
            lines = [f"train/patient{row:05}/study1/view1_frontal.jpg,1" for row in rows]
            (folder / part / f"{kind}.csv").write_text(
                "\n".join(["Path,Edema" if kind == "positives" else "Path,Seen", *lines]) + "\n"
            )
            with h5py.File(folder / part / f"{kind}.hdf5", "w") as file:
                file.create_dataset("dataset", data=rng.normal(size=(12, 5)).astype(np.float32))
    return folder


@pytest.mark.parametrize("recipe", ["relaxed", "medselect-2021"])
def test_the_originals_own_files_can_teach(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals_files(tmp_path / "files")
    own = ("budgets=[2]", "judged=[2]") if recipe == "relaxed" else ("budget=2", "tasks=16")
    words = [word for one in (*own, "validation_tasks=3", "batch=4") for word in ("--set", one)]
    code = run(
        monkeypatch, "train", str(tmp_path / "files"), str(tmp_path / "run"), "--layout",
        "medselect", "--recipe", recipe, "--pool", "4", "--query", "2", "--steps", "1",
        "--device", "cpu", *words,
    )  # fmt: skip
    assert code == 0
    spec = read_header(tmp_path / "run" / "selector.safetensors")["spec"]
    assert spec["provenance"] == {"layout": "medselect", "policy": "positive"}
    assert spec["findings"] == ["Edema"]
    # a test split with the original's names is of no concern here
    (tmp_path / "files" / "meta_tst").mkdir()
    (tmp_path / "files" / "meta_tst" / "holdout_positives.csv").write_text("Path,Edema\n")
    settings = (
        {"budgets": [2], "judged": [2]} if recipe == "relaxed" else {"budget": 2, "tasks": 16}
    )
    teach_from_files(
        tmp_path / "files", tmp_path / "run", recipe, TaskPlan(4, 2), steps=1, batch=4,
        validation_tasks=3, device="cpu", **settings,
    )  # fmt: skip
    (tmp_path / "files" / "meta_val").rename(tmp_path / "files" / "elsewhere")
    with pytest.raises(
        UsageError, match=r"needs meta_train and meta_val; there is nothing for val"
    ):
        teach_from_files(tmp_path / "files", tmp_path / "more")


def test_four_tables_teach_as_a_folder_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = originals_files(tmp_path / "files")
    parts = [folder / part / f"{kind}.csv" for part in ("meta_train", "meta_val")
             for kind in ("positives", "no_findings")]  # fmt: skip
    words = ["--layout", "medselect", "--pool", "4", "--query", "2", "--steps", "1", "--device",
             "cpu", "--set", "budgets=[2]", "--set", "judged=[2]", "--set", "batch=4",
             "--set", "validation_tasks=3"]  # fmt: skip
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    assert run(monkeypatch, "train", str(folder), one, *words) == 0
    assert run(monkeypatch, "train", ",".join(map(str, parts)), other, *words) == 0
    weights = [load_selector(Path(path) / "selector.safetensors") for path in (one, other)]
    for left, right in zip(*(each.state_dict().values() for each in weights), strict=True):
        assert torch.equal(left, right)
    assert run(monkeypatch, "train", ",".join(map(str, parts[:3])), one, *words) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--findings", "Gout"], 2, "no finding 'Gout' here"),
        (["--recipe", "magic"], 2, "no recipe 'magic'; choose from policy, relaxed, medselect-20"),
        (["--set", "shoe=3"], 2, "a recipe has no 'shoe'; it has beside"),
        (["--recipe", "medselect-2021", "--beside", "age"], 2, "age, sex, view together or none"),
        (["--beside", "weight"], 2, "can see age, sex, view beside the embedding"),
        (
            ["--recipe", "medselect-2021", "--set", "shoe=3"],
            2,
            "a recipe has no 'shoe'; it has budget",
        ),
        (["--train", "split <> 'test'"], 1, "patients are in both source 1 and source 2"),
        (["--train", "age > 900"], 2, "fulfils 'age > 900'"),
        (["--embedding", "none"], 1, "'none'"),
        (["--held-out", "Gout"], 2, "no finding 'Gout' here"),
    ],
)
def test_training_that_cannot_be_ends_in_one_sentence(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str,
) -> None:  # fmt: skip
    common = ["train", collection.uri, str(tmp_path / "run"), "--embedding", "moco", *PLAN]
    assert run(monkeypatch, *common, *words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Error: ")
    assert said.err.count("\n") == 1
    assert message in said.err


def test_a_collection_needs_an_embedding(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(monkeypatch, "train", collection.uri, str(tmp_path / "run")) == 2
    assert "Error: a collection needs --embedding NAME" in capsys.readouterr().err


def test_files_of_the_original_say_themselves_who_teaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    originals_files(tmp_path / "files")
    assert run(
        monkeypatch, "train", str(tmp_path / "files"), str(tmp_path / "run"), "--layout",
        "medselect", "--embedding", "moco", "--train", "test", "--validate", "test", *PLAN,
    ) == 2  # fmt: skip
    said = "Error: --embedding, --train, --validate: of no effect with --layout medselect\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "run").exists()


# ----------------------------------------------------------------------------------- test


def test_every_strategy_is_compared_on_seen_and_unseen_findings(
    collection: Collection, runs: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ("test", collection.uri, "--embedding", "moco", "--selector", str(runs[0]),
             "--original", str(runs[1] / "selector.safetensors"), "--out", str(tmp_path / "out"),
             *PLAN, *TEST)  # fmt: skip
    assert run(monkeypatch, *words) == 0
    said = capsys.readouterr()
    assert said.out == (tmp_path / "out" / "comparison.txt").read_text()
    assert str(tmp_path / "out" / "comparison.csv") in said.err
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert document["strategies"] == [
        *("medselect", "medselect-2021", "random", "k-medoids", "k-means", "k-center"),
        *("typiclust", "probcover"),
    ]
    assert document["reference"] == "medselect"
    assert (document["design"]["seen"], document["design"]["unseen"]) == (
        ["Edema"], ["Pleural Effusion"],
    )  # fmt: skip
    assert document["about"]["where"] == "split = 'test'"
    assert document["images"] == len(collection.where("split = 'test'"))


def test_json_is_what_the_file_holds(
    collection: Collection, runs: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ("test", collection.uri, "--embedding", "moco", "--selector", str(runs[0]), "--out",
             str(tmp_path), "--strategies", "random", "--findings", "edema", "--json",
             *PLAN, *TEST)  # fmt: skip
    assert run(monkeypatch, *words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "comparison.json").read_text())
    assert said["strategies"] == ["medselect", "random"]
    assert said["design"]["unseen"] == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--where", "train"], 1, "fulfil \"split = 'train'\", which the selector was trained on"),
        (["--where", "age > 0"], 1, "as external (hilum selector test --external)"),
        (["--embedding", "other"], 2, "was trained on embeddings of the encoder aaaaaaaaaaaa…"),
        (["--strategies", "badge"], 2, "'badge' is not a strategy that chooses without labels"),
        (["--findings", "Gout"], 2, "no finding 'Gout' here"),
        (["--budgets", "3,many"], 2, "--budgets: expected whole numbers such as 0,1,2; got '3,ma"),
        (["--budgets", ""], 2, "give one or more different budgets; got none"),
        (["--prevalences", ""], 2, "--prevalences: expected numbers such as 0.5,0.2; got ''"),
        (["--budgets", "11"], 2, "budgets must be from 1 to the pool's 10 images; got 11"),
    ],
)
def test_a_test_that_cannot_be_ends_in_one_sentence(
    collection: Collection, runs: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], code: int, message: str,
) -> None:  # fmt: skip
    common = ["test", collection.uri, "--embedding", "moco", "--selector", str(runs[0]), "--out",
              str(tmp_path / "out"), *PLAN, *TEST]  # fmt: skip
    assert run(monkeypatch, *common, *words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Error: ")
    assert message in said.err
    assert not (tmp_path / "out").exists()


def test_who_says_external_may_test_on_all_of_a_collection(
    collection: Collection, runs: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ("test", collection.uri, "--embedding", "moco", "--selector", str(runs[0]), "--out",
             str(tmp_path), "--strategies", "random", *PLAN, *TEST, "--json")  # fmt: skip
    assert run(monkeypatch, *words, "--where", "age > 0", "--external") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 400


# -------------------------------------------------------------------------------- analyse


def test_what_is_selected_is_described(
    collection: Collection, runs: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ("analyse", collection.uri, "--embedding", "moco", "--selector", str(runs[0]),
             "--original", str(runs[1]), "--budget", "4", "--tasks", "5", *PLAN)  # fmt: skip
    assert run(monkeypatch, *words, "--out", str(tmp_path / "out")) == 0
    said = capsys.readouterr()
    assert said.out == (tmp_path / "out" / "analysis.txt").read_text()
    assert "4 of 10 selected, 50% positive, 5 tasks for each finding." in said.out
    assert run(monkeypatch, *words, "--out", str(tmp_path / "out"), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["strategies"] == ["medselect", "medselect-2021", "random", "k-medoids"]
    found = {(row["findings"], row["measure"]) for row in document["results"]}
    assert {("seen findings", "age_w1"), ("unseen findings", "has Edema")} <= found
    assert run(monkeypatch, *words, "--out", str(tmp_path / "no"), "--strategies", "k-means") == 2
    assert "an analysis needs the strategy random" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


# -------------------------------------------------------------------------------- its parts


def test_a_selector_that_does_not_say_what_taught_it_is_refused(collection: Collection) -> None:
    with pytest.raises(LeakError, match="does not say which images of a collection taught it"):
        refuse_seen_patients(collection, "test", {"layout": "medselect", "train": "split = 'x'"})
    seen = {"train": "split = 'val'", "validation": "split = 'train'"}
    refuse_seen_patients(collection, "test", seen)
    with pytest.raises(LeakError, match="which the selector was trained on"):
        refuse_seen_patients(collection, "train", seen)


def test_a_split_is_named_or_described() -> None:
    assert condition("val") == "split = 'val'"
    assert condition("age > 60") == "age > 60"


def test_labels_people_and_their_age_sex_and_view_come_along(collection: Collection) -> None:
    data = labelled_vectors(collection, "moco", "image_id IN ('i0000', 'i0003', 'i0005')")
    assert data.ids == ("i0000", "i0003", "i0005")
    assert data.patients == ("p0", "p1", "p2")
    np.testing.assert_array_equal(data.people.age, [20, 23, 25])
    np.testing.assert_array_equal(data.people.female, [0, 1, 0])
    np.testing.assert_array_equal(data.people.frontal, [1, 1, 0])
    np.testing.assert_array_equal(data.labels[:, 0], [1, np.nan, 0])
    with pytest.raises(UsageError, match="choose what an uncertain label counts as"):
        labelled_vectors(collection, "moco", "test", "keep")


def test_an_original_survives_its_file_and_others_are_refused(
    collection: Collection, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    one = load_original(runs[1] / "selector.safetensors")
    save_original(one, tmp_path / "again.safetensors")
    again = load_original(tmp_path / "again.safetensors")
    for name, tensor in one.network.state_dict().items():
        np.testing.assert_array_equal(tensor, again.network.state_dict()[name])
    data = labelled_vectors(collection, "moco", "test")
    columns = again.columns(data)
    assert columns is not None
    assert columns.shape == (len(data.ids), 3)
    with pytest.raises(WeightsError, match="not MedSelect of 2021; `hilum selector train"):
        load_original(runs[0] / "selector.safetensors")
    with pytest.raises(WeightsError, match="not a selector"):
        load_selector(runs[1] / "selector.safetensors")
    save_original(Original(one.network, dim=9, budget=4), tmp_path / "broken.safetensors")
    with pytest.raises(WeightsError, match="damaged weights"):
        load_original(tmp_path / "broken.safetensors")


def test_the_original_may_not_see_the_patients_who_judge_it(
    collection: Collection, tmp_path: Path
) -> None:
    data = labelled_vectors(collection, "moco", "train")
    plan = TaskPlan(10, 6, negatives="rest")
    with pytest.raises(LeakError, match="patients are in both source 1 and source 2"):
        train_original(data, data, tmp_path / "run", plan)
