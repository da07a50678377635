"""One contract for every method that says why two images are similar; CNN and transformer."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hilum.encoders import Encoder, random_encoder
from hilum.encoders.device import choose_engine, own_random_numbers
from hilum.encoders.image import EncoderSpec
from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels, SimilarMaps
from hilum.explain.similarity import SIMILARITY

SIDE = 64
FLOAT = choose_engine("cpu", "fp32")
QUICK: dict[str, dict[str, Any]] = {
    "sbsm": {"window": 16, "stride": 8},
    "score-cam": {"channels": 6},
    "rise": {"masks": 40},
    "relevance": {"window": 16, "stride": 8},
}
"""Settings by which a method that is slow is fast."""
CLOSED = {"sbsm", "rise", "relevance"}
"""Methods that call the network and do not open it."""

family = pytest.mark.parametrize("method", SIMILARITY)
kinds = pytest.mark.parametrize("name", ["test_resnet", "test_vit"])


def encoder(name: str, channels: int = 1) -> Encoder:
    return random_encoder(name, seed=1, size=SIDE, channels=channels, engine=FLOAT)


def films(n: int, side: int = SIDE, seed: int = 0) -> Pixels:
    """Return dark films with one bright corner each, which random networks tell apart."""
    rng = np.random.default_rng(seed)
    dark = rng.integers(0, 60, (n, side, side), dtype=np.uint8)
    half = side // 2
    for at, one in enumerate(dark):
        top, left = (half * n for n in divmod(at % 4, 2))
        one[top : top + half, left : left + half] += 150
    return dark


def run(method: str, network: Compared, query: Pixels, retrieved: Pixels) -> SimilarMaps:
    settings = dict(QUICK.get(method, {}))
    if method == "relevance":  # which asks for an example of what is not similar
        settings["dissimilar"] = query[None, ::-1, ::-1]
    return SIMILARITY[method](network, query, retrieved, **settings)


@kinds
@family
def test_a_map_for_every_retrieved_image(method: str, name: str) -> None:
    pixels = films(4)
    maps = run(method, Compared(encoder(name)), pixels[0], pixels[1:])
    assert len(maps) == 3
    grid = maps.retrieved.shape[1:]
    assert grid in ((SIDE, SIDE), (2, 2) if name == "test_resnet" else (4, 4))
    for found in (maps.retrieved, maps.query):
        if found is not None:
            assert found.shape == (3, *grid)
            assert found.dtype == np.float32
            assert (found >= 0).all()
    assert maps.retrieved.any()


@kinds
@family
def test_an_image_does_not_change_the_map_of_another(method: str, name: str) -> None:
    pixels = films(4)
    many = run(method, Compared(encoder(name), batch_size=2), pixels[0], pixels[1:])
    for n in range(3):
        alone = run(method, Compared(encoder(name)), pixels[0], pixels[n + 1 : n + 2])
        assert many.retrieved[n] == pytest.approx(alone.retrieved[0], abs=2e-5)
        if many.query is not None:
            assert alone.query is not None
            assert many.query[n] == pytest.approx(alone.query[0], abs=2e-5)


@kinds
@family
def test_nothing_is_changed_by_looking(method: str, name: str) -> None:
    network, pixels = Compared(encoder(name)), films(2)
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    chance, kept = torch.get_rng_state(), pixels.copy()
    first = run(method, network, pixels[0], pixels[1:])
    second = run(method, network, pixels[0], pixels[1:])
    assert first.retrieved == pytest.approx(second.retrieved, abs=0)
    assert torch.equal(torch.get_rng_state(), chance)
    assert (pixels == kept).all()
    after = network.module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(one.grad is None for one in network.module.parameters())
    assert not any(one._forward_hooks for one in network.module.modules())


@family
def test_an_image_may_be_compared_with_itself(method: str) -> None:
    pixels = films(1)
    maps = run(method, Compared(encoder("test_resnet")), pixels[0], pixels)
    assert maps.retrieved.shape[0] == 1
    if maps.query is not None:
        assert maps.query == pytest.approx(maps.retrieved, abs=1e-5)


@family
def test_grey_and_colour_images_are_seen_by_a_network_of_colour(method: str) -> None:
    grey = films(2)
    network = Compared(encoder("test_resnet", channels=3))
    colour = np.stack([grey] * 3, axis=3)
    one, other = (run(method, network, given[0], given[1:]) for given in (grey, colour))
    assert one.retrieved == pytest.approx(other.retrieved, abs=1e-5)


class Corner(nn.Module):
    """Sees the top left quarter of an image alone, through six random filters."""

    def __init__(self) -> None:
        super().__init__()
        with own_random_numbers(3):
            self.filters = nn.Conv2d(1, 6, 8, 8, bias=False)
        self.cells = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        seen = torch.zeros_like(images)
        half = images.shape[2] // 2
        seen[:, :, :half, :half] = images[:, :, :half, :half]
        cells: Tensor = self.cells(self.filters(seen))
        return cells.mean(dim=(2, 3))


@family
def test_what_a_network_does_not_see_is_not_on_its_maps(method: str) -> None:
    spec = EncoderSpec("corner", SIDE, 1, (0.5,), (0.25,), 6)
    network = Compared(Encoder(spec, Corner(), FLOAT), "cells")
    pixels = np.random.default_rng(5).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)
    maps = run(method, network, pixels[0], pixels[1:])
    reach = 16 if method in CLOSED else 0  # a window half inside counts outside, too
    for found in (maps.retrieved, maps.query):
        if found is None:
            continue
        assert found.any()
        half = found.shape[1] // 2
        if method != "rise":  # whose random masks cover the image at once
            assert found[:, half + reach :] == pytest.approx(0, abs=1e-6)
            assert found[:, :, half + reach :] == pytest.approx(0, abs=1e-6)
        inside = found[:, :half, :half].mean(axis=(1, 2))
        assert (inside > 1.2 * found.mean(axis=(1, 2))).all()


# --------------------------------------------------------------------------- what is refused


@family
def test_what_cannot_be_compared_is_refused(method: str) -> None:
    network, pixels = Compared(encoder("test_resnet")), films(2)
    with pytest.raises(UsageError, match=r"query has shape \(48, 48\) and the retrieved images"):
        run(method, network, films(1, 48)[0], pixels)
    with pytest.raises(UsageError, match="no retrieved image to compare the query with"):
        run(method, network, pixels[0], pixels[:0])
    with pytest.raises(UsageError, match=r"images have colour \(3 channels\)"):
        run(method, network, np.stack([pixels[0]] * 3, 2), np.stack([pixels] * 3, 3))


@pytest.mark.parametrize("method", sorted(set(SIMILARITY) - CLOSED))
def test_a_layer_that_does_not_exist_is_refused(method: str) -> None:
    pixels = films(2)
    with pytest.raises(UsageError, match="no layer 'layer9'; similar: layer"):
        run(method, Compared(encoder("test_resnet"), "layer9"), pixels[0], pixels[1:])
    with pytest.raises(UsageError, match=r"layer 'global_pool' gives \(1, 96\) for one image"):
        run(method, Compared(encoder("test_resnet"), "global_pool"), pixels[0], pixels[1:])


@pytest.mark.parametrize("method", sorted(CLOSED & set(SIMILARITY)))
def test_a_method_that_only_asks_the_network_needs_no_layer(method: str) -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with own_random_numbers(4):
                self.all = nn.Linear(SIDE * SIDE, 5)

        def forward(self, images: Tensor) -> Tensor:
            found: Tensor = self.all(images.flatten(1))
            return found

    spec = EncoderSpec("flat", SIDE, 1, (0.5,), (0.25,), 5)
    pixels = films(2)
    maps = run(method, Compared(Encoder(spec, Flat(), FLOAT)), pixels[0], pixels[1:])
    assert maps.retrieved.shape == (1, SIDE, SIDE)


def test_a_batch_has_an_image() -> None:
    with pytest.raises(UsageError, match="batch size must be at least 1; got 0"):
        Compared(encoder("test_resnet"), batch_size=0)


def test_maps_of_a_similarity_are_numbers_of_zero_or_above() -> None:
    good = np.ones((2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="0 or above, and a number, everywhere"):
        SimilarMaps(-good)
    with pytest.raises(ValueError, match="0 or above, and a number, everywhere"):
        SimilarMaps(good, good * np.float32(np.nan))
    with pytest.raises(ValueError, match=r"expected float32 maps of shape \(2, height, width\)"):
        SimilarMaps(good, good[:1])
