"""Maps against what is marked in the images: every measure, beside maps that know nothing.

What is averaged is maps, and what is resampled is patients, with the same draws for every
finding, for the method and for the baselines, so that their differences have intervals too.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate.draws import Draws
from hilum.explain.baselines import BASELINES, Baselines, partners
from hilum.explain.fidelity import MEASURED, measure_map
from hilum.explain.localisation import MODEL, Localisation, Settings, Values, summarise
from hilum.explain.regions import Regions
from hilum.explain.saliency import Saliency
from hilum.progress import Progress, silent

if TYPE_CHECKING:
    from hilum.collection import Collection


def score_maps(
    saliency: Saliency,
    regions: Regions,
    collection: "Collection",
    *,
    tolerance: float = 0.03,
    draws: int = 20,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: Progress = silent,
) -> Localisation:
    """Score maps against boxes or masks.

    Parameters
    ----------
    saliency
        Maps; those of images and findings that are not marked take no part.
    regions
        What is marked.
    collection
        Says whose the images are.
    tolerance
        Of ``pointing_near``, as a share of the image's longer side (theirs: 15 of some 500).
    draws
        Noise maps per image.
    bootstrap, level, seed
        Resamples of patients, coverage of the intervals, and of all that is drawn.
    progress
        Called after every map.

    Raises
    ------
    UsageError
        If a setting is out of range, or no map has its finding marked.
    """
    _check(tolerance, draws, bootstrap, level)
    rows = [
        row
        for row, key in enumerate(zip(saliency.image_ids, saliency.targets, strict=True))
        if regions.has(*key)
    ]
    if not rows:
        raise UsageError(
            f"none of the {len(saliency)} maps has its finding marked: "
            f"{regions.kind} mark {', '.join(regions.findings) or 'nothing'}"
        )
    kept = saliency.take(rows)
    frame = collection.table(["image_id", "patient_id"])
    owner = dict(zip(frame["image_id"], frame["patient_id"], strict=True))
    values = measure(
        kept, regions, [owner[image] for image in kept.image_ids],
        tolerance=tolerance, draws=draws, seed=seed, progress=progress,
    )  # fmt: skip
    settings = Settings(regions.kind, tolerance, draws, bootstrap, level, seed)
    units = len(set(values.patients))
    return summarise(values, Draws(units, bootstrap, seed), settings, saliency.origin)


def measure(
    saliency: Saliency,
    regions: Regions,
    patients: Sequence[str],
    *,
    tolerance: float,
    draws: int,
    seed: int,
    progress: Progress = silent,
) -> Values:
    """Measure every map, and the baselines of its image, against what is marked."""
    blank = np.array([one.blank for one in saliency.diagnoses])
    known_nothing = Baselines(
        saliency, partners(saliency.targets, patients, blank.tolist(), seed), draws, seed
    )
    by_series = {
        name: np.full((len(saliency), len(MEASURED)), np.nan) for name in (MODEL, *BASELINES)
    }
    for row, key in enumerate(zip(saliency.image_ids, saliency.targets, strict=True)):
        geometry = saliency.geometries[row]
        region = regions.mask(*key, geometry)
        near = tolerance * max(geometry.width, geometry.height)
        by_series[MODEL][row] = measure_map(saliency.in_original(row), region, near)
        for name in BASELINES:
            if maps := known_nothing.maps(row, name):
                by_series[name][row] = np.mean(
                    [measure_map(one, region, near) for one in maps], axis=0
                )
        progress(row + 1, len(saliency))
    return Values(saliency.image_ids, saliency.targets, tuple(patients), blank, by_series)


def _check(tolerance: float, draws: int, bootstrap: int, level: float) -> None:
    if not 0 <= tolerance <= 1:
        raise UsageError(
            f"the tolerance is a share of the image's longer side, 0 to 1; got {tolerance}"
        )
    if draws < 1:
        raise UsageError(f"noise is drawn at least once per image; got {draws}")
    if bootstrap < 0 or not 0 < level < 1:
        raise UsageError(
            f"resamples are 0 or more and a level is between 0 and 1; got {bootstrap}, {level}"
        )
