"""How an evaluation is done: its settings, checked."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypedDict, get_args

from hilum.errors import UsageError
from hilum.evaluate import decisions, ranking
from hilum.evaluate.intervals import Interval
from hilum.findings import Policy

PATIENT: Final = "patient_id"

STATISTICS: Final = (
    *ranking.STATISTICS,
    "partial_auroc",
    *decisions.STATISTICS,
    "brier",
    "ece",
)
"""Every statistic of scores, in the order of every table."""


class Settings(TypedDict, total=False):
    """What can be set beside `by`; see `Plan`."""

    bootstrap: int
    seed: int
    level: float
    policy: Policy
    interval: Interval
    stratify: str | None
    max_fpr: float | None
    bins: int
    statistics: tuple[str, ...] | None
    holm: bool
    margin: float | None


@dataclass(frozen=True)
class Plan:
    """The settings of an evaluation.

    Parameters
    ----------
    by
        The extra column of the truth whose values are resampled as a whole. None resamples
        images, and so does ``"patient_id"`` where the truth has no such column; the results
        say which it was.
    bootstrap
        How many resamples; 0 for no intervals.
    seed
        Of the resampling.
    level
        Coverage aimed at by the intervals.
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.
    interval
        ``"percentile"``; ``"bca"``; ``"delong"``, which has DeLong's formula for AUROC, Wilson's
        for sensitivity, specificity, PPV and NPV, and percentiles for the rest; ``"chexzero"``
        for the resamples and conventions of CheXzero's code.
    stratify
        A column of the truth, or a finding, whose groups keep their sizes in every resample.
    max_fpr
        Where the partial AUROC ends; None for none.
    bins
        Of the expected calibration error.
    statistics
        Names out of `STATISTICS`; None for all.
    holm
        Whether p-values are corrected for the number of findings (Holm, 1979).
    margin
        By how much a model may be worse than the readers and still be called non-inferior.

    Raises
    ------
    UsageError
        If a setting is out of range, or two of them exclude each other.
    """

    by: str | None = PATIENT
    bootstrap: int = 1000
    seed: int = 0
    level: float = 0.95
    policy: Policy = "ignore"
    interval: Interval = "percentile"
    stratify: str | None = None
    max_fpr: float | None = None
    bins: int = 15
    statistics: tuple[str, ...] | None = None
    holm: bool = False
    margin: float | None = None

    def __post_init__(self) -> None:
        self._check_resampling()
        if self.policy == "keep":
            raise UsageError(
                "an uncertain label is neither right nor wrong: choose the policy "
                "ignore, positive or negative"
            )
        if self.max_fpr is not None and not 0 < self.max_fpr < 1:
            raise UsageError(f"max_fpr must lie between 0 and 1, got {self.max_fpr}")
        if self.bins < 1:
            raise UsageError(f"bins must be 1 or more, got {self.bins}")
        if self.margin is not None and not 0 < self.margin < 1:
            raise UsageError(f"a margin must lie between 0 and 1, got {self.margin}")
        for name in self.statistics or ():
            if name not in STATISTICS:
                raise UsageError(f"{name!r} is not a statistic; there are {', '.join(STATISTICS)}")
        if self.max_fpr is None and "partial_auroc" in (self.statistics or ()):
            raise UsageError("partial_auroc needs max_fpr, the false positive rate it ends at")

    def _check_resampling(self) -> None:
        if self.bootstrap < 0:
            raise UsageError(f"bootstrap must be 0 or more resamples, got {self.bootstrap}")
        if not 0 < self.level < 1:
            raise UsageError(f"level must lie between 0 and 1, got {self.level}")
        if self.interval not in get_args(Interval):
            known = ", ".join(get_args(Interval))
            raise UsageError(f"{self.interval!r} is not a kind of interval; there are {known}")
        if self.interval != "chexzero":
            return
        if self.bootstrap * (1 - self.level) < 2 - 1e-9:
            raise UsageError(
                f"CheXzero's interval has no lower end with {self.bootstrap} resamples at level "
                f"{self.level:g}: 1000 are usual"
            )
        if self.seed or self.stratify:
            raise UsageError(
                "CheXzero's resamples are those of seeds 0, 1, 2, ... and have no strata: "
                "leave seed and stratify out"
            )

    def only(self, names: Iterable[str]) -> "Plan":
        """Return the same plan for these statistics, as far as they are wanted."""
        kept = tuple(name for name in names if name in self.wanted())
        return replace(self, statistics=kept)

    def wanted(self) -> tuple[str, ...]:
        """Return the statistics to compute, in the order of every table."""
        chosen = STATISTICS if self.statistics is None else self.statistics
        return tuple(
            name
            for name in STATISTICS
            if name in chosen and (name != "partial_auroc" or self.max_fpr is not None)
        )
