"""Images that find images of their kind: what counts, who is left out, intervals, refusals."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hilum.collection import Collection, EmbeddingInfo
from hilum.errors import CollectionError, UsageError
from hilum.ingest import ingest
from hilum.retrieve import compare_neighbours, evaluate_neighbours, queries
from hilum.retrieve.queries import Labelled, ask


def write_source(folder: Path, kinds: Sequence[str]) -> Path:
    """Write tiny images, two of each patient, one class each."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    lines = ["file,image_id,patient_id,visit,Edema,Pneumonia,No Finding"]
    for row, kind in enumerate(kinds):
        image = Image.linear_gradient("L").resize((16, 16))
        image.save(folder / "images" / f"i{row}.png")
        marks = [str(int(kind == name)) for name in ("edema", "pneumonia", "normal")]
        lines.append(f"images/i{row}.png,i{row},p{row // 2},{row % 2},{','.join(marks)}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


KINDS = ("edema", "edema", "normal", "edema", "pneumonia", "normal", "normal", "none", "edema",
         "pneumonia")  # fmt: skip


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("kinds")
    made = ingest(write_source(folder / "s", KINDS), folder / "c.lance", layout="folder", size=16,
                  workers=1).collection  # fmt: skip
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        info = EmbeddingInfo(4, name * 20, name)
        vectors = rng.normal(size=(len(KINDS), 4)).astype(np.float32)
        made = made.add_embedding(name, [(made.ids(), vectors)], info)
    return made


def images(kinds: Sequence[int], vectors: NDArray[np.float32], patients: Sequence[str]) -> Labelled:
    positive = np.eye(3, dtype=bool)[list(kinds)]
    ids = tuple(f"i{row}" for row in range(len(kinds)))
    return Labelled(ids, vectors, positive, tuple(patients))


def test_two_images_of_a_kind_find_each_other_and_not_their_own_patient() -> None:
    vectors = np.array([[1, 0], [0.99, 0.1], [0.9, 0.3], [0, 1]], np.float32)
    four = images((0, 1, 0, 1), vectors, "aabb")
    both = ask(four, four, (1,), same_patient=True, voters=1).overall
    assert both["precision@1"].tolist() == [0, 0, 0, 0]  # 0's nearest is 1, its own patient's
    apart = ask(four, four, (1,), same_patient=False, voters=1).overall
    assert apart["precision@1"].tolist() == [1, 0, 0, 1]
    assert apart["accuracy"].tolist() == [1, 0, 0, 1]


def test_per_finding_its_images_ask_for_it() -> None:
    vectors = np.array([[1, 0], [0.9, 0.3], [0.8, 0.5], [0, 1]], np.float32)
    some = Labelled(
        ("a", "b", "c", "d"), vectors,
        np.array([[True, True], [True, False], [False, True], [False, True]]), tuple("1234"),
    )  # fmt: skip
    found = ask(some, some, (1,), same_patient=False, voters=1)
    first, second = (one["precision@1"] for one in found.findings)
    np.testing.assert_array_equal(first, [1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(second, [0, np.nan, 0, 1])
    assert "accuracy" not in found.overall  # an image has two classes
    np.testing.assert_allclose(found.chance, [1, 1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(found.finding_chance[0], [1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_more_shared_findings_are_a_better_answer() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0.5, 0.5]], np.float32)
    positive = np.array([[1, 1], [1, 0], [1, 1]], bool)
    some = Labelled(("a", "b", "c"), vectors, positive, ("1", "2", "3"))
    found = ask(some, some, (2,), same_patient=False, voters=1).overall
    assert found["average_precision"][0] == 1  # both share one
    discount = 1 / np.log2(3)
    assert found["ndcg@2"][0] == pytest.approx((0.5 + discount) / (1 + 0.5 * discount))


def test_the_nearest_decides_a_tied_vote() -> None:
    vectors = np.array([[1, 0], [0.99, 0.1], [0.9, 0.3], [0.5, 0.9]], np.float32)
    some = images((2, 2, 0, 1), vectors, "abcd")
    found = ask(some, some, (1,), same_patient=False, voters=3).overall
    assert found["accuracy"].tolist() == [1, 1, 0, 0]


def test_two_votes_beat_the_nearest() -> None:
    vectors = np.array([[1, 0], [0.99, 0.1], [0.9, 0.3], [0.8, 0.5]], np.float32)
    some = images((0, 1, 0, 0), vectors, "abcd")
    found = ask(some, some, (1,), same_patient=False, voters=3).overall
    assert found["accuracy"].tolist() == [1, 0, 1, 1]


def test_chunks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    some = images(rng.integers(0, 3, 23).tolist(), rng.normal(size=(23, 5)).astype(np.float32),
                  [f"p{n // 2}" for n in range(23)])  # fmt: skip
    whole = ask(some, some, (1, 3), same_patient=False, voters=3)
    monkeypatch.setattr(queries, "WORK", 64 * 23 * 4)
    parts = ask(some, some, (1, 3), same_patient=False, voters=3)
    for name, values in whole.overall.items():
        np.testing.assert_array_equal(values, parts.overall[name], err_msg=name)
    for one, other in zip(whole.findings, parts.findings, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_a_collection_is_measured_with_intervals_by_patient(films: Collection) -> None:
    found = evaluate_neighbours(films, "one", k=(1, 3), voters=3, bootstrap=50)
    assert (found.queries, found.gallery, found.patients, found.without) == (9, 10, 5, 1)
    assert set(found.findings) == {"Edema", "Pneumonia", "No Finding"}
    map_ = found.mean["average_precision"]
    assert None not in (map_.low, map_.estimate, map_.high)
    assert map_.low <= map_.estimate <= map_.high  # type: ignore[operator]
    assert found.per_query.columns[:2] == ["image_id", "patient_id"]
    assert found.per_query.height == 9
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["findings"]["Edema"]["recall@1"]["estimate"] is not None
    assert "9 queries of 5 patients, 10 images to find" in found.to_text()


def test_queries_and_gallery_may_be_different_images(films: Collection) -> None:
    found = evaluate_neighbours(films, "one", queries="visit = 0", gallery="visit = 1", k=(1,),
                                voters=1, bootstrap=0)  # fmt: skip
    assert (found.queries, found.gallery) == (5, 5)
    assert found.mean["precision@1"].low is None
    own = evaluate_neighbours(films, "one", queries="visit = 0", gallery="visit = 1", k=(1,),
                              voters=1, bootstrap=0, same_patient=True)  # fmt: skip
    assert own.mean["average_precision"] != found.mean["average_precision"]


def test_two_embeddings_are_compared_query_by_query(films: Collection) -> None:
    first, second = (evaluate_neighbours(films, n, k=(1,), voters=1) for n in ("one", "two"))
    gaps = compare_neighbours(first, second, bootstrap=50)
    one, other = (m.mean["average_precision"].estimate or 0.0 for m in (first, second))
    assert gaps["average_precision"].estimate == pytest.approx(one - other)
    same = compare_neighbours(first, first, bootstrap=50)["average_precision"]
    assert (same.estimate, same.low, same.high) == (0, 0, 0)


def test_a_class_of_one_image_has_no_number_and_the_reason_is_said(tmp_path: Path) -> None:
    source = write_source(tmp_path / "s", (*KINDS[:9], "none"))  # one film of pneumonia
    made = ingest(source, tmp_path / "c.lance", layout="folder", size=16, workers=1).collection
    vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    made = made.add_embedding("v", [(made.ids(), vectors)], EmbeddingInfo(4, "a" * 64, "drawn"))
    found = evaluate_neighbours(made, "v", k=(1, 2), bootstrap=20)
    alone = found.findings["Pneumonia"]["average_precision"]
    assert (alone.estimate, alone.low) == (None, None)
    assert found.findings["Edema"]["average_precision"].estimate is not None
    assert "Pneumonia: no query has a right answer in its gallery" in found.to_text()


def test_what_cannot_be_measured_is_said(films: Collection) -> None:
    with pytest.raises(UsageError, match=r"gallery of a query has 8 images .* fewer than the 10"):
        evaluate_neighbours(films, "one")
    with pytest.raises(UsageError, match="no query has a positive finding among Edema"):
        evaluate_neighbours(films, "one", findings=["Edema"], queries="Pneumonia = 1", k=(1,))
    with pytest.raises(UsageError, match="no image of the collection fulfils 'age > 200'"):
        evaluate_neighbours(films, "one", gallery="age > 200")
    with pytest.raises(UsageError, match="k and voters must be at least 1"):
        evaluate_neighbours(films, "one", k=(0,))
    with pytest.raises(UsageError, match=r"level in 0\.\.\.1; got 10, 1\.5"):
        evaluate_neighbours(films, "one", bootstrap=10, level=1.5)
    with pytest.raises(CollectionError, match="there is no embedding 'moco'"):
        evaluate_neighbours(films, "moco")
    first = evaluate_neighbours(films, "one", k=(1,), voters=1, bootstrap=0)
    other = evaluate_neighbours(films, "one", k=(1,), voters=1, bootstrap=0, queries="visit = 0")
    with pytest.raises(UsageError, match="the two are of other queries or galleries: 9 to 10"):
        compare_neighbours(first, other)
