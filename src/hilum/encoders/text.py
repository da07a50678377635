"""Texts become tokens: OpenAI's byte-level BPE, as CLIP and every tower here reads it.

A sequence is the start token, the text's tokens and the end token, padded with zeros to the
context. The vocabulary lies in open_clip's package; nothing is downloaded.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError

VOCABULARY = 49408
START, END = 49406, 49407
OnLong = Literal["error", "cut"]
Tokens = NDArray[np.int64]


def tokenise(texts: Sequence[str], context: int, *, on_long: OnLong = "error") -> Tokens:
    """Return the tokens of texts.

    A text is repaired (mojibake, HTML entities), its white space collapsed and its letters
    lowered before it is split, all as OpenAI does.

    Parameters
    ----------
    texts
        Of any length; an empty one is the start and end token alone.
    context
        Tokens in a sequence, start and end included.
    on_long
        ``"error"``, or ``"cut"``: keep the first `context` tokens and make the last of them
        the end token, as CLIP does in training.

    Returns
    -------
    (n, context) int64, zero after the end token.

    Raises
    ------
    UsageError
        If a text is too long and is not to be cut. The message gives its place and its length,
        never its words, which may be a patient's.
    """
    if isinstance(texts, str):
        raise UsageError("expected a sequence of texts, got one text; put it in a list")
    if on_long not in get_args(OnLong):
        raise UsageError(f"{on_long!r} is not an answer to a long text; choose error or cut")
    if context < 2:
        raise UsageError(f"a context holds at least the start and end token; got {context}")
    encode = _tokeniser().encode
    out = np.zeros((len(texts), context), np.int64)
    for row, text in enumerate(texts):
        ids = [START, *encode(text), END]
        if len(ids) > context:
            if on_long == "error":
                raise UsageError(
                    f"text {row + 1} of {len(texts)} has {len(ids)} tokens, start and end "
                    f'included; this encoder reads {context}: shorten it, or use on_long="cut"'
                )
            ids = [*ids[: context - 1], END]
        out[row, : len(ids)] = ids
    return out


def lengths(tokens: Tokens) -> Tokens:
    """Return the number of tokens in each sequence, end token included: (n, context) to (n,)."""
    return np.asarray((tokens == END).argmax(axis=1) + 1, np.int64)


@cache
def _tokeniser() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()
