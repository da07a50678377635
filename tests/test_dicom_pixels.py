"""DICOM files as a viewer shows them: by hand, against pydicom, and on real films."""

import importlib.util
import io
import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hilum.errors import ImageError
from hilum.images import decode_bytes, read_picture
from image_files import (
    BASELINE,
    BIG,
    DEFLATED,
    EXTENDED,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    RLE,
    dicom,
    fragments,
    jpeg,
    jpeg_2000,
    rle,
    sequence,
    texture,
)
from reference_dicom import displayed


def row(*values: int, order: str = "<") -> dict[str, Any]:
    """Return the elements of a 16-bit image of two equal rows."""
    pixels = np.array([values, values])
    kind = f"{order}{'i' if pixels.min() < 0 else 'u'}2"
    return {"Rows": 2, "Columns": len(values), "PixelData": pixels.astype(kind).tobytes()}


def shown(**elements: Any) -> list[int]:
    image = decode_bytes(dicom(**elements))
    np.testing.assert_array_equal(image[0], image[-1])
    return [int(value) for value in image[0]]


# --- worked by hand -----------------------------------------------------------------------------


def test_without_a_window_the_values_in_the_image_fill_the_range() -> None:
    assert shown(**row(100, 150, 200, 300)) == [0, 64, 128, 255]


def test_a_linear_window_is_the_one_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1 with center 100.5, width 11: black up to 95, white above 105.
    elements = row(0, 95, 97, 100, 105, 106, 4000)
    image = shown(WindowCenter="100.5", WindowWidth="11", **elements)
    assert image == [0, 0, 51, 128, 255, 255, 255]


def test_a_linear_window_of_width_1_is_a_threshold() -> None:
    assert shown(WindowCenter="100", WindowWidth="1", **row(0, 99, 100, 4000)) == [0, 0, 255, 255]


def test_an_exact_linear_window_reaches_from_edge_to_edge() -> None:
    elements = row(0, 90, 95, 100, 110, 4000)
    window = {"WindowCenter": "100", "WindowWidth": "20", "VOILUTFunction": "LINEAR_EXACT"}
    assert shown(**window, **elements) == [0, 0, 64, 128, 255, 255]


def test_a_sigmoid_window_is_half_at_its_center() -> None:
    window = {"WindowCenter": "100", "WindowWidth": "40", "VOILUTFunction": "SIGMOID"}
    # 255 / (1 + exp(-4 (x - 100) / 40)) at 80, 90, 100, 110, 120
    assert shown(**window, **row(0, 80, 90, 100, 110, 120, 4000)) == [0, 30, 69, 128, 186, 225, 255]


def test_a_sigmoid_of_the_narrowest_width_does_not_overflow() -> None:
    window = {"WindowCenter": "100", "WindowWidth": "1e-6", "VOILUTFunction": "SIGMOID"}
    assert shown(**window, **row(0, 99, 101, 4000)) == [0, 0, 255, 255]


def test_of_several_windows_the_first_is_taken() -> None:
    elements = row(0, 100, 200, 4000)
    first = shown(WindowCenter="100.5", WindowWidth="201", **elements)
    assert shown(WindowCenter=(100.5, 2000), WindowWidth=(201, 4000), **elements) == first
    assert first == [0, 128, 255, 255]


def test_the_slope_comes_before_the_window() -> None:
    rescale = {"RescaleSlope": "2", "RescaleIntercept": "-1000"}
    window = {"WindowCenter": "0.5", "WindowWidth": "401"}
    assert shown(**rescale, **window, **row(0, 400, 500, 600, 4000)) == [0, 0, 128, 255, 255]


def test_a_negative_slope_turns_the_values_round() -> None:
    rescale = {"RescaleSlope": "-1", "RescaleIntercept": "4095"}
    assert shown(**rescale, **row(0, 1000, 4000)) == [255, 191, 0]


def test_monochrome1_is_inverted_after_the_window() -> None:
    window = {"WindowCenter": "100.5", "WindowWidth": "201"}
    grey = {"PhotometricInterpretation": "MONOCHROME1"}
    assert shown(**grey, **window, **row(0, 50, 200, 4000)) == [255, 191, 0, 0]


def test_presentation_shape_inverse_inverts_once_with_either_photometric() -> None:
    elements = row(0, 1000, 4000)
    plain, turned = [0, 64, 255], [255, 191, 0]
    shape: dict[str, Any] = {"PresentationLUTShape": "INVERSE"}
    assert shown(PresentationLUTShape="IDENTITY", **elements) == plain
    assert shown(**shape, **elements) == turned
    assert shown(**shape, PhotometricInterpretation="MONOCHROME1", **elements) == turned


@pytest.mark.parametrize("grey", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_stretch_the_range(grey: str) -> None:
    image = shown(PixelPaddingValue=0, PhotometricInterpretation=grey, **row(0, 1000, 1400, 2000))
    assert image == ([0, 0, 102, 255] if grey == "MONOCHROME2" else [0, 255, 153, 0])


def test_a_padding_range_is_black_whichever_end_comes_first() -> None:
    elements = row(5, 10, 1000, 2000, 4095)
    for ends in ((0, 10), (10, 0)):
        image = shown(PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1], **elements)
        assert image == [0, 0, 0, 82, 255]


def test_padding_that_no_pixel_can_have_changes_nothing() -> None:
    assert shown(PixelPaddingValue=-2000, **row(0, 1000, 4000)) == [0, 64, 255]


def test_signed_values_keep_their_order_and_negative_padding() -> None:
    elements = row(-2000, -1000, 0, 1000)
    assert shown(PixelRepresentation=1, **elements) == [0, 85, 170, 255]
    assert shown(PixelRepresentation=1, PixelPaddingValue=-2000, **elements) == [0, 0, 128, 255]


def test_bits_outside_the_stored_ones_mean_nothing() -> None:
    values = np.array([0, 1000, 4000])
    low = shown(**row(*(values | 0xA000)))  # an overlay in the upper bits
    high = shown(HighBit=15, **row(*(values << 4 | 0x5)))  # stored bits at the top
    assert low == high == [0, 64, 255]


def voi(entries: list[int], first: int = 0, bits: int = 12, **changes: Any) -> dict[str, Any]:
    item = {
        "LUTDescriptor": (len(entries), first, bits),
        "LUTData": np.array(entries, dtype="<u2").tobytes(),
    }
    return {"VOILUTSequence": sequence(**{**item, **changes})}


def test_a_voi_lut_holds_its_ends_beyond_them() -> None:
    table = voi([0, 4095, 2048], first=10)
    assert shown(**table, **row(0, 10, 11, 12, 4000)) == [0, 0, 255, 128, 128]


def test_a_voi_lut_goes_before_a_window() -> None:
    window = {"WindowCenter": "9", "WindowWidth": "2"}
    assert shown(**voi([4095, 0, 2048]), **window, **row(0, 1, 2)) == [255, 0, 128]


def test_a_voi_lut_of_8_bit_entries_may_be_packed() -> None:
    packed = voi([0] * 3, bits=8, LUTData=bytes([0, 255, 51, 0]))
    assert shown(**packed, **row(0, 1, 2)) == [0, 255, 51]


def test_a_12_bit_voi_lut_that_says_16_bits_is_not_dark() -> None:
    assert shown(**voi([0, 2048, 4095], bits=16), **row(0, 1, 2)) == [0, 128, 255]


def test_a_voi_lut_may_start_below_zero() -> None:
    table = voi([0, 1024, 4095], first=-1)
    signed = {"PixelRepresentation": 1, **row(-2000, -1, 0, 1)}
    assert shown(**table, **signed) == [0, 0, 64, 255]


def test_a_modality_lut_comes_before_the_rest() -> None:
    table = {"ModalityLUTSequence": voi([4000, 0, 1000])["VOILUTSequence"]}
    assert shown(**table, **row(0, 1, 2)) == [255, 0, 64]


def test_colour_is_shown_as_luma() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[:, 0], pixels[:, 1], pixels[:, 2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    eight: dict[str, Any] = {
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "SamplesPerPixel": 3,
    }
    grey = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "Rows": 2, "Columns": 3}
    assert shown(**eight, **grey, PixelData=pixels.tobytes()) == [76, 150, 29]


# --- every transfer syntax ----------------------------------------------------------------------

TWELVE = texture(high=4096)
EXPECTED = decode_bytes(dicom())
STREAMS = {
    "big endian": dicom(BIG),
    "deflated": dicom(DEFLATED),
    "RLE": dicom(RLE, PixelData=fragments(rle())),
    "JPEG 2000": dicom(JPEG_2000, PixelData=fragments(jpeg_2000())),
    "JPEG 2000 lossless": dicom(JPEG_2000_LOSSLESS, PixelData=fragments(jpeg_2000())),
    "two fragments": dicom(RLE, PixelData=fragments(rle()[:80], rle()[80:])),
}


@pytest.mark.parametrize("data", STREAMS.values(), ids=list(STREAMS))
def test_every_lossless_syntax_gives_the_same_image(data: bytes) -> None:
    np.testing.assert_array_equal(decode_bytes(data), EXPECTED)


def test_big_endian_8_bit_words_are_unswapped() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    eight: dict[str, Any] = {
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "Rows": 8,
        "Columns": 8,
    }
    words = pixels.view("<u2").astype(">u2").tobytes()
    np.testing.assert_array_equal(
        decode_bytes(dicom(BIG, **eight, PixelData=words)),
        decode_bytes(dicom(**eight, PixelData=pixels.tobytes())),
    )


@pytest.mark.parametrize("syntax", [BASELINE, EXTENDED])
def test_a_lossy_jpeg_film_is_the_jpeg(syntax: str) -> None:
    eight: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    window: dict[str, Any] = {"WindowCenter": "128", "WindowWidth": "256"}
    data = dicom(syntax, **eight, **window, PixelData=fragments(jpeg()))
    np.testing.assert_array_equal(decode_bytes(data), decode_bytes(jpeg()))


def test_pixels_beyond_their_declared_bits_are_refused() -> None:
    wide = jpeg_2000(texture(high=4096), bits=12)
    data = dicom(JPEG_2000, BitsStored=10, HighBit=9, PixelData=fragments(wide))
    with pytest.raises(ImageError, match=r"10 unsigned bits .* from 0 to 4095 \[header-mismatch\]"):
        decode_bytes(data)


# --- against pydicom, over a grid of attributes -------------------------------------------------

SIGNS = [{"PixelRepresentation": 0}, {"PixelRepresentation": 1}]
DEPTHS = [
    {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    {"BitsStored": 10, "HighBit": 9},
    {"BitsStored": 12, "HighBit": 11},
    {"BitsStored": 16, "HighBit": 15},
]
RESCALES = [
    {},
    {"RescaleSlope": "1.5", "RescaleIntercept": "-100"},
    {"RescaleSlope": "-0.25", "RescaleIntercept": "7"},
]
WINDOWS = [
    {},
    {"WindowCenter": "40", "WindowWidth": "80"},
    {"WindowCenter": "20.5", "WindowWidth": "1"},
    {"WindowCenter": "40", "WindowWidth": "60", "VOILUTFunction": "LINEAR_EXACT"},
    {"WindowCenter": "10", "WindowWidth": "200", "VOILUTFunction": "SIGMOID"},
]
INVERSIONS = [
    {},
    {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
]
PADDINGS = [{}, {"PixelPaddingValue": 3}, {"PixelPaddingValue": 3, "PixelPaddingRangeLimit": 40}]
GRID = list(itertools.product(SIGNS, DEPTHS, RESCALES, WINDOWS, INVERSIONS, PADDINGS))


def stored_pixels(bits: int, allocated: int, signed: int) -> bytes:
    values = texture(high=2**bits).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
    return values.astype(f"<{'i' if signed else 'u'}{allocated // 8}").tobytes()


def test_the_chain_is_that_of_pydicom_over_a_grid_of_attributes() -> None:
    assert len(GRID) == 720
    for parts in GRID:
        elements: dict[str, Any] = {"BitsAllocated": 16}
        for part in parts:
            elements |= part
        bits, sign = elements["BitsStored"], elements["PixelRepresentation"]
        data = dicom(**elements, PixelData=stored_pixels(bits, elements["BitsAllocated"], sign))
        expected = displayed(pydicom.dcmread(io.BytesIO(data)))
        assert np.abs(decode_bytes(data) - expected).max() <= 0.5 + 1e-6, elements


@given(
    entries=st.lists(st.integers(0, 4095), min_size=2, max_size=300).filter(
        lambda entries: max(entries) > 1023 and min(entries) < max(entries)
    ),
    first=st.integers(0, 3000),
)
def test_any_voi_lut_is_that_of_pydicom(entries: list[int], first: int) -> None:
    data = dicom(**voi(entries, first=first))
    expected = displayed(pydicom.dcmread(io.BytesIO(data)))
    assert np.abs(decode_bytes(data) - expected).max() <= 0.5 + 1e-6


# --- real files ---------------------------------------------------------------------------------


def real_file(name: str) -> Path:
    """Return a file of pydicom-data or of pydicom itself; nothing is downloaded."""
    for package, folder in (("data_store", "data"), ("pydicom", "data/test_files")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / folder / name
            if path.is_file():
                return path
    pytest.skip(f"{name} not found: install pydicom-data")


@pytest.mark.parametrize("name", ["RG1", "RG3"])
def test_a_real_monochrome1_film_is_what_pydicom_shows_inverted(name: str) -> None:
    path = real_file(f"{name}_UNCR.dcm")
    dataset = pydicom.dcmread(path)
    assert dataset.PhotometricInterpretation == "MONOCHROME1"
    assert np.abs(decode_bytes(path.read_bytes()) - displayed(dataset)).max() <= 0.5 + 1e-6


def test_a_real_monochrome1_film_worked_by_hand() -> None:
    """RG3 has center 550, width 1024 and 10 stored bits.

    A stored value x is shown as 255 (1 - ((x - 549.5) / 1023 + 0.5)).
    """
    path = real_file("RG3_UNCR.dcm")
    stored = pydicom.dcmread(path).pixel_array
    image = decode_bytes(path.read_bytes())
    for value in np.unique(stored)[::50]:
        by_hand = 255 * (1 - ((int(value) - 549.5) / 1023 + 0.5))
        found = np.unique(image[stored == value])
        assert len(found) == 1
        assert abs(found[0] - min(max(by_hand, 0), 255)) <= 0.5


@pytest.mark.parametrize("name", ["RG1", "RG3"])
def test_real_films_are_the_same_in_jpeg_2000(name: str) -> None:
    raw = decode_bytes(real_file(f"{name}_UNCR.dcm").read_bytes())
    packed = decode_bytes(real_file(f"{name}_J2KR.dcm").read_bytes())
    np.testing.assert_array_equal(raw, packed)
    lossy = decode_bytes(real_file(f"{name}_J2KI.dcm").read_bytes())
    assert np.abs(lossy.astype(int) - raw).mean() < 2.0


SAME = ["implicit", "bigendian", "RLE", "jp2klossless", "jpeg_ls_lossless"]


@pytest.mark.parametrize("kind", SAME)
def test_a_real_image_is_the_same_in_every_syntax(kind: str) -> None:
    plain = read_picture(real_file("MR_small.dcm"), 64)
    np.testing.assert_array_equal(
        read_picture(real_file(f"MR_small_{kind}.dcm"), 64).pixels, plain.pixels
    )


REAL = [
    "693_UNCR.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "MR-SIEMENS-DICOM-WithOverlays.dcm", "examples_overlay.dcm", "image_dfl.dcm", "JPEG-LL.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_images_are_what_pydicom_shows(name: str) -> None:
    path = real_file(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected: NDArray[np.float64] = displayed(pydicom.dcmread(path))
    assert np.abs(decode_bytes(path.read_bytes()) - expected).max() <= 0.5 + 1e-6


COLOUR = ["", "_rle", "_gdcm_KY", "_jpeg_dcmtk"]


@pytest.mark.parametrize("kind", COLOUR)
def test_real_colour_is_luma_in_every_syntax(kind: str) -> None:
    plain = decode_bytes(real_file("SC_rgb.dcm").read_bytes()).astype(int)
    image = decode_bytes(real_file(f"SC_rgb{kind}.dcm").read_bytes())
    assert np.abs(image - plain).max() <= 2


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jls_lossy_line.dcm"])
def test_colour_is_refused_where_its_decoder_can_end_the_process(name: str) -> None:
    with pytest.raises(ImageError, match=r"transfer syntax .* JPEG.*\[unsupported\]"):
        decode_bytes(real_file(name).read_bytes())


def test_a_real_chest_film_has_dark_lungs_and_a_bright_spine() -> None:
    """RG1 is MONOCHROME1: air has the largest stored values and must come out dark."""
    picture = read_picture(real_file("RG1_UNCR.dcm"), 384).pixels
    lung, spine, air = picture[60:100, 90:130], picture[150:250, 185:205], picture[12:20, 20:50]
    assert max(lung.mean(), air.mean()) + 50 < spine.mean()


def test_a_12_bit_lossy_jpeg_is_refused_because_no_decoder_reads_it() -> None:
    with pytest.raises(ImageError, match=r"lossy JPEG of 12 bits; expected 8 \[unsupported\]"):
        decode_bytes(real_file("JPGExtended.dcm").read_bytes())


def test_a_file_cut_inside_its_fragments_is_truncated() -> None:
    data = real_file("emri_small_jpeg_2k_lossless_too_short.dcm").read_bytes()
    with pytest.raises(ImageError, match=r"ends inside its pixels \[truncated\]"):
        decode_bytes(data)


# --- damaged streams ----------------------------------------------------------------------------

STREAM_KINDS = ["RLE", "JPEG 2000", "JPEG 2000 lossless"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_damaged_streams_raise_nothing_but_image_errors(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(STREAMS[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(len(damaged) // 3, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        image = decode_bytes(bytes(damaged))
    except ImageError:
        return
    assert image.shape == EXPECTED.shape
