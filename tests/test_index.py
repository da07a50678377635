"""The index of an embedding: what it finds, what it must not lose, and when it is out of date."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hilum import cli
from hilum.collection import Collection, EmbeddingInfo, build_index, indexing, open_collection
from hilum.collection.store import compact
from hilum.errors import CollectionError, UsageError
from hilum.ingest import ingest
from hilum.retrieve import Cases, retrieve, searching
from small_table import small_table

N, DIM = 900, 64
INFO = EmbeddingInfo(DIM, "c" * 64, "drawn")
VIEWS = ("PA", "AP", "LATERAL")


def rows(first: int, count: int) -> list[dict[str, object]]:
    """Three images a patient; ages 0 to 89."""
    return [
        {"image_id": f"i{n:04}", "patient_id": f"p{n // 3}", "view": VIEWS[n % 3],
         "age": n * 7 % 90, "Edema": n % 2}
        for n in range(first, first + count)
    ]  # fmt: skip


def drawn(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw vectors round 30 centres, of any length."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(30, DIM))
    near = centres[rng.integers(0, 30, count)] + 0.4 * rng.normal(size=(count, DIM))
    return (near * rng.uniform(0.5, 2, (count, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    made = small_table(tmp_path_factory.mktemp("index") / "t", rows(0, N))
    made = made.add_embedding("v", [(made.ids(), drawn(N))], INFO)
    build_index(made.uri, "v", partitions=20)
    return open_collection(made.uri)


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Return a collection of its own, in more than one data file, with its vectors."""
    monkeypatch.setattr("hilum.collection.store.compact", lambda *_: None)
    made = small_table(tmp_path / "t", rows(0, N))
    more = small_table(tmp_path / "more", rows(N, 300))
    ingest(tmp_path / "more", made.uri, layout="folder", pixels=False, name="more")
    assert len(more) == 300
    made = open_collection(made.uri)
    return made.add_embedding("v", [(made.ids(), drawn(N + 300))], INFO)


def of_vectors(collection: Collection) -> list[Any]:
    indices = open_collection(collection.uri).dataset.describe_indices()
    return [index for index in indices if index.index_type != "BTree"]


def same(found: Cases, exact: Cases) -> None:
    assert (found.method, exact.method) == ("ann", "exact")
    assert found.ids == exact.ids
    np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-12)


@pytest.mark.parametrize("where", [None, "view = 'PA' and age < 18", "age = 7"])
@pytest.mark.parametrize("same_patient", [False, True])
def test_an_index_that_looks_everywhere_is_exact(
    indexed: Collection, where: str | None, same_patient: bool
) -> None:
    for image in ("i0000", "i0451", "i0899"):
        query: dict[str, Any] = {"like": image, "where": where, "same_patient": same_patient}
        found = retrieve(indexed, "v", k=4, index="ann", **query)
        same(found, retrieve(indexed, "v", k=4, index="exact", **query))


def test_scores_are_exact_where_few_partitions_are_looked_into(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PROBES", 1)
    ids, vectors = indexed.vectors("v")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = retrieve(indexed, "v", like="i0100", k=10, index="ann")
    at = [ids.index(image) for image in found.ids]
    assert found.method == "ann"
    np.testing.assert_allclose(found.scores, unit[at] @ unit[100], atol=1e-6)
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert not {"i0099", "i0100", "i0101"} & set(found.ids)


def test_fewer_than_k_are_never_given_where_k_exist(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PROBES", 1)
    monkeypatch.setattr(searching, "_MORE", 0)
    monkeypatch.setattr(searching, "_TIMES", 1)  # the query's patient fills some of the places
    found = retrieve(indexed, "v", like="i0004", k=3, where="patient_id IN ('p1', 'p2')")
    assert len(found) == 3
    found = retrieve(indexed, "v", like="i0004", k=3, index="ann",
                     where="patient_id IN ('p1', 'p2')")  # fmt: skip
    assert set(found.ids) == {"i0006", "i0007", "i0008"}
    assert found.method == "exact"
    assert "fewer than were asked for" in found.why
    assert len(retrieve(indexed, "v", like="i0004", k=N, index="ann")) == N - 3
    assert len(retrieve(indexed, "v", like="i0004", k=700, index="ann")) == 700


def test_auto_takes_the_index_of_a_large_collection(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = retrieve(indexed, "v", like="i0004")
    assert (few.method, few.why) == (
        "exact",
        "900 images, fewer than 200,000, are quickly compared",
    )
    monkeypatch.setattr(searching, "ANN_FROM", 500)
    many = retrieve(indexed, "v", like="i0004")
    assert (many.method, many.why) == ("ann", "900 images and an index")
    bare = indexed.add_embedding("bare", [(indexed.ids(), drawn(N))], INFO)
    none = retrieve(bare, "bare", like="i0004")
    assert (none.method, none.why) == ("exact", "there is no index; hilum index makes one")
    asked = retrieve(bare, "bare", like="i0004", index="exact")
    assert (asked.method, asked.why) == ("exact", "asked for")
    with pytest.raises(UsageError, match=r"'bare' has no index; make one with: hilum index .*bare"):
        retrieve(bare, "bare", like="i0004", index="ann")
    with pytest.raises(UsageError, match="'soon' is not a way to search; choose from auto, exact"):
        retrieve(bare, "bare", like="i0004", index="soon")  # type: ignore[arg-type]


def test_parts_are_merged_into_one_index(
    several: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PART", 500)
    assert len(several.dataset.get_fragments()) > 1
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int, note: str = "") -> None:
        told.append((done, total))

    made, worked = build_index(several.uri, "v", partitions=5, progress=tell)
    assert worked
    assert made.complete
    assert told[0] == (0, 1200)
    assert told[-1] == (1200, 1200)
    assert len(told) > 2
    (index,) = of_vectors(several)
    assert len(index.segments) == 1
    several = open_collection(several.uri)
    same(retrieve(several, "v", like="i1100", index="ann"), retrieve(several, "v", like="i1100"))


def test_it_is_made_once_and_again_when_asked_otherwise(several: Collection) -> None:
    first, worked = build_index(several.uri, "v", partitions=5)
    version = open_collection(several.uri).version
    assert build_index(several.uri, "v", partitions=5) == (first, False)
    assert open_collection(several.uri).version == version
    assert worked
    assert build_index(several.uri, "v", partitions=6)[1]
    assert build_index(several.uri, "v", partitions=6, seed=1)[1]
    assert len(of_vectors(several)) == 1


def test_images_that_come_later_are_found_and_the_index_is_called_stale(
    several: Collection, tmp_path: Path
) -> None:
    build_index(several.uri, "v", partitions=5)
    small_table(tmp_path / "late", rows(N + 300, 60))
    ingest(tmp_path / "late", several.uri, layout="folder", pixels=False, name="late")
    grown = open_collection(several.uri)
    state = indexing.state(grown.dataset, "v")
    assert state is not None
    assert state.stale() == (
        "60 of 1,260 images came after the index was made; make it again with: hilum index"
    )
    with pytest.raises(CollectionError, match="60 of 1260 images have no vector in embedding 'v'"):
        retrieve(grown, "v", like="i0004", index="ann")
    older = retrieve(grown, "v", like="i0004", index="ann", where="source <> 'late'")
    assert older.why == state.stale()
    same(older, retrieve(grown, "v", like="i0004", where="source <> 'late'"))
    filled = grown.add_embedding("v", [([f"i{n}" for n in range(1200, 1260)], drawn(60, 1))], INFO)
    with pytest.raises(UsageError, match=r"lost its index: the vectors were written anew since"):
        retrieve(filled, "v", like="i0004", index="ann")
    assert build_index(filled.uri, "v", partitions=5)[1]
    again = open_collection(filled.uri)
    same(retrieve(again, "v", like="i1230", index="ann"), retrieve(again, "v", like="i1230"))


def test_merging_files_keeps_the_index(several: Collection) -> None:
    build_index(several.uri, "v", partitions=5)
    compact(open_collection(several.uri).dataset, several.settings)
    merged = open_collection(several.uri)
    assert len(merged.dataset.get_fragments()) == 1
    state = indexing.state(merged.dataset, "v")
    assert state is not None
    assert state.complete
    for image in ("i0004", "i1100"):
        same(retrieve(merged, "v", like=image, index="ann"), retrieve(merged, "v", like=image))


def test_images_without_a_vector_are_counted_and_said(tmp_path: Path) -> None:
    made = small_table(tmp_path / "t", rows(0, 90))
    made = made.add_embedding("v", [(made.ids()[:60], drawn(60))], INFO)
    state, _ = build_index(made.uri, "v")
    assert (state.missing, state.fresh, state.complete) == (30, True, False)
    made = open_collection(made.uri)
    with pytest.raises(CollectionError, match="30 of 90 images have no vector"):
        retrieve(made, "v", like="i0004", index="ann")
    where = "patient_id <> 'p9' AND image_id < 'i0060'"
    same(
        retrieve(made, "v", like="i0004", index="ann", where=where),
        retrieve(made, "v", like="i0004", where=where),
    )


def test_what_cannot_be_indexed_is_said(indexed: Collection) -> None:
    with pytest.raises(UsageError, match=r"must be from 1 to the number of vectors, 900; got 901"):
        build_index(indexed.uri, "v", partitions=901)
    with pytest.raises(UsageError, match=r"partitions must be from 1 .* got 0"):
        build_index(indexed.uri, "v", partitions=0)
    with pytest.raises(CollectionError, match="there is no embedding 'w' in this collection"):
        build_index(indexed.uri, "w")


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["hilum", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_the_commands_say_what_was_done_and_who_answered(
    several: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = ("index", several.uri, "--embedding", "v", "--partitions", "5")
    assert run(monkeypatch, *make) == 0
    assert capsys.readouterr().out == "index of v: made (1,200 images, 5 partitions)\n"
    assert run(monkeypatch, *make, "--json") == 0
    assert json.loads(capsys.readouterr().out)["made"] is False
    look = ("retrieve", several.uri, "--embedding", "v", "--image", "i0004", "--json")
    assert run(monkeypatch, *look, "--index", "ann", "-k", "2000") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert len(found["cases"]) == 1197
    assert found["wanted"] == 2000
    assert found["index"] == {
        "method": "exact", "why": "the index names 1197 images, fewer than were asked for"
    }  # fmt: skip
    assert "1197 images, not 2000: there are no more to be found" in err
    assert run(monkeypatch, *look, "--index", "ann") == 0
    assert json.loads(capsys.readouterr().out)["index"] == {"method": "ann", "why": "asked for"}
    assert run(monkeypatch, *look, "--index", "soon") == 2
