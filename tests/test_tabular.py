"""Models on features alone: one suite over every kind, references, laws, files."""

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
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from hilum import tabular
from hilum.collection import Collection
from hilum.errors import CollectionError, RunError, UsageError, WeightsError
from hilum.features import Features, features_of
from hilum.tabular import KINDS, Recipe, boosted, logistic
from hilum.tabular.examples import Examples, log_loss
from small_table import small_table

NAN = float("nan")
kinds = pytest.mark.parametrize("kind", KINDS)
families = pytest.mark.parametrize("family", [logistic, boosted], ids=["logistic", "boosted"])


def cohort(patients: int = 150, seed: int = 0) -> list[dict[str, object]]:
    """Write visits: edema stays with a patient, mass comes with age, hernia is seen once."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for person in range(patients):
        age, wet = int(rng.integers(20, 90)), rng.random() < 0.4
        rows += [
            {
                "image_id": f"p{person}-{visit}",
                "patient_id": f"p{person}",
                "visit": visit,
                "age": age + visit,
                "sex": "MF"[person // 4 % 2],
                "view": "AP" if wet and rng.random() < 0.5 else "PA",
                "split": ("train", "train", "val", "test")[person % 4],
                "Edema": int(wet if rng.random() < 0.9 else not wet),
                "Mass": int(rng.random() < age / 90),
                "Hernia": 1 if person == 2 else None,
            }
            for visit in range(int(rng.integers(1, 6)))
        ]
    return rows


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return small_table(tmp_path_factory.mktemp("cohort"), cohort())


@pytest.fixture(autouse=True, scope="module")
def _quickly() -> Any:
    """Try two small settings: what is tried is the benchmark's business."""
    patch = pytest.MonkeyPatch()
    patch.setattr(boosted, "STEP", 5)
    grid = ({"leaves": 4, "learning_rate": 0.2, "rounds": 20},
            {"leaves": 2, "learning_rate": 0.2, "rounds": 20})  # fmt: skip
    patch.setattr(boosted, "GRID", grid)
    yield
    patch.undo()


# --------------------------------------------------------------------------- every kind


@kinds
def test_every_kind_learns_what_earlier_visits_tell(collection: Collection, kind: str) -> None:
    test = collection.where("split = 'test' AND visit > 0")
    truth = test.labels(findings=["Edema"]).values[:, 0]
    found = {}
    for inputs in (("demographics",), ("demographics", "history")):
        fitted = tabular.fit(collection, inputs, kind, ["Edema"])
        scores = tabular.predict(test, fitted.model)
        assert scores.ids == test.ids()
        assert ((scores.values > 0) & (scores.values < 1)).all()
        found[inputs] = roc_auc_score(truth, scores.values[:, 0])
    assert found["demographics", "history"] > 0.8 > found[("demographics",)]


@kinds
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(
    collection: Collection, kind: str
) -> None:
    test, tables = collection.where("split = 'test'"), []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            fitted = tabular.fit(collection, kind=kind, findings=["Edema"], seed=3)
            tables.append(tabular.predict(test, fitted.model).values)
    np.testing.assert_array_equal(tables[0], tables[1])


@kinds
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


@kinds
def test_a_finding_that_cannot_be_learnt_is_empty_and_says_why(
    collection: Collection, kind: str
) -> None:
    fitted = tabular.fit(collection, kind=kind)
    scores = tabular.predict(collection, fitted.model)
    assert scores.notes == {"Hernia": "no training image is labelled"}
    assert np.isnan(scores.column("Hernia")).all()
    assert fitted.validation is not None
    assert set(fitted.validation.findings) == {"Edema", "Mass"}


@kinds
def test_labels_of_test_patients_change_no_model(
    collection: Collection, kind: str, tmp_path: Path
) -> None:
    rows = [
        {**row, "Edema": 1, "Mass": 0, "age": 30} if row["split"] == "test" else row
        for row in cohort()
    ]
    other = small_table(tmp_path, rows)
    one, two = (tabular.fit(c, kind=kind) for c in (collection, other))
    train = collection.where("split = 'train'")
    expected = tabular.predict(train, one.model).values
    np.testing.assert_array_equal(tabular.predict(train, two.model).values, expected)
    assert one.model.provenance["data"] == two.model.provenance["data"]


# --------------------------------------------------------------------------- every family


def examples(n: int = 400, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 5)).astype(np.float32)
    values[:, 3] = 7.0  # constant
    values[:, 4] = values[:, 0]  # a copy
    values[rng.random(n) < 0.2, 1] = np.nan
    odds = values[:, 0] + np.nan_to_num(values[:, 1])
    labels = (odds[:, None] + rng.normal(size=(n, 2)) > 0).astype(np.float64)
    return Examples(("age", "female", "other", "constant", "copy"), values, labels)


@families
def test_an_image_whose_label_is_unknown_takes_no_part_for_that_finding(family: Any) -> None:
    train, validation = examples(), examples(seed=1)
    labels = train.labels.copy()
    labels[::3, 0] = np.nan
    labels[:, 1] = np.where(np.isnan(labels[:, 0]), np.nan, labels[:, 1])
    some = Examples(train.names, train.values, labels)
    opposite = labels.copy()
    opposite[:, 1] = np.where(np.isnan(labels[:, 0]), 1, labels[:, 1])
    one, two = (
        family.tune(replace(some, labels=known), validation)[0] for known in (labels, opposite)
    )
    found, other = (model.log_odds(validation.values) for model in (one, two))
    np.testing.assert_array_equal(found[:, 0], other[:, 0])
    assert np.abs(found[:, 1] - other[:, 1]).max() > 0.1


@families
def test_what_is_chosen_is_what_validation_images_like_best(family: Any) -> None:
    train, validation = examples(), examples(seed=1)
    model, choices = family.tune(train, validation)
    least = log_loss(model.log_odds(validation.values).T, validation.labels.T)
    tried = (
        [{"strength": strength} for strength in logistic.STRENGTHS]
        if family is logistic
        else [{**s, "rounds": n} for s in boosted.GRID for n in (5, 10, 15, 20)]
    )
    for finding in range(2):
        losses = []
        for choice in tried:
            odds = family.fit(train, [choice, choice]).log_odds(validation.values)[:, finding]
            losses.append(float(log_loss(odds, validation.labels[:, finding])))
        assert min(losses) == pytest.approx(float(least[finding]), abs=1e-7)
        assert tried[int(np.argmin(losses))] == choices[finding]


@families
def test_fitting_as_was_chosen_gives_the_model_that_was_chosen(family: Any) -> None:
    train, validation = examples(), examples(seed=1)
    model, choices = family.tune(train, validation, 5)
    again = family.fit(train, choices, 5)
    expected = model.log_odds(validation.values)
    np.testing.assert_allclose(again.log_odds(validation.values), expected, rtol=1e-9)


@families
def test_without_validation_labels_the_usual_setting_is_taken(family: Any) -> None:
    train, validation = examples(), examples(seed=1)
    blank = replace(validation, labels=np.full((400, 2), NAN))
    model, choices = family.tune(train, blank)
    assert choices == [family.DEFAULT] * 2
    again = family.fit(train, [family.DEFAULT] * 2)
    expected = again.log_odds(validation.values)
    np.testing.assert_array_equal(model.log_odds(validation.values), expected)


@families
def test_columns_that_tell_nothing_give_the_share_of_positives(family: Any) -> None:
    train = examples()
    dull = replace(train, values=np.full_like(train.values, 7))
    labels = np.repeat([[1.0, 0.0]], 400, axis=0)
    labels[::4] = [0.0, 1.0]
    model, _ = family.tune(replace(dull, labels=labels), replace(dull, labels=labels))
    found = model.log_odds(train.values)
    np.testing.assert_allclose(found, np.log([[3, 1 / 3]] * 400), rtol=1e-12)


def test_constants_and_copies_are_no_columns_and_a_class_must_have_an_image() -> None:
    train = examples()
    assert train.informative().tolist() == [0, 1, 2]
    labels = np.column_stack([np.ones(400), np.zeros(400), np.full(400, NAN), train.labels[:, 0]])
    assert replace(train, labels=labels).gaps() == {
        0: "no training image is negative",
        1: "no training image is positive",
        2: "no training image is labelled",
    }


def test_logistic_regression_is_that_of_scikit_learn_on_standardised_columns_and_products() -> None:
    train = examples()
    model = logistic.fit(train, [{"strength": 0.05}] * 2)
    used = train.values[:, :3].astype(np.float64)
    wide = np.column_stack([used, used[:, 0] * used[:, 1]])  # age × female
    spread = np.nanstd(wide, axis=0)
    scaled = np.nan_to_num((wide - np.nanmean(wide, axis=0)) / spread)
    expected = LogisticRegression(C=0.05, tol=1e-10, max_iter=10**4).fit(scaled, train.labels[:, 1])
    found = model.log_odds(train.values)[:, 1]
    np.testing.assert_allclose(found, expected.decision_function(scaled), atol=1e-5)


# --------------------------------------------------------------------------- refusals


def test_other_features_than_those_of_the_fit_are_refused(collection: Collection) -> None:
    model = tabular.fit(collection, ("demographics",), findings=["Edema"]).model
    past = features_of(collection, ["previous"])
    with pytest.raises(WeightsError, match=r"fitted on 8 features and got 7 others \(missing: age"):
        model.score(past)
    own = features_of(collection, ["demographics"])
    turned = Features(own.ids, own.names[::-1], own.values[:, ::-1], own.groups)
    with pytest.raises(WeightsError, match=r"got 8 others \(in another order\); make them with"):
        model.score(turned)


def test_a_collection_without_the_labels_that_the_model_looks_back_at_is_refused(
    collection: Collection, tmp_path: Path
) -> None:
    model = tabular.fit(collection, ("history",)).model
    other = small_table(tmp_path, [{"image_id": "a", "split": "test", "Edema": 1}])
    with pytest.raises(CollectionError, match="there is no finding 'Mass' in this collection"):
        tabular.predict(other, model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "magic"}, "'magic' is not a kind of model; there are logistic, boosted, mean"),
        ({"inputs": ("image",)}, "'image' is not an input without pixels"),
        ({"policy": "keep"}, "choose what an uncertain label counts as"),
    ],
)
def test_settings_that_are_none_are_refused(
    collection: Collection, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tabular.fit(collection, **options)


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_and_validation_patients_are_both_needed(
    collection: Collection, split: str
) -> None:
    with pytest.raises(UsageError, match=f"no image has split = '{split}': a model is fitted on"):
        tabular.fit(collection.where(f"split <> '{split}'"))


# --------------------------------------------------------------------------- files


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
