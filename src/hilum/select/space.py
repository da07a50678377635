"""Euclidean distances between a pool's vectors, in blocks, so that a million take little memory.

Vectors are centred on the pool's mean and scaled to a mean square length of 1 (or each to
length 1) block by block: neither a second copy of the pool nor a matrix of all pairs is ever
made, sums of squares stay within float32 whatever the embedding's scale, and the large component
that all images share does not eat up its precision.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hilum.select.pool import Floats, Rows, Vectors, blocks, lengths

_SAME: Final = 1e-12  # squared distance, relative to the squared lengths, that is rounding alone


class Space:
    """A pool's vectors as distances see them.

    Parameters
    ----------
    vectors : (n, dim)
        Finite, none of them zero.
    unit
        Scale every vector to length 1, so that only directions count.
    """

    def __init__(self, vectors: Vectors, *, unit: bool = False) -> None:
        self._vectors = vectors
        length = lengths(vectors)
        largest = length.max()
        # dividing by the largest first keeps the squares of any float32 in range
        self.yard = 1.0 if unit else float(largest * np.sqrt(np.mean((length / largest) ** 2)))
        """How long a distance of 1 is in the embedding's own units."""
        divisor = length if unit else np.full(1, self.yard)
        self._factor = (1.0 / divisor).astype(np.float32)  # (n,), or (1,) for all

    def __len__(self) -> int:
        return len(self._vectors)

    @cached_property
    def _centre(self) -> Vectors:
        total = np.zeros(self._vectors.shape[1])
        for part in blocks(len(self), self._vectors[0].nbytes):
            total += self._scaled(part).sum(axis=0, dtype=np.float64)
        return (total / len(self)).astype(np.float32)

    def _scaled(self, rows: Rows | slice) -> Vectors:
        factor = self._factor if self._factor.size == 1 else self._factor[rows]
        return self._vectors[rows] * factor[:, None]

    def take(self, rows: Rows | slice) -> Vectors:
        """Return some rows (k, dim), scaled and centred, as a copy."""
        out = self._scaled(rows)
        out -= self._centre
        return out

    def lengths(self) -> Vectors:
        """Return every row's distance (n,) from the pool's mean."""
        return self.nearest(np.zeros((1, self._vectors.shape[1]), dtype=np.float32))[1]

    def take_precisely(self, rows: Rows | slice) -> Floats:
        """Return what `take` does in double precision, for `pairwise`."""
        return self.take(rows).astype(np.float64)

    def distances_from(self, row: int) -> Vectors:
        """Return every row's distance (n,) from one of them; exactly 0 from an equal one."""
        point = self.take(np.array([row]))[0]
        out = np.empty(len(self), dtype=np.float32)
        for part in blocks(len(self), point.nbytes):
            gap = self.take(part)
            gap -= point
            out[part] = np.sqrt(np.einsum("ij,ij->i", gap, gap))
        return out

    def nearest(self, points: Vectors) -> tuple[NDArray[np.int32], Vectors]:
        """Return for every row the nearest of some points (k, dim), (n,), and how far it is."""
        label = np.empty(len(self), dtype=np.int32)
        distance = np.empty(len(self), dtype=np.float32)
        square = np.einsum("ij,ij->i", points, points)
        for part in blocks(len(self), max(points[0].nbytes, 4 * len(points))):
            block = self.take(part)
            label[part] = (square - 2 * (block @ points.T)).argmin(axis=1)
            block -= points[label[part]]  # the difference itself: nothing cancels
            distance[part] = np.sqrt(np.einsum("ij,ij->i", block, block))
        return label, distance


def pairwise(left: Floats, right: Floats) -> Floats:
    """Return all distances (n, m) between two small sets of vectors (n, dim) and (m, dim)."""
    square = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    out = square - 2 * (left @ right.T)
    out[out < _SAME * square] = 0
    return np.asarray(np.sqrt(out, out=out), dtype=np.float64)


def pair_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Return slices of rows such that their distances to all columns take little memory."""
    return blocks(n_rows, 8 * n_columns, megabytes=32)
