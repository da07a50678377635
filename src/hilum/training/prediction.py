"""Scores for images: from a trained classifier, or from a model that never sees them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hilum.encoders.classifier import Classifier
from hilum.encoders.classifier_file import CLASSIFIER_FILE, load_classifier
from hilum.encoders.device import choose_engine
from hilum.errors import UsageError, WeightsError
from hilum.features import features_of
from hilum.progress import Progress, silent
from hilum.tables import Table
from hilum.tabular import TabularModel, is_model
from hilum.tabular import predict as predict_without_image
from hilum.training.supervised_data import Numbers

if TYPE_CHECKING:
    from hilum.collection import Collection

AT_ONCE = 256  # images read together


def predict(
    collection: "Collection",
    model: Classifier | TabularModel | str | Path,
    *,
    without: Sequence[str] = (),
    looks: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Table:
    """Score every image of a view.

    Parameters
    ----------
    collection
        A view. What is known of earlier visits comes from the whole collection.
    model
        A classifier, a model on features alone, or the file or run folder of either.
    without
        Inputs beside the image to do without, as if nothing were known of them: for a classifier
        that was trained with `missing` above 0.
    looks
        Looks at an image over which scores are averaged, 1 or 5; as the classifier says if None.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``; of a classifier that is read from a file.

    Returns
    -------
    Scores of 0 to 1 by image and finding.

    Raises
    ------
    WeightsError
        If the file cannot be read as a model.
    UsageError
        If the classifier cannot do without an input, or has no such input.
    CollectionError
        If the collection has no pixels, or lacks a finding whose earlier labels are looked at.
    """
    if not isinstance(model, (Classifier, TabularModel)):
        model = _load(Path(model), device)
    if isinstance(model, TabularModel):
        if without or looks is not None:
            raise UsageError("without and looks are for classifiers that see the image")
        return predict_without_image(collection, model)
    features = _features(collection, model, without)
    scores = np.empty((len(collection), len(model.spec.findings)))
    for rows, pixels in collection.pixel_batches(AT_ONCE):
        told = None if features is None else features[rows]
        scores[rows] = model.scores(pixels, told, looks=looks)
        progress(int(rows[-1]) + 1, len(scores))
    return Table(collection.ids(), model.spec.findings, scores, notes=model.notes)


def _load(path: Path, device: str) -> Classifier | TabularModel:
    from hilum.tabular import load

    has_classifier = (path / CLASSIFIER_FILE).is_file() if path.is_dir() else not is_model(path)
    if has_classifier:
        return load_classifier(path, engine=choose_engine(device))
    if path.is_dir() and not is_model(path):
        return load_classifier(path)  # says what is missing
    return load(path)


def _features(
    collection: "Collection", model: Classifier, without: Sequence[str]
) -> Numbers | None:
    """Return the features of every image as the classifier looks at them."""
    spec = model.spec
    unknown = [name for name in without if name not in spec.feature_inputs]
    if unknown or (without and not spec.missing):
        raise UsageError(
            f"the classifier cannot do without {', '.join(without)}: it looks at "
            f"{', '.join(spec.inputs)}"
            + ("" if unknown else " and was trained with missing=0, so it never learnt to")
        )
    if not spec.groups:
        return None
    found = features_of(collection, spec.feature_inputs, spec.past, spec.policy)
    if found.names != spec.features:
        strange = sorted(set(found.names) ^ set(spec.features))
        raise WeightsError(
            f"the classifier looks at {len(spec.features)} features and this collection gives "
            f"{len(found.names)} others; they differ in {', '.join(strange[:3]) or 'their order'}"
        )
    values = found.values.copy()
    for name in without:
        start, stop = spec.groups[name]
        values[:, start:stop] = np.nan
    return values
