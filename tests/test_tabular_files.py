"""A model without pixels in its file and its run: as it was, or refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hilum import tabular
from hilum.collection import Collection
from hilum.errors import RunError, WeightsError
from hilum.tabular import KINDS, Recipe, boosted, logistic
from small_table import small_table
from test_tabular import cohort


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return small_table(tmp_path_factory.mktemp("cohort"), cohort())


@pytest.fixture(autouse=True, scope="module")
def _quickly() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(boosted, "GRID", [{"leaves": 4, "learning_rate": 0.5, "rounds": 10}])
    yield
    patch.undo()


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_from_its_file_as_it_was(
    collection: Collection, kind: str, tmp_path: Path
) -> None:
    inputs = ("demographics", "history", "course")
    model = tabular.fit(collection, inputs, kind, refit=True).model
    path = tabular.save(model, tmp_path / "deep" / "model.safetensors")
    again = tabular.load(path)
    assert again.spec == model.spec
    assert again.provenance["splits"] == ["train", "val"]
    assert again.notes == model.notes
    before, after = model.predict(collection), tabular.predict(collection, path)
    np.testing.assert_array_equal(before.values, after.values)


@pytest.fixture
def weights(collection: Collection, tmp_path: Path) -> Path:
    model = tabular.fit(collection, ("demographics",), "mean", ["Edema"]).model
    return tabular.save(model, tmp_path / "model.safetensors")


Change = Callable[[dict[str, Any], dict[str, NDArray[Any]]], object]


def rewritten(path: Path, change: Change, *, signed: bool) -> None:
    """Change what a file holds; signed, its fingerprint is that of what it now holds."""
    from hilum.tabular.weights import fingerprint

    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["hilum"])
    arrays = load_file(path)
    change(header, arrays)
    if signed:
        header["fingerprint"] = fingerprint(header["spec"], arrays)
    save_file(arrays, path, metadata={"hilum": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, _: h.update(kind="image"), r"expected a model on features .* got kind 'image'"),
        (lambda h, _: h.update(format=9), "in format 1; got kind 'tabular', format 9"),
        (lambda h, _: h["spec"].update(kind="magic"), "no spec that this version understands"),
        (lambda h, _: h["spec"].update(colour=1), "no spec that this version understands"),
        (lambda h, _: h.update(spec=None), "no spec that this version understands"),
        (lambda _, a: a["logistic.slope"].__setitem__((0, 0), 9), "do not match their own finger"),
        (lambda h, _: h["spec"].update(findings=["Mass"]), "do not match their own fingerprint"),
    ],
    ids="kind format member field nothing weights findings".split(),
)
def test_a_file_that_is_not_what_was_written_is_refused(
    weights: Path, change: Change, message: str
) -> None:
    rewritten(weights, change, signed=False)
    with pytest.raises(WeightsError, match=message):
        tabular.load(weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, a: a.pop("logistic.slope"), "the logistic model needs 'slope'"),
        (
            lambda _, a: a["logistic.columns"].__setitem__(0, 99),
            "arrays do not fit each other, 8 columns and 1 findings",
        ),
        (lambda _, a: a.pop("boosted.left"), "the boosted trees need 'left'"),
    ],
    ids=["missing", "elsewhere", "trees"],
)
def test_arrays_that_make_no_model_are_refused_though_their_fingerprint_is_right(
    weights: Path, change: Change, message: str
) -> None:
    rewritten(weights, change, signed=True)
    with pytest.raises(WeightsError, match=message):
        tabular.load(weights)


def test_a_file_that_is_none_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no such file"):
        tabular.load(tmp_path / "none.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"not a readable \.safetensors file"):
        tabular.load(weights)
    save_file({"a": np.zeros(1)}, weights)
    with pytest.raises(WeightsError, match=r"a \.safetensors file without hilum's header"):
        tabular.load(weights)


def test_a_run_is_computed_once_and_only_for_its_settings(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    recipe = Recipe(("demographics",), findings=("edema",))
    model = tabular.train(collection, run, recipe)
    assert {p.name for p in run.iterdir()} == {"settings.json", "metrics.json", "model.safetensors"}
    settings = json.loads((run / "settings.json").read_text())
    assert sum(settings["images"].values()) == len(collection.where("split <> 'test'"))
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["split"] == "val"
    assert metrics["choices"]["Edema"]["logistic"]["strength"] in logistic.STRENGTHS
    assert list(metrics["validation"]["findings"]) == ["Edema"]

    (run / "metrics.json").unlink()  # killed before the end: starts again, with the same result
    again = tabular.train(collection, run, recipe)
    assert json.loads((run / "metrics.json").read_text()) == metrics
    np.testing.assert_array_equal(
        again.predict(collection).values, model.predict(collection).values
    )

    monkeypatch.setattr("hilum.tabular.run.fit_material", lambda *_: pytest.fail("fitted again"))
    assert tabular.train(collection, run, recipe).spec == model.spec
    with pytest.raises(RunError, match=r"a run with other settings \(data, images\); name a new"):
        tabular.train(collection.where("sex = 'M'"), run, recipe)
    with pytest.raises(RunError, match=r"a run with other settings \(kind, seed\)"):
        tabular.train(collection, run, replace(recipe, kind="boosted", seed=1))
    (run / "settings.json").write_text("{")
    with pytest.raises(RunError, match=r"settings\.json: not readable as JSON"):
        tabular.train(collection, run, recipe)
    with pytest.raises(RunError, match="not empty and not a run; name a new folder"):
        tabular.train(collection, tmp_path, recipe)
