"""Pairs with random weights, from a name or a spec: the control, and where training starts."""

from collections.abc import Sequence
from dataclasses import replace

from hilum.encoders.clip import PREFIX, build_clip, clip_config, clip_spec
from hilum.encoders.device import Engine
from hilum.encoders.image import EncoderSpec
from hilum.encoders.pair import PairEncoder, PairModule, PairSpec
from hilum.encoders.small_pair import SmallPair
from hilum.encoders.text import END, START
from hilum.encoders.text_tower import TextSpec
from hilum.errors import UsageError

SMALL = TextSpec()
DEFAULT_CONTEXT = 77


def pair_module(spec: PairSpec, *, seed: int = 0) -> PairModule:
    """Make the two towers of a spec with random weights drawn from `seed`.

    Raises
    ------
    UsageError
        If timm has no such backbone, or open_clip cannot build such a model.
    """
    if spec.text is not None:
        return SmallPair(spec.image, spec.text, spec.context, seed=seed)
    assert spec.clip is not None  # a PairSpec has one of the two
    return build_clip(spec.clip, seed=seed)


def random_pair(
    architecture: str,
    seed: int = 0,
    *,
    size: int | None = None,
    channels: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    context: int | None = None,
    dim: int = 128,
    text: TextSpec = SMALL,
    ids: Sequence[int] | None = None,
    engine: Engine | None = None,
) -> PairEncoder:
    """Return a pair that has learnt nothing.

    Parameters
    ----------
    architecture
        ``"open_clip:NAME"``, such as ``"open_clip:ViT-B-32-quickgelu"``, or a timm backbone,
        such as ``"resnet10t"``, beside a small text tower.
    size
        Side of the input in pixels: 224, or open_clip's own, if not given.
    channels, mean, std
        Of the input: one channel about 0.5 with 0.25 for a timm backbone, three with OpenAI's
        numbers for open_clip.
    context
        Tokens in a text: 77, or open_clip's own, if not given.
    dim, text
        Of a small pair: length of its vectors; size of its text tower. open_clip's models have
        their own.
    ids
        The token ids that a small text tower keeps a row for (`np.unique` of the tokens to learn
        from); all if not given. `text.vocabulary` follows from it.

    Raises
    ------
    UsageError
        If there is no such architecture or it cannot be built so.
    """
    source = f"random weights, seed {seed}"
    if architecture.startswith(PREFIX):
        if channels not in (None, 3) or ids is not None or (dim, text) != (128, SMALL):
            raise UsageError(
                f"{architecture} has 3 channels, vectors and a text tower of its own; channels, "
                "dim, text and ids belong to a pair with a timm backbone"
            )
        name = architecture.removeprefix(PREFIX)
        config = clip_config(name, size=size, context=context)
        normal = {"mean": mean, "std": std}
        given = {key: value for key, value in normal.items() if value is not None}
        spec = clip_spec(name, config, source=source, **given)
        return PairEncoder(spec, build_clip(config, seed=seed), engine)
    channels, context = channels or 1, context or DEFAULT_CONTEXT
    image = EncoderSpec(
        architecture=architecture,
        size=size or 224,
        channels=channels,
        mean=tuple(mean or (0.5,) * channels),
        std=tuple(std or (0.25,) * channels),
        dim=dim,
        source=source,
    )
    chosen = None if ids is None else sorted({*map(int, ids), START, END})
    if chosen is not None:
        text = replace(text, vocabulary=len(chosen))
    module = SmallPair(image, text, context, seed=seed)
    if chosen is not None:
        module.learn_ids(chosen)
    return PairEncoder(PairSpec(image, context, text=text), module, engine)
