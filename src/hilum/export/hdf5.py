"""Datasets of HDF5 files that others made, opened with care."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from hilum.errors import TableError


@contextmanager
def open_dataset(path: Path, name: str) -> Iterator[h5py.Dataset]:
    """Open a numeric dataset that lies in this file and in no other, for the block.

    HDF5 can point to any file on the disk, by links, virtual datasets and external storage; such
    a file would read what its maker chose.

    Raises
    ------
    TableError
        If there is no such dataset.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise TableError(f"{path}: cannot be read as HDF5: {error}") from error
    with file:
        link = file.get(name, getlink=True)
        found = file[name] if isinstance(link, h5py.HardLink) else None
        if not isinstance(found, h5py.Dataset) or not _is_plain(found):
            raise TableError(
                f"{path}: expected a numeric dataset {name!r} stored in this file; "
                f"it holds {', '.join(file) or 'nothing'}"
            )
        yield found


def _is_plain(dataset: h5py.Dataset) -> bool:
    return not dataset.is_virtual and not dataset.external and dataset.dtype.kind in "fiu"
