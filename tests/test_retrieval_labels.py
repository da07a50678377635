"""What retrieval takes for known: uncertain and unknown labels, own patients, shares of each."""

import numpy as np
import pytest

from hilum.collection import Collection, EmbeddingInfo
from hilum.errors import UsageError
from hilum.retrieve import (
    compare_neighbours,
    evaluate_anomaly,
    evaluate_confounding,
    evaluate_neighbours,
    queries,
)
from hilum.retrieve.confounding import measure_ways
from hilum.retrieve.queries import Labelled, ask, labelled
from hilum.training import metric_validation
from hilum.training.metric_data import shown
from hilum.training.metric_validation import leave_one_out
from small_table import small_table

# Edema and Mass; 0 to 5 teach (age 1) and 6 to 11 are scored (age 2)
LABELS = [(1, 0), (1, -1), (1, None), (1, 1), (-1, 0), (None, 0),
          (1, 0), (0, 1), (0, -1), (0, None), (0, 1), (0, 0)]  # fmt: skip


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    rows = [
        {"image_id": f"i{at:02}", "patient_id": f"p{at}", "age": 1 + at // 6, "Edema": edema,
         "Mass": mass, "sex": "F" if at % 4 else "M"}
        for at, (edema, mass) in enumerate(LABELS)
    ]  # fmt: skip
    made = small_table(tmp_path_factory.mktemp("labels") / "t", rows)
    vectors = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    info = EmbeddingInfo(4, "a" * 64, "drawn")
    return made.add_embedding("v", [(made.ids(), vectors)], info)


def test_only_what_is_present_is_positive(collection: Collection) -> None:
    found = labelled(collection, "v", ["Edema", "Mass"])
    assert found.positive.tolist() == [[edema == 1, mass == 1] for edema, mass in LABELS]


def test_an_anomaly_is_absent_or_present_and_no_more_is_counted(collection: Collection) -> None:
    """Of those taught only the first is known to be without a mass and has an edema."""
    found = evaluate_anomaly(
        collection, "v", "Mass", findings=["Edema"], known="age = 1", where="age = 2",
        recall=1.0, bootstrap=0,
    )  # fmt: skip
    assert found.classes == {"Edema": 1}
    assert (found.images, found.positives, found.unknown) == (4, 2, 2)
    _, vectors = collection.vectors("v")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = np.linalg.norm(unit[6:] - unit[0], axis=1)
    np.testing.assert_allclose(found.scores.values[:, 0], apart, atol=1e-6)
    assert "fpr@100" in found.measures


def test_likeness_is_taught_where_an_anomaly_is_known_to_be_absent(collection: Collection) -> None:
    found = shown(collection, ["Edema"], "Mass")
    assert [found.lesson.ids[place] for place in found.places] == ["i00", "i06"]
    assert found.patients == ("p0", "p6")
    assert found.rows.tolist() == [0, 6]
    other = shown(collection, ["Mass"], "Edema")  # of the collection's findings the first
    assert other.findings == ("Mass",)
    assert other.rows.tolist() == [7, 10]
    assert other.positive.tolist() == [[True], [True]]


# --------------------------------------------------------------------------- neighbours


def test_more_voters_than_images_are_refused(collection: Collection) -> None:
    with pytest.raises(UsageError, match=r"has 11 images .* fewer than the 12 that are to be"):
        evaluate_neighbours(collection, "v", k=(1,), voters=12, bootstrap=0)


def test_nobody_votes_where_an_image_to_find_has_two_classes() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    one = np.array([[1, 0], [0, 1], [1, 0]], bool)
    two = np.array([[1, 0], [1, 1], [1, 0]], bool)
    queries, single, several = (
        Labelled(ids, vectors, positive, ids)
        for ids, positive in (
            (("a", "b", "c"), one),
            (("d", "e", "f"), one),
            (("g", "h", "i"), two),
        )
    )
    for gallery, votes in ((single, True), (several, False)):
        found = ask(queries, gallery, (1,), same_patient=False, voters=1).overall
        assert ("accuracy" in found) == votes


def test_chance_for_a_finding_is_that_of_the_images_that_have_it(collection: Collection) -> None:
    """Five have an edema and find four others among eleven; those with a mass two among eleven."""
    found = evaluate_neighbours(collection, "v", k=(1,), voters=1, bootstrap=0)
    assert found.chance["Edema"] == pytest.approx(4 / 11)
    assert found.chance["Mass"] == pytest.approx(2 / 11)
    # one with both finds 4 + 2 others, four 4, two 2; the one with both is found by all of them
    assert found.chance["all"] == pytest.approx((6 + 4 * 4 + 2 * 2) / 7 / 11)


def test_with_and_without_own_patients_are_not_compared(collection: Collection) -> None:
    without, within = (
        evaluate_neighbours(collection, "v", k=(1,), voters=1, bootstrap=0, same_patient=same)
        for same in (False, True)
    )
    assert without.gallery == within.gallery
    with pytest.raises(UsageError, match="other queries or galleries"):
        compare_neighbours(without, within)


# --------------------------------------------------------------------------- confounding


def test_across_sources_an_own_patient_is_not_found_either() -> None:
    """Image 1 is of the patient of image 0, in another source, and nearest to it."""
    angles = np.array([0.0, 0.1, 0.2, 0.3])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    classes, sources = np.array([0, 0, 1, 0]), np.array([0, 1, 1, 1])
    found, chance, _ = measure_ways(vectors, classes, sources, np.array([0, 0, 1, 2]))
    assert found["class across"][0] == pytest.approx(1 / 2)  # 2, then 3
    assert chance["class across"][0] == pytest.approx(1 / 2)


def test_sources_count_alike_however_many_images_come_from_each(collection: Collection) -> None:
    """Of a small source neither image finds its own, of a large one two of four do."""
    view = collection.where("Edema = 1 OR Mass = 1").where("image_id <> 'i03'")
    ids = view.ids()
    assert len(ids) == 6
    angles = np.array([0.0, 1.0, 0.1, 1.04, 1.2, 1.25])  # 2 and 3 find the small source
    vectors = np.stack([np.cos(angles), np.sin(angles), 0 * angles, 0 * angles], axis=1)
    whole = np.ones((12, 4), np.float32)
    whole[[collection.ids().index(one) for one in ids]] = vectors
    info = EmbeddingInfo(4, "b" * 64, "hand")
    made = collection.add_embedding("hand", [(collection.ids(), whole)], info)
    where = {one: "small" if at < 2 else "large" for at, one in enumerate(ids)}
    found = evaluate_confounding(
        made, "hand", where, where="(Edema = 1 OR Mass = 1) AND image_id <> 'i03'", bootstrap=0
    )
    assert found.nearest == pytest.approx((0 / 2 + 2 / 4) / 2)


def test_queries_are_measured_alike_however_few_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((23, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes, sources = rng.integers(0, 3, 23), rng.integers(0, 2, 23)
    patients, positive = np.arange(23) // 2, rng.random((23, 2)) < 0.5
    named = tuple(map(str, patients))
    whole = measure_ways(vectors, classes, sources, patients)
    likeness = leave_one_out(vectors, positive, named, (1, 3))
    monkeypatch.setattr(queries, "WORK", 64 * 23 * 4)
    monkeypatch.setattr(metric_validation, "WORK", 64 * 23 * 4)
    part = measure_ways(vectors, classes, sources, patients)
    for one, other in ((whole[0], part[0]), (whole[1], part[1])):
        for way, values in one.items():
            np.testing.assert_array_equal(values, other[way])
    np.testing.assert_array_equal(whole[2], part[2])
    for name, values in leave_one_out(vectors, positive, named, (1, 3)).items():
        np.testing.assert_array_equal(values, likeness[name])
