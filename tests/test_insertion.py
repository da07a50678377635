"""Insertion and deletion: golden values, by hand, against a slow version, and their ends."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders import Encoder, random_encoder
from hilum.encoders.device import choose_engine
from hilum.encoders.image import EncoderSpec
from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels
from hilum.explain.insertion import Steps, area, blurred, frames, insert_and_delete, kernel, order

FLOAT = choose_engine("cpu", "fp32")


def films(n: int, side: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def noise(n: int, side: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((n, side, side), dtype=np.float32)


def encoder(name: str, side: int) -> Encoder:
    return random_encoder(name, seed=1, size=side, engine=FLOAT)


# --------------------------------------------------------------------------- golden values


def test_the_area_of_the_published_example() -> None:
    assert area(np.array([1, 0.5, 0.25, 0])) == pytest.approx(0.4166667, abs=1e-7)
    assert area(np.array([[1.0, 1.0], [0.0, 1.0]])) == pytest.approx([1, 0.5])


def test_the_kernel_of_the_published_blur() -> None:
    line = kernel(50**0.5)
    assert line.shape == (51,)
    square = np.outer(line, line)
    point = np.zeros((51, 51))
    point[25, 25] = 1
    assert square == pytest.approx(gaussian_filter(point, 50**0.5), abs=1e-15)
    assert square.sum() == pytest.approx(1)
    assert square[25, 25] == pytest.approx(0.00318345, abs=5e-9)


def test_the_blur_is_a_convolution_with_zeros_beyond_the_borders() -> None:
    image = torch.from_numpy(noise(2, 60))
    line = torch.from_numpy(kernel(50**0.5)).float()
    square = torch.outer(line, line)[None, None]
    wanted = functional.conv2d(image[:, None], square, padding=25)[:, 0]
    assert torch.allclose(blurred(image, 50**0.5), wanted, atol=1e-6)


# --------------------------------------------------------------------------- against a slow version


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_curves_equal_a_loop_over_steps(name: str) -> None:
    side, steps = 32, 8
    network = Compared(encoder(name, side), batch_size=3)
    pixels, maps = films(3, side), noise(2, side)
    found = insert_and_delete(network, pixels[0], pixels[1:], maps, Steps(steps))
    embed = network.module
    with torch.no_grad():
        images = network.prepare(pixels)
        for n in (0, 1):
            ranked = np.argsort(-maps[n].ravel())
            blur = blurred(images[n + 1], 50**0.5)
            ways = (
                (found.insertion, blur, images[n + 1]),
                (found.deletion, images[n + 1], torch.zeros_like(blur)),
            )
            for curves, begin, end in ways:
                now = begin.flatten().clone()
                for step in range(steps + 1):
                    pair = torch.cat([images[:1], now.reshape(1, 1, side, side)])
                    q, r = embed(pair)
                    cosine = float(functional.cosine_similarity(q, r, dim=0))
                    assert curves[n, step] == pytest.approx(max(cosine, 0), abs=1e-5)
                    some = ranked[step * 128 : (step + 1) * 128]
                    now[some] = end.flatten()[some]


def test_curves_by_hand() -> None:
    """Two numbers: the means of the left and of the right half; black is 0 and the mean is 0."""

    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.ones(()))

        def forward(self, images: Tensor) -> Tensor:
            return functional.adaptive_avg_pool2d(images, (1, 2)).flatten(1) * self.one

    spec = EncoderSpec("halves", 8, 1, (0.0,), (1.0,), 2)
    network = Compared(Encoder(spec, Halves(), FLOAT))
    left = np.zeros((8, 8), np.uint8)
    left[:, :4] = 255
    white = np.full((1, 8, 8), 255, np.uint8)
    heat = np.zeros((1, 8, 8), np.float32)
    heat[:, :, :4] = 1
    found = insert_and_delete(network, left, white, heat, Steps(2, insertion="black"))
    assert found.insertion[0] == pytest.approx([0, 1, 0.5**0.5])  # nothing, the left, both
    assert found.deletion[0] == pytest.approx([0.5**0.5, 0, 0])
    assert found.areas()[0] == pytest.approx([0.25 + (1 + 0.5**0.5) / 4, 0.5**0.5 / 4])
    apart = Steps(2, insertion="black", likeness="euclidean")
    found = insert_and_delete(network, left, white, heat, apart)
    between = 1 - np.sqrt(2 - 2**0.5) / 2
    assert found.insertion[0] == pytest.approx([0.5, 1, between])


# --------------------------------------------------------------------------- what they end with


@pytest.mark.parametrize("steps", [1, 7, 224, 225])
def test_the_last_frame_is_the_end_and_the_first_the_beginning(steps: int) -> None:
    begin, end = torch.zeros(3, 20, 20), torch.rand(3, 20, 20, generator=torch.Generator())
    place = torch.from_numpy(order(noise(1, 20)[0], 0))
    kept = torch.cat(list(frames(begin, end, place, steps, 16)))
    assert len(kept) == steps + 1
    assert torch.equal(kept[0], begin)
    assert torch.equal(kept[-1], end)
    changed = (kept[1:] != kept[:-1]).any(dim=1).sum(dim=(1, 2))
    assert changed.sum() == 400  # each pixel once
    assert changed.max() - changed.min() <= 1


def test_curves_begin_and_end_with_the_images_themselves() -> None:
    network = Compared(encoder("test_resnet", 32))
    pixels, maps = films(2, 32), noise(1, 32)
    found = insert_and_delete(network, pixels[0], pixels[1:], maps, Steps(5, deletion="black"))
    q, r = network.embed_unit(network.prepare(pixels))
    assert found.insertion[0, -1] == pytest.approx(float(q @ r), abs=1e-6)
    assert found.deletion[0, 0] == pytest.approx(float(q @ r), abs=1e-6)
    black = network.embed_unit(network.prepare(0 * pixels[:1]))[0]
    assert found.deletion[0, -1] == pytest.approx(max(float(q @ black), 0), abs=1e-6)
    blur = network.embed_unit(blurred(network.prepare(pixels[1:])[0], 50**0.5)[None])[0]
    assert found.insertion[0, 0] == pytest.approx(max(float(q @ blur), 0), abs=1e-6)


def test_an_image_against_itself_begins_at_one() -> None:
    network = Compared(encoder("test_resnet", 32))
    pixels = films(1, 32)
    found = insert_and_delete(network, pixels[0], pixels, noise(1, 32), Steps(3))
    assert found.deletion[0, 0] == pytest.approx(1)
    assert found.insertion[0, -1] == pytest.approx(1)


def test_pixels_that_are_alike_come_in_an_order_of_chance_that_the_seed_decides() -> None:
    flat = np.zeros((16, 16), np.float32)
    flat[4, 4] = 1
    place = order(flat, 0)
    assert place[4, 4] == 0
    assert (np.sort(place.ravel()) == np.arange(256)).all()
    assert place[:8].mean() == pytest.approx(place[8:].mean(), abs=20)  # not from the top
    assert (order(flat, 0) == place).all()
    assert (order(flat, 1) != place).any()


def test_cosines_below_zero_count_as_zero_and_are_counted() -> None:
    class Signed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.ones(()))

        def forward(self, images: Tensor) -> Tensor:
            return images.mean(dim=(2, 3)) * self.one

    spec = EncoderSpec("signed", 8, 1, (0.5,), (1.0,), 1)
    network = Compared(Encoder(spec, Signed(), FLOAT))
    white, black = np.full((8, 8), 255, np.uint8), np.zeros((1, 8, 8), np.uint8)
    found = insert_and_delete(network, white, black, noise(1, 8), Steps(4))
    assert (found.insertion == 0).all()
    assert found.clipped.tolist() == [[5, 4]]  # the last frame of deletion is 0 everywhere


# --------------------------------------------------------------------------- what is refused


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="'grey' is not what pixels can become; choose from blur"):
        Steps(insertion="grey")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'angle' is not a likeness; choose from cosine, euclid"):
        Steps(likeness="angle")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="steps are 1 or more and a blur's sigma above 0; got 0"):
        Steps(steps=0)
    network, pixels = Compared(encoder("test_resnet", 32)), films(2, 32)
    with pytest.raises(
        ValueError, match=r"expected maps of shape \(1, 32, 32\), got \(1, 16, 16\)"
    ):
        insert_and_delete(network, pixels[0], pixels[1:], noise(1, 16))
