"""Every kind of encoder keeps one contract; pairs keep another besides."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hilum.encoders import (
    AnyEncoder,
    Encoder,
    PairEncoder,
    PairSpec,
    TextSpec,
    load_encoder,
    random_encoder,
    random_pair,
    save_encoder,
    tokenise,
)
from hilum.encoders.device import choose_engine
from hilum.encoders.image import EncoderSpec, to_input
from hilum.errors import UsageError
from reference_pair import CONTEXT, TEXTS, some_pixels, tiny_clip, tiny_config, tiny_small
from reference_training import slow_processor

PAIRS: dict[str, Callable[[int], PairEncoder]] = {
    "small": tiny_small,
    "small, full table": lambda seed: tiny_small(seed, ids=None),
    "open_clip": tiny_clip,
    "open_clip, towers apart": lambda seed: tiny_clip(seed, custom_text=True),
    "open_clip, read both ways": lambda seed: tiny_clip(
        seed, text_cfg={**tiny_config()["text_cfg"], "no_causal_mask": True}
    ),
    "open_clip, a ResNet": lambda seed: tiny_clip(
        seed, vision_cfg={"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    ),
}
ENCODERS: dict[str, Callable[[int], AnyEncoder]] = {
    "image": lambda seed: random_encoder("test_resnet", seed, size=32, engine=slow_processor()),
    **PAIRS,
}


@cache
def made(kind: str) -> AnyEncoder:
    """Return an encoder that no test changes."""
    return ENCODERS[kind](0)


@cache
def paired(kind: str) -> PairEncoder:
    """Return a pair that no test changes."""
    return PAIRS[kind](0)


# ------------------------------------------------------------------ every encoder


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_gives_one_float32_vector_per_image(kind: str) -> None:
    encoder = made(kind)
    vectors = encoder.encode_images(some_pixels(4))
    assert vectors.shape == (4, encoder.spec.dim)
    assert vectors.dtype == np.float32
    assert len({row.tobytes() for row in vectors}) == 4
    assert encoder.encode_images(some_pixels(4)[:0]).shape == (0, encoder.spec.dim)


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_vector_depends_neither_on_the_batch_nor_on_the_order(kind: str) -> None:
    encoder = made(kind)
    images = some_pixels(5)
    together = encoder.encode_images(images)
    alone = np.concatenate([encoder.encode_images(one[None]) for one in images])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(encoder.encode_images(images[order]), together[order], atol=2e-6)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((2, 32, 32)), r"float64 of shape \(2, 32, 32\)"),
        (np.zeros((32, 32), np.uint8), r"uint8 of shape \(32, 32\)"),
        (np.zeros((2, 32, 30), np.uint8), r"uint8 of shape \(2, 32, 30\)"),
    ],
)
def test_every_encoder_refuses_other_arrays(kind: str, array: NDArray[np.uint8], got: str) -> None:
    with pytest.raises(UsageError, match=r"shape \(n, side, side\), or .* colour; got " + got):
        made(kind).encode_images(array)


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_comes_back_from_its_file_as_it_went(kind: str, tmp_path: Path) -> None:
    first = made(kind)
    path = save_encoder(first, tmp_path / "e.safetensors", recipe={"lr": 0.1})
    back = load_encoder(path, engine=slow_processor())
    assert type(back) is type(first)
    assert (back.spec, back.fingerprint) == (first.spec, first.fingerprint)
    np.testing.assert_array_equal(
        back.encode_images(some_pixels()), first.encode_images(some_pixels())
    )
    again = save_encoder(back, tmp_path / "again.safetensors", recipe={"lr": 0.1})
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_fingerprint_covers_the_weights_and_the_spec(kind: str) -> None:
    whole, moved = ENCODERS[kind](0), ENCODERS[kind](0)
    with torch.no_grad():
        list(moved.module.parameters())[-1].view(-1)[0] += 1e-3
    other: AnyEncoder
    if isinstance(whole, PairEncoder):
        other = PairEncoder(
            replace(whole.spec, image=replace(whole.spec.image, mean=moved_mean(whole))),
            whole.module,
            slow_processor(),
        )
    else:
        other = Encoder(replace(whole.spec, mean=moved_mean(whole)), whole.module, slow_processor())
    assert len({whole.fingerprint, moved.fingerprint, other.fingerprint}) == 3


def moved_mean(encoder: AnyEncoder) -> tuple[float, ...]:
    return tuple(one + 1e-3 for one in encoder.spec.mean)


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_fingerprint_is_fixed_by_seed_and_spec(kind: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = ENCODERS[kind](1), ENCODERS[kind](1), ENCODERS[kind](2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.fingerprint == two.fingerprint != other.fingerprint


# ------------------------------------------------------------------ every pair


@pytest.mark.parametrize("kind", PAIRS)
def test_both_towers_give_unit_vectors_of_one_space(kind: str) -> None:
    pair = paired(kind)
    texts, images = pair.encode_texts(TEXTS), pair.encode_images(some_pixels())
    assert texts.dtype == images.dtype == np.float32
    assert texts.shape == (len(TEXTS), pair.spec.dim)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    assert pair.encode_texts([]).shape == (0, pair.spec.dim)


@pytest.mark.parametrize("kind", PAIRS)
def test_vectors_are_the_modules_own_features_made_unit(kind: str) -> None:
    pair = paired(kind)
    tokens = torch.from_numpy(tokenise(TEXTS, CONTEXT))
    with torch.inference_mode():
        given = to_input(torch.from_numpy(some_pixels()), pair.spec.image)
        images, texts = pair.module(given, tokens)
    assert not torch.allclose(texts.norm(dim=1), torch.ones(len(TEXTS)), atol=1e-3)
    for found, expected in (
        (pair.encode_images(some_pixels()), images),
        (pair.encode_texts(TEXTS), texts),
    ):
        np.testing.assert_allclose(found, functional.normalize(expected), atol=2e-6)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_texts_vector_depends_on_its_tokens_alone(kind: str) -> None:
    pair = paired(kind)
    together = pair.encode_texts(TEXTS)
    alone = np.concatenate([pair.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(pair.encode_texts(TEXTS[::-1]), together[::-1], atol=2e-6)
    np.testing.assert_array_equal(together[1], together[4])
    np.testing.assert_array_equal(pair.encode_texts(["EDEMA "]), pair.encode_texts(["edema"]))


@pytest.mark.parametrize("kind", PAIRS)
def test_a_long_text_is_an_error_or_is_cut(kind: str) -> None:
    pair = paired(kind)
    long = "effusion " * 20
    with pytest.raises(UsageError, match=r"text 2 of 2 has 42 tokens.* reads 16: ") as caught:
        pair.encode_texts(["edema", long])
    assert "effusion" not in str(caught.value)
    cut = pair.encode_texts([long], on_long="cut")
    np.testing.assert_array_equal(cut, pair.encode_texts(["effusion " * 7]))


def test_equal_texts_are_encoded_once_and_many_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from hilum.encoders import pair as module

    pair = tiny_small()
    texts = [f"{number % 7} cm nodule{' seen' * (number % 3)}" for number in range(60)]
    expected = pair.encode_texts(texts)
    seen: list[int] = []
    real = pair.module.text_features

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(len(tokens))
        features: torch.Tensor = real(tokens)
        return features

    monkeypatch.setattr(pair.module, "text_features", counted)
    monkeypatch.setattr(module, "TEXTS_AT_A_TIME", 5)
    np.testing.assert_allclose(pair.encode_texts(texts), expected, atol=2e-6)
    assert seen == [5, 5, 5, 5, 1]


@pytest.mark.parametrize("kind", PAIRS)
def test_scale_and_bias_are_parameters_of_the_pair(kind: str) -> None:
    pair = PAIRS[kind](0)
    assert pair.scale == pytest.approx(1 / 0.07)
    assert pair.bias == 0
    with torch.no_grad():
        pair.module.logit_scale.fill_(log(50))
        pair.module.logit_bias.fill_(-10)
    assert pair.scale == pytest.approx(50)
    assert pair.bias == -10
    names = [name for name, _ in pair.module.named_parameters() if "logit" in name]
    assert names == ["logit_scale", "logit_bias"]


@pytest.mark.parametrize("kind", ["small", "open_clip"])
def test_bfloat16_is_close_to_float32(kind: str) -> None:
    exact = paired(kind)
    fast = PairEncoder(exact.spec, exact.module, choose_engine("cpu", "bf16"))
    for a, b in (
        (exact.encode_images(some_pixels()), fast.encode_images(some_pixels())),
        (exact.encode_texts(TEXTS), fast.encode_texts(TEXTS)),
    ):
        assert b.dtype == np.float32
        assert (a * b).sum(1).min() > 0.999
        assert not np.array_equal(a, b)


@pytest.mark.parametrize("kind", PAIRS)
def test_gradients_reach_every_weight_of_both_towers(kind: str) -> None:
    pair = PAIRS[kind](0)
    given = to_input(torch.from_numpy(some_pixels(2)), pair.spec.image)
    images, texts = pair.module(given, torch.from_numpy(tokenise(TEXTS[:2], CONTEXT)))
    cosines = functional.normalize(images) @ functional.normalize(texts).T
    logits = pair.module.logit_scale.exp() * cosines + pair.module.logit_bias
    torch.autograd.backward(functional.softplus(-logits).sum())
    without = [name for name, one in pair.module.named_parameters() if one.grad is None]
    assert without == []


# ------------------------------------------------------------------ what a pair expects


def test_a_bicubic_resize_is_chexzeros_own() -> None:
    """CheXzero normalises 0...255 and then lets torchvision resize without antialiasing."""
    from torchvision.transforms import v2  # type: ignore[import-untyped]

    spec = EncoderSpec(
        "x", 24, 3, (101.48761 / 255,) * 3, (83.43944 / 255,) * 3, dim=8, resize="bicubic"
    )
    pixels = torch.from_numpy(some_pixels(2, 64))
    original = v2.Compose([
        v2.Normalize((101.48761,) * 3, (83.43944,) * 3),
        v2.Resize(24, v2.InterpolationMode.BICUBIC, antialias=False),
    ])(pixels[:, None].expand(-1, 3, -1, -1).float())  # fmt: skip
    torch.testing.assert_close(to_input(pixels, spec), original, rtol=0, atol=1e-5)
    smooth = to_input(pixels, replace(spec, resize="antialiased"))
    assert (smooth - original).abs().max() > 0.1


def test_the_usual_resize_leaves_a_specs_fingerprint_as_it_was() -> None:
    spec = EncoderSpec("x", 24, 1, (0.5,), (0.25,), dim=8)
    assert list(spec.as_dict()) == [
        "architecture", "size", "channels", "mean", "std", "dim", "findings", "recipe", "source",
    ]  # fmt: skip
    assert replace(spec, resize="bicubic").as_dict()["resize"] == "bicubic"
    with pytest.raises(UsageError, match="'area' is not a way to resize; choose from antialiased,"):
        replace(spec, resize="area")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"clip": {}}, "a small text tower or open_clip's towers, one of the two"),
        ({"text": None}, "a small text tower or open_clip's towers, one of the two"),
        ({"context": 1}, "a context is 2 to 4096 tokens; got 1"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    spec = PairSpec(EncoderSpec("x", 24, 1, (0.5,), (0.25,), dim=8), 16, text=TextSpec())
    with pytest.raises(UsageError, match=message):
        replace(spec, **fields)  # type: ignore[arg-type]


def test_a_specs_image_side_reads_through() -> None:
    spec = tiny_clip().spec
    assert spec.architecture == "open_clip:tiny"
    assert (spec.size, spec.channels, spec.dim, spec.recipe) == (32, 3, 12, "")
    assert (spec.mean, spec.std) == (spec.image.mean, spec.image.std)
    assert spec.source == "random weights, seed 0"
    assert repr(tiny_clip()).startswith("PairEncoder(open_clip:tiny, 32 px, 16 tokens, ")


# ------------------------------------------------------------------ by name


def test_a_small_pair_keeps_rows_for_the_ids_it_is_given() -> None:
    pair = random_pair(
        "test_resnet", size=32, ids=[900, 871, 871, 0], text=TextSpec(width=16, heads=1),
        engine=slow_processor(),
    )  # fmt: skip
    assert pair.spec.text is not None
    assert pair.spec.text.vocabulary == 5
    assert pair.module.state_dict()["text.ids"].tolist() == [0, 871, 900, 49406, 49407]
    assert pair.spec.context == 77
    other = random_pair(
        "test_resnet", size=32, ids=[901, 871, 0], text=TextSpec(width=16, heads=1),
        engine=slow_processor(),
    )  # fmt: skip
    assert pair.fingerprint != other.fingerprint


def test_ids_that_are_no_tokens_are_refused() -> None:
    with pytest.raises(UsageError, match=r"below 49408, .* got 3, from 49406 to 50000"):
        random_pair("test_resnet", size=32, ids=[50000], engine=slow_processor())
    with pytest.raises(UsageError, match="got 3, from -1 to 49407"):
        random_pair("test_resnet", size=32, ids=[-1], engine=slow_processor())


def test_options_of_a_small_pair_are_refused_for_open_clip() -> None:
    with pytest.raises(
        UsageError, match="channels, dim, text and ids belong to a pair with a timm"
    ):
        random_pair("open_clip:ViT-B-32", channels=1)
    with pytest.raises(UsageError, match="timm has no architecture 'resnet19'"):
        random_pair("resnet19")
