"""Where square windows cover an image, and how scores of windows become a map.

Windows stand on a lattice: every top with every left. So the number of windows over a pixel, and
the sum of the scores of those windows, are products of one small matrix for the rows and one for
the columns (a separable box filter); 2401 masks of 224 × 224 are never made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError

Map = NDArray[np.float32]
Scores = NDArray[np.floating]


@final
@dataclass(frozen=True)
class Windows:
    """Windows over an image of ``height`` × ``width`` pixels, row by row.

    Parameters
    ----------
    tops, lefts
        First row and first column of windows; below 0 for one that begins outside.
    window
        Side in pixels; what lies outside the image is cut off.
    height, width
        Of the image.
    """

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    window: int
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def lattice(self) -> tuple[int, int]:
        """Number of tops and of lefts."""
        return len(self.tops), len(self.lefts)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """What each window covers, (n, 4): top, bottom, left, right; the ends are outside."""
        tops, lefts = np.meshgrid(self.tops, self.lefts, indexing="ij")
        corners = np.stack([tops, tops + self.window, lefts, lefts + self.window], axis=-1)
        ends = np.array([self.height, self.height, self.width, self.width])
        return np.asarray(np.clip(corners.reshape(-1, 4), 0, ends), np.int64)

    def coverage(self) -> NDArray[np.int64]:
        """Count the windows over each pixel, (height, width)."""
        rows, columns = self._rows.sum(axis=0), self._columns.sum(axis=0)
        return np.asarray(np.outer(rows, columns), np.int64)

    def spread(self, scores: Scores) -> Map:
        """Give each pixel the mean score of the windows over it.

        With m = 0 inside a window and 1 outside: Σ (1 − m) K / Σ (1 − m).

        Parameters
        ----------
        scores : (..., n)
            One number per window, in the order of `boxes`.

        Returns
        -------
        (..., height, width) float32

        Raises
        ------
        ValueError
            If there is not one score per window.
        """
        if scores.shape[-1:] != (len(self),):
            raise ValueError(
                f"expected one score for each of {len(self)} windows on the last axis, got an "
                f"array of shape {scores.shape}"
            )
        table = np.asarray(scores, np.float64).reshape(*scores.shape[:-1], *self.lattice)
        total = self._rows.T @ table @ self._columns  # (..., height, width)
        return np.asarray(total / self.coverage(), np.float32)

    @cached_property
    def _rows(self) -> NDArray[np.float64]:
        return _inside(self.tops, self.window, self.height)

    @cached_property
    def _columns(self) -> NDArray[np.float64]:
        return _inside(self.lefts, self.window, self.width)


def _inside(starts: tuple[int, ...], window: int, side: int) -> NDArray[np.float64]:
    """Return 1 where a pixel of an axis is in a window, (windows, side)."""
    first = np.array(starts)[:, None]
    pixel = np.arange(side)
    return ((pixel >= first) & (pixel < first + window)).astype(np.float64)


def _x_mir(side: int, window: int, stride: int) -> tuple[int, ...]:
    """Begin where the first window shows one stride, and end with the last that shows a pixel."""
    return tuple(range(stride - window, side, stride))


def _xaitk(side: int, window: int, stride: int) -> tuple[int, ...]:
    """Begin at 0, then move all so that first and last stick out alike."""
    starts = range(0, side, stride)
    sticks_out = window - (side - starts[-1])
    return tuple(start - sticks_out // 2 for start in starts)


CONVENTIONS: Final[dict[str, Callable[[int, int, int], tuple[int, ...]]]] = {
    "x-mir": _x_mir,
    "xaitk": _xaitk,
}
"""Side, window and stride → where the windows of one axis begin, as X-MIR or xaitk place them."""


def make_windows(
    height: int, width: int, *, window: int = 24, stride: int = 5, convention: str = "x-mir"
) -> Windows:
    """Place windows over an image.

    Parameters
    ----------
    height, width
        Of the image in pixels.
    window, stride
        Side of a window, and from one to the next, in pixels. X-MIR's released settings are the
        defaults: 49 × 49 windows of 24 over 224 pixels (Hu, Vasu and Hoogs, WACV 2022,
        doi:10.1109/WACV51458.2022.00161).
    convention
        A name in `CONVENTIONS`: ``"x-mir"`` covers the pixels at an edge about as often as those
        in the middle; ``"xaitk"`` takes about as many windows whatever their size.

    Raises
    ------
    UsageError
        If a window has no pixels, is larger than the image, or a stride leaves pixels uncovered.
    """
    if convention not in CONVENTIONS:
        raise UsageError(
            f"{convention!r} is not a way to place windows; choose from {', '.join(CONVENTIONS)}"
        )
    if not 1 <= window <= min(height, width):
        raise UsageError(
            f"a window of {window} pixels does not fit into an image of {height} × {width}; "
            f"choose a window from 1 to {min(height, width)}"
        )
    if not 1 <= stride <= window:
        raise UsageError(
            f"a stride of {stride} leaves pixels that no window of {window} covers; "
            f"choose a stride from 1 to {window}"
        )
    place = CONVENTIONS[convention]
    tops, lefts = place(height, window, stride), place(width, window, stride)
    return Windows(tops, lefts, window, height, width)
