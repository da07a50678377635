"""The vectors of one image under every window: made once, kept if asked, one product per query.

What an image becomes when a part of it is hidden does not depend on what it is compared with. So
its masked vectors are computed once, in batches that are thrown away, and each query afterwards
costs one product of a matrix and a vector.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hilum.encoders.image import EncoderSpec, normalise
from hilum.encoders.tensors import digest, read_tensors, write_tensors
from hilum.errors import UsageError
from hilum.explain.compared import Compared, Pixels
from hilum.explain.incremental import Incremental, around
from hilum.explain.windows import Windows, make_windows

Vectors = NDArray[np.float32]

KIND: Final = "masked vectors"


@dataclass(frozen=True)
class Masking:
    """How parts of an image are hidden, and how the hidden images are embedded.

    Parameters
    ----------
    window, stride, convention
        As in `hilum.explain.windows.make_windows`.
    fill
        What a hidden pixel becomes: a grey value or a colour of 0...255; None is the mean that
        the network subtracts, as X-MIR does it.
    fast
        Compute in the encoder's own precision, bfloat16 where the machine multiplies in it,
        instead of float32.
    incremental
        Compute only what a window touches where that saves work (`hilum.explain.incremental`);
        otherwise every hidden image goes through the whole network.
    """

    window: int = 24
    stride: int = 5
    convention: str = "x-mir"
    fill: float | tuple[float, ...] | None = None
    fast: bool = False
    incremental: bool = True

    def windows(self, size: int) -> Windows:
        """Return the windows over a square of this side; UsageError as `make_windows`."""
        return make_windows(
            size, size, window=self.window, stride=self.stride, convention=self.convention
        )


X_MIR: Final = Masking()
"""X-MIR's released settings."""


@final
@dataclass(frozen=True, eq=False)
class Masked:
    """One image's vectors, whole and under each window.

    Parameters
    ----------
    whole : (dim,)
        Of the image as it is; of length 1.
    vectors : (n, dim)
        With each window hidden; of length 1.
    windows
        Where they are.
    fingerprint
        sha256 over the encoder, the image and the settings.
    """

    whole: Vectors
    vectors: Vectors
    windows: Windows
    fingerprint: str

    def farther(self, queries: Vectors) -> NDArray[np.float64]:
        """Return by how much each window, hidden, takes the image away from each query (`farther`).

        Parameters
        ----------
        queries : (q, dim)
            Of length 1.

        Returns
        -------
        (q, n), signed

        Raises
        ------
        ValueError
            If the vectors differ in length.
        """
        if queries.ndim != 2 or queries.shape[1] != len(self.whole):
            raise ValueError(
                f"expected queries of shape (q, {len(self.whole)}), got {queries.shape}"
            )
        return farther(self.whole, self.vectors, queries)


def farther(whole: Vectors, vectors: Vectors, queries: Vectors) -> NDArray[np.float64]:
    """Return by how much an image's changes take it away from each query.

    D_i − D_0 of Euclidean distances, without taking the difference of two that are nearly equal:
    with g = query − whole and δ_i = vector_i − whole it is (|δ_i|² − 2 g·δ_i) / (D_i + D_0), and
    D_i² = D_0² + |δ_i|² − 2 g·δ_i. So all queries cost one product of matrices, and a change that
    is none gives exactly 0.

    Parameters
    ----------
    whole : (dim,)
        The image.
    vectors : (n, dim)
        The image, changed.
    queries : (q, dim)
        All of length 1.

    Returns
    -------
    (q, n), signed
    """
    moved = vectors - whole  # (n, dim)
    towards = queries - whole  # (q, dim)
    gained = (np.square(moved).sum(axis=1) - 2 * (towards @ moved.T)).astype(np.float64)
    before = np.square(towards, dtype=np.float64).sum(axis=1, keepdims=True)  # D_0², (q, 1)
    total = np.sqrt(np.maximum(before + gained, 0)) + np.sqrt(before)
    rises: NDArray[np.float64] = np.zeros_like(gained)
    np.divide(gained, total, out=rises, where=total > 0)
    return rises


def masked_vectors(
    network: Compared,
    pixels: Pixels,
    masking: Masking = X_MIR,
    *,
    store: str | Path | None = None,
) -> Masked:
    """Embed an image whole and with each window hidden.

    Parameters
    ----------
    network
        What embeds; its `batch_size` bounds the memory.
    pixels : (side, side[, 3]) uint8
        The image.
    masking
        What is hidden, and how.
    store
        A folder: what it holds of this image, encoder and settings is read, what it does not is
        written there as ``FINGERPRINT.safetensors``.

    Raises
    ------
    UsageError
        If the image or a setting does not fit the network.
    WeightsError
        If the folder holds a broken file under that name.
    """
    windows = masking.windows(network.spec.size)
    image = network.prepare(pixels[None])  # (1, channels, size, size)
    fill_of(network.spec, masking.fill)  # refused before a file is read
    mark = fingerprint(network, pixels, masking)
    file = None if store is None else Path(store) / f"{mark}.safetensors"
    if file is not None and file.exists():
        kept, _ = read_tensors(file)
        return Masked(kept["whole"].numpy(), kept["vectors"].numpy(), windows, mark)
    whole = network.embed_unit(image, fast=masking.fast)[0].cpu().numpy()
    hidden = Hidden(network, image, windows.boxes, masking)
    vectors = hidden.vectors(np.arange(len(windows)))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        header = {"kind": KIND, "fingerprint": mark, "masking": asdict(masking)}
        kept = {"whole": torch.from_numpy(whole), "vectors": torch.from_numpy(vectors)}
        write_tensors(file, kept, header)
    return Masked(whole, vectors, windows, mark)


@final
class Hidden:
    """A prepared image of which boxes are hidden when asked for.

    Parameters
    ----------
    network
        What embeds, `batch_size` at a time.
    image : (1, channels, size, size)
        From `Compared.prepare`.
    boxes : (n, 4)
        As `Windows.boxes`.
    masking
        What hides them, and how they are computed.
    """

    def __init__(
        self, network: Compared, image: Tensor, boxes: NDArray[np.int64], masking: Masking
    ) -> None:
        self._network, self._boxes, self._fast = network, boxes, masking.fast
        self._fill = fill_of(network.spec, masking.fill).to(image)
        engine = network.encoder.engine
        self._image = image.contiguous(memory_format=engine.memory_format)
        self._around: Incremental | None = None
        if masking.incremental:
            with torch.no_grad(), self._precision():
                self._around = around(network.module, self._image, boxes)

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """Return the vectors with each of these boxes hidden, (len(rows), dim), of length 1."""
        found = np.empty((len(rows), self._network.spec.dim), np.float32)
        for at in range(0, len(rows), self._network.batch_size):
            some = rows[at : at + self._network.batch_size]
            found[at : at + len(some)] = self._batch(some).cpu().numpy()
        return found

    def _batch(self, some: NDArray[np.int64]) -> Tensor:
        if self._around is None:
            images = self._image.repeat(len(some), 1, 1, 1)
            for one, (top, bottom, left, right) in zip(images, self._boxes[some], strict=True):
                one[:, top:bottom, left:right] = self._fill
            return self._network.embed_unit(images, fast=self._fast)
        with torch.no_grad(), self._precision():
            found = self._around(some, self._fill)
        return functional.normalize(found.float(), dim=-1)

    def _precision(self) -> AbstractContextManager[None]:
        return self._network.encoder.engine.autocast() if self._fast else nullcontext()


def fill_of(spec: EncoderSpec, fill: float | Sequence[float] | None) -> Tensor:
    """Return what a hidden pixel becomes in prepared images, (channels, 1, 1).

    Raises
    ------
    UsageError
        If it is no grey value or colour of 0...255 that the network can see.
    """
    if fill is None:
        return torch.zeros(spec.channels, 1, 1)
    given = np.atleast_1d(np.asarray(fill, np.float32))
    if given.shape not in ((1,), (spec.channels,)) or given.min() < 0 or given.max() > 255:
        raise UsageError(
            f"a hidden pixel cannot become {fill}; give None for the network's mean, one value "
            f"of 0 to 255, or {spec.channels} of them"
        )
    return normalise(torch.from_numpy(given / 255).view(1, -1, 1, 1), spec)[0]


def fingerprint(network: Compared, pixels: Pixels, masking: Masking) -> str:
    """Return the sha256 (hex) over an encoder, an image and how it is masked."""
    engine = network.encoder.engine
    header: dict[str, Any] = asdict(masking) | {
        "encoder": network.encoder.fingerprint,
        "precision": engine.precision if masking.fast else "fp32",
        "kind": KIND,
    }
    return digest({"pixels": torch.from_numpy(np.ascontiguousarray(pixels))}, header)
