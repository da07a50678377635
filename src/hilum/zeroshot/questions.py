"""What is asked of every image: one column of scores for each candidate wording."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, final, get_args

from hilum.errors import UsageError
from hilum.findings import canonical
from hilum.prompts import (
    CHEXZERO,
    TEMPLATES,
    PromptPair,
    Template,
    class_scores,
    mean_vectors,
    pair_scores,
    prompt_pairs,
    prompt_vectors,
)
from hilum.prompts.scores import Encode, Floats, Vectors
from hilum.zeroshot.wordings import Given, read_wordings, read_words

Mode = Literal["hilum", "chexzero", "classes"]
"""Pairs with hilum's sentences; pairs as CheXzero asks them; names that exclude each other."""

MODES: Final[tuple[Mode, ...]] = get_args(Mode)


@dataclass(frozen=True)
class Column:
    """One column of scores: a finding, asked with one of its candidate wordings."""

    finding: str
    name: str


class Question(Protocol):
    """Sentences, and how the cosines of an image with them become its scores."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is scored; candidates of one finding stand side by side."""

    @property
    def sentences(self) -> tuple[dict[str, tuple[str, ...]], ...]:
        """The sentences of each column, by side."""

    def vectors(self, encode: Encode) -> Vectors:
        """Encode the sentences, once for all images."""

    def scores(self, images: Vectors, vectors: Vectors, scale: float, /) -> Floats:
        """Score images (n, dim): (n, n_columns)."""


@final
@dataclass(frozen=True)
class PairQuestion:
    """Pairs: is the image nearer to "X", or to "no X"."""

    columns: tuple[Column, ...]
    pairs: tuple[PromptPair, ...]

    @property
    def sentences(self) -> tuple[dict[str, tuple[str, ...]], ...]:
        """The sentences of each column, by side."""
        return tuple({"present": pair.present, "absent": pair.absent} for pair in self.pairs)

    def vectors(self, encode: Encode) -> Vectors:
        """Encode the sentences: (n_columns, 2, dim)."""
        return prompt_vectors(self.pairs, encode)

    def scores(self, images: Vectors, vectors: Vectors, scale: float) -> Floats:
        """Score images by the softmax over each pair."""
        return pair_scores(images, vectors, scale=scale)


@final
@dataclass(frozen=True)
class ClassQuestion:
    """Names that exclude each other, of which one is true."""

    columns: tuple[Column, ...]
    texts: tuple[tuple[str, ...], ...]

    @property
    def sentences(self) -> tuple[dict[str, tuple[str, ...]], ...]:
        """The sentences of each class."""
        return tuple({"present": texts} for texts in self.texts)

    def vectors(self, encode: Encode) -> Vectors:
        """Encode the sentences: (n_columns, dim)."""
        return mean_vectors(self.texts, encode)

    def scores(self, images: Vectors, vectors: Vectors, _: float, /) -> Floats:
        """Score images by how far each class stands out; a scale would change nothing."""
        return class_scores(images, vectors)


def make_question(
    mode: Mode,
    findings: Sequence[str],
    prompts: Given | None = None,
    templates: Sequence[Template] | Sequence[str] | None = None,
) -> Question:
    """Put the question for findings.

    Parameters
    ----------
    mode
        A `Mode`.
    findings
        In the order of the columns, which have the vocabulary's names; CheXzero's sentences
        name a finding as it is written here.
    prompts
        Wordings of one's own (`hilum.zeroshot.wordings`); findings that are not in them have
        the sentences of the mode.
    templates
        Pairs such as ``("there is {}", "there is no {}")``; for classes, single sentences.

    Raises
    ------
    UsageError
        If there is no such mode, a finding has no sentences, a template is not one, or there
        are fewer than two classes.
    TableError
        If the prompts cannot be read.
    """
    if mode not in MODES:
        raise UsageError(f"{mode!r} is not a mode; choose from {', '.join(MODES)}")
    if not findings:
        raise UsageError("no finding was named; what is to be looked for?")
    names = [name if mode == "classes" else canonical(name) or name for name in findings]
    _refuse_doubles(names)
    if mode == "classes":
        return _classes(names, prompts, templates)
    pairs: list[Template] = list(CHEXZERO if mode == "chexzero" else TEMPLATES)
    if templates is not None:
        pairs = [_pair(template) for template in templates]
    own = {}
    if prompts is not None:
        own = read_wordings(prompts, pairs, articles=mode != "chexzero")
    columns: list[Column] = []
    asked: list[PromptPair] = []
    for name, written in zip(names, findings, strict=True):
        candidates = own.get(name)
        if candidates is None:
            (pair,) = prompt_pairs([written], templates=pairs, mode=mode)
            candidates = {pair.present[0]: pair}
        columns += [Column(name, wording) for wording in candidates]
        asked += candidates.values()
    return PairQuestion(tuple(columns), tuple(asked))


def _classes(
    findings: Sequence[str],
    prompts: Given | None,
    templates: Sequence[Template] | Sequence[str] | None,
) -> ClassQuestion:
    if len(findings) < 2:
        raise UsageError("classes exclude each other: name two or more, such as male,female")
    sentences = ["{}"] if templates is None else list(templates)
    for template in sentences:
        if not isinstance(template, str) or template.count("{}") != 1:
            raise UsageError(
                f"{template!r} is not a template for classes: it is one sentence with {{}} once, "
                'such as "the patient\'s sex is {}"'
            )
    words = read_words(prompts) if prompts is not None else {}
    texts = [
        tuple(str(template).replace("{}", words.get(name, name)) for template in sentences)
        for name in findings
    ]
    columns = tuple(Column(name, words.get(name, name)) for name in findings)
    return ClassQuestion(columns, tuple(texts))


def _pair(template: Template | str) -> Template:
    if isinstance(template, str):
        raise UsageError(f"{template!r} is one sentence; a template for findings has two, such as "
                         "('{}', 'no {}')")  # fmt: skip
    return template


def _refuse_doubles(names: Sequence[str]) -> None:
    """Refuse a finding that is asked for more than once: its columns would be one."""
    for at, name in enumerate(names):
        if name in names[:at]:
            raise UsageError(f"the finding {name!r} is asked for more than once")
