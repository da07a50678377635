"""Similarity attention: by hand, against the formulas on a CNN and a transformer, and by laws."""

from typing import Any

import numpy as np
import pytest
import torch

import reference_pairwise as reference
from hilum.encoders import Encoder, random_encoder
from hilum.encoders.device import choose_engine
from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels
from hilum.explain.simatt import simatt

FLOAT = choose_engine("cpu", "fp32")
SIDE = {"test_resnet": 64, "test_vit": 32}


def encoder(name: str) -> Encoder:
    return random_encoder(name, seed=1, size=SIDE[name], engine=FLOAT)


def films(n: int, side: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def opened(name: str, pixels: Pixels) -> tuple[list[reference.Tail], list[reference.Array]]:
    """Return what follows the layer, and the layer's maps, of each image in double precision."""
    made = encoder(name)
    module: Any = made.module.double()
    images = Compared(made).prepare(pixels).double()
    if name == "test_vit":
        tails = [reference.ClassToken(module, one[None]) for one in images]
        return list(tails), [one.maps for one in tails]
    seen: list[torch.Tensor] = []
    hook = module.layer4.register_forward_hook(lambda *given: seen.append(given[2]))
    module(images)
    hook.remove()
    return [reference.gap] * len(images), [one.detach().numpy() for one in seen[0]]


@pytest.mark.parametrize("negatives", [0, 1, 2])
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("name", SIDE)
def test_pairs_triplets_and_quadruplets_equal_the_formulas(
    name: str, negatives: int, *, alike: bool
) -> None:
    pixels = films(5, SIDE[name])
    query, retrieved, others = pixels[0], pixels[1:3], pixels[3 : 3 + negatives]
    maps = simatt(
        Compared(encoder(name)), query, retrieved, negatives=others if negatives else None,
        alike=alike,
    )  # fmt: skip
    tails, a = opened(name, pixels)
    vectors = [
        tail(torch.from_numpy(one)[None])[0].detach().numpy()
        for tail, one in zip(tails, a, strict=True)
    ]
    highest = []
    for n in (0, 1):
        weights = reference.weights(
            [vectors[0], vectors[n + 1], *vectors[3 : 3 + negatives]], positive=alike
        )
        assert maps.query is not None
        for found, at in ((maps.query[n], 0), (maps.retrieved[n], n + 1)):
            wanted = reference.attention(tails[at], a[at], weights)
            highest.append(wanted.max())
            assert found == pytest.approx(wanted, abs=min(1e-5, 1e-2 * highest[-1] + 1e-9))
    assert max(highest) > 1e-9  # else nothing would have been compared


def test_weights_by_hand() -> None:
    """Units (1, 0), (.6, .8) and (0, 1): 1 − |u₀ − u₁| = (.6, .2), times |u₀ − u₂| = (1, 1)."""
    three = [np.array([2.0, 0]), np.array([3.0, 4]), np.array([0, 5.0])]
    assert reference.weights(three, positive=True) == pytest.approx([0.6, 0.2])
    assert reference.weights(three[:2], positive=False) == pytest.approx([0.4, 0.8])


@pytest.mark.parametrize("name", SIDE)
def test_an_image_and_itself_agree_in_every_number(name: str) -> None:
    """Then w = 1 and the target is Σ|e|: both maps are one."""
    pixels = films(1, SIDE[name])
    maps = simatt(Compared(encoder(name)), pixels[0], pixels)
    tails, a = opened(name, pixels)
    ones = np.ones(encoder(name).spec.dim)
    assert maps.retrieved[0] == pytest.approx(reference.attention(tails[0], a[0], ones), abs=1e-5)
    assert maps.query == pytest.approx(maps.retrieved, abs=1e-6)


@pytest.mark.parametrize("name", SIDE)
def test_many_retrieved_images_are_as_each_alone(name: str) -> None:
    pixels = films(4, SIDE[name])
    network = Compared(encoder(name), batch_size=2)
    many = simatt(network, pixels[0], pixels[1:], alike=[True, False, True])
    for n, alike in enumerate([True, False, True]):
        one = simatt(network, pixels[0], pixels[n + 1 : n + 2], alike=alike)
        assert many.retrieved[n] == pytest.approx(one.retrieved[0], abs=1e-5)
        assert many.query is not None
        assert one.query is not None
        assert many.query[n] == pytest.approx(one.query[0], abs=1e-5)


def test_a_wrong_number_of_answers_is_refused() -> None:
    network, pixels = Compared(encoder("test_vit")), films(3, 32)
    with pytest.raises(UsageError, match="alike says it of 1 images, and 3 were retrieved"):
        simatt(network, pixels[0], pixels, alike=[True])
    with pytest.raises(UsageError, match=r"query has shape \(32, 32\) and the retrieved .*\(16, 1"):
        simatt(network, pixels[0], pixels, negatives=films(1, 16))
