"""The collection: views, filters, labels, pixels and embeddings, all by id."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lance
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hilum.collection import Collection, EmbeddingInfo, open_collection
from hilum.collection.sql import images, quote_names
from hilum.collection.store import Settings, open_dataset
from hilum.collection.summary import as_text, summarise
from hilum.decoding import pack, unpack
from hilum.errors import CollectionError, UsageError
from hilum.images import read_picture
from hilum.ingest import ingest
from small_source import FINDINGS, SmallSource, small_source
from small_table import small_table

INFO = EmbeddingInfo(3, "a" * 64, "small net")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SmallSource:
    return small_source(tmp_path_factory.mktemp("hospital") / "small", split=True, height=30)


@pytest.fixture(scope="module")
def shared(source: SmallSource, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    uri = tmp_path_factory.mktemp("collections") / "c.lance"
    ingest(source.root, uri, layout="folder", size=32, workers=1, batch_rows=10)
    return open_collection(uri)


@pytest.fixture
def fresh(source: SmallSource, tmp_path: Path) -> Collection:
    return ingest(source.root, tmp_path / "t.lance", layout="folder", pixels=False).collection


# --------------------------------------------------------------------------- packing


@given(
    arrays(
        np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 9)).map(lambda s: (s[0], s[1], s[1]))
    )
)
def test_unpacking_undoes_packing(
    images: NDArray[np.uint8],
) -> None:
    packed = [memoryview(pack(image)) for image in images]
    unpacked = np.empty_like(images)
    unpack(packed, unpacked)
    np.testing.assert_array_equal(unpacked, images)


# --------------------------------------------------------------------------- rows


def test_rows_are_in_the_order_of_the_source(shared: Collection, source: SmallSource) -> None:
    assert shared.ids() == source.ids
    assert len(shared) == len(source)
    assert shared.findings == FINDINGS


def test_pixels_are_those_of_the_files(shared: Collection, source: SmallSource) -> None:
    expected = [
        read_picture(source.root / "films" / f"{image}.png", 32).pixels for image in source.ids
    ]
    np.testing.assert_array_equal(shared.pixels(), np.stack(expected))


def test_pixels_follow_positions_in_any_order_and_twice(shared: Collection) -> None:
    everything = shared.pixels()
    view = shared.where("visit = 1")
    rows = [5, 0, 5, 11]
    np.testing.assert_array_equal(view.pixels(rows), everything[[2 * r + 1 for r in rows]])


def test_batches_cover_a_view_once(shared: Collection) -> None:
    view = shared.where("sex = 'F'")
    parts = list(view.pixel_batches(5))
    assert [len(rows) for rows, _ in parts] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in parts]), np.arange(12))
    np.testing.assert_array_equal(np.concatenate([images for _, images in parts]), view.pixels())


def test_a_position_outside_the_view_is_an_error(shared: Collection) -> None:
    with pytest.raises(IndexError):
        shared.where("visit = 1").pixels([12])


def test_a_collection_without_pixels_says_how_to_get_them(fresh: Collection) -> None:
    assert fresh.size == 0
    with pytest.raises(CollectionError, match=r"made with --no-pixels .* new collection"):
        fresh.pixels()
    assert fresh.table(["geometry"])["geometry"].null_count() == len(fresh)


def test_the_table_has_everything_but_the_arrays(shared: Collection, source: SmallSource) -> None:
    frame = shared.table()
    assert tuple(frame.columns) == shared.columns
    assert "pixels" not in frame.columns
    first = frame.row(0, named=True)
    file = source.root / "films" / "i0000.png"
    assert first["file"] == "films/i0000.png"
    assert first["file_bytes"] == file.stat().st_size
    assert first["sha256"] == read_picture(file, 8).sha256
    assert first["source"] == "small"
    assert first["report_impression"] == 'Impression, "0"'
    assert (first["geometry"]["width"], first["geometry"]["height"]) == (40, 30)


def test_an_unknown_column_is_answered_with_those_there_are(shared: Collection) -> None:
    with pytest.raises(CollectionError, match=r"no column 'pixels' .* image_id, .*pixels\(\)"):
        shared.table(["image_id", "pixels"])


def test_boxes_are_in_pixels_of_the_file(shared: Collection) -> None:
    assert shared.boxes().rows() == [
        (f"i{n:04}", "Edema", 4.0, 8.0, 10.0, 12.0) for n in (0, 6, 12, 18)
    ]
    assert shared.where("visit = 1").boxes().is_empty()


# --------------------------------------------------------------------------- labels


def test_labels_are_one_zero_minus_one_and_unknown(shared: Collection) -> None:
    table = shared.labels()
    assert table.ids == shared.ids()
    assert table.extra["patient_id"][:3] == ("p0", "p0", "p1")
    np.testing.assert_array_equal(table.column("Edema")[:4], [1, 0, -1, np.nan])


@pytest.mark.parametrize(
    ("policy", "uncertain"), [("keep", -1), ("positive", 1), ("negative", 0), ("ignore", np.nan)]
)
def test_a_policy_decides_on_uncertain_and_never_on_unknown(
    shared: Collection, policy: str, uncertain: float
) -> None:
    values = shared.labels(policy=policy).column("Edema")  # type: ignore[arg-type]
    np.testing.assert_array_equal(values[:4], [1, 0, uncertain, np.nan])


def test_labels_of_a_split_and_of_findings_in_any_spelling(shared: Collection) -> None:
    table = shared.labels("test", ["effusion"])
    assert table.findings == ("Pleural Effusion",)
    assert set(table.extra["patient_id"]) == {"p2", "p5", "p8", "p11"}


def test_an_unknown_split_or_finding_is_an_error(shared: Collection) -> None:
    with pytest.raises(CollectionError, match=r"no split 'holdout'; there are train, val, test"):
        shared.labels("holdout")
    with pytest.raises(CollectionError, match=r"no finding 'Hernia' .* Edema, Pleural Effusion"):
        shared.labels(findings=["Hernia"])


# --------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("Edema = 1", 6),
        ("edema = 1 and visit = 0", 6),
        ("Pleural Effusion = 1", 10),
        ('"Pleural Effusion" = 1', 10),
        ("`Pleural Effusion` = 1", 10),
        ("Pleural Effusion IS NULL OR Edema IS NULL", 9),
        ("\"sex\" = 'F'", 12),
        ("image_id IN ('i0003', 'i0001', 'nobody')", 2),
        ("report_findings LIKE '%Pleural Effusion%'", 0),
        ("geometry.height = 30", 24),
    ],
)
def test_filters_keep_what_they_say(shared: Collection, sql: str, count: int) -> None:
    assert len(shared.where(sql)) == count


def test_a_view_can_be_made_again_from_its_condition(shared: Collection) -> None:
    view = shared.where("`Pleural Effusion` = 1 OR age < 50").where("sex = 'F'")
    assert shared.condition is None
    assert view.condition is not None
    assert shared.where(view.condition).ids() == view.ids() != shared.ids()


def test_filters_compose_and_leave_the_view_alone(shared: Collection) -> None:
    either = shared.where("Edema = 1 OR visit = 1")
    both = either.where("sex = 'F'")
    assert len(both) == len(both.ids()) == 6
    assert len(either) == 18
    assert len(shared) == 24
    assert repr(both).endswith("6 images where ((Edema = 1 OR visit = 1)) AND (sex = 'F')>")


def test_a_condition_names_images_whatever_is_in_their_ids(tmp_path: Path) -> None:
    rows = [{"image_id": name, "Edema": 1} for name in ("a", "b's", 'c"c', "d")]
    view = small_table(tmp_path, rows).where(images(['c"c', "b's"]))
    assert view.ids() == ("b's", 'c"c')


@pytest.mark.parametrize(
    "wrong", ["Hernia = 1", "Edema", "split == ", "sex = 3", "1 = 1; DROP TABLE x", ""]
)
def test_a_wrong_filter_shows_the_columns(shared: Collection, wrong: str) -> None:
    with pytest.raises(CollectionError, match=r"cannot filter by .*: .*; the columns are image_id"):
        shared.where(wrong)


def test_texts_are_not_taken_for_names() -> None:
    columns = ("Pleural Effusion", "Effusion", "a")
    text = "a = 'Pleural Effusion''s' AND Pleural Effusion = 1 AND \"a\" = `Pleural Effusion`"
    assert quote_names(text, columns) == (
        "a = 'Pleural Effusion''s' AND `Pleural Effusion` = 1 AND `a` = `Pleural Effusion`"
    )


# --------------------------------------------------------------------------- embeddings


def batches(
    collection: Collection, rows: range, step: int = 4
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Yield the vector (n, n², 1) for the image at position n."""
    ids = collection.ids()
    for start in range(rows.start, rows.stop, step):
        at = np.arange(start, min(start + step, rows.stop), dtype=np.float32)
        yield [ids[int(n)] for n in at], np.stack([at, at**2, np.ones_like(at)], axis=1)


def test_vectors_come_back_by_id(fresh: Collection) -> None:
    added = fresh.add_embedding("net", batches(fresh, range(24)), INFO)
    ids, vectors = added.where("visit = 1").vectors("net")
    assert ids == fresh.ids()[1::2]
    np.testing.assert_array_equal(vectors[:, 0], np.arange(1, 24, 2))
    assert vectors.dtype == np.float32
    assert added.embeddings == {"net": INFO}
    assert fresh.embeddings == {}  # an old view stays what it was
    assert "embedding_net" not in added.columns


def test_the_order_of_batches_does_not_matter(fresh: Collection) -> None:
    backwards = list(batches(fresh, range(24)))[::-1]
    _, vectors = fresh.add_embedding("net", backwards, INFO).vectors("net")
    np.testing.assert_array_equal(vectors[:, 0], np.arange(24))


def test_a_missing_embedding_is_answered_with_those_there_are(fresh: Collection) -> None:
    with pytest.raises(CollectionError, match=r"no embedding 'net' .* none yet; .* hilum embed"):
        fresh.vectors("net")
    added = fresh.add_embedding("net", batches(fresh, range(24)), INFO)
    with pytest.raises(CollectionError, match=r"no embedding 'moco' .* there is net;"):
        added.vectors("moco")


def test_images_without_a_vector_are_counted(fresh: Collection) -> None:
    added = fresh.add_embedding("net", batches(fresh, range(20)), INFO)
    assert added.count_vectors("net") == 20
    with pytest.raises(CollectionError, match=r"4 of 24 images have no vector in embedding 'net'"):
        added.vectors("net")
    np.testing.assert_array_equal(added.without_vector("net", INFO), [20, 21, 22, 23])
    full = added.add_embedding("net", batches(fresh, range(20, 24)), INFO)
    np.testing.assert_array_equal(full.vectors("net")[1][:, 0], np.arange(24))
    assert full.without_vector("net", INFO).size == 0
    assert _embedding_columns(full) == 1


def test_vectors_come_some_at_a_time_with_their_ids(
    fresh: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = fresh.add_embedding("net", batches(fresh, range(20)), INFO)
    with pytest.raises(CollectionError, match=r"4 of 24 images have no vector in embedding 'net'"):
        next(added.vector_batches("net"))
    monkeypatch.setattr("hilum.collection.vectors._SCAN_ROWS", 3)
    part = added.where("visit = 1 AND image_id < 'i0020'")
    found = list(part.vector_batches("net"))
    assert [len(ids) for ids, _ in found].count(3) >= 2
    assert [image for ids, _ in found for image in ids] == list(part.ids())
    np.testing.assert_array_equal(
        np.concatenate([vectors for _, vectors in found]), part.vectors("net")[1]
    )


KILLED = """
import os, signal, sys
import numpy as np
from hilum.collection import EmbeddingInfo, open_collection, vectors

vectors.FLUSH_SECONDS = 0.0
fresh = open_collection(sys.argv[1])
info = EmbeddingInfo(3, "a" * 64, "small net")

def batches():
    for start in (0, 4):
        at = np.arange(start, start + 4, dtype=np.float32)
        yield fresh.ids()[start : start + 4], np.stack([at, at**2, np.ones_like(at)], axis=1)
    os.kill(os.getpid(), signal.SIGKILL)

fresh.add_embedding("net", batches(), info)
"""


def test_a_killed_embedding_continues_where_it_stopped(fresh: Collection) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, fresh.uri], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert open_collection(fresh.uri).embeddings == {}
    np.testing.assert_array_equal(fresh.without_vector("net", INFO), np.arange(8, 24))
    full = fresh.add_embedding("net", batches(fresh, range(8, 24)), INFO)
    np.testing.assert_array_equal(full.vectors("net")[1][:, 0], np.arange(24))
    assert not list((Path(fresh.uri) / "_partial").glob("*"))


def test_unfinished_work_of_another_encoder_counts_for_nothing(
    fresh: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hilum.collection.vectors.FLUSH_SECONDS", 0.0)

    def interrupted() -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        yield from batches(fresh, range(8))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fresh.add_embedding("net", interrupted(), INFO)
    other = EmbeddingInfo(3, "b" * 64, "other net")
    assert fresh.without_vector("net", other).size == 24
    added = fresh.add_embedding("net", batches(fresh, range(4)), other)
    assert added.count_vectors("net") == 4


def test_another_encoder_may_not_take_a_name_unless_told(fresh: Collection) -> None:
    added = fresh.add_embedding("net", batches(fresh, range(24)), INFO)
    other = EmbeddingInfo(2, "b" * 64, "other net")
    with pytest.raises(
        CollectionError, match=r"'net' was made by small net \(fingerprint a{12}, 3 .*other net"
    ):
        added.without_vector("net", other)
    ones = [(list(fresh.ids()), np.ones((24, 2), np.float32))]
    with pytest.raises(CollectionError, match="choose another name, or overwrite it"):
        added.add_embedding("net", ones, other)
    assert added.without_vector("net", other, overwrite=True).size == 24
    replaced = added.add_embedding("net", ones, other, overwrite=True)
    assert replaced.vectors("net")[1].shape == (24, 2)
    assert replaced.embeddings == {"net": other}
    assert _embedding_columns(replaced) == 1


def test_a_superseded_column_left_by_a_kill_is_not_read(fresh: Collection) -> None:
    first = fresh.add_embedding("net", batches(fresh, range(4)), INFO)
    dataset = open_dataset(first.uri)
    kept = dataset.schema.field("embedding_net")
    second = first.add_embedding("net", batches(fresh, range(4, 24)), INFO)
    stale = open_dataset(second.uri)
    stale.add_columns([kept])  # as if the newest had come now, and the older not yet been dropped
    assert open_collection(second.uri).count_vectors("net") == 0
    healed = open_collection(second.uri).add_embedding("net", batches(fresh, range(24)), INFO)
    assert healed.count_vectors("net") == 24
    assert _embedding_columns(healed) == 1


def test_dropping_an_embedding_leaves_the_others(fresh: Collection) -> None:
    added = fresh.add_embedding("one", batches(fresh, range(24)), INFO)
    added = added.add_embedding("two", batches(fresh, range(24)), INFO)
    left = added.drop_embedding("one")
    assert set(left.embeddings) == {"two"}
    assert left.count_vectors("two") == 24
    with pytest.raises(CollectionError, match="no embedding 'one'"):
        left.drop_embedding("one")


@pytest.mark.parametrize("name", ["", "a b", "../up", "1st", "x" * 65, "a/b"])
def test_a_name_that_could_be_a_path_is_refused(fresh: Collection, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name an embedding"):
        fresh.add_embedding(name, [], INFO)


def test_batches_that_are_wrong_are_refused(fresh: Collection) -> None:
    ids = list(fresh.ids()[:2])
    wrong = np.zeros((2, 3), np.float32)
    wrong[1, 2] = np.nan
    for batch, message in (
        ((ids, np.zeros((2, 4), np.float32)), r"expected float32 vectors of shape \(2, 3\)"),
        ((ids, np.zeros((2, 3))), r"got float64 of shape \(2, 3\)"),
        ((ids, wrong), r"1 of 2 images are not finite, the first is 'i0001'"),
        ((["nobody"], np.zeros((1, 3), np.float32)), r"'nobody' is not an image of this coll"),
    ):
        with pytest.raises(CollectionError, match=message):
            fresh.add_embedding("net", [batch], INFO)  # type: ignore[list-item]
    assert open_collection(fresh.uri).embeddings == {}


def _embedding_columns(collection: Collection) -> int:
    names = open_dataset(collection.uri).schema.names
    return sum(name.startswith("embedding_") for name in names)


# --------------------------------------------------------------------------- opening


def test_opening_nothing_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"there is not a collection here; .* hilum ingest"):
        open_collection(tmp_path / "none.lance")


def test_a_dataset_of_others_is_not_a_collection(tmp_path: Path) -> None:
    lance.write_dataset(pl.DataFrame({"a": [1]}).to_arrow(), tmp_path / "other.lance")
    with pytest.raises(CollectionError, match="is a Lance dataset but not a collection of hilum"):
        open_collection(tmp_path / "other.lance")


def test_earlier_versions_can_be_read(fresh: Collection) -> None:
    added = fresh.add_embedding("net", batches(fresh, range(24)), INFO)
    assert open_collection(fresh.uri, version=fresh.version).embeddings == {}
    with pytest.raises(CollectionError, match=r"there is not version 99 of a collection here"):
        open_collection(added.uri, version=99)


def test_a_newer_format_is_refused() -> None:
    text = Settings(("Edema",), 8, "area").to_json()
    assert Settings.from_json(text, "x") == Settings(("Edema",), 8, "area")
    with pytest.raises(CollectionError, match="x: is a collection of format 2, this hilum reads"):
        Settings.from_json(text.replace('"format": 1', '"format": 2'), "x")
    for broken in ("{}", "[1]", "no json", text.replace("seed", "sead")):
        with pytest.raises(CollectionError, match="x: the settings of the collection are broken"):
            Settings.from_json(broken, "x")


# --------------------------------------------------------------------------- summary


def test_the_summary_counts_what_is_there(shared: Collection) -> None:
    summary = summarise(shared)
    assert (summary["images"], summary["patients"], summary["studies"]) == (24, 12, 24)
    assert summary["splits"]["test"] == {"images": 8, "patients": 4}
    assert summary["views"] == {"AP": 8, "LATERAL": 8, "PA": 8}
    assert summary["visits"] == {"patients": {"2": 12}, "images_with_earlier_visit": 12}
    edema = {"present": 6, "absent": 6, "uncertain": 6, "unknown": 6}
    assert summary["findings"]["Edema"]["all"] == edema
    per_split = [summary["findings"]["Edema"][s]["present"] for s in ("train", "val", "test")]
    assert sum(per_split) == 6
    assert summary["boxes"] == {"Edema": 4}
    assert summary["reports"] == 24
    assert summary["age"] == {"min": 20.0, "median": 31.5, "max": 43.0, "unknown": 0}
    assert summary["complete"]
    folder = sum(f.stat().st_size for f in Path(shared.uri).rglob("*") if f.is_file())
    assert summary["storage"]["bytes"] == folder


def test_the_summary_of_an_empty_view_is_a_summary(shared: Collection) -> None:
    summary = summarise(shared.where("age > 200"))
    assert summary["images"] == 0
    assert summary["age"]["median"] is None
    assert "none" in as_text(summary)


def test_the_text_says_what_the_summary_says(fresh: Collection) -> None:
    added = fresh.add_embedding("net", batches(fresh, range(20)), INFO)
    text = as_text(summarise(added))
    assert "24 in 24 studies of 12 patients" in text
    assert (
        "embedding net: 3 numbers by small net, fingerprint aaaaaaaaaaaa, 4 images without" in text
    )
    assert max(map(len, text.splitlines())) <= 100 + len(added.uri)
