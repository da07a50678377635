"""Maps from few windows, from random masks, and from examples of like and unlike."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

import reference_saliency as reference
from hilum.encoders import random_encoder
from hilum.encoders.device import choose_engine
from hilum.errors import UsageError
from hilum.explain.coarse import interpolated
from hilum.explain.compared import Compared
from hilum.explain.masked import Masking, masked_vectors
from hilum.explain.relevance import JUDGES, relevance
from hilum.explain.rise import random_masks, rise
from hilum.explain.sbsm import sbsm
from hilum.explain.windows import Windows, make_windows

SIDE = 32
SMALL = Masking(window=9, stride=4)


def network(architecture: str = "test_resnet", batch_size: int = 32) -> Compared:
    engine = choose_engine("cpu", "fp32")
    encoder = random_encoder(architecture, 3, size=SIDE, engine=engine)
    return Compared(encoder, batch_size=batch_size)


def images(n: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 120, (n, SIDE, SIDE))
    for one, (y, x) in zip(pixels, rng.integers(0, SIDE - 10, (n, 2)), strict=True):
        one[y : y + 10, x : x + 10] += 120
    return pixels.astype(np.uint8)


def prepared(compared: Compared, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(compared.prepare(pixels).double().numpy())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), forwards=st.integers(16, 100))
def test_a_cubic_surface_is_found_from_any_lattice(seed: int, forwards: int) -> None:
    windows = make_windows(33, 47, window=6, stride=4)
    rows, columns = np.indices(windows.lattice) / 10
    weights = np.random.default_rng(seed).normal(size=(4, 4))
    surface = np.polynomial.polynomial.polyval2d(rows, columns, weights).ravel()
    seen: list[int] = []

    def look(some: NDArray[np.int64]) -> NDArray[np.float64]:
        seen.extend(some.tolist())
        return np.asarray(surface[some])

    np.testing.assert_allclose(interpolated(windows, look, forwards), surface, atol=1e-7)
    assert len(set(seen)) == len(seen) <= forwards
    assert len(seen) >= 16


@pytest.mark.parametrize(
    ("down", "right", "forwards", "rows", "columns"),
    [(10, 40, 100, 5, 20), (40, 10, 100, 20, 5), (100, 4, 16, 4, 4), (4, 100, 400, 4, 100)],
)
def test_looks_are_as_dense_down_as_across_and_exact(
    down: int, right: int, forwards: int, rows: int, columns: int
) -> None:
    windows = Windows(tuple(range(down)), tuple(range(right)), 1, down, right)
    scores = np.random.default_rng(0).normal(size=down * right)  # no spline gives such back exactly
    seen: list[int] = []

    def look(some: NDArray[np.int64]) -> NDArray[np.float64]:
        seen.extend(some.tolist())
        return np.asarray(scores[some])

    found = interpolated(windows, look, forwards)
    y, x = np.divmod(np.array(seen), right)
    assert (len(set(y.tolist())), len(set(x.tolist()))) == (rows, columns)
    assert (y.min(), y.max(), x.min(), x.max()) == (0, down - 1, 0, right - 1)
    np.testing.assert_array_equal(found[seen], scores[seen])


def test_an_estimate_from_all_windows_is_the_map_and_from_some_is_near_it() -> None:
    compared, pixels = network(), images(3, seed=1)
    masking = Masking(window=9, stride=2)
    exact = sbsm(compared, pixels[0], pixels[1:], masking=masking).retrieved
    n = len(masking.windows(SIDE))
    same = sbsm(compared, pixels[0], pixels[1:], masking=masking, forwards=n).retrieved
    np.testing.assert_allclose(same, exact, atol=1e-6)
    few = sbsm(compared, pixels[0], pixels[1:], masking=masking, forwards=n // 4).retrieved
    assert (
        min(spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(few, exact, strict=True))
        > 0.9
    )


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_random_masks_give_the_difference_of_two_means(architecture: str) -> None:
    compared, pixels = network(architecture, batch_size=10), images(2, seed=2)
    found = rise(compared, pixels[0], pixels[1:], masks=80, cells=4, seed=3).retrieved[0]
    parts = [(64, 0), (16, 64)]
    masks = [m.double().numpy() for n, at in parts
             for m in random_masks(n, SIDE, 4, 0.5, seed=3 * 1_000_003 + at)]  # fmt: skip
    asked, image = prepared(compared, pixels)
    query = reference.unit(compared.module, asked)
    cosines = [float(query @ reference.unit(compared.module, image * mask)) for mask in masks]
    seen = reference.averaged([1 - mask for mask in masks], cosines)
    slow = np.maximum(seen - reference.averaged(masks, cosines), 0)
    assert slow.max() > 1e-4
    np.testing.assert_allclose(found, slow, atol=1e-5)


def test_random_masks_are_decided_by_their_seed_and_show_what_was_asked() -> None:
    masks = random_masks(400, 30, 5, 0.3, seed=1)
    assert masks.shape == (400, 30, 30)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    assert float(masks.mean()) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(masks, random_masks(400, 30, 5, 0.3, seed=1))
    assert not np.array_equal(masks, random_masks(400, 30, 5, 0.3, seed=2))


def test_relevance_is_how_much_less_likely_a_hidden_window_makes_it() -> None:
    compared, pixels = network(), images(8, seed=4)
    query, similar, dissimilar, one = pixels[0], pixels[1:3], pixels[3:7], pixels[7]
    found = relevance(
        compared, query, one[None], similar=similar, dissimilar=dissimilar, masking=SMALL
    ).retrieved[0]
    examples = [reference.unit(compared.module, image) for image in prepared(compared, pixels[:7])]
    judge = LogisticRegression(random_state=0).fit(examples, [1, 1, 1, 0, 0, 0, 0])
    image = prepared(compared, one[None])[0]
    masks = reference.masks_x_mir(SIDE, 9, 4)
    chances = judge.predict_proba(
        [reference.unit(compared.module, hidden) for hidden in (image, *(image * m for m in masks))]
    )[:, 1]
    slow = reference.averaged(masks, [max(0.0, float(chances[0] - after)) for after in chances[1:]])
    assert slow.max() > 1e-4
    np.testing.assert_allclose(found, slow, atol=2e-5)


def test_examples_are_embedded_in_the_precision_of_what_they_judge() -> None:
    engine = choose_engine("cpu", "bf16")
    compared = Compared(random_encoder("test_resnet", 3, size=SIDE, engine=engine))
    pixels, masking = images(6, seed=5), Masking(window=9, stride=4, fast=True)
    found = relevance(
        compared, pixels[0], pixels[5:], similar=pixels[1:2], dissimilar=pixels[2:5],
        masking=masking,
    ).retrieved[0]  # fmt: skip
    examples = compared.embed_unit(compared.prepare(pixels[:5]), fast=True).numpy()
    chance = JUDGES["logistic"](examples, np.arange(5) < 2)
    image = masked_vectors(compared, pixels[5], masking)
    fall = chance(image.whole[None]) - chance(image.vectors)
    np.testing.assert_array_equal(found, image.windows.spread(np.maximum(fall, 0)))


def test_the_four_nearest_weigh_by_their_nearness() -> None:
    """At 1, 2, 3 and 4 from the asked: 1/1 and 1/4 of 25/12 are similar; the fifth is too far."""
    examples = np.array([[1], [2], [3], [-4], [9]], np.float32)
    chance = JUDGES["knn"](examples, np.array([True, False, False, True, True]))
    assert chance(np.zeros((1, 1), np.float32)) == pytest.approx([(1 + 1 / 4) / (25 / 12)])


@pytest.mark.parametrize("judge", JUDGES)
def test_every_judge_tells_clusters_apart(judge: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 3)).astype(np.float32) * 0.2
    rows[:8] += np.array([3, 0, 0], np.float32)
    similar = np.arange(20) < 8
    chance = JUDGES[judge](rows, similar)(rows + 0.01)
    assert chance.shape == (20,)
    assert (chance >= 0).all()
    assert (chance <= 1).all()
    assert chance[similar].min() > 0.5 > chance[~similar].max()


def test_a_few_similar_among_many_can_be_told_by_a_support_vector_machine() -> None:
    rows = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
    chance = JUDGES["svm"](rows, np.arange(20) == 19)(rows)
    assert chance.argmax() == 19


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"dissimilar": images(0)}, r"no dissimilar image"),
        ({"dissimilar": images(2), "judge": "forest"}, r"'forest' .* knn, logistic, svm"),
        ({"dissimilar": images(2), "judge": "knn"}, r"knn asks 4 examples and was given 3"),
    ],
    ids=["none", "judge", "few"],
)
def test_examples_that_teach_nothing_are_refused(how: dict[str, Any], said: str) -> None:
    pixels = images(2)
    with pytest.raises(UsageError, match=said):
        relevance(network(), pixels[0], pixels[1:], masking=SMALL, **how)


@pytest.mark.parametrize("how", [{"masks": 0}, {"cells": 1}, {"cells": 33}, {"keep": 1.0}], ids=str)
def test_random_masks_that_say_nothing_are_refused(how: dict[str, Any]) -> None:
    pixels = images(2)
    with pytest.raises(UsageError, match=r"at least 1 mask, 2 to 32 cells and a chance between"):
        rise(network(), pixels[0], pixels[1:], **how)


@pytest.mark.parametrize("forwards", [15, 65])
def test_too_few_or_too_many_looks_are_refused(forwards: int) -> None:
    pixels, masking = images(2), Masking(window=9, stride=5)
    assert len(masking.windows(SIDE)) == 64
    said = rf"map of 8 × 8 windows cannot be estimated from {forwards} of them; choose 16 to 64"
    with pytest.raises(UsageError, match=said):
        sbsm(network(), pixels[0], pixels[1:], masking=masking, forwards=forwards)


def test_an_estimate_is_not_stored(tmp_path: Any) -> None:
    pixels = images(2)
    with pytest.raises(UsageError, match=r"is not stored; give forwards or store"):
        sbsm(network(), pixels[0], pixels[1:], masking=SMALL, forwards=20, store=tmp_path)
