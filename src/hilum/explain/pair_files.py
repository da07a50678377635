"""Insertion and deletion of pairs as files: ours, and X-MIR's two."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hilum.evaluate.layout import write_rows
from hilum.explain.localisation import MODEL
from hilum.explain.pair_scores import KINDS, PairScores

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
    folder.mkdir(parents=True, exist_ok=True)
    plain, table = folder / f"{FIDELITY}.json", folder / f"{FIDELITY}.csv"
    curves = folder / CURVES
    _write(plain, scores.to_json())
    unfinished = table.with_name(f"{table.name}.part")
    write_rows(unfinished, scores.rows())
    unfinished.replace(table)
    unfinished = curves.with_name(f"{curves.name}.part")
    arrays: dict[str, Any] = {
        f"{series}_{kind}": getattr(own, kind)
        for series, own in scores.curves.items()
        for kind in KINDS
    }
    with unfinished.open("wb") as out:
        np.savez_compressed(
            out, query=np.array(scores.queries), retrieved=np.array(scores.retrieved),
            rank=scores.ranks, **arrays,
        )  # fmt: skip
    unfinished.replace(curves)
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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = _file_names(collection, {*scores.queries, *scores.retrieved})
    areas = scores.areas(MODEL)
    numbers: dict[str, list[list[float]]] = {}
    keys: dict[str, list[str]] = {}
    for at, query in enumerate(scores.queries):
        own = numbers.setdefault(names[query], [[], []])
        for kind in (0, 1):
            own[kind].append(float(areas[at, kind]))
        keys.setdefault(names[query], []).append(f"{names[scores.retrieved[at]]}.npy")
    paths = tuple(folder / name for name in X_MIR)
    _write(paths[0], numbers)
    _write(paths[1], keys)
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


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(
        json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )  # fmt: skip
    unfinished.replace(path)
