"""CheXNet's and X-MIR's checkpoints: the networks' own features, every tensor accounted for."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders import Encoder, convert, load_encoder, load_image
from hilum.encoders.image import EncoderSpec, Projected, module_of
from hilum.encoders.weights import save_encoder
from hilum.errors import UsageError, WeightsError
from reference_training import slow_processor

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def densenet() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = torchvision.models.densenet121(weights=None).eval()
    return model


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model: nn.Module = torchvision.models.resnet50(weights=None).eval()
    return model


def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)


def seen() -> Tensor:
    """Return the images as the originals normalise them."""
    grey = torch.from_numpy(pixels())[:, None].float() / 255
    return (grey.expand(-1, 3, -1, -1) - MEAN) / STD


def saved(state: Mapping[str, object], folder: Path) -> Path:
    torch.save(dict(state), folder / "model.pth.tar")
    return folder / "model.pth.tar"


def chexnet(model: nn.Module) -> dict[str, Tensor]:
    """Name tensors as DataParallel and torchvision did when CheXNet was saved."""
    old = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("features.") and not name.endswith("num_batches_tracked"):
            dotted = re.sub(r"(denselayer\d+)\.(norm|conv)(\d)", r"\1.\2.\3", name)
            old[f"module.densenet121.{dotted}"] = tensor
    old["module.densenet121.classifier.0.weight"] = torch.ones(14, 1024)
    old["module.densenet121.classifier.0.bias"] = torch.ones(14)
    return old


def test_a_chexnet_checkpoint_gives_the_networks_own_features(
    densenet: nn.Module, tmp_path: Path
) -> None:
    path = saved({"state_dict": chexnet(densenet), "epoch": 5, "best_loss": 0.25}, tmp_path)
    report = convert(path, tmp_path / "e.safetensors", "chexnet", size=64)
    assert report.architecture == "densenet121"
    assert len(report.used) == 604
    assert [why for why in report.dropped.values() if "head" in why] == ["classification head"] * 2
    assert report.notes == {
        "epoch": 5,
        "best_loss": 0.25,
        "counts of batches that it lacks, set to 0": 121,
    }
    encoder = load_encoder(tmp_path / "e.safetensors", engine=slow_processor())
    assert isinstance(encoder, Encoder)
    assert (encoder.spec.dim, encoder.spec.size) == (1024, 64)
    with torch.inference_mode():
        features = functional.relu(densenet.get_submodule("features")(seen()))
        own = functional.adaptive_avg_pool2d(features, 1).flatten(1)
    np.testing.assert_allclose(encoder.encode_images(pixels()), own.numpy(), atol=2e-5)


def test_an_x_mir_densenet_gives_its_own_embedding(densenet: nn.Module, tmp_path: Path) -> None:
    state = {
        name.replace("features.", "densenet121.0."): tensor
        for name, tensor in densenet.state_dict().items()
        if name.startswith("features.")
    }
    layer = nn.Linear(1024, 256)
    state |= {"fc.weight": layer.weight.detach(), "fc.bias": layer.bias.detach()}
    report = convert(saved(state, tmp_path), tmp_path / "e.safetensors", "x-mir", size=64)
    assert not report.dropped
    assert len(report.used) == len(state)
    encoder = load_encoder(tmp_path / "e.safetensors", engine=slow_processor())
    assert isinstance(encoder, Encoder)
    assert (encoder.spec.dim, encoder.spec.projection) == (256, 256)
    with torch.inference_mode():
        features = functional.relu(densenet.get_submodule("features")(seen()))
        own = layer(functional.adaptive_avg_pool2d(features, 1).flatten(1))
    np.testing.assert_allclose(encoder.encode_images(pixels()), own.numpy(), atol=2e-5)


def test_an_x_mir_resnet_gives_its_own_features(resnet: nn.Module, tmp_path: Path) -> None:
    order = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    state = {
        f"resnet50.{order.index(name.partition('.')[0])}.{name.partition('.')[2]}": tensor
        for name, tensor in resnet.state_dict().items()
        if not name.startswith("fc.")
    }
    convert(saved(state, tmp_path), tmp_path / "e.safetensors", "x-mir", size=64)
    encoder = load_encoder(tmp_path / "e.safetensors", engine=slow_processor())
    resnet.fc = nn.Identity()
    with torch.inference_mode():
        own = resnet(seen())
    np.testing.assert_allclose(encoder.encode_images(pixels()), own.numpy(), atol=2e-4, rtol=2e-4)


def test_what_is_something_else_is_refused(densenet: nn.Module, tmp_path: Path) -> None:
    out = tmp_path / "e.safetensors"
    state = chexnet(densenet)
    with pytest.raises(
        WeightsError, match=r"'module\.densenet121\.features\..* of x-mir's network"
    ):
        convert(saved(state, tmp_path), out, "x-mir")
    with pytest.raises(
        WeightsError, match="expected one network of densenet121 or resnet50; found"
    ):
        convert(saved({"fc.weight": torch.ones(4, 4)}, tmp_path), out, "x-mir")
    with pytest.raises(WeightsError, match="a densenet121, not the resnet50 that is asked for"):
        convert(saved(state, tmp_path), out, "chexnet", architecture="resnet50")
    del state["module.densenet121.features.norm5.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: features\.norm5\.weight"):
        convert(saved(state, tmp_path), out, "chexnet")
    assert not out.exists()


def projected(seed: int = 0) -> Encoder:
    spec = EncoderSpec("test_resnet", 32, 1, (0.5,), (0.25,), 5, projection=5)
    return Encoder(spec, module_of(spec, seed), slow_processor())


def test_a_projection_is_saved_read_and_left_out(tmp_path: Path) -> None:
    encoder = projected()
    save_encoder(encoder, tmp_path / "e.safetensors")
    again = load_encoder(tmp_path / "e.safetensors", engine=slow_processor())
    images = pixels()
    np.testing.assert_array_equal(again.encode_images(images), encoder.encode_images(images))
    assert again.fingerprint == encoder.fingerprint
    below = load_image(tmp_path / "e.safetensors", engine=slow_processor())
    assert below.spec.projection == 0
    assert isinstance(encoder.module, Projected)
    with torch.inference_mode():
        layer = encoder.module.projection
        own = layer(torch.from_numpy(below.encode_images(images)))
    np.testing.assert_allclose(own.numpy(), encoder.encode_images(images), atol=1e-6)
    assert below.backbone() is below


def test_the_first_weights_of_a_projection_depend_on_the_seed_alone() -> None:
    assert projected(3).fingerprint == projected(3).fingerprint != projected(4).fingerprint


def test_a_spec_without_projection_keeps_its_fingerprint_and_a_wrong_one_is_refused() -> None:
    spec = EncoderSpec("test_resnet", 32, 1, (0.5,), (0.25,), 5)
    assert "projection" not in spec.as_dict()
    with pytest.raises(UsageError, match="a projection gives the vectors: 7 numbers are not 5"):
        EncoderSpec("test_resnet", 32, 1, (0.5,), (0.25,), 5, projection=7)
