"""From a collection and a model to maps: one pass per batch, one gradient per finding."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hilum.errors import CollectionError, UsageError
from hilum.explain.cam import METHODS, Maps
from hilum.explain.capture import Capture, capture
from hilum.explain.diagnosis import Diagnosis, diagnose, where_gradient_ends
from hilum.explain.layers import Forward, Layer, find_layer
from hilum.explain.model import AnyModel, Explained, explained
from hilum.explain.placement import find_offset
from hilum.explain.saliency import Origin, Saliency, joined
from hilum.images import Geometry
from hilum.progress import Progress, silent

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.explain.regions import Regions
    from hilum.zeroshot.wordings import Given

Rows = NDArray[np.int64]


def explain(
    collection: "Collection",
    model: AnyModel,
    images: Sequence[str] | None = None,
    *,
    findings: Sequence[str] | None = None,
    method: str = "grad-cam",
    layer: str | None = None,
    marked: "Regions | None" = None,
    prompts: "Given | None" = None,
    batch_size: int = 16,
    device: str = "auto",
    progress: Progress = silent,
) -> Saliency:
    """Map what in an image speaks for a finding, as a network sees it.

    Parameters
    ----------
    collection
        Where the images are; with pixels.
    model
        A classifier, a pair of encoders, or the run or file of one.
    images
        Ids; all of the view if not given.
    findings
        What to explain; all that the model scores if not given. A pair must be asked.
    method
        One of `METHODS`.
    layer
        Of the network, as its modules are named; found if not given.
    marked
        Only images and findings that are marked there.
    prompts
        Wordings of one's own, for a pair.
    batch_size
        Images at a time.
    device
        ``auto``, ``cpu`` or ``cuda``, for a model that is loaded here.
    progress
        Called after every batch.

    Returns
    -------
    A map per image and finding, images in the order asked for.

    Raises
    ------
    UsageError
        If the method, the layer or a finding does not exist, or there is nothing to explain.
    CollectionError
        If an image is not in the view, or there are no pixels.
    WeightsError
        If the model cannot be loaded.

    Notes
    -----
    Computed in float32 whatever the model's engine: a map is a sum over hundreds of channels
    that nearly cancel, and bfloat16 keeps eight bits of each.
    """
    if method not in METHODS:
        raise UsageError(f"{method!r} is not a method; choose from {', '.join(METHODS)}")
    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1; got {batch_size}")
    network = explained(model, findings, prompts=prompts, device=device)
    columns = [network.column(one) for one in findings or network.findings]
    rows, wanted = _wanted(collection, images, network, dict.fromkeys(columns), marked)
    shape = (network.image.channels, network.image.size, network.image.size)
    found = find_layer(network.module, network.see, shape, layer)
    offset = find_offset(network.module, network.see, found, shape)
    work = _Work(collection, network, found, method, offset)
    parts: list[Saliency] = []
    progress(0, len(rows))
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        parts += list(work.batch(rows[part], wanted[part]))
        progress(min(start + batch_size, len(rows)), len(rows))
    maps = joined(parts)
    place = {work.ids[row]: at for at, row in enumerate(rows)}
    return maps.take(
        sorted(
            range(len(maps)),
            key=lambda at: (
                place[maps.image_ids[at]],
                columns.index(network.column(maps.targets[at])),
            ),
        )
    )


def _wanted(
    collection: "Collection",
    images: Sequence[str] | None,
    network: Explained,
    columns: dict[int, None],
    marked: "Regions | None",
) -> tuple[Rows, NDArray[np.bool_]]:
    """Return the rows to explain, and which outputs of each, (n_rows, n_outputs)."""
    ids = collection.ids()
    place = {image: row for row, image in enumerate(ids)}
    asked = list(dict.fromkeys(ids if images is None else images))
    if strange := [image for image in asked if image not in place]:
        raise CollectionError(
            f"{collection.uri}: has no image {strange[0]!r}"
            + (f", nor {len(strange) - 1} others" if len(strange) > 1 else "")
        )
    wanted = np.zeros((len(asked), len(network.findings)), dtype=bool)
    for column in columns:
        name = network.findings[column]
        wanted[:, column] = [marked is None or marked.has(image, name) for image in asked]
    kept = wanted.any(axis=1)
    if not kept.any():
        names = ", ".join(network.findings[column] for column in columns)
        raise UsageError(
            "there is no image to explain"
            if marked is None
            else f"none of the {len(asked)} images has {names} marked by {marked.kind}"
        )
    rows = np.array([place[image] for image in asked], dtype=np.int64)
    return rows[kept], wanted[kept]


class _Work:
    """What stays the same from batch to batch."""

    def __init__(
        self, collection: "Collection", network: Explained, layer: Layer, method: str, offset: float
    ) -> None:
        self.collection, self.network, self.layer = collection, network, layer
        self.method, self.offset = method, offset
        self.ids = collection.ids()
        frames = collection.table(["geometry"])["geometry"].to_list()
        self.geometries = [None if one is None else Geometry(**one) for one in frames]
        self.features = None if network.features is None else network.features(collection)

    def batch(self, rows: Rows, wanted: NDArray[np.bool_]) -> Iterator[Saliency]:
        """Yield the maps of one finding after another, of the rows that want it."""
        images = self.network.prepare(self.collection.pixels(rows))
        held = capture(self.network.module, self._forward(rows), images, self.layer)
        activations = _array(held.activations)
        for column in np.flatnonzero(wanted.any(axis=0)):
            own = np.flatnonzero(wanted[:, column])
            signed, diagnoses = self._maps(held, activations, int(column), own)
            self._trace(diagnoses, images, rows, own, int(column))
            said = _array(held.outputs)[own, column]
            yield self._saliency(rows[own], int(column), signed, diagnoses, said)

    def _forward(self, rows: Rows) -> Forward:
        features = None if self.features is None else torch.from_numpy(self.features[rows])
        known = None if features is None else features.to(self.network.device)
        return lambda images: self.network.forward(images, known)

    def _maps(
        self, held: Capture, activations: Maps, column: int, own: Rows
    ) -> tuple[Maps, list[Diagnosis]]:
        slopes = held.slopes(held.total(column))
        gradients = _array(held.layer.frame.to_map(slopes))[own]
        beside = _array(held.layer.frame.beside_map(slopes))[own]
        signed = METHODS[self.method](activations[own], gradients)
        return signed, diagnose(signed, activations[own], gradients, beside)

    def _trace(
        self, diagnoses: list[Diagnosis], images: Tensor, rows: Rows, own: Rows, column: int
    ) -> None:
        """Say of maps that no gradient reaches where it ends."""
        lost = [at for at, one in enumerate(diagnoses) if one.kind == "no-gradient"]
        if not lost:
            return
        picked = own[lost]
        said = where_gradient_ends(
            self.network.module, self._forward(rows[picked]), images[picked], self.layer, column
        )
        for at, text in zip(lost, said, strict=True):
            diagnoses[at] = replace(diagnoses[at], ends=text)

    def _saliency(
        self,
        rows: Rows,
        column: int,
        signed: Maps,
        diagnoses: Sequence[Diagnosis],
        logits: NDArray[np.float32],
    ) -> Saliency:
        return Saliency(
            tuple(self.ids[row] for row in rows),
            (self.network.findings[column],) * len(rows),
            signed,
            tuple(self._geometry(row) for row in rows),
            logits,
            tuple(diagnoses),
            self.origin,
        )

    def _geometry(self, row: int) -> Geometry:
        found = self.geometries[row]
        assert found is not None  # whoever has pixels has a geometry
        return found

    @property
    def origin(self) -> Origin:
        """What the maps are made by."""
        network, frame = self.network, self.layer.frame
        return Origin(
            self.method, self.layer.name, (frame.height, frame.width), network.name,
            network.fingerprint, network.image.size, self.collection.uri, self.collection.version,
            self.offset,
        )  # fmt: skip


def _array(tensor: Tensor) -> Maps:
    found: Maps = tensor.detach().float().cpu().numpy()
    return found
