"""The images that tasks about a finding are drawn from, and whether there are enough of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.select.pool import Rows
from hilum.select.task_plan import NO_FINDING, TaskPlan, named, sizes_of

Sizes = tuple[int, int]  # negatives, positives

_TRIAL: Final = 12  # keeps this stream of random numbers apart from that of the tasks
_TRIALS: Final = 32
_PREVALENCES: Final = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)  # to suggest


@dataclass(frozen=True, eq=False)
class Candidates:
    """Images of each class of one finding; index 0 is the negatives, 1 the positives.

    Parameters
    ----------
    rows
        Images of each class, ascending.
    of_patient : (2, n_patients)
        How many images of each class a patient has.
    patients : (n_images,)
        Whose each image is, as numbers from 0.
    """

    rows: tuple[Rows, Rows]
    of_patient: NDArray[np.int32]
    patients: Rows

    def query(self, wanted: Sizes, rng: np.random.Generator) -> Rows:
        """Draw images uniformly: negatives, then positives."""
        parts = [
            rows[rng.choice(len(rows), n, replace=False)]
            for rows, n in zip(self.rows, wanted, strict=True)
        ]
        return np.concatenate(parts)

    def lost_to(self, query: Rows) -> Sizes:
        """Count the images of each class that belong to the query's patients."""
        owners = np.unique(self.patients[query])
        negatives, positives = self.of_patient[:, owners].sum(axis=1).tolist()
        return negatives, positives

    def suffice(self, wanted: Sizes, lost: Sizes) -> bool:
        """Say whether a pool can be drawn when so many images are lost to the query."""
        return all(
            len(rows) - gone >= n for rows, gone, n in zip(self.rows, lost, wanted, strict=True)
        )

    def pool(self, wanted: Sizes, query: Rows, lost: Sizes, rng: np.random.Generator) -> Rows:
        """Draw images of other patients than the query's uniformly: negatives, then positives.

        As many more are drawn as the query's patients have, so that enough remain when theirs are
        struck out. What remains is in random order, so its first are a uniform draw.
        """
        struck = np.zeros(self.of_patient.shape[1], dtype=np.bool_)
        struck[self.patients[query]] = True
        parts = []
        for rows, n, gone in zip(self.rows, wanted, lost, strict=True):
            some = rows[rng.choice(len(rows), n + gone, replace=False)]
            parts.append(some[~struck[self.patients[some]]][:n])
        return np.concatenate(parts)

    def fit(self, pool: Sizes, query: Sizes, seed: int) -> bool:
        """Say whether at least half of all queries leave enough images for a pool."""
        if any(len(rows) < p + q for rows, p, q in zip(self.rows, pool, query, strict=True)):
            return False
        rng = np.random.default_rng([seed, _TRIAL])
        drawn = (self.query(query, rng) for _ in range(_TRIALS))
        return 2 * sum(self.suffice(pool, self.lost_to(rows)) for rows in drawn) >= _TRIALS


def candidates_of(
    findings: Sequence[str], labels: Mapping[str, NDArray[np.float64]], patients: Rows,
    plan: TaskPlan,
) -> tuple[Candidates, ...]:  # fmt: skip
    """Find the images of each class of some findings.

    Parameters
    ----------
    findings
        What tasks ask about.
    labels : (n_images,) each
        All labels by finding: 1, 0 or NaN.
    patients : (n_images,)
        Numbers from 0.
    plan
        Which negatives, and which findings are held out.
    """
    if NO_FINDING in labels:
        normal = labels[NO_FINDING] == 1
    else:
        normal = np.all([label == 0 for label in labels.values()], axis=0)
    usable = np.ones(len(patients), dtype=np.bool_)
    if plan.drop_held_out:
        for name in plan.held_out:
            usable &= labels[named(name, tuple(labels))] != 1
    out = []
    for finding in findings:
        positive = labels[finding] == 1
        negative = normal | (labels[finding] == 0) if plan.negatives == "rest" else normal
        masks = (negative & ~positive & usable, positive & usable)
        counts = [np.bincount(patients[mask], minlength=patients.max() + 1) for mask in masks]
        rows = (np.flatnonzero(masks[0]), np.flatnonzero(masks[1]))
        out.append(Candidates(rows, np.stack(counts).astype(np.int32), patients))
    return tuple(out)


def refuse_rare(
    findings: Sequence[str], candidates: Sequence[Candidates], plan: TaskPlan, seed: int
) -> None:
    """Make sure that tasks of this plan can be drawn about every finding.

    Raises
    ------
    UsageError
        With the counts of the first finding that is too rare, what would fit it, and the others.
    """
    rare = [
        (finding, images) for finding, images in zip(findings, candidates, strict=True)
        if not images.fit(plan.pool_sizes, plan.query_sizes, seed)
    ]  # fmt: skip
    if not rare:
        return
    finding, images = rare[0]
    negatives, positives = map(len, images.rows)
    people = (images.of_patient > 0).sum(axis=1)
    others = ", ".join(name for name, _ in rare[1:])
    raise UsageError(
        f"{finding} is too rare: {positives} images of {people[1]} patients have it and "
        f"{negatives} of {people[0]} are negatives, for a pool of {plan.pool_sizes[1]} with and "
        f"{plan.pool_sizes[0]} without and a query of {plan.query_sizes[1]} and "
        f"{plan.query_sizes[0]} that share no patient; {_what_fits(images, plan, seed)}"
        + (f" (too rare as well: {others})" if others else "")
    )


def _what_fits(images: Candidates, plan: TaskPlan, seed: int) -> str:
    """Suggest the largest pool and the nearest prevalence that can be drawn, if there are any."""
    ways = []
    if size := _largest_pool(images, plan, seed):
        ways.append(f"a pool of {size}")
    for share in sorted(_PREVALENCES, key=lambda share: abs(share - plan.prevalence)):
        pool = sizes_of(plan.pool, share)
        query = plan.query_sizes if plan.query_prevalence else sizes_of(plan.query, share)
        if min(*pool, *query) > 0 and images.fit(pool, query, seed):
            ways.append(f"a prevalence of {share}")
            break
    return (" or ".join(ways) or "no smaller pool") + " would do; or ask about other findings"


def _largest_pool(images: Candidates, plan: TaskPlan, seed: int) -> int:
    """Return the largest pool that can be drawn at the plan's prevalence, 0 if none can."""
    fits, fails = 0, plan.pool
    while fails - fits > 1:
        size = (fits + fails) // 2
        if images.fit(sizes_of(size, plan.prevalence), plan.query_sizes, seed):
            fits = size
        else:
            fails = size
    return fits if min(sizes_of(fits, plan.prevalence)) > 0 else 0
