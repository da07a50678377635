"""What a pair starts training from: nothing, an image encoder, or another pair."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hilum.encoders.device import Engine, choose_engine
from hilum.encoders.image import Encoder
from hilum.encoders.pair import PairEncoder
from hilum.encoders.pair_build import random_pair
from hilum.encoders.references import load_encoder
from hilum.encoders.small_pair import SmallPair
from hilum.encoders.text_tower import TextSpec
from hilum.encoders.weights import load_module
from hilum.errors import UsageError


def build_pair(
    architecture: str,
    *,
    init: str | Path = "random",
    seed: int = 0,
    ids: Sequence[int] | None = None,
    engine: Engine | None = None,
    **shape: Any,
) -> PairEncoder:
    """Return a pair to train.

    Parameters
    ----------
    architecture
        ``"open_clip:NAME"``, or a timm backbone (with a small text tower), as `random_pair`.
    init
        ``"random"``, or what `load_encoder` takes: an image encoder, such as a MoCo run, whose
        weights become the image tower's (of a timm backbone); or a pair of this architecture,
        whose weights are all taken.
    seed
        Of what is random.
    ids
        Token ids that a small text tower keeps a row for; a pair to start from has its own.
    shape
        `size`, `channels`, `mean`, `std`, `context`, `dim`, `text`, as `random_pair`. What is
        not given is as in `init`; what is given must be as in a pair to start from.

    Raises
    ------
    UsageError
        If the architecture or the start cannot be used, or do not fit together.
    WeightsError
        If the weights to start from cannot be had.
    """
    if str(init) == "random":
        return random_pair(architecture, seed, ids=ids, engine=engine, **shape)
    start = load_encoder(init, engine=engine or choose_engine())
    if start.spec.architecture != architecture:
        raise UsageError(
            f"cannot start from {init}: it is a {start.spec.architecture}, "
            f"{architecture} is asked for"
        )
    if isinstance(start, PairEncoder):
        _check_shape(start, init, shape)
        return start
    return _with_image_tower(start, init, seed=seed, ids=ids, **shape)


def _check_shape(start: PairEncoder, init: str | Path, shape: dict[str, Any]) -> None:
    spec = start.spec
    own = {
        "size": spec.size, "channels": spec.channels, "mean": spec.mean, "std": spec.std,
        "context": spec.context, "dim": spec.dim, "text": spec.text,
    }  # fmt: skip
    for name, value in shape.items():
        asked = tuple(value) if isinstance(value, list) else value
        if isinstance(asked, TextSpec) and spec.text is not None:
            asked = replace(asked, vocabulary=spec.text.vocabulary)  # its own rows, as with `ids`
        if name not in own:
            raise UsageError(f"a pair has no {name!r}; it has {', '.join(own)}")
        if asked is not None and asked != own[name]:
            raise UsageError(f"cannot start from {init}: its {name} is {own[name]}, not {asked}")


def _with_image_tower(
    start: Encoder, init: str | Path, *, seed: int, ids: Sequence[int] | None, **shape: Any
) -> PairEncoder:
    own = {key: getattr(start.spec, key) for key in ("size", "channels", "mean", "std")}
    given = {key: value for key, value in shape.items() if value is not None}
    pair = random_pair(start.spec.architecture, seed, ids=ids, engine=start.engine, **own | given)
    assert isinstance(pair.module, SmallPair)  # an image encoder's architecture is timm's
    load_module(pair.module.image, start.module.state_dict(), str(init))
    image = replace(pair.spec.image, source=f"image tower from {init}, the rest random, {seed=}")
    return PairEncoder(replace(pair.spec, image=image), pair.module, start.engine)
