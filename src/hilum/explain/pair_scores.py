"""Insertion and deletion of many pairs, beside maps that know nothing, with intervals by patient.

A pair has a query, a retrieved image and its rank. What is resampled is patients of queries, with
the same draws for the method and for the baselines, so that their differences have intervals.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.evaluate.draws import Draws
from hilum.evaluate.intervals import Measure
from hilum.evaluate.query_means import query_means
from hilum.evaluate.text import as_text
from hilum.explain.baselines import CENTRE, CENTRE_WIDTH, RANDOM
from hilum.explain.compared import Compared
from hilum.explain.insertion import BETTER, Curves, Steps, insert_and_delete
from hilum.explain.localisation import MODEL
from hilum.explain.regions import Regions
from hilum.explain.saliency import Map, Origin, Saliency, in_original
from hilum.images import Geometry
from hilum.progress import Progress, silent

if TYPE_CHECKING:
    from hilum.collection import Collection

Floats = NDArray[np.float64]

SERIES: Final = (MODEL, RANDOM, CENTRE)
KINDS: Final = ("insertion", "deletion")
NOISE: Final = (7, 7)
"""Cells of a noise map, the grid of X-MIR's networks. Noise of single pixels would leave every
coarse structure standing until the last, and be a baseline of another kind."""


@dataclass(frozen=True, eq=False)
class PairScores:
    """What became of the likeness of pairs as their retrieved images came and went.

    Parameters
    ----------
    queries, retrieved, patients : (n,)
        Ids of the pairs, and whose the query is.
    ranks : (n,)
        Of the retrieved image, 1 for the nearest.
    curves
        Of the method's maps and of each baseline, by series.
    means, differences
        Means over pairs of the areas, by series then kind; the method less a baseline.
    settings, level, bootstrap
        How they were made.
    origin
        What made the maps.
    """

    queries: tuple[str, ...]
    retrieved: tuple[str, ...]
    patients: tuple[str, ...]
    ranks: NDArray[np.int64]
    curves: dict[str, Curves]
    means: dict[str, dict[str, Measure]]
    differences: dict[str, dict[str, Measure]]
    settings: Steps
    level: float
    bootstrap: int
    origin: Origin

    def __len__(self) -> int:
        return len(self.queries)

    def areas(self, series: str = MODEL) -> Floats:
        """Return the areas of each pair, (n, 2): insertion, deletion."""
        return self.curves[series].areas()

    def rows(self) -> list[list[Any]]:
        """Return a table with a header: a row per pair and series."""
        out: list[list[Any]] = [
            ["query", "retrieved", "rank", "series", *KINDS, *(f"{one}_clipped" for one in KINDS)]
        ]
        for series, found in self.curves.items():
            areas = found.areas()
            for at in range(len(self)):
                clipped = found.clipped[at].tolist()
                pair = [self.queries[at], self.retrieved[at], int(self.ranks[at]), series]
                out.append([*pair, *(round(float(one), 6) for one in areas[at]), *clipped])
        return out

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types: means and how they were made."""
        return {
            "pairs": len(self),
            "patients": len(set(self.patients)),
            "better": BETTER,
            "means": _plain(self.means),
            "differences": _plain(self.differences),
            "settings": asdict(self.settings) | {"level": self.level, "bootstrap": self.bootstrap},
            "origin": asdict(self.origin) | {"grid": list(self.origin.grid)},
        }

    def to_text(self) -> str:
        """Return a table for a terminal."""
        lines = [f"{'':<22}{'insertion (higher)':<24}{'deletion (lower)':<24}".rstrip()]
        shown = {**self.means, **{f"less {one}": own for one, own in self.differences.items()}}
        for name, own in shown.items():
            label = self.origin.method if name == MODEL else name
            cells = "".join(f"{_cell(own[kind]):<24}" for kind in KINDS)
            lines.append(f"{label:<22}{cells}".rstrip())
        made = self.origin
        lines.append(
            f"{len(self)} pairs, queries of {len(set(self.patients))} patient(s); {made.method} "
            f"of {made.model} at {made.layer}, {self.settings.steps} steps"
        )
        if self.bootstrap and len(set(self.patients)) > 1:
            lines.append(
                f"{self.level:.0%} intervals from {self.bootstrap} resamples of the queries' "
                "patients"
            )
        return "\n".join(lines)


def _cell(one: Measure) -> str:
    return as_text(one) if one.low is not None or one.estimate is None else f"{one.estimate:.3f}"


def _plain(named: dict[str, dict[str, Measure]]) -> dict[str, Any]:
    return {name: {kind: asdict(one) for kind, one in own.items()} for name, own in named.items()}


def score_pairs(
    maps: Sequence[Saliency],
    collection: "Collection",
    network: Compared,
    settings: Steps | None = None,
    *,
    baselines: bool = True,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: Progress = silent,
) -> PairScores:
    """Put together and take apart every retrieved image in the order of its map.

    Parameters
    ----------
    maps
        From `explain_similar`, one per query; retrieved images nearest first.
    collection
        Where the images are.
    network
        What compared them.
    settings
        Steps, substrates and likeness; X-MIR's if not given.
    baselines
        Whether noise and a prior for the middle take part.
    bootstrap, level, seed
        Resamples of the queries' patients, coverage of the intervals, and of all that is drawn.
    progress
        Called after every query.

    Raises
    ------
    UsageError
        If the maps are of another encoder, of findings and not of pairs, or there is none.
    """
    _check(maps, network, bootstrap, level)
    settings = settings or Steps()
    frame = collection.table(["image_id", "patient_id"])
    owner = dict(zip(frame["image_id"], frame["patient_id"], strict=True))
    place = {image: row for row, image in enumerate(frame["image_id"])}
    queries: list[str] = []
    retrieved: list[str] = []
    ranks: list[int] = []
    parts: dict[str, list[Curves]] = {name: [] for name in (SERIES if baselines else SERIES[:1])}
    progress(0, len(maps))
    for done, own in enumerate(maps, 1):
        query, rows = of_retrieved(own)
        pixels = collection.pixels([place[one] for one in (query, *own.take(rows).image_ids)])
        for name, curves in parts.items():
            heats = np.stack([_map(own, row, name, [seed, done]) for row in rows])
            curves.append(insert_and_delete(network, pixels[0], pixels[1:], heats, settings))
        queries += [query] * len(rows)
        retrieved += [own.image_ids[row] for row in rows]
        ranks += range(1, len(rows) + 1)
        progress(done, len(maps))
    return summarise_pairs(
        (tuple(queries), tuple(retrieved), tuple(owner[one] for one in queries)),
        np.array(ranks), {name: _joined(own) for name, own in parts.items()}, settings,
        Draws(len({owner[one] for one in queries}), bootstrap, seed), level, maps[0].origin,
    )  # fmt: skip


def _check(maps: Sequence[Saliency], network: Compared, bootstrap: int, level: float) -> None:
    if not maps:
        raise UsageError("there is no map to score")
    if bootstrap < 0 or not 0 < level < 1:
        raise UsageError(
            f"resamples are 0 or more and a level is between 0 and 1; got {bootstrap}, {level}"
        )
    for one in maps:
        if one.origin.explains != "pair":
            raise UsageError("insertion and deletion are of pairs; these maps explain findings")
        if one.origin.fingerprint != network.encoder.fingerprint:
            raise UsageError(
                f"the maps are of an encoder with fingerprint {one.origin.fingerprint[:12]}, not "
                f"of {network.encoder!r}: score them with the encoder that they explain"
            )


def of_retrieved(maps: Saliency) -> tuple[str, list[int]]:
    """Return the query of some maps, and the rows that are of its retrieved images, in order."""
    query = maps.targets[0]
    return query, [row for row, target in enumerate(maps.targets) if target == query]


def _map(maps: Saliency, row: int, series: str, seed: Sequence[int]) -> Map:
    """Return a map, or a baseline's, on the pixels of the network's square."""
    side = maps.origin.size
    whole = Geometry(side, side, side, 0, 0, side, side)
    if series == RANDOM:
        noise = np.random.default_rng([*seed, row]).random(NOISE, dtype=np.float32)
        return in_original(noise, whole)
    if series == CENTRE:
        return _centre(maps.geometries[row], side)
    return in_original(maps.signed[row], whole, maps.origin.offset)


def _centre(geometry: Geometry, side: int) -> Map:
    """Return a normal distribution over the middle of an image in its square; 0 in the padding."""
    scale = side / geometry.size
    at = (np.arange(side) + 0.5) / scale  # pixels of the stored square

    def along(start: int, length: int) -> Floats:
        share = (at - start) / length - 0.5
        found: Floats = np.exp(-0.5 * (share / CENTRE_WIDTH) ** 2) * (np.abs(share) <= 0.5)
        return found

    down = along(geometry.top, geometry.content_height)
    across = along(geometry.left, geometry.content_width)
    return np.asarray(np.outer(down, across), np.float32)


def _joined(parts: Sequence[Curves]) -> Curves:
    insertion, deletion, clipped = (
        np.concatenate([getattr(one, name) for one in parts]) for name in (*KINDS, "clipped")
    )
    return Curves(insertion, deletion, clipped)


def summarise_pairs(
    ids: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    ranks: NDArray[np.int64],
    curves: dict[str, Curves],
    settings: Steps,
    draws: Draws,
    level: float,
    origin: Origin,
) -> PairScores:
    """Average the areas of pairs; `ids` are queries, retrieved images and the queries' patients."""
    units = np.unique(ids[2], return_inverse=True)[1].astype(np.int64)
    areas = {name: own.areas() for name, own in curves.items()}

    def mean(values: Floats) -> dict[str, Measure]:
        return query_means(dict(zip(KINDS, values.T, strict=True)), units, draws, level)

    means = {name: mean(own) for name, own in areas.items()}
    less = {name: mean(areas[MODEL] - own) for name, own in areas.items() if name != MODEL}
    return PairScores(*ids, ranks, curves, means, less, settings, level, draws.resamples, origin)


def as_findings(maps: Saliency, regions: Regions) -> Saliency | None:
    """Return maps of retrieved images as maps of findings, to be scored against what is marked.

    Parameters
    ----------
    maps
        Of one query.
    regions
        What is marked.

    Returns
    -------
    A map for each retrieved image and each finding that is marked in it and in the query; None if
    there is none.
    """
    query, rows = of_retrieved(maps)
    pairs = [
        (row, name)
        for row in rows
        for name in regions.findings
        if regions.has(query, name) and regions.has(maps.image_ids[row], name)
    ]
    if not pairs:
        return None
    taken = maps.take([row for row, _ in pairs])
    return replace(taken, targets=tuple(name for _, name in pairs))
