"""JPEG -> 8-bit grey, or colour; and what the header of any JPEG stream declares.

The markers (ITU-T T.81, annex B) are walked first: size, components and precision come from the
frame header, and a stream without its end marker is refused, because decoders fill what is
missing with grey. Metadata is cut out before the decoder runs; the orientation alone is read.
"""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from hilum.errors import ImageError
from hilum.images.files import Budget, check_size

SIGNATURE: Final = b"\xff\xd8\xff"

# Start-of-frame markers: T.81 table B.1 (C4, C8 and CC are other things), and JPEG-LS
# (ITU-T T.87, C.1.1).
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL_OR_PROGRESSIVE: Final = (0xC0, 0xC1, 0xC2)
_START_OF_SCAN: Final = 0xDA
_END: Final = b"\xff\xd9"
_ADOBE: Final = 0xEE  # says whether three components are RGB or YCbCr; four, CMYK or YCCK
_APPLICATION: Final = {*range(0xE0, 0xF0), 0xFE} - {_ADOBE}


@dataclass(frozen=True)
class JpegHeader:
    """What a JPEG stream declares; `scan` is where its first scan starts, in bytes."""

    kind: int
    width: int
    height: int
    components: int
    precision: int
    scan: int
    orientation: int
    clean: bytes  # everything before the first scan, without metadata


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk the markers of a JPEG, JPEG lossless or JPEG-LS stream up to its first scan.

    Raises
    ------
    ImageError
        ``truncated`` or ``corrupt``.
    """
    position, orientation, frame = 2, 1, None
    kept = [data[:2]]
    while True:
        marker, body, end = _segment(data, position)
        if marker == 0xE1:
            orientation = _orientation(body)
        if marker in _FRAMES:
            frame = marker, body
        if marker not in _APPLICATION:
            kept.append(data[position:end])
        position = end
        if marker == _START_OF_SCAN:
            break
    if frame is None or len(frame[1]) < 6:
        raise ImageError("corrupt", "the JPEG has no frame header before its first scan")
    precision, height, width, components = struct.unpack(">BHHB", frame[1][:6])
    return JpegHeader(
        frame[0], width, height, components, precision, position, orientation, b"".join(kept)
    )


def _segment(data: bytes, position: int) -> tuple[int, bytes, int]:
    while data[position : position + 2] == b"\xff\xff":  # fill bytes, T.81 B.1.1.2
        position += 1
    if position + 4 > len(data):
        raise ImageError("truncated", "the JPEG ends inside its header")
    prefix, marker, length = struct.unpack_from(">BBH", data, position)
    if prefix != 0xFF or length < 2:
        raise ImageError("corrupt", "the JPEG has something else where a marker was expected")
    end = position + 2 + length
    if end > len(data):
        raise ImageError("truncated", "the JPEG ends inside its header")
    return marker, data[position + 4 : end], end


def _orientation(exif: bytes) -> int:
    """Return the value of EXIF tag 0x0112, 1 (upright) where there is none that makes sense."""
    if exif[:6] != b"Exif\0\0" or exif[6:8] not in (b"II", b"MM"):
        return 1
    tiff, order = exif[6:], "<" if exif[6:8] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * min(count, 512), 12):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def check_complete(data: bytes, header: JpegHeader) -> None:
    """Refuse a stream that has no end marker or too few bytes for its blocks.

    Raises
    ------
    ImageError
        ``truncated``.
    """
    end = data.rfind(_END, header.scan)
    if end < 0:
        raise ImageError("truncated", "the JPEG has no end marker: the rest of it is missing")
    blocks = -(-header.width // 8) * -(-header.height // 8)
    # Every 8 × 8 block costs at least one bit of Huffman code.
    if header.kind in _SEQUENTIAL_OR_PROGRESSIVE and blocks > 8 * (end - header.scan):
        raise ImageError(
            "truncated",
            f"the JPEG declares {header.width:,} × {header.height:,} pixels but has only "
            f"{end - header.scan:,} bytes of them",
        )


def decode_jpeg(data: bytes, budget: Budget, channels: int = 1) -> NDArray[np.uint8]:
    """Return the grey image in the bytes of a JPEG file, or (height, width, 3) RGB, upright.

    For grey, colour becomes luma (the Y that the file stores); CMYK goes by way of RGB. The EXIF
    orientation is applied, so that width and height are those every viewer shows.

    Raises
    ------
    ImageError
        ``truncated``, ``corrupt``, ``too-large`` or ``unsupported`` (12 bits, lossless).
    """
    header = read_jpeg_header(data)
    check_size(header.width, header.height, budget)
    if header.precision != 8 or header.kind not in _SEQUENTIAL_OR_PROGRESSIVE:
        raise ImageError(
            "unsupported",
            f"expected a Huffman-coded JPEG of 8 bits per sample, got {header.precision} bits "
            f"with frame marker FF{header.kind:02X}",
        )
    return _upright(decode_stream(data, header, channels), header.orientation)


def decode_stream(data: bytes, header: JpegHeader, channels: int = 1) -> NDArray[np.uint8]:
    """Decode a sequential or progressive 8-bit stream to grey (height, width), not turned.

    With 3 `channels` to RGB, (height, width, 3).

    Raises
    ------
    ImageError
        ``truncated`` or ``corrupt``.
    """
    check_complete(data, header)
    try:
        # The plug-in's class, not Image.open: nothing else may claim the bytes, and the
        # library's own size warning has nothing to add to the budget.
        with JpegImageFile(BytesIO(header.clean + data[header.scan :])) as image:
            mode = "L" if channels == 1 else "RGB"
            if channels == 1:
                image.draft("L", None)  # the luma alone, without the way through RGB
            shown = np.array(image if image.mode == mode else image.convert(mode))
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, struct.error):
        raise ImageError("corrupt", "the JPEG cannot be decoded") from None
    if shown.shape[:2] != (header.height, header.width):
        raise ImageError("corrupt", "the JPEG decodes to another size than it declares")
    _check_filler(shown)
    return shown


def _check_filler(shown: NDArray[np.uint8]) -> None:
    # libjpeg reports missing data as a warning that does not reach Python and leaves the
    # remaining blocks at exactly mid-grey; no film ends so.
    if np.all(shown[-8:, -8:] == 128):
        raise ImageError(
            "truncated",
            "the last block of the JPEG is the flat mid-grey that stands for missing data",
        )


def _upright(shown: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    # EXIF 2.32, 4.6.4.A: 2 to 4 flip or turn by 180°, 5 to 8 do so after a transposition.
    if orientation >= 5:
        shown = shown.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        shown = shown[::-1]
    if orientation in (2, 3, 6, 7):
        shown = shown[:, ::-1]
    return np.ascontiguousarray(shown)
