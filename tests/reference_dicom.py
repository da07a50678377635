"""The slow, obvious DICOM display chain: pydicom's own steps on whole float images."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut


def displayed(dataset: Dataset) -> NDArray[np.float64]:
    """Return the image as shown, 0 to 255, by pydicom and PS3.3."""
    stored = dataset.pixel_array
    padding = _padding(dataset, stored)
    device = apply_modality_lut(stored, dataset).astype(np.float64)
    if "VOILUTSequence" in dataset:
        item = dataset.VOILUTSequence[0]
        bits = int(item.LUTDescriptor[2])
        shown = apply_voi_lut(device.round().astype(np.int64), dataset) / (2.0**bits - 1)
    elif "WindowWidth" in dataset:
        shown = _windowed(device, dataset)
    else:
        inside = device[~padding]
        shown = (device - inside.min()) / (inside.max() - inside.min())
    inverse = dataset.get("PresentationLUTShape") == "INVERSE"
    if dataset.PhotometricInterpretation == "MONOCHROME1" or inverse:
        shown = 1.0 - shown
    shown[padding] = 0.0
    return np.asarray(np.clip(shown, 0.0, 1.0) * 255.0)


def _windowed(device: NDArray[np.float64], dataset: Dataset) -> NDArray[np.float64]:
    """Let pydicom window into its own output range, and bring that to 0 to 1."""
    with np.errstate(over="ignore"):  # the sigmoid, far from its center
        windowed = apply_voi_lut(device, dataset)
    # The range pydicom maps onto: the stored range, through slope and intercept.
    ends = np.array([0, 2**dataset.BitsStored - 1], dtype=np.float64)
    if dataset.PixelRepresentation:
        ends -= 2 ** (dataset.BitsStored - 1)
    low, high = apply_modality_lut(ends, dataset)
    return np.asarray((windowed - low) / (high - low))


def _padding(dataset: Dataset, stored: NDArray[np.generic]) -> NDArray[np.bool_]:
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.shape, dtype=np.bool_)
    one = dataset.PixelPaddingValue
    other = dataset.get("PixelPaddingRangeLimit", one)
    return np.asarray((stored >= min(one, other)) & (stored <= max(one, other)))
