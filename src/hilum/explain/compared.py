"""What compares images: an encoder as the maps of a similarity see it, and what such maps are.

Every method that says why two images are similar is a function

    method(network, query, retrieved, **its own settings) -> SimilarMaps

of a `Compared` network, one query and several retrieved images as 8-bit pixels. Two images are as
far apart as the Euclidean distance between their vectors of length 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders.image import Encoder, EncoderSpec, check_pixels, to_input
from hilum.errors import UsageError
from hilum.explain.cam import Maps
from hilum.explain.frames import Frame
from hilum.explain.layers import Layer, find_layer
from hilum.explain.placement import find_offset

Pixels = NDArray[np.uint8]


@final
class Compared:
    """An encoder whose similarities are explained; its layer is looked for when first asked for.

    Parameters
    ----------
    encoder
        Maps images to vectors.
    layer
        Where the methods that open the network look, as its modules are named; by default the
        last that has a map (`hilum.explain.layers`). Methods that only call the network do not
        ask.
    batch_size
        Images at a time.

    Raises
    ------
    UsageError
        If the batch size is not at least 1. A layer that does not exist is refused when it is
        first asked for.
    """

    def __init__(self, encoder: Encoder, layer: str | None = None, *, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise UsageError(f"the batch size must be at least 1; got {batch_size}")
        self.encoder, self.batch_size = encoder, batch_size
        self._named = layer

    def __repr__(self) -> str:
        return f"Compared({self.encoder!r})"

    def without_projection(self) -> "Compared":
        """Return the same network up to its pooled features, where it has a projection."""
        bare = self.encoder.backbone()
        if bare is self.encoder:
            return self
        named = None if self._named is None else self._named.removeprefix("backbone.")
        return Compared(bare, named, batch_size=self.batch_size)

    @property
    def module(self) -> nn.Module:
        """Maps (n, channels, size, size) to (n, dim), in evaluation mode."""
        found: nn.Module = self.encoder.module
        return found

    @property
    def spec(self) -> EncoderSpec:
        """What the network expects of an image."""
        return self.encoder.spec

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.encoder.engine.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one prepared image: (channels, size, size)."""
        return self.spec.channels, self.spec.size, self.spec.size

    @cached_property
    def layer(self) -> Layer:
        """Where the methods that open the network look.

        Raises
        ------
        UsageError
            If there is no such layer, or it has no map; the message names layers that do.
        """
        return find_layer(self.module, self.vectors, self.shape, self._named)

    @property
    def frame(self) -> Frame:
        """How the layer's output lies over the image."""
        return self.layer.frame

    @cached_property
    def offset(self) -> float:
        """How far the layer's cells look from their parts' middles (`hilum.explain.placement`)."""
        return find_offset(self.module, self.vectors, self.layer, self.shape)

    def prepare(self, pixels: Pixels) -> Tensor:
        """Return (n, side, side[, 3]) uint8 as the network wants it, on its device.

        Raises
        ------
        UsageError
            If it is no such array, or has colour and the network one channel.
        """
        check_pixels(pixels)
        whole = np.ascontiguousarray(pixels)  # a mirrored view is none that torch takes
        return to_input(torch.from_numpy(whole).to(self.device), self.spec)

    def pair(self, query: Pixels, retrieved: Pixels) -> tuple[Tensor, Tensor]:
        """Return a query (1, c, size, size) and retrieved images (m, c, size, size), prepared.

        Parameters
        ----------
        query : (side, side[, 3]) uint8
        retrieved : (m, side, side[, 3]) uint8

        Raises
        ------
        UsageError
            If there is no retrieved image, or the query has another shape than they have.
        """
        if not len(retrieved):
            raise UsageError("there is no retrieved image to compare the query with")
        if query.shape != retrieved.shape[1:]:
            raise UsageError(
                f"the query has shape {query.shape} and the retrieved images {retrieved.shape[1:]}"
                "; take both from collections of one size and one number of channels"
            )
        return self.prepare(query[None]), self.prepare(retrieved)

    def vectors(self, images: Tensor) -> Tensor:
        """Return the vectors of prepared images as the network gives them, (n, dim) float32.

        In one pass, in float32, and with a gradient where the caller's context keeps one.
        """
        found: Tensor = self.module(
            images.contiguous(memory_format=self.encoder.engine.memory_format)
        )
        return found.float()

    def embed_unit(self, images: Tensor, *, gradient: bool = False, fast: bool = False) -> Tensor:
        """Return the vectors of prepared images, scaled to length 1, (n, dim) float32.

        Parameters
        ----------
        images : (n, channels, size, size)
            From `prepare`, or changed since.
        gradient
            Keep the graph, and take all images in one pass.
        fast
            Compute in the encoder's own precision instead of float32: bfloat16 where the machine
            multiplies in it. Small changes of a distance are then lost.
        """
        if gradient:
            return functional.normalize(self.vectors(images), dim=-1)
        with torch.no_grad():
            starts = range(0, len(images), self.batch_size)
            parts = [self._run(images[at : at + self.batch_size], fast=fast) for at in starts]
            found = torch.cat(parts) if parts else images.new_empty(0, self.spec.dim)
            return functional.normalize(found, dim=-1)

    def _run(self, images: Tensor, *, fast: bool) -> Tensor:
        if not fast:
            return self.vectors(images)
        with self.encoder.engine.autocast():
            return self.vectors(images)


@final
@dataclass(frozen=True, eq=False)
class SimilarMaps:
    """Where pairs of images are similar: values 0 or above, in the method's own unit.

    Parameters
    ----------
    retrieved : (m, height, width)
        On a grid over the square that the network looks at: its pixels, or the cells of a layer.
    query : (m, height, width) or None
        The same for the query, one map per retrieved image; None where a method says nothing
        about it.
    offset
        How far cells look from the middles of their parts of the image, down and to the right,
        in cells; 0 for maps on pixels.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a value is below 0 or no number.
    """

    retrieved: Maps
    query: Maps | None = None
    offset: float = 0.0

    def __post_init__(self) -> None:
        for maps in (self.retrieved, self.query):
            if maps is None:
                continue
            if maps.ndim != 3 or len(maps) != len(self.retrieved) or maps.dtype != np.float32:
                raise ValueError(
                    f"expected float32 maps of shape ({len(self.retrieved)}, height, width); got "
                    f"{maps.dtype} of shape {maps.shape}"
                )
            if not (np.isfinite(maps).all() and (maps >= 0).all()):
                raise ValueError("a map of similarity is 0 or above, and a number, everywhere")

    def __len__(self) -> int:
        return len(self.retrieved)


def as_maps(found: Tensor) -> Maps:
    """Return maps of a network (m, height, width) as `SimilarMaps` takes them."""
    maps: Maps = found.detach().float().cpu().numpy()
    return maps


Method = Callable[..., SimilarMaps]
"""(network, query (side, side[, 3]), retrieved (m, side, side[, 3]), settings) → maps."""


def distances(vector: Tensor, others: Tensor) -> Tensor:
    """Return the Euclidean distance from one vector (1, d) to others (n, d), (n,).

    By differences: the faster way by one matrix product is wrong by 1e-4 near 0, which here
    would become saliency.
    """
    return (others - vector).square().sum(dim=-1).sqrt()
