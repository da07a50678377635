"""What pairs are scored with: noise of their own, a prior where a film lies, patients as units."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hilum.collection import Collection
from hilum.encoders import random_encoder
from hilum.encoders.device import choose_engine
from hilum.evaluate.draws import Draws
from hilum.explain.baselines import CENTRE_WIDTH
from hilum.explain.compared import Compared, Pixels
from hilum.explain.insertion import Curves, Steps
from hilum.explain.masked import Masking
from hilum.explain.pair_scores import score_pairs, summarise_pairs
from hilum.explain.saliency import in_original
from hilum.explain.sbsm import sbsm
from hilum.explain.similarity import SIMILARITY, compared, explain_similar, in_proportion
from hilum.images import Geometry
from hilum.ingest import ingest
from small_source import small_source

scoring = import_module("hilum.explain.pair_scores")  # the package hides its modules
SIDE = 32
FLOAT = choose_engine("cpu", "fp32")
UPRIGHT = "i0005"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Return 12 films of 6 patients that lie, but for one that stands."""
    root = tmp_path_factory.mktemp("pairs")
    source = small_source(root / "small", 12, width=80, height=60)
    cv2.imwrite(str(source.root / "films" / f"{UPRIGHT}.png"), source.film(UPRIGHT).T)
    return ingest(source.root, root / "c.lance", layout="folder", size=48, workers=1).collection


@pytest.fixture(scope="module")
def network() -> Compared:
    return compared(random_encoder("test_resnet", seed=1, size=SIDE, engine=FLOAT))


def flat(pairs: int, height: float = 0.5) -> Curves:
    return Curves(
        np.full((pairs, 3), height, np.float32), np.full((pairs, 3), height, np.float32),
        np.zeros((pairs, 2), np.int64),
    )  # fmt: skip


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """Return what gets the maps of each call: the method's, noise and the prior, query by query."""
    seen: list[NDArray[np.float32]] = []

    def follow(_: Compared, __: Pixels, retrieved: Pixels, maps: Any, ___: Steps) -> Curves:
        seen.append(maps)
        return flat(len(retrieved))

    monkeypatch.setattr(scoring, "insert_and_delete", follow)
    return seen


# --------------------------------------------------------------------------- maps of pairs


def test_an_image_that_was_retrieved_twice_has_one_map_in_its_first_place(
    collection: Collection, network: Compared
) -> None:
    maps = explain_similar(
        collection, network, "i0002", ["i0007", "i0001", "i0007", "i0003"], method="simcam"
    )
    assert maps.image_ids[:3] == ("i0007", "i0001", "i0003")
    assert len(maps) == 6


def test_a_map_has_the_place_of_its_own_image(collection: Collection, network: Compared) -> None:
    maps = explain_similar(collection, network, "i0002", [UPRIGHT, "i0001"], method="simcam")
    frames = [maps.in_original(row).shape for row in range(4)]
    assert frames == [(80, 60), (60, 80), (60, 80), (60, 80)]


@pytest.mark.parametrize(
    ("size", "window", "stride"), [(224, 24, 5), (96, 10, 2), (128, 14, 3), (16, 2, 1)]
)
def test_windows_keep_their_share_of_a_square_of_any_side(
    size: int, window: int, stride: int
) -> None:
    network = Compared(random_encoder("test_resnet", size=size, engine=FLOAT))
    assert in_proportion(network, None, None) == Masking(window=window, stride=stride)
    assert in_proportion(network, 7, 6) == Masking(window=7, stride=6)


@pytest.mark.parametrize(
    "setting", [{"convention": "xaitk"}, {"fill": 255}, {"fast": True}, {"forwards": 30}], ids=str
)
def test_settings_of_windows_reach_them(setting: dict[str, Any]) -> None:
    engine = choose_engine("cpu", "bf16")
    network = Compared(random_encoder("test_resnet", 3, size=SIDE, engine=engine))
    pixels = np.random.default_rng(0).integers(0, 255, (2, SIDE, SIDE)).astype(np.uint8)
    found = SIMILARITY["sbsm"](network, pixels[0], pixels[1:], window=9, stride=4, **setting)
    forwards = setting.get("forwards")
    masking = Masking(9, 4) if forwards else Masking(9, 4, **setting)
    wanted = sbsm(network, pixels[0], pixels[1:], masking=masking, forwards=forwards)
    np.testing.assert_array_equal(found.retrieved, wanted.retrieved)
    plain = sbsm(network, pixels[0], pixels[1:], masking=Masking(9, 4))
    assert not np.array_equal(found.retrieved, plain.retrieved)


def test_vectors_under_windows_are_stored_where_it_is_asked_for(
    network: Compared, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE)).astype(np.uint8)
    for method, more in (("sbsm", {}), ("relevance", {"dissimilar": pixels[:1]})):
        store = tmp_path / method
        SIMILARITY[method](
            network, pixels[1], pixels[2:], window=9, stride=4, store=store, **more
        )  # fmt: skip
        assert len(list(store.iterdir())) == 1


# --------------------------------------------------------------------------- scores of pairs


def test_every_pair_has_noise_of_its_own_that_the_seed_decides(
    collection: Collection, network: Compared, looked_at: list[NDArray[np.float32]]
) -> None:
    maps = [
        explain_similar(collection, network, query, ["i0007", "i0001"], method="simcam")
        for query in ("i0002", "i0004")
    ]
    for seed in (0, 0, 1):
        score_pairs(maps, collection, network, Steps(2), seed=seed, bootstrap=0)
    noise = [np.concatenate([looked_at[at + 1], looked_at[at + 4]]) for at in (0, 6, 12)]
    assert noise[0].shape == (4, SIDE, SIDE)
    assert len(np.unique(noise[0].reshape(4, -1), axis=0)) == 4
    np.testing.assert_array_equal(noise[0], noise[1])
    assert not np.array_equal(noise[0], noise[2])


def test_the_prior_is_highest_in_the_middle_of_the_film_and_nothing_beside_it(
    collection: Collection, network: Compared, looked_at: list[NDArray[np.float32]]
) -> None:
    """The film that stands is 24 of the network's 32 columns wide, 4 free on either side."""
    maps = explain_similar(collection, network, "i0002", [UPRIGHT, "i0001"], method="simcam")
    score_pairs([maps], collection, network, Steps(2), bootstrap=0)
    upright, lying = looked_at[2]
    np.testing.assert_allclose(upright, lying.T)
    assert not upright[:, :4].any()
    assert not upright[:, 28:].any()
    assert upright[:, 4:28].all()
    np.testing.assert_allclose(upright, upright[::-1, ::-1], rtol=1e-6)
    middle, edge = upright[15, 15], upright[15, 4]
    far, near = (11.5 / 24) ** 2, (0.5 / 24) ** 2  # from the middle, in widths of the film
    assert edge / middle == pytest.approx(np.exp((near - far) / (2 * CENTRE_WIDTH**2)), rel=1e-5)


def test_a_map_lies_where_its_cells_look(
    collection: Collection, network: Compared, looked_at: list[NDArray[np.float32]]
) -> None:
    maps = explain_similar(collection, network, "i0002", ["i0001"], method="simcam")
    for offset in (0.0, 0.25):
        moved = replace(maps, origin=replace(maps.origin, offset=offset))
        score_pairs([moved], collection, network, Steps(2), baselines=False, bootstrap=0)
        square = Geometry(SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE)
        np.testing.assert_array_equal(looked_at[-1][0], in_original(maps.signed[0], square, offset))
    assert not np.allclose(looked_at[0], looked_at[1])


def test_queries_of_one_patient_have_no_interval(
    collection: Collection, network: Compared, looked_at: list[NDArray[np.float32]]
) -> None:
    maps = [
        explain_similar(collection, network, query, ["i0007"], method="simcam")
        for query in ("i0002", "i0003")
    ]
    scores = score_pairs(maps, collection, network, Steps(2), bootstrap=20)
    assert len(looked_at) == 6
    assert scores.patients == ("p1", "p1")
    assert scores.bootstrap == 20
    assert scores.means["model"]["insertion"].low is None


def test_patients_are_resampled_and_not_their_pairs(
    collection: Collection, network: Compared
) -> None:
    """Of one patient four pairs of area 1, of another four of 0: a draw may be all of one."""
    origin = explain_similar(collection, network, "i0002", ["i0001"], method="simcam").origin
    joined = Curves(*(
        np.concatenate([getattr(one, name) for one in (flat(4, 1.0), flat(4, 0.0))])
        for name in ("insertion", "deletion", "clipped")
    ))  # fmt: skip
    names = tuple(f"i{at}" for at in range(8))
    ids = (names, names, ("a",) * 4 + ("b",) * 4)
    scores = summarise_pairs(
        ids, np.arange(8), {"model": joined, "random": flat(8, 0.75)}, Steps(2), Draws(2, 200, 0),
        0.95, origin,
    )  # fmt: skip
    mean, less = scores.means["model"]["insertion"], scores.differences["random"]["deletion"]
    assert (mean.low, mean.estimate, mean.high) == (0, 0.5, 1)
    assert (less.low, less.estimate, less.high) == (-0.75, -0.25, 0.25)
