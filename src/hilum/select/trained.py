"""A trained selector as a strategy: weights and a pool in, picks out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.select.beside import People, columns
from hilum.select.pool import Picks, Pool, Settings, Strategy
from hilum.select.quota import Quota
from hilum.select.selector import SetSelector, load_selector
from hilum.select.selector_run import FILE_NAME
from hilum.select.selector_task import unit_vectors

STRANGE: Final = 0.5
"""How far a pool may lie from the training images, in their standard deviations, without a word.

Other patients of the same hospital lie at 0.1, another hospital and children at 0.9 to 1.3
(docs/choices.md), where the selector chose worse than strategies that learn nothing.
"""


def selector_strategy(path: str | Path, encoder: str = "") -> Strategy:
    """Return a trained selector as a strategy.

    Parameters
    ----------
    path
        Its weights, or the run that made them.
    encoder
        Fingerprint of the encoder that made the pool's embeddings; "" if it is not known.

    Raises
    ------
    WeightsError
        If the file is no selector.
    UsageError
        If it was trained on another encoder's embeddings.
    """
    path = Path(path)
    selector = load_selector(path / FILE_NAME if path.is_dir() else path)
    spec = selector.spec
    if encoder and spec.encoder and encoder != spec.encoder:
        raise UsageError(
            f"{path}: this selector was trained on embeddings of the encoder "
            f"{spec.encoder[:12]}…, the pool's are of {encoder[:12]}…; train one for these, or "
            "embed the images with that encoder"
        )

    def pick(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
        return _pick(selector, pool, budget, settings, rng)

    return Strategy(
        pick=pick,
        about=(
            "A network trained on tasks with known labels chooses what made a cosine classifier "
            f"best. It looks at up to {spec.pool:,} images, a random part of a larger pool."
        ),
        source="Smit et al., MIDL 2021 (arXiv:2103.14339), with another network and law of choice",
        needs_labels=False,
    )


def _pick(
    selector: SetSelector, pool: Pool, budget: int, settings: Settings, rng: np.random.Generator
) -> Picks:
    """Take the highest logits that the quota allows; of a larger pool, of a random part."""
    dim = selector.spec.dim
    if pool.vectors.shape[1] != dim:
        raise UsageError(
            f"the selector was trained on embeddings of {dim} numbers, the pool's have "
            f"{pool.vectors.shape[1]}: they are another encoder's"
        )
    inputs = selector.spec.beside
    beside = columns(People.of(pool), inputs) if inputs else None
    quota = Quota(pool, budget, settings)
    note = ""
    rows: list[int] = []
    scores: list[float] = []
    why: list[str] = []
    for seen in _parts(quota, max(selector.spec.pool, 4 * budget), rng):
        unit = unit_vectors(pool.vectors[seen])
        note = note or strangeness(selector, unit)
        more = None if beside is None else torch.from_numpy(beside[seen])
        with torch.inference_mode():
            described = selector.describe(unit, more)[None]
            logits = selector(described, torch.tensor([budget]))[0].numpy()
        for place, at in enumerate(np.argsort(-logits, kind="stable"), start=1):
            if len(rows) < budget and quota.open[seen[at]]:
                quota.take(int(seen[at]))
                rows.append(int(seen[at]))
                scores.append(float(logits[at]))
                why.append(f"number {place} of the {len(seen):,} images that the selector saw")
        if len(rows) == budget:
            break
    return Picks(np.array(rows, dtype=np.int64), np.array(scores), tuple(why), note)


def strangeness(selector: SetSelector, unit: torch.Tensor) -> str:
    """Say if images are unlike those that taught the selector; "" if they are not.

    Parameters
    ----------
    unit : (n_images, dim)
        Embeddings at length 1. By the root mean square, over the numbers of an embedding, of the
        distance of their mean from the training images' mean, in standard deviations of these.
    """
    expected = 1 / len(unit)  # of the square, by chance alone
    square = selector.standardised(unit).mean(dim=0).square().mean().item()
    far = max(0.0, square - expected) ** 0.5
    if far <= STRANGE:
        return ""
    return (
        f"these images lie {far:.1f} standard deviations from those that taught the selector: it "
        "may choose worse here than k-means does; try both with: hilum selector test --external"
    )


def _parts(quota: Quota, most: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the rows to look at: all, or of a large pool random parts of the training's size.

    The first part is as a rule the only one: others are needed where it has too few patients.
    """
    free = np.flatnonzero(quota.open)
    if len(free) <= 2 * most:
        yield free
        return
    order = rng.permutation(free)
    for start in range(0, len(order), most):
        yield np.sort(order[start : start + most])
