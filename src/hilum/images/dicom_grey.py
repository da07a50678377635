"""Stored values -> the grey a viewer shows: the chain of PS3.4, annex N.2, as one table.

Every step works on single values, and there are at most 65,536 of them, so the chain is worked
out once per possible value and looked up per pixel.

1. Modality LUT, or slope and intercept (PS3.3, C.11.1).
2. VOI LUT, else window (C.11.2); with neither, the range from the smallest to the largest
   value in the image, padding aside.
3. Inversion for MONOCHROME1 (C.7.6.3.1.2) or PresentationLUTShape INVERSE (C.11.6).
4. Padding (C.7.5.1.1.2) becomes black, the colour around the image.

Where there are several LUTs or windows they are alternatives for a reader to choose from
(C.11.2.1.1 and .2); the first is taken. A LUT goes before a window, because a vendor who
writes both says more with the curve than with the line.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from hilum.errors import ImageError
from hilum.images.dicom_header import (
    Layout,
    bad_value,
    integer_of,
    number_of,
    numbers_of,
    value_of,
)
from hilum.images.dicom_lut import first_lut

Floats = NDArray[np.float64]

_BLOCK: Final = 2**20  # pixels looked up at a time: numpy widens an index to 8 bytes


def to_grey(stored: NDArray[np.uint16], dataset: Dataset, layout: Layout) -> NDArray[np.uint8]:
    """Return the image as shown: 0 black, 255 white.

    Parameters
    ----------
    stored : (rows, columns)
        Counted from the lowest value that the stored bits can hold.
    dataset, layout
        What the file declares.

    Raises
    ------
    ImageError
        ``bad-value`` for a number or table that cannot be used, ``blank`` if all is padding.
    """
    padding = _padding(dataset, layout)
    values = _modality(dataset, layout)  # one per possible stored value
    lut, window = first_lut(dataset, "VOILUTSequence", signed=values.min() < 0), _window(dataset)
    if lut is not None:
        shown = lut.shown(values)
    elif window is not None:
        center, width, function = window
        shown = _WINDOWS[function](values, center, width)
    else:
        shown = _stretched(values, _present(stored, padding, len(values)))
    if _is_inverse(dataset, layout):
        shown = 1.0 - shown
    table = np.rint(shown * 255.0).astype(np.uint8)
    table[padding] = 0
    return _looked_up(table, stored)


def _modality(dataset: Dataset, layout: Layout) -> Floats:
    """Return what each possible stored value means to the device (PS3.3, C.11.1)."""
    values = np.arange(1 << layout.stored, dtype=np.float64) + layout.lowest
    lut = first_lut(dataset, "ModalityLUTSequence", signed=layout.signed)
    if lut is not None:
        return lut(values)
    slope, intercept = number_of(dataset, "RescaleSlope"), number_of(dataset, "RescaleIntercept")
    if (slope is None) != (intercept is None):
        # C.11.1: each is required if the other is there; one alone cannot be completed.
        raise bad_value("RescaleSlope", "and RescaleIntercept must be present together")
    if slope is None or intercept is None:
        return values
    if slope == 0.0:
        raise bad_value("RescaleSlope", "is 0")
    return values * slope + intercept


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """Return center, width and function of the first window (PS3.3, C.11.2.1.2)."""
    centers, widths = numbers_of(dataset, "WindowCenter"), numbers_of(dataset, "WindowWidth")
    if len(centers) != len(widths):
        raise bad_value("WindowCenter", f"has {len(centers)} values and WindowWidth {len(widths)}")
    if not centers:
        return None
    function = str(value_of(dataset, "VOILUTFunction") or "LINEAR")  # C.11.2.1.3: the default
    if function not in _WINDOWS:
        raise bad_value("VOILUTFunction", f"is none of {', '.join(_WINDOWS)}")
    width = widths[0]
    if width <= 0.0 or (function == "LINEAR" and width < 1.0):  # C.11.2.1.2.1 and C.11.2.1.3.1
        least = "at least 1" if function == "LINEAR" else "above 0"
        raise bad_value("WindowWidth", f"is {width:g}; {function} needs it {least}")
    return centers[0], width, function


def _linear(values: Floats, center: float, width: float) -> Floats:
    # C.11.2.1.2.1; a width of 1 is a threshold.
    if width == 1.0:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _linear_exact(values: Floats, center: float, width: float) -> Floats:
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)  # C.11.2.1.3.2


def _sigmoid(values: Floats, center: float, width: float) -> Floats:
    exponent = np.clip(-4.0 * (values - center) / width, -700.0, 700.0)  # exp(710) overflows
    return np.asarray(1.0 / (1.0 + np.exp(exponent)))  # C.11.2.1.3.1


_WINDOWS: Final = {"LINEAR": _linear, "LINEAR_EXACT": _linear_exact, "SIGMOID": _sigmoid}


def _present(stored: NDArray[np.uint16], padding: slice, count: int) -> NDArray[np.bool_]:
    present = np.zeros(count, dtype=np.bool_)
    for block in _blocks(stored):
        present[block] = True
    present[padding] = False
    if not present.any():
        raise ImageError("blank", "every pixel is padding")
    return present


def _stretched(values: Floats, present: NDArray[np.bool_]) -> Floats:
    low, high = values[present].min(), values[present].max()
    return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0))


def _is_inverse(dataset: Dataset, layout: Layout) -> bool:
    shape = value_of(dataset, "PresentationLUTShape")
    if shape not in (None, "IDENTITY", "INVERSE"):
        raise bad_value("PresentationLUTShape", "is neither IDENTITY nor INVERSE")
    # C.8.11.3: INVERSE goes with MONOCHROME1 and says the same, so the two invert once.
    return layout.photometric == "MONOCHROME1" or shape == "INVERSE"


def _padding(dataset: Dataset, layout: Layout) -> slice:
    """Return the stored values that are padding, as positions in the table (C.7.5.1.1.2)."""
    # Written as US or SS; a file that says SS of unsigned pixels means the same 16 bits.
    ends = [
        integer_of(dataset, keyword, -(2**15), 2**16 - 1)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    ]
    if ends[0] is None:
        return slice(0, 0)
    bits = 1 << layout.allocated
    limits = sorted(ends[0] if end is None else end for end in ends)
    if not (-bits // 2 <= limits[0] and limits[1] < bits):
        raise bad_value(
            "PixelPaddingValue", f"is beyond what {layout.allocated} allocated bits can hold"
        )
    first, last = (_as_stored(limit, layout) - layout.lowest for limit in limits)
    if last < 0 or first >= 1 << layout.stored:
        return slice(0, 0)  # no pixel can have it
    return slice(max(first, 0), last + 1)


def _as_stored(value: int, layout: Layout) -> int:
    if not layout.signed and value < 0:
        return value + (1 << layout.allocated)
    if layout.signed and value >= 1 << (layout.allocated - 1):
        return value - (1 << layout.allocated)
    return value


def _blocks(stored: NDArray[np.uint16]) -> list[NDArray[np.uint16]]:
    flat = stored.reshape(-1)
    return [flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK)]


def _looked_up(table: NDArray[np.uint8], stored: NDArray[np.uint16]) -> NDArray[np.uint8]:
    out = np.empty(stored.size, dtype=np.uint8)
    position = 0
    for block in _blocks(stored):
        out[position : position + block.size] = table[block]
        position += block.size
    return out.reshape(stored.shape)
