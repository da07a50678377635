"""Encoders by reference, and what a pair starts training from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilum.collection import open_collection
from hilum.embed import embed
from hilum.encoders import (
    Encoder,
    PairEncoder,
    TextSpec,
    build_pair,
    load_encoder,
    load_image,
    load_pair,
    random_encoder,
    save_encoder,
)
from hilum.encoders.tensors import digest, read_tensors, write_tensors
from hilum.errors import UsageError, WeightsError
from hilum.ingest import ingest
from reference_pair import TEXTS, some_pixels, tiny_clip, tiny_small, tiny_text
from reference_training import slow_processor
from small_source import small_source


def image_file(folder: Path) -> Path:
    made = random_encoder("test_resnet", 4, size=32, engine=slow_processor())
    return save_encoder(made, folder / "image.safetensors")


# ------------------------------------------------------------------ references


def test_a_pair_is_had_from_a_file_a_run_and_a_name(tmp_path: Path) -> None:
    made = tiny_small()
    path = save_encoder(made, tmp_path / "encoder.safetensors")
    for ref in (path, str(path), tmp_path):
        assert load_encoder(ref, engine=slow_processor()).fingerprint == made.fingerprint
    control = load_pair("random:pair/test_resnet?size=32&seed=3&context=20&dim=8",
                        engine=slow_processor())  # fmt: skip
    assert (control.spec.size, control.spec.context, control.spec.dim) == (32, 20, 8)
    assert control.spec.source == "random weights, seed 3"
    assert control.spec.text == TextSpec()


def test_an_untrained_model_of_open_clip_is_had_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    from reference_pair import tiny_config

    monkeypatch.setattr(open_clip, "get_model_config", lambda _: tiny_config())
    control = load_pair("random:open_clip/ViT-B-32?seed=2&size=48&context=9")
    assert control.spec.architecture == "open_clip:ViT-B-32"
    assert (control.spec.size, control.spec.context) == (48, 9)
    again = load_encoder("random:open_clip/ViT-B-32?seed=2&size=48&context=9")
    assert again.fingerprint == control.fingerprint


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("random:pair/test_resnet?heads=4", "cannot use heads='4'; whole numbers for size, chan"),
        ("random:pair/no_such_net", "timm has no architecture 'no_such_net'"),
        ("random:open_clip/no_such_net", "open_clip has no model 'no_such_net'"),
        ("random:open_clip/ViT-B-32?dim=4", "cannot use dim='4'; whole numbers for size, context"),
        ("open_clip:ViT-B-32-quickgelu:openai?seed=1", "cannot use seed='1'; whole numbers for si"),
        ("timm:resnet18.tv_in1k?seed=1", "cannot use seed='1'; whole numbers for size, channels"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(ref: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder(ref)


def test_who_needs_one_kind_is_told_when_it_is_the_other(tmp_path: Path) -> None:
    image = image_file(tmp_path)
    pair = save_encoder(tiny_small(), tmp_path / "pair.safetensors")
    assert isinstance(load_image(image, engine=slow_processor()), Encoder)
    assert isinstance(load_pair(pair, engine=slow_processor()), PairEncoder)
    with pytest.raises(WeightsError, match=r"image\.safetensors: encodes images alone; texts need"):
        load_pair(image)
    with pytest.raises(WeightsError, match=r"pair\.safetensors: a pair of encoders, where one of"):
        load_image(pair)


# ------------------------------------------------------------------ damaged files


def rewritten(path: Path, **fields: Any) -> Path:
    """Change fields of a pair's spec, and sign the file anew."""
    held, header = read_tensors(path)
    spec = {**header["spec"], **fields}
    write_tensors(path, held, {**header, "spec": spec, "fingerprint": digest(held, spec)})
    return path


TEXT = {"width": 32, "layers": 2, "heads": 2, "vocabulary": 6}
DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "no image side": ({"image": None}, "no spec that this version understands"),
    "an image side of its own": ({"image": {"depth": 3}}, "no spec that this version understands"),
    "half an image side": ({"image": {"size": 32}}, "cannot be used: architecture is missing"),
    "a strange field": ({"depth": 3}, "no spec that this version understands"),
    "a strange text tower": ({"text": {"depth": 3}}, "no spec that this version understands"),
    "a text tower of one number": ({"text": 3}, "no spec that this version understands"),
    "an odd width": ({"text": {**TEXT, "heads": 5}}, "width must be a multiple of its heads"),
    "no text tower": ({"text": None}, "a small text tower or open_clip's towers, one of the two"),
    "a context in words": ({"context": "16"}, "the spec in its header cannot be used"),
    "another context": ({"context": 20}, r"text\.positions \(16, 32\) instead of \(20, 32\)"),
    "more layers": ({"text": {**TEXT, "layers": 3}}, r"missing: text\.blocks\.2"),
    "a configuration that is none": (
        {"text": None, "clip": {"embed_dim": 3}},
        "not a configuration of open_clip",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_pair_is_an_error_that_says_what_is_wrong(damage: str, tmp_path: Path) -> None:
    fields, message = DAMAGES[damage]
    path = rewritten(save_encoder(tiny_small(), tmp_path / "e.safetensors"), **fields)
    with pytest.raises(WeightsError, match=rf"e\.safetensors: .*{message}"):
        load_encoder(path, engine=slow_processor())


@pytest.mark.parametrize("make", [tiny_small, tiny_clip], ids=["small", "open_clip"])
def test_a_changed_byte_and_a_missing_tensor_are_found(make: Any, tmp_path: Path) -> None:
    path = save_encoder(make(), tmp_path / "e.safetensors")
    held, header = read_tensors(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="do not match their own fingerprint"):
        load_encoder(path, engine=slow_processor())
    held.pop("logit_bias")
    write_tensors(path, held, {**header, "fingerprint": digest(held, header["spec"])})
    with pytest.raises(WeightsError, match=r"the tensors do not fit; 1 missing: logit_bias"):
        load_encoder(path, engine=slow_processor())


# ------------------------------------------------------------------ into a collection


def test_a_pair_embeds_a_collection_as_an_image_encoder_does(tmp_path: Path) -> None:
    source = small_source(tmp_path / "hospital", 6).root
    ingest(source, str(tmp_path / "c.lance"), layout="folder", size=32, workers=1)
    collection = open_collection(tmp_path / "c.lance")
    pair = tiny_small()
    save_encoder(pair, tmp_path / "run" / "encoder.safetensors")
    after = embed(collection, tmp_path / "run", "pair")
    ids, vectors = after.vectors("pair")
    assert ids == collection.ids()
    engine_tolerance = 2e-2  # embed chooses this machine's engine, which may multiply in bfloat16
    np.testing.assert_allclose(
        vectors, pair.encode_images(collection.pixels()), atol=engine_tolerance
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert after.embeddings["pair"].fingerprint == pair.fingerprint
    assert after.embeddings["pair"].encoder == "test_resnet (random weights, seed 0)"


# ------------------------------------------------------------------ where training starts


def shape() -> dict[str, Any]:
    return {"context": 16, "dim": 12, "text": tiny_text()}


def test_a_pair_from_nothing_is_the_untrained_control() -> None:
    made = build_pair("test_resnet", size=32, ids=(900, 871, 1490, 9364), engine=slow_processor(),
                      **shape())  # fmt: skip
    assert made.fingerprint == tiny_small().fingerprint


def test_an_image_encoder_becomes_the_image_tower(tmp_path: Path) -> None:
    path = image_file(tmp_path)
    start = load_image(path, engine=slow_processor())
    pair = build_pair("test_resnet", init=path, seed=7, engine=slow_processor(), **shape())
    for name, one in start.module.state_dict().items():
        assert torch.equal(pair.module.state_dict()[f"image.{name}"], one)
    assert (pair.spec.size, pair.spec.mean, pair.spec.dim) == (32, start.spec.mean, 12)
    assert pair.spec.source == f"image tower from {path}, the rest random, seed=7"
    other = build_pair("test_resnet", init=path, size=48, mean=(0.4,), engine=slow_processor())
    assert (other.spec.size, other.spec.mean, other.spec.std) == (48, (0.4,), start.spec.std)


def test_a_pair_goes_on_as_it_is(tmp_path: Path) -> None:
    path = save_encoder(tiny_small(), tmp_path / "pair.safetensors")
    pair = build_pair("test_resnet", init=path, engine=slow_processor(), size=32, mean=[0.5],
                      context=None, text=tiny_text())  # fmt: skip
    assert pair.fingerprint == tiny_small().fingerprint
    np.testing.assert_array_equal(pair.encode_texts(TEXTS), tiny_small().encode_texts(TEXTS))
    np.testing.assert_array_equal(
        pair.encode_images(some_pixels()), tiny_small().encode_images(some_pixels())
    )


@pytest.mark.parametrize(
    ("architecture", "asked", "message"),
    [
        ("resnet18", {}, "it is a test_resnet, resnet18 is asked for"),
        ("test_resnet", {"size": 64}, "its size is 32, not 64"),
        ("test_resnet", {"dim": 13}, "its dim is 12, not 13"),
        ("test_resnet", {"context": 77}, "its context is 16, not 77"),
        ("test_resnet", {"text": tiny_text(width=64)}, r"its text is TextSpec\(width=32, .*, not "),
        ("test_resnet", {"depth": 3}, "a pair has no 'depth'; it has size, channels, mean, std"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(
    architecture: str, asked: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save_encoder(tiny_small(), tmp_path / "pair.safetensors")
    with pytest.raises(UsageError, match=message):
        build_pair(architecture, init=path, engine=slow_processor(), **asked)


def test_an_image_tower_of_other_channels_is_refused(tmp_path: Path) -> None:
    path = image_file(tmp_path)
    with pytest.raises(WeightsError, match=r"image\.safetensors: .*of another shape: conv1"):
        build_pair("test_resnet", init=path, channels=3, mean=(0.5,) * 3, std=(0.2,) * 3,
                   engine=slow_processor())  # fmt: skip
