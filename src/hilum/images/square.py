"""An image of any shape -> a square of fixed size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hilum.errors import ImageError
from hilum.images.geometry import Geometry, Resize, geometry_of, resized


def to_square(
    image: NDArray[np.uint8], size: int, resize: Resize = "area"
) -> tuple[NDArray[np.uint8], Geometry]:
    """Fit an image into a size × size square, its aspect kept, zero around it.

    Parameters
    ----------
    image : (height, width) or (height, width, 3)
    size
        Side of the square in pixels.
    resize
        ``"area"``: each pixel is the mean over its area. ``"chexzero"``: Lanczos, sizes cut
        instead of rounded; bit for bit what CheXzero's preprocessing makes of a grey image.

    Returns
    -------
    pixels : (size, size) or (size, size, 3)
    geometry
        Where the image lies in them.

    Raises
    ------
    ImageError
        ``blank`` if every pixel has one value: it shows nothing, and a failed decoding or a
        wrong window looks the same.
    """
    height, width = image.shape[:2]
    place = geometry_of(width, height, size, resize)
    scale = _lanczos if resize == "chexzero" else resized
    content = scale(image, place.content_width, place.content_height)
    if np.array_equal(content.min(axis=(0, 1)), content.max(axis=(0, 1))):
        value = ", ".join(map(str, content[0, 0].reshape(-1)))
        raise ImageError("blank", f"every pixel has the same value, {value}")
    pixels = np.zeros((size, size, *image.shape[2:]), dtype=np.uint8)
    pixels[
        place.top : place.top + place.content_height, place.left : place.left + place.content_width
    ] = content
    return pixels, place


def _lanczos(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
