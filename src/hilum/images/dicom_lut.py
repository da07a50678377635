"""Lookup tables in DICOM data sets: modality (PS3.3, C.11.1.1) and VOI (C.11.2.1.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from hilum.errors import ImageError
from hilum.images.dicom_header import bad_value, numbers_of, value_of

_DEPTHS: Final = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class Lut:
    """One table: `entries[0]` is for `first` and all below, the last for all above."""

    first: int
    entries: NDArray[np.float64]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Look values up; those beyond either end get the entry at that end."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.int64)])

    def shown(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Look values up as grey from 0 to 1.

        The declared depth is not always true: tables of 12-bit entries declared as 16 bits
        exist, and would show nearly black. The smallest of 8, 10, 12, 14 and 16 bits that
        holds the largest entry counts.
        """
        largest = self.entries.max()
        depth = next(bits for bits in _DEPTHS if largest < 2**bits)
        return self(values) / (2.0**depth - 1.0)


def first_lut(dataset: Dataset, sequence: str, *, signed: bool) -> Lut | None:
    """Return the first table of a LUT sequence, or None if there is none.

    Parameters
    ----------
    dataset
        Holds the sequence.
    sequence
        ``"ModalityLUTSequence"`` or ``"VOILUTSequence"``.
    signed
        Whether what goes into the table can be negative: the first value mapped is then read
        as signed, whatever VR it was written with.

    Raises
    ------
    ImageError
        ``bad-value`` if the descriptor and the data do not make a table.
    """
    items = value_of(dataset, sequence)
    if items is None:
        return None
    if not isinstance(items, Sequence) or not isinstance(items[0], Dataset):
        raise bad_value(sequence, "is not a sequence of items")
    count, first, bits = _descriptor(items[0], signed=signed)
    entries = _entries(items[0], count, bits, big_endian=not _is_little(dataset))
    if entries.min() == entries.max():
        raise bad_value("LUTData", "maps everything to one value")
    return Lut(first, entries)


def _is_little(dataset: Dataset) -> bool:
    return dataset.original_encoding[1] is not False


def _descriptor(item: Dataset, *, signed: bool) -> tuple[int, int, int]:
    numbers = numbers_of(item, "LUTDescriptor")
    if len(numbers) != 3 or not all(number.is_integer() for number in numbers):
        raise bad_value("LUTDescriptor", f"has {len(numbers)} values; expected 3 whole numbers")
    # All three are written with one VR, signed or not, so each is brought to its own meaning;
    # 0 entries stands for 65,536.
    count, first, bits = (int(number) & 0xFFFF for number in numbers)
    if signed and first >= 2**15:
        first -= 2**16
    if not 8 <= bits <= 16:
        raise bad_value("LUTDescriptor", f"declares {bits} bits; expected 8 to 16")
    return count or 2**16, first, bits


def _entries(item: Dataset, count: int, bits: int, *, big_endian: bool) -> NDArray[np.float64]:
    data = value_of(item, "LUTData")
    found = _from_words(data, count, big_endian) if isinstance(data, bytes) else _from_list(data)
    if len(found) != count:
        raise bad_value("LUTData", f"has {len(found):,} entries; its descriptor says {count:,}")
    if found.max() >= 2**bits:
        raise bad_value("LUTData", f"reaches {int(found.max())}, beyond its {bits} bits")
    return found.astype(np.float64)


def _from_words(data: bytes, count: int, big_endian: bool) -> NDArray[Any]:
    if len(data) in (count, count + count % 2):  # 8-bit entries, two to a word
        return np.frombuffer(data, dtype=np.uint8)[:count]
    if len(data) % 2:
        raise bad_value("LUTData", f"has an odd length, {len(data):,}")
    return np.frombuffer(data, dtype=">u2" if big_endian else "<u2")


def _from_list(data: Any) -> NDArray[Any]:
    values = data if isinstance(data, Sequence) else (data,)
    if not all(isinstance(value, int) for value in values):
        raise ImageError("bad-value", "LUTData (0028,3006) is missing or not made of numbers")
    return np.array([value & 0xFFFF for value in values], dtype=np.uint16)
