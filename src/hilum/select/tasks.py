"""Tasks: practice rounds of "label a few of these", cut from images whose labels are known.

A task is one finding, a pool to choose images from and a query set to be judged on, as in MedSelect
(Smit et al., Medical Imaging with Deep Learning 2021, arXiv:2103.14339). It holds row numbers; the
vectors stay where they are. Task i of a source depends on (seed, i) and on nothing else.

What differs from MedSelect's tasks:

* *Patients.* No patient is in both the pool and the query. Of two films of one patient, labelling
  one gives away the other, and a selector would be paid for finding such pairs.
* *Negatives.* By default images of No Finding, as there; or all the rest, which is what a
  radiologist who looks for one finding is up against.
* *Prevalence.* Any, not one half alone.
* *Held-out findings.* Images that have one take no part in training (see `TaskPlan`).
* *Several sources.* A task is cut from the images of one: if positives came from one hospital and
  negatives from another, it would teach to tell hospitals apart.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import LeakError, UsageError
from hilum.select.candidates import Candidates, candidates_of, frequent_enough
from hilum.select.pool import Rows, refuse_unusable
from hilum.select.task_plan import TaskPlan, asked_findings

if TYPE_CHECKING:
    pass

Labels = NDArray[np.uint8]

TASK: Final = 11  # keeps this stream of random numbers apart from others


@dataclass(frozen=True, eq=False)
class Task:
    """One task, in rows of its source.

    Parameters
    ----------
    finding
        Position in `TaskSource.findings`.
    pool, query : (n_pool,) and (n_query,)
        Rows, in random order.
    pool_labels, query_labels : (n_pool,) and (n_query,)
        1 has the finding, 0 has not.
    """

    finding: int
    pool: Rows
    pool_labels: Labels
    query: Rows
    query_labels: Labels


@dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks of one plan, stacked; fields as in `Task`.

    Parameters
    ----------
    finding : (n_tasks,) int64
    pool, query : (n_tasks, n_pool) and (n_tasks, n_query) int64
    pool_labels, query_labels : (n_tasks, n_pool) and (n_tasks, n_query) uint8
    """

    finding: Rows
    pool: Rows
    pool_labels: Labels
    query: Rows
    query_labels: Labels

    def __len__(self) -> int:
        return len(self.finding)


@dataclass(frozen=True, eq=False)
class TaskSource:
    """Where tasks come from. Use `TaskSource.of`.

    Parameters
    ----------
    vectors : (n_images, dim) float32
        The embeddings that rows of tasks point into.
    people
        The patients' names.
    findings
        What tasks ask about.
    plan
        What tasks look like.
    seed
        Of all draws.
    """

    vectors: NDArray[np.float32]
    people: frozenset[str | int]
    findings: tuple[str, ...]
    plan: TaskPlan
    seed: int
    _candidates: tuple[Candidates, ...]

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.float32],
        labels: ArrayLike,
        patients: ArrayLike,
        findings: Sequence[str],
        plan: TaskPlan | None = None,
        seed: int = 0,
        places: ArrayLike | None = None,
    ) -> "TaskSource":
        """Prepare tasks.

        Parameters
        ----------
        vectors : (n_images, dim)
            One embedding per image.
        labels : (n_images, n_findings)
            1, 0 or NaN (unknown). An image has nothing where No Finding is 1, or, without such a
            column, where every finding is known to be absent; it is a negative of every finding
            that it is not labelled with.
        patients : (n_images,)
            Names or numbers; the same number in two sources is the same patient.
        findings
            Names of the columns of `labels`.
        plan
            What tasks look like; the defaults if None.
        seed
            Another seed gives other tasks.
        places : (n_images,)
            Where each image comes from: names or numbers of its source. A task has images of one
            place, and a finding is asked about wherever it is frequent enough. One place if None.

        Raises
        ------
        UsageError
            If a vector is zero or not finite, a label is none, the plan asks for a finding that
            is not there, or a finding is too rare for the plan.
        ValueError
            If the arrays do not fit each other.
        """
        plan = plan or TaskPlan()
        target = np.asarray(labels, dtype=np.float64)
        who = np.asarray(patients)
        _check_shapes(vectors, target, who, findings)
        refuse_unusable(vectors)
        if not np.isin(target[~np.isnan(target)], (0, 1)).all():
            raise UsageError("labels must be 1, 0 or NaN: choose a policy for uncertain ones")
        asked = asked_findings(findings, plan)
        names, codes = np.unique(who, return_inverse=True)
        columns = dict(zip(findings, target.T, strict=True))
        where = np.zeros(len(who), dtype=np.int64)
        if places is not None:
            if np.shape(places) != who.shape:
                raise ValueError(f"places must be {who.shape}, got {np.shape(places)}")
            where = np.unique(np.asarray(places), return_inverse=True)[1].astype(np.int64)
        everywhere = candidates_of(asked, columns, codes.astype(np.int64), plan, where)
        candidates = frequent_enough(asked, everywhere, plan, seed)
        return cls(vectors, frozenset(names.tolist()), asked, plan, seed, candidates)

    def draw(self, index: int) -> Task:
        """Draw task number `index`, always the same one.

        The finding is uniform over `findings`; where there are several places, over pairs of a
        finding and a place where it is frequent enough. The query's images are uniform over all
        those of their class (given that the patients left fill a pool, where that is not certain);
        the pool's are uniform over the images of all other patients. So a patient with many images
        is rarer in the pool than in the query, by as much as is lost to the query. Where every
        image has its own patient, this is MedSelect's law.
        """
        rng = np.random.default_rng([self.seed, TASK, index])
        images = self._candidates[int(rng.integers(len(self._candidates)))]
        wanted = self.plan.pool_sizes
        while True:  # as a rule once, and hardly ever more than a few times: see `Candidates.fit`
            query = images.query(self.plan.query_sizes, rng)
            lost = images.lost_to(query)
            if images.suffice(wanted, lost):
                break
        pool = images.pool(wanted, query, lost, rng)
        in_pool, in_query = rng.permutation(len(pool)), rng.permutation(len(query))
        return Task(
            images.finding,
            pool[in_pool],
            (in_pool >= wanted[0]).astype(np.uint8),
            query[in_query],
            (in_query >= self.plan.query_sizes[0]).astype(np.uint8),
        )

    @property
    def digest(self) -> str:
        """sha256 (hex) over the vectors, whose they are, and the images of every class."""
        total = hashlib.sha256(np.ascontiguousarray(self.vectors).data)
        total.update(json.dumps([sorted(map(str, self.people)), self.findings]).encode())
        total.update(np.ascontiguousarray(self._candidates[0].patients).data)
        for images in self._candidates:
            for rows in images.rows:
                total.update(f"{images.finding} {len(rows)} ".encode())
                total.update(np.ascontiguousarray(rows).data)
        return total.hexdigest()

    def batch(self, indices: ArrayLike) -> Tasks:
        """Draw the tasks of some numbers, in their order."""
        drawn = [self.draw(int(index)) for index in np.asarray(indices, dtype=np.int64)]
        return Tasks(
            np.array([task.finding for task in drawn], dtype=np.int64),
            np.stack([task.pool for task in drawn]),
            np.stack([task.pool_labels for task in drawn]),
            np.stack([task.query for task in drawn]),
            np.stack([task.query_labels for task in drawn]),
        )


def refuse_shared_patients(*sources: TaskSource) -> None:
    """Make sure that sources which are used together (training, validation, test) share no patient.

    Raises
    ------
    LeakError
        With the number of such patients and up to three examples.
    """
    for (here, one), (there, other) in combinations(enumerate(sources, start=1), 2):
        if shared := sorted(map(str, one.people & other.people)):
            raise LeakError(
                f"{len(shared)} patients are in both source {here} and source {there} of tasks "
                f"({', '.join(shared[:3])}): what is learnt from one would be tested on the same "
                "people; split by patient (hilum show lists the splits)"
            )


# --------------------------------------------------------------------------- what there is


def _check_shapes(
    vectors: NDArray[np.float32],
    target: NDArray[np.float64],
    who: NDArray[np.generic],
    findings: Sequence[str],
) -> None:
    n_images = len(vectors)
    if vectors.ndim != 2 or target.shape != (n_images, len(findings)) or who.shape != (n_images,):
        raise ValueError(
            "vectors (n_images, dim), labels (n_images, n_findings) and patients (n_images,) must "
            f"fit each other and the {len(findings)} names of findings; "
            f"got {vectors.shape}, {target.shape} and {who.shape}"
        )
    if who.dtype.kind not in "iuU":
        raise ValueError(f"patients must all be names or all whole numbers; got {who.dtype}")
