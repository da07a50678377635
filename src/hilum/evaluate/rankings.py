"""How good ranked lists are: what a query finds first, in numbers per query.

A gallery image has a *gain* for a query, 0 for a wrong answer. Lists are compared by the gains in
their order alone, so what is sorted is one integer per image, its distance with its gain below it,
and of images at the same distance the wrong ones come first: an encoder that gives every image the
same vector finds nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIE: Final = 1e-6
"""Cosines are rounded to this: in float32 the last digits of equal images differ."""

_LAST: Final = np.iinfo(np.int64).max
MOST_GRADES: Final = 1024


@dataclass(frozen=True, eq=False)
class Ranked:
    """The gains of the gallery in the order in which each query found it.

    Parameters
    ----------
    gains : (q, n)
        Nearest first; what was left out of a query's gallery stands at the end, with gain 0.
    lengths : (q,)
        How many were not left out.
    """

    gains: Floats
    lengths: Ints

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """Which answers are right, (q, n)."""
        return self.gains > 0


def rank(
    cosines: NDArray[np.floating], grade: NDArray[np.integer], values: Floats,
    left_out: NDArray[np.bool_],
) -> Ranked:  # fmt: skip
    """Put the gallery of each query in order.

    Parameters
    ----------
    cosines : (q, n)
        Of queries with the gallery; higher is nearer.
    grade : (q, n)
        Which of `values` is the gain.
    values : (g,)
        The gains there are, from 0 upwards.
    left_out : (q, n)
        What is not in a query's gallery: the query itself, images of the same patient.

    Raises
    ------
    ValueError
        If the gains do not start at 0 and rise, or are more than `MOST_GRADES`.
    """
    if values[0] != 0 or (np.diff(values) <= 0).any() or len(values) > MOST_GRADES:
        raise ValueError(
            f"gains must rise from 0 and be at most {MOST_GRADES}; got {len(values)} that start "
            f"with {values[:3]}"
        )
    distance = np.rint(-cosines / TIE).astype(np.int64)
    keys = distance * MOST_GRADES + grade
    keys[left_out] = _LAST
    keys.sort(axis=1)
    lengths = (~left_out).sum(axis=1)
    gains = values[np.where(keys == _LAST, 0, keys % MOST_GRADES)]
    return Ranked(gains, lengths)


def statistics(ranked: Ranked, k: tuple[int, ...]) -> dict[str, Floats]:
    """Measure each query's list.

    Parameters
    ----------
    ranked
        The lists.
    k
        Where to cut.

    Returns
    -------
    By name, (q,), NaN where a query has no right answer in its gallery: ``recall@k``, 1 where one
    of the first k is right; ``precision@k``, the share of right ones among the first k; ``ndcg@k``
    with linear gains (Järvelin and Kekäläinen, ACM TOIS 20:422-446, 2002); ``average_precision``,
    the mean over the right answers of the precision at their places; ``r_precision``, the
    precision at as many as there are right answers; ``average_precision_xmir``.

    Raises
    ------
    ValueError
        If a gallery is smaller than a `k`.
    """
    if k and max(k) > ranked.lengths.min(initial=_LAST):
        raise ValueError(
            f"k = {max(k)} is more than the {ranked.lengths.min()} images of the smallest gallery"
        )
    relevant = ranked.relevant
    total = relevant.sum(axis=1)
    found: Ints = np.cumsum(relevant, axis=1, dtype=np.int64)  # (q, n) right answers so far
    places = np.arange(1, relevant.shape[1] + 1)
    out: dict[str, Floats] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for one in k:
            out[f"recall@{one}"] = (found[:, one - 1] > 0).astype(np.float64)
            out[f"precision@{one}"] = found[:, one - 1] / one
            out[f"ndcg@{one}"] = _ndcg(ranked.gains, one)
        out["average_precision"] = (relevant * (found / places)).sum(axis=1) / total
        at_total = np.take_along_axis(found, np.maximum(total, 1)[:, None] - 1, axis=1)[:, 0]
        out["r_precision"] = at_total / total
        out["average_precision_xmir"] = _as_xmir(relevant, found, total, ranked.lengths)
    for values in out.values():
        values[total == 0] = np.nan
    return out


def _ndcg(gains: Floats, k: int) -> Floats:
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = -np.sort(-gains, axis=1)[:, :k]
    ratio: Floats = (gains[:, :k] @ discount) / (best @ discount)
    return ratio


def _as_xmir(relevant: NDArray[np.bool_], found: Ints, total: Ints, lengths: Ints) -> Floats:
    """Compute average precision as X-MIR does (Hu, Vasu, Hoogs, WACV 2022).

    Trapezoids between the precision before and at each right answer, and the query itself as one
    more right answer, in the last place: so a perfect list of 100 right answers among 300 has
    0.993, not 1.
    """
    places = np.arange(relevant.shape[1])  # from 0
    before = np.where(places == 0, 1.0, (found - 1) / np.maximum(places, 1))
    at = found / (places + 1)
    others = (relevant * (before + at) / 2).sum(axis=1)
    itself = (total / np.maximum(lengths, 1) + (total + 1) / (lengths + 1)) / 2
    value: Floats = (others + np.where(lengths > 0, itself, 1.0)) / (total + 1)
    return value
