"""Files into squares: formats, depths, faults."""

import contextlib
import hashlib
import io
import logging
import os
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from corpus import BadFile, bad_files
from hilum.errors import ImageError
from hilum.images import Budget, decode_bytes, read_picture
from hilum.images.files import inflated_length
from hilum.images.png import real_depth
from image_files import DEFLATED, HEIGHT, WIDTH, chunk, dicom, jpeg, png, texture

GREY = texture().astype(np.uint8)


# --- PNG ----------------------------------------------------------------------------------------


def as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_every_colour_type_of_a_grey_png_is_the_same_image(mode: str) -> None:
    image = Image.fromarray(GREY)
    if mode == "P":  # an identity palette, as a palette of greys is written
        image.putpalette([value for value in range(256) for _ in range(3)])
    else:
        image = image.convert(mode)
    assert image.mode == mode
    np.testing.assert_array_equal(decode_bytes(as_png(image)), GREY)


def test_a_1_bit_png_is_black_and_white() -> None:
    bits = GREY > 127
    np.testing.assert_array_equal(decode_bytes(as_png(Image.fromarray(bits))), bits * np.uint8(255))


def test_an_interlaced_png_is_the_same_image() -> None:
    lines = b"".join(
        b"\0" + GREY[y::dy, x::dx].tobytes()[i * w : (i + 1) * w]
        for x, y, dx, dy in [
            (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
            (0, 1, 1, 2),
        ]
        for w in [len(range(x, WIDTH, dx))]
        for i in range(len(range(y, HEIGHT, dy)))
    )  # fmt: skip
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 1)
    data = png()[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines))
    np.testing.assert_array_equal(decode_bytes(data + chunk(b"IEND", b"")), GREY)


def test_colour_becomes_luma() -> None:
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[0], colour[1], colour[2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    shown = decode_bytes(png(colour, colour=2))
    assert shown[:, 0].tolist() == [76, 150, 29, 0]  # 0.299, 0.587, 0.114


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_16_bit_png_uses_its_real_depth(bits: int) -> None:
    pixels = texture(high=2**bits)
    shown = decode_bytes(png(pixels, depth=16))
    np.testing.assert_array_equal(shown, np.rint(pixels * (255 / (2**bits - 1))).astype(np.uint8))
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_12_bits_in_a_16_bit_png_of_any_colour_type_do_not_come_out_black(colour: int) -> None:
    pixels = texture(high=4096)
    layers = {
        2: [pixels] * 3,
        4: [pixels, pixels * 0 + 65_535],
        6: [pixels] * 3 + [pixels * 0 + 65_535],
    }
    shown = decode_bytes(png(np.dstack(layers[colour]), colour=colour, depth=16))
    np.testing.assert_array_equal(shown, decode_bytes(png(pixels, depth=16)))


@given(st.integers(0, 65_535))
@example(256)
@example(1024)
@example(4096)
@example(16_384)
def test_the_real_depth_is_the_smallest_that_holds_the_largest_sample(largest: int) -> None:
    depth = real_depth(largest)
    assert depth in (8, 10, 12, 14, 16)
    assert largest < 2**depth
    assert depth == 8 or largest >= 2 ** (depth - 2)


@pytest.mark.parametrize(("depth", "opaque"), [(8, 255), (16, 65_535)])
def test_a_transparent_pixel_lies_over_black(depth: int, opaque: int) -> None:
    pixels = np.full((2, 3), opaque)
    alpha = np.array([[0, opaque // 5, opaque], [opaque] * 3])
    shown = decode_bytes(png(np.dstack([pixels, alpha]), colour=4, depth=depth))
    assert shown.tolist() == [[0, 51, 255], [255, 255, 255]]


def test_comments_and_damaged_profiles_in_a_png_are_left_alone() -> None:
    freight = chunk(b"tEXt", b"Comment\0Jane Doe") + chunk(b"iCCP", b"x\0\0not zlib")
    np.testing.assert_array_equal(decode_bytes(png(extra=freight)), GREY)


def test_real_rgba_films_are_read_as_their_grey(data_dir: Path) -> None:
    films = sorted((data_dir / "nih-originals").glob("*.png"))
    modes = set()
    for film in films:
        with Image.open(film) as image:
            modes.add(image.mode)
            expected = np.array(image.convert("L"))
        np.testing.assert_array_equal(decode_bytes(film.read_bytes()), expected)
    assert modes == {"L", "RGBA"}


# --- JPEG ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_grey_jpeg_is_what_pillow_decodes(options: dict[str, Any]) -> None:
    data = jpeg(**options)
    np.testing.assert_array_equal(decode_bytes(data), np.array(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(("mode", "off"), [("RGB", 2), ("CMYK", 16)])
def test_a_grey_picture_in_a_colour_jpeg_stays_grey(mode: str, off: int) -> None:
    shown = decode_bytes(jpeg(mode=mode))
    assert np.abs(shown.astype(int) - decode_bytes(jpeg())).max() <= off


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation: int, order: str) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    plain = jpeg()
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]
    with Image.open(io.BytesIO(data)) as image:
        expected = np.array(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode_bytes(data), expected)


@pytest.mark.parametrize("junk", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", bytes(40)])
def test_exif_that_makes_no_sense_is_upright(junk: bytes) -> None:
    plain = jpeg()
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(junk) + 2) + junk + plain[2:]
    np.testing.assert_array_equal(decode_bytes(data), decode_bytes(plain))


# --- the picture --------------------------------------------------------------------------------


def test_a_picture_carries_the_hash_and_length_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "film"  # no suffix: the content decides
    path.write_bytes(png())
    picture = read_picture(path, 20)
    assert picture.sha256 == hashlib.sha256(png()).hexdigest()
    assert picture.file_bytes == len(png())
    assert picture.pixels.shape == (20, 20)
    assert picture.pixels.dtype == np.uint8
    assert (picture.geometry.width, picture.geometry.height) == (WIDTH, HEIGHT)


def chexzero_reference(data: bytes, side: int = 320) -> NDArray[np.uint8]:
    """What CheXzero's preprocessing does, from its description, with its own libraries."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    image = Image.fromarray(np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)))
    ratio = float(side) / max(image.size)
    new = tuple([int(x * ratio) for x in image.size])
    image = image.resize((new[0], new[1]), Image.Resampling.LANCZOS)
    canvas = Image.new("L", (side, side))
    canvas.paste(image, ((side - new[0]) // 2, (side - new[1]) // 2))
    return np.array(canvas)


@pytest.mark.parametrize(("width", "height"), [(390, 320), (1077, 500), (333, 471), (320, 320)])
def test_chexzero_pixels_are_those_of_its_own_way(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(png(texture(width, height)))
    picture = read_picture(path, resize="chexzero")
    np.testing.assert_array_equal(picture.pixels, chexzero_reference(path.read_bytes()))


# --- faults -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[BadFile]:
    return bad_files(tmp_path_factory.mktemp("corpus"))


def test_the_corpus_is_large_and_its_faults_are_many(corpus: list[BadFile]) -> None:
    assert len(corpus) >= 140
    assert len({bad.path for bad in corpus}) == len(corpus)
    assert len({bad.reason for bad in corpus}) == 20


def test_every_bad_file_gives_its_error_and_nothing_else(corpus: list[BadFile]) -> None:
    wrong = []
    for bad in corpus:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(ImageError, match=bad.match) as error:
                read_picture(bad.path)
        if error.value.reason != bad.reason or caught or error.value.__cause__:
            wrong.append((bad.path.name, error.value.reason, caught))
    assert not wrong


def test_no_message_names_the_file_or_the_patient(corpus: list[BadFile]) -> None:
    for bad in corpus:
        with pytest.raises(ImageError) as error:
            read_picture(bad.path)
        secrets = ("Doe", "SECRET", bad.path.name, str(bad.path.parent))
        assert not any(secret in str(error.value) for secret in secrets)


def test_bad_files_cost_little_memory(corpus: list[BadFile]) -> None:
    limit = 24 * 2**20  # the bombs would take gigabytes; the largest honest file takes kilobytes
    for bad in corpus:
        tracemalloc.start()
        with pytest.raises(ImageError):
            read_picture(bad.path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit, bad.path.name


def test_a_deflated_bomb_is_refused_by_the_budget() -> None:
    data = dicom(DEFLATED, PixelData=bytes(4 * 2**20))
    assert len(data) < 20_000
    with pytest.raises(ImageError, match=r"inflates to more than 1,048,576 bytes \[bomb\]"):
        decode_bytes(data, Budget(file_bytes=2**20))


def test_a_bomb_is_inflated_no_further_than_its_limit() -> None:
    length, complete = inflated_length(zlib.compress(bytes(64 * 2**20)), 2**20)
    assert 2**20 < length <= 2 * 2**20
    assert not complete


def test_the_budget_decides_what_is_too_large() -> None:
    assert decode_bytes(png(), Budget(pixels=WIDTH * HEIGHT)).shape == (HEIGHT, WIDTH)
    for data in (png(), jpeg(), dicom()):
        with pytest.raises(ImageError, match=r"40 × 32 pixels, more than the 1,279 .*too-large"):
            decode_bytes(data, Budget(pixels=WIDTH * HEIGHT - 1))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_locked_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(png())
    path.chmod(0)
    with pytest.raises(ImageError, match=r"cannot be opened: Permission denied \[unreadable\]"):
        read_picture(path)


def test_a_path_with_a_null_byte_is_unreadable() -> None:
    with pytest.raises(ImageError, match=r"its name is not a valid path \[unreadable\]"):
        read_picture(Path("a\0b.png"))


# A seeded fuzz. Faults in checksummed bytes must be found; the others may give a picture.


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.parametrize(
    "whole",
    [png(), png(texture(high=4096), depth=16), jpeg(), jpeg(progressive=True), dicom(),
     dicom(DEFLATED)],
    ids=["png", "png-16", "jpeg", "jpeg-progressive", "dicom", "dicom-deflated"],
)  # fmt: skip
def test_damaged_files_raise_nothing_but_image_errors(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    try:
        shown = decode_bytes(bytes(damaged[:cut]), Budget(pixels=10**6, file_bytes=10**6))
    except ImageError:
        return
    assert shown.dtype == np.uint8
    assert shown.ndim == 2


@given(cut=st.integers(0, len(png()) - 1))
def test_a_png_cut_anywhere_is_never_a_picture(cut: int) -> None:
    with pytest.raises(ImageError):
        decode_bytes(png()[:cut])


@given(cut=st.integers(0, len(jpeg()) - 1))
def test_a_jpeg_cut_anywhere_is_never_a_picture(cut: int) -> None:
    with pytest.raises(ImageError):
        decode_bytes(jpeg()[:cut])


@given(position=st.integers(8, len(png()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_png_is_never_a_picture(position: int, bit: int) -> None:
    damaged = bytearray(png())
    damaged[position] ^= 1 << bit
    with pytest.raises(ImageError):
        decode_bytes(bytes(damaged))


def test_nothing_of_a_damaged_dicom_file_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Where a length or VR is wrong, pydicom quotes the rest of the file."""
    whole = dicom()
    for at in range(132, 400):
        with contextlib.suppress(ImageError):
            decode_bytes(whole[:at] + b"\xee" + whole[at + 1 :])
    assert not caplog.records


def test_pydicom_speaks_again_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    decode_bytes(dicom())
    logging.getLogger("pydicom").warning("heard")
    assert [record.message for record in caplog.records] == ["heard"]


def test_importing_images_does_not_import_torch() -> None:
    code = "import sys, hilum.images; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
