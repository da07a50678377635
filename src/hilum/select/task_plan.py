"""What tasks look like, and which findings they ask about."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from hilum.errors import UsageError
from hilum.findings import canonical

Negatives = Literal["no finding", "rest"]
NO_FINDING: Final = "No Finding"


@dataclass(frozen=True)
class TaskPlan:
    """What tasks look like.

    Parameters
    ----------
    pool, query
        Images in each.
    prevalence
        Share of the pool that has the finding; numbers of images are rounded up.
    negatives
        ``"no finding"``: images that have nothing; ``"rest"``: these and all that are labelled 0
        for the task's finding, whatever else they have.
    findings
        What tasks ask about, each equally often; all but No Finding and the held out if empty.
    held_out
        Findings that tasks never ask about.
    drop_held_out
        Leave out every image that has a held-out finding. Films often have several findings. If
        such images stayed in training, as positives of another finding or among the rest, the
        selector would learn where the held-out findings lie and whether to choose them, and would
        not meet them for the first time in the test.
    query_prevalence
        The same as `prevalence` if None. AUROC does not depend on it but is least noisy at 0.5.

    Raises
    ------
    UsageError
        If there would be a pool or query of one class, or a finding is asked about and held out.
    """

    pool: int = 1000
    query: int = 100
    prevalence: float = 0.5
    negatives: Negatives = "no finding"
    findings: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    drop_held_out: bool = True
    query_prevalence: float | None = None

    def __post_init__(self) -> None:
        if self.negatives not in get_args(Negatives):
            raise UsageError(
                f"negatives {self.negatives!r} are not known; choose from "
                f"{', '.join(map(repr, get_args(Negatives)))}"
            )
        for what, sizes in (("pool", self.pool_sizes), ("query", self.query_sizes)):
            if min(sizes) < 1:
                raise UsageError(
                    f"a {what} needs images with the finding and without; "
                    f"got {sizes[1]} with and {sizes[0]} without"
                )
        both = set(map(_plain, self.findings)) & set(map(_plain, self.held_out))
        if both:
            raise UsageError(f"{min(both)} cannot be both asked about and held out")

    @property
    def pool_sizes(self) -> tuple[int, int]:
        """Images of the pool without the finding, and with it."""
        return sizes_of(self.pool, self.prevalence)

    @property
    def query_sizes(self) -> tuple[int, int]:
        """Images of the query without the finding, and with it."""
        share = self.prevalence if self.query_prevalence is None else self.query_prevalence
        return sizes_of(self.query, share)


def sizes_of(images: int, prevalence: float) -> tuple[int, int]:
    """Return how many of some images are negative, and how many positive.

    Raises
    ------
    UsageError
        If the prevalence is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise UsageError(f"a prevalence must be above 0 and below 1; got {prevalence}")
    positives = math.ceil(images * prevalence - 1e-9)  # 100 * 0.07 is 7.000000000000001
    return images - positives, positives


def split_findings(
    findings: Sequence[str], held_out: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the findings to train on and those to meet first in the test, without No Finding.

    Raises
    ------
    UsageError
        If a held-out finding is not there, or nothing is left to train on.
    """
    unseen = tuple(named(name, findings) for name in held_out)
    seen = tuple(name for name in findings if name not in (*unseen, NO_FINDING))
    if not seen:
        raise UsageError(
            f"no finding is left to ask about: there are {', '.join(findings)}, of which "
            f"{', '.join(unseen) or 'none'} are held out"
        )
    return seen, unseen


def asked_findings(findings: Sequence[str], plan: TaskPlan) -> tuple[str, ...]:
    """Return what the tasks of a plan ask about, spelt as in `findings`.

    Raises
    ------
    UsageError
        If a finding is not there, none is left, or tasks would ask about their own negatives.
    """
    seen, _ = split_findings(findings, plan.held_out)
    asked = tuple(named(name, findings) for name in plan.findings) or seen
    if NO_FINDING in asked and plan.negatives == "no finding":
        raise UsageError(
            f"{NO_FINDING} cannot be asked about while it is what negatives are; "
            "choose the negatives 'rest'"
        )
    return asked


def named(name: str, findings: Sequence[str]) -> str:
    """Return a finding in the spelling of `findings`.

    Raises
    ------
    UsageError
        If it is not among them; the message lists them.
    """
    for known in (name, _plain(name)):
        if known in findings:
            return known
    raise UsageError(f"there is no finding {name!r} here; there are {', '.join(findings)}")


def _plain(name: str) -> str:
    return canonical(name) or name
