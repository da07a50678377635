import json
import math
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms import v2  # type: ignore[import-untyped]
from typer.testing import CliRunner

from hilum.cli import app
from hilum.encoders import convert, load_pair, tokenise
from hilum.encoders.checkpoint import read_checkpoint
from hilum.encoders.clip import clip_config
from hilum.encoders.clip_shapes import config_of, name_of
from hilum.encoders.tensors import read_tensors
from hilum.errors import UsageError, WeightsError
from reference_pair import CONTEXT, TEXTS, some_pixels, tiny_config
from reference_training import slow_processor

QUICK = "ViT-B-32-quickgelu"
TENSORS = 38  # 12 of each tower's one block, and 14 beside them


def model(seed: int = 0, **changes: Any) -> Any:
    """Return open_clip's own CLIP of OpenAI's layout with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = open_clip.CLIP(**tiny_config(**changes), init_logit_scale=3.0)
    return made.eval()


def weights(**changes: Any) -> dict[str, Tensor]:
    state: dict[str, Tensor] = model(**changes).state_dict()
    return {name: value.clone() for name, value in state.items()}


def saved(content: object, tmp_path: Path, name: str = "c.pt") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


# ------------------------------------------------------------------ CheXzero


def test_a_chexzero_checkpoint_gives_the_originals_own_features(tmp_path: Path) -> None:
    """CheXzero: normalise 0...255, resize by torchvision without antialiasing, open_clip's CLIP."""
    report = convert(saved(weights(), tmp_path), tmp_path / "e.safetensors", "chexzero")
    pair = load_pair(tmp_path / "e.safetensors", engine=slow_processor())
    prepare = v2.Compose([
        v2.Normalize((101.48761,) * 3, (83.43944,) * 3),
        v2.Resize(32, v2.InterpolationMode.BICUBIC, antialias=False),
    ])  # fmt: skip
    pixels = some_pixels(3, 40)
    images = prepare(torch.from_numpy(pixels)[:, None].expand(-1, 3, -1, -1).float())
    with torch.inference_mode():
        image, text, _ = model()(images, torch.from_numpy(tokenise(TEXTS, CONTEXT)))
    found = torch.from_numpy(pair.encode_images(pixels)), torch.from_numpy(pair.encode_texts(TEXTS))
    torch.testing.assert_close(found[0], image, rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1], text, rtol=0, atol=1e-5)
    assert pair.scale == pytest.approx(math.exp(3))
    assert report.fingerprint == pair.fingerprint
    assert (pair.spec.recipe, pair.spec.size, pair.spec.image.resize) == ("chexzero", 32, "bicubic")
    assert pair.spec.mean == pytest.approx((0.39799,) * 3, abs=1e-5)
    assert pair.spec.std == pytest.approx((0.32721,) * 3, abs=1e-5)


def test_every_entry_of_a_chexzero_checkpoint_is_accounted_for(tmp_path: Path) -> None:
    state = weights()
    report = convert(saved(state, tmp_path), tmp_path / "e.safetensors", "chexzero")
    assert set(report.used) == set(state)
    assert len(report.used) == TENSORS
    assert report.dropped == {}
    assert report.architecture == "open_clip:vit-w64-l1-p16-32"
    assert dict(report.notes) == {
        "image": "32 px, mean 0.3980, std 0.3272", "text": "16 tokens", "vectors": "12 numbers",
        "parameters": sum(one.numel() for one in state.values()), "stored in": "float32",
        "logit scale": 20.086,
    }  # fmt: skip
    json.dumps(report.as_dict())
    held, header = read_tensors(tmp_path / "e.safetensors")
    assert header["kind"] == "pair"
    assert header["provenance"] == {"file": "c.pt", "layout": "chexzero"}
    assert torch.equal(held["clip.visual.proj"], state["visual.proj"])
    assert set(held) == {
        *(f"clip.{name}" for name in state if name != "logit_scale"), "logit_scale", "logit_bias",
    }  # fmt: skip


def test_half_precision_and_a_prefix_are_taken_off(tmp_path: Path) -> None:
    state = weights()
    halved = {f"module.{name}": one.half() if one.ndim > 1 else one for name, one in state.items()}
    report = convert(saved(halved, tmp_path), tmp_path / "e.safetensors", "chexzero")
    assert set(report.used) == set(halved)
    assert report.notes["stored in"] == "float16, float32"
    held, _ = read_tensors(tmp_path / "e.safetensors")
    assert {one.dtype for one in held.values()} == {torch.float32}
    assert torch.equal(held["clip.visual.proj"], state["visual.proj"].half().float())


def meta(**changes: Any) -> dict[str, Tensor]:
    """Return the weights of a large CLIP without their memory."""
    with torch.device("meta"):
        clip = open_clip.CLIP(**changes)
    found: dict[str, Tensor] = clip.state_dict()
    return found


def test_the_shapes_of_the_published_checkpoints_say_what_they_are() -> None:
    published = meta(**clip_config(QUICK))
    assert len(published) == 302
    assert config_of(published, "x") == clip_config(QUICK)
    assert name_of(config_of(published, "x")) == QUICK
    large = clip_config("ViT-L-14-336-quickgelu")
    assert name_of(config_of(meta(**large), "x")) == "ViT-L-14-336-quickgelu"


def test_the_shapes_of_a_chexzero_trained_from_random_weights_say_so_too() -> None:
    """Its --random_init route: 320 px in patches of 16, vectors of 768, a context of its own."""
    config = clip_config(QUICK, size=320, context=120)
    config["vision_cfg"]["patch_size"] = 16
    config["embed_dim"] = 768
    found = config_of(meta(**config), "x")
    assert found == config
    assert found["vision_cfg"] == {"image_size": 320, "layers": 12, "width": 768, "patch_size": 16}
    assert found["text_cfg"]["heads"] == 8
    assert name_of(found) == "vit-w768-l12-p16-320"


def without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: one for name, one in state.items() if name not in names}


BLOCK = "transformer.resblocks.0"
FAULTS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "a tensor is missing": (
        lambda s: without(s, f"visual.{BLOCK}.ln_1.bias", "ln_final.bias"),
        rf"2 missing: .*visual\.{BLOCK}\.ln_1\.bias",
    ),
    "a tensor too many": (lambda s: {**s, "head.w": torch.ones(1)}, r"1 unexpected: head\.w"),
    "a shape is wrong": (
        lambda s: {**s, "ln_final.bias": torch.ones(3)},
        r"1 of another shape: ln_final\.bias \(3,\) instead of \(64,\)",
    ),
    "no scale": (lambda s: without(s, "logit_scale"), "expected one number each as logit_scale"),
    "a long scale": (lambda s: {**s, "logit_scale": torch.ones(2)}, "expected one number each as"),
    "no image tower": (
        lambda s: {name: one for name, one in s.items() if not name.startswith("visual.")},
        r"not a CLIP of OpenAI's layout .*there is no visual\.conv1\.weight; it begins with pos",
    ),
    "another network": (
        lambda _: {"encoder.layers.0.weight": torch.ones(3)},
        r"there is no visual\.conv1\.weight; it begins with encoder\.layers\.0",
    ),
    "a flat projection": (
        lambda s: {**s, "text_projection": torch.ones(3)},
        r"text_projection has the shape \(3,\), not 2 dimensions",
    ),
    "an odd grid": (
        lambda s: {**s, "visual.positional_embedding": torch.ones(7, 64)},
        r"7 places in visual\.positional_embedding are not a square and one",
    ),
    "another vocabulary": (
        lambda s: {**s, "token_embedding.weight": torch.ones(300, 64)},
        "expected 49408 tokens and widths in multiples of 64; got 300 tokens, widths 64 and 64",
    ),
    "no tensors": (lambda _: {"epoch": 3}, "holds no tensors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_does_not_fit_says_why(fault: str, tmp_path: Path) -> None:
    make, message = FAULTS[fault]
    path = saved(make(weights()), tmp_path)
    with pytest.raises(WeightsError, match=rf"c\.pt: .*{message}"):
        convert(path, tmp_path / "e.safetensors", "chexzero")
    assert not (tmp_path / "e.safetensors").exists()


def test_a_size_or_a_model_that_is_not_the_checkpoints_is_refused(tmp_path: Path) -> None:
    path = saved(weights(), tmp_path)
    with pytest.raises(UsageError, match=r"c\.pt: its images are 32 px, not 320; leave the size"):
        convert(path, tmp_path / "e.safetensors", "chexzero", size=320)
    with pytest.raises(UsageError, match=r"a vit-w64-l1-p16-32, not the ViT-B-16 that is asked"):
        convert(path, tmp_path / "e.safetensors", "chexzero", architecture="ViT-B-16")
    assert convert(path, tmp_path / "e.safetensors", "chexzero", size=32).used


class Hostile:
    """A pickle that would make a folder when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    path = saved({**weights(), "logit_scale": Hostile(tmp_path / "pwned")}, tmp_path)
    with pytest.raises(
        WeightsError, match=r"c\.pt: refused, .* could run code: it asks for posix\.mkdir$"
    ):
        convert(path, tmp_path / "e.safetensors", "chexzero")
    assert not (tmp_path / "pwned").exists()


# ------------------------------------------------------------------ OpenAI's and open_clip's


SIZES = {"input_resolution": 32, "context_length": CONTEXT, "vocab_size": 49408}


def test_openais_state_dict_is_known_by_the_sizes_in_it(tmp_path: Path) -> None:
    state = weights() | {name: torch.tensor(size) for name, size in SIZES.items()}
    report = convert(saved(state, tmp_path), tmp_path / "e.safetensors", "open-clip")
    assert set(report.dropped) == set(SIZES)
    assert set(report.dropped.values()) == {"a size, which the shapes say too"}
    assert len(report.used) == TENSORS
    pair = load_pair(tmp_path / "e.safetensors", engine=slow_processor())
    assert pair.spec.clip == tiny_config()
    assert pair.spec.mean == open_clip.OPENAI_DATASET_MEAN
    assert pair.spec.image.resize == "antialiased"


def test_sizes_that_are_plain_numbers_do_as_well(tmp_path: Path) -> None:
    report = convert(saved({**weights(), **SIZES}, tmp_path), tmp_path / "e.st", "open-clip")
    assert set(report.dropped.values()) == {"a size, which the shapes say too"}


def test_a_model_whose_activation_is_not_known_must_be_named(tmp_path: Path) -> None:
    path = saved(weights(), tmp_path)
    with pytest.raises(UsageError, match=r"do not say which activation .*such as --arch ViT-B-32 "):
        convert(path, tmp_path / "e.safetensors", "open-clip")


@pytest.mark.parametrize("name", [None, "ViT-B-32"])
def test_what_is_no_clip_is_not_asked_for_its_activation(tmp_path: Path, name: str | None) -> None:
    path = saved({"encoder_q.conv1.weight": torch.ones(2)}, tmp_path)
    message = r"c\.pt: not a CLIP: there is no logit_scale; it begins with encoder_q\.conv1\.weight"
    with pytest.raises(WeightsError, match=message):
        convert(path, tmp_path / "e.safetensors", "open-clip", architecture=name)


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let open_clip's models be tiny."""
    real = open_clip.get_model_config

    def small(name: str) -> dict[str, Any]:
        config: dict[str, Any] = real(name)
        return config | {key: tiny_config()[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}

    monkeypatch.setattr(open_clip, "get_model_config", small)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_training_checkpoint_of_open_clip_is_read_by_the_name_of_its_model(
    suffix: str, tmp_path: Path, small_models: None
) -> None:
    state = weights(quick_gelu=False)
    path = tmp_path / f"epoch_3.{suffix}"
    if suffix == "pt":
        prefixed = {f"module.{name}": one for name, one in state.items()}
        torch.save({"epoch": 3, "name": "run", "state_dict": prefixed, "optimizer": {}}, path)
    else:
        save_file(state, path)
    report = convert(path, tmp_path / "e.safetensors", "open-clip", architecture="ViT-B-32")
    assert len(report.used) == TENSORS
    assert set(report.dropped) == ({"epoch", "name", "optimizer"} if suffix == "pt" else set())
    pair = load_pair(tmp_path / "e.safetensors", engine=slow_processor())
    tokens = torch.from_numpy(tokenise(TEXTS, CONTEXT))
    with torch.inference_mode():
        expected = model(quick_gelu=False).encode_text(tokens, normalize=True)
        other = model().encode_text(tokens, normalize=True)
    found = torch.from_numpy(pair.encode_texts(TEXTS))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - other).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("means", "found"), [([0.1, 0.1], 0.1), ([0.1, 0.2], 0.48145466), ([], 0.48145466)]
)
def test_the_normalisation_of_a_named_model_is_that_of_its_published_weights_if_they_agree(
    means: list[float],
    found: float,
    tmp_path: Path,
    small_models: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tags = {str(place): {"mean": (one,) * 3, "std": (0.3,) * 3} for place, one in enumerate(means)}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: list(tags))
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _, tag: tags[tag])
    path = saved(weights(), tmp_path)
    convert(path, tmp_path / "e.safetensors", "open-clip", architecture="ViT-B-32-quickgelu")
    assert load_pair(tmp_path / "e.safetensors", engine=slow_processor()).spec.mean[0] == found


def test_a_model_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="open_clip has no model 'ViT-B-33'; similar: "):
        convert(saved(weights(), tmp_path), tmp_path / "e", "open-clip", architecture="ViT-B-33")


# ------------------------------------------------------------------ TorchScript


class Traced(nn.Module):
    """OpenAI's archive: a CLIP that holds its sizes as tensors, and its program."""

    def __init__(self) -> None:
        super().__init__()
        for name, part in model().named_children():
            self.add_module(name, part)
        for name, one in model().named_parameters(recurse=False):
            setattr(self, name, nn.Parameter(one.detach()))
        for name, size in SIZES.items():
            self.register_buffer(name, torch.tensor(size))
        self.register_buffer("attn_mask", model().attn_mask)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.visual(images)  # type: ignore[operator]
        return out


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "ViT-B-32.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is on its way out of torch; such files stay
        program: Any = torch.jit.trace
        traced = program(Traced().eval(), torch.ones(1, 3, 32, 32), check_trace=False)
        torch.jit.save(traced, str(path))
    return path


def test_the_tensors_of_openais_archive_are_read_without_its_program(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_code(*_: object, **__: object) -> None:
        raise AssertionError("the archive's program was loaded")

    monkeypatch.setattr(torch.jit, "load", no_code)
    report = convert(archive, tmp_path / "e.safetensors", "open-clip")
    assert len(report.used) == TENSORS
    assert report.dropped == {
        **dict.fromkeys(SIZES, "a size, which the shapes say too"),
        "attn_mask": "causal mask, made anew",
    }
    state = weights()
    held, _ = read_tensors(tmp_path / "e.safetensors")
    for name, one in state.items():
        assert torch.equal(held[name if name == "logit_scale" else f"clip.{name}"], one), name


def changed(archive: Path, out: Path, change: Callable[[bytes], bytes]) -> Path:
    """Copy an archive with other instructions in its pickle."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith("/data.pkl") else content)
    return out


@pytest.mark.parametrize("name", ["posix\nmkdir", "pathlib\nPath.mkdir", "torch.jit\nload"])
def test_a_hostile_archive_is_refused_and_runs_nothing(
    name: str, archive: Path, tmp_path: Path
) -> None:
    asked = name.replace("\n", ".")
    marker = str(tmp_path / "pwned").encode()
    call = f"c{name}\n".encode() + b"X" + len(marker).to_bytes(4, "little") + marker + b"\x85R"
    path = changed(archive, tmp_path / "h.pt", lambda content: content[:2] + call + content[2:])
    with pytest.raises(
        WeightsError, match=rf"h\.pt: refused, .*could run code: it asks for {asked}$"
    ):
        read_checkpoint(path)
    assert not (tmp_path / "pwned").exists()


def test_a_damaged_archive_is_an_error(archive: Path, tmp_path: Path) -> None:
    for length in (0, 2, 60):
        path = changed(archive, tmp_path / f"{length}.pt", lambda content: content[:length])  # noqa: B023
        with pytest.raises(WeightsError, match=r"\.pt: (refused, because|not a readable torch)"):
            read_checkpoint(path)


# ------------------------------------------------------------------ by command


def test_the_command_reports_what_was_used_and_dropped(tmp_path: Path) -> None:
    path = saved({**weights(), **SIZES}, tmp_path)
    done = CliRunner().invoke(
        app, ["convert", str(path), str(tmp_path / "e.safetensors"), "--from", "open-clip"]
    )
    assert done.exit_code == 0, done.output
    assert f"used: {TENSORS} tensors" in done.output
    assert "dropped: 3 (a size, which the shapes say too): input_resolution" in done.output
