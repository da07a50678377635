"""Prompts of a user's own: from a JSON or CSV file, or as Python values.

A finding has one candidate or several, and each is a pair of sides of one or more sentences.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hilum.errors import TableError, UsageError
from hilum.findings import canonical
from hilum.prompts import PromptPair, Template, fill

Wording = str | PromptPair | Mapping[str, Any]
Given = Mapping[str, Wording | Sequence[Wording]] | str | Path
Candidates = dict[str, dict[str, PromptPair]]
"""Finding → name of a candidate → its pair."""

_Fill = Callable[[str, str], PromptPair]
_EXPECTED: Final = (
    'expected words for the templates ("pulmonary edema"), or an object with present and absent '
    "(each a sentence or a list of them) and perhaps a name, or a list of such candidates"
)


def read_wordings(
    given: Given, templates: Sequence[Template], *, articles: bool = True
) -> Candidates:
    """Read the candidates of findings.

    Parameters
    ----------
    given
        By finding, in any spelling: words that `templates` are filled with; a `PromptPair`; a
        mapping with ``present``, ``absent`` and perhaps ``name``; or a list of these. Or a JSON
        file of the same, or a CSV file with the columns finding, present, absent and perhaps
        name, whose rows of one finding and name are averaged (`docs/formats.md`).
    templates
        For words.
    articles
        Tell an article from the words after it: "a nodule" is denied by "no nodule". CheXzero
        does not.

    Raises
    ------
    TableError
        If a file cannot be read, or says something else.
    UsageError
        If a sentence is empty or a side has none.
    """
    content, where = _content(given)

    def words(finding: str, text: str) -> PromptPair:
        article = next((one for one in ("a", "an") if articles and text.startswith(f"{one} ")), "")
        bare = text.removeprefix(article).lstrip()
        return fill(finding, bare, templates, article=article)

    found: Candidates = {}
    for written, wordings in content:
        finding = canonical(written) or written
        if finding in found:
            raise TableError(
                f"{where}: {finding!r} is there more than once, the last time as {written!r}; keep "
                "one, with a list of candidates"
            )
        several = wordings if isinstance(wordings, list | tuple) else [wordings]
        if not several:
            raise TableError(f"{where}: {finding!r} has no candidate: {_EXPECTED}")
        found[finding] = _named(finding, several, where, words)
    if not found:
        raise TableError(f"{where}: no finding is in it")
    return found


def read_words(given: Given) -> dict[str, str]:
    """Read one wording for each class, as it fills a template: the value for each name.

    Raises
    ------
    TableError
        As `read_wordings`, or if a name has anything but words.
    """
    content, where = _content(given)
    found: dict[str, str] = {}
    for name, words in content:
        if not isinstance(words, str) or not words.strip():
            raise TableError(f"{where}: {name!r}: a class has words for the templates, got {words}")
        found[name] = words
    return found


def names_in(given: Given) -> list[str]:
    """Return the findings or classes that prompts are about, as they are written.

    Raises
    ------
    TableError
        If a file cannot be read.
    """
    return list(dict(_content(given)[0]))


# --------------------------------------------------------------------------- one finding


def _named(finding: str, several: Sequence[Any], where: str, words: _Fill) -> dict[str, PromptPair]:
    out: dict[str, PromptPair] = {}
    for wording in several:
        name, pair = _candidate(finding, wording, where, words)
        if name in out:
            raise TableError(f"{where}: {finding!r} has two candidates {name!r}; give them names")
        out[name] = pair
    return out


def _candidate(finding: str, wording: Any, where: str, words: _Fill) -> tuple[str, PromptPair]:
    """Return a candidate and its name: as given, or its words, or its first sentence."""
    if isinstance(wording, PromptPair):
        return wording.present[0], PromptPair(finding, wording.present, wording.absent)
    if isinstance(wording, str):
        if not wording.strip():
            raise UsageError(f"{where}: the words for {finding!r} are empty; leave them out")
        return wording, words(finding, wording)
    if not isinstance(wording, Mapping) or not {"present", "absent"} <= set(wording):
        raise TableError(f"{where}: {finding!r}: {_EXPECTED}; got {json.dumps(wording)}")
    if strange := set(wording) - {"present", "absent", "name"}:
        raise TableError(f"{where}: {finding!r}: {sorted(strange)[0]!r} means nothing; {_EXPECTED}")
    present, absent = (_side(finding, wording[side], where) for side in ("present", "absent"))
    pair = PromptPair(finding, present, absent)
    return str(wording.get("name") or present[0]), pair


def _side(finding: str, sentences: Any, where: str) -> tuple[str, ...]:
    several = [sentences] if isinstance(sentences, str) else sentences
    if not isinstance(several, list | tuple) or not all(isinstance(one, str) for one in several):
        raise TableError(f"{where}: {finding!r}: {_EXPECTED}; got {json.dumps(sentences)}")
    return tuple(several)


# --------------------------------------------------------------------------- files


def _content(given: Given) -> tuple[list[tuple[str, Any]], str]:
    if isinstance(given, Mapping):
        return list(given.items()), "prompts"
    path = Path(given)
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _from_csv(text, path) if path.suffix == ".csv" else _from_json(text, path)
    except (OSError, ValueError, csv.Error) as error:
        raise TableError(f"{path}: prompts cannot be read: {error}") from error
    return rows, str(path)


def _from_json(text: str, path: Path) -> list[tuple[str, Any]]:
    pairs = json.loads(text, object_pairs_hook=_Pairs)
    if not isinstance(pairs, _Pairs):
        raise TableError(f"{path}: expected a JSON object, finding to wording; {_EXPECTED}")
    return [(name, _plain(value, path)) for name, value in pairs]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written: a name that is there twice is not lost."""


def _plain(value: Any, path: Path) -> Any:
    if isinstance(value, _Pairs):
        if len(dict(value)) < len(value):
            raise TableError(f"{path}: a name is twice in one object: {json.dumps(value)}")
        return {name: _plain(inner, path) for name, inner in value}
    return [_plain(inner, path) for inner in value] if isinstance(value, list) else value


def _from_csv(text: str, path: Path) -> list[tuple[str, Any]]:
    """Gather rows of one finding and name into a candidate, in the order of their first row."""
    gathered: dict[str, dict[str, dict[str, list[str]]]] = {}
    for finding, name, present, absent in _rows(text, path):
        sides = gathered.setdefault(finding, {}).setdefault(name, {"present": [], "absent": []})
        sides["present"] += [present] if present else []
        sides["absent"] += [absent] if absent else []
    return [
        (finding, [{"name": name, **sides} for name, sides in named.items()])
        for finding, named in gathered.items()
    ]


def _rows(text: str, path: Path) -> Iterator[tuple[str, str, str, str]]:
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in ("finding", "present", "absent") if name not in _header(reader)]
    if missing:
        raise TableError(f"{path}: no column {missing[0]!r}; prompts have the columns finding, "
                         "present, absent and perhaps name")  # fmt: skip
    for row in reader:
        if None in row or None in row.values():
            raise TableError(f"{path}:{reader.line_num}: expected {len(_header(reader))} cells as "
                             "in the header")  # fmt: skip
        cells = {name: (row.get(name) or "").strip() for name in ("finding", "name")}
        if not cells["finding"]:
            raise TableError(f"{path}:{reader.line_num}: the row names no finding")
        yield cells["finding"], cells["name"], row["present"].strip(), row["absent"].strip()


def _header(reader: "csv.DictReader[str]") -> Sequence[str]:
    return reader.fieldnames or ()
