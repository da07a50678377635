"""Stored pixel values out of a DICOM data set, whatever their transfer syntax (PS3.5, annex A).

One decoder per syntax, chosen by measurement and for safety, and no second try with another: a
decoder that accepts what a stricter one refused returns half an image.

================================  ==============================================================
uncompressed, also deflated       numpy
RLE                               pylibjpeg-rle, written in Rust: 7 times as fast as pydicom's
JPEG baseline, extended (8 bits)  Pillow: 3 times as fast as GDCM
JPEG lossless, JPEG-LS            GDCM, the only one
JPEG 2000 lossless                GDCM: 1.4 times as fast as OpenJPEG by itself
JPEG 2000                         OpenJPEG: 1.4 times as fast as GDCM
================================  ==============================================================
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom import uid as syntaxes
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from hilum.errors import ImageError
from hilum.images.dicom_frame import checked_frame, pixel_bytes
from hilum.images.dicom_header import Layout
from hilum.images.jpeg import decode_stream, read_jpeg_header
from hilum.images.quiet import quiet_pydicom

Stored = NDArray[np.uint16]
_Decoder = Callable[[Dataset, bytes, Layout], Stored]

_BYTE_ORDERS: Final = {  # of the uncompressed syntaxes
    syntaxes.ImplicitVRLittleEndian: "<",
    syntaxes.ExplicitVRLittleEndian: "<",
    syntaxes.DeflatedExplicitVRLittleEndian: "<",
    syntaxes.ExplicitVRBigEndian: ">",
}


def stored_values(dataset: Dataset, layout: Layout) -> Stored:
    """Return the stored values of a grey image, counted from the lowest that its bits can hold.

    Returns
    -------
    (rows, columns)
        0 for `layout.lowest`; at most 2**stored - 1.

    Raises
    ------
    ImageError
        ``no-pixel-data``, ``truncated``, ``length-mismatch``, ``corrupt``,
        ``header-mismatch`` or ``unsupported``.
    """
    if layout.syntax in _BYTE_ORDERS:
        return _native(dataset, layout)
    decode: _Decoder = _known(_GREY_DECODERS, layout)
    return decode(dataset, checked_frame(dataset, layout), layout)


def colour_values(dataset: Dataset, layout: Layout) -> NDArray[np.uint8]:
    """Return a colour image as (rows, columns, 3) RGB.

    Raises
    ------
    ImageError
        As `stored_values`.
    """
    if layout.syntax in _BYTE_ORDERS:
        plugin = ""
        _native_bytes(dataset, layout)
    else:
        plugin = _known(_COLOUR_PLUGINS, layout)
        checked_frame(dataset, layout)
    colour = _pydicom(dataset, layout, plugin, as_rgb=True)
    if colour.shape != (layout.rows, layout.columns, 3) or colour.dtype != np.uint8:
        raise ImageError("header-mismatch", "the pixels decode to another shape than declared")
    return colour


def _known(table: dict[UID, Any], layout: Layout) -> Any:
    if layout.syntax not in table:
        name = layout.syntax.name if layout.syntax.is_transfer_syntax else "an unknown UID"
        raise ImageError("unsupported", f"the transfer syntax is not one that is read: {name}")
    return table[layout.syntax]


def _native_bytes(dataset: Dataset, layout: Layout) -> bytes:
    data = pixel_bytes(dataset)
    if dataset["PixelData"].is_undefined_length:
        raise ImageError("corrupt", "the pixels are encapsulated, but the syntax is uncompressed")
    expected = layout.rows * layout.columns * layout.samples * layout.allocated // 8
    if layout.photometric == "YBR_FULL_422":  # two of three samples, PS3.3 C.7.6.3.1.2
        expected = expected // 3 * 2
    if len(data) < expected:
        raise ImageError(
            "truncated", f"the header declares {expected:,} bytes of pixels, got {len(data):,}"
        )
    if len(data) > expected + expected % 2:  # an odd length is padded, PS3.5 section 8.1.1
        raise ImageError(
            "length-mismatch",
            f"the header declares {expected:,} bytes of pixels, got {len(data):,}: rows, "
            "columns or bits are wrong",
        )
    return data


def _native(dataset: Dataset, layout: Layout) -> Stored:
    data = _native_bytes(dataset, layout)
    order, count = _BYTE_ORDERS[layout.syntax], layout.rows * layout.columns
    if layout.allocated == 8 and order == ">" and dataset["PixelData"].VR == "OW":
        # Two 8-bit cells share a big-endian word (PS3.5, annex A.3).
        data = np.frombuffer(data[: len(data) // 2 * 2], dtype=">u2").astype("<u2").tobytes()
    cells = np.frombuffer(data, dtype=f"{order}u{layout.allocated // 8}", count=count)
    return _from_cells(cells, layout)


def _from_cells(cells: NDArray[Any], layout: Layout) -> Stored:
    # PS3.5, section 8.1.1: bits outside the stored ones mean nothing (once they held overlays).
    # Two's complement, counted from the lowest value, is the same number with its sign turned.
    shift = layout.high_bit + 1 - layout.stored
    mask, sign = (1 << layout.stored) - 1, (1 << (layout.stored - 1)) if layout.signed else 0
    out = cells.astype(np.uint16)
    if shift:
        out >>= shift
    out &= np.uint16(mask)
    out ^= np.uint16(sign)
    return out.reshape(layout.rows, layout.columns)


def _decode_rle(dataset: Dataset, frame: bytes, layout: Layout) -> Stored:  # noqa: ARG001
    from rle.utils import decode_pixel_data

    try:
        data = decode_pixel_data(
            frame,
            version=2,
            rows=layout.rows,
            columns=layout.columns,
            bits_allocated=layout.allocated,
        )
        cells = np.frombuffer(data, dtype=f"<u{layout.allocated // 8}")
        return _from_cells(cells, layout)
    except BaseException as error:
        # A stream that decodes to too much makes the Rust code panic, at a bound it checks;
        # that arrives as a BaseException of a class that cannot be imported.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _undecodable() from None
        raise


def _decode_jpeg(dataset: Dataset, frame: bytes, layout: Layout) -> Stored:  # noqa: ARG001
    return _from_values(decode_stream(frame, read_jpeg_header(frame)), layout)


def _decode_gdcm(dataset: Dataset, frame: bytes, layout: Layout) -> Stored:  # noqa: ARG001
    return _from_values(_pydicom(dataset, layout, "gdcm", as_rgb=False), layout)


def _decode_openjpeg(dataset: Dataset, frame: bytes, layout: Layout) -> Stored:  # noqa: ARG001
    from openjpeg.utils import decode

    try:
        values = decode(frame)
    except (ValueError, RuntimeError, MemoryError):
        raise _undecodable() from None
    return _from_values(values, layout)


def _pydicom(dataset: Dataset, layout: Layout, plugin: str, *, as_rgb: bool) -> NDArray[Any]:
    try:
        with quiet_pydicom():
            array, _ = get_decoder(layout.syntax).as_array(
                dataset, raw=not as_rgb, index=0, decoding_plugin=plugin
            )
    except Exception:  # noqa: BLE001 (each plug-in has its own kinds)
        raise _undecodable() from None
    return array


def _undecodable() -> ImageError:
    return ImageError("corrupt", "the compressed pixels cannot be decoded")


def _from_values(values: NDArray[Any], layout: Layout) -> Stored:
    if values.shape != (layout.rows, layout.columns):
        raise ImageError("header-mismatch", "the pixels decode to another shape than declared")
    low, high = int(values.min()), int(values.max())
    if low < layout.lowest or high >= layout.lowest + (1 << layout.stored):
        raise ImageError(
            "header-mismatch",
            f"{layout.stored} {'signed' if layout.signed else 'unsigned'} bits are declared, "
            f"but the pixels reach from {low} to {high}",
        )
    return (values.astype(np.int32) - layout.lowest).astype(np.uint16)


_GREY_DECODERS: Final[dict[UID, _Decoder]] = {
    syntaxes.RLELossless: _decode_rle,
    syntaxes.JPEGBaseline8Bit: _decode_jpeg,
    syntaxes.JPEGExtended12Bit: _decode_jpeg,
    syntaxes.JPEGLossless: _decode_gdcm,
    syntaxes.JPEGLosslessSV1: _decode_gdcm,
    syntaxes.JPEGLSLossless: _decode_gdcm,
    syntaxes.JPEGLSNearLossless: _decode_gdcm,
    syntaxes.JPEG2000Lossless: _decode_gdcm,
    syntaxes.JPEG2000: _decode_openjpeg,
}
_COLOUR_PLUGINS: Final = {
    syntaxes.RLELossless: "pydicom",
    syntaxes.JPEGBaseline8Bit: "pillow",
    syntaxes.JPEGExtended12Bit: "pillow",
    # Not JPEG lossless or JPEG-LS: on damaged colour GDCM 3.2.6 ends the process, by C++
    # exceptions that nothing catches.
    syntaxes.JPEG2000Lossless: "gdcm",
    syntaxes.JPEG2000: "gdcm",
}
