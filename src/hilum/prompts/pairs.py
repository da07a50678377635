"""Pairs of sentences: an image that has a finding is nearer to the one than to the other.

Each side of a pair may have several sentences, whose vectors are averaged (Radford et al., 2021,
arXiv:2103.00020, section 3.1.4).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from hilum.errors import UsageError
from hilum.findings import VOCABULARY, canonical

Mode = Literal["hilum", "chexzero"]
"""Whose sentences: hilum's, or CheXzero's, which fill any name into its two templates."""

Template = tuple[str, str]
"""A sentence that says a finding is there and one that denies it. Each names it once: {} stands for
its words ("nodule"), {a} for its words with their article ("a nodule")."""

CHEXZERO: Final[tuple[Template, ...]] = (("{}", "no {}"),)
"""The templates of Tiu et al. (Nature Biomedical Engineering 2022)."""

TEMPLATES: Final[tuple[Template, ...]] = (
    ("{a}", "no {}"),
    ("there is {a}", "there is no {}"),
    ("there is evidence of {a}", "there is no evidence of {}"),
)
"""hilum's: short sentences that radiologists dictate."""

_PLACES: Final = re.compile(r"\{a?\}")


@dataclass(frozen=True)
class PromptPair:
    """The sentences for one finding.

    Parameters
    ----------
    finding
        Its name.
    present, absent
        Sentences that say it is there, and that deny it; at least one each.

    Raises
    ------
    UsageError
        If a side has no sentence, or an empty one.
    """

    finding: str
    present: tuple[str, ...]
    absent: tuple[str, ...]

    def __post_init__(self) -> None:
        for side, sentences in (("present", self.present), ("absent", self.absent)):
            if not sentences:
                raise UsageError(f"the prompts for {self.finding!r} say nothing for {side}; "
                                 "a pair has at least one sentence on each side")  # fmt: skip
            for at, sentence in enumerate(sentences, start=1):
                if not sentence.strip():
                    raise UsageError(
                        f"sentence {at} of {len(sentences)} for {self.finding!r} {side} is empty; "
                        "write it or leave it out"
                    )


def prompt_pairs(
    findings: Sequence[str],
    *,
    templates: Sequence[Template] | None = None,
    chosen: Mapping[str, PromptPair] | None = None,
    mode: Mode = "hilum",
) -> tuple[PromptPair, ...]:
    """Return the sentences for findings, in their order.

    Parameters
    ----------
    findings
        Names; in mode ``"hilum"`` in any spelling of the vocabulary.
    templates
        To fill with a finding's words; by default `TEMPLATES`, or `CHEXZERO` in its mode.
    chosen
        By finding, pairs to use as they are.
    mode
        ``"hilum"`` fills the words of `hilum.findings`; a finding whose denial is not "no" and
        its words, such as No Finding, has sentences of its own there and no template is filled.
        ``"chexzero"`` fills the name itself, whatever it is: "no No Finding" as published.

    Raises
    ------
    UsageError
        If a finding is there twice or has no sentences, or the mode or a template is not one.
    """
    if mode not in get_args(Mode):
        raise UsageError(
            f"{mode!r} is not a mode of prompts; choose from {', '.join(get_args(Mode))}"
        )
    if templates is None:
        templates = CHEXZERO if mode == "chexzero" else TEMPLATES
    _check_templates(templates)
    names = [name if mode == "chexzero" else canonical(name) or name for name in findings]
    if doubled := [name for at, name in enumerate(names) if name in names[:at]]:
        raise UsageError(f"the finding {doubled[0]!r} is asked for more than once")
    own = chosen or {}
    return tuple(own[name] if name in own else _pair(name, templates, mode) for name in names)


def fill(
    finding: str, words: str, templates: Sequence[Template] = TEMPLATES, *, article: str = ""
) -> PromptPair:
    """Return a pair of which each template, filled with words, is one sentence a side."""
    _check_templates(templates)
    named = {"{}": words, "{a}": f"{article} {words}".strip()}

    def filled(text: str) -> str:
        return _PLACES.sub(lambda place: named[place[0]], text)

    present, absent = (tuple(map(filled, side)) for side in zip(*templates, strict=True))
    return PromptPair(finding, present, absent)


def _pair(name: str, templates: Sequence[Template], mode: Mode) -> PromptPair:
    if mode == "chexzero":
        return fill(name, name, templates)
    finding = VOCABULARY.get(name)
    if finding is None:
        raise UsageError(
            f"there are no sentences for {name!r}, which is not in hilum's vocabulary; give a "
            "pair of your own, or let mode chexzero fill the name into its templates"
        )
    if finding.absent == f"no {finding.present}":
        return fill(name, finding.present, templates, article=finding.article)
    return PromptPair(name, (finding.present,), (finding.absent,))


def _check_templates(templates: Sequence[Template]) -> None:
    if not templates:
        raise UsageError("no template was given; one is a pair such as ('{}', 'no {}')")
    for template in templates:
        if len(template) != 2 or any(len(_PLACES.findall(text)) != 1 for text in template):
            raise UsageError(
                f"{template!r} is not a template: it has two sentences, each with {{}} or {{a}} "
                "once, such as ('there is {a}', 'no {}')"
            )
