"""A file's bytes, read once and within a budget."""

import errno
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hilum.errors import ImageError


@dataclass(frozen=True)
class Budget:
    """How much one file may cost; what it declares is checked before it is decoded.

    Parameters
    ----------
    pixels
        Width × height. The largest film in ChestX-ray14 is 18 million; stitched long-leg
        images reach 40. Decoding needs at most about 10 bytes per pixel beside the file.
    file_bytes
        Size of the file on disk, all of which is held in memory; also the most that the data
        set of a deflated DICOM file may inflate to.
    """

    pixels: int = 50_000_000
    file_bytes: int = 256 * 2**20


DEFAULT: Final = Budget()

_INFLATE_STEP: Final = 2**20


def read_bytes(path: Path, budget: Budget) -> bytes:
    """Return the whole of a regular file.

    Raises
    ------
    ImageError
        ``missing``, ``not-a-file``, ``unreadable``, ``empty`` or ``file-too-large``.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _cannot_open(error) from None
    try:
        data = _read(handle, budget)
    except OSError as error:
        raise ImageError("unreadable", f"reading failed: {error.strerror}") from None
    finally:
        os.close(handle)
    if not data:
        raise ImageError("empty", "the file has no bytes")
    return data


def _read(handle: int, budget: Budget) -> bytes:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not-a-file", "expected a regular file, got a folder or a device")
    if status.st_size > budget.file_bytes:
        raise ImageError(
            "file-too-large",
            f"the file has {status.st_size:,} bytes, more than the {budget.file_bytes:,} "
            "that the budget allows",
        )
    with os.fdopen(handle, "rb", closefd=False) as stream:
        return stream.read(status.st_size)


def _cannot_open(error: OSError | ValueError) -> ImageError:
    # `str(error)` would hold the path; `strerror` does not.
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageError("missing", "there is no such file")
    if isinstance(error, OSError) and error.errno in (errno.EISDIR, errno.ENXIO):
        return ImageError("not-a-file", "expected a regular file, got a folder or a device")
    why = error.strerror if isinstance(error, OSError) else "its name is not a valid path"
    return ImageError("unreadable", f"the file cannot be opened: {why}")


def check_size(width: int, height: int, budget: Budget) -> None:
    """Refuse a declared size that is empty or beyond the budget, before anything is decoded.

    Raises
    ------
    ImageError
        ``corrupt`` for an empty image, ``too-large`` beyond the budget.
    """
    if width <= 0 or height <= 0:
        raise ImageError("corrupt", f"the header declares {width} × {height} pixels")
    if width * height > budget.pixels:
        raise ImageError(
            "too-large",
            f"the header declares {width:,} × {height:,} pixels, more than the "
            f"{budget.pixels:,} that the budget allows",
        )


def inflated_length(data: bytes, limit: int, wbits: int = zlib.MAX_WBITS) -> tuple[int, bool]:
    """Measure what deflated bytes become, a little at a time and no further than a limit.

    Returns
    -------
    length
        Exact up to `limit`; beyond it, some greater number.
    complete
        Whether the end of the stream was seen.

    Raises
    ------
    zlib.error
        If the stream is damaged.
    """
    inflater, length = zlib.decompressobj(wbits), 0
    while data and not inflater.eof and length <= limit:
        length += len(inflater.decompress(data, _INFLATE_STEP))
        data = inflater.unconsumed_tail
    return length, inflater.eof
