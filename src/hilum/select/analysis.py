"""What a strategy selects: how far apart the images are, whose they are, and what they show.

After Smit et al. (arXiv:2103.14339), with two changes. An image that was drawn twice is there once:
its distance of 0 to itself would pull every mean down. And tests have a correction for how many
there are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist
from scipy.stats import ttest_ind_from_stats, wasserstein_distance

from hilum.errors import UsageError
from hilum.evaluate.multiplicity import holm
from hilum.progress import Progress, silent
from hilum.select.comparison import ALL_SEEN, ALL_UNSEEN, Design, sources_of
from hilum.select.contenders import Contender, by_strategy, selected_first
from hilum.select.labelled import LabelledVectors
from hilum.select.pool import Floats, Rows
from hilum.select.strategies import STRATEGIES
from hilum.select.tasks import TaskSource

METRICS: Final = {
    "l2": "euclidean",
    "l1": "cityblock",
    "chebyshev": "chebyshev",
    "cosine": "cosine",
}
"""Distances, by our names, and by SciPy's."""
FLOOR: Final = "random"

_ROUNDING: Final = 1e-12  # of sums, relative


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was selected.

    Parameters
    ----------
    design
        Findings, the one budget and the one prevalence, tasks, seed.
    strategies, reference
        Whose selections, and the one of them that is tested against each of the others.
    measures
        Names: see `describe`.
    values : (n_strategies, n_findings, n_tasks, n_measures)
        NaN where nothing is known.
    left_out
        Findings to the reason why there are no tasks.
    images, patients
        How many there were.
    about
        Where the data and the selectors come from.
    """

    design: Design
    strategies: tuple[str, ...]
    reference: str
    measures: tuple[str, ...]
    values: Floats
    left_out: Mapping[str, str]
    images: int
    patients: int
    about: Mapping[str, Any]

    def rows(self) -> list["Row"]:
        """Return every measure of every strategy, over seen and over unseen findings.

        The reference is compared with each of the others by Welch's t-test over tasks; p-values
        are corrected after Holm for all tests of the analysis together.
        """
        found = list(self._rows())
        adjusted = holm([np.nan if row.p_value is None else row.p_value for row in found])
        return [
            row if row.p_value is None else Row(**{**vars(row), "p_adjusted": float(value)})
            for row, value in zip(found, adjusted, strict=True)
        ]

    def _rows(self) -> Iterator["Row"]:
        base, n_seen = self.strategies.index(self.reference), len(self.design.seen)
        for group, part in ((ALL_SEEN, slice(n_seen)), (ALL_UNSEEN, slice(n_seen, None))):
            for m, measure in enumerate(self.measures):
                for s, strategy in enumerate(self.strategies):
                    values = _known(self.values[s, part, :, m])
                    if values.size:
                        other = _known(self.values[base, part, :, m])
                        p_value = None if s == base else welch(other, values)
                        yield Row(group, measure, strategy, values.size, float(values.mean()),
                                  _spread(values), p_value)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One measure of one strategy.

    Parameters
    ----------
    findings, measure, strategy
        Which; findings are those seen in training or those unseen.
    tasks
        Those in which the measure is known.
    mean, sd
        Over tasks; sd is None of one task.
    p_value, p_adjusted
        That strategy and reference differ; None for the reference, and where neither varies.
    """

    findings: str
    measure: str
    strategy: str
    tasks: int
    mean: float
    sd: float | None
    p_value: float | None = None
    p_adjusted: float | None = None


def analyse_strategies(
    data: LabelledVectors,
    contenders: Mapping[str, Contender],
    design: Design,
    *,
    about: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Analysis:
    """Let strategies choose for the same tasks, and describe what they chose.

    Parameters
    ----------
    data
        Images of test patients.
    contenders
        The strategies; random is one of them, as the floor of the Wasserstein distances.
    design
        With one budget and one prevalence.

    Raises
    ------
    UsageError
        If there are several budgets or prevalences, random is missing, or as in `sources_of`.
        A finding that is too rare is left out; `Analysis.left_out` says why.
    """
    if len(design.budgets) != 1 or len(design.prevalences) != 1:
        raise UsageError("an analysis has one budget and one prevalence")
    if FLOOR not in contenders:
        raise UsageError("an analysis needs the strategy random, which is the floor of distances")
    reference = selected_first(contenders)
    sources, left_out = sources_of(data, design)
    budget = design.budgets[0]
    base = by_strategy("reference", STRATEGIES["random"], design.seed)
    indices = np.arange(design.tasks, dtype=np.int64)
    measures = measures_of(data)
    shape = (len(contenders), len(design.findings), design.tasks, len(measures))
    values = np.full(shape, np.nan)
    progress(0, len(sources))
    for done, ((_, f), source) in enumerate(sources.items(), start=1):
        against = _selections(source, base, indices, budget)
        for s, pick in enumerate(contenders.values()):
            chosen = _selections(source, pick, indices, budget)
            values[s, f] = [describe(data, *pair) for pair in zip(chosen, against, strict=True)]
        progress(done, len(sources), source.findings[0])
    return Analysis(
        design, tuple(contenders), reference, measures, values,
        {finding: reason for (_, finding), reason in left_out.items()},
        len(data.ids), len(set(data.patients)), dict(about or {}),
    )  # fmt: skip


def measures_of(data: LabelledVectors) -> tuple[str, ...]:
    """Return the names of what `describe` gives, in its order."""
    distances = [f"{name}_{what}" for name in METRICS for what in ("mean", "max", "range", "w1")]
    people = ("age", "age_w1", "female", "frontal", "ap")
    return (*distances, *people, *(f"has {finding}" for finding in data.findings))


def describe(data: LabelledVectors, rows: ArrayLike, against: ArrayLike) -> list[float]:
    """Describe a selection.

    Parameters
    ----------
    rows, against : (k,) and (k',)
        Rows of `data`: the selection, and a random one; distinct.

    Returns
    -------
    For each of four distances the mean, the largest, and the range of all pairs, and
    Wasserstein-1 to the pairs of the random selection; mean age and Wasserstein-1 of age, in
    years; shares of women, of frontal films, of AP films among these, and of each finding. NaN
    where nothing is known.
    """
    chosen, base = np.asarray(rows, dtype=np.int64), np.asarray(against, dtype=np.int64)
    out: list[float] = []
    for metric in METRICS.values():
        pairs = pdist(data.vectors[chosen].astype(np.float64), metric)  # type: ignore[call-overload]
        others = pdist(data.vectors[base].astype(np.float64), metric)  # type: ignore[call-overload]
        out += [_mean(pairs), *_extent(pairs), _wasserstein(pairs, others)]
    people = data.people
    out += [_mean(people.age[chosen]), _wasserstein(people.age[chosen], people.age[base])]
    out += [_mean(share[chosen]) for share in (people.female, people.frontal, people.ap)]
    return out + [_mean(column) for column in data.labels[chosen].T]


def welch(one: Floats, other: Floats) -> float | None:
    """Return the two-sided p-value of Welch's t-test, None where neither row varies."""
    if min(one.size, other.size) < 2 or (_constant(one) and _constant(other)):
        return None
    parts = [
        (float(row.mean()), 0.0 if _constant(row) else float(row.std(ddof=1)), row.size)
        for row in (one, other)
    ]
    return float(ttest_ind_from_stats(*parts[0], *parts[1], equal_var=False).pvalue)


def _constant(values: Floats) -> bool:
    """Say whether values differ by no more than the rounding of their last digits."""
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())


def _selections(
    source: TaskSource, pick: Contender, indices: Rows, budget: int
) -> list[Rows]:  # fmt: skip
    """Return each task's different picks, as rows of the data."""
    tasks = source.batch(indices)
    rows = np.take_along_axis(tasks.pool, pick(source, tasks, indices, budget), axis=1)
    return [np.unique(one) for one in rows]


def _known(values: Floats) -> Floats:
    return np.asarray(values[~np.isnan(values)], dtype=np.float64)


def _mean(values: Floats) -> float:
    known = _known(values)
    return float(known.mean()) if known.size else np.nan


def _extent(values: Floats) -> tuple[float, float]:
    """Return the largest value, and by how much it exceeds the smallest."""
    return (float(values.max()), float(np.ptp(values))) if values.size else (np.nan, np.nan)


def _wasserstein(one: Floats, other: Floats) -> float:
    left, right = _known(one), _known(other)
    return float(wasserstein_distance(left, right)) if left.size and right.size else np.nan


def _spread(values: Floats) -> float | None:
    return float(values.std(ddof=1)) if values.size > 1 else None
