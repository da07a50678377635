"""From the patients of a collection to a model: fitted on some, chosen on others, none else read.

Features of an image hold labels of its patient's earlier visits, never of its own visit, and a
patient is in one split: what a model is fitted on, chosen on and later measured on are different
patients throughout.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate import Metrics, evaluate
from hilum.features import features_of
from hilum.findings import Policy
from hilum.progress import Progress, silent
from hilum.tables import Table
from hilum.tabular.examples import Choice, Examples, together
from hilum.tabular.model import FAMILIES, KINDS, Part, Spec, TabularModel, check_kind

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.features import Features


@dataclass(frozen=True)
class Recipe:
    """How a model without pixels is fitted.

    Parameters
    ----------
    inputs
        Names of `hilum.features.INPUTS`.
    kind
        A key of `hilum.tabular.model.KINDS`.
    findings
        What to learn, in any spelling; all of the collection if None. Earlier labels of all its
        findings are inputs in any case.
    policy
        What an uncertain label counts as, past or present: ``"ignore"`` (unknown), ``"positive"``
        or ``"negative"``.
    refit
        Fit again on training and validation patients together, once everything is chosen. The
        validation metrics are those of the model before.
    seed
        Of what is drawn while trees grow, and of the resamples behind the intervals.
    """

    inputs: tuple[str, ...] = ("demographics", "history")
    kind: str = "logistic"
    findings: tuple[str, ...] | None = None
    policy: Policy = "ignore"
    refit: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model, and how well it did on the patients that it was chosen on.

    Parameters
    ----------
    model
        The model.
    validation
        Metrics on validation patients, with intervals by patient; before a refit. None where no
        finding can be measured.
    choices
        By finding and part, how it was fitted.
    """

    model: TabularModel
    validation: Metrics | None
    choices: dict[str, dict[str, Choice]]


@dataclass(frozen=True, eq=False)
class Material:
    """The images to learn from: features and labels of training and validation patients."""

    recipe: Recipe
    past: tuple[str, ...]
    features: dict[str, "Features"]
    labels: dict[str, Table]

    def examples(self, split: str) -> Examples:
        """Return the examples of ``"train"`` or ``"val"``."""
        features = self.features[split]
        return Examples(features.names, features.values, self.labels[split].values)

    def digest(self) -> str:
        """Return the sha256 (hex) of every id, feature and label."""
        total = hashlib.sha256()
        for split, features in self.features.items():
            total.update("\n".join([split, *features.ids, *features.names]).encode())
            total.update(np.ascontiguousarray(features.values).tobytes())
            total.update(np.ascontiguousarray(self.labels[split].values).tobytes())
        return total.hexdigest()


def gather(collection: "Collection", recipe: Recipe) -> Material:
    """Read the training and validation images of a view.

    Raises
    ------
    UsageError
        If one of them has no image, or the recipe names an input, kind or policy that is none.
    CollectionError
        If the collection lacks a finding.
    """
    check_kind(recipe.kind)
    if recipe.policy == "keep":
        raise UsageError("choose what an uncertain label counts as: ignore, positive or negative")
    past = collection.findings
    view = collection.where("split = 'train' OR split = 'val'")
    features = features_of(view, recipe.inputs, past, recipe.policy)
    split = view.table(["split"])["split"].to_numpy()
    labels = view.labels(findings=recipe.findings, policy=recipe.policy)
    if not labels.findings:
        raise UsageError("there is no finding to learn: the collection has no labels")
    for name in ("train", "val"):
        if not (split == name).any():
            raise UsageError(
                f"no image has split = '{name}': a model is fitted on training patients and "
                "chosen on validation patients"
            )
    parts = {name: split == name for name in ("train", "val")}
    return Material(
        recipe,
        past,
        {name: features.take(rows) for name, rows in parts.items()},
        {name: labels.take(rows) for name, rows in parts.items()},
    )


def fit(
    collection: "Collection",
    inputs: Sequence[str] = ("demographics", "history"),
    kind: str = "logistic",
    findings: Sequence[str] | None = None,
    *,
    policy: Policy = "ignore",
    refit: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Fitted:
    """Fit a model on the training patients of a view, and choose on its validation patients.

    Parameters
    ----------
    collection
        A view; of its images, those of the splits ``train`` and ``val`` are read. Earlier visits
        are those of the whole collection.
    inputs, kind, findings, policy, refit, seed
        As in `Recipe`.
    progress
        Told of every finding.

    Raises
    ------
    UsageError, CollectionError
        As in `gather`.
    """
    names = None if findings is None else tuple(findings)
    recipe = Recipe(tuple(inputs), kind, names, policy, refit, seed)
    return fit_material(gather(collection, recipe), progress)


def fit_material(material: Material, progress: Progress = silent) -> Fitted:
    """Fit on what was gathered; the rest as in `fit`."""
    recipe = material.recipe
    train, validation = material.examples("train"), material.examples("val")
    findings = material.labels["train"].findings
    tuned = {
        name: FAMILIES[name].tune(train, validation, recipe.seed, progress)
        for name in KINDS[recipe.kind]
    }
    parts = {name: part for name, (part, _) in tuned.items()}
    chosen = {
        finding: {name: choices[at] for name, (_, choices) in tuned.items()}
        for at, finding in enumerate(findings)
    }
    model = _model(material, parts, chosen, train)
    metrics = _validate(model, material)
    if recipe.refit:
        both = together(train, validation)
        parts = {
            name: FAMILIES[name].fit(both, choices, recipe.seed, progress)
            for name, (_, choices) in tuned.items()
        }
        model = _model(material, parts, chosen, both)
    return Fitted(model, metrics, chosen)


def _model(
    material: Material,
    parts: dict[str, Part],
    chosen: dict[str, dict[str, Choice]],
    examples: Examples,
) -> TabularModel:
    recipe, findings = material.recipe, material.labels["train"].findings
    spec = Spec(
        kind=recipe.kind,
        findings=findings,
        inputs=recipe.inputs,
        past=material.past,
        policy=recipe.policy,
        features=examples.names,
    )
    provenance: dict[str, Any] = {
        "images": len(examples.values),
        "splits": ["train", "val"] if recipe.refit else ["train"],
        "data": material.digest(),
        "seed": recipe.seed,
        "choices": chosen,
    }
    notes = {findings[at]: text for at, text in examples.gaps().items()}
    return TabularModel(spec, parts, notes, provenance)


def _validate(model: TabularModel, material: Material) -> Metrics | None:
    truth = material.labels["val"]
    known = [
        finding
        for finding in truth.findings
        if finding not in model.notes and not np.isnan(truth.column(finding)).all()
    ]
    if not known:
        return None
    scores = model.score(material.features["val"]).select(known)
    return evaluate(scores, truth.select(known), seed=material.recipe.seed)
