"""Computing only what a window touches gives what the whole network gives."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hilum.encoders import random_encoder
from hilum.encoders.device import choose_engine, own_random_numbers
from hilum.explain.compared import Compared
from hilum.explain.incremental import Incremental, around
from hilum.explain.masked import Masking, masked_vectors
from hilum.explain.touched import Reach, Span, field, of_boxes, through, union
from hilum.explain.windows import make_windows

SIDE = 96


class Everything(nn.Module):
    """Strides, paddings, dilations, groups; layers side by side, added, multiplied, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 7, stride=2, padding=3)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.even = nn.Conv2d(8, 8, (2, 4), padding=(1, 2))
        self.oblong = nn.Conv2d(8, 8, (3, 1), padding=(1, 0))
        self.thin = nn.Conv2d(16, 8, 1, stride=2)
        self.mean = nn.AvgPool2d(2)
        self.last = nn.Conv2d(8, 6, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        first = self.pool(self.act(self.norm(self.stem(images))))
        joined = torch.cat([first + self.wide(first), self.oblong(first) * first], dim=1)
        ways = self.thin(joined) + self.mean(self.even(first)[:, :, 1:, 1:])
        found: Tensor = self.last(torch.relu(ways) + 1).flatten(2).mean(2)
        return found


def stirred(module: nn.Module) -> nn.Module:
    """Give every layer a say: weights and statistics as after training."""
    with own_random_numbers(5):
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, 0, 0.3)
                nn.init.normal_(layer.running_mean, 0, 0.2)  # type: ignore[arg-type]
                nn.init.uniform_(layer.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return module.eval()


def all_hidden(module: nn.Module, image: Tensor, boxes: np.ndarray, fill: Tensor) -> Tensor:
    images = image.repeat(len(boxes), 1, 1, 1)
    for one, (top, bottom, left, right) in zip(images, boxes, strict=True):
        one[:, top:bottom, left:right] = fill
    return torch.as_tensor(module(images))


def random_image(channels: int, side: int = SIDE) -> Tensor:
    with own_random_numbers(2):
        return torch.randn(1, channels, side, side)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("convention", ["x-mir", "xaitk"])
def test_every_kind_of_layer_gives_what_it_gives_in_full(
    convention: str, layout: torch.memory_format
) -> None:
    with own_random_numbers(1):
        module = stirred(Everything())
    image = random_image(2).contiguous(memory_format=layout)
    boxes = make_windows(SIDE, SIDE, window=11, stride=7, convention=convention).boxes
    fill = torch.tensor([0.5, -1.0]).view(2, 1, 1)
    with torch.no_grad():
        found = Incremental(module, image, boxes)
        assert found.saved() > 0.3
        slow = all_hidden(module, image, boxes, fill)
        assert (slow - module(image)).abs().max() > 1e-3
        torch.testing.assert_close(found(np.arange(len(boxes)), fill), slow, atol=2e-6, rtol=1e-6)
        for some in (np.array([5, 0, len(boxes) - 1]), np.array([3]), np.array([4])):
            torch.testing.assert_close(found(some, fill), slow[some], atol=2e-6, rtol=1e-6)
        torch.testing.assert_close(found.whole, module(image))


@pytest.mark.parametrize("architecture", ["resnet18", "densenet121", "mobilenetv3_small_050"])
def test_networks_in_use_give_what_they_give_in_full(architecture: str) -> None:
    encoder = random_encoder(architecture, 1, size=SIDE, engine=choose_engine("cpu", "fp32"))
    module, image = stirred(encoder.module), random_image(1)
    boxes = make_windows(SIDE, SIDE, window=12, stride=12).boxes[::7]
    with torch.no_grad():
        found = around(module, image, boxes)
        assert found is not None
        slow = all_hidden(module, image, boxes, torch.zeros(1, 1, 1))
        scale = float((slow - module(image)).abs().max())
        ours = found(np.arange(len(boxes)), torch.zeros(1, 1, 1))
        torch.testing.assert_close(ours, slow, atol=1e-3 * scale, rtol=1e-4)


class Overwritten(nn.Module):
    """A layer's output is read, and then written over in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.pool = nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.first(images)
        near: Tensor = self.pool(found)
        return torch.relu_(found) - 2 * near


class Stacked(nn.Module):
    """Two maps one above the other: what a window touches is then in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        both = torch.cat([self.first(images), self.second(images)], dim=2)
        found: Tensor = self.after(both)
        return found


def after_a_convolution(layer: nn.Module) -> nn.Module:
    """Return a layer that sees values below 0, up to the edges."""
    first = nn.Conv2d(1, 4, 3, padding=1)
    nn.init.constant_(first.bias, -4.0)  # type: ignore[arg-type]
    return nn.Sequential(first, layer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: after_a_convolution(nn.MaxPool2d(3, 2, 1)),
        lambda: after_a_convolution(nn.MaxPool2d(3, 2, ceil_mode=True)),
        lambda: after_a_convolution(nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
        lambda: after_a_convolution(nn.AvgPool2d(3, 2, ceil_mode=True)),
        lambda: after_a_convolution(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
        lambda: after_a_convolution(nn.Conv2d(4, 4, 3, padding="same")),
        Overwritten,
        Stacked,
    ],
    ids=["below-0", "ceil-max", "padded-mean", "ceil-mean", "mirror", "same", "in-place", "stack"],
)
def test_layers_with_ways_of_their_own_give_what_they_give_in_full(
    make: Callable[[], nn.Module],
) -> None:
    """Without the comparison of one window in the middle, by which `around` believes a network."""
    with own_random_numbers(1):
        module = nn.Sequential(make(), nn.Flatten()).eval()
    image, boxes = random_image(1, 32), make_windows(32, 32, window=6, stride=5).boxes
    fill = torch.full((1, 1, 1), 0.5)
    with torch.no_grad():
        ours = Incremental(module, image, boxes)(np.arange(len(boxes)), fill)
        slow = all_hidden(module, image, boxes, fill)
    torch.testing.assert_close(ours, slow, atol=2e-6, rtol=1e-6)


def test_what_is_saved_is_a_share_of_multiplications() -> None:
    """Of 16 × 16 a window of 4 touches 6 × 6 in the first layer and 8 × 8 in the second."""
    module = flat(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)))
    boxes = make_windows(16, 16, window=4, stride=4).boxes
    with torch.no_grad():
        found = Incremental(module, random_image(1, 16), boxes).saved()
    first, second = 4 * 1 * 9, 8 * 4 * 9  # a position
    wanted = first * (1 - 36 / 256) + second * (1 - 64 / 256)
    assert found == pytest.approx(wanted / (first + second))


class Turns(nn.Module):
    """Takes a way that depends on what it sees."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) if images.mean() > 0 else images.amax((2, 3))


class Notes(nn.Conv2d):
    """Looks like a convolution and looks at the whole image."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        return super().forward(input) + input.mean((1, 2, 3), keepdim=True)


def flat(first: nn.Module) -> nn.Module:
    return nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def test_what_saves_nothing_is_computed_in_full() -> None:
    image, boxes = random_image(1, 32), make_windows(32, 32, window=8, stride=8).boxes
    with torch.no_grad():
        assert around(Turns(), image, boxes) is None
        vit = random_encoder("test_vit", size=32, engine=choose_engine("cpu", "fp32"))
        assert around(vit.module, image, boxes) is None
        assert around(flat(nn.Conv2d(1, 4, 3)), image, boxes) is not None


def test_a_layer_that_is_not_what_it_is_called_is_not_believed() -> None:
    class Sly(nn.ReLU):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
            return input - input.mean((2, 3), keepdim=True)

    image, boxes = random_image(1, 32), make_windows(32, 32, window=8, stride=8).boxes
    sly = flat(nn.Sequential(nn.Conv2d(1, 4, 3), Sly(), nn.Conv2d(4, 4, 3), nn.ReLU()))
    with torch.no_grad():
        assert around(sly, image, boxes) is None
        noted = flat(nn.Sequential(Notes(1, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU()))
        assert around(noted, image, boxes) is None


def test_a_map_does_not_depend_on_how_it_is_computed() -> None:
    encoder = random_encoder("test_resnet", 3, size=64, engine=choose_engine("cpu", "fp32"))
    network = Compared(encoder, batch_size=9)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    masking = Masking(window=8, stride=6)
    ours = masked_vectors(network, pixels, masking)
    plain = masked_vectors(network, pixels, Masking(window=8, stride=6, incremental=False))
    assert ours.fingerprint != plain.fingerprint
    np.testing.assert_allclose(ours.vectors, plain.vectors, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    kernel=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 3),
    padding=st.integers(0, 3), side=st.integers(14, 24), length=st.integers(1, 6),
    start=st.integers(0, 23),
)  # fmt: skip
def test_intervals_hold_all_that_changes_and_all_that_is_read(
    kernel: int, stride: int, dilation: int, padding: int, side: int, length: int, start: int
) -> None:
    padding = min(padding, kernel // 2)
    reach = Reach(kernel, stride, padding, dilation)
    n_out = (side + 2 * padding - reach.width) // stride + 1
    firsts = np.array([min(start, side - length), 0, side - length])
    span = of_boxes(firsts, firsts + length, side)
    out = through(span, reach, n_out)
    read = field(span, out, reach)
    for row, first in enumerate(firsts):
        begins = (o * stride - padding for o in range(n_out))
        reads = {o: [at + t * dilation for t in range(kernel)] for o, at in enumerate(begins)}
        changed = {o for o, at in reads.items() if any(first <= i < first + length for i in at)}
        part = range(out.starts[row], out.starts[row] + out.length)
        assert changed <= set(part)
        assert set(part) <= set(range(n_out))
        begin = read.read.starts[row] + read.skip
        assert all(begin <= i < begin + read.length for o in part for i in reads[o])
        assert read.read.starts[row] + read.change[row] == span.starts[row]
        assert 0 <= read.change[row] <= read.read.length - span.length


def test_a_union_holds_its_spans() -> None:
    near, far = Span(np.array([0, 7]), 3), Span(np.array([2, 6]), 2)
    both = union([near, far], 10)
    assert both.length == 4
    np.testing.assert_array_equal(both.starts, [0, 6])
