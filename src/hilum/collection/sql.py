"""Conditions in SQL, as people write them and as Lance reads them."""

import re
from collections.abc import Iterable, Sequence


def quote_names(sql: str, columns: Sequence[str]) -> str:
    """Put column names with spaces, and names in double quotes, into backticks.

    Lance takes ``"name"`` for a text, as MySQL does and standard SQL does not, and a comparison
    with it would be false for every row without a word.
    """
    spaced = sorted((c for c in columns if not c.isidentifier()), key=len, reverse=True)
    names = "|".join(map(re.escape, spaced)) or r"(?!)"
    pattern = rf"('(?:[^']|'')*'|`[^`]*`)|\"([^\"]*)\"|(?<!\w)({names})(?!\w)"

    def replace(match: re.Match[str]) -> str:
        return match[1] or f"`{match[2] or match[3]}`"

    return re.sub(pattern, replace, sql)


def images(ids: Iterable[str]) -> str:
    """Return the condition that an image is one of these; there is one at least.

    >>> images(["a", "b's"])
    "image_id IN ('a', 'b''s')"
    """
    listed = ", ".join("'" + image.replace("'", "''") + "'" for image in ids)
    return f"image_id IN ({listed})"


def first_sentence(error: Exception) -> str:
    """Return what Lance says of a wrong condition, without its source lines."""
    text = str(error).removeprefix("Invalid user input: ")
    return re.split(r"\.\s|, /|; ", text, maxsplit=1)[0].strip()
