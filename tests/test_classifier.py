"""The classifier: its layers by hand, its spec, its file, and its backbone as an encoder."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from hilum.encoders import (
    Classifier,
    ClassifierSpec,
    EncoderSpec,
    HeadSettings,
    load_classifier,
    load_encoder,
    random_encoder,
    save_classifier,
    save_encoder,
)
from hilum.encoders.classifier import corners
from hilum.encoders.fusion import FURTHEST, FeatureInput, Fusion, Gate, ScalarMix
from hilum.encoders.image import build_module, feature_dim, to_input
from hilum.encoders.tensors import read_tensors, write_tensors
from hilum.errors import UsageError, WeightsError
from reference_training import blobs, slow_processor
from untaught import random_classifier

NAN = math.nan
GROUPS = {"demographics": (0, 2), "previous": (2, 5)}
SMALL = HeadSettings(hidden=(6, 5), width=4)


def a_spec(*, fused: bool = True, head: HeadSettings = SMALL, **more: Any) -> ClassifierSpec:
    image = EncoderSpec("test_resnet", 32, 1, (0.5,), (0.25,), dim=96, **more)
    findings = ("Edema", "Mass", "Hernia")
    if not fused:
        return ClassifierSpec(image, findings, head=head)
    return ClassifierSpec(
        image, findings, ("image", *GROUPS), ("a", "b", "c", "d", "e"), GROUPS, findings, head=head
    )


def a_classifier(spec: ClassifierSpec | None = None, seed: int = 0) -> Classifier:
    return random_classifier(spec or a_spec(), seed=seed, engine=slow_processor())


def numbers_for(n: int, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    values[0] = NAN
    return values


# ------------------------------------------------------------------ the mix


def test_the_sauce_layer_starts_as_a_mean_and_mixes_by_softmax() -> None:
    parts = [torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 4.0]])]
    mix = ScalarMix(2, 2)
    assert mix(parts).vector.tolist() == [[3, 3]]
    with torch.no_grad():
        mix.weight.copy_(torch.tensor([[math.log(3)], [0.0]]))
        mix.gamma.fill_(2)
    found = mix(parts)
    np.testing.assert_allclose(found.vector.detach(), [[4, 5]], rtol=1e-6)  # 2 (3/4 · + 1/4 ·)
    np.testing.assert_allclose(found.shares.detach(), [0.75, 0.25], rtol=1e-6)
    assert found.scale.item() == 2


def test_free_weights_and_weights_by_feature() -> None:
    parts = [torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 4.0]])]
    free = ScalarMix(2, 2, softmax=False)
    assert free(parts).vector.tolist() == [[3, 3]]
    with torch.no_grad():
        free.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    assert free(parts).vector.tolist() == [[4, 2]]
    each = ScalarMix(2, 2, per_feature=True)
    with torch.no_grad():
        each.weight.copy_(torch.tensor([[20.0, -20.0], [-20.0, 20.0]]))
    np.testing.assert_allclose(each(parts).vector.detach(), [[1, 4]], rtol=1e-6)


def test_a_gate_weighs_each_image_by_itself() -> None:
    gate = Gate(2, 1)
    parts = [torch.tensor([[1.0], [1.0]]), torch.tensor([[3.0], [-3.0]])]
    assert gate(parts).vector.tolist() == [[2], [-1]]
    with torch.no_grad():
        gate.choose.weight.copy_(torch.tensor([[0.0, 10.0], [0.0, -10.0]]))
    np.testing.assert_allclose(gate(parts).vector.detach(), [[1], [-3]], atol=1e-5)


@pytest.mark.parametrize("mix", ["sauce", "gate"])
def test_a_mix_learns_which_part_tells(mix: Any) -> None:
    """Of two parts one is the answer and one is noise: the weight goes to the answer."""
    rng = torch.Generator().manual_seed(0)
    answer, noise = torch.randn(64, 3, generator=rng), torch.randn(64, 3, generator=rng)
    layer = ScalarMix(2, 3) if mix == "sauce" else Gate(2, 3)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        loss = (layer([answer, noise]).vector - answer).square().mean()
        loss.backward()
        optimiser.step()
    assert layer([answer, noise]).shares[0] > 0.95


# ------------------------------------------------------------------ numbers about patients


def test_numbers_are_standardised_and_what_is_unknown_is_zero_with_a_flag() -> None:
    layer = FeatureInput({"one": (0, 2), "two": (2, 3)})
    train = np.array([[1, 5, 0], [3, 5, NAN], [NAN, 5, 4]], np.float32)
    layer.fit(train)
    out = layer(torch.tensor([[1.0, 7, 4], [NAN, 5, NAN], [NAN, NAN, NAN]]))
    assert out.tolist() == [
        [-1, 2, 1, 1, 1],  # a column that never varies is only centred
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    assert layer.width == 5


def test_a_rare_flag_is_cut() -> None:
    layer = FeatureInput({"one": (0, 1)})
    layer.fit(np.array([[1]] + [[0]] * 9999, np.float32))
    assert layer(torch.ones(1, 1)).tolist() == [[FURTHEST, 1]]


# ------------------------------------------------------------------ the network


def test_the_study_s_network_has_the_study_s_layers() -> None:
    """Dense 256, dropout 0.5, Dense 256, one output per finding; all ReLU."""
    head = a_classifier(a_spec(fused=False, head=HeadSettings())).module.head
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]
    shapes = [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Linear)]
    assert shapes == [(256, 96), (256, 256), (3, 256)]
    assert head[2].p == 0.5


def test_the_fused_network_of_the_study_worked_by_hand() -> None:
    """Skip: image and numbers to dense layers, mixed, plus a dense layer of the image around."""
    spec = a_spec(head=replace(SMALL, residual="study"))
    made = a_classifier(spec)
    fusion = made.module.fusion
    assert isinstance(fusion, Fusion)
    vectors = torch.randn(2, 96, generator=torch.Generator().manual_seed(1))
    numbers = torch.tensor([[0.5, 1, 0, NAN, 2], [NAN] * 5])
    told = torch.tensor([[0.5, 1, 0, 0, 2, 1, 1], [0.0] * 7])
    relu = nn.functional.relu
    assert isinstance(fusion.around, nn.Sequential)
    image, around = fusion.image[0], fusion.around[0]
    mixed = (relu(image(vectors)) + relu(fusion.features[0](told))) / 2 + relu(around(vectors))
    first, _, _, second, _, last = made.module.head
    expected = last(relu(second(relu(first(mixed)))))
    found = made.module.decide(vectors, numbers)
    torch.testing.assert_close(found.logits, expected)
    assert found.mixed is not None
    np.testing.assert_allclose(found.mixed.shares.detach(), [0.5, 0.5])


def test_a_plain_residual_lets_a_gradient_through_where_every_relu_is_dead() -> None:
    """The study's trouble: no gradient reaches the backbone once its dense layer is dead."""
    norms = {}
    residuals: list[Any] = ["none", "study", "plain"]
    for residual in residuals:
        head = replace(SMALL, residual=residual, hidden=())
        fusion = a_classifier(a_spec(head=head)).module.fusion
        assert fusion is not None
        dense = [fusion.image]
        if isinstance(fusion.around, nn.Sequential):
            dense.append(fusion.around)
        with torch.no_grad():
            for layers in dense:
                layers[0].bias.fill_(-100)
        vectors = torch.randn(4, 96, requires_grad=True)
        fusion(vectors, torch.zeros(4, 5)).vector.sum().backward()
        assert vectors.grad is not None
        norms[residual] = vectors.grad.norm().item()
    assert norms["none"] == norms["study"] == 0
    assert norms["plain"] > 0


@pytest.mark.parametrize(
    "head",
    [
        HeadSettings(), HeadSettings(hidden=()), HeadSettings(mix="gate", residual="plain"),
        HeadSettings(softmax=False, per_feature=True, layer_norm=True, activation="gelu"),
        HeadSettings(residual="study", hidden=(8,)),
    ],
    ids=["study", "linear", "gate", "free", "one layer"],
)  # fmt: skip
def test_every_kind_of_head_scores_saves_and_loads(head: HeadSettings, tmp_path: Path) -> None:
    made = a_classifier(a_spec(head=head), seed=3)
    pixels, numbers = blobs(5, size=40), numbers_for(5)
    path = save_classifier(made, tmp_path / "run" / "classifier.safetensors")
    again = load_classifier(path, engine=slow_processor())
    assert (again.spec, again.fingerprint) == (made.spec, made.fingerprint)
    found = again.logits(pixels, numbers)
    assert found.shape == (5, 3)
    np.testing.assert_array_equal(found, made.logits(pixels, numbers))
    np.testing.assert_allclose(made.scores(pixels, numbers), 1 / (1 + np.exp(-found)), rtol=1e-5)
    assert len(made.scores(pixels[:0], numbers[:0])) == 0
    gradient = torch.autograd.grad(
        made.module(to_input(torch.from_numpy(pixels), made.spec.image),
                    torch.from_numpy(numbers)).sum(),
        next(made.module.backbone.parameters()),
    )  # fmt: skip
    assert gradient[0].abs().sum() > 0


def test_the_image_alone_needs_no_features_and_refuses_them() -> None:
    made = a_classifier(a_spec(fused=False))
    pixels = blobs(2, size=32)
    assert made.logits(pixels).shape == (2, 3)
    assert made.module.fusion is None
    with pytest.raises(UsageError, match=r"expected 0 features of each of 2 .*got .* \(2, 5\)"):
        made.logits(pixels, numbers_for(2))


def test_features_may_be_left_out_only_where_that_was_learnt() -> None:
    pixels = blobs(2, size=32)
    with pytest.raises(UsageError, match="at 5 features of demographics, previous and never learn"):
        a_classifier().logits(pixels)
    made = a_classifier(replace(a_spec(), missing=0.3))
    nothing = np.full((2, 5), NAN, np.float32)
    np.testing.assert_array_equal(made.logits(pixels), made.logits(pixels, nothing))


def test_five_looks_are_the_whole_and_the_corners() -> None:
    pixels = torch.arange(100, dtype=torch.uint8).reshape(1, 10, 10)
    looks = corners(pixels)
    assert [tuple(look.shape) for look in looks] == [(1, 10, 10), *[(1, 9, 9)] * 4]
    assert [look[0, 0, 0].item() for look in looks] == [0, 0, 1, 10, 11]
    made = a_classifier(a_spec(fused=False))
    films = blobs(3, size=40)
    several = [made.scores(look.numpy()) for look in corners(torch.from_numpy(films))]
    np.testing.assert_allclose(made.scores(films, looks=5), np.mean(several, axis=0), rtol=1e-5)
    with pytest.raises(UsageError, match="looks at an image are 1 or 5; got 2"):
        made.scores(films, looks=2)


@pytest.mark.parametrize("pooling", ["own", "avg", "max"])
@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet"])
def test_a_backbone_pools_as_it_is_told_to(architecture: str, pooling: Any) -> None:
    module = build_module(architecture, 160, 1, pooling=pooling).eval()
    dim = feature_dim(module, 160, 1)
    x = torch.randn(2, 1, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, spatial = module(x), module.forward_features(x)  # type: ignore[operator]
    assert found.shape == (2, dim)
    if architecture == "test_resnet" and pooling != "own":
        expected = spatial.amax((2, 3)) if pooling == "max" else spatial.mean((2, 3))
        torch.testing.assert_close(found, expected)


# ------------------------------------------------------------------ its file


def test_a_classifier_is_an_encoder_too(tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = a_classifier(a_spec(pooling="max"))
    save_classifier(made, run / "classifier.safetensors")
    encoder = load_encoder(run, engine=slow_processor())
    pixels = blobs(3, size=32)
    np.testing.assert_array_equal(
        encoder.encode_images(pixels), made.encoder().encode_images(pixels)
    )
    assert encoder.fingerprint == made.encoder().fingerprint
    saved = save_encoder(encoder, tmp_path / "backbone.safetensors")
    again = load_encoder(saved, engine=slow_processor())
    np.testing.assert_array_equal(again.encode_images(pixels), encoder.encode_images(pixels))
    assert again.spec.as_dict()["pooling"] == "max"


def test_the_usual_pooling_leaves_fingerprints_as_they_were() -> None:
    spec = random_encoder("test_resnet", size=32, engine=slow_processor()).spec
    assert "pooling" not in spec.as_dict()


def test_a_file_says_what_the_classifier_expects(tmp_path: Path) -> None:
    made = a_classifier()
    made.notes["Hernia"] = "no validation image has it"
    path = save_classifier(made, tmp_path / "c.safetensors", recipe={"a": 1}, provenance={"b": 2})
    _, header = read_tensors(path)
    assert (header["kind"], header["recipe"], header["provenance"]) == (
        "classifier",
        {"a": 1},
        {"b": 2},
    )
    assert header["spec"] == json.loads(json.dumps(made.spec.as_dict()))
    assert load_classifier(path, engine=slow_processor()).notes == made.notes


def changed(path: Path, **changes: Any) -> None:
    tensors, header = read_tensors(path)
    spec = header["spec"] | {k: v for k, v in changes.items() if k in header["spec"]}
    tensors = {k: v for k, v in tensors.items() if k != changes.get("without")}
    header |= {k: v for k, v in changes.items() if k in header}
    write_tensors(path, tensors, header | {"spec": spec})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "image"}, "expected the weights of a classifier .*in format 1; got kind 'image'"),
        ({"findings": ["Edema"]}, "the weights do not match their own fingerprint"),
        ({"without": "head.0.bias"}, "the weights do not match their own fingerprint"),
        ({"looks": 3}, "the spec in its header cannot be used: looks at an image are 1 or 5"),
        ({"head": {"depth": 3}}, "its header has no spec that this version understands"),
        ({"groups": {"previous": 3}}, "the spec in its header cannot be used"),
        ({"findings": []}, "cannot be used: a classifier scores different findings"),
    ],
    ids=["kind", "findings", "tensor", "looks", "head", "groups", "none"],
)
def test_a_file_that_does_not_fit_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save_classifier(a_classifier(), tmp_path / "c.safetensors")
    changed(path, **changes)
    with pytest.raises(WeightsError, match=message):
        load_classifier(path)


def test_tensors_of_another_network_are_named(tmp_path: Path) -> None:
    made = a_classifier()
    path = save_classifier(made, tmp_path / "c.safetensors")
    tensors, header = read_tensors(path)
    del tensors["fusion.mix.gamma"]
    from hilum.encoders.tensors import digest

    header["fingerprint"] = digest(tensors, made.spec.as_dict())
    write_tensors(path, tensors, header)
    with pytest.raises(WeightsError, match=r"do not fit; 1 missing: fusion\.mix\.gamma"):
        load_classifier(path)


def test_folders_without_a_classifier_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no classifier\.safetensors; it is not a run of"):
        load_classifier(tmp_path)
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"no classifier\.safetensors; the run is not finished"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeadSettings(mix=cast(Any, "stew")), "mix 'stew' is not known; choose from s"),
        (lambda: HeadSettings(residual=cast(Any, "yes")), "residual 'yes' is not known; choose"),
        (lambda: HeadSettings(dropout=1.0), r"dropout is at least 0 and below 1; got .*=1\.0"),
        (lambda: HeadSettings(hidden=(0,)), r"widths are at least 1 .*hidden=\(0,\)"),
        (lambda: a_spec(pooling="sum"), "'sum' is not a way to pool; choose from own, avg, max"),
        (lambda: replace(a_spec(), inputs=("image",)), "inputs are image and those of its feat"),
        (lambda: replace(a_spec(), looks=2), "looks at an image are 1 or 5; got 2"),
    ],
    ids=["mix", "residual", "dropout", "width", "pooling", "inputs", "looks"],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
