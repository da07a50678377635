"""`hilum explain --query`: why an encoder holds images for similar."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilum.cli.console import emit, note, progress_bar
from hilum.errors import UsageError

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.explain import Localisation, Regions, Saliency
    from hilum.explain.compared import Compared
    from hilum.explain.pair_scores import PairScores


@dataclass(frozen=True)
class Asked:
    """What is asked of a query and its cases; see `hilum explain --help`."""

    query: str
    where: str | None
    retrieved: list[str] | None
    k: int
    embedding: str | None
    method: str
    layer: str | None
    settings: dict[str, Any]
    fidelity: bool
    steps: int
    x_mir_json: bool
    masks: Path | None
    counting: dict[str, Any]
    pictures: int
    batch: int
    device: str


def similar(
    collection: "Collection", model: str, out: Path, asked: Asked, *, as_json: bool
) -> None:
    """Map, score, draw and print; the query may lie outside the images looked at."""
    from hilum.appraisal.heat_maps import Showing
    from hilum.appraisal.outputs import check_own
    from hilum.appraisal.similar_cases import PAIR_FILES, write_pairs
    from hilum.encoders import load_encoder
    from hilum.encoders.device import choose_engine
    from hilum.explain.files import ABOUT
    from hilum.explain.similarity import compared, explain_similar

    _check(asked)
    check_own(out, ABOUT, PAIR_FILES)
    view = _with_query(collection, asked)
    encoder = load_encoder(model, engine=choose_engine(asked.device))
    images = asked.retrieved or _nearest(collection, asked)
    network = compared(encoder, asked.layer, batch_size=asked.batch)
    with progress_bar("explain"):
        if asked.embedding is not None:
            from hilum.retrieve.query import check_same_space

            check_same_space(view, asked.embedding, encoder)
        maps = explain_similar(
            view, network, asked.query, images, method=asked.method, settings=asked.settings
        )
    marked = _marked(view, asked, [asked.query, *images]) if asked.fidelity else None
    fidelity, found = _measure(view, network, maps, marked, asked)
    with progress_bar("draw") as progress:
        made = write_pairs(
            Showing(maps, view, marked), out, fidelity, found, x_mir=asked.x_mir_json,
            most=asked.pictures, progress=progress,
        )  # fmt: skip
    _remark(maps)
    data = {
        "query": asked.query,
        "cases": [
            {"rank": at, "image_id": image, "cosine": round(float(maps.logits[at - 1]), 6)}
            for at, image in enumerate(maps.image_ids[: _count(maps)], 1)
        ],
        "maps": len(maps), "blank": maps.blank(), "files": [str(one) for one in made.files],
        "pictures": [str(one) for one in made.pictures],
        "fidelity": None if fidelity is None else fidelity.to_json(),
        "scores": None if found is None else found.to_json(),
    }  # fmt: skip
    emit(data, as_json=as_json, text=_text(maps, out, fidelity, found))


def _check(asked: Asked) -> None:
    if asked.retrieved is None and asked.embedding is None:
        raise UsageError(
            "name the images that were retrieved, or an --embedding by which the nearest are found"
        )


def _with_query(collection: "Collection", asked: Asked) -> "Collection":
    """Return the images that --where keeps, and the query."""
    if asked.where is None:
        return collection
    collection.where(asked.where)  # what is wrong with it is said of it alone
    quoted = asked.query.replace("'", "''")
    return collection.where(f"({asked.where}) OR image_id = '{quoted}'")


def _nearest(collection: "Collection", asked: Asked) -> list[str]:
    from hilum.retrieve import retrieve

    assert asked.embedding is not None
    found = retrieve(collection, asked.embedding, like=asked.query, k=asked.k, where=asked.where)
    return list(found.ids)


def _marked(view: "Collection", asked: Asked, images: list[str]) -> "Regions | None":
    """Return what is marked in the images: in files if they are given, else by boxes, if any."""
    from hilum.explain import boxes_of, read_masks

    if asked.masks is not None:
        return read_masks(asked.masks, images)
    try:
        return boxes_of(view)
    except UsageError:  # the collection has none
        return None


def _measure(
    view: "Collection", network: "Compared", maps: "Saliency", marked: "Regions | None",
    asked: Asked,
) -> "tuple[PairScores | None, Localisation | None]":  # fmt: skip
    from hilum.explain import score_maps
    from hilum.explain.insertion import Steps
    from hilum.explain.pair_scores import as_findings, score_pairs

    if not asked.fidelity:
        return None, None
    counting = {name: asked.counting[name] for name in ("bootstrap", "level", "seed")}
    with progress_bar("insert and delete") as progress:
        scores = score_pairs(
            [maps], view, network, Steps(asked.steps), progress=progress, **counting
        )
    pointing = None if marked is None else as_findings(maps, marked)
    if pointing is None:
        return scores, None
    assert marked is not None
    return scores, score_maps(pointing, marked, view, **asked.counting)


def _count(maps: "Saliency") -> int:
    from hilum.explain.pair_scores import of_retrieved

    return len(of_retrieved(maps)[1])


def _text(
    maps: "Saliency", out: Path, fidelity: "PairScores | None", found: "Localisation | None"
) -> str:
    areas = None if fidelity is None else fidelity.areas()
    lines = [] if areas is None else [f"{'rank':>4}  cosine  insertion  deletion"]
    for at in range(_count(maps)):
        own = "" if areas is None else f"  {areas[at, 0]:9.4f}  {areas[at, 1]:8.4f}"
        lines.append(f"{at + 1:>4}  {maps.logits[at]:.4f}{own}  {maps.image_ids[at]}")
    lines.append(f"{len(maps)} maps in {out}")
    lines += ["", fidelity.to_text()] if fidelity is not None else []
    lines += ["", found.to_text()] if found is not None else []
    return "\n".join(lines)


def _remark(maps: "Saliency") -> None:
    from hilum.explain.diagnosis import WORDS

    for kind, number in maps.blank().items():
        note(f"{number} of {len(maps)} maps are blank: {WORDS[kind]}")
