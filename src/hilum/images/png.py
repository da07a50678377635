"""PNG, 1 to 16 bits per sample, any colour type -> 8-bit grey, or colour.

The file is walked chunk by chunk first (PNG specification, third edition, sections 5 and 11):
declared size, real length and every checksum are checked before the decoder sees anything, and
the decoder gets only the chunks that make pixels. Comments, profiles and other freight, which
hide bombs and patients' names, never reach it.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hilum.errors import ImageError
from hilum.images.files import Budget, check_size, inflated_length

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_KEPT: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_COMPRESSED_TEXT: Final = (b"zTXt", b"iTXt", b"iCCP")
_TEXT_LIMIT: Final = 4 * 2**20  # bytes; colour profiles reach one or two million
_CHUNK_LIMIT: Final = 100_000
_DEFLATE_RATIO: Final = 1032  # the most that one byte of deflate can become
_REAL_DEPTHS: Final = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int

    @property
    def raw_bytes(self) -> int:
        """Bytes of the unpacked scan lines, each with its filter byte."""
        line = -(-self.width * _CHANNELS[self.colour] * self.depth // 8)
        return self.height * (line + 1)


def decode_png(data: bytes, budget: Budget, channels: int = 1) -> NDArray[np.uint8]:
    """Return the (height, width) grey image in the bytes of a PNG file, or (height, width, 3) RGB.

    For grey, colour becomes luma (ITU-R BT.601); a transparent pixel is laid over black, and 16-bit
    samples are scaled by `real_depth`.

    Raises
    ------
    ImageError
        ``truncated``, ``corrupt``, ``too-large``, ``bomb`` or ``multi-frame`` (APNG).
    """
    chunks = list(_chunks(data))
    header = _read_header(chunks)
    check_size(header.width, header.height, budget)
    _check_freight(chunks)
    _check_length(header, sum(len(body) for kind, body in chunks if kind == b"IDAT"))
    stream = SIGNATURE + b"".join(_packed(kind, body) for kind, body in chunks if kind in _KEPT)
    pixels = cv2.imdecode(np.frombuffer(stream, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise ImageError("corrupt", "the compressed pixels of the PNG cannot be decoded")
    return (_to_grey if channels == 1 else _to_colour)(np.asarray(pixels))


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, position = memoryview(data), len(SIGNATURE)
    for _ in range(_CHUNK_LIMIT):
        if position + 12 > len(data):
            raise ImageError("truncated", "the PNG ends before its IEND chunk")
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ImageError(
                "truncated", f"a PNG chunk declares {length:,} bytes, {end - len(data):,} too many"
            )
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            raise ImageError("corrupt", "the checksum of a PNG chunk is wrong")
        kind = data[position + 4 : position + 8]
        yield kind, view[position + 8 : end - 4]
        if kind == b"IEND":
            return
        position = end
    raise ImageError("corrupt", f"the PNG has more than {_CHUNK_LIMIT:,} chunks")


def _packed(kind: bytes, body: memoryview) -> bytes:
    return b"".join(
        [
            struct.pack(">I", len(body)),
            kind,
            body,
            struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))),
        ]
    )


def _read_header(chunks: list[tuple[bytes, memoryview]]) -> _Header:
    kind, body = chunks[0]
    if kind != b"IHDR" or len(body) != 13:
        raise ImageError("corrupt", "the PNG does not start with a header chunk")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", body
    )
    known = depth in _DEPTHS.get(colour, ()) and interlace in (0, 1)
    if not known or compression or filtering:
        raise ImageError(
            "corrupt",
            f"the PNG header is not valid: depth {depth}, colour type {colour}, "
            f"compression {compression}, filter {filtering}, interlace {interlace}",
        )
    return _Header(width, height, depth, colour)


def _check_freight(chunks: list[tuple[bytes, memoryview]]) -> None:
    for kind, body in chunks:
        if kind == b"acTL":
            raise ImageError("multi-frame", "the PNG is an animation; expected one image")
        if kind in _COMPRESSED_TEXT and _is_bomb(bytes(body)):
            raise ImageError(
                "bomb", f"a {kind.decode()} chunk inflates to more than {_TEXT_LIMIT:,} bytes"
            )


def _is_bomb(body: bytes) -> bool:
    # After the keyword: one byte (zTXt, iCCP) or, in iTXt, two bytes and two more strings.
    # Trying both places spares parsing three layouts of text that is thrown away.
    starts = [
        body.find(b"\0") + 2,
        body.find(b"\0", body.find(b"\0", body.find(b"\0") + 3) + 1) + 1,
    ]
    return any(_length_of(body[start:]) > _TEXT_LIMIT for start in starts)


def _length_of(body: bytes) -> int:
    try:
        return inflated_length(body, _TEXT_LIMIT)[0]
    except zlib.error:
        return 0


def _check_length(header: _Header, packed: int) -> None:
    raw = header.raw_bytes
    if packed * _DEFLATE_RATIO < raw:
        raise ImageError(
            "truncated",
            f"the PNG declares {header.width:,} × {header.height:,} pixels but has only "
            f"{packed:,} bytes of them",
        )
    if packed > 2 * raw + 2**16:  # interlacing and stored blocks add a little, never so much
        raise ImageError("corrupt", f"the PNG has {packed:,} bytes for {raw:,} bytes of pixels")


def _to_grey(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    colour = pixels
    if channels > 1:
        to_luma = cv2.COLOR_BGRA2GRAY if channels == 4 else cv2.COLOR_BGR2GRAY
        colour = np.asarray(cv2.cvtColor(pixels, to_luma))
    grey: NDArray[np.uint8] = colour if colour.dtype == np.uint8 else _to_8_bits(colour)
    return _over_black(grey, cv2.extractChannel(pixels, 3)) if channels == 4 else grey


def _to_colour(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    shown = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    colour = np.ascontiguousarray(shown[:, :, 2::-1])  # OpenCV keeps blue first
    colour = colour if colour.dtype == np.uint8 else _to_8_bits(colour)
    return _over_black(colour, shown[:, :, 3:]) if shown.shape[2] == 4 else colour


def _over_black(grey: NDArray[np.uint8], alpha: NDArray[Any]) -> NDArray[np.uint8]:
    opaque = np.iinfo(alpha.dtype).max
    if alpha.min() == opaque:  # as in the RGBA films of ChestX-ray14
        return grey
    return np.rint(grey * (alpha / np.float32(opaque))).astype(np.uint8)


def real_depth(largest: int) -> int:
    """Return the smallest of 8, 10, 12, 14 and 16 bits that holds the largest sample.

    A 16-bit PNG does not say how many of its bits are used. Detectors give 10 to 14, written
    unscaled; divided by 65,535 such an image comes out black.

    >>> real_depth(255), real_depth(256), real_depth(4095), real_depth(65535)
    (8, 10, 12, 16)
    """
    return next(depth for depth in _REAL_DEPTHS if largest < 2**depth)


def _to_8_bits(grey: NDArray[np.uint16]) -> NDArray[np.uint8]:
    scale = 255.0 / (2 ** real_depth(int(grey.max())) - 1)
    return np.asarray(cv2.convertScaleAbs(grey, alpha=scale), dtype=np.uint8)
