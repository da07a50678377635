"""Maps and their scores as files: one archive of arrays, and JSON and CSV beside it."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import TableError
from hilum.evaluate.layout import write_rows
from hilum.explain.localisation import Localisation
from hilum.explain.saliency import Saliency
from hilum.files import replacing, write_json
from hilum.images import Geometry

MAPS: Final = "maps.npz"
ABOUT: Final = "maps.json"
SCORES: Final = "scores"

_SAID: Final = {"finding": "logit", "pair": "cosine"}
_SIDES: Final = tuple(field.name for field in fields(Geometry))


def save_maps(saliency: Saliency, folder: str | Path) -> tuple[Path, Path]:
    """Write ``maps.npz`` and ``maps.json``; each appears complete or not at all.

    Parameters
    ----------
    saliency
        The maps.
    folder
        Made if absent.

    Returns
    -------
    The two files.
    """
    archive, about = Path(folder) / MAPS, Path(folder) / ABOUT
    said: dict[str, Any] = {_SAID[saliency.origin.explains]: saliency.logits}
    with replacing(archive) as temporary, temporary.open("wb") as out:
        np.savez_compressed(
            out,
            maps=saliency.signed,
            image_id=np.array(saliency.image_ids),
            target=np.array(saliency.targets),
            **said,
            blank=np.array([one.blank for one in saliency.diagnoses]),
            geometry=np.array(
                [[getattr(one, side) for side in _SIDES] for one in saliency.geometries], np.int32
            ),
        )
    write_json(about, saliency.to_json(), indent=1)
    return archive, about


def read_maps(folder: str | Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of ``maps.npz``; `Geometry` takes a row of ``geometry`` as it is.

    Raises
    ------
    TableError
        If there is no such file.
    """
    path = Path(folder) / MAPS
    if not path.is_file():
        raise TableError(f"{folder}: holds no {MAPS}; hilum explain --out writes one")
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def save_scores(found: Localisation, folder: str | Path) -> tuple[Path, Path]:
    """Write ``scores.json`` and ``scores.csv``; return both."""
    plain, table = Path(folder) / f"{SCORES}.json", Path(folder) / f"{SCORES}.csv"
    write_json(plain, found.to_json(), indent=1)
    with replacing(table) as temporary:
        write_rows(temporary, found.rows())
    return plain, table
