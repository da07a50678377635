import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from hilum.encoders import Encoder, convert, load_encoder, random_encoder, save_encoder
from hilum.encoders.tensors import digest, read_tensors, write_tensors
from hilum.encoders.weights import load_module
from hilum.errors import UsageError, WeightsError
from reference_training import slow_processor


def encoder(seed: int = 0) -> Encoder:
    return random_encoder("test_resnet", seed, size=32, engine=slow_processor())


def pixels(n: int = 2, side: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


# ------------------------------------------------------------------ our own file


def test_an_encoder_comes_back_as_it_went(tmp_path: Path) -> None:
    made = encoder()
    path = save_encoder(made, tmp_path / "deep" / "e.safetensors", recipe={"lr": 0.1},
                        provenance={"images": 3})  # fmt: skip
    back = load_encoder(path, engine=slow_processor())
    assert (back.spec, back.fingerprint) == (made.spec, made.fingerprint)
    np.testing.assert_array_equal(back.encode_images(pixels()), made.encode_images(pixels()))
    header = read_tensors(path)[1]
    assert header["recipe"] == {"lr": 0.1}
    assert header["provenance"] == {"images": 3}


def test_the_same_encoder_makes_the_same_file_that_others_may_read(tmp_path: Path) -> None:
    one, two = (save_encoder(encoder(), tmp_path / name) for name in ("a.safetensors", "b.safe"))
    assert one.read_bytes() == two.read_bytes()
    (tmp_path / "plain").touch()
    assert one.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "b.safe", "plain"]


def rewrite(path: Path, **changes: Any) -> Path:
    held, header = read_tensors(path)
    write_tensors(path, held, {**header, **changes})
    return path


def spec_with(path: Path, **fields: Any) -> dict[str, Any]:
    return {**read_tensors(path)[1]["spec"], **fields}


def resigned(path: Path, **fields: Any) -> dict[str, Any]:
    """Return a spec with other fields and the fingerprint that fits it."""
    spec = spec_with(path, **fields)
    return {"spec": spec, "fingerprint": digest(read_tensors(path)[0], spec)}


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda p: p.unlink(), "there is no such file"),
    "cut short": (lambda p: p.write_bytes(p.read_bytes()[:-40]), r"not a readable \.safetensors"),
    "empty": (lambda p: p.write_bytes(b""), r"not a readable \.safetensors file"),
    "text": (lambda p: p.write_text("no weights"), r"not a readable \.safetensors file"),
    "no header": (lambda p: save_file({"w": torch.ones(2)}, p), "without hilum's header; convert"),
    "a list as header": (
        lambda p: save_file({"w": torch.ones(2)}, p, {"hilum": "[]"}),
        "without hilum's header",
    ),
    "header not JSON": (
        lambda p: save_file({"w": torch.ones(2)}, p, {"hilum": "{"}),
        r"not a readable \.safetensors file",
    ),
    "another format": (lambda p: rewrite(p, format=9), "in format 1; got kind 'image', format 9"),
    "another kind": (lambda p: rewrite(p, kind="selector"), "got kind 'selector'"),
    "taken for a pair": (
        lambda p: rewrite(p, kind="pair"),
        "no spec that this version understands",
    ),
    "no spec": (lambda p: rewrite(p, spec=None), "no spec that this version understands"),
    "strange spec": (lambda p: rewrite(p, spec=spec_with(p, depth=3)), "no spec that this vers"),
    "half a spec": (
        lambda p: rewrite(p, spec={"size": 32}),
        r"cannot be used: architecture is miss",
    ),
    "size as text": (lambda p: rewrite(p, spec=spec_with(p, size="32")), "header cannot be used"),
    "name as number": (lambda p: rewrite(p, spec=spec_with(p, architecture=5)), "cannot be used"),
    "unknown network": (
        lambda p: rewrite(p, **resigned(p, architecture="resnet_of_2031")),
        "timm has no architecture 'resnet_of_2031'",
    ),
    "changed spec": (
        lambda p: rewrite(p, spec=spec_with(p, mean=[0.1])),
        "do not match their own fingerprint",
    ),
    "changed fingerprint": (
        lambda p: rewrite(p, fingerprint="0" * 64),
        r"fingerprint \(0000000000",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_an_error_that_says_what_is_wrong(damage: str, tmp_path: Path) -> None:
    path = save_encoder(encoder(), tmp_path / "e.safetensors")
    break_it, message = DAMAGES[damage]
    break_it(path)
    with pytest.raises(WeightsError, match=rf"e\.safetensors: .*{message}"):
        load_encoder(path, engine=slow_processor())


def test_a_folder_without_weights_says_whether_it_is_a_run(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"holds no encoder\.safetensors; it is not a run folder"
    ):
        load_encoder(tmp_path)
    (tmp_path / "settings.json").touch()
    with pytest.raises(WeightsError, match="the run is not finished"):
        load_encoder(tmp_path)
    save_encoder(encoder(), tmp_path / "encoder.safetensors")
    assert load_encoder(tmp_path, engine=slow_processor()).fingerprint == encoder().fingerprint


# ------------------------------------------------------------------ filling a module


def test_every_tensor_that_does_not_fit_is_named() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    good = {name: value.clone() for name, value in module.state_dict().items()}
    bad = {**good, "2.weight": torch.ones(1), "1.bias": torch.ones(5)}
    del bad["0.bias"]
    with pytest.raises(
        WeightsError,
        match=r"x\.pt: the tensors do not fit; 1 missing: 0\.bias; 1 unexpected: 2\.weight; "
        r"1 of another shape: 1\.bias \(5,\) instead of \(1,\)",
    ):
        load_module(module, bad, "x.pt")
    load_module(module, good, "x.pt")


def test_weights_of_something_else_are_said_to_be_that() -> None:
    with pytest.raises(
        WeightsError, match=r"none of its 2 tensors has a name of this .*begins w.* a"
    ):
        load_module(nn.Linear(2, 2), {"a": torch.ones(1), "b": torch.ones(1)}, "x.pt")


def test_long_lists_of_names_are_cut() -> None:
    module = nn.Linear(2, 2)
    extra = {f"k{n}": torch.ones(1) for n in range(13)}
    with pytest.raises(WeightsError, match=r"13 unexpected: k0, .*k9 and 3 more$"):
        load_module(module, {**module.state_dict(), **extra}, "x.pt")


# ------------------------------------------------------------------ references by name


def test_a_control_is_had_by_name() -> None:
    made = load_encoder("random:test_resnet?seed=4&size=32&channels=1", engine=slow_processor())
    assert made.fingerprint == encoder(4).fingerprint


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (
            "random:test_resnet?sead=4",
            "cannot use sead='4'; whole numbers for size, channels, seed",
        ),
        ("random:test_resnet?seed=x", "cannot use seed='x'"),
        ("timm:no_such_net", "timm has no pretrained weights named 'no_such_net'"),
        ("random:no_such_net", "timm has no architecture 'no_such_net'"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(ref: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder(ref)


def test_pretrained_weights_that_cannot_be_had_are_one_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("connection refused\nand a long tail")

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(
        WeightsError,
        match=r"timm:resnet18: .*could not be had \(OSError: connection refused\); .*random:resnet",
    ):
        load_encoder("timm:resnet18")


def test_pretrained_weights_bring_their_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    real = timm.create_model

    def without_download(name: str, **options: Any) -> nn.Module:
        assert options.pop("pretrained")
        return real(name, **options)

    monkeypatch.setattr(timm, "create_model", without_download)
    made = load_encoder("timm:resnet18.tv_in1k?size=64", engine=slow_processor())
    assert made.spec.mean == (0.485, 0.456, 0.406)
    assert (made.spec.size, made.spec.channels, made.spec.dim) == (64, 3, 512)
    assert made.spec.source == "timm resnet18.tv_in1k"
    grey = load_encoder("timm:resnet18.tv_in1k?size=64&channels=1", engine=slow_processor())
    assert grey.spec.mean == pytest.approx((0.449,))


# ------------------------------------------------------------------ MoCo-CXR checkpoints


def reference(architecture: str) -> nn.Module:
    """Return torchvision's network with weights and statistics that are not trivial."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module: nn.Module = torchvision.models.get_model(architecture, weights=None)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    return module.eval()


def moco_checkpoint(module: nn.Module, head: str) -> dict[str, Any]:
    """Return what MoCo-CXR saves of a network under DDP: both encoders, heads, queue, optimiser."""
    state: dict[str, Tensor] = {}
    for side in ("encoder_q", "encoder_k"):
        for name, value in module.state_dict().items():
            if not name.startswith(head):
                state[f"module.{side}.{name}"] = value.clone()
        for layer in ("0.weight", "0.bias", "2.weight", "2.bias"):
            state[f"module.{side}.{head}.{layer}"] = torch.ones(2)
    state["module.queue"] = torch.randn(128, 48)
    state["module.queue_ptr"] = torch.zeros(1, dtype=torch.int64)
    return {"epoch": 20, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {}}}


HEADS = {"resnet18": "fc", "resnet50": "fc", "densenet121": "classifier"}


@pytest.mark.parametrize("architecture", HEADS)
def test_a_converted_checkpoint_gives_torchvisions_own_features(
    architecture: str, tmp_path: Path
) -> None:
    module = reference(architecture)
    head = HEADS[architecture]
    torch.save(moco_checkpoint(module, head), tmp_path / "checkpoint_0019.pth.tar")
    report = convert(tmp_path / "checkpoint_0019.pth.tar", tmp_path / "e.safetensors", size=64)
    ours = load_encoder(tmp_path / "e.safetensors", engine=slow_processor())
    setattr(module, head, nn.Identity())
    images = (torch.from_numpy(pixels())[:, None].float() / 255 - 0.5020) / 0.085585
    with torch.inference_mode():
        expected = module(images.expand(-1, 3, -1, -1)).numpy()
    np.testing.assert_allclose(ours.encode_images(pixels()), expected, rtol=1e-4, atol=1e-4)
    assert report.architecture == ours.spec.architecture == architecture
    assert report.fingerprint == ours.fingerprint
    assert (ours.spec.size, ours.spec.channels, ours.spec.mean) == (64, 3, (0.5020,) * 3)


def test_every_entry_of_a_checkpoint_is_accounted_for(tmp_path: Path) -> None:
    checkpoint = moco_checkpoint(reference("resnet18"), "fc")
    assert len(checkpoint["state_dict"]) == 250  # as the released ResNet-18 checkpoints have
    torch.save(checkpoint, tmp_path / "c.pth.tar")
    report = convert(tmp_path / "c.pth.tar", tmp_path / "e.safetensors")
    everything = {*checkpoint["state_dict"], "epoch", "arch", "optimizer"}
    assert {*report.used, *report.dropped} == everything
    assert len(report.used) == 120
    assert not {*report.used} & {*report.dropped}
    assert report.dropped["module.encoder_q.fc.0.weight"] == "projection or classification head"
    assert report.dropped["module.encoder_k.conv1.weight"].startswith("key encoder")
    assert report.dropped["module.queue"] == "queue of keys"
    assert report.dropped["module.queue_ptr"] == "position in the queue"
    assert report.dropped["optimizer"] == "record of the training run"
    assert dict(report.notes) == {
        "epochs trained": 20, "named architecture": "resnet18", "queue length": 48,
    }  # fmt: skip
    text = report.as_text()
    assert "used: 120 tensors" in text
    assert "dropped: 124 (key encoder: a delayed copy" in text
    assert "queue length: 48" in text
    json.dumps(report.as_dict())


@pytest.mark.parametrize("prefix", ["module.encoder_q.", "encoder_q.", "backbone.", "module.", ""])
def test_the_backbone_is_found_under_any_known_prefix(prefix: str, tmp_path: Path) -> None:
    plain = reference("resnet18").state_dict()
    torch.save({prefix + name: value for name, value in plain.items()}, tmp_path / "c.pt")
    report = convert(tmp_path / "c.pt", tmp_path / "e.safetensors")
    assert len(report.used) == 120
    held = read_tensors(tmp_path / "e.safetensors")[0]
    assert torch.equal(held["layer4.1.conv2.weight"], plain["layer4.1.conv2.weight"])


class Hostile:
    """A pickle that would run a command when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    torch.save({"state_dict": Hostile(tmp_path / "pwned")}, tmp_path / "c.pth.tar")
    with pytest.raises(WeightsError, match=r"c\.pth\.tar: refused, because .*could run code"):
        convert(tmp_path / "c.pth.tar", tmp_path / "e.safetensors")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "e.safetensors").exists()


def without(state: dict[str, Tensor], *starts: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(starts)}


FAULTS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "a tensor is missing": (
        lambda s: without(s, "layer2.0.bn1.bias"),
        r"1 missing: layer2\.0\.bn1\.b",
    ),
    "a tensor too many": (lambda s: {**s, "layer5.weight": s["bn1.bias"]}, "1 unexpected: layer5"),
    "a shape is wrong": (
        lambda s: {**s, "bn1.bias": torch.ones(3)},
        r"bn1\.bias \(3,\) instead of \(64,\)",
    ),
    "no backbone": (lambda _: {"queue": torch.ones(2, 2)}, "not a backbone that is known here"),
    "another network": (lambda _: {"layers.0.weight": torch.ones(3)}, "it begins with layers.0"),
    "a stranger beside it": (
        lambda s: {**{f"encoder_q.{k}": v for k, v in s.items()}, "decoder.w": torch.ones(1)},
        "the weights are under 'encoder_q.', but there is also 'decoder.w'",
    ),
    "no tensors": (lambda _: {"epoch": 3}, "holds no tensors"),
    "a list": (lambda _: [1, 2], "expected a dictionary of tensors, got list"),
    "an odd state_dict": (lambda _: {"state_dict": [1]}, "its state_dict is not a dictionary"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_does_not_fit_says_why(fault: str, tmp_path: Path) -> None:
    make, message = FAULTS[fault]
    torch.save(make(reference("resnet18").state_dict()), tmp_path / "c.pt")
    with pytest.raises(WeightsError, match=rf"c\.pt: .*{message}"):
        convert(tmp_path / "c.pt", tmp_path / "e.safetensors")
    assert not (tmp_path / "e.safetensors").exists()


def test_files_that_are_no_checkpoints_say_so(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    with pytest.raises(WeightsError, match=r"c\.pt: there is no such file"):
        convert(path, tmp_path / "e.safetensors")
    torch.save({"w": torch.ones(50)}, path)
    for content in (path.read_bytes()[:300], b"", b"hello", b"PK\x03\x04" + bytes(80)):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"c\.pt: (not a readable torch check|refused, bec)"):
            convert(path, tmp_path / "e.safetensors")
    for content in (b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"\(it is empty, cut short, or something else\)$"):
            convert(path, tmp_path / "e.safetensors")
    with pytest.raises(
        WeightsError, match=r"c\.pt: not a readable .*; convert foreign weights wit"
    ):
        load_encoder(path)
    with pytest.raises(UsageError, match="'chexpert' is not a layout; choose from moco-cxr"):
        convert(path, tmp_path / "e.safetensors", "chexpert")
