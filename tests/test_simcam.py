"""SimCAM: by hand, against the formulas on a CNN and a transformer, and by laws."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

import reference_pairwise as reference
from hilum.encoders import Encoder, random_encoder
from hilum.encoders.device import choose_engine
from hilum.encoders.image import EncoderSpec, Projected
from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels
from hilum.explain.shares import shares_of
from hilum.explain.simcam import simcam

SIDE = 64
FLOAT = choose_engine("cpu", "fp32")


def encoder(name: str, size: int = SIDE) -> Encoder:
    return random_encoder(name, seed=1, size=size, engine=FLOAT)


def projected(name: str = "test_resnet", dim: int = 8) -> Encoder:
    bare = encoder(name)
    module = Projected(bare.module, bare.spec.dim, dim, seed=2)
    with torch.no_grad():
        module.projection.bias.copy_(torch.linspace(-0.5, 0.5, dim))
    spec = EncoderSpec(name, SIDE, 1, (0.5,), (0.25,), dim, projection=dim)
    return Encoder(spec, module, FLOAT)


def projection_of(network: Compared) -> nn.Linear:
    assert isinstance(network.module, Projected)
    return network.module.projection


def films(n: int, side: int = SIDE, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def layer_maps(network: Compared, pixels: Pixels) -> list[NDArray[np.float64]]:
    """Return the output of the last stage of a ResNet, image by image."""
    seen: list[torch.Tensor] = []
    module: Any = network.without_projection().module
    hook = module.layer4.register_forward_hook(lambda *given: seen.append(given[2]))
    with torch.no_grad():
        network.module(network.prepare(pixels))
    hook.remove()
    return [one.double().numpy() for one in seen[0]]


# --------------------------------------------------------------------------- by hand


class Two(nn.Module):
    """Passes an image of 8 × 16 cells on in two cells, with its negative as a second channel."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(8)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = self.cells(images) * self.scale  # (n, 1, 2, 2)
        return torch.cat([means, 1 - means], dim=1).mean(dim=(2, 3))


def test_products_of_positions_by_hand() -> None:
    """Cells a = (m, 1 − m): pairs of (1, 0) and (0, 1) are 1 with their like and 0 with others."""
    spec = EncoderSpec("two", 16, 1, (0.0,), (1.0,), 2)
    network = Compared(Encoder(spec, Two(), FLOAT), "cells")
    white, left = np.full((16, 16), 255, np.uint8), np.zeros((16, 16), np.uint8)
    left[:, :8] = 255
    maps = simcam(network, white, left[None], rest="exact")
    # the layer is the mean alone: its share of (m, 1 − m) is (m, −m), and the rest is (0, 1)
    # query vector (1, 0), other (½, ½): the cosine is √½, all of it from the two white cells
    assert maps.query is not None
    assert maps.query[0] == pytest.approx(np.full((2, 2), 0.5**0.5 / 4), abs=1e-6)
    assert maps.retrieved[0] == pytest.approx(np.array([[1, 0], [1, 0]]) * 0.5**0.5 / 2, abs=1e-6)


# --------------------------------------------------------------------------- against the formulas


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("project", [True, False])
def test_a_cnn_equals_the_formulas(*, project: bool, exact: bool) -> None:
    network = Compared(projected())
    pixels = films(4)
    maps = simcam(
        network, pixels[0], pixels[1:], rest="exact" if exact else "x-mir", projection=project,
        normalised=True,
    )  # fmt: skip
    a = layer_maps(network, pixels)
    layer = projection_of(network)
    w, b = (one.detach().double().numpy() for one in (layer.weight, layer.bias))
    for n in range(3):
        products, query, retrieved = reference.simcam_of_pooled(
            a[0], a[n + 1], *((w, b) if project else (None, None)), exact=exact
        )
        assert maps.query is not None
        assert maps.query[n] == pytest.approx(query / products.max(), abs=1e-5)
        assert maps.retrieved[n] == pytest.approx(retrieved / products.max(), abs=1e-5)


def test_a_transformer_equals_the_formulas() -> None:
    network = Compared(encoder("test_vit", 32))
    pixels = films(3, 32)
    maps = simcam(network, pixels[0], pixels[1:], rest="none")
    assert network.layer.name == "blocks.5.norm1"
    double = encoder("test_vit", 32).module.double()
    images = network.prepare(pixels).double()
    tails = [reference.ClassToken(double, one[None]) for one in images]
    shares = [reference.shares_by_steps(one.held, one.maps) for one in tails]
    units = functional.normalize(double(images), dim=1).detach().numpy()
    lengths = double(images).norm(dim=1).detach().numpy()
    assert tails[0](torch.from_numpy(tails[0].maps)[None])[0].detach().numpy() == pytest.approx(
        units[0] * lengths[0], abs=1e-9
    )
    for n in (1, 2):
        query, retrieved = reference.simcam_of_shares(shares[0], shares[n])
        scale = lengths[0] * lengths[n]
        assert maps.query is not None
        assert maps.query[n - 1] == pytest.approx(query / scale, abs=1e-5)
        assert maps.retrieved[n - 1] == pytest.approx(retrieved / scale, abs=1e-5)
        assert retrieved.max() / scale > 1e-3  # else 1e-5 would say nothing


# --------------------------------------------------------------------------- laws

KINDS = [
    "test_resnet", "test_vit", "test_convnext", "vit_small_patch16_dinov3", "test_efficientnet",
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_shares_and_rest_are_the_vector(name: str) -> None:
    network = Compared(encoder(name), batch_size=2)
    images = network.prepare(films(3))
    found = shares_of(network, images)
    with torch.no_grad():
        own = network.vectors(images)
    assert torch.allclose(found.vectors, own, atol=1e-5)
    assert torch.allclose(found.at_positions.sum(dim=(2, 3)) + found.rest, own, atol=1e-5)
    share = float(found.at_positions.sum(dim=(2, 3)).norm() / own.norm())
    assert share > 0.999 if name != "test_vit" else share > 0.05


def test_without_values_below_zero_a_map_sums_to_the_cosine() -> None:
    network = Compared(encoder("test_resnet"))
    pixels = films(3)
    units = network.embed_unit(network.prepare(pixels))
    maps = simcam(network, pixels[0], pixels[1:], rest="exact")
    assert maps.query is not None
    for found in (maps.retrieved, maps.query):
        assert found.sum(axis=(1, 2)) == pytest.approx((units[1:] @ units[0]).numpy(), abs=1e-5)


def test_many_retrieved_images_are_as_each_alone() -> None:
    pixels = films(4)
    many = simcam(Compared(projected(), batch_size=2), pixels[0], pixels[1:], normalised=True)
    for n in range(3):
        one = simcam(Compared(projected()), pixels[0], pixels[n + 1 : n + 2], normalised=True)
        assert many.retrieved[n] == pytest.approx(one.retrieved[0], abs=1e-5)


def test_the_maps_of_all_points_of_a_cell_average_to_the_whole() -> None:
    network = Compared(encoder("test_resnet"))
    pixels = films(2)
    whole = simcam(network, pixels[0], pixels[1:], rest="exact")
    centres = [SIDE / 4 - 0.5, 3 * SIDE / 4 - 0.5]  # of the 2 × 2 cells
    parts = [
        simcam(network, pixels[0], pixels[1:], rest="exact", point=(y, x)).retrieved
        for y in centres
        for x in centres
    ]
    assert sum(parts) == pytest.approx(whole.retrieved, abs=1e-6)


def test_a_point_beyond_the_outer_centres_is_the_outer_cell() -> None:
    network, pixels = Compared(encoder("test_resnet")), films(2)
    corner = simcam(network, pixels[0], pixels[1:], point=(0, 0))
    centre = simcam(network, pixels[0], pixels[1:], point=(SIDE / 4 - 0.5, SIDE / 4 - 0.5))
    middle = simcam(network, pixels[0], pixels[1:], point=(SIDE / 2 - 0.5, SIDE / 2 - 0.5))
    whole = simcam(network, pixels[0], pixels[1:])
    assert corner.retrieved == pytest.approx(centre.retrieved, abs=1e-6)
    assert middle.retrieved == pytest.approx(whole.retrieved / 4, abs=1e-6)


def test_no_product_above_zero_is_a_map_of_zeros() -> None:
    network = Compared(projected())
    with torch.no_grad():
        projection_of(network).weight.zero_()
        projection_of(network).bias.zero_()
    maps = simcam(network, films(1)[0], films(2), normalised=True)
    assert not maps.retrieved.any()


# --------------------------------------------------------------------------- what is refused


def test_wrong_settings_are_refused() -> None:
    network, pixels = Compared(encoder("test_resnet")), films(2)
    with pytest.raises(UsageError, match="'half' is no way to share; choose from x-mir, exact"):
        simcam(network, pixels[0], pixels, rest="half")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"point \(64, 0\) lies outside the network's square of 6"):
        simcam(network, pixels[0], pixels, point=(64, 0))
    with pytest.raises(UsageError, match="no layer 'layer9'; similar: layer"):
        simcam(Compared(network.encoder, "layer9"), pixels[0], pixels)
    with pytest.raises(UsageError, match=r"query has shape \(48, 48\) and the retrieved .*\(64, 6"):
        simcam(network, films(1, 48)[0], pixels)
    with pytest.raises(UsageError, match="no retrieved image"):
        simcam(network, pixels[0], pixels[:0])
