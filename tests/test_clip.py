from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hilum.encoders import load_encoder, load_pair, tokenise
from hilum.encoders.clip import ClipPair, build_clip, clip_config, clip_spec, pretrained_clip
from hilum.encoders.clip_attention import SelfAttention
from hilum.encoders.image import to_input
from hilum.errors import UsageError, WeightsError
from reference_pair import CONTEXT, TEXTS, some_pixels, tiny_clip, tiny_config
from reference_training import slow_processor

NAME = "ViT-B-32-quickgelu"


def original(config: dict[str, Any], pair: ClipPair) -> nn.Module:
    """Return open_clip's own model with the same weights."""
    plain = {key: value for key, value in config.items() if key != "custom_text"}
    model = (open_clip.CustomTextCLIP if "custom_text" in config else open_clip.CLIP)(**plain)
    state = {
        name.removeprefix("clip."): value
        for name, value in pair.state_dict().items()
        if name != "logit_bias"
    }
    model.load_state_dict(state, strict=True)
    eval_mode: nn.Module = model.eval()
    return eval_mode


VARIANTS: dict[str, dict[str, Any]] = {
    "OpenAI's layout": {},
    "towers apart": {"custom_text": True},
    "read both ways": {"text_cfg": {**tiny_config()["text_cfg"], "no_causal_mask": True}},
    "a projection with bias": {
        "text_cfg": {**tiny_config()["text_cfg"], "proj_bias": True},
        "custom_text": True,
    },
    "a class token": {
        "text_cfg": {**tiny_config()["text_cfg"], "embed_cls": True},
        "custom_text": True,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_open_clips_own(variant: str) -> None:
    config = tiny_config(**VARIANTS[variant])
    pair = build_clip(config, seed=3).eval()
    model: Any = original(config, pair)
    tokens = torch.from_numpy(tokenise(TEXTS, CONTEXT))
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            pair.image_features(images), model.encode_image(images), rtol=0, atol=1e-5
        )
        torch.testing.assert_close(
            pair.text_features(tokens), model.encode_text(tokens), rtol=0, atol=1e-5
        )


def test_vectors_of_an_encoder_are_open_clips_normalised_features() -> None:
    pair = tiny_clip()
    assert isinstance(pair.module, ClipPair)
    model: Any = original(tiny_config(), pair.module)
    with torch.inference_mode():
        given = to_input(torch.from_numpy(some_pixels()), pair.spec.image)
        images, texts, scale = model(given, torch.from_numpy(tokenise(TEXTS, CONTEXT)))
    torch.testing.assert_close(
        torch.from_numpy(pair.encode_images(some_pixels())), images, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(torch.from_numpy(pair.encode_texts(TEXTS)), texts, rtol=0, atol=1e-5)
    assert pair.scale == pytest.approx(float(scale), rel=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs_own_with_its_tensors_and_their_names(masked: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        original = nn.MultiheadAttention(24, 3, batch_first=True)
        nn.init.normal_(original.in_proj_bias)
        x = torch.randn(2, 5, 24)
    mask = torch.full((5, 5), -torch.inf).triu(1) if masked else None
    ours = SelfAttention(original)
    expected, _ = original(x, x, x, need_weights=False, attn_mask=mask)
    found, nothing = ours(x, x, x, need_weights=False, attn_mask=mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert nothing is None
    assert list(ours.state_dict()) == list(original.state_dict())


def test_every_block_of_both_towers_has_it() -> None:
    module = tiny_clip().module
    assert [type(one) for one in module.modules()].count(SelfAttention) == 2
    assert not any(isinstance(one, nn.MultiheadAttention) for one in module.modules())


def test_padding_that_all_texts_share_is_not_read() -> None:
    pair = tiny_clip()
    lengths: list[int] = []
    assert isinstance(pair.module, ClipPair)
    tower: Any = pair.module.clip.transformer
    tower.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[1]))
    pair.encode_texts(["edema", "no edema"])
    assert lengths == [5]


def test_vit_b_32_has_openais_302_tensors_and_151_277_313_parameters() -> None:
    with torch.device("meta"):
        pair = ClipPair(open_clip.CLIP(**clip_config(NAME)))
    tensors = {name: one for name, one in pair.state_dict().items() if name != "logit_bias"}
    assert len(tensors) == 302
    assert sum(one.numel() for one in tensors.values()) == 151_277_313
    assert tensors["clip.visual.positional_embedding"].shape == (50, 768)
    assert tensors["clip.visual.conv1.weight"].shape == (768, 3, 32, 32)
    assert tensors["clip.token_embedding.weight"].shape == (49408, 512)
    spec = clip_spec(NAME, clip_config(NAME))
    assert (spec.size, spec.context, spec.dim, spec.channels) == (224, 77, 512, 3)
    assert spec.architecture == f"open_clip:{NAME}"
    assert spec.mean == (0.48145466, 0.4578275, 0.40821073)


def test_features_of_a_whole_vit_b_32_are_open_clips_own() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = open_clip.CLIP(**clip_config(NAME)).eval()
        images = torch.randn(2, 3, 224, 224)
    tokens = torch.from_numpy(tokenise(TEXTS[:3], 77))
    with torch.inference_mode():
        expected = model.encode_image(images), model.encode_text(tokens)
        pair = ClipPair(model)
        found = pair.image_features(images), pair.text_features(tokens)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_size_and_context_of_a_model_may_be_others() -> None:
    config = clip_config(NAME, size=320, context=100)
    spec = clip_spec(NAME, config)
    assert (spec.size, spec.context) == (320, 100)
    with torch.device("meta"):
        clip = open_clip.CLIP(**config)
    assert clip.visual.positional_embedding.shape == (101, 768)
    assert clip.positional_embedding.shape == (100, 512)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-33", r"open_clip has no model 'ViT-B-33'; similar: .*ViT-B-32"),
        ("hf-hub:someone/model", "open_clip has no model 'hf-hub:someone/model'"),
        ("ViT-B-16-SigLIP", "its text tower reads the tokens of timm/ViT-B-16-SigLIP; those that"),
        ("roberta-ViT-B-32", "reads the tokens of roberta-base; those that read OpenAI's 49408"),
        ("coca_ViT-B-32", "it writes captions besides; choose a model of two towers"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clip_config(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_cfg": {"vocab_size": 100}}, "reads 100 tokens, pooled by argmax"),
        ({"text_cfg": {"pool_type": "last"}}, "reads 49408 tokens, pooled by last"),
        ({"text_cfg": None}, "not a configuration of open_clip"),
        ({"vision_cfg": {}}, r"not a configuration of open_clip \(KeyError\('image_size'\)"),
        ({"embed_dim": "12"}, "expected one whole number each for image_size and embed_dim"),
        ({"depth": 3}, r"cannot build a model of this configuration \(TypeError: .*'depth'"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build_clip(tiny_config(**changes))


def test_a_bias_and_a_scale_of_one_dimension_become_the_pairs() -> None:
    pair = build_clip(tiny_config(init_logit_bias=-10.0, nonscalar_logit_scale=True))
    assert pair.logit_scale.shape == pair.logit_bias.shape == ()
    assert pair.logit_bias.item() == -10


# ------------------------------------------------------------------ pretrained weights


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> nn.Module:
    """Let open_clip's models be tiny, and its downloads be a file made here."""
    real = open_clip.get_model_config

    def small(name: str) -> dict[str, Any]:
        config: dict[str, Any] = real(name)
        return config | {key: tiny_config()[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}

    with torch.random.fork_rng():
        torch.manual_seed(9)
        model: nn.Module = open_clip.CLIP(**tiny_config()).eval()
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")

    def download(about: dict[str, Any]) -> str:
        assert about["hf_hub"] == "timm/vit_base_patch32_clip_224.openai/"
        return str(tmp_path / "open_clip_model.safetensors")

    monkeypatch.setattr(open_clip, "get_model_config", small)
    monkeypatch.setattr(open_clip, "download_pretrained", download)
    return model


def test_pretrained_weights_come_with_their_normalisation(published: Any) -> None:
    pair = load_pair(f"open_clip:{NAME}:openai", engine=slow_processor())
    assert pair.spec.source == f"open_clip {NAME} openai"
    assert pair.spec.mean == (0.48145466, 0.4578275, 0.40821073)
    assert pair.spec.clip == clip_config(NAME)
    with torch.inference_mode():
        expected = published.encode_text(torch.from_numpy(tokenise(TEXTS, CONTEXT)), normalize=True)
    torch.testing.assert_close(
        torch.from_numpy(pair.encode_texts(TEXTS)), expected, rtol=0, atol=1e-5
    )


def test_pretrained_weights_of_another_size_have_their_places_resized(published: Any) -> None:
    pair = load_pair(f"open_clip:{NAME}:openai?size=64", engine=slow_processor())
    assert pair.spec.size == 64
    held = pair.module.state_dict()
    assert held["clip.visual.positional_embedding"].shape == (17, 64)
    assert torch.equal(held["clip.visual.proj"], published.visual.proj)


def test_weights_of_another_activation_are_refused_and_the_right_model_named() -> None:
    with pytest.raises(UsageError, match="use open_clip:ViT-B-32-quickgelu:openai"):
        pretrained_clip("ViT-B-32", "openai")


def test_weights_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no weights 'chest' of ViT-B-32.*choose from openai, "):
        pretrained_clip(NAME, "chest")
    with pytest.raises(UsageError, match=rf"names no weights; give open_clip:{NAME}:TAG, or rand"):
        load_encoder(f"open_clip:{NAME}")


def test_weights_that_cannot_be_had_are_one_clear_error(
    published: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("connection refused\nand a long tail")

    monkeypatch.setattr(open_clip, "download_pretrained", no_network)
    with pytest.raises(
        WeightsError,
        match=rf"open_clip:{NAME}:openai: .*could not be had \(OSError: connection refused\); "
        rf"fill .*random:open_clip/{NAME}",
    ):
        load_encoder(f"open_clip:{NAME}:openai")
    assert caplog.records == []
