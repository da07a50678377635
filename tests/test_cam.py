"""Class activation maps: by hand, against slow versions, by laws, on every kind of network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import reference_cam
from hilum.encoders import PairEncoder, random_pair
from hilum.encoders.device import own_random_numbers
from hilum.encoders.text_tower import TextSpec
from hilum.errors import UsageError
from hilum.explain.cam import ALIKE_FOR_ALL, METHODS, for_it, grad_cam, hires_cam
from hilum.explain.capture import Capture, capture
from hilum.explain.diagnosis import diagnose, where_gradient_ends
from hilum.explain.frames import Frame, frame_of
from hilum.explain.layers import find_layer

SIDE = 32
Array = NDArray[Any]


def network(name: str, outputs: int = 3, size: int = SIDE, channels: int = 1) -> nn.Module:
    fixed: dict[str, Any] = (
        {"img_size": size} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    )
    with own_random_numbers(0):
        made: nn.Module = timm.create_model(
            name, num_classes=outputs, in_chans=channels, **fixed
        ).eval()
        for part in made.modules():  # heads that start at 0 have no gradient
            if isinstance(part, nn.Linear) and not part.weight.any():
                nn.init.normal_(part.weight, std=0.1)
    return made


def noise(n: int, size: int = SIDE, channels: int = 1, seed: int = 1) -> Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).normal(size=(n, channels, size, size)).astype(np.float32)
    )


def taken(module: nn.Module, images: Tensor, layer: str | None = None) -> Capture:
    found = find_layer(module, module, images.shape[1:], layer)
    return capture(module, module, images, found)


def arrays(module: nn.Module, images: Tensor, column: int = 0) -> tuple[Array, Array]:
    held = taken(module, images)
    return held.activations.numpy(), held.gradients(column).numpy()


# --------------------------------------------------------------------------- the methods


def test_every_method_by_hand() -> None:
    """Two channels of 1 × 2; ΣA is 4 and 2."""
    a = np.array([[[[1.0, 3.0]], [[2.0, 0.0]]]], np.float32)
    g = np.array([[[[0.5, -0.1]], [[-0.4, 0.2]]]], np.float32)
    assert METHODS["grad-cam"](a, g) == pytest.approx(np.array([[[0.2 - 0.2, 0.6]]]), abs=1e-6)
    assert METHODS["hires-cam"](a, g) == pytest.approx(np.array([[[0.5 - 0.8, -0.3]]]))
    assert METHODS["layer-cam"](a, g) == pytest.approx(np.array([[[0.5, 0.0]]]))
    first, second = 0.5 / (2 + 0.5 * 4), 0.2 / (2 + 0.2 * 2)
    assert METHODS["grad-cam++"](a, g) == pytest.approx(
        np.array([[[first + 2 * second, 3 * first]]])
    )
    # moments [[10, 2], [2, 4]]: eigenvalue 7 + √13, direction (2, √13 − 3)
    direction = np.array([2, 13**0.5 - 3]) / np.hypot(2, 13**0.5 - 3)
    assert METHODS["eigen-cam"](a, g) == pytest.approx(
        (direction @ np.array([[1, 3], [2, 0]])).reshape(1, 1, 2), rel=1e-5
    )


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=15)
@given(seed=st.integers(0, 999), below=st.booleans())
def test_every_method_is_the_slow_one(name: str, seed: int, below: bool) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(0.5, 1, (2, 3, 2, 4)).astype(np.float32)
    a = a if below else np.maximum(a, 0)
    g = rng.normal(size=a.shape).astype(np.float32)
    slow = [
        reference_cam.METHODS[name](*(x.astype(np.float64) for x in pair))
        for pair in zip(a, g, strict=True)
    ]
    close = 1e-3 if name == "eigen-cam" else 1e-5  # power iteration converges slowly
    assert METHODS[name](a, g) == pytest.approx(np.array(slow), abs=close, rel=close)


@pytest.mark.parametrize("name", METHODS)
@given(seed=st.integers(0, 999), scale=st.floats(0.1, 10))
def test_maps_follow_their_image_channels_and_positions(
    name: str, seed: int, scale: float
) -> None:  # fmt: skip
    """Order of images, of channels and of positions; and the size of activations or gradients."""
    rng = np.random.default_rng(seed)
    a = np.maximum(rng.normal(size=(3, 4, 2, 3)), 0).astype(np.float32)
    g = rng.normal(size=a.shape).astype(np.float32)
    method = METHODS[name]
    whole = method(a, g)
    close: dict[str, Any] = {"abs": 1e-4, "rel": 1e-4}
    order = rng.permutation(3)
    assert method(a[order], g[order]) == pytest.approx(whole[order], **close)
    order = rng.permutation(4)
    assert method(a[:, order], g[:, order]) == pytest.approx(whole, **close)
    assert method(a[..., ::-1].copy(), g[..., ::-1].copy()) == pytest.approx(
        whole[..., ::-1], **close
    )
    if name != "grad-cam++":  # its weights are no ratio of gradients
        by = 1 if name in ALIKE_FOR_ALL else scale
        assert method(a, np.float32(scale) * g) == pytest.approx(by * whole, **close)
        assert method(np.float32(scale) * a, g) == pytest.approx(scale * whole, **close)


def test_eigen_cam_of_a_rectified_layer_is_nowhere_below_zero() -> None:
    rng = np.random.default_rng(0)
    a = np.maximum(rng.normal(size=(20, 6, 4, 4)), 0).astype(np.float32)
    assert METHODS["eigen-cam"](a, a).min() >= -1e-5


@pytest.mark.parametrize("name", ["test_resnet", "densenet121", "mobilenetv2_050"])
def test_after_a_mean_and_a_linear_layer_hires_cam_sums_to_the_logit_less_its_bias(
    name: str,
) -> None:
    module, images = network(name, size=64), noise(2, 64)
    head = next(m for m in reversed(list(module.modules())) if isinstance(m, nn.Linear))
    with torch.no_grad():
        head.bias.copy_(torch.tensor([0.7, -1.3, 2.0]))
    held = taken(module, images)
    for column in range(3):
        a, g = held.activations.numpy(), held.gradients(column).numpy()
        said = held.outputs[:, column].detach().numpy() - head.bias[column].item()
        assert hires_cam(a, g).sum(axis=(1, 2)) == pytest.approx(said, rel=1e-4, abs=1e-5)
        assert hires_cam(a, g) == pytest.approx(grad_cam(a, g), rel=1e-3, abs=1e-6)


def test_gradients_are_those_of_small_steps() -> None:
    """The slope of the logit by the layer, against central differences through the head."""
    module, images = network("test_resnet").double(), noise(1, 64).double()
    held = taken(module, images)
    head = nn.Sequential(module.get_submodule("global_pool"), module.get_submodule("fc"))

    def score(activations: Array) -> float:
        with torch.no_grad():
            return float(head(torch.from_numpy(activations)[None])[0, 2])

    slow = reference_cam.slope(score, held.activations[0].numpy())
    assert held.gradients(2)[0].numpy() == pytest.approx(slow, abs=1e-6)


# --------------------------------------------------------------------------- every kind of network

KINDS = {  # timm's name -> the layer found, and its grid at 64 px
    "resnet10t": ("layer4", (2, 2)),
    "densenet121": ("features", (2, 2)),
    "convnext_atto": ("stages", (2, 2)),
    "efficientnet_b0": ("bn2", (2, 2)),
    "mobilenetv3_small_050": ("blocks", (2, 2)),
    "xception41": ("blocks", (2, 2)),
    "vit_tiny_patch16_224": ("blocks.11.norm1", (4, 4)),
    "deit_tiny_distilled_patch16_224": ("blocks.11.norm1", (4, 4)),
    "vit_tiny_r_s16_p8_224": ("blocks.11.norm1", (2, 2)),
    "xcit_nano_12_p16_224": ("cls_attn_blocks.1.norm1", (4, 4)),
    "levit_128s": ("stages", (4, 4)),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_layer_is_found_in_every_kind_of_network(name: str) -> None:
    size = 224 if name == "levit_128s" else 64
    channels = 3 if name == "levit_128s" else 1
    module = network(name, size=size, channels=channels)
    layer = find_layer(module, module, (channels, size, size))
    assert (layer.name, (layer.frame.height, layer.frame.width)) == KINDS[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "layer", "grid"),
    [
        ("inception_v3", 128, "Mixed_7c", (2, 2)),
        ("legacy_xception", 96, "act4", (3, 3)),
        ("swin_tiny_patch4_window7_224", 64, "norm", (2, 2)),
        ("maxvit_rmlp_pico_rw_256", 64, "norm", (2, 2)),
        ("vit_small_patch14_reg4_dinov2", 70, "blocks.11.norm1", (5, 5)),
    ],
)
def test_the_layer_is_found_in_large_networks(
    name: str, size: int, layer: str, grid: tuple[int, int]
) -> None:
    module = network(name, size=size)
    found = find_layer(module, module, (1, size, size))
    assert (found.name, (found.frame.height, found.frame.width)) == (layer, grid)


SMALL = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet", "swin")


def small(name: str) -> nn.Module:
    if name != "swin":
        return network(name)
    with own_random_numbers(0):
        return timm.models.SwinTransformer(
            img_size=SIDE, patch_size=4, in_chans=1, num_classes=3, embed_dim=12,
            depths=(1, 1), num_heads=(2, 2), window_size=4,
        ).eval()  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SMALL)
def test_every_method_on_every_kind_of_network(name: str, method: str) -> None:
    """One map per image, not blank; alone or in a batch; frozen weights or not; no trace left."""
    module, images = small(name), noise(4)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    a, g = arrays(module, images, 1)
    maps = METHODS[method](a, g)
    assert maps.shape == (4, *a.shape[2:])
    others = [METHODS[method](*arrays(module, images, column)) for column in (0, 2)]
    assert for_it(np.stack([maps, *others])).any(axis=(2, 3)).sum() >= 4
    alone = np.concatenate([METHODS[method](*arrays(module, one[None], 1)) for one in images])
    assert alone == pytest.approx(maps, rel=1e-3, abs=1e-5)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    assert METHODS[method](*arrays(module, images, 1)) == pytest.approx(maps, abs=1e-7)
    assert all(not m._forward_hooks for m in module.modules())
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", SMALL)
def test_the_outputs_are_those_of_the_network(name: str) -> None:
    module, images = small(name), noise(3)
    with torch.no_grad():
        assert torch.allclose(taken(module, images).outputs, module(images), atol=1e-5)


@pytest.mark.parametrize(
    "pair",
    [
        lambda: random_pair("test_resnet", size=SIDE, dim=8, context=8, text=TextSpec(16, 1, 2)),
        lambda: random_pair("test_vit", size=SIDE, dim=8, context=8, text=TextSpec(16, 1, 2)),
    ],
    ids=["resnet", "vit"],
)
def test_the_image_tower_of_a_pair_is_a_network_too(pair: Callable[[], PairEncoder]) -> None:
    made = pair()
    module = made.module.cpu()
    layer = find_layer(module, module.image_features, (1, SIDE, SIDE))
    held = capture(module, module.image_features, noise(2), layer)
    assert held.outputs.shape == (2, 8)
    assert held.gradients(3).shape[:1] == held.activations.shape[:1] == (2,)
    assert held.gradients(3).any()


def test_a_layer_that_writes_in_place_is_not_overwritten() -> None:
    """The next ReLU works in place: what is kept is the layer's own output, not what became."""
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()  # fmt: skip
    images = noise(2)
    held = taken(module, images, "0")
    with torch.no_grad():
        assert torch.allclose(held.activations, module[0](images))
    assert (held.activations < 0).any()
    assert torch.allclose(held.outputs, module(images))


# --------------------------------------------------------------------------- frames


def output(*shape: int) -> Tensor:
    return torch.zeros(shape)


@pytest.mark.parametrize(
    ("shape", "image", "prefix", "expected"),
    [
        ((1, 512, 7, 7), (224, 224), -1, Frame("channels-first", 7, 7)),
        ((1, 7, 7, 768), (224, 224), -1, Frame("channels-last", 7, 7)),
        ((1, 64, 64, 64), (64, 64), -1, Frame("channels-first", 64, 64)),
        ((1, 8, 4, 6), (64, 96), -1, Frame("channels-first", 4, 6)),
        ((1, 196, 384), (224, 224), -1, Frame("tokens", 14, 14)),
        ((1, 197, 384), (224, 224), 1, Frame("tokens", 14, 14, 1)),
        ((1, 198, 384), (224, 224), -1, Frame("tokens", 14, 14, 2)),
        ((1, 201, 384), (224, 224), -1, Frame("tokens", 14, 14, 5)),
        ((50, 1, 768), (224, 224), -1, Frame("tokens", 7, 7, 1, 1)),
        ((1, 25, 96), (64, 96), -1, Frame("tokens", 4, 6, 1)),
        ((1, 512, 1, 1), (224, 224), -1, None),
        ((1, 12, 197, 64), (224, 224), -1, None),
        ((1, 384, 196), (224, 224), -1, None),
        ((16, 49, 96), (224, 224), -1, None),
        ((1, 1, 768), (224, 224), -1, None),
        ((1, 3), (224, 224), -1, None),
    ],
)
def test_a_frame_is_found_from_the_shape(
    shape: tuple[int, ...], image: tuple[int, int], prefix: int, expected: Frame | None
) -> None:
    assert frame_of(output(*shape), image, nn.Conv2d(1, 1, 1), prefix) == expected


def test_a_layer_norm_has_its_channels_last() -> None:
    found = frame_of(output(1, 7, 7, 7), (28, 28), nn.LayerNorm(7), -1)
    assert found == Frame("channels-last", 7, 7)


def test_tokens_become_rows_of_the_image() -> None:
    tokens = torch.arange(2 * 7 * 3).reshape(2, 7, 3)  # one before a grid of 2 × 3
    found = Frame("tokens", 2, 3, 1).to_map(tokens)
    assert found.shape == (2, 3, 2, 3)
    assert found[1, 2, 1, 0] == tokens[1, 1 + 3, 2]
    swapped = Frame("tokens", 2, 3, 1, 1).to_map(tokens.transpose(0, 1))
    assert torch.equal(swapped, found)
    assert torch.equal(Frame("tokens", 2, 3, 1).beside_map(tokens), tokens[:, :1])


# --------------------------------------------------------------------------- blank maps


class Study(nn.Module):
    """A convolution, a mean, and a head whose units can be dead, as the NIH study's were."""

    def __init__(self, shift: float = 0.0, sign: float = 1.0) -> None:
        super().__init__()
        with own_random_numbers(3):
            self.conv = nn.Conv2d(1, 6, 3, stride=4)
            self.act = nn.ReLU()
            self.hidden = nn.Linear(6, 5)
            self.unit = nn.ReLU()
            self.out = nn.Linear(5, 2)
        with torch.no_grad():
            self.hidden.weight.abs_()
            self.hidden.bias.fill_(shift)
            self.out.weight.abs_().mul_(sign)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.act(self.conv(images)).mean((2, 3))
        found: Tensor = self.out(self.unit(self.hidden(pooled)))
        return found


def diagnosed(module: nn.Module, layer: str | None = None) -> tuple[str, str]:
    module.eval()
    images = noise(2)
    held = taken(module, images, layer)
    a, slopes = held.activations.numpy(), held.slopes(held.total(0))
    g = held.layer.frame.to_map(slopes).numpy()
    beside = held.layer.frame.beside_map(slopes).numpy()
    found = diagnose(grad_cam(a, g), a, g, beside)
    ends = where_gradient_ends(module, module, images, held.layer, 0)
    assert found[0].kind == found[1].kind
    return found[0].words(), ends[0]


def test_a_map_that_is_one_is_called_one() -> None:
    assert diagnosed(Study(1.0)) == ("a map", "")


def test_dead_units_are_named() -> None:
    words, ends = diagnosed(Study(-100.0))
    assert words.startswith("no gradient reaches the layer")
    assert ends == "it ends at unit (ReLU), where 5 of its 5 outputs are 0"


def test_a_map_that_is_below_zero_everywhere_speaks_against_the_finding() -> None:
    words, ends = diagnosed(Study(1.0, -1.0))
    assert words.startswith("nothing in the image speaks for the finding: the sum is not above 0")
    assert "(from -" in words
    assert ends == ""


def test_a_branch_of_weight_zero_is_named() -> None:
    module = Study(1.0)
    nn.init.zeros_(module.hidden.weight)
    words, ends = diagnosed(module)
    assert words.startswith("no gradient reaches")
    assert ends == "it ends at hidden (Linear), where its weights are 0"


def test_a_layer_after_the_last_attention_has_its_gradient_beside_the_map() -> None:
    words, _ = diagnosed(network("test_vit"), "norm")
    assert words.startswith("the gradient reaches only tokens that have no place: take an")


def test_silent_flat_and_broken_layers_are_told_apart() -> None:
    ones, none = np.ones((1, 2, 2, 2), np.float32), np.empty((1, 0, 0), np.float32)
    for a, g, kind in (
        (0 * ones, ones, "no-activation"),
        (ones, ones, "flat"),
        (ones, np.nan * ones, "not-finite"),
        (ones, 0 * ones, "no-gradient"),
    ):
        (found,) = diagnose(grad_cam(a, g), a, g, none)
        assert (found.kind, found.blank) == (kind, True)
        assert found.to_json()["words"] == found.words()
    assert found.dead == 0
    (broken,) = diagnose(np.nan * ones[:, 0], ones, ones, none)
    assert broken.to_json()["highest"] is None


def test_an_output_that_ignores_the_image_has_no_gradient() -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.constant = nn.Parameter(torch.ones(2))

        def forward(self, images: Tensor) -> Tensor:
            self.conv(images)
            return self.constant.expand(len(images), 2)

    words, ends = diagnosed(Deaf().eval())
    assert words.startswith("no gradient reaches the layer")
    assert ends == "the output depends on nothing of it"


# --------------------------------------------------------------------------- bad inputs


def test_a_layer_that_does_not_exist_is_refused_with_similar_names() -> None:
    module = network("test_resnet")
    with pytest.raises(UsageError, match=r"has no layer 'layer5'; similar: layer\d"):
        find_layer(module, module, (1, SIDE, SIDE), "layer5")
    with pytest.raises(UsageError, match=r"has no layer 'zzz'; it has: conv1, "):
        find_layer(module, module, (1, SIDE, SIDE), "zzz")


def test_a_layer_without_a_map_is_refused() -> None:
    module = network("test_resnet")
    with pytest.raises(
        UsageError, match=r"'fc' gives \(1, 3\) for one image, which is no map .* layer4"
    ):
        find_layer(module, module, (1, 64, 64), "fc")


def test_networks_that_cannot_be_explained_are_refused() -> None:
    module = network("test_resnet")
    with pytest.raises(UsageError, match=r"in training mode, .* call its eval\(\) first"):
        find_layer(module.train(), module, (1, SIDE, SIDE))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 2)).eval()
    with pytest.raises(UsageError, match="no layer of this network has a map of the image"):
        find_layer(flat, flat, (1, SIDE, SIDE))
    conv = nn.Sequential(nn.Conv2d(1, 2, 3)).eval()
    with pytest.raises(UsageError, match=r"one row of numbers each, \(n, k\); .* \(1, 2, 30, 30\)"):
        find_layer(conv, conv, (1, SIDE, SIDE))


def test_a_layer_that_mixes_images_is_refused() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1)
            self.head = nn.Linear(2, 2)

        def forward(self, images: Tensor) -> Tensor:
            joined = images.sum(0, keepdim=True)
            out: Tensor = self.head(self.conv(joined).mean((2, 3))).expand(len(images), 2)
            return out

    module = Windows().eval()
    layer = find_layer(module, module, (1, SIDE, SIDE))
    with pytest.raises(UsageError, match=r"'conv' gives \(1, 2, 32, 32\) for 2 images"):
        capture(module, module, noise(2), layer)
