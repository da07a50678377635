"""A class that was never taught: its scores, and how well it stands out; class against source."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

import hilum
from hilum.cli import app
from hilum.collection import Collection
from hilum.collection.vectors import EmbeddingInfo
from hilum.errors import CollectionError, LeakError, UsageError
from hilum.evaluate.draws import Draws
from hilum.evaluate.outliers import outlier_measures, step_false_alarms
from hilum.evaluate.ranking import rank
from hilum.ingest import ingest
from hilum.retrieve import evaluate_anomaly, evaluate_confounding, evaluate_neighbours
from hilum.retrieve.anomaly import anomaly_scores, class_means
from hilum.retrieve.confounding import cramers_v, measure_ways
from hilum.tables import read_table
from reference_metric import films_of_kinds

CLASSES = ["No Finding", "Edema", "Mass"]


# ------------------------------------------------------------------ false alarms


def slow_false_alarms(scores: NDArray[Any], truth: NDArray[Any], recall: float) -> float:
    """Go down the thresholds until enough positives are found."""
    for threshold in sorted(set(scores.tolist()), reverse=True):
        called = scores >= threshold
        if called[truth == 1].mean() >= recall - 1e-12:
            return float(called[truth == 0].mean())
    raise AssertionError


def false_alarms(scores: Any, truth: Any, recall: float = 0.95) -> float:
    steps = rank(scores, truth).weigh(np.ones((len(scores), 1)))
    return float(step_false_alarms(steps, recall)[0])


def test_false_alarms_worked_by_hand() -> None:
    scores, truth = [0.9, 0.8, 0.7, 0.6, 0.5, 0.1], [1, 0, 1, 0, 1, 0]
    assert false_alarms(scores, truth, 1 / 3) == 0
    assert false_alarms(scores, truth, 0.34) == pytest.approx(1 / 3)
    assert false_alarms(scores, truth, 0.95) == pytest.approx(2 / 3)  # recall is 1, not 2 / 3


def test_the_recall_asked_for_is_reached() -> None:
    """Of 30 positives 28 are 93.3 %: nearest to 95 % as near as 29, and not enough."""
    scores = np.concatenate([np.arange(30, 0, -1.0), [2.5, 1.5]])
    truth = np.concatenate([np.ones(30), np.zeros(2)])
    assert false_alarms(scores, truth) == 0.5  # at the 29th positive, score 2
    exact = np.concatenate([np.arange(20, 0, -1.0), [1.5]])
    assert false_alarms(exact, np.append(np.ones(20), 0)) == 0  # the 19th is 95 %


def test_equal_scores_are_called_together() -> None:
    assert false_alarms([1, 1, 1, 0], [1, 0, 0, 0]) == pytest.approx(2 / 3)
    assert np.isnan(false_alarms([1, 2], [1, 1]))
    assert np.isnan(false_alarms([1, 2], [0, 0]))


@given(
    scores=st.lists(st.integers(0, 6), min_size=4, max_size=25), seed=st.integers(0, 99),
    recall=st.sampled_from([0.2, 0.5, 0.8, 0.95, 1.0]),
)  # fmt: skip
def test_false_alarms_equal_the_walk_down_the_thresholds(
    scores: list[int], seed: int, recall: float
) -> None:
    truth = np.random.default_rng(seed).integers(0, 2, len(scores))
    truth[:2] = [0, 1]
    expected = slow_false_alarms(np.array(scores), truth, recall)
    assert false_alarms(scores, truth, recall) == pytest.approx(expected)


def test_measures_are_scikit_learns_and_resample_patients() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 2)
    truth = (patients % 4 == 0).astype(np.float64)
    scores = rng.normal(size=80) + truth
    draws = Draws(40, 200, 3)
    found = outlier_measures(scores, truth, patients, draws, 0.9)
    assert found["auroc"].estimate == pytest.approx(roc_auc_score(truth, scores))
    assert found["average_precision"].estimate == pytest.approx(
        average_precision_score(truth, scores)
    )
    again = []
    for _, counts in draws.counts(50):
        for weights in counts.T:
            rows = np.repeat(np.arange(80), weights[patients].astype(int))
            again.append(slow_false_alarms(scores[rows], truth[rows], 0.95))
    low, high = np.quantile(again, [0.05, 0.95])
    assert found["fpr@95"].low == pytest.approx(low)
    assert found["fpr@95"].high == pytest.approx(high)


def test_a_recall_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="a recall is above 0 and at most 1; got 0"):
        outlier_measures([1.0, 0.0], [1, 0], [0, 1], Draws(2, 10, 0), 0.9, recall=0)


# ------------------------------------------------------------------ scores


def test_scores_are_distances_from_the_nearest_mean_as_it_is() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 1], [-1, 0]], np.float32)
    positive = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    means, counts = class_means(vectors, positive, ["a", "b", "c"])
    as_they_are = np.array([[0.5, 0.5], [0.0, 1.0]])  # the first is not brought to length 1
    np.testing.assert_allclose(means, as_they_are)
    assert counts == {"a": 2, "b": 1}
    expected = np.sqrt([0.5, 0, 0, 2])
    np.testing.assert_allclose(anomaly_scores(vectors, means), expected, atol=1e-7)
    with pytest.raises(UsageError, match="none of the 4 images shows one of a, so there is noth"):
        class_means(vectors, np.zeros((4, 1), bool), ["a"])


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Vectors point to their class: "No Finding" right, Edema up, Mass left of "No Finding"."""
    folder = tmp_path_factory.mktemp("kinds")
    source = films_of_kinds(folder / "source")
    films = ingest(source, folder / "c.lance", layout="folder", size=32, workers=1).collection
    rng = np.random.default_rng(0)
    angles = np.array([0, 1.2, -0.9])[(np.arange(60) // 2) % 3] + rng.normal(0, 0.25, 60)
    vectors = 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    info = EmbeddingInfo(2, "0" * 64, "by hand")
    return films.add_embedding("hand", [(list(films.ids()), vectors)], info)


def test_a_class_that_was_left_out_stands_out(collection: Collection) -> None:
    found = evaluate_anomaly(collection, "hand", "mass", findings=CLASSES, bootstrap=200)
    ids, vectors = collection.vectors("hand")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = (np.arange(60) // 2) % 3
    train = np.arange(60) < 36
    means = [unit[train & (kinds == one)].mean(axis=0) for one in (0, 1)]
    rows = np.arange(48, 60)
    scores = np.min([np.linalg.norm(unit[rows] - mean, axis=1) for mean in means], axis=0)
    assert found.scores.ids == tuple(ids[row] for row in rows)
    np.testing.assert_allclose(found.scores.values[:, 0], scores, atol=1e-6)
    expected = roc_auc_score(kinds[rows[:-1]] == 2, scores[:-1])  # of the last nothing is known
    assert found.measures["auroc"].estimate == pytest.approx(expected)
    assert expected > 0.8
    assert (found.anomaly, found.positives, found.images, found.patients) == ("Mass", 3, 11, 6)
    assert (found.unknown, found.classes) == (1, {"No Finding": 12, "Edema": 12})
    assert found.chance == {"auroc": 0.5, "average_precision": 3 / 11, "fpr@95": 0.95}
    text = found.to_text()
    assert "FPR at 95 % recall" in text
    assert "distance from the nearest mean of No Finding (12), Edema (12)" in text
    assert "1 images not counted: unknown whether they show it" in text


def test_the_command_scores_the_test_split_and_writes_what_evaluate_reads(
    collection: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "scores.csv"
    result = CliRunner().invoke(app, [
        "retrieve", collection.uri, "--embedding", "hand", "--evaluate", "anomaly", "--anomaly",
        "Mass", "--findings", "No Finding,Edema", "--bootstrap", "50", "--out", str(out), "--json",
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    own = evaluate_anomaly(collection, "hand", "Mass", findings=CLASSES, bootstrap=50)
    assert facts == json.loads(json.dumps(own.to_json()))
    truth = collection.where("image_id <> 'i59'").labels("test", findings=["Mass"])
    measured = hilum.evaluate(read_table(out), truth, bootstrap=0)
    assert measured.mean["auroc"].estimate == pytest.approx(facts["measures"]["auroc"]["estimate"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--evaluate", "anomaly"], "--evaluate anomaly needs --anomaly CLASS"),
        (["--text", "x", "--anomaly", "Mass"], "--anomaly: of no effect with --text"),
        (["--evaluate", "findings", "--out", "x.csv"], "--out: of no effect with --evaluate f"),
        (["--evaluate", "anomaly", "--anomaly", "Mass", "--encoder", "e"], "--encoder: of no"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    collection: Collection, options: list[str], message: str
) -> None:
    result = CliRunner().invoke(
        app, ["retrieve", collection.uri, "--embedding", "hand", *options]
    )  # fmt: skip
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"where": "split = 'train'"}, LeakError, "patient 'p00' and 11 more have images among"),
        (
            {"where": "age = 40 AND split = 'test'"},
            UsageError,
            "0 of the 4 images to score show",
        ),
        ({"recall": 0}, UsageError, "recall above 0 and at most 1; got 1000, 0.95, 0"),
        (
            {"known": "age = 42 AND split = 'train'"},
            UsageError,
            "none of the 0 images shows one",
        ),
        ({"where": "age = 99"}, UsageError, "no image of the collection fulfils 'age = 99'"),
        ({"anomaly": "Cough"}, CollectionError, "Cough"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    collection: Collection, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate_anomaly(
            collection, "hand", **{"anomaly": "Mass", "findings": CLASSES, **settings}
        )  # fmt: skip


# ------------------------------------------------------------------ class against source


def test_ways_worked_by_hand() -> None:
    """Four images on a line of angles; two classes and two sources; each of its own patient."""
    angles = np.array([0.0, 0.1, 0.3, 0.7])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    classes, sources = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 0])
    found, chance, nearest = measure_ways(vectors, classes, sources, np.arange(4))
    # image 0 finds 1, 2, 3: its source at places 1 and 3, its class at place 2
    assert found["source"][0] == pytest.approx((1 + 2 / 3) / 2)
    assert found["class"][0] == pytest.approx(1 / 2)
    assert np.isnan(found["class within"][0])  # no image of its class is of its source
    assert np.isnan(found["class across"][0])  # there every answer is right
    # image 1 finds 0, 2, 3: within its source 0 and then 3, which is its class
    assert found["class within"][1] == pytest.approx(1 / 2)
    assert np.isnan(found["source"][2])
    np.testing.assert_allclose(chance["class"], 1 / 3)
    np.testing.assert_allclose(nearest, [1, 1, 0, 0])


def test_images_of_the_same_patient_are_not_found() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.9, 0.1], [0, 1]], np.float32)
    found, _, nearest = measure_ways(
        vectors, np.array([0, 0, 1, 0]), np.array([0, 0, 1, 0]), np.array([0, 0, 1, 2])
    )
    assert found["class"][0] == pytest.approx(1 / 2)  # 2, then 3; not 1
    assert nearest[0] == 0


def test_cramers_v_of_tables_worked_by_hand() -> None:
    assert cramers_v(np.array([[5, 0], [0, 7], [4, 0]])) == pytest.approx(1)
    assert cramers_v(np.diag([5, 7, 4])) == pytest.approx(1)
    assert cramers_v(np.array([[2, 4], [3, 6]])) == pytest.approx(0, abs=1e-9)
    assert cramers_v(np.array([[3, 1], [1, 3]])) == pytest.approx(0.5)  # chi² = 2 of n = 8
    assert np.isnan(cramers_v(np.array([[3, 0], [1, 0]])))


def test_vectors_of_a_source_find_the_source_and_no_class_within_it(
    collection: Collection,
) -> None:
    """Mass comes from one hospital; vectors know the hospital and nothing else."""
    kinds = (np.arange(60) // 2) % 3
    sources = {one: "clinic" if kinds[row] == 2 else "ward" for row, one in
               enumerate(collection.ids())}  # fmt: skip
    rng = np.random.default_rng(1)
    side = np.where(kinds == 2, 1.0, -1.0)
    vectors = np.stack([side, *rng.normal(0, 0.2, (3, 60))], axis=1).astype(np.float32)
    info = EmbeddingInfo(4, "1" * 64, "hospital")
    films = collection.add_embedding(
        "hospital", [(list(collection.ids()), vectors)], info, overwrite=True
    )
    found = evaluate_confounding(films, "hospital", sources, findings=CLASSES, bootstrap=100)
    assert found.table["Mass"] == {"clinic": 19, "ward": 0}
    assert found.known_by_source == pytest.approx(39 / 59)
    assert found.guessed == pytest.approx(20 / 59)
    assert found.sources == 2
    assert found.cramers_v == pytest.approx(1)
    assert found.found["source"].estimate == 1
    assert found.nearest == 1
    within, chance = found.found["class within"], found.chance["class within"]
    assert within.low is not None
    assert within.high is not None
    assert chance is not None
    assert within.low - 0.1 < chance < within.high + 0.1
    assert found.queries["class within"] == 40  # of the clinic every answer would be right
    assert found.found["class across"].estimate is None
    assert found.chance["class across"] is None
    by_class = evaluate_neighbours(
        films, "hospital", findings=CLASSES, queries="image_id <> 'i59'", bootstrap=0
    )
    assert found.found["class"].estimate == pytest.approx(
        by_class.mean["average_precision"].estimate
    )
    text = found.to_text()
    assert "its class, in other sources" in text
    assert "class guessed from the source alone: 0.661 right (without it: 0.339)" in text
    json.dumps(found.to_json(), allow_nan=False)


def test_a_column_may_stand_for_the_source(collection: Collection) -> None:
    found = evaluate_confounding(collection, "hand", "age", findings=CLASSES, bootstrap=0)
    assert found.known_by_source == 1  # the age of these gives the class away
    assert found.found["class within"].estimate is None


@pytest.mark.parametrize(
    ("sources", "findings", "message"),
    [
        ("source", CLASSES, "all 59 images come from source, so there is nothing to tell"),
        ({"i00": "a"}, CLASSES, "of 58 images, 'i01' the first, it is not known where they come"),
        ("age", ["Mass"], "images are to have one of several classes .Mass., and of 19 they have"),
        ("age", None, r"and of 59 1 have several; name others \(findings\)"),
    ],
)
def test_what_cannot_be_confounded_is_refused(
    collection: Collection, sources: Any, findings: list[str] | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate_confounding(collection, "hand", sources, findings=findings)
