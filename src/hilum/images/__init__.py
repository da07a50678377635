"""A file (PNG, JPEG or DICOM) -> square 8-bit pixels, and the way back to the original.

Every fault of a file is an `ImageError` with a reason code; nothing is guessed, filled in or
left black. Sizes are checked against a budget before anything is decoded. Messages name neither
the file nor anything in it that could name a patient.

====================  ==========================================================================
`files`               a path -> bytes, within a budget
`png`, `jpeg`         bytes -> grey or colour image, with the structure checked first
`dicom`               bytes -> the image as a viewer would show it
`geometry`, `square`  image -> square, and points, boxes and maps back
====================  ==========================================================================
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hilum.errors import ImageError, UsageError
from hilum.images.files import DEFAULT, Budget, read_bytes
from hilum.images.geometry import Geometry, Resize, geometry_of
from hilum.images.jpeg import SIGNATURE as JPEG
from hilum.images.jpeg import decode_jpeg
from hilum.images.png import SIGNATURE as PNG
from hilum.images.png import decode_png
from hilum.images.square import to_square

__all__ = [
    "DEFAULT",
    "Budget",
    "Channels",
    "Geometry",
    "Picture",
    "Resize",
    "decode_bytes",
    "geometry_of",
    "read_picture",
    "to_square",
]

Channels = Literal[1, 3]
"""Grey, or red, green and blue."""

_FOREIGN: Final = {  # first bytes -> what hilum does not read
    b"GIF8": "a GIF",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"BM": "a BMP",
    b"RIFF": "a WebP or another RIFF file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 file",
    b"\xff\x4f\xff\x51": "a bare JPEG 2000 stream",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive",
    b"%PDF": "a PDF",
}


@dataclass(frozen=True)
class Picture:
    """One file's pixels.

    Parameters
    ----------
    pixels : (size, size) or (size, size, 3) uint8
        Grey, 0 is black, or RGB; zero outside the image.
    geometry
        Where the image lies in the square.
    sha256
        Of the file's bytes, in hexadecimal.
    file_bytes
        Length of the file.
    """

    pixels: NDArray[np.uint8]
    geometry: Geometry
    sha256: str
    file_bytes: int


def read_picture(
    path: Path,
    size: int = 320,
    *,
    resize: Resize = "area",
    channels: Channels = 1,
    budget: Budget = DEFAULT,
) -> Picture:
    """Read one image file into a square.

    Parameters
    ----------
    path
        A PNG, JPEG or DICOM file; told apart by content, never by name.
    size
        Side of the square in pixels.
    resize
        ``"area"``, or ``"chexzero"`` for that system's exact pixels (`to_square`).
    channels
        1: grey, colour becomes luma. 3: red, green and blue, equal where the file is grey.
    budget
        The most that the file may cost.

    Raises
    ------
    ImageError
        If the file cannot become an honest picture; `reason` says why.
    UsageError
        If `size` or `resize` cannot be used.
    """
    data = read_bytes(Path(path), budget)
    pixels, geometry = to_square(decode_bytes(data, budget, channels), size, resize)
    return Picture(pixels, geometry, hashlib.sha256(data).hexdigest(), len(data))


def decode_bytes(
    data: bytes, budget: Budget = DEFAULT, channels: Channels = 1
) -> NDArray[np.uint8]:
    """Return the (height, width) grey image at full size in the bytes of a file.

    With 3 `channels` it is (height, width, 3) RGB.

    Raises
    ------
    ImageError
        As `read_picture`, but for ``blank``.
    """
    if channels not in get_args(Channels):
        raise UsageError(f"an image has 1 channel (grey) or 3 (colour), not {channels}")
    return _decoder_for(data)(data, budget, channels)


def _decoder_for(data: bytes) -> Callable[[bytes, Budget, int], NDArray[np.uint8]]:
    if data.startswith(PNG):
        return decode_png
    if data.startswith(JPEG):
        return decode_jpeg
    if data[128:132] == b"DICM":  # PS3.10, section 7.1
        from hilum.images.dicom import decode_dicom  # pydicom is half of a worker's start

        return decode_dicom
    if data[:4] in (b"\x02\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x16\0"):
        raise ImageError(
            "no-preamble",
            "this looks like a DICOM data set without the 132 bytes of preamble and prefix "
            "that a DICOM file starts with (PS3.10, section 7.1)",
        )
    for start, name in _FOREIGN.items():
        if data.startswith(start):
            raise ImageError("unsupported", f"expected PNG, JPEG or DICOM, got {name}")
    raise ImageError("unknown-format", "expected PNG, JPEG or DICOM, got something else")
