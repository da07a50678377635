"""What image files say of themselves: their size, and in DICOM age, sex and view.

Nothing here fails for a bad file: what it does not say is null, and ingest puts the file into
quarantine with a reason.
"""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import ImageError, SourceError
from hilum.images.jpeg import SIGNATURE as JPEG
from hilum.images.jpeg import read_jpeg_header
from hilum.images.png import SIGNATURE as PNG
from hilum.sources import attributes
from hilum.sources.dicom_headers import Header, is_named_dicom, read_headers
from hilum.sources.files import IMAGE_SUFFIXES, find, stem
from hilum.sources.options import SourceOptions

_PNG_SIZE: Final = struct.Struct(">II")  # at byte 16: the first chunk is the header
_JPEG_HEAD: Final = 1 << 18  # bytes; profiles and thumbnails come before the size
_TRANSPOSED: Final = 5  # EXIF orientations from here on exchange width and height
_BEYOND: Final = 1.05  # a box that reaches further than this share of the image is not of it
SIZES: Final = pl.Schema({"image_id": pl.String, "width": pl.Int32, "height": pl.Int32})


def image_stem(file: str) -> str | None:
    """Return a file's name without suffix if it may hold an image; for `files.find`."""
    return stem(file) if file.lower().endswith(IMAGE_SUFFIXES) else None


def find_halves(
    root: Path, frame: pl.DataFrame, *, required: bool
) -> tuple[pl.DataFrame, list[str]]:
    """Find files named by `image_id` at any depth, and leave out splits that were not downloaded.

    Parameters
    ----------
    root
        The source's folder.
    frame
        With `image_id` and `split`.
    required
        Whether every file of a split must be there if one is; otherwise nothing is left out.

    Returns
    -------
    The rows with `file`, null where none is there; notes about what is left out.

    Raises
    ------
    SourceError
        If a file is missing, or there twice.
    """
    found = find(root, frame["image_id"].to_list(), image_stem)
    file = pl.col("image_id").replace_strict(found.files, default=None, return_dtype=pl.String)
    frame = frame.with_columns(file=file)
    if not required:
        return frame, []
    here = frame.filter(pl.col("file").is_not_null().any().over("split"))
    wanted = frame if here.is_empty() else here
    missing = wanted.filter(pl.col("file").is_null())["image_id"]
    found.refuse_missing(tuple(missing))
    left_out = frame.height - here.height
    note = f"{left_out:,} images of splits none of whose files is here are left out"
    return here, [*found.notes, *([note] if left_out else [])]


def look(
    root: Path, files: Mapping[str, str], options: SourceOptions
) -> tuple[pl.DataFrame, list[str]]:
    """Look into image files.

    Parameters
    ----------
    root
        The source's folder.
    files
        ``image_id`` to path below it.
    options
        `workers` and `progress` are for DICOM headers.

    Returns
    -------
    One row per file: `image_id`, `width`, `height` as a viewer shows it, and from DICOM `age`,
    `sex` and `view`; null where it is not told. Notes about values that were not understood.
    """
    dicom = {image: root / file for image, file in files.items() if is_named_dicom(Path(file))}
    headers = read_headers(list(dicom.values()), options.workers, options.progress) if dicom else ()
    told = {
        image: header
        for image, header in zip(dicom, headers, strict=True)
        if isinstance(header, Header)
    }
    sizes = {image: _declared(told[image]) for image in told}
    sizes |= {image: _size(root / file) for image, file in files.items() if image not in dicom}
    frame = pl.DataFrame(
        {
            "image_id": list(files),
            "width": [sizes.get(image, (None, None))[0] for image in files],
            "height": [sizes.get(image, (None, None))[1] for image in files],
        },
        schema=SIZES,
    )
    people, notes = _people([told.get(image) for image in files])
    return pl.concat([frame, people], how="horizontal"), notes


def _people(headers: Iterable[Header | None]) -> tuple[pl.DataFrame, list[str]]:
    rows = [(h.age, h.sex, h.view) if h else (None, None, None) for h in headers]
    names = ("age", "sex", "view")
    texts = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    age, age_notes = attributes.plausible(
        texts.select(attributes.age_years(pl.col("age"))).to_series()
    )
    sex, sex_notes = attributes.sexes(texts["sex"])
    view, view_notes = attributes.views(texts["view"])
    return pl.DataFrame([age.rename("age"), sex, view]), [*age_notes, *sex_notes, *view_notes]


def _declared(header: Header) -> tuple[int | None, int | None]:
    whole = [int(n) if n and n.isdecimal() else None for n in (header.columns, header.rows)]
    return whole[0], whole[1]


def _size(path: Path) -> tuple[int | None, int | None]:
    try:
        with path.open("rb") as file:
            head = file.read(_JPEG_HEAD if path.suffix.lower() != ".png" else 24)
        if head.startswith(PNG):
            return _PNG_SIZE.unpack_from(head, 16)
        if head.startswith(JPEG):
            jpeg = read_jpeg_header(head)
            size = (jpeg.width, jpeg.height)
            return size[::-1] if jpeg.orientation >= _TRANSPOSED else size
    except (OSError, ImageError, struct.error):
        pass
    return None, None


def fit_boxes(
    boxes: pl.DataFrame, sizes: pl.DataFrame, drawn_on: pl.DataFrame | None, advice: str
) -> tuple[pl.DataFrame, list[str]]:
    """Bring boxes from the images they were drawn on to those that are here.

    Copies of a data set are often made smaller, and their tables of boxes are not.

    Parameters
    ----------
    boxes
        `image_id`, `x`, `y`, `w`, `h` and others.
    sizes
        `image_id`, `width`, `height` of the files; null or absent where unknown: such boxes stay.
    drawn_on
        The same of the originals; None where nothing tells: then the files must be the originals.
    advice
        What to do if they cannot be.

    Returns
    -------
    The boxes, cut at the edges of their images, and a note if any were scaled.

    Raises
    ------
    SourceError
        If a box lies outside its image.
    """
    if boxes.is_empty():
        return boxes, []
    names = {"width": "full_width", "height": "full_height"}
    full = pl.DataFrame(schema=SIZES) if drawn_on is None else drawn_on.select(*SIZES)
    joined = boxes.join(sizes.select(*SIZES), on="image_id", how="left", maintain_order="left")
    joined = joined.join(full.rename(names), on="image_id", how="left", maintain_order="left")
    for first, length, side in (("x", "w", "width"), ("y", "h", "height")):
        scale = (pl.col(side) / pl.col(names[side])).fill_null(1.0)
        joined = joined.with_columns(pl.col(first, length) * scale)
        beyond = pl.col(first) + pl.col(length) > _BEYOND * pl.col(side)
        _refuse_beyond(joined.filter(beyond), side, advice)
        inside = pl.min_horizontal(length, pl.col(side) - pl.col(first))
        joined = joined.with_columns(inside.alias(length))
    joined = joined.filter(pl.col("w") > 0, pl.col("h") > 0)
    scaled = joined.filter(
        (pl.col("width") != pl.col("full_width")) | (pl.col("height") != pl.col("full_height"))
    )
    images = scaled["image_id"].n_unique()
    note = f"{images:,} images are of another size than their boxes were drawn on: boxes are scaled"
    return joined.select(boxes.columns), [note] if images else []


def _refuse_beyond(wrong: pl.DataFrame, side: str, advice: str) -> None:
    if wrong.height:
        image, size = wrong["image_id"][0], wrong[side][0]
        raise SourceError(
            f"{wrong.height:,} boxes reach beyond their images, the first that of {image} with a "
            f"{side} of {size} pixels: this copy is smaller than what they were drawn on; {advice}"
        )
