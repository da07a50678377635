"""Where to cut a score: the threshold that is best on a validation table by a rule.

A prediction is positive when its score is at or above the threshold. The candidates are the
scores that were observed, each a different decision about the validation images; all of them are
judged from one sort and its cumulative counts. With the rule ``mcc`` this is the procedure of
CheXzero (Tiu et al., Nat. Biomed. Eng. 2022, doi:10.1038/s41551-022-00936-9).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate.decisions import Confusion, f1, mcc, sensitivity, specificity
from hilum.evaluate.ranking import Floats
from hilum.evaluate.tuning import Known

TIE: Final = 1e-12
"""Criteria closer than this are equal: the same value by two routes differs in its last bits."""


@dataclass(frozen=True, eq=False)
class Cuts:
    """Every decision that the observed scores allow, lowest threshold first.

    Parameters
    ----------
    thresholds : (n_cuts,)
        The distinct scores, ascending.
    counts
        What each of them gets right and wrong, (n_cuts,).
    """

    thresholds: Floats
    counts: Confusion


def cuts(images: Known) -> Cuts:
    """Count what every threshold gets right and wrong: one sort, two cumulative sums."""
    thresholds, group = np.unique(images.scores, return_inverse=True)
    positive = images.labels == 1
    tp, fp = (
        np.cumsum(np.bincount(group[of], minlength=thresholds.size)[::-1])[::-1].astype(np.float64)
        for of in (positive, ~positive)
    )
    return Cuts(thresholds, Confusion(tp, fp, positive.sum() - tp, (~positive).sum() - fp))


def youden(counts: Confusion) -> Floats:
    """Return sensitivity + specificity - 1 (Youden, Cancer 3:32-35, 1950)."""
    return sensitivity(counts) + specificity(counts) - 1


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen.

    Parameters
    ----------
    name
        A key of `RULES`, or ``"fixed"``.
    target
        Of ``sensitivity`` and ``specificity``, above 0 and at most 1; of ``fixed`` the threshold
        itself; else None.

    Raises
    ------
    UsageError
        If there is no such rule, or its target is missing, superfluous or out of range.
    """

    name: str
    target: float | None = None

    def __post_init__(self) -> None:
        if self.name not in (*RULES, "fixed"):
            raise UsageError(f"{self.name!r} is not a rule for thresholds; choose {_CHOICES}")
        if self.name in _BEST:
            if self.target is not None:
                raise UsageError(f"the rule {self.name!r} takes no target, got {self.target:g}")
        elif self.target is None:
            raise UsageError(f"the rule {self.name!r} needs a target; choose {_CHOICES}")
        elif self.name == "fixed" and not math.isfinite(self.target):
            raise UsageError(f"a fixed threshold must be a finite number, got {self.target}")
        elif self.name != "fixed" and not 0 < self.target <= 1:
            raise UsageError(
                f"the target of {self.name!r} must be above 0 and at most 1, got {self.target}"
            )

    def __str__(self) -> str:
        if self.name == "fixed":
            return f"{self.target!r}"
        return self.name if self.target is None else f"{self.name}={self.target!r}"


def parse_rule(text: str) -> Rule:
    """Read a rule as a user writes it.

    Parameters
    ----------
    text
        ``mcc``, ``f1``, ``youden``, ``sensitivity=0.95``, ``specificity=0.9``, or a number: the
        same threshold for every finding.

    Raises
    ------
    UsageError
        As in `Rule`, or if a target is not a number.

    >>> parse_rule("sensitivity=0.95"), parse_rule("0.5")
    (Rule(name='sensitivity', target=0.95), Rule(name='fixed', target=0.5))
    """
    number = _number(text)
    if number is not None:
        return Rule("fixed", number)
    name, equals, target = (part.strip() for part in text.partition("="))
    if not equals:
        return Rule(name)
    number = _number(target)
    if number is None and name in RULES:
        raise UsageError(f"the target of {name!r} must be a number, got {target!r}")
    return Rule(name, number)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _best(criterion: Callable[[Confusion], Floats], candidates: Cuts, _: float | None) -> int:
    """Return the lowest threshold of those with the best criterion.

    An MCC that is undefined, because everything is called positive, counts as 0, which is what
    it is worth, and so wins over thresholds that are worse than chance.
    """
    values = np.nan_to_num(criterion(candidates.counts), nan=0.0)
    return int((values >= values.max() - TIE).argmax())


def _sensitive(candidates: Cuts, target: float | None) -> int:
    """Return the highest threshold that is sensitive enough; the lowest of all always is."""
    assert target is not None
    return int(np.flatnonzero(sensitivity(candidates.counts) >= target)[-1])


def _specific(candidates: Cuts, target: float | None) -> int | None:
    """Return the lowest threshold that is specific enough, or None where no observed score is.

    Above the highest score everything is negative and specificity is 1. That is not a decision
    that the validation images support, and it finds nobody: it is not offered.
    """
    assert target is not None
    enough = np.flatnonzero(specificity(candidates.counts) >= target)
    return int(enough[0]) if enough.size else None


_BEST: Final[Mapping[str, Callable[[Confusion], Floats]]] = {"mcc": mcc, "f1": f1, "youden": youden}

CRITERIA: Final[Mapping[str, Callable[[Confusion], Floats]]] = {
    **_BEST,
    "sensitivity": sensitivity,
    "specificity": specificity,
}

RULES: Final[Mapping[str, Callable[[Cuts, float | None], int | None]]] = {
    **{name: partial(_best, criterion) for name, criterion in _BEST.items()},
    "sensitivity": _sensitive,
    "specificity": _specific,
}
"""From all cuts and the target to the position of the one to take, None where there is none."""

_CHOICES: Final = (
    f"{', '.join(_BEST)}, sensitivity=0.95 or specificity=0.9 (any target above 0 and at most 1), "
    "or a number such as 0.5"
)


@dataclass(frozen=True)
class Choice:
    """The threshold of one finding, and what it does on the images that it was tuned on.

    Parameters
    ----------
    threshold
        None where there is none.
    n, positives
        Validation images with a known label, and those of them that have the finding.
    reached
        The rule's own criterion on them; None for a fixed threshold or where it is undefined.
    sensitivity, specificity
        On them; None where undefined.
    reason
        Why there is no threshold.
    """

    threshold: float | None
    n: int = 0
    positives: int = 0
    reached: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None
    reason: str | None = None


def choose(images: Known, rule: Rule) -> Choice:
    """Choose one finding's threshold, from images that were joined and checked before.

    ``mcc``, ``f1``, ``youden``: the best, of several the lowest threshold. ``sensitivity``: the
    highest threshold with at least this sensitivity, which is the best specificity that leaves it.
    ``specificity``: the lowest threshold with at least this specificity.
    """
    if rule.name == "fixed":
        return Choice(rule.target)
    if images.reason is not None:
        return Choice(None, images.n, images.positives, reason=images.reason)
    candidates = cuts(images)
    at = RULES[rule.name](candidates, rule.target)
    if at is None:
        top = float(specificity(candidates.counts)[-1])
        reason = f"no observed score reaches {rule}: at the highest, specificity is {top:.3f}"
        return Choice(None, images.n, images.positives, reason=reason)
    reached = float(CRITERIA[rule.name](candidates.counts)[at])
    return Choice(
        threshold=float(candidates.thresholds[at]),
        n=images.n,
        positives=images.positives,
        reached=None if math.isnan(reached) else reached,
        sensitivity=float(sensitivity(candidates.counts)[at]),
        specificity=float(specificity(candidates.counts)[at]),
    )
