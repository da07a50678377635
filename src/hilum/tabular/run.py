"""A run on disk: what was asked, the model, and what it did on validation patients.

::

    settings.json        everything that decides the result
    model.safetensors    the model (`hilum.tabular.weights`)
    metrics.json         validation metrics and choices; written last
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hilum.errors import RunError
from hilum.files import write_json
from hilum.progress import Progress, silent
from hilum.tabular.fitting import Fitted, Recipe, fit_material, gather
from hilum.tabular.model import TabularModel
from hilum.tabular.weights import FILE_NAME, load, save

if TYPE_CHECKING:
    from hilum.collection import Collection

SETTINGS: Final = "settings.json"
METRICS: Final = "metrics.json"


def train(
    collection: "Collection",
    run: str | Path,
    recipe: Recipe = Recipe(),  # noqa: B008 (immutable)
    progress: Progress = silent,
) -> TabularModel:
    """Fit a model as `hilum.tabular.fit` does, into a run folder.

    A run that is finished is not computed again: the same settings on the same images give its
    model. One that was stopped starts again.

    Parameters
    ----------
    collection
        A view of the images to learn from.
    run
        A new folder, or one of a run with the same settings.
    recipe
        What is asked.
    progress
        Told of every finding.

    Raises
    ------
    RunError
        If the folder holds something else, or a run with other settings.
    UsageError, CollectionError
        As in `hilum.tabular.fit`.
    """
    run = Path(run)
    material = gather(collection, recipe)
    images = {split: len(features) for split, features in material.features.items()}
    asked = {
        "model": "tabular",
        **asdict(recipe),
        "findings": material.labels["train"].findings,
        "images": images,
        "data": material.digest(),
    }
    settings = json.loads(json.dumps(asked))
    _open(run, settings)
    if (run / METRICS).exists():
        return load(run)
    fitted = fit_material(material, progress)
    save(fitted.model, run / FILE_NAME)
    write_json(run / METRICS, _metrics(fitted, recipe))
    return fitted.model


def _metrics(fitted: Fitted, recipe: Recipe) -> dict[str, Any]:
    measured = None if fitted.validation is None else fitted.validation.to_json()
    return {
        "split": "val",
        "refitted_after": recipe.refit,
        "validation": measured,
        "choices": fitted.choices,
        "notes": dict(fitted.model.notes),
    }


def _open(run: Path, settings: dict[str, Any]) -> None:
    path = run / SETTINGS
    if not path.exists():
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise RunError(f"{run}: not empty and not a run; name a new folder")
        run.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: not readable as JSON ({error})") from error
    if before != settings:
        known = before if isinstance(before, dict) else {}
        names = sorted({*known, *settings})
        differing = [name for name in names if known.get(name) != settings.get(name)]
        raise RunError(
            f"{run}: is a run with other settings ({', '.join(differing)}); name a new folder"
        )
