"""Left-out cells and hidden channels: against the formulas, by hand, and by laws."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import reference_pairwise as reference
from hilum.encoders import Encoder, random_encoder
from hilum.encoders.device import choose_engine
from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels
from hilum.explain.feature_masks import _inside, _weighted, feature_occlusion
from hilum.explain.frames import Frame
from hilum.explain.similarity_scorecam import similarity_score_cam
from hilum.explain.tails import maps_at, units_of_changed

FLOAT = choose_engine("cpu", "fp32")
SIDE = {"test_resnet": 64, "test_vit": 32}


def encoder(name: str) -> Encoder:
    return random_encoder(name, seed=1, size=SIDE[name], engine=FLOAT)


def films(n: int, side: int, seed: int = 0) -> Pixels:
    """Return films with one bright corner each, which random networks tell apart."""
    rng = np.random.default_rng(seed)
    dark = rng.integers(0, 60, (n, side, side), dtype=np.uint8)
    for at, one in enumerate(dark):
        rows, columns = divmod(at % 4, 2)
        half = side // 2
        place = slice(rows * half, rows * half + half), slice(columns * half, columns * half + half)
        one[place] = rng.integers(0, 256, (half, half), dtype=np.uint8)
    return dark


def opened(name: str, pixels: Pixels) -> tuple[Any, list[reference.Tail], list[reference.Array]]:
    """Return a network in double precision, what follows its layer, and the layer's maps."""
    made = encoder(name)
    module: Any = made.module.double()
    images = Compared(made).prepare(pixels).double()
    if name == "test_vit":
        tails = [reference.ClassToken(module, one[None]) for one in images]
        return module, list(tails), [one.maps for one in tails]
    seen: list[torch.Tensor] = []
    hook = module.layer4.register_forward_hook(lambda *given: seen.append(given[2]))
    module(images)
    hook.remove()
    return module, [reference.gap] * len(images), [one.detach().numpy() for one in seen[0]]


@pytest.mark.parametrize("name", SIDE)
def test_left_out_cells_equal_the_formulas(name: str) -> None:
    pixels = films(3, SIDE[name])
    maps = feature_occlusion(Compared(encoder(name), batch_size=3), pixels[0], pixels[1:])
    module, tails, a = opened(name, pixels)
    images = Compared(encoder(name)).prepare(pixels).double()
    units = [reference.unit(one.detach().numpy()) for one in module(images)]
    for n in (1, 2):
        assert maps.query is not None
        wanted = reference.left_out(tails[0], a[0], units[n])
        assert maps.query[n - 1] == pytest.approx(wanted, abs=1e-5)
        other = reference.left_out(tails[n], a[n], units[0])
        assert maps.retrieved[n - 1] == pytest.approx(other, abs=1e-5)
        assert max(wanted.max(), other.max()) > 1e-4  # else 1e-5 would say nothing


@pytest.mark.parametrize("name", SIDE)
def test_score_cam_equals_the_formulas(name: str) -> None:
    pixels = films(2, SIDE[name])
    maps = similarity_score_cam(Compared(encoder(name)), pixels[0], pixels[1:])
    module, _, a = opened(name, pixels)
    images = Compared(encoder(name)).prepare(pixels).double()
    wanted = reference.score_cam(module, images[:1], images[1:], a[1])
    assert maps.retrieved[0] == pytest.approx(wanted, abs=1e-5 if name == "test_vit" else 1e-4)
    assert maps.query is None
    assert wanted.max() > 1e-2


def test_the_widest_channels_are_taken() -> None:
    pixels = films(2, 64)
    network = Compared(encoder("test_resnet"), "layer2")  # 8 × 8 cells
    whole = similarity_score_cam(network, *both(pixels), channels=10_000)
    assert whole.retrieved == pytest.approx(similarity_score_cam(network, *both(pixels)).retrieved)
    few = similarity_score_cam(network, *both(pixels), channels=4).retrieved[0].ravel()
    a = maps_at(network, network.prepare(pixels[1:]))[0]
    widest = (a.amax(dim=(1, 2)) - a.amin(dim=(1, 2))).argsort(descending=True)[:4]
    kept = a[widest].numpy().reshape(4, -1).T
    seen = few > 0
    weights, *_ = np.linalg.lstsq(kept[seen], few[seen], rcond=None)
    assert seen.sum() > 8
    assert kept[seen] @ weights == pytest.approx(few[seen], abs=1e-5)


def both(pixels: Pixels) -> tuple[Pixels, Pixels]:
    return pixels[0], pixels[1:]


@pytest.mark.parametrize("name", SIDE)
def test_unchanged_maps_give_the_image_itself(name: str) -> None:
    network = Compared(encoder(name))
    image = network.prepare(films(1, SIDE[name]))
    found = units_of_changed(network, image, maps_at(network, image).expand(3, -1, -1, -1))
    assert torch.allclose(found, network.embed_unit(image).expand(3, -1), atol=1e-6)


def test_a_layer_in_the_middle_of_a_network_is_changed_too() -> None:
    network = Compared(encoder("test_resnet"), "layer2", batch_size=2)
    image = network.prepare(films(1, 64))
    cells = maps_at(network, image)
    found = units_of_changed(network, image, torch.cat([cells, cells, 0 * cells]))
    own = network.embed_unit(image)
    assert torch.allclose(found[:2], own.expand(2, -1), atol=1e-6)
    assert not torch.allclose(found[2], own[0], atol=1e-3)


def test_tokens_keep_what_stands_before_them() -> None:
    frame = Frame("tokens", 2, 3, prefix=2, batch_axis=1)
    output = torch.arange(8 * 4.0).reshape(8, 1, 4)  # (tokens, images, channels)
    there = frame.from_map(frame.to_map(output), output)
    assert torch.equal(there, output)
    last = Frame("channels-last", 2, 3)
    assert torch.equal(
        last.from_map(last.to_map(torch.ones(1, 2, 3, 4)), output), torch.ones(1, 2, 3, 4)
    )


# --------------------------------------------------------------------------- a part of the query


def part_of_query(network: Compared, query: Pixels, mask: NDArray[np.bool_]) -> torch.Tensor:
    image = network.prepare(query[None])
    cells = maps_at(network, image)
    inside = _inside(network, query, mask).to(cells)
    return units_of_changed(network, image, _weighted(cells, inside[None]))


def test_a_part_is_the_mean_of_its_cells() -> None:
    """Of a network that averages 2 × 2 cells: the left half is the mean of the left two."""
    network = Compared(encoder("test_resnet"))
    pixels = films(1, 64)
    left = np.zeros((64, 64), bool)
    left[:, :32] = True
    cells = maps_at(network, network.prepare(pixels))[0]
    wanted = cells[:, :, 0].mean(dim=1)
    found = part_of_query(network, pixels[0], left)
    assert torch.allclose(found[0], wanted / wanted.norm(), atol=1e-6)
    half = left.copy()
    half[:, 16:] = False  # half of each cell: the weights are equal, so nothing changes
    assert torch.allclose(part_of_query(network, pixels[0], half), found, atol=1e-6)
    some = left.copy()
    some[48:] = False  # all of the upper cell, half of the lower: two to one
    wanted = cells[:, 0, 0] * 2 + cells[:, 1, 0]
    found = part_of_query(network, pixels[0], some)
    assert torch.allclose(found[0], wanted / wanted.norm(), atol=1e-6)
    whole = part_of_query(network, pixels[0], np.ones((64, 64), bool))
    assert torch.allclose(whole, network.embed_unit(network.prepare(pixels)), atol=1e-6)


def test_cells_outside_the_part_are_nothing_to_leave_out() -> None:
    network = Compared(encoder("test_resnet"))
    pixels = films(2, 64)
    corner = np.zeros((64, 64), bool)
    corner[:32, :32] = True
    maps = feature_occlusion(network, pixels[0], pixels[1:], mask=corner)
    assert maps.query is not None
    assert maps.query[0] == pytest.approx(0, abs=1e-6)  # its only cell cannot be left out


def test_what_is_refused() -> None:
    network, pixels = Compared(encoder("test_resnet")), films(2, 64)
    with pytest.raises(UsageError, match="at least one channel must be looked at; got 0"):
        similarity_score_cam(network, pixels[0], pixels, channels=0)
    for mask in (np.ones((32, 32), bool), np.zeros((64, 64), bool), np.ones((64, 64))):
        with pytest.raises(UsageError, match=r"each pixel of the query \(64 × 64\) whether it cou"):
            feature_occlusion(network, *both(pixels), mask=mask)  # type: ignore[arg-type]
