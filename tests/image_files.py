"""Small image files made byte by byte, so that a test can make any of them wrong."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 40, 32


def texture(width: int = WIDTH, height: int = HEIGHT, high: int = 256) -> NDArray[np.uint16]:
    """Return a smooth pattern with a little noise that reaches from 0 to high - 1."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).random((height, width))
    wave = np.sin(x / 5.0) + np.cos(y / 4.0) + 0.3 * noise
    scaled = (wave - wave.min()) / (wave.max() - wave.min()) * (high - 1)
    return np.asarray(scaled.round(), dtype=np.uint16)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return one PNG chunk with a right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    pixels: NDArray[np.generic] | None = None,
    *,
    colour: int = 0,
    depth: int = 8,
    size: tuple[int, int] | None = None,
    extra: bytes = b"",
    packed: bytes | None = None,
) -> bytes:
    """Return a PNG of `pixels` (height, width[, channels]), or one that lies about its size."""
    data = texture().astype(np.uint8) if pixels is None else pixels
    lines = data.astype(">u2" if depth == 16 else np.uint8).reshape(data.shape[0], -1)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    width, height = size or (data.shape[1], data.shape[0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        + extra
        + chunk(b"IDAT", zlib.compress(raw) if packed is None else packed)
        + chunk(b"IEND", b"")
    )


def jpeg(pixels: NDArray[np.uint8] | None = None, mode: str = "L", **options: object) -> bytes:
    """Return a JPEG written by Pillow."""
    out = io.BytesIO()
    image = Image.fromarray(texture().astype(np.uint8) if pixels is None else pixels)
    image.convert(mode).save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


LITTLE = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
BASELINE = "1.2.840.10008.1.2.4.50"
EXTENDED = "1.2.840.10008.1.2.4.51"
LOSSLESS = "1.2.840.10008.1.2.4.70"
LS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
RLE = "1.2.840.10008.1.2.5"

_TAGS = {
    "SOPClassUID": (0x0008, 0x0016, "UI"),
    "PatientName": (0x0010, 0x0010, "PN"),
    "PatientID": (0x0010, 0x0020, "LO"),
    "SamplesPerPixel": (0x0028, 0x0002, "US"),
    "PhotometricInterpretation": (0x0028, 0x0004, "CS"),
    "PlanarConfiguration": (0x0028, 0x0006, "US"),
    "NumberOfFrames": (0x0028, 0x0008, "IS"),
    "Rows": (0x0028, 0x0010, "US"),
    "Columns": (0x0028, 0x0011, "US"),
    "BitsAllocated": (0x0028, 0x0100, "US"),
    "BitsStored": (0x0028, 0x0101, "US"),
    "HighBit": (0x0028, 0x0102, "US"),
    "PixelRepresentation": (0x0028, 0x0103, "US"),
    "PixelPaddingValue": (0x0028, 0x0120, "US"),
    "PixelPaddingRangeLimit": (0x0028, 0x0121, "US"),
    "WindowCenter": (0x0028, 0x1050, "DS"),
    "WindowWidth": (0x0028, 0x1051, "DS"),
    "RescaleIntercept": (0x0028, 0x1052, "DS"),
    "RescaleSlope": (0x0028, 0x1053, "DS"),
    "VOILUTFunction": (0x0028, 0x1056, "CS"),
    "ModalityLUTSequence": (0x0028, 0x3000, "SQ"),
    "LUTDescriptor": (0x0028, 0x3002, "US"),
    "LUTData": (0x0028, 0x3006, "OW"),
    "VOILUTSequence": (0x0028, 0x3010, "SQ"),
    "PresentationLUTShape": (0x2050, 0x0020, "CS"),
    "FloatPixelData": (0x7FE0, 0x0008, "OF"),
    "PixelData": (0x7FE0, 0x0010, "OW"),
}
_LONG = {"OB", "OW", "OF", "SQ", "UN"}

Value = Any  # text, bytes, a number, a tuple of numbers, or None to leave the element out


def element(tag: tuple[int, int, str], value: bytes, order: str = "<") -> bytes:
    """Return one explicit-VR element; an OB value that starts with an item is encapsulated."""
    group, number, vr = tag
    value += (b" " if vr not in _LONG | {"UI"} else b"\0") * (len(value) % 2)
    head = struct.pack(order + "HH", group, number) + vr.encode()
    if vr in _LONG:
        length = 0xFFFFFFFF if vr == "OB" and value.startswith(b"\xfe\xff") else len(value)
        return head + b"\0\0" + struct.pack(order + "I", length) + value
    return head + struct.pack(order + "H", len(value)) + value


def fragments(*frames: bytes) -> bytes:
    """Return an encapsulated value: an empty offset table, the fragments, the delimiter."""
    items = b"".join(
        b"\xfe\xff\x00\xe0" + struct.pack("<I", len(part) + len(part) % 2) + part
        + b"\0" * (len(part) % 2)
        for part in (b"", *frames)
    )  # fmt: skip
    return items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def sequence(**item: Value) -> bytes:
    """Return the value of a sequence with one item."""
    body = b"".join(_encoded(keyword, value, "<") for keyword, value in item.items())
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body)) + body


def _encoded(keyword: str, value: Value, order: str) -> bytes:
    group, number, vr = _TAGS[keyword]
    values = value if isinstance(value, tuple) else (value,)
    if isinstance(value, bytes):
        raw = value
        if keyword == "PixelData" and value.startswith(b"\xfe\xff\x00\xe0"):
            vr = "OB"
    elif vr == "US":
        whole = [int(v) for v in values if v is not None]
        if any(v < 0 for v in whole):
            vr = "SS"
        raw = struct.pack(f"{order}{len(whole)}{'h' if vr == 'SS' else 'H'}", *whole)
    else:
        raw = "\\".join(str(v) for v in values).encode()
    return element((group, number, vr), raw, order)


def dicom(syntax: str | None = LITTLE, *, preamble: bool = True, **changes: Value) -> bytes:
    """Return a DICOM file of a 12-bit grey image, with elements changed or (None) left out."""
    order = ">" if syntax == BIG else "<"
    values: dict[str, Value] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
        "PatientName": "Doe^Jane",
        "PatientID": "SECRET-1234",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": HEIGHT,
        "Columns": WIDTH,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": texture(high=4096).astype(f"{order}u2").tobytes(),
    }
    values.update(changes)
    kept = {keyword: value for keyword, value in values.items() if value is not None}
    body = b"".join(_encoded(k, kept[k], order) for k in sorted(kept, key=lambda k: _TAGS[k]))
    if syntax == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
    if not preamble:
        return body
    meta = element((2, 1, "OB"), b"\0\1") + element((2, 2, "UI"), b"1.2.840.10008.5.1.4.1.1.1")
    meta += element((2, 3, "UI"), b"1.2.3")
    if syntax is not None:
        meta += element((2, 0x10, "UI"), syntax.encode())
    length = element((2, 0, "UL"), struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + length + meta + body


def jpeg_2000(pixels: NDArray[np.uint16] | None = None, bits: int = 12) -> bytes:
    """Return a lossless JPEG 2000 stream."""
    from openjpeg.utils import encode_array

    data = texture(high=4096) if pixels is None else pixels
    return bytes(encode_array(data, bits_stored=bits, photometric_interpretation=0))


def rle(pixels: NDArray[np.uint16] | None = None) -> bytes:
    """Return an RLE stream of 16-bit cells."""
    from rle.utils import encode_pixel_data

    data = texture(high=4096) if pixels is None else pixels
    return bytes(
        encode_pixel_data(
            data.astype("<u2").tobytes(),
            rows=data.shape[0],
            columns=data.shape[1],
            bits_allocated=16,
            samples_per_pixel=1,
            byteorder="<",
        )
    )
