"""Why images of a collection are similar: every method by name, and maps by id."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.encoders import Encoder, PairEncoder, load_encoder
from hilum.encoders.device import choose_engine
from hilum.encoders.pair import PairModule
from hilum.errors import CollectionError, UsageError
from hilum.explain.cam import Maps
from hilum.explain.compared import Compared, Method, Pixels, SimilarMaps
from hilum.explain.diagnosis import diagnose_pair
from hilum.explain.feature_masks import feature_occlusion
from hilum.explain.masked import X_MIR, Masking
from hilum.explain.relevance import relevance
from hilum.explain.rise import rise
from hilum.explain.saliency import Origin, Saliency
from hilum.explain.sbsm import sbsm
from hilum.explain.simatt import simatt
from hilum.explain.simcam import simcam
from hilum.explain.similarity_scorecam import similarity_score_cam
from hilum.images import Geometry
from hilum.retrieve.query import check_same_space

if TYPE_CHECKING:
    from hilum.collection import Collection

AnyImageEncoder = Encoder | PairEncoder | str | Path
Part = NDArray[np.bool_]

X_MIR_SIDE: Final = 224  # pixels, for which windows and strides are published


def sliding_windows(
    network: Compared,
    query: Pixels,
    retrieved: Pixels,
    *,
    window: int | None = None,
    stride: int | None = None,
    convention: str = "x-mir",
    fill: float | tuple[float, ...] | None = None,
    fast: bool = False,
    forwards: int | None = None,
    store: str | Path | None = None,
) -> SimilarMaps:
    """Map which windows, hidden, move retrieved images away: `hilum.explain.sbsm.sbsm`.

    Parameters
    ----------
    network, query, retrieved
        As there.
    window, stride
        In pixels of the network's square; X-MIR's 24 and 5 of 224 pixels, in proportion, if not
        given.
    convention, fill, fast
        As in `hilum.explain.masked.Masking`.
    forwards, store
        As there.
    """
    masking = replace(
        in_proportion(network, window, stride), convention=convention, fill=fill, fast=fast
    )
    return sbsm(network, query, retrieved, masking=masking, forwards=forwards, store=store)


def from_examples(
    network: Compared,
    query: Pixels,
    retrieved: Pixels,
    *,
    dissimilar: Pixels,
    similar: Pixels | None = None,
    judge: str = "logistic",
    window: int | None = None,
    stride: int | None = None,
    fast: bool = False,
    store: str | Path | None = None,
) -> SimilarMaps:
    """Map what makes retrieved images ones of the similar: `hilum.explain.relevance.relevance`.

    Parameters
    ----------
    network, query, retrieved, dissimilar, similar, judge, store
        As there.
    window, stride, fast
        As `sliding_windows`.
    """
    masking = replace(in_proportion(network, window, stride), fast=fast)
    return relevance(
        network, query, retrieved, dissimilar=dissimilar, similar=similar, judge=judge,
        masking=masking, store=store,
    )  # fmt: skip


def in_proportion(network: Compared, window: int | None, stride: int | None) -> Masking:
    """Return windows of a size and stride; what is not given is X-MIR's share of the image."""
    share = network.spec.size / X_MIR_SIDE
    return Masking(
        window=max(1, round(X_MIR.window * share)) if window is None else window,
        stride=max(1, round(X_MIR.stride * share)) if stride is None else stride,
    )


SIMILARITY: Final[dict[str, Method]] = {
    "sbsm": sliding_windows,
    "simcam": simcam,
    "simatt": simatt,
    "feature-masks": feature_occlusion,
    "score-cam": similarity_score_cam,
    "rise": rise,
    "relevance": from_examples,
}
"""Why two images are similar, by name; all have one contract (`hilum.explain.compared`)."""


EXAMPLES: Final = frozenset({"negatives", "similar", "dissimilar"})
"""Settings that are images: of a collection, they are given as ids."""


class ImageTower(nn.Module):
    """The image side of a pair of encoders, as an encoder of images.

    Parameters
    ----------
    pair
        Both sides.
    """

    def __init__(self, pair: PairModule) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, dim)."""
        return self.pair.image_features(images)


def compared(
    encoder: AnyImageEncoder,
    layer: str | None = None,
    *,
    batch_size: int = 32,
    device: str = "auto",
) -> Compared:
    """Make an encoder, a pair of encoders, or the run or file of one ready to be explained.

    Raises
    ------
    WeightsError
        If it cannot be loaded.
    UsageError
        As `Compared`.
    """
    loaded = _loaded(encoder, device)
    if isinstance(loaded, PairEncoder):
        loaded = Encoder(loaded.spec.image, ImageTower(loaded.module), loaded.engine)
    return Compared(loaded, layer, batch_size=batch_size)


def explain_similar(
    collection: "Collection",
    encoder: AnyImageEncoder | Compared,
    query: str,
    retrieved: Sequence[str],
    *,
    method: str = "sbsm",
    layer: str | None = None,
    embedding: str | None = None,
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    device: str = "auto",
) -> Saliency:
    """Map why images are similar to a query, as an encoder sees it.

    Parameters
    ----------
    collection
        Where all of them are; with pixels.
    encoder
        What compares them, or the run or file of it; a `Compared` has its own layer.
    query
        An id.
    retrieved
        Ids, nearest first; the query itself may be among them.
    method
        One of `SIMILARITY`.
    layer
        Of the network, for methods that open it; found if not given.
    embedding
        By whose vectors the images were retrieved: refused if another encoder made them.
    settings
        Of the method, by name; images (`EXAMPLES`) as ids.
    batch_size
        Images at a time.
    device
        ``auto``, ``cpu`` or ``cuda``, for an encoder that is loaded here.

    Returns
    -------
    A map of each retrieved image (its target is the query); then, of methods that give them, maps
    of the query, one per retrieved image (its target).

    Raises
    ------
    UsageError
        If the method, a setting or the layer does not exist, no image is given, or the embedding
        is another encoder's.
    CollectionError
        If an image is not in the view, or there are no pixels.
    WeightsError
        If the encoder cannot be loaded.
    """
    given = dict(settings or {})
    run = _method(method, given)
    found = list(dict.fromkeys(retrieved))
    if not found:
        raise UsageError(f"there is no retrieved image to compare {query!r} with")
    if not isinstance(encoder, Compared):
        encoder = _loaded(encoder, device)
        if embedding is not None:
            check_same_space(collection, embedding, encoder)
        encoder = compared(encoder, layer, batch_size=batch_size)
    network = encoder
    asked, *others = _films(collection, [query, *found])
    for name in EXAMPLES & set(given):
        given[name] = np.stack([one.pixels for one in _films(collection, _ids(given[name]))])
    maps = run(network, asked.pixels, np.stack([one.pixels for one in others]), **given)
    units = network.embed_unit(network.prepare(np.stack([one.pixels for one in (asked, *others)])))
    cosines = (units[1:] @ units[0]).cpu().numpy()
    return _saliency(collection, network, method, maps, asked, others, cosines)


def _ids(given: Any) -> list[str]:
    """Return ids that were given as one or as several."""
    return [given] if isinstance(given, str) else [str(one) for one in given]


class _Film:
    """One image with where it lies in its square."""

    def __init__(self, image_id: str, pixels: Pixels, geometry: Geometry) -> None:
        self.image_id, self.pixels, self.geometry = image_id, pixels, geometry


def _films(collection: "Collection", images: Sequence[str]) -> list[_Film]:
    frame = collection.table(["image_id", "geometry"])
    place = {image: row for row, image in enumerate(frame["image_id"])}
    if strange := [image for image in images if image not in place]:
        raise CollectionError(
            f"{collection.uri}: has no image {strange[0]!r}"
            + (f", nor {len(strange) - 1} others" if len(strange) > 1 else "")
        )
    rows = [place[image] for image in images]
    pixels = collection.pixels(rows)
    return [
        _Film(image, pixels[at], Geometry(**frame["geometry"][rows[at]]))
        for at, image in enumerate(images)
    ]


def _method(name: str, settings: Mapping[str, Any]) -> Method:
    if name not in SIMILARITY:
        raise UsageError(
            f"{name!r} is not a method for pairs of images; choose from {', '.join(SIMILARITY)}"
        )
    known = [
        one
        for one in inspect.signature(SIMILARITY[name]).parameters.values()
        if one.kind is one.KEYWORD_ONLY
    ]
    names = [one.name for one in known]
    if strange := [one for one in settings if one not in names]:
        raise UsageError(f"{name} has no setting {strange[0]!r}; it has {', '.join(names)}")
    needed = [one.name for one in known if one.default is one.empty]
    if missing := [one for one in needed if one not in settings]:
        raise UsageError(f"{name} needs the setting {missing[0]!r}, ids of images")
    return SIMILARITY[name]


def _loaded(encoder: AnyImageEncoder, device: str) -> Encoder | PairEncoder:
    if isinstance(encoder, str | Path):
        return load_encoder(encoder, engine=choose_engine(device))
    return encoder


def _saliency(
    collection: "Collection", network: Compared, method: str, maps: SimilarMaps, asked: _Film,
    others: Sequence[_Film], cosines: Maps,
) -> Saliency:  # fmt: skip
    pairs = [(one, asked) for one in others]
    heats, said = [*maps.retrieved], [*cosines]
    if maps.query is not None:
        for at, one in enumerate(others):
            if one.image_id != asked.image_id:  # an image and itself have one map
                pairs.append((asked, one))
                heats.append(maps.query[at])
                said.append(cosines[at])
    signed = np.stack(heats)
    spec = network.spec
    named = "pixels" if signed.shape[1:] == (spec.size, spec.size) else network.layer.name
    origin = Origin(
        method, named, (signed.shape[1], signed.shape[2]), f"encoder {spec.architecture}",
        network.encoder.fingerprint, spec.size, collection.uri, collection.version,
        maps.offset, "pair",
    )  # fmt: skip
    return Saliency(
        tuple(one.image_id for one, _ in pairs),
        tuple(other.image_id for _, other in pairs),
        signed,
        tuple(one.geometry for one, _ in pairs),
        np.array(said, np.float32),
        tuple(diagnose_pair(one) for one in signed),
        origin,
    )
