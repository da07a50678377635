"""Why an image is like some and unlike others: hide windows and ask a classifier of vectors.

Images that count as similar and images that do not teach a classifier on their vectors; what
matters of a retrieved image is what, hidden, makes it less likely to be one of the first kind:
K_i = max(0, P(similar | r) − P(similar | r·m_i)), spread back as in `hilum.explain.sbsm`. The
masked vectors are those of `hilum.explain.masked`, so another choice of examples, as when a reader
marks results as right or wrong, costs no pass of the network over windows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels, SimilarMaps
from hilum.explain.masked import X_MIR, Masking, Vectors, masked_vectors

Chance = Callable[[Vectors], NDArray[np.float64]]
"""Vectors (n, dim) → chance of each to be similar, (n,)."""

Judge = Callable[[Vectors, NDArray[np.bool_]], Chance]
"""Examples' vectors and which are similar → what judges others."""

NEIGHBOURS: Final = 4


def _knn(vectors: Vectors, similar: NDArray[np.bool_]) -> Chance:
    """Weigh the four nearest examples by the inverse of their distance."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(vectors) < NEIGHBOURS:
        raise UsageError(
            f"knn asks {NEIGHBOURS} examples and was given {len(vectors)}; give more, or use "
            "logistic"
        )
    return _chance(KNeighborsClassifier(NEIGHBOURS, weights="distance").fit(vectors, similar))


def _logistic(vectors: Vectors, similar: NDArray[np.bool_]) -> Chance:
    from sklearn.linear_model import LogisticRegression

    return _chance(LogisticRegression(random_state=0, max_iter=1000).fit(vectors, similar))


def _svm(vectors: Vectors, similar: NDArray[np.bool_]) -> Chance:
    """Squash the distance from a ν-SVM's margin: its order is that of any fitted probability."""
    from sklearn.svm import NuSVC

    few = min(int(similar.sum()), int((~similar).sum()))
    nu = min(0.5, 1.8 * few / len(similar))  # above 2 few / n there is no solution
    fitted = NuSVC(nu=nu).fit(vectors, similar)
    return lambda rows: np.asarray(expit(fitted.decision_function(rows)), np.float64)


def _chance(fitted: Any) -> Chance:
    return lambda rows: np.asarray(fitted.predict_proba(rows)[:, 1], np.float64)


JUDGES: Final[dict[str, Judge]] = {"knn": _knn, "logistic": _logistic, "svm": _svm}
"""Classifiers by name."""


def relevance(
    network: Compared,
    query: Pixels,
    retrieved: Pixels,
    *,
    dissimilar: Pixels,
    similar: Pixels | None = None,
    judge: str = "logistic",
    masking: Masking = X_MIR,
    store: str | Path | None = None,
) -> SimilarMaps:
    """Return what of each retrieved image makes it one of the similar ones.

    Parameters
    ----------
    network
        What embeds.
    query : (side, side[, 3]) uint8
        An example of what is similar.
    retrieved : (m, side, side[, 3]) uint8
        What is explained.
    dissimilar : (k, side, side[, 3]) uint8
        Examples of what is not.
    similar : (j, side, side[, 3]) uint8 or None
        Further examples of what is.
    judge
        A name in `JUDGES`: ``"knn"`` (4 nearest by inverse distance), ``"logistic"``, ``"svm"``.
    masking, store
        As in `hilum.explain.sbsm.sbsm`.

    Returns
    -------
    Maps of retrieved images on the pixels of the network's square, as changes of a chance.

    Raises
    ------
    UsageError
        If images or settings do not fit, or there is no dissimilar example.
    """
    if judge not in JUDGES:
        raise UsageError(f"{judge!r} is not a judge; choose from {', '.join(JUDGES)}")
    if not len(dissimilar):
        raise UsageError("there is no dissimilar image, so there is nothing to tell apart")
    network.pair(query, retrieved)  # refused together
    positive = query[None] if similar is None else np.concatenate([query[None], similar])
    examples = [network.embed_unit(network.prepare(some), fast=masking.fast).cpu().numpy()
                for some in (positive, dissimilar)]  # fmt: skip
    truth = np.repeat([True, False], [len(some) for some in examples])
    chance = JUDGES[judge](np.concatenate(examples), truth)
    maps = []
    for pixels in retrieved:
        image = masked_vectors(network, pixels, masking, store=store)
        fall = chance(image.whole[None]) - chance(image.vectors)
        maps.append(image.windows.spread(np.maximum(fall, 0)))
    return SimilarMaps(np.stack(maps))
