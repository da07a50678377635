"""The text side of a pair: load it, or say that it cannot read; encode, or say what is too long."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Final

from hilum.errors import UsageError, WeightsError
from hilum.prompts.scores import Vectors

if TYPE_CHECKING:
    from hilum.encoders import PairEncoder

QUOTED: Final = 60  # characters of a prompt that is too long


def pair_from(ref: "PairEncoder | str | Path", device: str = "auto") -> "PairEncoder":
    """Return a pair of encoders, loading it if it is named.

    Raises
    ------
    WeightsError
        If it cannot be loaded, or reads images alone.
    """
    from hilum.encoders import PairEncoder, load_pair
    from hilum.encoders.device import choose_engine

    if isinstance(ref, str | Path):
        return load_pair(ref, engine=choose_engine(device))
    if not isinstance(ref, PairEncoder):
        raise WeightsError(f"{ref!r} reads images alone; sentences need a pair of encoders")
    return ref


def encode_sentences(pair: "PairEncoder", sentences: Sequence[str]) -> Vectors:
    """Encode sentences that a user wrote: (n, dim), rows of length 1.

    Raises
    ------
    UsageError
        If one is longer than the pair reads; the message quotes how it begins.
    """
    from hilum.encoders import tokenise

    context = pair.spec.context
    for sentence in sentences:
        try:
            tokenise([sentence], context)
        except UsageError as error:
            raise UsageError(
                f"the prompt {shorten(sentence, QUOTED)!r} is longer than the {context} tokens "
                f"that the encoder {pair.fingerprint[:12]} reads ({len(sentence.split())} words); "
                "shorten it"
            ) from error
    return pair.encode_texts(sentences)
