"""A report's sections, and the passage that sums it up.

A heading is a known name (`hilum.reports.headings`) followed by a colon, glued or not, or alone
on its line: in any case where a line or a sentence begins, in capitals anywhere. A section
reaches from its heading to the next one, so an end always follows its begin and no character is
lost: headings and bodies, joined, are the report.

CheXzero's own rules, faults included, are in `hilum.reports.chexzero`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from hilum.reports.headings import (
    ADDENDUM,
    BEFORE,
    FINAL_REPORT,
    FINDINGS,
    HEADINGS,
    IMPRESSION,
    TOLD,
    WET_READ,
)

Block = Literal["report", "addendum", "wet read"]
Origin = Literal["impression", "findings", "last paragraph"]

_BLOCKS: Final[Mapping[str, Block]] = {
    FINAL_REPORT: "report",
    ADDENDUM: "addendum",
    WET_READ: "wet read",
}
_TRUST: Final[tuple[Block, ...]] = ("report", "addendum", "wet read")
_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n\s*")
_REDACTED: Final = re.compile(r"\b[xX]{3,}\b|[\W\d_]")


@dataclass(frozen=True)
class Section:
    """One heading and what follows it.

    Parameters
    ----------
    name
        Its canonical name, a key of `HEADINGS`; empty for what stands before the first heading.
    heading, body
        As written, with every space: ``heading + body`` is this part of the report.
    block
        Whether it belongs to the report, to an addendum or to a preliminary reading.
    """

    name: str
    heading: str
    body: str
    block: Block = "report"

    @property
    def text(self) -> str:
        """The body without spaces around it."""
        return self.body.strip()


@dataclass(frozen=True)
class Sections(Mapping[str, str]):
    """Canonical name → text, in the order of first appearance.

    Of a section that is there several times all texts are kept, in order, with a blank line
    between them; `parts` holds each one alone.
    """

    parts: tuple[Section, ...]

    def __getitem__(self, name: str) -> str:
        texts = [part.text for part in self.parts if part.name == name]
        if not texts:
            raise KeyError(name)
        return "\n\n".join(text for text in texts if text)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(part.name for part in self.parts))

    def __len__(self) -> int:
        return len({part.name for part in self.parts})


@dataclass(frozen=True)
class Passage:
    """A text, and which part of the report it is; None where the report has nothing to use."""

    text: str
    origin: Origin | None


def sections(text: str) -> Sections:
    """Divide a report at its headings.

    What stands before the first heading is the section ``""``, if it is more than spaces.

    >>> found = sections("INDICATION: Cough.  IMPRESSION:No acute process.")
    >>> dict(found)
    {'INDICATION': 'Cough.', 'IMPRESSION': 'No acute process.'}
    """
    pattern, names = _headings()
    marks = [mark for mark in pattern.finditer(text) if _stands_out(mark)]
    parts = []
    start = marks[0].start() if marks else len(text)
    if text[:start].strip() or not marks:
        parts.append(Section("", "", text[:start]))
    block: Block = "report"
    spaces = "" if parts else text[:start]  # before the first heading: kept with it
    ends = [mark.start() for mark in marks[1:]] + [len(text)] * bool(marks)
    for mark, end in zip(marks, ends, strict=True):
        name = names[_plain(mark["name"] or mark["alone"])]
        block = _BLOCKS.get(name, block)
        parts.append(Section(name, spaces + mark[0], text[mark.end() : end], block))
        spaces = ""
    return Sections(tuple(parts))


def impression(text: str) -> Passage:
    """Return the passage that sums a report up, and say which it is.

    The last impression (or conclusion) that is not empty: where a report was corrected, the last
    one holds. One in the report itself goes before one in an addendum, and that before one in a
    preliminary reading. Without any, the findings, by the same rule; without those, the last
    paragraph that tells something: not the indication, not a recommendation, not a signature.
    A text of nothing but de-identification marks (``___``, ``XXXX``) counts as empty.
    """
    parts = sections(text).parts
    names: tuple[tuple[str, Origin], ...] = ((IMPRESSION, "impression"), (FINDINGS, "findings"))
    for name, origin in names:
        for block in _TRUST:
            texts = [part.text for part in parts if (part.name, part.block) == (name, block)]
            told = [text for text in texts if _is_told(text)]
            if told:
                return Passage(told[-1], origin)
    paragraphs = [text for part in parts for text in _paragraphs(part) if _is_told(text)]
    return Passage(paragraphs[-1], "last paragraph") if paragraphs else Passage("", None)


def narrative(text: str) -> tuple[str, ...]:
    """Return the texts of a report that tell what is seen, in order.

    Findings, impressions, addenda and what has no heading; of the sections before the findings
    the paragraphs after their first, because reports often go on there without a heading. A
    preliminary reading counts only where there is nothing else: the final report replaces it.
    """
    parts = sections(text).parts
    final = [part for part in parts if part.block != "wet read"]
    for chosen in (final, parts):
        told = [text for part in chosen for text in _paragraphs(part) if _is_told(text)]
        if told:
            return tuple(told)
    return ()


def _paragraphs(part: Section) -> list[str]:
    """Return the paragraphs of a section that tell what is seen."""
    if part.name not in TOLD | BEFORE:
        return []
    found = _BLANK_LINE.split(part.text)
    return found if part.name in TOLD else found[1:]


def _is_told(text: str) -> bool:
    return bool(_REDACTED.sub("", text))


def _stands_out(mark: re.Match[str]) -> bool:
    """Tell a heading from the same words within a sentence ("as in the prior study: ...")."""
    before = mark.string[max(0, mark.start() - 10) : mark.start()].rstrip(" \t")
    return mark[0].isupper() or not before or before[-1] in "\n\r.!?:;)]_*"


def _plain(heading: str) -> str:
    return " ".join(heading.split()).lower()


@cache
def _headings() -> tuple[re.Pattern[str], dict[str, str]]:
    """Return the pattern of a heading, and canonical names by plain spelling.

    Spaces are bounded and the names are a closed list, so that a search takes a time linear in
    the length of the text.
    """
    names = {spelling: name for name, spellings in HEADINGS.items() for spelling in spellings}
    longest_first = sorted(names, key=len, reverse=True)
    either = "|".join(re.escape(name).replace(r"\ ", r"[^\S\n]{1,8}") for name in longest_first)
    pattern = re.compile(
        rf"(?:(?<![\w/-])(?P<name>{either})[^\S\n]{{0,8}}:)"
        rf"|(?:^[^\S\n]{{0,80}}(?P<alone>{either})[^\S\n]{{0,8}}$)",
        re.IGNORECASE | re.MULTILINE,
    )
    return pattern, names
