"""Which words an image gets in a step: its report, a section, or a few of its sentences.

A caption of one sentence teaches that sentence; of a whole report a model learns the most telling
words. Drawing anew in every step is to texts what crops are to images (as in MedCLIP, Wang et
al., EMNLP 2022, arXiv:2210.10163, and CXR-CLIP, You et al., MICCAI 2023, arXiv:2310.13292).
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.reports import sentences
from hilum.training.duplicates import Codes, Mask, Vocabulary

Rows = NDArray[np.int64]
WAYS: Final = ("impression", "findings", "whole", "consecutive", "scattered")


@dataclass(frozen=True)
class TextSettings:
    """How often an image gets which part of its report: weights, of any sum.

    Parameters
    ----------
    impression, findings
        That section as it is written.
    whole
        The findings, then the impression.
    consecutive
        Some sentences that follow each other.
    scattered
        Some sentences from anywhere, in their order.
    most
        Largest number of sentences in the last two; each number up to it is as likely.

    What a report does not have is not drawn; the other ways then share its weight. A report for
    which no way is left is not used.
    """

    impression: float = 0.0
    findings: float = 0.0
    whole: float = 0.0
    consecutive: float = 0.0
    scattered: float = 0.0
    most: int = 3

    def __post_init__(self) -> None:
        if not all(isfinite(w) and w >= 0 for w in self.weights) or not sum(self.weights) > 0:
            raise UsageError(
                f"{', '.join(WAYS)} are weights, none negative and not all 0; got {self.weights}"
            )
        if self.most < 1:
            raise UsageError(f"most is a number of sentences, at least 1; got {self.most}")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights in the order of `WAYS`."""
        return astuple(self)[: len(WAYS)]

    @property
    def named(self) -> dict[str, float]:
        """The weights by name."""
        return dict(zip(WAYS, self.weights, strict=True))


@dataclass(frozen=True, eq=False)
class Passage:
    """A text, and the sentences of it that have words.

    Parameters
    ----------
    text
        As written.
    parts
        Its sentences.
    codes : (parts,)
        Their numbers in the vocabulary.
    """

    text: str
    parts: tuple[str, ...]
    codes: Codes

    def take(self, places: Iterable[int]) -> "Passage":
        """Return some of its sentences as a passage of its own."""
        chosen = list(places)
        parts = tuple(self.parts[place] for place in chosen)
        return Passage(" ".join(parts), parts, self.codes[chosen])


class Texts:
    """The reports of some images, ready to draw from.

    Parameters
    ----------
    findings, impressions : (images,)
        The sections; None or without a word where there is none.
    settings
        What is drawn.
    """

    def __init__(
        self,
        findings: Sequence[str | None],
        impressions: Sequence[str | None],
        settings: TextSettings,
    ) -> None:
        self.vocabulary = Vocabulary()
        self.settings = settings
        self._known: dict[str, Passage] = {}  # films of a study share a report, and its memory
        self.findings = [self._passage(text or "") for text in findings]
        self.impressions = [self._passage(text or "") for text in impressions]
        pairs = zip(self.findings, self.impressions, strict=True)
        self.whole = [_joined(*pair) for pair in pairs]

    def __len__(self) -> int:
        return len(self.whole)

    @cached_property
    def usable(self) -> Mask:
        """Of which image something can be drawn: (images,)."""
        return np.array([self._chances(row).sum() > 0 for row in range(len(self))], np.bool_)

    def draw(self, rows: Rows, rng: np.random.Generator) -> list[Passage]:
        """Draw for each image what it is told with; all must be usable."""
        return [self._draw(int(row), rng) for row in rows]

    def _draw(self, row: int, rng: np.random.Generator) -> Passage:
        chances = self._chances(row)
        way = WAYS[int(np.searchsorted(chances.cumsum(), rng.random() * chances.sum(), "right"))]
        whole = self.whole[row]
        if way not in ("consecutive", "scattered"):
            return self.findings[row] if way == "findings" else (
                self.impressions[row] if way == "impression" else whole)  # fmt: skip
        length = min(int(rng.integers(1, self.settings.most + 1)), len(whole.parts))
        if way == "consecutive":
            start = int(rng.integers(len(whole.parts) - length + 1))
            return whole.take(range(start, start + length))
        return whole.take(sorted(rng.permutation(len(whole.parts))[:length].tolist()))

    def _chances(self, row: int) -> NDArray[np.float64]:
        there = {"impression": self.impressions[row], "findings": self.findings[row]}
        has = [len(there.get(way, self.whole[row]).parts) > 0 for way in WAYS]
        return np.array(self.settings.weights) * has

    def _passage(self, text: str) -> Passage:
        if text not in self._known:
            coded = [(part, self.vocabulary.code(part)) for part in sentences(text)]
            named = [(part, code) for part, code in coded if code is not None]
            codes = np.array([code for _, code in named], np.int64)
            parts = tuple(part for part, _ in named)
            self._known[text] = Passage(text.strip(), parts, codes)
        return self._known[text]


def _joined(findings: Passage, impression: Passage) -> Passage:
    if not findings.parts or not impression.parts:
        return findings if findings.parts else impression
    return Passage(
        f"{findings.text} {impression.text}",
        findings.parts + impression.parts,
        np.concatenate([findings.codes, impression.codes]),
    )
