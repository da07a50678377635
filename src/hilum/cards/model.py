"""The card of weights: from their header, and from what was measured beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hilum.cards.card import NOT_FOR, Card, Table
from hilum.encoders.tensors import read_header
from hilum.errors import WeightsError

_KINDS: Final = {
    "image": ("Encoder of images", "encoder.safetensors"),
    "pair": ("Encoders of images and of reports", "encoder.safetensors"),
    "classifier": ("Classifier of findings", "classifier.safetensors"),
    "selector": ("Selector of images to label", "selector.safetensors"),
    "tabular": ("Model of findings that sees no pixel", "model.safetensors"),
}
_FOR: Final = {
    "image": "Vectors: `hilum embed COLLECTION --encoder THIS --name NAME`, then few labels "
    "(`hilum classify`), selection (`hilum select`) and similar cases (`hilum retrieve`).",
    "pair": "Detection by sentences (`hilum zeroshot COLLECTION --pair THIS`), retrieval by words "
    "(`hilum retrieve --text`), vectors (`hilum embed`).",
    "classifier": "Scores of findings (`hilum predict`) and maps of where it sees them "
    "(`hilum explain`).",
    "selector": "Choosing which images to label: `hilum select COLLECTION --strategy medselect "
    "--selector THIS`, on vectors of the encoder it was taught with.",
    "tabular": "What can be known without an image: the floor that a model of images is to beat "
    "(`hilum predict`).",
}
_MEASURES: Final = ("auroc", "average_precision", "brier", "ece")


def model_card(weights: str | Path) -> Card:
    """Return the card of a model.

    Parameters
    ----------
    weights
        A run of any training command, or its ``.safetensors`` file. What was measured on
        validation images is read from ``metrics.json`` beside it, if it is there.

    Raises
    ------
    WeightsError
        If there are no weights of hilum's, or of a kind that this version does not know.
    """
    path = _file(Path(weights))
    header = read_header(path)
    kind = header.get("kind")
    if kind not in _KINDS:
        raise WeightsError(f"{path}: of the kind {kind!r}; there are cards of {', '.join(_KINDS)}")
    spec, about = header.get("spec", {}), header.get("provenance") or {}
    about = about or spec.get("provenance", {})
    recipe = header.get("recipe") or {}
    recipe = {"name": recipe} if isinstance(recipe, str) else recipe
    measured = _measured(path.parent / "metrics.json")
    title = _KINDS[kind][0]
    answers = {
        "What": f"{title}: {_shape(spec)}",
        "Findings": ", ".join(spec.get("findings", [])),
        "Taught by": _taught(about),
        "Recipe": str(recipe.get("name", "")),
        "Started from": _start(recipe),
        "Chosen by": _chosen(about),
        "Measured": "below, on validation images, which also chose the weights"
        if measured
        else "not here: `hilum evaluate` and `hilum frontier` measure on test patients",
        "For": _FOR[kind],
        "Not for": NOT_FOR,
        "Remarks": "; ".join(f"{name}: {said}" for name, said in header.get("notes", {}).items()),
        "Fingerprint": str(header.get("fingerprint", "")),
    }
    settings = {key: value for key, value in recipe.items() if key not in ("about", "name", "init")}
    told = {question: answer for question, answer in answers.items() if answer}
    return Card(f"Model card: {title.lower()}", told, measured, settings)


def holds_weights(path: str | Path) -> bool:
    """Tell whether a path is weights, or a run that has finished."""
    return _file(Path(path)).is_file()


def _file(path: Path) -> Path:
    """Return the weights of a run; of anything else the path itself."""
    names = dict.fromkeys(name for _, name in _KINDS.values())
    return next((path / name for name in names if (path / name).is_file()), path)


def _shape(spec: Mapping[str, Any]) -> str:
    image = spec.get("image", spec)
    parts = [image.get("architecture") or spec.get("kind") or ""]
    if size := image.get("size"):
        parts.append(
            f"{size} × {size} pixels, {'colour' if image.get('channels') == 3 else 'grey'}"
        )
    if dim := spec.get("dim", image.get("dim")):
        parts.append(f"{dim} numbers")
    if inputs := spec.get("inputs"):
        parts.append(f"inputs {', '.join(inputs)}")
    if encoder := spec.get("encoder"):
        parts.append(f"of an encoder with the fingerprint {encoder[:16]}…")
    if budgets := spec.get("budgets"):
        parts.append(f"budgets of {budgets[0]} to {budgets[1]} images")
    return ", ".join(part for part in parts if part)


def _taught(about: Mapping[str, Any]) -> str:
    parts = []
    if "images" in about:
        parts.append(f"{about['images']:,} images")
    if "steps" in about:
        parts.append(f"{about['steps']:,} steps on {about.get('engine', 'an unknown engine')}")
    if "train" in about:
        parts.append("tasks of a collection's images")  # its condition may name patients
    if "data" in about:
        parts.append(f"sha256 of the data {about['data'][:16]}…")
    return "; ".join(parts)


def _start(recipe: Mapping[str, Any]) -> str:
    """Say where weights came from; of a path its last part, as the rest is of one machine."""
    start = recipe.get("init")
    if start in (None, "", "random"):
        return "random weights" if start == "random" else ""
    return Path(str(start)).name if "/" in str(start) or "\\" in str(start) else str(start)


def _chosen(about: Mapping[str, Any]) -> str:
    if about.get("best") is None:
        return ""
    step = f" at step {about['best_step']:,}" if about.get("best_step") is not None else ""
    return f"{about.get('validate', 'validation')} {about['best']:.3f} on validation images{step}"


def _measured(path: Path) -> tuple[Table, ...]:
    """Return what a run measured of each finding, with its intervals."""
    if not path.exists():
        return ()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: not readable as JSON ({error})") from error
    found = document.get("validation") or {}
    return (_by_finding(found) if "findings" in found else _likeness(found),) if found else ()


def _by_finding(found: Mapping[str, Any]) -> Table:
    findings = found["findings"]
    names = [name for name in _MEASURES if any(name in one for one in findings.values())]
    rows = [
        (finding, str(one.get("positives", "")), *(_interval(one.get(name)) for name in names))
        for finding, one in (*findings.items(), ("mean", found.get("mean", {})))
    ]
    settings = found.get("settings", {})
    over = settings.get("resampled", "patient_id").removesuffix("_id")
    title = (
        f"Validation images ({settings.get('images', 0):,}), "
        f"{settings.get('level', 0.95):.0%} intervals by {over}"
    )
    return Table(title, ("finding", "positives", *map(_named, names)), tuple(rows))


def _likeness(found: Mapping[str, Any]) -> Table:
    """Return how well images find their like, as `hilum metric` measures it."""
    rows = [(_named(name), _interval(one)) for name, one in found.items() if isinstance(one, dict)]
    return Table("Validation images, 95% intervals by patient", ("measure", "value"), tuple(rows))


def _named(measure: str) -> str:
    return measure.replace("_", " ")


def _interval(measure: Mapping[str, Any] | None) -> str:
    if not measure or measure.get("estimate") is None:
        return "–"
    if measure.get("low") is None:
        return f"{measure['estimate']:.3f}"
    return f"{measure['estimate']:.3f} ({measure['low']:.3f}-{measure['high']:.3f})"
