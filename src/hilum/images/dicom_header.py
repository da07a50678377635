"""What a DICOM file declares about its pixels, every number checked.

pydicom reads leniently and hands out what it finds: `nan` as a slope, an empty Rows, three
values where there should be one. Whatever is used to make pixels is read through this module,
as a finite number in a stated range, and is otherwise an error (compare CVE-2026-48705, where
such values passed into an inference server). Only the elements named here are read at all.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from hilum.errors import ImageError
from hilum.images.files import Budget, check_size, inflated_length
from hilum.images.quiet import quiet_pydicom

_LIMIT: Final = 1e9  # no slope, window or intercept of a radiograph comes near
_KEYWORDS: Final = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelData",
)
_PIXEL_TAG: Final = b"\xe0\x7f\x10\x00"  # (7FE0,0010), little endian
COLOUR: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
GREY: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})


@dataclass(frozen=True)
class Layout:
    """How the stored pixels are laid out (PS3.3, C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    syntax: UID

    @property
    def lowest(self) -> int:
        """The smallest value that `stored` bits can hold."""
        return -(1 << (self.stored - 1)) if self.signed else 0


def parse(data: bytes, budget: Budget) -> Dataset:
    """Return the elements that make pixels.

    Raises
    ------
    ImageError
        ``unreadable-header``, ``bomb`` (deflated) or ``truncated``.
    """
    _check_deflated(data, budget)
    try:
        with quiet_pydicom():
            dataset = dcmread(BytesIO(data), specific_tags=list(_KEYWORDS))
    except EOFError:
        raise ImageError("truncated", "the DICOM file ends inside an element") from None
    except Exception:  # noqa: BLE001 (pydicom raises a dozen kinds on hostile bytes)
        raise ImageError("unreadable-header", "the DICOM data set cannot be parsed") from None
    # pydicom drops, without a word, an element whose end it does not find.
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and _PIXEL_TAG in data:
        raise ImageError("truncated", "the DICOM file ends inside its pixels")
    return dataset


def _check_deflated(data: bytes, budget: Budget) -> None:
    # pydicom inflates without a limit. The File Meta group is plain and starts with its own
    # length (PS3.10, section 7.1), so the start of the deflated part is known.
    if DeflatedExplicitVRLittleEndian.encode() not in data[:4096]:
        return
    if data[132:140] != b"\x02\0\0\0UL\x04\0":
        raise ImageError("unreadable-header", "the file meta group does not state its length")
    start = 144 + int.from_bytes(data[140:144], "little")
    try:
        length, complete = inflated_length(data[start:], budget.file_bytes, -zlib.MAX_WBITS)
    except zlib.error:
        raise ImageError("corrupt", "the deflated data set cannot be inflated") from None
    if length > budget.file_bytes:
        raise ImageError("bomb", f"the data set inflates to more than {budget.file_bytes:,} bytes")
    if not complete:
        raise ImageError("truncated", "the deflated data set ends too early")


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return an element's value, or None if it is absent or empty.

    Raises
    ------
    ImageError
        ``bad-value`` if it is not what its VR says.
    """
    try:
        with quiet_pydicom():
            value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 (conversion on access: any kind, and its text quotes the file)
        raise bad_value(keyword, "cannot be read") from None
    if value is None or (isinstance(value, str | bytes | Sequence) and len(value) == 0):
        return None
    return value


def bad_value(keyword: str, what: str) -> ImageError:
    """Name an element by keyword and tag; `what` must not quote text from the file."""
    return ImageError("bad-value", f"{keyword} {Tag(keyword)} {what}")


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return all values of a numeric element, empty if there is none.

    Raises
    ------
    ImageError
        ``bad-value`` unless each is finite and within ±1e9.
    """
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    try:
        numbers = tuple(float(item) for item in (value if several else (value,)))
    except (TypeError, ValueError, OverflowError):
        raise bad_value(keyword, "is not a number") from None
    for number in numbers:
        if not math.isfinite(number) or abs(number) > _LIMIT:
            raise bad_value(keyword, f"is {number}; expected a finite number within ±{_LIMIT:g}")
    return numbers


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Return the one value of a numeric element, or None if there is none."""
    numbers = numbers_of(dataset, keyword)
    if len(numbers) > 1:
        raise bad_value(keyword, f"has {len(numbers)} values; expected one")
    return numbers[0] if numbers else None


def integer_of(dataset: Dataset, keyword: str, low: int, high: int) -> int | None:
    """Return the one whole value of an element within low to high, or None."""
    number = number_of(dataset, keyword)
    if number is None:
        return None
    if not number.is_integer() or not low <= number <= high:
        raise bad_value(keyword, f"is {number:g}; expected a whole number from {low} to {high}")
    return int(number)


def _required(dataset: Dataset, keyword: str, low: int, high: int) -> int:
    value = integer_of(dataset, keyword, low, high)
    if value is None:
        raise bad_value(keyword, "is missing or empty")
    return value


def read_layout(dataset: Dataset, budget: Budget) -> Layout:
    """Read and check how the pixels are stored.

    Raises
    ------
    ImageError
        ``bad-value``, ``too-large``, ``multi-frame``, ``unsupported`` or
        ``unreadable-header`` (no transfer syntax).
    """
    rows = _required(dataset, "Rows", 1, 65_535)
    columns = _required(dataset, "Columns", 1, 65_535)
    check_size(columns, rows, budget)
    frames = integer_of(dataset, "NumberOfFrames", 1, 2**31 - 1)
    if frames is not None and frames > 1:
        raise ImageError(
            "multi-frame", f"the file holds {frames:,} frames; expected a single radiograph"
        )
    samples = _required(dataset, "SamplesPerPixel", 1, 4)
    photometric = _photometric(dataset, samples)
    allocated, stored, high_bit = _bits(dataset)
    signed = _required(dataset, "PixelRepresentation", 0, 1) == 1
    if photometric in COLOUR and (allocated, stored, signed) != (8, 8, False):
        raise ImageError("unsupported", f"colour of {stored} bits; expected 8, unsigned")
    return Layout(
        rows, columns, samples, allocated, stored, high_bit, signed, photometric, _syntax(dataset)
    )


def _photometric(dataset: Dataset, samples: int) -> str:
    name = value_of(dataset, "PhotometricInterpretation")
    if name is None:
        raise bad_value("PhotometricInterpretation", "is missing or empty")
    if name not in GREY | COLOUR:
        raise ImageError(
            "unsupported-photometric",
            f"expected {', '.join(sorted(GREY | COLOUR))} as PhotometricInterpretation, got "
            + ("PALETTE COLOR" if name == "PALETTE COLOR" else "something else"),
        )
    expected = 1 if name in GREY else 3
    if samples != expected:
        raise bad_value("SamplesPerPixel", f"is {samples}; {name} has {expected}")
    return str(name)


def _bits(dataset: Dataset) -> tuple[int, int, int]:
    # PS3.5, section 8.1.1: the stored bits end at the high bit, inside the allocated ones.
    allocated = _required(dataset, "BitsAllocated", 1, 64)
    if allocated not in (8, 16):
        raise ImageError("unsupported", f"{allocated} bits are allocated; expected 8 or 16")
    stored = _required(dataset, "BitsStored", 1, allocated)
    high_bit = _required(dataset, "HighBit", stored - 1, allocated - 1)
    return allocated, stored, high_bit


def _syntax(dataset: Dataset) -> UID:
    meta = getattr(dataset, "file_meta", None)
    syntax = value_of(meta, "TransferSyntaxUID") if meta is not None else None
    if not isinstance(syntax, UID):
        raise ImageError("unreadable-header", "the file meta group names no transfer syntax")
    return syntax
