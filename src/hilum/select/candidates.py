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
    finding
        Its position among those asked about.
    rows
        Images of each class, ascending.
    of_patient : (2, n_patients)
        How many images of each class a patient has.
    patients : (n_images,)
        Whose each image is, as numbers from 0.
    """

    finding: int
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
    plan: TaskPlan, places: Rows,
) -> tuple[Candidates, ...]:  # fmt: skip
    """Find the images of each class of some findings, at each place.

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
    places : (n_images,)
        Where each image comes from, as numbers from 0.
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
    for at, finding in enumerate(findings):
        positive = labels[finding] == 1
        negative = normal | (labels[finding] == 0) if plan.negatives == "rest" else normal
        masks = (negative & ~positive & usable, positive & usable)
        out += [_at(at, masks, patients, places == place) for place in range(places.max() + 1)]
    return tuple(out)


def _at(
    finding: int,
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    patients: Rows,
    here: NDArray[np.bool_],
) -> Candidates:
    parts = [mask & here for mask in masks]
    counts = [np.bincount(patients[part], minlength=patients.max() + 1) for part in parts]
    rows = (np.flatnonzero(parts[0]), np.flatnonzero(parts[1]))
    return Candidates(finding, rows, np.stack(counts).astype(np.int32), patients)


def frequent_enough(
    findings: Sequence[str], candidates: Sequence[Candidates], plan: TaskPlan, seed: int
) -> tuple[Candidates, ...]:
    """Return the candidates that tasks of this plan can be drawn from: some about every finding.

    Raises
    ------
    UsageError
        If there are none about a finding: with the counts of the first one that is too rare (where
        it is most frequent), what would fit it, and the others.
    """
    fit = tuple(c for c in candidates if c.fit(plan.pool_sizes, plan.query_sizes, seed))
    known = {images.finding for images in fit}
    rare = [
        (finding, max((c for c in candidates if c.finding == at), key=lambda c: len(c.rows[1])))
        for at, finding in enumerate(findings)
        if at not in known
    ]
    if not rare:
        return fit
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
