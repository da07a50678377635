"""Every way an image file can be bad, made byte by byte.

`bad_files` is the corpus: each file in it must give one `ImageError` with its reason, wherever
it is read, and nothing else: no other exception, no warning, no picture.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from image_files import (
    BASELINE,
    DEFLATED,
    EXTENDED,
    HEIGHT,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    LOSSLESS,
    LS,
    RLE,
    WIDTH,
    Value,
    chunk,
    dicom,
    fragments,
    jpeg,
    jpeg_2000,
    png,
    rle,
    sequence,
    texture,
)


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be a picture, the reason code and a pattern of the message."""

    path: Path
    reason: str
    match: str


def _raw_lines(count: int = HEIGHT, filtering: int = 0) -> bytes:
    line = bytes([filtering]) + bytes(range(WIDTH))
    return line * count


def _bad_pngs() -> Iterator[tuple[str, bytes, str, str]]:
    good = png()
    bomb = zlib.compress(bytes(8 * 2**20))
    wrong_header = good[:20] + b"\x01" + good[21:]
    yield "png-signature-only", good[:8], "truncated", "ends before its IEND"
    yield "png-cut-in-half", good[: len(good) // 2], "truncated", "too many"
    yield "png-without-end", good[:-12], "truncated", "ends before its IEND"
    yield "png-pixel-checksum", _flipped(good, 60), "corrupt", "checksum"
    yield "png-header-checksum", wrong_header, "corrupt", "checksum"
    yield "png-chunk-too-long", _chunk_too_long(good), "truncated", "too many"
    yield "png-no-header", good[:8] + good[33:], "corrupt", "does not start with a header"
    yield "png-no-width", png(size=(0, HEIGHT)), "corrupt", "0 × 32"
    yield "png-enormous", png(size=(200_000, 200_000)), "too-large", "200,000 × 200,000"
    yield "png-wide", png(size=(2**31 - 1, 1)), "too-large", "2,147,483,647 × 1"
    yield "png-size-without-data", png(size=(7000, 7000)), "truncated", "has only"
    yield "png-depth-3", png(depth=3), "corrupt", "depth 3"
    yield "png-colour-type-5", png(colour=5), "corrupt", "colour type 5"
    yield "png-half-its-lines", png(packed=zlib.compress(_raw_lines(16))), "corrupt", "decoded"
    yield "png-bad-deflate", png(packed=b"\x78\x9c" + bytes(range(90))), "corrupt", "decoded"
    yield "png-bad-filter", png(packed=zlib.compress(_raw_lines(filtering=9))), "corrupt", "decoded"
    yield "png-no-palette", png(colour=3), "corrupt", "decoded"
    yield (
        "png-data-too-long",
        png(packed=np.random.default_rng(1).bytes(70_000)),
        "corrupt",
        "bytes of pixels",
    )
    yield "png-text-bomb", png(extra=chunk(b"zTXt", b"k\0\0" + bomb)), "bomb", "zTXt"
    yield "png-profile-bomb", png(extra=chunk(b"iCCP", b"k\0\0" + bomb)), "bomb", "iCCP"
    yield "png-unicode-bomb", png(extra=chunk(b"iTXt", b"k\0\1\0\0\0" + bomb)), "bomb", "iTXt"
    yield (
        "png-animated",
        png(extra=chunk(b"acTL", struct.pack(">II", 2, 0))),
        "multi-frame",
        "animation",
    )
    yield "png-black", png(np.zeros((9, 9))), "blank", "same value, 0"
    yield "png-white", png(np.full((9, 9), 255)), "blank", "same value, 255"
    yield "png-black-16", png(np.zeros((9, 9)), depth=16), "blank", "same value, 0"
    clear = np.dstack([texture(), np.zeros((HEIGHT, WIDTH))])
    yield "png-all-transparent", png(clear, colour=4), "blank", "same value, 0"


def _flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]


def _chunk_too_long(data: bytes) -> bytes:
    return data[:33] + struct.pack(">I", 2**31 - 1) + data[37:]


def _with_frame(data: bytes, **changes: int) -> bytes:
    """Change the marker, precision, height or width in the frame header of a baseline JPEG."""
    start = data.index(b"\xff\xc0")
    marker, length, precision, height, width = struct.unpack_from(">xBHBHH", data, start)
    values = {"marker": marker, "precision": precision, "height": height, "width": width}
    values.update(changes)
    frame = struct.pack(
        ">BBHBHH",
        0xFF,
        values["marker"],
        length,
        values["precision"],
        values["height"],
        values["width"],
    )
    return data[:start] + frame + data[start + len(frame) :]


def _bad_jpegs() -> Iterator[tuple[str, bytes, str, str]]:
    good = jpeg()
    half = good[: (good.index(b"\xff\xda") + len(good)) // 2]
    no_frame = good[:2] + good[good.index(b"\xff\xda") :]
    table = good.index(b"\xff\xdb")
    yield "jpeg-start-only", good[:3], "truncated", "inside its header"
    yield "jpeg-cut-in-header", good[:100], "truncated", "inside its header"
    yield "jpeg-cut-in-half", half, "truncated", "no end marker"
    yield "jpeg-without-end", good[:-2], "truncated", "no end marker"
    yield "jpeg-cut-and-ended", half + b"\xff\xd9", "truncated", "mid-grey"
    yield "jpeg-no-frame", no_frame, "corrupt", "no frame header"
    yield "jpeg-no-marker", good[:table] + b"AB" + good[table + 2 :], "corrupt", "marker"
    yield "jpeg-no-height", _with_frame(good, height=0), "corrupt", "40 × 0"
    yield "jpeg-enormous", _with_frame(good, width=65_500, height=65_500), "too-large", "65,500"
    yield "jpeg-size-without-data", _with_frame(good, width=7000, height=7000), "truncated", "only"
    yield "jpeg-12-bit", _with_frame(good, precision=12), "unsupported", "12 bits"
    yield "jpeg-lossless", _with_frame(good, marker=0xC3), "unsupported", "FFC3"
    yield "jpeg-arithmetic", _with_frame(good, marker=0xC9), "unsupported", "FFC9"
    yield "jpeg-no-tables", _without_segment(good, 0xDB), "corrupt", "cannot be decoded"
    yield "jpeg-constant", jpeg(np.full((16, 16), 200, np.uint8)), "blank", "same value"


def _without_segment(data: bytes, marker: int) -> bytes:
    while (start := data.find(bytes([0xFF, marker]))) >= 0:
        (length,) = struct.unpack_from(">H", data, start + 2)
        data = data[:start] + data[start + 2 + length :]
    return data


_EIGHT: dict[str, Value] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def _bad_dicom_files() -> Iterator[tuple[str, bytes, str, str]]:
    good = dicom()
    yield "dicom-no-preamble", dicom(preamble=False), "no-preamble", "132 bytes"
    yield "dicom-preamble-only", good[:132], "no-pixel-data", "holds no image"
    in_header = good[: good.index(b"\x28\0\0\1US") + 5]
    yield "dicom-cut-in-header", in_header, "bad-value", "BitsAllocated .* missing"
    yield "dicom-cut-in-pixels", good[:-600], "truncated", "got 1,960"
    yield "dicom-no-transfer-syntax", dicom(None), "unreadable-header", "no transfer syntax"
    report = dicom(PixelData=None, Rows=None, Columns=None)
    yield "dicom-report", report, "no-pixel-data", "holds no image"
    yield "dicom-no-pixels", dicom(PixelData=None), "no-pixel-data", "no PixelData"
    yield "dicom-empty-pixels", dicom(PixelData=b""), "no-pixel-data", "is empty"
    floats = dicom(PixelData=None, FloatPixelData=bytes(WIDTH * HEIGHT * 4))
    yield "dicom-float-pixels", floats, "no-pixel-data", "float pixels"
    more = dicom(PixelData=bytes(WIDTH * HEIGHT * 2 + 128))
    yield "dicom-too-many-pixels", more, "length-mismatch", "declares 2,560 bytes"
    yield "dicom-deflated-cut", dicom(DEFLATED)[:-100], "truncated", "ends too early"
    packed = dicom(DEFLATED)
    start = 144 + int.from_bytes(packed[140:144], "little")
    garbled = packed[:start] + b"\xff" * 100
    yield "dicom-deflated-garbled", garbled, "corrupt", "inflated"


def _bad_layouts() -> Iterator[tuple[str, bytes, str, str]]:
    def bad(
        name: str, match: str, reason: str = "bad-value", **changes: Value
    ) -> tuple[str, bytes, str, str]:
        return f"dicom-{name}", dicom(**changes), reason, match

    yield bad("rows-zero", r"Rows \(0028,0010\) is 0", Rows=0)
    yield bad("rows-missing", "Rows .* missing", Rows=None)
    yield bad("rows-empty", "Rows .* missing", Rows=b"")
    yield bad("rows-twice", "has 2 values", Rows=(HEIGHT, HEIGHT))
    yield bad("enormous", "65,535 × 65,535", "too-large", Rows=65_535, Columns=65_535)
    yield bad("too-few-pixels", "declares 200,000", "truncated", Rows=1000, Columns=100)
    yield bad("two-frames", "2 frames", "multi-frame", NumberOfFrames="2")
    yield bad("many-frames", "100,000 frames", "multi-frame", NumberOfFrames="100000")
    yield bad("no-frames", "NumberOfFrames .* is 0", NumberOfFrames="0")
    yield bad("frames-text", "NumberOfFrames", NumberOfFrames="1A")
    yield bad("stored-beyond-allocated", "BitsStored .* from 1 to 16", BitsStored=17)
    yield bad("stored-zero", "BitsStored", BitsStored=0)
    yield bad("high-bit-beyond", "HighBit .* from 11 to 15", HighBit=16)
    yield bad("high-bit-low", "HighBit .* from 11 to 15", HighBit=7)
    yield bad("one-bit", "1 bits are allocated", "unsupported", BitsAllocated=1)
    yield bad("32-bit", "32 bits are allocated", "unsupported", BitsAllocated=32)
    yield bad("12-allocated", "12 bits are allocated", "unsupported", BitsAllocated=12)
    yield bad("two-samples", "SamplesPerPixel .* is 2", SamplesPerPixel=2)
    yield bad("no-samples", "SamplesPerPixel .* is 0", SamplesPerPixel=0)
    yield bad("sign-of-2", "PixelRepresentation", PixelRepresentation=2)
    yield bad("no-photometric", "Photometric.* missing", PhotometricInterpretation=None)
    palette: dict[str, Value] = {"PhotometricInterpretation": "PALETTE COLOR"}
    yield bad("palette", "got PALETTE COLOR", "unsupported-photometric", **palette)
    hsv: dict[str, Value] = {"PhotometricInterpretation": "HSV"}
    yield bad("photometric-unknown", "got something else", "unsupported-photometric", **hsv)
    rgb: dict[str, Value] = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}
    yield bad("colour-12-bit", "colour of 12 bits", "unsupported", **rgb)
    yield bad("colour-too-short", "declares 3,840", "truncated", **rgb, **_EIGHT)
    yield bad("syntax-unknown", "unknown UID", "unsupported", syntax="1.2.3.4")
    yield bad("syntax-video", "MPEG2", "unsupported", syntax="1.2.840.10008.1.2.4.100")


def _bad_numbers() -> Iterator[tuple[str, bytes, str, str]]:
    def bad(name: str, match: str, **changes: Value) -> tuple[str, bytes, str, str]:
        return f"dicom-{name}", dicom(**changes), "bad-value", match

    yield bad("slope-zero", "RescaleSlope .* is 0", RescaleSlope="0", RescaleIntercept="0")
    yield bad("slope-nan", "RescaleSlope", RescaleSlope="nan", RescaleIntercept="0")
    yield bad("slope-infinite", "RescaleSlope", RescaleSlope="inf", RescaleIntercept="0")
    yield bad("slope-absurd", "is 1e\\+300", RescaleSlope="1e300", RescaleIntercept="0")
    yield bad("slope-text", "RescaleSlope", RescaleSlope="one", RescaleIntercept="0")
    yield bad("slope-empty", "present together", RescaleSlope=b"", RescaleIntercept="0")
    yield bad("slope-alone", "present together", RescaleSlope="2")
    yield bad("slope-twice", "has 2 values", RescaleSlope=(1, 2), RescaleIntercept="0")
    yield bad("intercept-nan", "RescaleIntercept", RescaleSlope="1", RescaleIntercept="nan")
    yield bad("width-zero", "WindowWidth .* is 0", WindowCenter="9", WindowWidth="0")
    yield bad("width-negative", "is -5", WindowCenter="9", WindowWidth="-5")
    yield bad("width-below-1", "at least 1", WindowCenter="9", WindowWidth="0.5")
    yield bad("width-nan", "WindowWidth", WindowCenter="9", WindowWidth="nan")
    yield bad("window-without-width", "has 1 values and WindowWidth 0", WindowCenter="9")
    yield bad("windows-uneven", "2 values and .* 1", WindowCenter=(9, 9), WindowWidth="5")
    window: dict[str, Value] = {"WindowCenter": "9", "WindowWidth": "5"}
    yield bad("window-function", "VOILUTFunction", VOILUTFunction="CUBIC", **window)
    yield bad("shape-unknown", "neither IDENTITY nor", PresentationLUTShape="LIN OD")
    yield bad("padding-infinite", "PixelPaddingValue", **_EIGHT, PixelPaddingValue=300,
              PixelData=bytes(range(WIDTH)) * HEIGHT)  # fmt: skip
    yield bad("padding-twice", "has 2 values", PixelPaddingValue=(0, 1))


def _lut(**changes: Value) -> bytes:
    item: dict[str, Value] = {
        "LUTDescriptor": (4096, 0, 12),
        "LUTData": np.arange(4096, dtype="<u2").tobytes(),
    }
    return sequence(**{**item, **changes})


def _bad_tables() -> Iterator[tuple[str, bytes, str, str]]:
    def bad(name: str, match: str, **changes: Value) -> tuple[str, bytes, str, str]:
        return f"dicom-lut-{name}", dicom(VOILUTSequence=_lut(**changes)), "bad-value", match

    yield bad("descriptor-short", "has 2 values; expected 3", LUTDescriptor=(4096, 0))
    yield bad("bits-99", "declares 99 bits", LUTDescriptor=(4096, 0, 99))
    yield bad("data-short", "has 100 entries", LUTData=bytes(200))
    yield bad("data-odd", "odd length|entries", LUTData=bytes(201))
    yield bad("data-missing", "is missing", LUTData=b"")
    yield bad("data-beyond-bits", "beyond its 10 bits", LUTDescriptor=(4096, 0, 10))
    yield bad("constant", "one value", LUTData=np.full(4096, 7, dtype="<u2").tobytes())
    modality = dicom(ModalityLUTSequence=_lut(LUTDescriptor=(0, 0, 16)))
    yield "dicom-modality-lut-short", modality, "bad-value", "65,536"


def _bad_streams() -> Iterator[tuple[str, bytes, str, str]]:
    whole, other = jpeg_2000(), jpeg_2000(texture(36, 36, high=4096))
    for name, syntax in (("j2k-lossless", JPEG_2000_LOSSLESS), ("j2k", JPEG_2000)):
        cut = whole[: len(whole) * 2 // 3]

        def put(stream: bytes, syntax: str = syntax) -> bytes:
            return dicom(syntax, PixelData=fragments(stream))

        yield f"dicom-{name}-other-size", put(other), "header-mismatch", "36 × 36"
        yield f"dicom-{name}-cut", put(cut), "truncated", "no end marker"
        yield (
            f"dicom-{name}-cut-and-ended",
            put(cut + b"\xff\xd9"),
            "corrupt",
            "decoded",
        )
        yield f"dicom-{name}-garbage", put(bytes(range(200))), "corrupt", "size marker"
    yield (
        "dicom-no-fragments",
        dicom(RLE, PixelData=fragments()),
        "no-pixel-data",
        "fragment",
    )
    yield "dicom-not-encapsulated", dicom(RLE), "corrupt", "no fragments"
    native = dicom(PixelData=fragments(texture().tobytes()))
    yield "dicom-encapsulated-raw", native, "corrupt", "encapsulated"
    yield (
        "dicom-cut-in-fragment",
        dicom(RLE, PixelData=fragments(rle()))[:-300],
        "truncated",
        "ends",
    )
    packed = rle()
    yield "dicom-rle-cut", dicom(RLE, PixelData=fragments(packed[:90])), "corrupt", "decoded"
    yield "dicom-rle-header-cut", dicom(RLE, PixelData=fragments(packed[:9])), "truncated", "RLE"
    more = dicom(RLE, PixelData=fragments(packed), Rows=HEIGHT - 2)
    yield "dicom-rle-too-much", more, "corrupt", "decoded"
    segments = struct.pack("<I", 15) + packed[4:]
    yield "dicom-rle-segments", dicom(RLE, PixelData=fragments(segments)), "header-mismatch", "15"
    film = jpeg()

    def baseline(stream: bytes, **changes: Value) -> bytes:
        return dicom(BASELINE, PixelData=fragments(stream), **{**_EIGHT, **changes})

    yield "dicom-jpeg-other-size", baseline(film, Rows=20), "header-mismatch", "40 × 20"
    yield "dicom-jpeg-colour", baseline(jpeg(mode="RGB")), "header-mismatch", "of 3"
    yield "dicom-jpeg-cut", baseline(film[:-50]), "truncated", "no end marker"
    yield "dicom-jpeg-garbage", baseline(bytes(range(99))), "corrupt", "marker"
    twelve = dicom(EXTENDED, PixelData=fragments(_with_frame(film, precision=12)))
    yield "dicom-jpeg-12-bit", twelve, "unsupported", "12 bits"
    for name, syntax, marker in (("lossless", LOSSLESS, 0xC3), ("ls", LS, 0xF7)):
        stream = _with_frame(film, marker=marker)
        data = dicom(syntax, PixelData=fragments(stream), **_EIGHT)
        yield f"dicom-{name}-garbled", data, "corrupt", "decoded"
    high = dicom(RLE, PixelData=fragments(packed), HighBit=15)
    yield "dicom-rle-high-bit", high, "bad-value", "HighBit"


def _blank_dicoms() -> Iterator[tuple[str, bytes, str, str]]:
    flat = np.full((HEIGHT, WIDTH), 77, dtype="<u2").tobytes()
    yield "dicom-constant", dicom(PixelData=flat), "blank", "same value"
    yield "dicom-all-padding", dicom(PixelData=flat, PixelPaddingValue=77), "blank", "padding"
    far = dicom(WindowCenter="90000", WindowWidth="10")
    yield "dicom-window-off-the-values", far, "blank", "same value, 0"


def _foreign() -> Iterator[tuple[str, bytes, str, str]]:
    frames = [Image.fromarray(texture().astype(np.uint8)) for _ in range(2)]
    for name, save_all in (("gif", True), ("tiff", True), ("bmp", False), ("webp", False)):
        out = io.BytesIO()
        more: dict[str, object] = (
            {"save_all": True, "append_images": frames[1:]} if save_all else {}
        )
        frames[0].save(out, name.upper(), **more)
        yield f"a.{name}", out.getvalue(), "unsupported", "expected PNG, JPEG or DICOM, got a"
    yield "bare-jpeg-2000", jpeg_2000(), "unsupported", "bare JPEG 2000"
    yield "a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "unsupported", "JPEG 2000 file"
    yield "a.nii.gz", b"\x1f\x8b\x08" + bytes(40), "unsupported", "gzip"
    yield "a.pdf", b"%PDF-1.7 " + bytes(40), "unsupported", "PDF"
    yield "text", b"Image Index,Finding Labels\n", "unknown-format", "something else"
    yield "zeros", bytes(4096), "unknown-format", "something else"
    yield "named.png", b"GIF but not really", "unknown-format", "something else"


def _odd_paths(folder: Path) -> Iterator[BadFile]:
    yield BadFile(folder / "missing.png", "missing", "no such file")
    (folder / "folder.png").mkdir()
    yield BadFile(folder / "folder.png", "not-a-file", "folder or a device")
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    yield BadFile(folder / "dangling.png", "missing", "no such file")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    yield BadFile(folder / "loop.png", "unreadable", "cannot be opened")
    os.mkfifo(folder / "pipe.png")
    yield BadFile(folder / "pipe.png", "not-a-file", "folder or a device")
    (folder / "empty.png").touch()
    yield BadFile(folder / "empty.png", "empty", "no bytes")
    with (folder / "huge.png").open("wb") as stream:
        stream.truncate(2**33)  # sparse: costs no disk
    yield BadFile(folder / "huge.png", "file-too-large", "8,589,934,592 bytes")
    if os.geteuid() != 0:  # root reads everything
        (folder / "locked.png").write_bytes(png())
        (folder / "locked.png").chmod(0)
        yield BadFile(folder / "locked.png", "unreadable", "cannot be opened")


_GROUPS: tuple[Callable[[], Iterator[tuple[str, bytes, str, str]]], ...] = (
    _bad_pngs,
    _bad_jpegs,
    _bad_dicom_files,
    _bad_layouts,
    _bad_numbers,
    _bad_tables,
    _bad_streams,
    _blank_dicoms,
    _foreign,
)


def bad_files(folder: Path) -> list[BadFile]:
    """Write the whole corpus into an empty folder; every file has another fault."""
    folder.mkdir(parents=True, exist_ok=True)
    made = list(_odd_paths(folder))
    for group in _GROUPS:
        for name, data, reason, match in group():
            path = folder / (name if "." in name else f"{name}.{name.split('-')[0]}")
            path.write_bytes(data)
            made.append(BadFile(path, reason, match))
    return made
