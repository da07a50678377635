"""Images in colour: read, stored, shown and encoded; and grey ones are what they always were."""

import io
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from array_pretraining import pretrain_pixels
from hilum.cli import app
from hilum.collection import Collection, open_collection
from hilum.collection.summary import summarise
from hilum.decoding import pack, unpack
from hilum.embed import embed
from hilum.encoders import random_encoder
from hilum.encoders.classifier import corners
from hilum.encoders.image import check_pixels, to_input
from hilum.errors import CollectionError, ImageError, UsageError
from hilum.export import export
from hilum.images import Channels, Resize, decode_bytes, read_picture, to_square
from hilum.ingest import ingest
from hilum.retrieve import retrieve
from hilum.sheet import contact_sheet
from hilum.training import views
from hilum.training.feed import feed_of, resident, shrink
from hilum.training.views import ViewSettings
from image_files import png, texture
from small_source import small_source
from trees_sources import dataset

RNG = np.random.default_rng(5)
Pixels = NDArray[np.uint8]
CHANNELS: tuple[Channels, ...] = get_args(Channels)


def smooth(height: int = 24, width: int = 32, seed: int = 0) -> Pixels:
    """Return a smooth colour image, so that a JPEG keeps it."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def as_colour(grey: Pixels) -> Pixels:
    return np.repeat(grey[..., None], 3, axis=-1)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


# ------------------------------------------------------------------------ files


def test_a_colour_png_keeps_every_value() -> None:
    shown = RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_bytes(png(shown, colour=2), channels=3), shown)


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_a_png_without_colour_has_three_equal_channels(mode: str) -> None:
    data = encoded(Image.fromarray(texture().astype(np.uint8)).convert(mode), "PNG")
    np.testing.assert_array_equal(decode_bytes(data, channels=3), as_colour(decode_bytes(data)))


def test_transparent_pixels_lie_over_black() -> None:
    shown = np.zeros((2, 2, 4), np.uint8)
    shown[0, 0] = (200, 100, 50, 255)
    shown[0, 1] = (200, 100, 50, 128)
    out = decode_bytes(png(shown, colour=6), channels=3)
    np.testing.assert_array_equal(out[0], [[200, 100, 50], [100, 50, 25]])
    assert not out[1].any()


def test_sixteen_bits_become_eight_by_the_depth_that_is_used() -> None:
    deep = RNG.integers(0, 4096, (5, 6, 3)).astype(np.uint16)
    deep[0, 0, 0] = 4095
    out = decode_bytes(png(deep, colour=2, depth=16), channels=3)
    np.testing.assert_allclose(out, deep / 4095 * 255, atol=0.51)


def test_a_colour_jpeg_is_upright_and_close() -> None:
    shown = smooth()
    turned = Image.fromarray(shown).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    data = encoded(turned, "JPEG", quality=98, subsampling=0, exif=exif)
    out = decode_bytes(data, channels=3)
    assert out.shape == shown.shape
    assert np.abs(out.astype(int) - shown).mean() < 3


def test_a_grey_jpeg_has_three_equal_channels() -> None:
    data = encoded(Image.fromarray(texture().astype(np.uint8)), "JPEG")
    np.testing.assert_array_equal(decode_bytes(data, channels=3), as_colour(decode_bytes(data)))


def test_a_jpeg_that_ends_in_filler_is_refused_in_colour_too() -> None:
    shown = smooth(32, 32)
    shown[-16:, -16:] = 128
    with pytest.raises(ImageError, match="flat mid-grey"):
        decode_bytes(encoded(Image.fromarray(shown), "JPEG", quality=100), channels=3)


@pytest.mark.parametrize("colour", [False, True])
def test_dicom_gives_what_it_holds(colour: bool) -> None:
    shown = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    held = shown if colour else shown[..., 0]
    made = dataset("1.2.3", Rows=6, Columns=8)
    made.SamplesPerPixel, made.PhotometricInterpretation = (
        (3, "RGB") if colour else (1, "MONOCHROME2")
    )
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    if colour:
        made.PlanarConfiguration = 0
    made.PixelData = held.tobytes()
    body = io.BytesIO()
    made.save_as(body, enforce_file_format=True)
    out = decode_bytes(body.getvalue(), channels=3)
    expected = shown if colour else as_colour(decode_bytes(body.getvalue()))
    np.testing.assert_array_equal(out, expected)


def test_two_channels_are_none() -> None:
    with pytest.raises(UsageError, match=r"an image has 1 channel \(grey\) or 3 \(colour\), not 2"):
        decode_bytes(png(), channels=2)  # type: ignore[arg-type]


# ------------------------------------------------------------------------ squares


@pytest.mark.parametrize("resize", ["area", "chexzero"])
def test_each_channel_is_resized_as_a_grey_image_is(resize: Resize) -> None:
    shown = smooth(20, 33)
    square, place = to_square(shown, 16, resize)
    assert square.shape == (16, 16, 3)
    for channel in range(3):
        grey, other = to_square(np.ascontiguousarray(shown[..., channel]), 16, resize)
        np.testing.assert_array_equal(square[..., channel], grey)
        assert other == place


def test_one_colour_all_over_is_blank() -> None:
    shown = np.zeros((8, 8, 3), np.uint8)
    shown[:] = (10, 20, 30)
    with pytest.raises(ImageError, match="every pixel has the same value, 10, 20, 30"):
        to_square(shown, 4)
    shown[0, 0, 2] = 200
    assert to_square(shown, 4)[0].any()


@settings(max_examples=20)
@given(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_what_was_packed_is_unpacked(side: int, channels: int, seed: int) -> None:
    shape = (2, side, side, *((3,) if channels == 3 else ()))
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    out = np.empty_like(images)
    unpack([memoryview(pack(image)) for image in images], out)
    np.testing.assert_array_equal(out, images)


# ------------------------------------------------------------------------ collections


def colour_source(root: Path, images: int = 6) -> Path:
    """Write a `folder` source of colour images of two lesions each patient."""
    (root / "x").mkdir(parents=True)
    rows = ["file,patient_id,visit,split,Melanoma,Nevus"]
    for n in range(images):
        Image.fromarray(smooth(30, 40, seed=n)).save(root / f"x/{n}.png")
        split = "test" if n >= images - 2 else "train"
        rows.append(f"x/{n}.png,p{n // 2},{n % 2},{split},{n % 2},{1 - n % 2}")
    (root / "table.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("colour")
    source = colour_source(folder / "lesions")
    made = ingest(source, folder / "c.lance", layout="folder", size=24, channels=3, workers=1)
    return made.collection


def test_pixels_come_back_in_colour(colour: Collection) -> None:
    pixels = colour.pixels()
    assert pixels.shape == (6, 24, 24, 3)
    root = Path(colour.uri).parent / "lesions"
    for row, file in enumerate(colour.table(["file"])["file"]):
        picture = read_picture(root / file, 24, channels=3)
        np.testing.assert_array_equal(pixels[row], picture.pixels)
    parts = [part for _, part in colour.pixel_batches(4)]
    np.testing.assert_array_equal(np.concatenate(parts), pixels)
    np.testing.assert_array_equal(colour.where("split = 'test'").pixels([1, 0]), pixels[[5, 4]])


def test_show_says_that_it_has_colour(colour: Collection) -> None:
    assert summarise(colour)["channels"] == 3
    shown = CliRunner().invoke(app, ["show", colour.uri]).stdout
    assert "24 × 24 pixels in colour (area)" in shown


def test_a_grey_collection_is_stored_as_ever(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", images=4)
    made = ingest(source.root, tmp_path / "c.lance", layout="folder", size=16, workers=1).collection
    stored = made._dataset.to_table(columns=["pixels"])["pixels"].to_pylist()
    files = [source.root / file for file in made.table(["file"])["file"]]
    assert stored == [pack(read_picture(file, 16).pixels) for file in files]
    assert (made.settings.channels, made.pixels().shape) == (1, (4, 16, 16))
    assert "16 × 16 pixels (area)" in CliRunner().invoke(app, ["show", made.uri]).stdout


def test_grey_files_come_into_a_colour_collection_with_equal_channels(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", images=4)
    grey, colour = (
        ingest(
            source.root, tmp_path / f"{n}.lance", layout="folder", size=16, channels=n
        ).collection.pixels()
        for n in CHANNELS
    )
    np.testing.assert_array_equal(colour, as_colour(grey))


def test_another_number_of_channels_than_the_collections_is_refused(
    colour: Collection, tmp_path: Path
) -> None:
    source = colour_source(tmp_path / "lesions")
    with pytest.raises(CollectionError, match="made with channels 3, this ingest asks for channe"):
        ingest(source, colour.uri, layout="folder", channels=1, name="other", prefix="o")
    with pytest.raises(UsageError, match=r"images have 1 channel \(grey\) or 3 \(colour\), not 2"):
        ingest(source, tmp_path / "c.lance", layout="folder", channels=2)  # type: ignore[arg-type]


def test_the_command_takes_channels(tmp_path: Path) -> None:
    source, uri = colour_source(tmp_path / "lesions"), str(tmp_path / "c.lance")
    command = ["ingest", str(source), uri, "--layout", "folder", "--size", "16"]
    assert CliRunner().invoke(app, [*command, "--channels", "3"]).exit_code == 0
    assert open_collection(uri).settings.channels == 3
    again = CliRunner().invoke(app, command)  # the collection decides
    assert again.exit_code == 0
    assert CliRunner().invoke(app, [*command, "--channels", "2"]).exit_code == 2


# ------------------------------------------------------------------------ encoders


@pytest.mark.parametrize("side", [32, 47])
def test_a_grey_image_in_colour_has_the_same_features(side: int) -> None:
    grey = RNG.integers(0, 256, (3, side, side), dtype=np.uint8)
    encoder = random_encoder("test_resnet", size=32, channels=3)
    np.testing.assert_allclose(
        encoder.encode_images(as_colour(grey)), encoder.encode_images(grey), rtol=1e-4, atol=1e-5
    )


def test_channels_reach_the_encoder_in_their_order() -> None:
    shown = RNG.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    spec = random_encoder("test_resnet", size=16, channels=3).spec
    images = to_input(torch.from_numpy(shown), spec)
    expected = (shown.transpose(0, 3, 1, 2) / 255.0 - 0.5) / 0.25
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


def test_an_encoder_of_grey_refuses_colour_in_one_sentence(colour: Collection) -> None:
    encoder = random_encoder("test_resnet", size=24, channels=1)
    said = r"the images have colour \(3 channels\) and this encoder sees grey \(1\); use one with 3"
    for ask in (
        lambda: encoder.encode_images(colour.pixels()),
        lambda: embed(colour, encoder, "grey"),
    ):
        with pytest.raises(UsageError, match=said):
            ask()
    assert "grey" not in open_collection(colour.uri).embeddings


def test_a_collection_in_colour_is_embedded(colour: Collection) -> None:
    encoder = random_encoder("test_resnet", size=24, channels=3)
    ids, vectors = embed(colour, encoder, "colour").vectors("colour")
    assert ids == colour.ids()
    np.testing.assert_allclose(
        vectors, encoder.encode_images(colour.pixels()), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(2, 8, 8, 4), (2, 8, 8, 1), (2, 3, 8, 8), (8, 8, 3)])
def test_other_shapes_are_no_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"\(n, side, side, 3\) in colour; got uint8 of shape"):
        check_pixels(np.zeros(shape, np.uint8))


# ------------------------------------------------------------------------ training


def test_shrinking_treats_each_channel_as_a_grey_image() -> None:
    shown = torch.from_numpy(RNG.integers(0, 256, (2, 20, 20, 3), dtype=np.uint8))
    small = shrink(shown, 9)
    assert small.shape == (2, 9, 9, 3)
    for channel in range(3):
        grey = shrink(shown[..., channel].contiguous(), 9)
        assert (small[..., channel].int() - grey.int()).abs().max() <= 1
    assert shrink(shown, 20) is shown


def test_a_feed_holds_or_reads_colour(colour: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, cpu = np.arange(6), torch.device("cpu")
    held = feed_of(colour, 16, cpu, rows)
    monkeypatch.setattr("hilum.training.feed.fits", lambda *_: False)
    read = feed_of(colour, 16, cpu, rows)
    asked = np.array([4, 0])
    assert held(asked).shape == (2, 16, 16, 3)
    torch.testing.assert_close(held(asked), read(asked))
    assert len(resident([], 0, 16, cpu)) == 0


BUSY = ViewSettings(
    crop=(0.4, 0.9), flip=0.5, rotate=20, brightness=0.2, contrast=0.3, gamma=1.3, curve=0.5,
    blur=1.5, blurred=0.7, cutout=0.4,
)  # fmt: skip


def test_a_view_does_the_same_to_each_channel() -> None:
    shown = torch.from_numpy(np.stack([smooth(24, 24, seed=n) for n in range(4)]))
    view = views.draw(np.random.default_rng(1), 4, BUSY)
    out = views.apply(shown, view, 20)
    assert out.shape == (4, 3, 20, 20)
    for channel in range(3):
        grey = views.apply(shown[..., channel].contiguous(), view, 20)
        torch.testing.assert_close(out[:, channel : channel + 1], grey, rtol=1e-4, atol=1e-5)


def test_moco_learns_from_colour_and_refuses_it_for_a_grey_encoder(tmp_path: Path) -> None:
    shown = np.stack([smooth(32, 32, seed=n) for n in range(16)])
    sized = {"architecture": "test_resnet", "size": 32, "queue": 16}
    changes: dict[str, Any] = {**sized, "steps": 2, "batch": 8}
    encoder = pretrain_pixels(shown, tmp_path / "run", "moco-small", channels=3, **changes)
    assert encoder.spec.channels == 3
    with pytest.raises(UsageError, match="the images have colour"):
        pretrain_pixels(shown, tmp_path / "other", "moco-small", **changes)
    assert not (tmp_path / "other").exists()


# ------------------------------------------------------------------------ out


def test_a_contact_sheet_has_colour(colour: Collection, tmp_path: Path) -> None:
    (path,) = contact_sheet(colour, colour.ids(), tmp_path / "sheet.png")
    page = np.asarray(Image.open(path))
    assert page.shape[2] == 3
    assert np.ptp(page.astype(int), axis=2).max() > 30


def test_chexzeros_files_hold_no_colour(colour: Collection, tmp_path: Path) -> None:
    with pytest.raises(
        CollectionError, match="has images in colour, and CheXzero's files hold grey"
    ):
        export(colour, tmp_path / "out", "chexzero")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------ what looks at it


def test_a_file_that_is_looked_for_is_read_as_the_collection_was(tmp_path: Path) -> None:
    source = colour_source(tmp_path / "lesions")
    made = ingest(
        source, tmp_path / "c.lance", layout="folder", size=24, channels=3, resize="chexzero"
    ).collection
    encoder = random_encoder("test_resnet", size=24, channels=3)
    space = embed(made, encoder, "space")
    found = retrieve(space, "space", like=source / "x/3.png", encoder=encoder, k=1)
    assert found.ids[0] == made.ids()[3]
    np.testing.assert_allclose(found.scores[0], 1.0, atol=1e-5)


def test_looks_into_corners_of_colour_images_are_those_of_grey_ones() -> None:
    grey = torch.from_numpy(RNG.integers(0, 256, (2, 20, 20), dtype=np.uint8))
    for plain, shown in zip(
        corners(grey), corners(grey[..., None].repeat(1, 1, 1, 3)), strict=True
    ):
        torch.testing.assert_close(shown[..., 1], plain)
