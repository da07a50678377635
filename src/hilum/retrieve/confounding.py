"""How much of what images find is where they come from.

Where a class comes from one hospital alone, images may find each other by the hospital's scanner,
its cropping or its letters on the film, and every number of retrieval by class is as good as if
they did so by disease. Four measurements tell: how far the source gives the class away before any
image is looked at; how well images find their own source; how well they find their class among
images of their own source, which is what is left of disease; and among those of other sources.
Each stands beside chance, which differs between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.evaluate.draws import Draws
from hilum.evaluate.intervals import Measure
from hilum.evaluate.query_means import query_means
from hilum.evaluate.rankings import rank, statistics
from hilum.evaluate.text import as_text
from hilum.retrieve.cases import among
from hilum.retrieve.queries import Flags, Vectors, chunks, labelled

if TYPE_CHECKING:
    from hilum.collection import Collection

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WAYS: Final = {
    "source": "its source, anywhere",
    "class": "its class, anywhere",
    "class within": "its class, within its source",
    "class across": "its class, in other sources",
}


@dataclass(frozen=True)
class Confounding:
    """What images find: their class, or where they come from.

    Parameters
    ----------
    table
        By class, how many images come from each source.
    known_by_source
        The share of images whose class is right if it is guessed from the source alone, with the
        most frequent class of each; ``guessed``, with the most frequent class of all.
    cramers_v
        Of classes and sources: 0 is independent, 1 is that either gives the other away.
    found
        By way (`WAYS`), mean average precision with its interval by patient. Only queries that
        have right and wrong answers ask: of a source with one class, every order is perfect.
    chance
        By way, the share of right answers in the galleries of those queries; None without any.
    queries
        By way, how many those are.
    nearest
        How often the nearest image of another patient comes from the query's source; the mean
        over sources, by which guessing has 1 / sources.
    sources
        How many there are.
    """

    table: dict[str, dict[str, int]]
    known_by_source: float
    guessed: float
    cramers_v: float
    found: dict[str, Measure]
    chance: dict[str, float | None]
    queries: dict[str, int]
    nearest: float
    sources: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    def to_text(self) -> str:
        """Return a table for a terminal."""
        lines = [f"{'a query looks for':<32}{'mAP':<26}{'chance':<10}queries"]
        for way, text in WAYS.items():
            chance = self.chance[way]
            by_chance = "" if chance is None else f"{chance:.3f}"
            lines.append(
                f"{text:<32}{as_text(self.found[way]):<26}{by_chance:<10}{self.queries[way]}"
            )
        lines += [
            f"nearest image is of the same source: {self.nearest:.3f} (guessing: "
            f"{1 / self.sources:.3f})",
            f"class guessed from the source alone: {self.known_by_source:.3f} right (without it: "
            f"{self.guessed:.3f}); Cramér's V {self.cramers_v:.3f}",
        ]
        return "\n".join(lines)


def evaluate_confounding(
    collection: "Collection",
    embedding: str,
    sources: Mapping[str, str] | str = "source",
    *,
    findings: Sequence[str] | None = None,
    where: str | None = None,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Confounding:
    """Measure whether images find their class or where they come from.

    Parameters
    ----------
    collection
        With vectors of `embedding` and labels.
    sources
        By image id, where it comes from; or a column of the collection, such as ``"source"``,
        ``"view"`` or ``"sex"``: whatever may stand for the class.
    findings
        Classes that exclude each other; all of the collection if None. Images that have none are
        left out.
    where
        SQL: only these images.
    bootstrap, level, seed
        Resamples of the queries' patients, coverage of the intervals, and of the random numbers.

    Raises
    ------
    UsageError
        If a setting is out of range, an image has several of the findings or no source, or there
        is only one class or one source.
    CollectionError
        If there is no such embedding, finding or column, or images have no vector.
    """
    if bootstrap < 0 or not 0 < level < 1:
        raise UsageError(f"bootstrap must be 0 or more, level in 0...1; got {bootstrap}, {level}")
    view = among(collection, where)
    names = view.labels(findings=findings).findings
    images = labelled(view, embedding, names)
    images = images.take(np.flatnonzero(images.positive.any(axis=1)))
    classes = _classes(images.positive, names)
    kinds, origins = _origins(view, images.ids, sources)
    owners, patients = np.unique(images.patients, return_inverse=True)
    found, chance, nearest = measure_ways(images.vectors, classes, origins, patients)
    draws = Draws(len(owners), bootstrap, seed)
    counts = np.zeros((len(names), len(kinds)), np.int64)
    np.add.at(counts, (classes, origins), 1)
    return Confounding(
        table={
            name: dict(zip(kinds, row, strict=True))
            for name, row in zip(names, counts.tolist(), strict=True)
        },
        known_by_source=float(counts.max(axis=0).sum() / counts.sum()),
        guessed=float(counts.sum(axis=1).max() / counts.sum()),
        cramers_v=cramers_v(counts),
        found=query_means(found, patients, draws, level),
        chance={
            way: float(np.nanmean(share)) if (~np.isnan(share)).any() else None
            for way, share in chance.items()
        },
        queries={way: int((~np.isnan(values)).sum()) for way, values in found.items()},
        nearest=float(np.mean([nearest[origins == one].mean() for one in range(len(kinds))])),
        sources=len(kinds),
    )


def measure_ways(
    vectors: Vectors, classes: Ints, sources: Ints, patients: Ints
) -> tuple[dict[str, Floats], dict[str, Floats], Floats]:
    """Let every image look for its class and for its source among other patients' images.

    Parameters
    ----------
    vectors : (n, dim)
        Of length 1.
    classes, sources, patients : (n,)
        Numbers of the class, of the source and of the patient of each.

    Returns
    -------
    By way (`WAYS`), the average precision of each query and the share of right answers in its
    gallery, (n,), NaN where all or none of them are right; and whether the nearest image of
    another patient comes from the same source, (n,).
    """
    parts: list[tuple[dict[str, Floats], dict[str, Floats], Floats]] = []
    for rows in chunks(len(vectors), len(vectors)):
        own = patients[rows, None] == patients
        alike, near = classes[rows, None] == classes, sources[rows, None] == sources
        looks = {
            "source": (near, own),
            "class": (alike, own),
            "class within": (alike, own | ~near),
            "class across": (alike, own | near),
        }
        cosines = vectors[rows] @ vectors.T
        each = {way: _precision(cosines, *look) for way, look in looks.items()}
        closest = np.where(own, -np.inf, cosines).argmax(axis=1)
        parts.append(
            (
                {way: one[0] for way, one in each.items()},
                {way: one[1] for way, one in each.items()},
                (sources[closest] == sources[rows]).astype(np.float64),
            )
        )
    return (
        {way: np.concatenate([part[0][way] for part in parts]) for way in WAYS},
        {way: np.concatenate([part[1][way] for part in parts]) for way in WAYS},
        np.concatenate([part[2] for part in parts]),
    )


def cramers_v(counts: NDArray[np.integer]) -> float:
    """Return Cramér's V of a table of counts (Mathematical Methods of Statistics, 1946, 21.9).

    Rows and columns without any count take no part; NaN where fewer than two of either are left.
    """
    there = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0].astype(np.float64)
    least = min(there.shape) - 1
    if least < 1:
        return float("nan")
    total = there.sum()
    expected = there.sum(axis=1, keepdims=True) * there.sum(axis=0) / total
    squares = float(((there - expected) ** 2 / expected).sum())
    return float(np.sqrt(squares / (total * least)))


def _precision(cosines: Vectors, right: Flags, left_out: Flags) -> tuple[Floats, Floats]:
    """Return each query's average precision and its share of right answers."""
    ranked = rank(cosines, right.astype(np.int64), np.array([0.0, 1.0]), left_out)
    with np.errstate(invalid="ignore"):
        share = ranked.relevant.sum(axis=1) / ranked.lengths
    share = np.where((share > 0) & (share < 1), share, np.nan)
    found = np.where(np.isnan(share), np.nan, statistics(ranked, ())["average_precision"])
    return found, share


def _classes(positive: Flags, names: Sequence[str]) -> Ints:
    several = int((positive.sum(axis=1) > 1).sum())
    if several or (positive.any(axis=0)).sum() < 2:
        fault = f"{several} have several" if several else "they have one between them"
        raise UsageError(
            f"images are to have one of several classes ({', '.join(names)}), and of "
            f"{len(positive)} {fault}; name others (findings)"
        )
    found: Ints = positive.argmax(axis=1).astype(np.int64)
    return found


def _origins(
    view: "Collection", ids: Sequence[str], sources: Mapping[str, str] | str
) -> tuple[list[str], Ints]:
    if isinstance(sources, str):
        column = view.table([sources])[sources].cast(str).to_list()
        sources = {
            image: where
            for image, where in zip(view.ids(), column, strict=True)
            if where is not None
        }
    missing = [image for image in ids if image not in sources]
    if missing:
        raise UsageError(
            f"of {len(missing)} images, {missing[0]!r} the first, it is not known where they come "
            "from"
        )
    kinds, numbers = np.unique([sources[image] for image in ids], return_inverse=True)
    if len(kinds) < 2:
        raise UsageError(f"all {len(ids)} images come from {kinds[0]}, so there is nothing to tell")
    return kinds.tolist(), numbers.astype(np.int64)
