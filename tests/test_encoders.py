from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from hilum.encoders import Encoder, EncoderSpec, random_encoder
from hilum.encoders.device import choose_engine
from hilum.encoders.image import build_module, to_input
from hilum.errors import UsageError
from reference_training import slow_processor, tiny_backbone

SPEC = EncoderSpec("resnet18", 12, 1, (0.5,), (0.25,), dim=8)


def pixels(n: int = 4, side: int = 12) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


def tiny(spec: EncoderSpec = SPEC) -> Encoder:
    return Encoder(spec, tiny_backbone(), slow_processor())


# ------------------------------------------------------------------ what goes in


def test_pixels_are_scaled_and_normalised_by_hand() -> None:
    image = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
    spec = EncoderSpec("resnet18", 8, 1, (0.5,), (0.25,), dim=8)
    out = to_input(image.repeat_interleave(4, 1).repeat_interleave(4, 2), spec)
    assert out.shape == (1, 1, 8, 8)
    assert [float(out[0, 0, y, x]) for y, x in ((0, 0), (0, 7), (7, 0), (7, 7))] == pytest.approx(
        [-2, 2, -1.2, -0.4]
    )


def test_three_channels_are_the_same_grey_with_their_own_normalisation() -> None:
    spec = EncoderSpec("resnet18", 12, 3, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1), dim=8)
    grey = torch.from_numpy(pixels())[:, None] / 255
    out = to_input(torch.from_numpy(pixels()), spec)
    for channel in range(3):
        expected = (grey[:, 0] - spec.mean[channel]) / spec.std[channel]
        torch.testing.assert_close(out[:, channel], expected)


def test_a_resize_does_not_alias() -> None:
    """One white column in four becomes a quarter: every input pixel counts."""
    stripes = torch.zeros(1, 64, 64, dtype=torch.uint8)
    stripes[:, :, ::4] = 255
    out = to_input(stripes, replace(SPEC, size=16, mean=(0.0,), std=(1.0,)))
    assert out.shape == (1, 1, 16, 16)
    np.testing.assert_allclose(out[:, :, :, 1:-1], 0.25, atol=0.02)


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((2, 12, 12)), r"float64 of shape \(2, 12, 12\)"),
        (np.zeros((12, 12), np.uint8), r"uint8 of shape \(12, 12\)"),
        (np.zeros((2, 12, 10), np.uint8), r"uint8 of shape \(2, 12, 10\)"),
    ],
)
def test_other_arrays_are_refused(array: NDArray[np.uint8], got: str) -> None:
    with pytest.raises(UsageError, match=r"shape \(n, side, side\), or .* colour; got " + got):
        tiny().encode_images(array)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": 2}, "1 or 3 channels, not 2"),
        ({"mean": (0.5, 0.5)}, r"one number per channel \(1\); got 2 and 1"),
        ({"size": 0}, r"size must be 8 to 4096 and std positive; got 0"),
        ({"std": (0.0,)}, r"std positive; got 12, \(0\.0,\)"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SPEC, **fields)  # type: ignore[arg-type]


# ------------------------------------------------------------------ what comes out


def test_vectors_are_the_modules_own_and_do_not_depend_on_the_batch() -> None:
    encoder = tiny()
    images = pixels(5)
    vectors = encoder.encode_images(images)
    assert vectors.shape == (5, 8)
    assert vectors.dtype == np.float32
    with torch.inference_mode():
        expected = encoder.module((torch.from_numpy(images)[:, None] / 255 - 0.5) / 0.25)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(vectors[2:3], encoder.encode_images(images[2:3]), atol=1e-5)
    assert encoder.encode_images(images[:0]).shape == (0, 8)


def test_bfloat16_is_close_to_float32() -> None:
    exact = random_encoder("resnet18", 0, size=32, engine=choose_engine("cpu", "fp32"))
    fast = random_encoder("resnet18", 0, size=32, engine=choose_engine("cpu", "bf16"))
    a, b = (e.encode_images(pixels(3, 32)) for e in (exact, fast))
    assert b.dtype == np.float32
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.999
    assert not np.array_equal(a, b)


@pytest.mark.parametrize(("architecture", "size"), [("test_resnet", 32), ("test_vit", 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_backbone_gives_pooled_vectors(architecture: str, size: int, channels: int) -> None:
    encoder = random_encoder(architecture, 0, size=size, channels=channels, engine=slow_processor())
    vectors = encoder.encode_images(pixels(2, 40))
    assert vectors.shape == (2, encoder.spec.dim)
    assert not np.array_equal(vectors[0], vectors[1])


def test_an_unknown_architecture_names_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"timm has no .* 'resnet19'; similar: .*resnet18"):
        build_module("resnet19", 32, 1)
    with pytest.raises(UsageError, match="timm has no architecture 'hf-hub:someone/model'"):
        build_module("hf-hub:someone/model", 32, 1)


# ------------------------------------------------------------------ identity


def test_a_control_is_fixed_by_its_seed_and_leaves_the_process_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two, other = (
        random_encoder("test_resnet", seed, size=16, engine=slow_processor()) for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert one.spec.source == "random weights, seed 1"


def test_the_fingerprint_covers_every_weight_and_all_that_is_expected() -> None:
    def changed(spec: EncoderSpec = SPEC, weight: str = "") -> str:
        module = tiny_backbone()
        with torch.no_grad():
            if weight:
                module.get_parameter(weight).view(-1)[0] += 1e-3
        return Encoder(spec, module, slow_processor()).fingerprint

    same = changed()
    assert same == changed()
    assert len(same) == 64
    others = [
        changed(weight="0.weight"),
        changed(weight="5.bias"),
        changed(replace(SPEC, size=16)),
        changed(replace(SPEC, mean=(0.4,))),
        changed(replace(SPEC, findings=("Edema",))),
    ]
    assert len({same, *others}) == 6


def test_buffers_count_too() -> None:
    module = tiny_backbone()
    norm = module[1]  # type: ignore[index]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean += 1
    assert Encoder(SPEC, module, slow_processor()).fingerprint != tiny().fingerprint


# ------------------------------------------------------------------ devices


def test_the_engine_says_what_auto_became() -> None:
    engine = choose_engine("cpu", "auto")
    assert str(engine) == f"cpu {engine.precision}, channels last"
    assert choose_engine("cpu", "bf16").bf16
    assert not choose_engine("cpu", "fp32").bf16


def test_devices_and_precisions_that_are_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match=r"device 'abacus' cannot be used here .*use auto, cpu or"):
        choose_engine("abacus")
    with pytest.raises(UsageError, match="'fp8' is not a precision; choose from auto, bf16, fp32"):
        choose_engine("cpu", "fp8")
