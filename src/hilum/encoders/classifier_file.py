"""A classifier on disk: one `.safetensors` file, `RUN/classifier.safetensors` in a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from hilum.encoders.classifier import Classifier, ClassifierModule, ClassifierSpec
from hilum.encoders.device import Engine
from hilum.encoders.fusion import HeadSettings
from hilum.encoders.image import build_module
from hilum.encoders.tensors import read_tensors, write_tensors
from hilum.encoders.weights import (
    FORMAT,
    check_fingerprint,
    image_spec,
    load_module,
    naming,
    spec_fields,
)
from hilum.errors import UsageError, WeightsError

CLASSIFIER_FILE: Final = "classifier.safetensors"
KIND: Final = "classifier"


def save_classifier(
    classifier: Classifier,
    path: str | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a classifier to one file, whole or not at all; parameters as in `save_encoder`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = classifier_header(classifier, recipe=recipe, provenance=provenance)
    write_tensors(path, classifier.module.state_dict(), header)
    return path


def classifier_header(
    classifier: Classifier,
    *,
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the file of a classifier says beside its tensors."""
    return {
        "format": FORMAT,
        "kind": KIND,
        "spec": classifier.spec.as_dict(),
        "fingerprint": classifier.fingerprint,
        "notes": classifier.notes,
        "recipe": dict(recipe or {}),
        "provenance": dict(provenance or {}),
    }


def load_classifier(ref: str | Path, *, engine: Engine | None = None) -> Classifier:
    """Load a classifier.

    Parameters
    ----------
    ref
        A `.safetensors` file that `save_classifier` wrote, or the run folder that holds it.
    engine
        Where to run it; chosen for this machine if not given.

    Raises
    ------
    WeightsError
        If it is missing, damaged, incomplete, changed or for something else.
    """
    path = Path(ref)
    if path.is_dir():
        path = path / CLASSIFIER_FILE
        if not path.is_file():
            unfinished = (path.parent / "settings.json").is_file()
            raise WeightsError(
                f"{path.parent}: holds no {CLASSIFIER_FILE}; "
                + ("the run is not finished" if unfinished else "it is not a run of hilum train")
            )
    return read_classifier(path, engine)


def read_classifier(path: Path, engine: Engine | None = None) -> Classifier:
    """Read a file that `save_classifier` wrote; errors as in `load_classifier`."""
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT or header.get("kind") != KIND:
        raise WeightsError(
            f"{path}: expected the weights of a classifier (kind {KIND}) in format {FORMAT}; got "
            f"kind {header.get('kind')!r}, format {header.get('format')!r}"
        )
    spec = _spec(header.get("spec"), path)
    check_fingerprint(tensors, spec, header, path)
    module = _build(spec, tensors, path)
    notes = header.get("notes")
    return Classifier(spec, module, engine, notes if isinstance(notes, dict) else None)


def _build(spec: ClassifierSpec, tensors: Mapping[str, Tensor], path: Path) -> ClassifierModule:
    image = spec.image
    with naming(path):
        backbone = build_module(
            image.architecture, image.size, image.channels, pooling=image.pooling
        )
        module = ClassifierModule(spec, backbone)
    load_module(module, tensors, str(path))
    return module


def _spec(given: Any, path: Path) -> ClassifierSpec:
    plain = spec_fields(given, ClassifierSpec, path)
    plain["image"] = image_spec(plain.get("image"), path)
    head = spec_fields(plain.get("head"), HeadSettings, path)
    try:
        head["hidden"] = tuple(head.get("hidden", ()))
        plain["head"] = HeadSettings(**head)
        plain["groups"] = {
            str(name): (int(start), int(stop)) for name, (start, stop) in plain["groups"].items()
        }
        for name in ("findings", "inputs", "features", "past"):
            plain[name] = tuple(map(str, plain[name]))
        return ClassifierSpec(**plain)
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise WeightsError(f"{path}: the spec in its header cannot be used: {error}") from error
