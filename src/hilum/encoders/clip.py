"""open_clip's two-tower models as pairs.

The model is built from its configuration, which travels whole in the pair's spec: weights stay
readable when open_clip renames or changes a model. Grey images are given to all three channels.
"""

import difflib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, final

import torch
from torch import Tensor, nn

from hilum.encoders.clip_attention import keep_batch_first
from hilum.encoders.device import own_random_numbers
from hilum.encoders.image import EncoderSpec
from hilum.encoders.pair import PairModule, PairSpec
from hilum.encoders.text import END, VOCABULARY
from hilum.errors import UsageError, WeightsError

PREFIX = "open_clip:"


@final
class ClipPair(PairModule):
    """A model of open_clip.

    Parameters
    ----------
    clip
        An open_clip `CLIP` or `CustomTextCLIP`. Its own scale and bias become the pair's.
    """

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        for name, value in (("logit_scale", clip.logit_scale), ("logit_bias", clip.logit_bias)):
            if isinstance(value, Tensor):
                setattr(self, name, nn.Parameter(value.detach().reshape(())))
        del clip.logit_scale, clip.logit_bias
        keep_batch_first(clip)
        self.clip = clip

    def image_features(self, images: Tensor) -> Tensor:
        """Map (n, 3, size, size), normalised, to (n, dim)."""
        out: Tensor = self.clip.encode_image(images)  # type: ignore[operator]
        return out

    def text_features(self, tokens: Tensor) -> Tensor:
        """Map (n, context) int64 to (n, dim).

        Under a causal mask the end token sees nothing behind it, so padding that all texts
        share is left out: the same numbers for less work.
        """
        text: Any = getattr(self.clip, "text", self.clip)
        out: Tensor
        if text.attn_mask is None or getattr(text, "cls_emb", None) is not None:
            out = self.clip.encode_text(tokens)  # type: ignore[operator]
            return out
        ends = (tokens == END).int().argmax(1)
        length = int(ends.max()) + 1
        x = text.token_embedding(tokens[:, :length]) + text.positional_embedding[:length]
        x = text.transformer(x, attn_mask=text.attn_mask[:length, :length])
        pooled = text.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = text.text_projection
        linear = isinstance(projection, nn.Module)
        out = projection(pooled) if linear else pooled @ projection
        return out


def clip_config(
    name: str, *, size: int | None = None, context: int | None = None
) -> dict[str, Any]:
    """Return open_clip's configuration of a model, as plain JSON types.

    Parameters
    ----------
    name
        As open_clip lists it, such as ``"ViT-B-32-quickgelu"``.
    size, context
        Another input size in pixels, another number of tokens.

    Raises
    ------
    UsageError
        If open_clip has no such model, or its texts are not read as OpenAI's tokens.
    """
    import open_clip

    known = open_clip.list_models()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=5)
        raise UsageError(
            f"open_clip has no model {name!r}" + (f"; similar: {', '.join(near)}" if near else "")
        )
    config: dict[str, Any] = open_clip.get_model_config(name)
    if size is not None:
        config["vision_cfg"]["image_size"] = size
    if context is not None:
        config["text_cfg"]["context_length"] = context
    _check(config, name)
    return config


def clip_spec(name: str, config: Mapping[str, Any], **about: Any) -> PairSpec:
    """Return the spec of a model of this configuration.

    Parameters
    ----------
    about
        `mean` and `std` (OpenAI's if not given), `resize`, `recipe`, `source` of the image side.
    """
    import open_clip

    about.setdefault("mean", open_clip.OPENAI_DATASET_MEAN)
    about.setdefault("std", open_clip.OPENAI_DATASET_STD)
    about |= {key: tuple(about[key]) for key in ("mean", "std")}
    image = EncoderSpec(
        architecture=PREFIX + name,
        size=config["vision_cfg"]["image_size"],
        channels=3,
        dim=config["embed_dim"],
        **about,
    )
    return PairSpec(image, config["text_cfg"].get("context_length", 77), clip=dict(config))


def build_clip(config: Mapping[str, Any], *, seed: int = 0) -> ClipPair:
    """Make a model of this configuration with random weights drawn from `seed`.

    Raises
    ------
    UsageError
        If open_clip cannot build it.
    """
    return ClipPair(_model(config, seed))


def _model(config: Mapping[str, Any], seed: int) -> nn.Module:
    from open_clip import CLIP, CustomTextCLIP

    _check(config, "this configuration")
    plain = deepcopy(dict(config))
    kind = CustomTextCLIP if plain.pop("custom_text", False) else CLIP
    try:
        with own_random_numbers(seed):
            model: nn.Module = kind(**plain)
    except (TypeError, ValueError, KeyError, AssertionError, RuntimeError) as error:
        raise UsageError(
            f"open_clip cannot build a model of this configuration "
            f"({type(error).__name__}: {error})"
        ) from error
    return model


def pretrained_clip(name: str, tag: str, *, size: int | None = None) -> tuple[PairSpec, ClipPair]:
    """Make a model with weights that open_clip knows by a tag.

    Raises
    ------
    UsageError
        If open_clip has no such model, or no such weights of it, or they were trained with
        another activation than the model has.
    WeightsError
        If they are neither cached nor to be had from here.
    """
    import open_clip

    config = clip_config(name, size=size)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise UsageError(
            f"open_clip has no weights {tag!r} of {name}; choose from {', '.join(tags) or 'none'}"
        )
    about = open_clip.get_pretrained_cfg(name, tag)
    if about.get("quick_gelu") and not config.get("quick_gelu"):
        raise UsageError(
            f"the weights {tag!r} were trained with another activation than {name} has; "
            f"use {PREFIX}{name}-quickgelu:{tag}"
        )
    try:
        path = open_clip.download_pretrained(about)
        clip = _model(config, 0)
        open_clip.load_checkpoint(clip, path)
    except Exception as error:  # whatever the hub, the network or open_clip raises
        first = str(error).splitlines()[0] if str(error) else "no reason given"
        raise WeightsError(
            f"{PREFIX}{name}:{tag}: pretrained weights could not be had ({type(error).__name__}: "
            f"{first}); fill the hub cache where there is a network, or use "
            f"random:open_clip/{name}"
        ) from error
    normal = {key: about[key] for key in ("mean", "std") if key in about}
    return clip_spec(name, config, source=f"open_clip {name} {tag}", **normal), ClipPair(clip)


def _check(config: Mapping[str, Any], name: str) -> None:
    """Refuse what is not two towers reading one square picture and OpenAI's tokens."""
    try:
        text, vision = config["text_cfg"], config["vision_cfg"]
        foreign = text.get("hf_model_name") or text.get("hf_tokenizer_name")
        vocabulary, size = text.get("vocab_size", VOCABULARY), vision["image_size"]
        dim, pool = config["embed_dim"], text.get("pool_type", "argmax")
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{name}: not a configuration of open_clip ({error!r} is wrong)"
        ) from error
    if foreign or vocabulary != VOCABULARY or pool != "argmax":
        reads = f"the tokens of {foreign}" if foreign else f"{vocabulary} tokens, pooled by {pool}"
        raise UsageError(
            f"{name}: its text tower reads {reads}; those that read OpenAI's {VOCABULARY} tokens "
            "can be used, such as ViT-B-32-quickgelu"
        )
    if "multimodal_cfg" in config:
        raise UsageError(f"{name}: it writes captions besides; choose a model of two towers")
    if not isinstance(size, int) or not isinstance(dim, int):
        raise UsageError(f"{name}: expected one whole number each for image_size and embed_dim")
