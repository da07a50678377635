"""Every strategy on the same tasks, and how much better one of them is.

Two intervals are given for a difference, and they answer different questions:

* *over patients*, the headline: what if other patients had been tested? The query's patients are
  drawn again (`patients_again`). The pools and what was picked from them stay as they are.
* *over tasks*: what if other tasks had been cut from the same patients? MedSelect's own interval
  (`hilum.select.reward.improvement`). It can be made as narrow as one likes by drawing more tasks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate.intervals import Measure, percentile
from hilum.progress import Progress, silent
from hilum.select.contenders import Contender, selected_first
from hilum.select.labelled import LabelledVectors
from hilum.select.original import distinct
from hilum.select.patients_again import Counts, draw_patients, resampled_means
from hilum.select.pool import Floats, Rows, refuse_unusable
from hilum.select.reward import aurocs, improvement, prototype_scores
from hilum.select.task_plan import TaskPlan, named
from hilum.select.tasks import Tasks, TaskSource

ALL_SEEN: Final = "seen findings"
ALL_UNSEEN: Final = "unseen findings"
_PATIENTS: Final = 22  # keeps this stream of random numbers apart from others
_TASKS_AT_ONCE: Final = 32


@dataclass(frozen=True)
class Design:
    """What strategies are compared on.

    Parameters
    ----------
    seen, unseen
        Findings that the selector was trained on, and others. Every one has its own tasks.
    budgets
        How many images may be labelled.
    prevalences
        Of the finding in the pool. The query has half, where AUROC is least noisy.
    tasks
        Of each finding, at each prevalence.
    plan
        Sizes of pool and query, and what negatives are.
    resamples, level
        Of the interval over patients, and the coverage of both.
    seed
        Of the tasks, the picks and the resamples.

    Raises
    ------
    UsageError
        If nothing is asked for, something is asked for twice, or a budget is not from 1 to the
        pool's size.
    """

    seen: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    budgets: tuple[int, ...] = (10, 20, 40, 80)
    prevalences: tuple[float, ...] = (0.5, 0.2, 0.05)
    tasks: int = 100
    plan: TaskPlan = field(default_factory=TaskPlan)
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        asked: tuple[tuple[str, Sequence[object]], ...] = (
            ("findings", self.findings),
            ("budgets", self.budgets),
            ("prevalences", self.prevalences),
        )
        for what, values in asked:
            if not values or len(set(values)) < len(values):
                listed = ", ".join(map(str, values)) or "none"
                raise UsageError(f"give one or more different {what}; got {listed}")
        if min(self.budgets) < 1 or max(self.budgets) > self.plan.pool:
            raise UsageError(
                f"budgets must be from 1 to the pool's {self.plan.pool} images; got "
                f"{', '.join(map(str, self.budgets))}"
            )
        if self.tasks < 2 or self.resamples < 2 or not 0 < self.level < 1:
            raise UsageError(
                "a comparison needs two tasks, two resamples and a level between 0 and 1, or more; "
                f"got {self.tasks}, {self.resamples} and {self.level:g}"
            )
        for prevalence in self.prevalences:
            self.plan_at(prevalence)

    @property
    def findings(self) -> tuple[str, ...]:
        """All findings, the seen ones first."""
        return self.seen + self.unseen

    def plan_at(self, prevalence: float, findings: tuple[str, ...] = ()) -> TaskPlan:
        """Return the plan of tasks at a prevalence; no image is left out for what it has."""
        return replace(
            self.plan,
            prevalence=prevalence,
            query_prevalence=0.5,
            findings=findings,
            held_out=(),
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """What came out.

    Parameters
    ----------
    design
        What was asked.
    strategies, reference
        What was compared, and the one of them from which the others are subtracted.
    auroc : (n_prevalences, n_findings, n_budgets, n_strategies, n_tasks)
        Of every task; NaN where a finding was left out.
    resampled : (n_prevalences, n_findings, n_budgets, n_strategies, resamples)
        Mean over tasks in every resample of patients.
    labelled : (n_prevalences, n_findings, n_budgets, n_strategies)
        Different images among the picks, on average.
    left_out
        Prevalence and finding to the reason why there are no such tasks.
    images, patients
        How many there were.
    about
        Where the data and the selectors come from.
    """

    design: Design
    strategies: tuple[str, ...]
    reference: str
    auroc: Floats
    resampled: Floats
    labelled: Floats
    left_out: Mapping[tuple[float, str], str]
    images: int
    patients: int
    about: Mapping[str, Any]

    def cells(self) -> Iterator["Cell"]:
        """Yield every result: each finding, and the means over those seen and unseen."""
        design = self.design
        for p, prevalence in enumerate(design.prevalences):
            for name, seen, members in self._groups(p):
                for k, budget in enumerate(design.budgets):
                    for s, strategy in enumerate(self.strategies):
                        yield Cell(
                            prevalence, name, seen, len(members), budget, strategy,
                            float(self.labelled[p, members, k, s].mean()),
                            *self._measures(p, members, k, s),
                        )  # fmt: skip

    def _groups(self, p: int) -> Iterator[tuple[str, bool, Rows]]:
        """Yield a name, whether those findings are seen, and which of them have tasks."""
        there = ~np.isnan(self.auroc[p, :, 0, 0, 0])
        seen = np.arange(len(there)) < len(self.design.seen)
        for name, kind in ((ALL_SEEN, seen), (ALL_UNSEEN, ~seen)):
            if (kind & there).any():
                yield name, bool(kind[0]), np.flatnonzero(kind & there)
        for at in np.flatnonzero(there).tolist():
            yield self.design.findings[at], bool(seen[at]), np.array([at])

    def _measures(
        self, p: int, members: Rows, k: int, s: int
    ) -> tuple[Measure, Measure | None, Measure | None]:
        """Return the mean AUROC, and the reference's gain over it, over patients and over tasks."""
        level, base = self.design.level, self.strategies.index(self.reference)
        areas, again = self.auroc[p, members, k], self.resampled[p, members, k]  # (n, s, ...)
        # the same patients for every finding, so that a mean over findings is one per resample
        mean = percentile(float(areas[:, s].mean()), again[:, s].mean(axis=0), level)
        if s == base:
            return mean, None, None
        gain = areas[:, base] - areas[:, s]
        gain_again = (again[:, base] - again[:, s]).mean(axis=0)
        return (
            mean,
            percentile(float(gain.mean()), gain_again, level),
            improvement(gain.ravel(), level),
        )


@dataclass(frozen=True)
class Cell:
    """One strategy, on one finding or several, at one prevalence and budget.

    Parameters
    ----------
    prevalence, finding, seen, findings, budget, strategy
        Which; `findings` is how many the mean is over.
    labelled
        Different images among its picks, on average.
    auroc
        The mean over tasks, with its interval over patients.
    gain, gain_over_tasks
        What the reference has more, with the interval over patients and with that over tasks;
        None for the reference itself.
    """

    prevalence: float
    finding: str
    seen: bool
    findings: int
    budget: int
    strategy: str
    labelled: float
    auroc: Measure
    gain: Measure | None
    gain_over_tasks: Measure | None


def compare_strategies(
    data: LabelledVectors,
    contenders: Mapping[str, Contender],
    design: Design,
    *,
    about: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Let strategies choose for the same tasks, and judge what they chose.

    Parameters
    ----------
    data
        Images of test patients.
    contenders
        The strategies; the selector, if there is one, is compared with each of the others, and
        otherwise the first (`hilum.select.contenders`).
    design
        Findings, budgets, prevalences and sizes.

    Raises
    ------
    UsageError
        If there are fewer than two strategies, a vector is of no use, there is no such finding,
        or every finding is too rare at every prevalence.
        One that is too rare at some is left out there; `Comparison.left_out` says why.
    """
    reference = selected_first(contenders)
    people, owner = np.unique(np.array(data.patients), return_inverse=True)
    counts = draw_patients(len(people), design.resamples, seed=_mixed(design.seed))
    sources, left_out = sources_of(data, design)
    shape = (len(design.prevalences), len(design.findings), len(design.budgets), len(contenders))
    auroc = np.full((*shape, design.tasks), np.nan)
    resampled = np.full((*shape, design.resamples), np.nan)
    labelled = np.full(shape, np.nan)
    progress(0, len(sources))
    for done, ((p, f), source) in enumerate(sources.items(), start=1):
        found = _judge(source, contenders, design, owner.astype(np.int64), counts)
        auroc[p, f], resampled[p, f], labelled[p, f] = found
        progress(done, len(sources), source.findings[0])
    return Comparison(
        design, tuple(contenders), reference, auroc, resampled, labelled, left_out,
        len(data.ids), len(people), dict(about or {}),
    )  # fmt: skip


def sources_of(
    data: LabelledVectors, design: Design
) -> tuple[dict[tuple[int, int], TaskSource], dict[tuple[float, str], str]]:
    """Prepare the tasks of a design.

    Returns
    -------
    By positions of prevalence and finding the tasks, and by prevalence and finding the reason
    why there are none, as where a finding is too rare.

    Raises
    ------
    UsageError
        If a vector is of no use, there is no such finding, or there are no tasks at all.
    """
    refuse_unusable(data.vectors, data.ids)
    findings = [named(name, data.findings) for name in design.findings]
    found: dict[tuple[int, int], TaskSource] = {}
    left_out: dict[tuple[float, str], str] = {}
    for p, prevalence in enumerate(design.prevalences):
        for f, finding in enumerate(findings):
            plan = design.plan_at(prevalence, (finding,))
            try:
                found[p, f] = data.tasks(plan, design.seed)
            except UsageError as error:
                left_out[prevalence, design.findings[f]] = str(error)
    if not found:
        raise UsageError(
            "there are no tasks for any finding at any prevalence; of the first: "
            f"{next(iter(left_out.values()))}"
        )
    return found, left_out


def _mixed(seed: int) -> int:
    return int(np.random.SeedSequence([seed, _PATIENTS]).generate_state(1, np.uint64)[0])


def _judge(
    source: TaskSource,
    contenders: Mapping[str, Contender],
    design: Design,
    owner: Rows,
    counts: Counts,
) -> tuple[Floats, Floats, Floats]:
    """Return AUROCs, their means in resamples, and numbers of different images, of one source."""
    shape = (len(design.budgets), len(contenders))
    scores = np.empty((design.tasks, *shape, design.plan.query))
    different = np.empty((design.tasks, *shape))
    drawn = source.batch(range(design.tasks))
    for start in range(0, design.tasks, _TASKS_AT_ONCE):
        indices = np.arange(start, min(start + _TASKS_AT_ONCE, design.tasks), dtype=np.int64)
        tasks = source.batch(indices)
        for k, budget in enumerate(design.budgets):
            for s, pick in enumerate(contenders.values()):
                picks = pick(source, tasks, indices, budget)
                scores[indices, k, s] = _scores(source, tasks, picks)
                different[indices, k, s] = distinct(picks)
    again = resampled_means(scores.reshape(design.tasks, -1, design.plan.query), drawn, owner,
                            counts)  # fmt: skip
    areas = [[aurocs(scores[:, k, s], drawn.query_labels) for s in range(shape[1])]
             for k in range(shape[0])]  # fmt: skip
    return np.array(areas), again.reshape(*shape, -1), different.mean(axis=0)


def _scores(source: TaskSource, tasks: Tasks, picks: Rows) -> Floats:
    """Return what the picks' labels say of the query (n_tasks, n_query)."""
    rows = np.take_along_axis(tasks.pool, picks, axis=1)
    labels = np.take_along_axis(tasks.pool_labels, picks, axis=1)
    return prototype_scores(source.vectors[tasks.query], source.vectors[rows], labels)
