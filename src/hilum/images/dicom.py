"""The bytes of a DICOM file -> the image that a viewer would show.

Single-frame images of 8 or 16 allocated bits; overlays, annotations and presentation states
are left out.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from hilum.errors import ImageError
from hilum.images.dicom_grey import to_grey
from hilum.images.dicom_header import COLOUR, parse, read_layout
from hilum.images.dicom_stored import colour_values, stored_values
from hilum.images.files import Budget

__all__ = ["decode_dicom"]


def decode_dicom(data: bytes, budget: Budget, channels: int = 1) -> NDArray[np.uint8]:
    """Return the (rows, columns) image in the bytes of a DICOM file; 0 is black.

    With 3 `channels` it is (rows, columns, 3) RGB. For grey, colour becomes luma (ITU-R BT.601)
    as it is: windows and LUTs are for grey images only (PS3.3, C.11.2).

    Raises
    ------
    ImageError
        See `hilum.images`; no message quotes text from the file.
    """
    dataset = parse(data, budget)
    if "Rows" not in dataset and "PixelData" not in dataset:
        raise ImageError("no-pixel-data", "the DICOM file holds no image")
    layout = read_layout(dataset, budget)
    if layout.photometric in COLOUR:
        colour = colour_values(dataset, layout)
        if channels == 3:
            return colour
        return cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    grey = to_grey(stored_values(dataset, layout), dataset, layout)
    return grey if channels == 1 else np.repeat(grey[:, :, None], 3, axis=2)
