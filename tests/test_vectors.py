"""How vectors become a column: in any order, of one encoder, whole, and with nothing left over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hilum.collection import Collection, EmbeddingInfo, open_collection
from hilum.collection import vectors as store
from hilum.errors import CollectionError
from small_table import small_table

N = 12
INFO = EmbeddingInfo(3, "a" * 64, "one")
OTHER = EmbeddingInfo(3, "b" * 64, "other")


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return small_table(
        tmp_path / "t",
        [{"image_id": f"i{at:02}", "patient_id": f"p{at}", "age": at, "Edema": 0}
         for at in range(N)],
    )  # fmt: skip


def numbered(*rows: int) -> tuple[list[str], NDArray[np.float32]]:
    """Return vectors that say whose they are."""
    return [f"i{at:02}" for at in rows], np.array([[at, 1, 2] for at in rows], np.float32)


def left_over(collection: Collection) -> list[Path]:
    return list((Path(collection.uri) / "_partial").glob("*/*"))


def test_vectors_come_in_any_order_and_each_goes_to_its_image(collection: Collection) -> None:
    order = np.random.default_rng(0).permutation(N).tolist()
    made = collection.add_embedding("v", [numbered(*order[:5]), numbered(*order[5:])], INFO)
    ids, vectors = made.vectors("v")
    assert ids == collection.ids()
    assert vectors[:, 0].tolist() == list(range(N))
    assert not left_over(made)


def test_old_and_new_vectors_are_put_together_part_by_part(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_MERGE_ROWS", 5)
    made = collection.add_embedding("v", [numbered(11, 0, 7)], INFO)
    assert made.where("age IN (0, 7, 11)").vectors("v")[1][:, 0].tolist() == [0, 7, 11]
    rest = [at for at in range(N) if at not in (0, 7, 11)]
    made = made.add_embedding("v", [numbered(*rest[::-1])], INFO)
    assert made.vectors("v")[1][:, 0].tolist() == list(range(N))


def test_of_two_vectors_of_one_image_the_later_counts(collection: Collection) -> None:
    ids, vectors = numbered(4)
    made = collection.add_embedding("v", [(ids, vectors + 5), (ids, vectors)], INFO)
    assert made.where("age = 4").vectors("v")[1].tolist() == [[4, 1, 2]]


def test_vectors_are_counted_among_the_images_of_a_view(collection: Collection) -> None:
    made = collection.add_embedding("v", [numbered(1, 2, 3, 8)], INFO)
    assert made.count_vectors("v") == 4
    for where, count in (("age > 2", 2), ("age = 1 OR age = 9", 1), ("age = 9 OR age = 1", 1)):
        assert made.where(where).count_vectors("v") == count
    assert made.where("age = 1 OR age = 8").vectors("v")[1][:, 0].tolist() == [1, 8]


def test_what_a_killed_job_left_is_of_its_encoder_alone(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FLUSH_SECONDS", 0.0)

    def killed() -> Iterator[Any]:
        yield numbered(0, 1, 2, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collection.add_embedding("v", killed(), INFO)
    again = open_collection(collection.uri)
    assert again.without_vector("v", INFO).tolist() == list(range(4, N))
    assert again.without_vector("v", OTHER).tolist() == list(range(N))
    made = again.add_embedding("v", [numbered(*range(6, N))], OTHER)
    assert made.without_vector("v", OTHER).tolist() == list(range(6))
    assert made.count_vectors("v") == N - 6
    assert not left_over(made)


def test_an_embedding_is_of_one_encoder_and_one_length(collection: Collection) -> None:
    made = collection.add_embedding("v", [numbered(*range(N))], INFO)
    longer = EmbeddingInfo(4, INFO.fingerprint, INFO.encoder)
    for info in (OTHER, longer):
        with pytest.raises(CollectionError, match="choose another name, or overwrite it"):
            made.add_embedding("v", [], info)
    wide = [(made.ids(), np.ones((N, 4), np.float32))]
    anew = made.add_embedding("v", wide, longer, overwrite=True)
    assert anew.vectors("v")[1].shape == (N, 4)
    assert sum("v" in name for name in anew.dataset.schema.names if "embedding" in name) == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_vector_with_one_number_that_is_none_is_refused(
    collection: Collection, broken: float
) -> None:
    ids, vectors = numbered(*range(N))
    vectors[7, 1] = broken
    with pytest.raises(CollectionError, match=r"1 of 12 images are not finite, .* 'i07'"):
        collection.add_embedding("v", [(ids, vectors)], INFO)
