"""Models that never see an image: findings from who was examined and what earlier visits said.

They are the floor under every model that does see it. `fit` fits one on a collection's training
patients and chooses on its validation patients; `train` does so into a run folder; `load` and
`predict` give scores for any image. `logistic` and `boosted` are the members; `trees` applies
boosted trees that were kept as arrays; `weights` is the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from hilum.tabular.fitting import Fitted, Recipe, fit
from hilum.tabular.model import FAMILIES, KINDS, Spec, TabularModel
from hilum.tabular.run import train
from hilum.tabular.weights import is_model, load, save

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.tables import Table

__all__ = [
    "FAMILIES",
    "KINDS",
    "Fitted",
    "Recipe",
    "Spec",
    "TabularModel",
    "fit",
    "is_model",
    "load",
    "predict",
    "save",
    "train",
]


def predict(collection: "Collection", model: TabularModel | str | Path) -> "Table":
    """Score every image of a view with a model, or the file or run folder of one.

    Raises
    ------
    WeightsError
        If the file cannot be read as a model.
    CollectionError
        If the collection lacks a finding whose earlier labels the model looks at.
    """
    found = model if isinstance(model, TabularModel) else load(model)
    return found.predict(collection)
