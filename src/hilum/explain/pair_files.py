"""Insertion and deletion of pairs as files: ours, and X-MIR's two."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hilum.evaluate.layout import write_rows
from hilum.explain.localisation import MODEL
from hilum.explain.pair_scores import KINDS, PairScores
from hilum.files import replacing, write_json

if TYPE_CHECKING:
    from hilum.collection import Collection

FIDELITY: Final = "fidelity"
CURVES: Final = "curves.npz"
X_MIR: Final = ("inser_dele.json", "key_list.json")


def save_pair_scores(scores: PairScores, folder: str | Path) -> tuple[Path, ...]:
    """Write ``fidelity.json``, ``fidelity.csv`` and ``curves.npz``; return the three.

    Parameters
    ----------
    scores
        From `score_pairs`.
    folder
        Made if absent.
    """
    folder = Path(folder)
    plain, table = folder / f"{FIDELITY}.json", folder / f"{FIDELITY}.csv"
    curves = folder / CURVES
    write_json(plain, scores.to_json(), indent=1)
    with replacing(table) as temporary:
        write_rows(temporary, scores.rows())
    arrays: dict[str, Any] = {
        f"{series}_{kind}": getattr(own, kind)
        for series, own in scores.curves.items()
        for kind in KINDS
    }
    with replacing(curves) as temporary, temporary.open("wb") as out:
        np.savez_compressed(
            out, query=np.array(scores.queries), retrieved=np.array(scores.retrieved),
            rank=scores.ranks, **arrays,
        )  # fmt: skip
    return plain, table, curves


def save_x_mir(
    scores: PairScores, collection: "Collection", folder: str | Path
) -> tuple[Path, ...]:
    """Write areas as X-MIR's evaluation does, with full file names as keys; return both files.

    ``inser_dele.json`` is {query: [[insertion of each retrieved image], [deletion of each]]},
    ``key_list.json`` {query: [each retrieved image's file name and .npy]}. Theirs cuts names at
    the first dot, so that different queries share a key.

    Parameters
    ----------
    scores
        From `score_pairs`.
    collection
        Knows the files' names; where two images have files of one name, the whole path is used.
    folder
        Made if absent.
    """
    names = _file_names(collection, {*scores.queries, *scores.retrieved})
    areas = scores.areas(MODEL)
    numbers: dict[str, list[list[float]]] = {}
    keys: dict[str, list[str]] = {}
    for at, query in enumerate(scores.queries):
        own = numbers.setdefault(names[query], [[], []])
        for kind in (0, 1):
            own[kind].append(float(areas[at, kind]))
        keys.setdefault(names[query], []).append(f"{names[scores.retrieved[at]]}.npy")
    paths = tuple(Path(folder) / name for name in X_MIR)
    write_json(paths[0], numbers, indent=1)
    write_json(paths[1], keys, indent=1)
    return paths


def _file_names(collection: "Collection", images: set[str]) -> dict[str, str]:
    frame = collection.table(["image_id", "file"])
    paths = {
        image: str(file or image)
        for image, file in zip(frame["image_id"], frame["file"], strict=True)
        if image in images
    }
    short = {image: path.rsplit("/", 1)[-1] for image, path in paths.items()}
    alone = len(set(short.values())) == len(short)
    return short if alone else paths
