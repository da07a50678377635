"""Pixels for training, by row number: held on the device where they fit, else read ahead.

CheXpert at 320 px is 23 GB of uint8: resident on one GPU, gathering a batch costs nothing and
the loader is never the limit. Where pixels do not fit, the loop's reader thread fetches the next
batch while the present one is computed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hilum.encoders.image import check_pixels, planes

if TYPE_CHECKING:
    from hilum.collection import Collection

Rows = NDArray[np.int64]
CHUNK = 256  # images resized at once

Item = TypeVar("Item")
Found = TypeVar("Found")


class Feed(Protocol):
    """Where a task gets its pixels."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __call__(self, rows: Rows) -> Tensor:
        """Return (n, side, side[, 3]) uint8 on the device, in the order asked."""


class Resident:
    """All pixels on the device.

    Parameters
    ----------
    pixels : (n, side, side) or (n, side, side, 3) uint8
        On the device, as many bytes of its memory.
    """

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __call__(self, rows: Rows) -> Tensor:
        """Gather the images of some rows."""
        return self.pixels.index_select(0, torch.from_numpy(rows).to(self.pixels.device))


class Streamed:
    """Pixels read when they are asked for, shrunk, and sent to the device.

    Parameters
    ----------
    length
        Number of images.
    read
        Row numbers to (n, side, side[, 3]) uint8 in the order asked; called from one thread.
    side
        Side to shrink to.
    """

    def __init__(
        self,
        length: int,
        read: Callable[[Rows], NDArray[np.uint8]],
        side: int,
        device: torch.device,
    ) -> None:
        self.length = length
        self.read = read
        self.side = side
        self.device = device

    def __len__(self) -> int:
        return self.length

    def __call__(self, rows: Rows) -> Tensor:
        """Read the images of some rows."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.read(rows)))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        return shrink(pixels.to(self.device), self.side)


def resident(
    batches: Iterable[NDArray[np.uint8]], length: int, side: int, device: torch.device
) -> Resident:
    """Put batches of pixels on the device one after another, shrunk to `side`."""
    held = torch.empty(length, side, side, dtype=torch.uint8, device=device)
    done = 0
    for batch in batches:
        check_pixels(batch)
        if batch.ndim > held.ndim:  # colour, which the first batch tells
            held = torch.empty(*held.shape, 3, dtype=torch.uint8, device=device)
        for start in range(0, len(batch), CHUNK):
            part = torch.from_numpy(np.ascontiguousarray(batch[start : start + CHUNK]))
            held[done : done + len(part)] = shrink(part.to(device), side)
            done += len(part)
    assert done == length
    return Resident(held)


def feed_of(collection: "Collection", side: int, device: torch.device, rows: Rows) -> Feed:
    """Give the images at some rows of a collection: held where they fit, else read when asked."""
    if not fits(len(rows) * collection.settings.channels, side, device):
        return Streamed(len(rows), lambda asked: collection.pixels(rows[asked]), side, device)
    batches = (collection.pixels(rows[at : at + CHUNK]) for at in range(0, len(rows), CHUNK))
    return resident(batches, len(rows), side, device)


def read_ahead(
    read: Callable[[Item], Found], items: Iterable[Item], depth: int = 1
) -> Iterator[Found]:
    """Yield `read(item)` for each item in order, reading up to `depth` ahead in one thread."""
    left = iter(items)
    waiting: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="hilum-reader") as reader:
        waiting.extend(reader.submit(read, item) for item in islice(left, depth))
        while waiting:
            found = waiting.popleft().result()
            waiting.extend(reader.submit(read, item) for item in islice(left, 1))
            yield found


def fits(length: int, side: int, device: torch.device, share: float = 0.5) -> bool:
    """Say whether `length` images would take less than `share` of the device's free memory."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _free_host_memory()
    return length * side * side < share * free


def _free_host_memory() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as table:  # noqa: PTH123
            kilobytes = next(line.split()[1] for line in table if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4 << 30  # not Linux: assume 4 GiB
    return int(kilobytes) * 1024


def shrink(pixels: Tensor, side: int) -> Tensor:
    """Resize (n, s, s[, 3]) uint8 to `side`, antialiased; images of that side are kept."""
    if pixels.shape[1] == side:
        return pixels
    images = functional.interpolate(
        planes(pixels).float(), (side, side), mode="bilinear", antialias=True
    )
    small = images.round_().clamp_(0, 255).to(torch.uint8)
    return small[:, 0] if pixels.ndim == 3 else small.permute(0, 2, 3, 1).contiguous()
