"""How well validation images find their like, and whether an encoder tells images apart at all."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.encoders.image import Encoder
from hilum.errors import UsageError
from hilum.evaluate.draws import Draws
from hilum.evaluate.query_means import query_means
from hilum.evaluate.rankings import rank, statistics
from hilum.training.feed import Feed
from hilum.training.metric_data import Shown
from hilum.training.supervised_validation import score_feed

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WORK: Final = 256 << 20  # bytes that the lists of the queries at work may take, roughly
_BYTES_EACH: Final = 64  # of one image in one query's list, all arrays together
CUTS: Final = (1, 5, 10)
LOOKED_AT: Final = 512  # images whose distances tell a collapse


@dataclass(frozen=True, eq=False)
class Finder:
    """The validation images, each of which looks for its like among those of other patients.

    Parameters
    ----------
    images
        What they show.
    feed
        Their pixels.
    """

    images: Shown
    feed: Feed

    def mean_average_precision(self, encoder: Encoder) -> float:
        """Return the mean over the images that have their like among other patients' images."""
        vectors = encode_feed(encoder, self.feed)
        found = leave_one_out(vectors, self.images.positive, self.images.patients, ())
        return float(np.nanmean(found["average_precision"]))

    def metrics(self, vectors: Vectors, seed: int = 0) -> dict[str, Any]:
        """Return means over queries with 95 % intervals by patient, by name."""
        owners, patients = np.unique(self.images.patients, return_inverse=True)
        smallest = len(vectors) - int(np.bincount(patients).max())
        cuts = tuple(k for k in CUTS if k <= smallest)
        found = leave_one_out(vectors, self.images.positive, self.images.patients, cuts)
        means = query_means(found, patients, Draws(len(owners), 1000, seed), 0.95)
        return {name: asdict(measure) for name, measure in means.items()}


def encode_feed(encoder: Encoder, feed: Feed) -> Vectors:
    """Return the vectors of every image of a feed, brought to length 1: (images, dim)."""
    vectors = score_feed(lambda pixels, _: encoder.features(pixels), feed, None)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit


def leave_one_out(
    vectors: Vectors, positive: Flags, patients: tuple[str, ...], k: tuple[int, ...]
) -> dict[str, Floats]:
    """Let each image look for those that share a finding, among the images of other patients.

    Parameters
    ----------
    vectors : (n, dim)
        Of length 1.
    positive : (n, f)
    patients : (n,)
    k
        Where lists are cut.

    Returns
    -------
    As `hilum.evaluate.rankings.statistics`: by name, (n,), NaN where there is none to find.
    """
    owners = np.unique(patients, return_inverse=True)[1]
    flags = positive.astype(np.float32)
    parts = []
    step = max(1, WORK // (_BYTES_EACH * max(1, len(vectors))))
    for start in range(0, len(vectors), step):
        rows = slice(start, start + step)
        shared = (flags[rows] @ flags.T > 0).astype(np.int64)
        left_out = owners[rows, None] == owners
        ranked = rank(vectors[rows] @ vectors.T, shared, np.array([0.0, 1.0]), left_out)
        parts.append(statistics(ranked, k))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def refuse_unfindable(judged: Shown) -> None:
    """Raise UsageError if no validation image has its like among those of other patients."""
    nowhere = np.zeros((len(judged), 1), np.float32)
    found = leave_one_out(nowhere, judged.positive, judged.patients, ())
    if np.isnan(found["average_precision"]).all():
        raise UsageError(
            f"none of the {len(judged)} validation images shares a finding with an image of "
            "another patient, so there is no mAP; give more, or validate by none"
        )


def distances(vectors: Vectors) -> float:
    """Return the mean Euclidean distance between unit vectors: 0 is collapse, 1.41 is at random.

    Of `LOOKED_AT` of them, evenly spaced, where there are more.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, LOOKED_AT).astype(np.int64))
    some = vectors[rows].astype(np.float64)
    squares = np.maximum(2 - 2 * some @ some.T, 0)
    np.fill_diagonal(squares, 0)  # rounding would give an image a distance from itself
    return float(np.sqrt(squares).sum() / max(len(some) * (len(some) - 1), 1))
