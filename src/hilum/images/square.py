"""An image of any shape -> a square of fixed size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hilum.errors import ImageError
from hilum.images.geometry import Geometry, Resize, geometry_of, resized


def to_square(
    grey: NDArray[np.uint8], size: int, resize: Resize = "area"
) -> tuple[NDArray[np.uint8], Geometry]:
    """Fit an image into a size × size square, its aspect kept, zero around it.

    Parameters
    ----------
    grey : (height, width)
    size
        Side of the square in pixels.
    resize
        ``"area"``: each pixel is the mean over its area. ``"chexzero"``: Lanczos, sizes cut
        instead of rounded; bit for bit what CheXzero's preprocessing makes of a grey image.

    Returns
    -------
    pixels : (size, size)
    geometry
        Where the image lies in them.

    Raises
    ------
    ImageError
        ``blank`` if every pixel has one value: it shows nothing, and a failed decoding or a
        wrong window looks the same.
    """
    height, width = grey.shape
    place = geometry_of(width, height, size, resize)
    scale = _lanczos if resize == "chexzero" else resized
    content = scale(grey, place.content_width, place.content_height)
    if content.min() == content.max():
        raise ImageError("blank", f"every pixel has the same value, {int(content.flat[0])}")
    pixels = np.zeros((size, size), dtype=np.uint8)
    pixels[
        place.top : place.top + place.content_height, place.left : place.left + place.content_width
    ] = content
    return pixels, place


def _lanczos(grey: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.LANCZOS))
