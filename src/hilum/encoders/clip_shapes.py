"""What the shapes of a CLIP's weights say: its configuration, and its name if it has one.

OpenAI's vision transformers and all models of their layout can be known so, but for the
activation, which leaves no trace in weights and is taken to be OpenAI's.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from hilum.encoders.text import VOCABULARY
from hilum.errors import WeightsError

HEAD_WIDTH = 64  # of an attention head in every CLIP of OpenAI


def config_of(state: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """Read open_clip's configuration of a CLIP of OpenAI's layout off its shapes.

    Raises
    ------
    WeightsError
        If a tensor that tells it is missing, or its shape cannot be.
    """
    width, _, patch, _ = _shape(state, "visual.conv1.weight", 4, where)
    places, _ = _shape(state, "visual.positional_embedding", 2, where)
    context, text_width = _shape(state, "positional_embedding", 2, where)
    vocabulary, _ = _shape(state, "token_embedding.weight", 2, where)
    _, dim = _shape(state, "text_projection", 2, where)
    grid = round((places - 1) ** 0.5)
    if grid**2 + 1 != places:
        raise WeightsError(
            f"{where}: {places} places in visual.positional_embedding are not a square and one"
        )
    if vocabulary != VOCABULARY or width % HEAD_WIDTH or text_width % HEAD_WIDTH:
        raise WeightsError(
            f"{where}: not a CLIP of OpenAI's layout: expected {VOCABULARY} tokens and widths in "
            f"multiples of {HEAD_WIDTH}; got {vocabulary} tokens, widths {width} and {text_width}"
        )
    return {
        "embed_dim": dim,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": patch * grid,
            "layers": _layers(state, "visual."),
            "width": width,
            "patch_size": patch,
        },
        "text_cfg": {
            "context_length": context,
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": text_width // HEAD_WIDTH,
            "layers": _layers(state, ""),
        },
    }


def name_of(config: Mapping[str, Any]) -> str:
    """Return open_clip's name of a configuration, or a description where it has none."""
    import open_clip

    for name in open_clip.list_models():
        if open_clip.get_model_config(name) == config:
            return str(name)
    return "vit-w{width}-l{layers}-p{patch_size}-{image_size}".format(**config["vision_cfg"])


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int, where: str) -> tuple[int, ...]:
    if name not in state:
        raise WeightsError(
            f"{where}: not a CLIP of OpenAI's layout with a vision transformer: there is no "
            f"{name}; it begins with {', '.join(list(state)[:3])}"
        )
    shape = tuple(state[name].shape)
    if len(shape) != dimensions:
        raise WeightsError(f"{where}: {name} has the shape {shape}, not {dimensions} dimensions")
    return shape


def _layers(state: Mapping[str, Tensor], side: str) -> int:
    start, end = f"{side}transformer.resblocks.", ".attn.in_proj_weight"
    return sum(name.startswith(start) and name.endswith(end) for name in state)
