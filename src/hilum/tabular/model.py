"""A fitted model on features: what it demands, and scores for any image that has it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hilum.errors import UsageError, WeightsError
from hilum.features import Features, features_of
from hilum.features.table import Numbers
from hilum.findings import Policy
from hilum.progress import Progress
from hilum.tables import Table
from hilum.tabular import boosted, logistic
from hilum.tabular.examples import Choice, Examples, Floats

if TYPE_CHECKING:
    from hilum.collection import Collection


class Part(Protocol):
    """One way from features to log odds; a model has one, or several that it averages."""

    def log_odds(self, values: Numbers) -> Floats:
        """Return (n_images, n_findings); NaN for a finding that could not be learnt."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that make it again."""


class Tune(Protocol):
    """Fits on training images and chooses on others; see `logistic.tune`."""

    def __call__(
        self, train: Examples, validation: Examples, seed: int = 0, progress: Progress = ...
    ) -> tuple[Part, list[Choice]]:
        """Return the model of the training images, and a choice per finding."""


class Fit(Protocol):
    """Fits as was chosen."""

    def __call__(
        self, examples: Examples, choices: Sequence[Choice], seed: int = 0, progress: Progress = ...
    ) -> Part:
        """Return the model of all these images."""


@dataclass(frozen=True)
class Family:
    """How a kind of part is made."""

    tune: Tune
    fit: Fit
    from_tensors: Callable[[Mapping[str, NDArray[Any]], int, int], Part]


FAMILIES: Final[dict[str, Family]] = {
    "logistic": Family(logistic.tune, logistic.fit, logistic.from_tensors),
    "boosted": Family(boosted.tune, boosted.fit, boosted.from_tensors),
}

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "logistic": ("logistic",),
    "boosted": ("boosted",),
    "mean": ("logistic", "boosted"),
}
"""The kinds of models: which parts they average, in log odds."""


@dataclass(frozen=True)
class Spec:
    """All that a model without pixels expects.

    Parameters
    ----------
    kind
        A key of `KINDS`.
    findings
        What it scores.
    inputs
        Names of `hilum.features.INPUTS`.
    past
        The findings whose earlier labels the inputs tell.
    policy
        What an uncertain earlier label counts as.
    features
        The names of the columns, in order.
    """

    kind: str
    findings: tuple[str, ...]
    inputs: tuple[str, ...]
    past: tuple[str, ...]
    policy: Policy
    features: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TabularModel:
    """A fitted model.

    Parameters
    ----------
    spec
        What it expects and scores.
    parts
        By name, as `KINDS` says.
    notes
        Of findings that it cannot score: why.
    provenance
        What it was fitted on, and what was chosen; JSON.
    """

    spec: Spec
    parts: Mapping[str, Part]
    notes: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def score(self, features: Features) -> Table:
        """Return the probability of each finding, (n_images, n_findings), as the model sees it.

        Raises
        ------
        WeightsError
            If the features are not those that the model was fitted on.
        """
        self._check(features)
        odds = [part.log_odds(features.values) for part in self.parts.values()]
        scores = np.asarray(expit(np.mean(odds, axis=0)), dtype=np.float64)
        return Table(features.ids, self.spec.findings, scores, notes=self.notes)

    def predict(self, collection: "Collection") -> Table:
        """Return the same for every image of a view, in its order.

        Earlier visits are those of the whole collection, as `hilum.features.history` says.

        Raises
        ------
        CollectionError
            If the collection lacks a finding whose earlier labels the model looks at.
        """
        spec = self.spec
        return self.score(features_of(collection, spec.inputs, spec.past, spec.policy))

    def _check(self, features: Features) -> None:
        wanted, got = self.spec.features, features.names
        if wanted == got:
            return
        missing = [name for name in wanted if name not in got]
        strange = [name for name in got if name not in wanted]
        why = "in another order"
        if missing or strange:
            why = f"missing: {_some(missing)}; not known to it: {_some(strange)}"
        raise WeightsError(
            f"the model was fitted on {len(wanted)} features and got {len(got)} others ({why}); "
            f"make them with features_of(collection, {self.spec.inputs})"
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3]) or "none"
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def check_kind(kind: str) -> None:
    """Raise UsageError if there is no such kind of model."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of model; there are {', '.join(KINDS)}")
