"""How well images find images of their kind: queries against a gallery, with intervals by patient.

Two images are alike if they share a positive finding; images with no positive one among the
findings asked for cannot ask. Where classes exclude each other that is "the same class".
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from hilum.errors import UsageError
from hilum.evaluate.draws import Draws
from hilum.evaluate.intervals import Measure
from hilum.evaluate.query_means import query_means
from hilum.evaluate.text import as_text
from hilum.retrieve.cases import among
from hilum.retrieve.queries import Flags, Found, ask, labelled

if TYPE_CHECKING:
    from hilum.collection import Collection


@dataclass(frozen=True)
class NeighbourMetrics:
    """What queries found.

    Parameters
    ----------
    mean
        Over all queries: ``recall@k``, ``precision@k``, ``ndcg@k``, ``average_precision`` (their
        mean is mAP), ``r_precision``, ``average_precision_xmir``, and ``accuracy``, how often the
        most frequent class among the nearest is the query's, where classes exclude each other.
    findings
        The same per finding: its images ask, and images with it are right answers.
    chance
        The precision of a random order, of ``all`` queries and by finding.
    queries, gallery, patients
        How many images asked, how many there were to find, and of how many patients the queries
        are, who are what is resampled.
    without
        Images that could not ask: no finding is positive.
    same_patient
        Whether images of the query's patient were among the answers.
    voters
        How many neighbours vote in ``accuracy``.
    resamples, level
        Of patients; coverage of the intervals.
    per_query
        The numbers of each query, a row each, beside image_id and patient_id.
    """

    mean: dict[str, Measure]
    findings: dict[str, dict[str, Measure]]
    chance: dict[str, float]
    queries: int
    gallery: int
    patients: int
    without: int
    same_patient: bool
    voters: int
    resamples: int
    level: float
    per_query: pl.DataFrame = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, all but `per_query`."""
        plain = {name: value for name, value in vars(self).items() if name != "per_query"}
        return {
            **plain,
            "mean": _measures_to_json(self.mean),
            "findings": {name: _measures_to_json(one) for name, one in self.findings.items()},
        }

    def to_text(self) -> str:
        """Return a table for a terminal."""
        rows = {"all": self.mean, **self.findings}
        precision = tuple(name for name in self.mean if name.startswith("precision@"))
        lines: list[str] = []
        for names in (("average_precision", "r_precision", "accuracy"), precision[:2]):
            shown = [name for name in names if name in self.mean]
            last = ("by chance",) if names == precision[:2] else ()
            lines += [_row("", *shown, *last)]
            for finding, found in rows.items():
                cells = [as_text(found[name]) for name in shown if name in found]
                lines += [_row(finding, *cells, *(f"{self.chance[finding]:.3f}" for _ in last))]
            lines.append("")
        patients = "left out" if not self.same_patient else "among the answers"
        lines += [
            f"{self.queries} queries of {self.patients} patients, {self.gallery} images to find",
            f"other images of the query's patient {patients}",
            f"{self.without} images without a positive finding did not ask",
        ]
        without = {name: found["average_precision"] for name, found in self.findings.items()}
        lines += [f"{name}: {one.reason}" for name, one in without.items() if one.estimate is None]
        if self.resamples:
            lines.append(f"{self.level:.0%} intervals from {self.resamples} resamples of patients")
        return "\n".join(lines)


def _row(name: str, *cells: str) -> str:
    return (
        f"{name[:19]:<20}" + "".join(f"{cell.replace('_', ' '):<20}" for cell in cells)
    ).rstrip()


def _measures_to_json(found: dict[str, Measure]) -> dict[str, Any]:
    return {name: asdict(one) for name, one in found.items()}


def evaluate_neighbours(
    collection: "Collection",
    embedding: str,
    *,
    findings: Sequence[str] | None = None,
    queries: str | None = None,
    gallery: str | None = None,
    same_patient: bool = False,
    k: Sequence[int] = (1, 5, 10),
    voters: int = 5,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> NeighbourMetrics:
    """Measure how well images find images with the same findings.

    Parameters
    ----------
    collection
        With vectors of `embedding` and labels.
    findings
        Which count, "No Finding" as one of them; all of the collection if None.
    queries
        SQL: which images ask; all if None.
    gallery
        SQL: which images can be found; by default those that ask, each leaving itself out.
    same_patient
        Whether other images of the query's own patient are answers. They are easy to find and
        say nothing of disease; X-MIR leaves only the query itself out.
    k
        Where lists are cut.
    voters
        Neighbours that vote in ``accuracy``.
    bootstrap, level, seed
        Resamples of the queries' patients, coverage of the intervals, and of the random numbers.

    Raises
    ------
    UsageError
        If a setting is out of range, no image fulfils a condition or can ask, or the gallery is
        smaller than `k` once the query and its patient are left out.
    CollectionError
        If there is no such embedding or finding, or images have no vector.
    """
    if not k or min(k) < 1 or voters < 1:
        raise UsageError(f"k and voters must be at least 1; got k {tuple(k)}, voters {voters}")
    if bootstrap < 0 or not 0 < level < 1:
        raise UsageError(f"bootstrap must be 0 or more, level in 0...1; got {bootstrap}, {level}")
    names = collection.labels(findings=findings).findings
    there = labelled(among(collection, gallery or queries), embedding, names)
    asking = there if gallery is None else labelled(among(collection, queries), embedding, names)
    can = np.flatnonzero(asking.positive.any(axis=1))
    if not len(can):
        raise UsageError(f"no query has a positive finding among {', '.join(names)}")
    asked = asking.take(can)
    found = ask(asked, there, tuple(k), same_patient=same_patient, voters=voters)
    owners, patients = np.unique(asked.patients, return_inverse=True)
    draws = Draws(len(owners), bootstrap, seed)
    return NeighbourMetrics(
        mean=query_means(found.overall, patients, draws, level),
        findings={
            name: query_means(values, patients, draws, level)
            for name, values, has in zip(names, found.findings, asked.positive.T, strict=True)
            if has.any()
        },
        chance={"all": float(found.chance.mean()), **_shares(names, found, asked.positive)},
        queries=len(can),
        gallery=len(there.ids),
        patients=len(owners),
        without=len(asking.ids) - len(can),
        same_patient=same_patient,
        voters=voters,
        resamples=bootstrap,
        level=level,
        per_query=pl.DataFrame(
            {"image_id": asked.ids, "patient_id": asked.patients, **found.overall}
        ),
    )


def _shares(names: Sequence[str], found: Found, asks: Flags) -> dict[str, float]:
    chances = zip(names, found.finding_chance, asks.T, strict=True)
    return {name: float(share[has].mean()) for name, share, has in chances if has.any()}


def compare_neighbours(
    first: NeighbourMetrics, second: NeighbourMetrics, *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Measure]:
    """Subtract the numbers of one embedding from another's, query by query.

    Parameters
    ----------
    first, second
        Of the same queries to the same gallery.
    bootstrap, seed
        Resamples of patients, and of the random numbers.

    Returns
    -------
    By statistic, first minus second, with intervals at the level of `first`.

    Raises
    ------
    UsageError
        If the queries or the galleries differ.
    """
    one, other = first.per_query, second.per_query
    same = first.gallery == second.gallery and first.same_patient == second.same_patient
    if not same or one["image_id"].to_list() != other["image_id"].to_list():
        raise UsageError(
            f"the two are of other queries or galleries: {first.queries} to {first.gallery} images "
            f"and {second.queries} to {second.gallery}; measure both alike"
        )
    owners, patients = np.unique(one["patient_id"].to_numpy(), return_inverse=True)
    names = [name for name in first.mean if name in second.mean]
    gaps = {name: (one[name] - other[name]).to_numpy() for name in names}
    return query_means(gaps, patients, Draws(len(owners), bootstrap, seed), first.level)
