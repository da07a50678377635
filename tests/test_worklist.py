"""From a collection to a worklist: ids, labels, patients and filters meet the strategies."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from hilum.collection import Collection, EmbeddingInfo
from hilum.errors import CollectionError, TableError, UsageError
from hilum.ingest import ingest
from hilum.pseudonyms import load_key, pseudonym
from hilum.select import STRATEGIES, Picks, Pool, Settings, Strategy, Worklist, select
from hilum.sheet import SIDE, contact_sheet
from hilum.tables import Table, write_table
from small_source import small_source

INFO = EmbeddingInfo(4, "a" * 64, "small net")
IDS = tuple(f"o'{n:04}" for n in range(24))  # an apostrophe, as SQL has it
LABELS = Table(
    IDS[:6],
    ("Edema", "Mass"),
    np.array([[1, np.nan], [0, 1], [-1, np.nan], [np.nan] * 2, [1, 1], [0, np.nan]]),
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("hospital")
    source = small_source(folder / "small", prefix="o'", split=True)
    made = ingest(source.root, folder / "c.lance", layout="folder", size=32, workers=1).collection
    assert made.ids() == IDS
    vectors = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    return made.add_embedding("moco", [(made.ids(), vectors)], INFO)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "key"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Pool]:
    """Let a strategy named "spy" take the first open rows, and keep the pools that it is given."""
    pools: list[Pool] = []

    def spy(pool: Pool, budget: int, given: Settings, rng: np.random.Generator) -> Picks:
        pools.append(pool)
        rows = np.setdiff1d(np.arange(len(pool)), pool.labelled)[:budget]
        return Picks(rows, np.zeros(budget), ("seen",) * budget)

    strategy = Strategy(spy, "Spies.", "nowhere", needs_labels=False)
    monkeypatch.setitem(STRATEGIES, "spy", strategy)
    return pools


def test_a_worklist_names_images_in_the_strategys_order(
    collection: Collection, key_file: Path
) -> None:
    ids, vectors = collection.vectors("moco")
    rng = np.random.default_rng(7)
    picks = STRATEGIES["typiclust"].pick(Pool(vectors, ids), 5, Settings(), rng)
    found = select(collection, "moco", 5, "typiclust", seed=7, key_file=key_file)
    assert found.ids == tuple(ids[row] for row in picks.rows)
    np.testing.assert_array_equal(found.scores, picks.scores)
    assert found.why == picks.why
    assert found.strategy == "typiclust"
    assert len(found) == 5


def test_patients_are_named_by_pseudonym_only(
    collection: Collection, key_file: Path, tmp_path: Path
) -> None:
    found = select(collection, "moco", 24, "random", key_file=key_file)
    key = load_key(key_file)
    expected = [pseudonym(key, "patient", f"p{int(image[2:]) // 2}") for image in found.ids]
    assert list(found.patients) == expected
    written = pl.read_csv(found.save(tmp_path / "w.csv"), infer_schema=False)
    assert not any(cell.startswith("p") and cell[1:].isdigit() for cell in written["patient"])


def test_the_file_has_a_row_per_pick_and_an_empty_cell_for_no_score(tmp_path: Path) -> None:
    made = Worklist(("b", "a"), ("q", "r"), np.array([0.5, np.nan]), ("x, y", "z"), "k-means")
    path = made.save(tmp_path / "deep" / "w.csv")
    assert path.read_text() == ('rank,image_id,patient,score,why\n1,b,q,0.5,"x, y"\n2,a,r,,z\n')
    assert [p.name for p in path.parent.iterdir()] == ["w.csv"]


def test_the_pool_holds_what_is_known_of_each_image(
    collection: Collection, seen: list[Pool], key_file: Path
) -> None:
    select(collection, "moco", 3, "spy", labelled=LABELS, key_file=key_file)
    (pool,) = seen
    assert pool.ids == IDS
    assert pool.patients is not None
    assert pool.age is not None
    assert pool.sex is not None
    assert pool.frontal is not None
    pairs = {(n // 2, int(number)) for n, number in enumerate(pool.patients)}
    assert len(pairs) == len({number for _, number in pairs}) == 12
    assert pool.age.tolist() == [20 + n for n in range(24)]
    assert pool.sex.tolist() == [n // 2 % 2 for n in range(24)]
    assert pool.frontal.tolist() == [1, 1, 0] * 8
    assert pool.findings == ("Edema", "Mass")


def test_uncertain_labels_are_labels_and_empty_rows_are_none(
    collection: Collection, seen: list[Pool], key_file: Path
) -> None:
    found = select(collection, "moco", 2, "spy", labelled=LABELS, key_file=key_file)
    assert found.ids == (IDS[3], IDS[6])
    (pool,) = seen
    assert pool.labelled.tolist() == [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(pool.labels[:, 0], [1, 0, np.nan, 1, 0])
    select(collection, "moco", 2, "spy", labelled=LABELS, policy="positive", key_file=key_file)
    np.testing.assert_array_equal(seen[1].labels[:, 0], [1, 0, 1, 1, 0])


def test_labels_may_come_from_a_file(
    collection: Collection, seen: list[Pool], key_file: Path, tmp_path: Path
) -> None:
    write_table(LABELS, tmp_path / "labels.csv")
    select(collection, "moco", 1, "spy", labelled=tmp_path / "labels.csv", key_file=key_file)
    assert seen[0].labelled.tolist() == [0, 1, 2, 4, 5]


def test_a_filter_bounds_what_is_picked_and_not_what_is_learnt_from(
    collection: Collection, seen: list[Pool], key_file: Path
) -> None:
    found = select(
        collection, "moco", 4, "spy", labelled=LABELS, where="split = 'test'", key_file=key_file
    )
    test = collection.where("split = 'test'").ids()
    assert found.ids == tuple(image for image in test if image not in (IDS[4], IDS[5]))[:4]
    (pool,) = seen
    assert set(pool.ids) == {*test, *(IDS[n] for n in (0, 1, 2, 4, 5))}
    assert [pool.ids[row] for row in pool.labelled] == [IDS[n] for n in (0, 1, 2, 4, 5)]
    _, vectors = collection.vectors("moco")
    expected = vectors[[IDS.index(image) for image in pool.ids]]
    np.testing.assert_array_equal(pool.vectors, expected)


def test_a_filter_without_labels_leaves_the_others_out(
    collection: Collection, seen: list[Pool], key_file: Path
) -> None:
    select(collection, "moco", 1, "spy", where="view = 'PA' OR age > 100", key_file=key_file)
    assert seen[0].ids == collection.where("view = 'PA'").ids()


def test_a_limit_per_patient_is_kept(collection: Collection, key_file: Path) -> None:
    found = select(collection, "moco", 12, "k-means", per_patient=1, key_file=key_file)
    assert len(set(found.patients)) == 12


def test_the_seed_decides(collection: Collection, key_file: Path) -> None:
    lists = [
        select(collection, "moco", 8, "random", seed=seed, key_file=key_file).ids
        for seed in (1, 1, 2)
    ]
    assert lists[0] == lists[1] != lists[2]


def test_the_default_needs_no_labels(collection: Collection, key_file: Path) -> None:
    assert select(collection, "moco", 2, key_file=key_file).strategy == "k-means"


@pytest.mark.parametrize("name", ["entropy", "margin", "badge"])
def test_strategies_learn_from_the_labels(
    collection: Collection, key_file: Path, name: str
) -> None:
    found = select(collection, "moco", 3, name, labelled=LABELS, key_file=key_file)
    assert not set(found.ids) & {IDS[n] for n in (0, 1, 2, 4, 5)}
    one_class = LABELS.select(["Mass"])
    with pytest.raises(UsageError, match=r"got Mass: 2 positive, 0 negative; choose a round by"):
        select(collection, "moco", 3, name, labelled=one_class, key_file=key_file)


def test_medselect_is_asked_for_by_its_weights_and_told_the_encoder(
    collection: Collection, seen: list[Pool], key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def selector_strategy(*given: Any) -> Strategy:
        asked.append(given)
        return STRATEGIES["spy"]

    fake = SimpleNamespace(selector_strategy=selector_strategy)
    monkeypatch.setitem(sys.modules, "hilum.select.trained", fake)
    found = select(collection, "moco", 1, selector="s.safetensors", key_file=key_file)
    assert found.strategy == "medselect"
    assert asked == [("s.safetensors", INFO.fingerprint)]


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "magic"}, "'magic' is not a strategy; choose from random, k-medoids, .*med"),
        ({"strategy": "medselect"}, r"medselect needs the weights .*--selector FILE.*selector tra"),
        ({"strategy": "k-means", "selector": "s"}, "a selector is for .* medselect, not for k-m"),
        ({"policy": "keep"}, "choose what an uncertain label counts as"),
        ({"policy": "coin", "labelled": LABELS}, "'coin' is not a label policy"),
        ({"where": "age > 200"}, "no image of the collection fulfils 'age > 200'"),
        ({"budget": 25}, "asked for 25 images to label, but 24 of 24 can be picked"),
    ],
)
def test_what_cannot_be_is_refused(
    collection: Collection, key_file: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        select(collection, "moco", **{"budget": 2, "key_file": key_file, **options})


def test_labels_for_unknown_images_are_an_error(collection: Collection, key_file: Path) -> None:
    labels = Table(("x", IDS[0], "y"), ("Edema",), np.array([[1], [0], [np.nan]]))
    with pytest.raises(TableError, match=r"2 of 3 labelled ids are not in the collection.* 'x'"):
        select(collection, "moco", 2, labelled=labels, key_file=key_file)


def test_scores_given_as_labels_are_an_error(collection: Collection, key_file: Path) -> None:
    labels = Table(IDS[:1], ("Edema",), np.array([[0.7]]))
    with pytest.raises(TableError, match=r"0\.7: expected 1, 0, -1"):
        select(collection, "moco", 2, labelled=labels, key_file=key_file)


def test_an_embedding_that_is_not_there_is_an_error(collection: Collection, key_file: Path) -> None:
    with pytest.raises(CollectionError, match="there is no embedding 'clip'"):
        select(collection, "clip", 2, key_file=key_file)


# --------------------------------------------------------------------------- the contact sheet


def test_a_sheet_shows_every_pick_under_its_rank(collection: Collection, tmp_path: Path) -> None:
    shown = (IDS[5], IDS[0], IDS[9])
    (path,) = contact_sheet(collection, shown, tmp_path / "picks.png")
    with Image.open(path) as page:
        assert page.format == "PNG"
        assert page.info == {}  # no words beside the pixels
        grey = np.asarray(page)
    for at, image in enumerate(shown):
        film = Image.fromarray(collection.pixels([IDS.index(image)])[0])
        expected = np.asarray(film.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        left = 8 + at * (SIDE + 8)
        np.testing.assert_array_equal(grey[32 : 32 + SIDE, left : left + SIDE], expected)
        assert (grey[8:32, left : left + 20] < 128).any()  # its rank
    assert (grey[8:32, -60:-8] == 255).all()  # and nothing else


def test_ranks_go_on_from_page_to_page(collection: Collection, tmp_path: Path) -> None:
    pages = contact_sheet(collection, IDS[:8] * 13, tmp_path / "deep" / "picks.png")
    assert [page.name for page in pages] == ["picks.png", "picks-2.png", "picks-3.png"]
    first, second, third = (np.asarray(Image.open(page)) for page in pages)
    assert first.shape == second.shape == (6 * (SIDE + 32) + 8, 8 * (SIDE + 8) + 8)
    assert third.shape == (SIDE + 40, 8 * (SIDE + 8) + 8)
    strip = np.s_[8:32, 8:60]
    assert not np.array_equal(first[strip], second[strip])
    np.testing.assert_array_equal(first[32 : 32 + SIDE], second[32 : 32 + SIDE])


def test_a_collection_without_pixels_has_no_sheet(tmp_path: Path) -> None:
    source = small_source(tmp_path / "small", images=4)
    bare = ingest(source.root, tmp_path / "c.lance", layout="folder", pixels=False).collection
    with pytest.raises(CollectionError, match="was made with --no-pixels and has no images"):
        contact_sheet(bare, source.ids, tmp_path / "picks.png")
