"""The compressed frame of a DICOM data set (PS3.5, annex A.4), checked before it is decoded.

A stream has a header of its own. It decides how much memory a decoder asks for and what comes
out, so it must agree with what the data set declares, and what was checked against the budget.
"""

import struct
from typing import Final

from pydicom import Dataset
from pydicom import uid as syntaxes
from pydicom.encaps import get_frame

from hilum.errors import ImageError
from hilum.images.dicom_header import Layout, bad_value, value_of
from hilum.images.jpeg import check_complete, read_jpeg_header
from hilum.images.quiet import quiet_pydicom

_PACKBITS_RATIO: Final = 64  # two bytes of RLE become at most 128 (PS3.5, annex G.3)
_JPEG_2000: Final = (syntaxes.JPEG2000, syntaxes.JPEG2000Lossless)
_LOSSY_JPEG: Final = (syntaxes.JPEGBaseline8Bit, syntaxes.JPEGExtended12Bit)


def pixel_bytes(dataset: Dataset) -> bytes:
    """Return the value of PixelData.

    Raises
    ------
    ImageError
        ``no-pixel-data``.
    """
    if "PixelData" not in dataset:
        what = "float pixels" if "FloatPixelData" in dataset else "no PixelData (7FE0,0010)"
        raise ImageError("no-pixel-data", f"the data set has {what}; expected whole numbers")
    data = value_of(dataset, "PixelData")
    if data is None:
        raise ImageError("no-pixel-data", "PixelData (7FE0,0010) is empty")
    if not isinstance(data, bytes):
        raise bad_value("PixelData", "is not made of bytes")
    return data


def checked_frame(dataset: Dataset, layout: Layout) -> bytes:
    """Return the one compressed frame, after its own header was compared with the data set's.

    Raises
    ------
    ImageError
        ``no-pixel-data``, ``truncated``, ``corrupt``, ``header-mismatch``, ``bad-value`` or
        ``unsupported``.
    """
    if layout.high_bit != layout.stored - 1:
        raise ImageError("bad-value", "HighBit (0028,0102) must be BitsStored - 1 in a codec")
    frame = _frame(dataset)
    if layout.syntax == syntaxes.RLELossless:
        _check_rle(frame, layout)
    elif layout.syntax in _JPEG_2000:
        _check_jpeg_2000(frame, layout)
    else:
        _check_jpeg(frame, layout)
    return frame


def _frame(dataset: Dataset) -> bytes:
    data = pixel_bytes(dataset)
    if not dataset["PixelData"].is_undefined_length:
        raise ImageError("corrupt", "the syntax is compressed, but the pixels have no fragments")
    try:
        with quiet_pydicom():
            frame = bytes(get_frame(data, 0, number_of_frames=1))
    except Exception:  # noqa: BLE001 (any kind on hostile bytes)
        raise ImageError("corrupt", "the fragments of the pixels cannot be put together") from None
    if not frame:
        raise ImageError("no-pixel-data", "the pixels are declared but have no fragment")
    return frame


def _check_declared(found: tuple[int, int, int, int], layout: Layout) -> None:
    width, height, samples, precision = found
    declared = (layout.columns, layout.rows, layout.samples)
    if (width, height, samples) != declared or precision > layout.allocated:
        raise ImageError(
            "header-mismatch",
            f"the data set declares {layout.columns} × {layout.rows} pixels of {layout.samples} "
            f"samples in {layout.allocated} bits, its compressed stream {width} × {height} of "
            f"{samples} in {precision}",
        )


def _check_jpeg(frame: bytes, layout: Layout) -> None:
    header = read_jpeg_header(frame)
    _check_declared((header.width, header.height, header.components, header.precision), layout)
    check_complete(frame, header)
    if layout.syntax in _LOSSY_JPEG and header.precision != 8:
        raise ImageError("unsupported", f"lossy JPEG of {header.precision} bits; expected 8")


def _check_jpeg_2000(frame: bytes, layout: Layout) -> None:
    # ISO/IEC 15444-1, A.5.1: SOC, then SIZ with the sizes of the reference grid and offsets.
    if frame[:4] != b"\xff\x4f\xff\x51" or len(frame) < 45:
        raise ImageError("corrupt", "the JPEG 2000 stream does not start with its size marker")
    right, lower, left, upper = struct.unpack_from(">4I", frame, 8)
    components, precision = struct.unpack_from(">HB", frame, 40)
    bits = (precision & 0x7F) + 1
    _check_declared((right - left, lower - upper, components, bits), layout)
    # A.4.4: EOC, which cannot occur in packet data; encoders pad with either byte.
    if frame.rstrip(b"\0\xff")[-2:] != b"\xff\xd9":
        raise ImageError("truncated", "the JPEG 2000 stream has no end marker")


def _check_rle(frame: bytes, layout: Layout) -> None:
    # PS3.5, annex G.5: the number of segments, then where each starts.
    expected = layout.samples * layout.allocated // 8
    if len(frame) < 64:
        raise ImageError("truncated", "the RLE stream ends inside its header")
    (segments,) = struct.unpack_from("<I", frame)
    if segments != expected:
        raise ImageError(
            "header-mismatch", f"expected {expected} RLE segments, the stream has {segments:,}"
        )
    if len(frame) * _PACKBITS_RATIO < layout.rows * layout.columns * expected:
        raise ImageError("truncated", "the RLE stream is too short for rows × columns")
