"""What of a map is drawn: its own image, its strength, what is marked in both, and blank ones."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hilum.appraisal.heat_maps import Showing, maps_page
from hilum.collection import Collection
from hilum.encoders import random_encoder
from hilum.encoders.device import choose_engine
from hilum.explain import Saliency, boxes_of
from hilum.explain.compared import Compared
from hilum.explain.insertion import Curves, Steps
from hilum.explain.pair_scores import score_pairs
from hilum.explain.similarity import compared, explain_similar
from hilum.images import Geometry
from hilum.ingest import ingest
from small_source import small_source

cases = import_module("hilum.appraisal.similar_cases")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Return 12 oblong films, 36 of 48 rows; i0000 and i0006 have a box."""
    root = tmp_path_factory.mktemp("shown")
    source = small_source(root / "small", 12, width=80, height=60)
    return ingest(source.root, root / "c.lance", layout="folder", size=48, workers=1).collection


@pytest.fixture(scope="module")
def network() -> Compared:
    engine = choose_engine("cpu", "fp32")
    return compared(random_encoder("test_resnet", seed=1, size=32, engine=engine))


@pytest.fixture(scope="module")
def maps(collection: Collection, network: Compared) -> Saliency:
    """Return maps of i0006 and i0005 beside i0000, then of i0000 beside each."""
    return explain_similar(collection, network, "i0000", ["i0006", "i0005"], method="simcam")


def test_a_map_is_drawn_up_to_its_own_highest_value(collection: Collection, maps: Saliency) -> None:
    signed = np.abs(maps.signed[0])
    some = replace(maps.take([0, 0, 0]), signed=np.stack([signed, signed / 8, 0 * signed]))
    strong, faint, none = (Showing(some, collection).shown(row, 80).heat for row in range(3))
    assert strong.shape == (60, 80)
    assert strong.max() == 1
    whole = some.in_original(0)
    np.testing.assert_allclose(strong, whole / whole.max(), atol=1e-6)
    np.testing.assert_allclose(faint, strong, atol=1e-6)
    assert not none.any()


def test_a_film_that_stands_is_cut_out_of_its_columns(tmp_path: Path, network: Compared) -> None:
    source = small_source(tmp_path / "small", 2, width=60, height=80)
    made = ingest(source.root, tmp_path / "c.lance", layout="folder", size=48, workers=1)
    upright = explain_similar(made.collection, network, "i0000", ["i0001"], method="simcam")
    film = Showing(upright, made.collection).shown(0, 48).film
    np.testing.assert_array_equal(film, made.collection.pixels()[1][:, 6:42])


def test_a_title_says_what_is_labelled(collection: Collection, maps: Saliency) -> None:
    """Edema goes through present, absent, uncertain and unknown."""
    some = replace(
        maps, image_ids=("i0000", "i0001", "i0002", "i0003"), targets=("Edema",) * 4,
        logits=np.zeros(4, np.float32), origin=replace(maps.origin, explains="finding"),
    )  # fmt: skip
    showing = Showing(some, collection)
    said = [showing.title(row).removeprefix("Edema: score 0.50") for row in range(4)]
    assert said == [", labelled present", ", labelled absent", ", labelled uncertain", ""]
    blank = tuple(
        replace(one, kind="against" if row == 1 else "map")
        for row, one in enumerate(maps.diagnoses)
    )
    page = maps_page(Showing(replace(some, diagnoses=blank), collection)).html()
    assert "1 of them is blank." in page
    assert "All 4, in the order of the collection" in page


def test_a_page_shows_so_many_pairs(
    collection: Collection, maps: Saliency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query, then a film of each case and of the query beside it."""
    for most, films, said in ((20, 5, "All, nearest first"), (1, 3, "The first 1 of 2, nearest")):
        monkeypatch.setattr(cases, "ON_A_PAGE", most)
        page = cases.pairs_page(Showing(maps, collection)).html()
        assert page.count("data:image/png") == films
        assert said in page


def test_a_film_is_that_of_its_map_without_padding(collection: Collection, maps: Saliency) -> None:
    showing = Showing(maps, collection)
    for row, image in enumerate(("i0006", "i0005", "i0000", "i0000")):
        pixels = collection.where(f"image_id = '{image}'").pixels()[0]
        assert maps.geometries[row] == Geometry(80, 60, 48, 0, 6, 48, 36)
        np.testing.assert_array_equal(showing.shown(row, 48).film, pixels[6:42])
    np.testing.assert_array_equal(
        showing.film_of("i0005", "i0000", 48).film, showing.shown(1, 48).film
    )


def test_what_is_marked_in_both_is_drawn_where_it_lies(
    collection: Collection, maps: Saliency
) -> None:
    """A box of 10 × 12 at (4, 8) of 80 × 60 pixels is twice as large and far at 160."""
    showing = Showing(maps, collection, boxes_of(collection))
    assert [showing.marked(row) for row in range(4)] == [["Edema"], [], ["Edema"], []]
    [outline] = showing.shown(0, 160).outlines
    [same] = showing.film_of("i0000", "i0006", 160).outlines
    np.testing.assert_array_equal(outline, same)
    assert showing.film_of("i0000", "i0005", 160).outlines == []
    lengths = sorted(np.ptp(outline, axis=0).tolist())
    assert lengths == pytest.approx([20, 24], abs=1)
    assert sorted(outline.min(axis=0).tolist()) == pytest.approx([8, 16], abs=1)


def test_only_maps_of_retrieved_images_are_counted_as_blank(
    collection: Collection, maps: Saliency
) -> None:
    blank = [replace(one, kind="unlike") for one in maps.diagnoses]
    some = replace(maps, diagnoses=(maps.diagnoses[0], *blank[1:]))
    page = cases.pairs_page(Showing(some, collection)).html()
    assert "2 images beside i0000" in page
    assert "1 of the maps is blank." in page
    sides = [cases._side(Showing(some, collection), row, 48, "") for row in (0, 1)]
    assert [one.heat is None for one in sides] == [False, True]
    assert sides[1].without.startswith("No map: ")


def test_curves_on_a_page_are_means_over_pairs(
    collection: Collection, network: Compared, maps: Saliency, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = score_pairs([maps], collection, network, Steps(3), baselines=False, bootstrap=0)
    insertion = np.array([[0, 0.5, 1, 1], [0, 0.1, 0.2, 1]], np.float32)
    scores.curves["model"] = Curves(insertion, 1 - insertion, np.zeros((2, 2), np.int64))
    drawn: list[dict[str, dict[str, NDArray[np.float32]]]] = []
    plots = import_module("hilum.plots.pairs")
    real = plots.fidelity_curves

    def watched(curves: Any, better: Any) -> Any:
        drawn.append(curves)
        return real(curves, better)

    monkeypatch.setattr(plots, "fidelity_curves", watched)
    cases.fidelity_section(scores)
    np.testing.assert_allclose(drawn[0]["insertion"]["SimCAM"], [0, 0.3, 0.6, 1], atol=1e-6)
    np.testing.assert_allclose(drawn[0]["deletion"]["SimCAM"], [1, 0.7, 0.4, 0], atol=1e-6)
