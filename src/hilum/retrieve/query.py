"""What is looked for, as a vector: a sentence, an image of the collection, or a file."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from hilum.collection.sql import images
from hilum.errors import UsageError
from hilum.retrieve.cases import Cases, Vectors, among
from hilum.retrieve.searching import Aside, Index, answer, unit
from hilum.zeroshot.sentences import encode_sentences, pair_from

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.encoders import Encoder, PairEncoder
    from hilum.encoders.weights import AnyEncoder


def retrieve(
    collection: "Collection",
    embedding: str,
    *,
    text: str | None = None,
    like: str | Path | None = None,
    encoder: "AnyEncoder | str | Path | None" = None,
    k: int = 10,
    where: str | None = None,
    same_patient: bool = False,
    index: Index = "auto",
    device: str = "auto",
) -> Cases:
    """Find the images of a collection that are nearest to a sentence or to an image.

    Parameters
    ----------
    collection
        Where the images are.
    embedding
        The name of their vectors.
    text
        What to look for, in words; `encoder` must be the pair that made the vectors.
    like
        An image to look for the like of: an id of the collection, or a file (DICOM, PNG, JPEG)
        that was never ingested, which `encoder` then encodes.
    encoder
        The encoder that made the vectors, or what `load_encoder` takes; not needed for an id.
    k
        How many images; fewer if there are fewer.
    where
        SQL: only among images that fulfil it.
    same_patient
        Whether other images of the patient of an image of the collection may be found. That image
        itself never is.
    index
        ``"exact"`` compares every vector; ``"ann"`` those that the index of `hilum index` puts near
        the query, which can miss one; ``"auto"`` takes the index where there is one and the
        collection is large (`searching.ANN_FROM`). Scores and their order are exact either way.
    device
        ``auto``, ``cpu`` or ``cuda``, for an encoder that is loaded here.

    Returns
    -------
    The nearest by cosine first; of equally near images the first of the collection.

    Raises
    ------
    UsageError
        If there is no index where one is asked for, not one of `text` and `like` is given, the
        text is empty or longer than the encoder reads, `like` is neither an id nor a file, `k` is
        below 1, no image is left to be found, or the embedding is another encoder's.
    ImageError
        If the file cannot become a picture.
    WeightsError
        If the encoder cannot be loaded, or reads images alone where there is a text.
    CollectionError
        If there is no such embedding, images have no vector, or `where` cannot be evaluated.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1; got {k}")
    if (text is None) == (like is None):
        raise UsageError("give a text or an image to look for the like of, one of the two")
    view = among(collection, where)
    aside: Aside | None = None
    query: str | NDArray[np.uint8] | None = None
    if text is not None:
        vector = _of_text(view, embedding, text, encoder, device)
    elif isinstance(like, str) and (at := _row_of(collection, like)) is not None:
        vector, query = unit(at.vectors(embedding)[1])[0], like
        aside = _aside(at, same_patient=same_patient)
    else:
        vector, query = _of_file(view, embedding, Path(str(like)), encoder, device)
    found = answer(view, embedding, vector, k, aside, index)
    return replace(found, query=query, wanted=k)


def _of_text(
    view: "Collection", embedding: str, text: str, encoder: "AnyEncoder | str | Path | None",
    device: str,
) -> Vectors:  # fmt: skip
    if not text.strip():
        raise UsageError("the text is empty: what is to be looked for?")
    if encoder is None:
        raise UsageError("a text needs the pair of encoders that made the vectors; name it")
    pair = pair_from(encoder, device)  # type: ignore[arg-type] # which refuses one of images alone
    check_same_space(view, embedding, pair)
    found: Vectors = encode_sentences(pair, [text])[0]
    return found


def _of_file(
    view: "Collection", embedding: str, path: Path, encoder: "AnyEncoder | str | Path | None",
    device: str,
) -> tuple[Vectors, NDArray[np.uint8]]:  # fmt: skip
    from hilum.encoders import load_encoder
    from hilum.encoders.device import choose_engine
    from hilum.images import Channels, Resize, read_picture

    if not path.is_file():
        raise UsageError(
            f"{str(path)!r} is neither the id of an image of the collection nor a file"
        )
    if encoder is None:
        raise UsageError(f"{path} is not in the collection: name the encoder that made the vectors")
    if not view.size:
        raise UsageError("the collection has no pixels: how large a file is to be is unknown")
    if isinstance(encoder, str | Path):
        encoder = load_encoder(encoder, engine=choose_engine(device))
    check_same_space(view, embedding, encoder)
    made = view.settings  # the file becomes what it would be in the collection
    resize, channels = cast(Resize, made.resize), cast(Channels, made.channels)
    picture = read_picture(path, view.size, resize=resize, channels=channels)
    vector: Vectors = unit(encoder.encode_images(picture.pixels[None]))[0]
    return vector, picture.pixels


def _row_of(collection: "Collection", image: str) -> "Collection | None":
    """Return the view of one image, or None if the collection has none of this id."""
    view = collection.where(images([image]))
    return view if len(view) else None


def _aside(image: "Collection", *, same_patient: bool) -> Aside:
    """Return what may not be found for an image of the collection."""
    facts = image.table(["image_id", "patient_id"]).row(0, named=True)
    name = "image_id" if same_patient else "patient_id"
    return Aside(name, facts[name])


def check_same_space(
    collection: "Collection", embedding: str, encoder: "Encoder | PairEncoder"
) -> None:
    """Raise UsageError unless this encoder, or the image side of this pair, made an embedding."""
    info = collection.embeddings.get(embedding)
    if info is not None and info.fingerprint != encoder.fingerprint:
        raise UsageError(
            f"embedding {embedding!r} was made by {info.encoder} (fingerprint "
            f"{info.fingerprint[:12]}), not by this encoder, {encoder.spec.architecture} "
            f"({encoder.fingerprint[:12]}): query and images would lie in different spaces. Make "
            "one with: hilum embed, with the same encoder"
        )
