"""Models on features alone: one suite over every kind, references, laws, files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from hilum import tabular
from hilum.collection import Collection
from hilum.errors import CollectionError, UsageError, WeightsError
from hilum.features import Features, features_of
from hilum.tabular import FAMILIES, KINDS, boosted, logistic
from hilum.tabular.examples import Examples, log_loss, together
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
    grid = [{"leaves": leaves, "learning_rate": 1.0, "rounds": 20} for leaves in (4, 2)]
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


@kinds
def test_a_refit_keeps_what_was_chosen_and_learns_from_validation_patients_too(
    collection: Collection, kind: str
) -> None:
    one, two = (
        tabular.fit(collection, kind=kind, findings=["Edema"], refit=r) for r in (False, True)
    )
    assert one.choices == two.choices
    assert one.validation is not None
    assert two.validation is not None
    assert one.validation.mean == two.validation.mean
    view = collection.where("split <> 'test'")
    both = features_of(view, two.model.spec.inputs)
    material = Examples(both.names, both.values, view.labels(findings=["Edema"]).values)
    parts = {
        name: FAMILIES[name].fit(material, [two.choices["Edema"][name]]) for name in KINDS[kind]
    }
    expected = replace(two.model, parts=parts).score(both).values
    np.testing.assert_allclose(two.model.score(both).values, expected, atol=0.02)
    assert np.abs(one.model.score(both).values - expected).max() > 0.05


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
    silent = replace(train, labels=np.full_like(train.labels, np.nan))  # the same columns again
    silent.labels[:, 1] = 1
    one, two = (family.tune(e, validation)[0] for e in (train, together(train, silent)))
    found, other = (model.log_odds(validation.values) for model in (one, two))
    np.testing.assert_allclose(found[:, 0], other[:, 0], rtol=1e-6)
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
        assert int(np.argmin(losses)) not in (0, 7)  # neither the first nor the last of the trees
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
