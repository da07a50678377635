"""Few labels to scores: MedSelect's golden values, slow versions, laws and refusals."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

import reference
from hilum import predictors
from hilum.classify import classify
from hilum.errors import TableError, UsageError
from hilum.predictors import (
    METHODS,
    cosine_prototypes,
    euclidean_prototypes,
    linear_probe,
    nearest_neighbours,
)
from hilum.tables import Table, read_table, write_table

POOL = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
QUERIES = np.array([[1.0, 0.0], [1.0, 2.0]])
NAN = float("nan")
methods = pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))


def clusters(n: int = 60, dim: int = 8, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(float)
    label[:2] = (0, 1)
    vectors = rng.normal(size=(n, dim)) + 2.0 * label[:, None] * np.eye(dim)[0] + 1
    return vectors, label


@pytest.mark.parametrize(
    ("labels", "weights", "expected"),
    [
        ([1, 0, 1], None, (0.85355339, -0.19647874)),
        ([1, 1, 1], None, (0.56903559, 0.76344136)),
        ([0, 0, 0], None, (-0.56903559, -0.76344136)),
        ([1, 0, 1], [2, 1, 1], (0.90236893, -0.28005703)),  # the first image drawn twice
    ],
)
def test_cosine_scores_are_those_of_medselect(
    labels: list[float], weights: list[float] | None, expected: tuple[float, float]
) -> None:
    found = cosine_prototypes(QUERIES, POOL, np.array(labels)[:, None], weights)
    np.testing.assert_allclose(found.scores[:, 0], expected, atol=5e-9)


def test_euclidean_scores_are_those_of_medselect() -> None:
    found = euclidean_prototypes(QUERIES, POOL, np.array([[1], [0], [1]]))
    np.testing.assert_allclose(found.scores[:, 0], (0.91421356, -0.08578644), atol=5e-9)


def test_an_absent_class_is_flagged() -> None:
    found = cosine_prototypes(QUERIES, POOL, np.array([[1, 0, NAN]] * 3))
    assert found.notes == {
        0: "no labelled image is negative; scored by likeness to the others alone",
        1: "no labelled image is positive; scored by likeness to the others alone",
        2: "no labelled image",
    }
    assert np.isnan(found.scores).all(axis=0).tolist() == [False, False, True]


def test_a_class_without_weight_is_absent() -> None:
    found = cosine_prototypes(QUERIES, POOL, np.array([[1], [0], [1]]), [1, 0, 1])
    assert found.notes[0].startswith("no labelled image is negative")


@given(st.integers(0, 10**6))
def test_cosine_scores_agree_with_the_slow_version_and_unknown_labels_take_no_part(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    labelled, queries = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    labels = rng.choice([0.0, 1.0, NAN], size=(9, 2))
    found = cosine_prototypes(queries, labelled, labels).scores
    for column in range(2):
        if not np.isnan(labels[:, column]).all():
            slow = [reference.cosine_score(q, labelled, labels[:, column]) for q in queries]
            np.testing.assert_allclose(found[:, column], slow, atol=1e-12)


@methods
def test_findings_do_not_see_each_other(method: Any) -> None:
    vectors, label = clusters()
    rare = np.where(np.arange(60) % 3 == 0, 1 - label, NAN)
    both = method(vectors, vectors[:40], np.stack([label, rare], axis=1)[:40]).scores
    kept = ~np.isnan(rare[:40])
    alone = method(vectors, vectors[:40][kept], rare[:40][kept][:, None]).scores
    np.testing.assert_allclose(both[:, 1], alone[:, 0], rtol=1e-6, atol=1e-9)


@methods
def test_every_method_learns_and_small_blocks_change_nothing(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, label = clusters(300)
    args = (vectors.astype(np.float32), vectors[:60].astype(np.float32), label[:60, None])
    scores = method(*args).scores
    positive, negative = (scores[60:][label[60:] == value] for value in (1, 0))
    assert (positive[:, None] > negative).mean() > 0.8
    monkeypatch.setattr(predictors, "_BLOCK_BYTES", 1000)
    np.testing.assert_allclose(method(*args).scores, scores, rtol=1e-9, atol=1e-12)


def test_a_probe_on_labelled_images_that_are_all_alike_gives_the_share_of_positives() -> None:
    alike = np.full((4, 2), 0.5)
    found = linear_probe(QUERIES, alike, np.array([[1], [1], [1], [0]]))
    np.testing.assert_allclose(found.scores, np.log(3))


@methods
def test_no_labels_give_nothing_and_say_so(method: Any) -> None:
    found = method(QUERIES, POOL[:0], np.empty((0, 1)))
    assert np.isnan(found.scores).all()
    assert found.notes == {0: "no labelled image"}


@pytest.mark.parametrize("method", [nearest_neighbours, linear_probe])
def test_votes_and_probes_need_both_classes(method: Any) -> None:
    found = method(QUERIES, POOL, np.ones((3, 1)))
    assert np.isnan(found.scores).all()
    assert found.notes == {0: "no labelled image is negative"}


def test_the_nearest_neighbours_vote_by_likeness() -> None:
    # cosines to (1, 0): 1, 0 and 0.7071; with k = 2 the second is not asked
    found = nearest_neighbours(QUERIES[:1], POOL, np.array([[1], [1], [0]]), k=2, temperature=1.0)
    expected = np.exp(1) / (np.exp(1) + np.exp(np.sqrt(0.5)))
    assert found.scores[0, 0] == pytest.approx(expected)


def test_more_neighbours_than_labels_are_all_the_labels() -> None:
    labels = np.array([[1], [1], [0]])
    few, many = (nearest_neighbours(QUERIES, POOL, labels, k=k).scores for k in (3, 50))
    np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize("options", [{"k": 0}, {"temperature": 0.0}])
def test_neighbours_need_a_number_and_a_temperature(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="k must be 1 or more and temperature above 0"):
        nearest_neighbours(QUERIES, POOL, np.array([[1], [1], [0]]), **options)


def test_the_probe_is_logistic_regression_on_standardised_features() -> None:
    vectors, label = clusters(12, dim=30)  # fewer labels than dimensions
    scaler = StandardScaler().fit(vectors)
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10**4)
    model.fit(scaler.transform(vectors) / np.sqrt(30), label)
    expected = model.decision_function(scaler.transform(vectors) / np.sqrt(30))
    found = linear_probe(vectors, vectors, label[:, None]).scores[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_probe_ignores_a_feature_that_never_varies() -> None:
    vectors, label = clusters()
    dull = np.hstack([vectors, np.full((60, 1), 7.0)])
    assert np.isfinite(linear_probe(dull, dull, label[:, None]).scores).all()


def test_the_probe_regularises_noise_more_than_signal() -> None:
    rng = np.random.default_rng(0)
    vectors, label = clusters(80)
    signal = predictors._strength(vectors / np.sqrt(8), label, seed=0)
    noise = predictors._strength(rng.normal(size=(80, 8)) / np.sqrt(8), label, seed=0)
    assert noise < signal


@pytest.mark.parametrize("method", [cosine_prototypes, nearest_neighbours])
def test_zero_vectors_are_refused_with_a_count(method: Any) -> None:
    labels = np.array([[1], [0], [1]])
    with pytest.raises(UsageError, match="1 labelled vectors are zero and have no direction"):
        method(QUERIES, POOL * [[1], [1], [0]], labels)
    with pytest.raises(UsageError, match="2 image vectors are zero"):
        method(QUERIES * 0, POOL, labels)


@methods
def test_vectors_that_are_not_finite_are_refused(method: Any) -> None:
    with pytest.raises(UsageError, match="1 image vectors are not finite"):
        method(np.array([[np.nan, 1.0]]), POOL, np.array([[1], [0], [1]]))


@methods
@pytest.mark.parametrize(
    ("labelled", "labels", "message"),
    [
        (POOL, [1, 0, 1], r"labels must be \(n_labelled, n_findings\)"),
        (POOL, [[1], [0]], r"got \(2, 1\) for 3 images"),
        (POOL[:, :1], [[1], [0], [1]], r"share their last axis; got \(2, 2\) and \(3, 1\)"),
        (POOL, [[1], [0], [-1]], "labels must be 1, 0 or NaN: choose a policy"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    method: Any, labelled: NDArray[Any], labels: list[Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        method(QUERIES, labelled, labels)


def test_negative_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="weights must be finite and not negative"):
        cosine_prototypes(QUERIES, POOL, np.array([[1], [0], [1]]), [1, -1, 1])


class Shelf:
    """A collection with one embedding."""

    def vectors(self, name: str) -> tuple[Sequence[str], NDArray[np.float32]]:
        assert name == "moco"
        return ("a", "b", "c", "d", "e"), np.vstack([POOL, QUERIES]).astype(np.float32)


LABELS = Table(("c", "a", "b"), ("Edema", "Mass"), np.array([[1, NAN], [1, NAN], [0, NAN]]))


def test_every_image_that_is_not_labelled_is_scored() -> None:
    scores = classify(Shelf(), "moco", LABELS)
    assert (scores.ids, scores.findings) == (("d", "e"), ("Edema", "Mass"))
    np.testing.assert_allclose(scores.values[:, 0], (0.85355339, -0.19647874), atol=1e-7)
    assert np.isnan(scores.values[:, 1]).all()
    assert scores.notes == {"Mass": "no labelled image"}


def test_labels_may_be_a_file(tmp_path: Path) -> None:
    write_table(LABELS, tmp_path / "labels.csv")
    scores = classify(Shelf(), "moco", tmp_path / "labels.csv")
    np.testing.assert_array_equal(scores.values, classify(Shelf(), "moco", LABELS).values)


@pytest.mark.parametrize(
    ("policy", "scored"), [("ignore", ("c", "d", "e")), ("positive", ("d", "e"))]
)
def test_an_uncertain_label_is_a_label_if_the_policy_makes_it_one(
    policy: Any, scored: tuple[str, ...]
) -> None:
    labels = Table(("c", "a", "b"), ("Edema",), np.array([[-1], [1], [0]]))
    assert classify(Shelf(), "moco", labels, policy=policy).ids == scored


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_named(method: str) -> None:
    assert np.isfinite(classify(Shelf(), "moco", LABELS, method).values[:, 0]).all()


def test_labels_of_another_collection_are_an_error() -> None:
    labels = Table(("a", "x", "y"), ("Edema",), np.array([[1], [0], [1]]))
    with pytest.raises(TableError, match=r"2 of 3 labelled ids are not in the collection.* 'x'"):
        classify(Shelf(), "moco", labels)


def test_scores_given_as_labels_are_an_error() -> None:
    labels = Table(("a",), ("Edema",), np.array([[0.7]]))
    with pytest.raises(TableError, match=r"the label of 'a' for Edema is 0\.7: expected 1, 0, -1"):
        classify(Shelf(), "moco", labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "'magic' is not a method; choose from cosine, euclidean, knn, probe"),
        ({"policy": "keep"}, "choose what an uncertain label counts as"),
        ({"policy": "coin"}, "'coin' is not a label policy"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        classify(Shelf(), "moco", LABELS, **options)


def test_the_command_writes_scores_and_says_what_they_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilum.cli import classify as commands

    app = typer.Typer()
    commands.register(app)
    monkeypatch.setattr("hilum.collection.open_collection", lambda _: Shelf())
    write_table(LABELS, tmp_path / "labels.csv", "Study")
    files = ["--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "scores.csv")]
    options = ["--embedding", "moco", "--method", "cosine", "--id", "Study", "--json"]
    result = CliRunner().invoke(app, ["chest.lance", *files, *options])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["images"] == 2
    assert result.stderr == "Mass: no labelled image\n"
    expected = classify(Shelf(), "moco", LABELS)
    again = read_table(tmp_path / "scores.csv")
    assert again.ids == expected.ids
    np.testing.assert_array_equal(again.values, expected.values)
