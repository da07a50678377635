"""Where an image lies in its square, and how points, boxes and maps travel between the two.

Coordinates are those of pixel *edges*: the first pixel covers 0 to 1, its centre is at 0.5, and
an image of width `w` reaches from 0 to `w`. In this convention a resize is a multiplication, so
boxes map exactly; with pixel centres there would be half a pixel to add and to take away again.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import UsageError

Resize = Literal["area", "chexzero"]
"""How an image is brought to size: see `geometry_of` and `hilum.images.square`."""

RESIZES: tuple[Resize, ...] = get_args(Resize)

_Pixel = TypeVar("_Pixel", np.uint8, np.float32)


@dataclass(frozen=True)
class Geometry:
    """Where the image lies in the `size` × `size` square; all in whole pixels.

    Parameters
    ----------
    width, height
        Of the original image.
    size
        Side of the square.
    left, top, content_width, content_height
        The part of the square that the image fills; the rest is zero.
    """

    width: int
    height: int
    size: int
    left: int
    top: int
    content_width: int
    content_height: int

    @property
    def _scale(self) -> NDArray[np.float64]:  # square pixels per original pixel, (x, y)
        return np.array([self.content_width / self.width, self.content_height / self.height])

    def points_to_square(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map (n, 2) points x, y from the original image into the square."""
        return _rows(points, 2) * self._scale + (self.left, self.top)

    def points_to_original(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map (n, 2) points x, y from the square into the original image."""
        return (_rows(points, 2) - (self.left, self.top)) / self._scale

    def boxes_to_square(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Map (n, 4) boxes x, y, width, height from the original image into the square."""
        rows = _rows(boxes, 4)
        return np.hstack([self.points_to_square(rows[:, :2]), rows[:, 2:] * self._scale])

    def boxes_to_original(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Map (n, 4) boxes x, y, width, height from the square into the original image."""
        rows = _rows(boxes, 4)
        return np.hstack([self.points_to_original(rows[:, :2]), rows[:, 2:] / self._scale])

    def map_to_original(self, values: ArrayLike) -> NDArray[np.float32]:
        """Bring a map on the square, such as a heat map, into the original image's frame.

        Parameters
        ----------
        values : (size, size)
            What lies in the zero padding is cut away.

        Returns
        -------
        (height, width)
            Bilinear where the image is enlarged, the mean over each pixel's area where it is
            made smaller.

        Raises
        ------
        UsageError
            If the map has another shape.
        """
        grid = np.asarray(values, dtype=np.float32)
        if grid.shape != (self.size, self.size):
            raise UsageError(f"expected a map of shape {(self.size, self.size)}, got {grid.shape}")
        content = grid[
            self.top : self.top + self.content_height, self.left : self.left + self.content_width
        ]
        return resized(content, self.width, self.height)


def _rows(values: ArrayLike, columns: int) -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    if rows.size == 0:
        return np.empty((0, columns))
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise UsageError(f"expected an array of shape (n, {columns}), got {rows.shape}")
    return rows


def geometry_of(width: int, height: int, size: int, resize: Resize = "area") -> Geometry:
    """Place a width × height image in the middle of a square, its aspect kept.

    Parameters
    ----------
    width, height, size
        Pixels, at least 1.
    resize
        ``"area"`` rounds the short side to the nearest pixel, and never to nothing.
        ``"chexzero"`` multiplies both sides by the floating-point ratio and cuts, as
        CheXzero's preprocessing does; for some long sides, such as 1077, the product falls
        just below `size` and a black line stays at the end.

    Raises
    ------
    UsageError
        If `size` is less than 1 or there is no such resize.
    """
    if size < 1:
        raise UsageError(f"the size must be at least 1 pixel, got {size}")
    if resize not in RESIZES:
        raise UsageError(f"{resize!r} is not a resize; choose from {', '.join(RESIZES)}")
    ratio = size / max(width, height)
    to_whole = int if resize == "chexzero" else round
    content_width = max(1, to_whole(width * ratio))
    content_height = max(1, to_whole(height * ratio))
    return Geometry(
        width=width,
        height=height,
        size=size,
        left=(size - content_width) // 2,
        top=(size - content_height) // 2,
        content_width=content_width,
        content_height=content_height,
    )


def resized(image: NDArray[_Pixel], width: int, height: int) -> NDArray[_Pixel]:
    """Resize an image: the exact mean over each new pixel's area, or bilinear to enlarge."""
    rows, columns = image.shape[:2]
    smaller = width <= columns and height <= rows
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), image.dtype)
