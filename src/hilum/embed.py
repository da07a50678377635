"""An encoder meets a collection: one vector per image, as a column.

Batches of pixels are read in a thread while the encoder works, vectors are kept as they come,
and a job that was killed goes on with the images that have no vector.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.cluster import Engine, check_engine, map_in_order
from hilum.encoders.device import choose_engine
from hilum.encoders.image import check_channels
from hilum.encoders.references import load_encoder
from hilum.encoders.weights import AnyEncoder
from hilum.errors import UsageError
from hilum.progress import Progress, silent
from hilum.training.feed import read_ahead

if TYPE_CHECKING:
    from hilum.collection import Collection

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


def embed(
    collection: "Collection",
    encoder: AnyEncoder | str | Path,
    name: str,
    *,
    batch_size: int = 64,
    overwrite: bool = False,
    engine: Engine = "local",
    workers: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> "Collection":
    """Add an encoder's vectors to a collection.

    Images that have a vector of this encoder already, in the collection or from a job that was
    killed, are not done again. Memory is bounded by a few batches.

    Parameters
    ----------
    collection
        The images to embed; those outside the view keep an empty place.
    encoder
        An encoder, or what `load_encoder` takes.
    name
        Of the embedding.
    overwrite
        Replace another encoder's embedding of this name.
    engine, workers
        ``"local"``: this machine encodes. ``"ray"``: so many workers of a Ray cluster, one for each
        processor if None, or for each GPU where there are some; they open the collection at its
        address and load the encoder by its name, and this process writes (`hilum.cluster`).
    device
        ``auto``, ``cpu`` or ``cuda``, for an encoder that is loaded by name: here, or with ``ray``
        by each worker, where it works.

    Returns
    -------
    The view of the new version.

    Raises
    ------
    CollectionError
        If another encoder has the name, or the collection has no pixels.
    WeightsError
        If there is no such encoder.
    UsageError
        If the images have colour and the encoder one channel, or there are `workers` without
        ``"ray"``.
    """
    from hilum.collection.vectors import EmbeddingInfo

    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1; got {batch_size}")
    check_engine(engine)
    if workers is not None and engine != "ray":
        raise UsageError("workers are those of a Ray cluster; without it one process encodes")
    named = encoder
    if isinstance(encoder, str | Path):  # which this process does not run where a cluster does
        here = "cpu" if engine == "ray" else device
        encoder = load_encoder(encoder, engine=choose_engine(here))
    check_channels(collection.settings.channels, encoder.spec.channels)
    info = EmbeddingInfo(
        dim=encoder.spec.dim,
        fingerprint=encoder.fingerprint,
        encoder=f"{encoder.spec.architecture} ({encoder.spec.source})",
    )
    rows = collection.without_vector(name, info, overwrite=overwrite)
    ids = collection.table(["image_id"]).to_series()
    progress(0, len(rows))

    def batches() -> Iterator[tuple[list[str], Vectors]]:
        done = 0
        made = (
            _on_cluster(collection, named, rows, batch_size, workers, device)
            if engine == "ray"
            else encode_rows(encoder, collection.pixels, rows, batch_size)
        )
        for part, vectors in made:
            done += len(part)
            progress(done, len(rows))
            yield ids[part].to_list(), vectors

    return collection.add_embedding(name, batches(), info, overwrite=overwrite)


def _on_cluster(
    collection: "Collection", encoder: AnyEncoder | str | Path, rows: Rows, batch_size: int,
    workers: int | None, device: str,
) -> Iterator[tuple[Rows, Vectors]]:  # fmt: skip
    parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    make = partial(
        _encoder_there, encoder, device, collection.uri, collection.version, collection.condition
    )
    made = map_in_order(make, parts, workers=workers, gpu=device != "cpu")
    yield from zip(parts, made, strict=True)


def _encoder_there(
    encoder: AnyEncoder | str | Path, device: str, uri: str, version: int, condition: str | None
) -> Callable[[Rows], Vectors]:
    """Return what a worker of a cluster does: read the pixels of some rows and encode them."""
    from hilum.collection import Collection, store

    view = Collection(uri, store.open_dataset(uri, version), condition)
    if isinstance(encoder, str | Path):
        encoder = load_encoder(encoder, engine=choose_engine(device))
    here = encoder

    def encode(rows: Rows) -> Vectors:
        return next(encode_rows(here, view.pixels, rows, len(rows)))[1]

    return encode


def encode_rows(
    encoder: AnyEncoder, read: Callable[[Rows], NDArray[np.uint8]], rows: Rows, batch_size: int
) -> Iterator[tuple[Rows, Vectors]]:
    """Yield rows and their vectors, batch by batch; `read` runs two batches ahead in a thread."""
    parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]

    def fetch(part: Rows) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(read(part)))
        return pixels.pin_memory() if encoder.engine.device.type == "cuda" else pixels

    for part, pixels in zip(parts, read_ahead(fetch, parts, depth=2), strict=True):
        with torch.inference_mode():
            vectors = encoder.features(pixels).cpu().numpy()
        yield part, vectors
