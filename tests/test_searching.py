"""What a search must tell apart: quotes in names, no direction, ties, cosines within a hair."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hilum.collection import (
    Collection,
    EmbeddingInfo,
    build_index,
    indexing,
    open_collection,
    vectors,
)
from hilum.collection.indexing import IndexState
from hilum.errors import UsageError
from hilum.retrieve import retrieve, searching
from hilum.retrieve.cases import nearest
from small_table import small_table

INFO = EmbeddingInfo(8, "c" * 64, "drawn")
PATIENTS = ("o'neil", "o'neil", "p1", "p1", "p2", "p2", "p3", "p3")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Return 8 images, each a step farther from the first."""
    root = tmp_path_factory.mktemp("search")
    rows = [
        {"image_id": f"i{at}", "patient_id": whose, "age": 30, "Edema": at % 2}
        for at, whose in enumerate(PATIENTS)
    ]
    made = small_table(root / "t", rows)
    turned = np.arange(8) / 10
    vectors = np.zeros((8, 8), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(turned), np.sin(turned)
    made = made.add_embedding("v", [(made.ids(), vectors)], INFO)
    build_index(made.uri, "v", partitions=1)
    return open_collection(made.uri)


@pytest.mark.parametrize("index", ["exact", "ann"])
def test_a_quote_in_the_name_of_a_patient_is_a_letter(
    collection: Collection, index: searching.Index
) -> None:
    assert retrieve(collection, "v", like="i0", k=3, index=index).ids == ("i2", "i3", "i4")


def test_auto_takes_the_index_from_so_many_images_on(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for least, method in ((9, "exact"), (8, "ann")):
        monkeypatch.setattr(searching, "ANN_FROM", least)
        assert retrieve(collection, "v", like="i0", k=3).method == method


@pytest.mark.parametrize("index", ["exact", "ann"])
def test_of_equally_near_images_the_first_of_the_collection_comes_first(
    tmp_path: Path, index: searching.Index
) -> None:
    """A half are one vector; the others have one cosine with it and different directions."""
    rows = [{"image_id": f"i{at:02}", "patient_id": f"p{at}", "Edema": 0} for at in range(60)]
    made = small_table(tmp_path / "t", rows)
    vectors = np.zeros((60, 8), np.float32)
    vectors[:, 0] = 1
    odd = np.arange(1, 60, 2)
    vectors[odd, np.random.default_rng(0).integers(1, 8, 30)] = 1
    made = made.add_embedding("v", [(made.ids(), vectors)], INFO)
    build_index(made.uri, "v", partitions=5)
    found = retrieve(open_collection(made.uri), "v", like="i30", k=50, index=index)
    assert found.method == index
    others = [f"i{at:02}" for at in (*range(0, 60, 2), *odd) if at != 30]
    assert list(found.ids) == others[:50]
    np.testing.assert_allclose(found.scores[[0, 28, 29]], [1, 1, 0.5**0.5], atol=1e-7)


def test_a_vector_without_a_direction_has_a_cosine_of_0(tmp_path: Path) -> None:
    rows = [{"image_id": f"i{at}", "patient_id": f"p{at}", "Edema": 0} for at in range(4)]
    made = small_table(tmp_path / "t", rows)
    vectors = np.array([[3, 0], [0, 0], [-1, 0], [1, 1]], np.float32).repeat(4, axis=1)
    made = made.add_embedding("v", [(made.ids(), vectors)], INFO)
    found = retrieve(made, "v", like="i0")
    assert found.ids == ("i3", "i1", "i2")
    np.testing.assert_allclose(found.scores, [0.5**0.5, 0, -1], atol=1e-7)


def bundle(n: int, dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return vectors of length 1 whose cosines with a query differ by less than float32 can say."""
    rng = np.random.default_rng(0)
    query = rng.normal(size=dim)
    rows = query + 1e-3 * rng.normal(size=(n, dim))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32), (query / np.linalg.norm(query)).astype(np.float32)


@pytest.mark.parametrize("step", [7, 400])
def test_cosines_that_differ_by_a_hair_are_told_apart(step: int) -> None:
    vectors, query = bundle(400, 512)
    exact = vectors.astype(np.float64) @ query.astype(np.float64)
    rough = vectors @ query
    order = np.argsort(-exact, kind="stable")[:10]
    assert np.argsort(-rough, kind="stable")[:10].tolist() != order.tolist()
    ids = [str(row) for row in range(400)]
    batches = ((ids[at : at + step], vectors[at : at + step]) for at in range(0, 400, step))
    found = nearest(batches, query, 10)
    assert [int(image) for image in found.ids] == order.tolist()
    np.testing.assert_allclose(found.scores, exact[order], rtol=1e-14)


def test_an_index_is_of_vectors_that_its_codes_can_be_made_of(tmp_path: Path) -> None:
    rows = [{"image_id": f"i{at}", "patient_id": f"p{at}", "Edema": 0} for at in range(3)]
    made = small_table(tmp_path / "t", rows)
    info = EmbeddingInfo(12, "c" * 64, "drawn")
    made = made.add_embedding("v", [(made.ids(), np.ones((3, 12), np.float32))], info)
    with pytest.raises(UsageError, match="a multiple of 8 numbers; 'v' has vectors of 12"):
        build_index(made.uri, "v")


def test_an_index_without_one_image_is_not_fresh() -> None:
    whole, less = (IndexState("v", 1, 0, 0, rows=10, covered=covered) for covered in (10, 9))
    assert (whole.fresh, less.fresh) == (True, False)
    assert less.stale().startswith("1 of 10 images came after")


def test_centres_and_rotation_are_drawn_by_the_seed(tmp_path: Path) -> None:
    """Most images have no vector, and those that have are long: centres are of their directions."""
    rows = [{"image_id": f"i{at:04}", "patient_id": f"p{at}", "Edema": 0} for at in range(900)]
    made = small_table(tmp_path / "t", rows)
    drawn = 50 * np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    made = made.add_embedding("v", [(made.ids()[:8], drawn)], INFO)
    column = vectors.find(made.dataset, "v")

    def centres(seed: int) -> NDArray[np.float32]:
        state = IndexState("v", 7, seed, 892, 900, 900)
        return indexing._centres(made.dataset, column, state)

    np.testing.assert_array_equal(centres(1), centres(1))
    assert not np.array_equal(centres(1), centres(2))
    assert (np.linalg.norm(centres(1), axis=1) < 1 + 1e-5).all()
    assert indexing._rotation(8, 1) == indexing._rotation(8, 1) != indexing._rotation(8, 2)
