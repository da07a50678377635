"""Gradient boosting on features, by scikit-learn; kept and applied as plain arrays.

One sum of small trees per finding (Friedman, Ann. Statist. 29:1189-1232, 2001), on binned columns
(LightGBM: Ke et al., NeurIPS 2017); unknown values are a value of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from hilum.features.table import Numbers
from hilum.progress import Progress, silent
from hilum.tabular.examples import Choice, Examples, Floats, log_loss
from hilum.tabular.trees import Forest, Tree, forests_from_tensors, forests_to_tensors

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

GRID: Final[tuple[Choice, ...]] = (
    {"leaves": 4, "learning_rate": 0.1, "rounds": 200},
    {"leaves": 8, "learning_rate": 0.05, "rounds": 200},
    {"leaves": 16, "learning_rate": 0.05, "rounds": 100},
)
"""What is tried; any number of rounds up to these, in steps of `STEP`."""

DEFAULT: Final[Choice] = {"leaves": 8, "learning_rate": 0.05, "rounds": 100}
STEP: Final = 10
THREADS: Final = 4  # at most; the trees do not depend on it

_LEAF_SHARE: Final = 0.002  # of the images, at least, in a leaf, within these bounds:
_LEAF_BOUNDS: Final = (5, 100)
_PENALTY: Final = 10.0  # L2 on a leaf's value: shrinks leaves of few images
_COLUMNS: Final = 0.5  # share of the columns that a split may choose among


@dataclass(frozen=True, eq=False)
class Boosted:
    """A forest for each finding.

    Parameters
    ----------
    forests
        Of columns of the values.
    """

    forests: tuple[Forest, ...]

    def log_odds(self, values: Numbers) -> Floats:
        """Return the log odds, (n_images, n_findings)."""
        out = np.empty((len(values), len(self.forests)))
        for at, forest in enumerate(self.forests):
            out[:, at] = forest.log_odds(values)
        return out

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return forests_to_tensors(self.forests)


def from_tensors(
    tensors: Mapping[str, NDArray[Any]], n_columns: int, n_findings: int
) -> Boosted:  # fmt: skip
    """Return the model that `Boosted.tensors` wrote.

    Raises
    ------
    WeightsError
        If the arrays are none of such a model.
    """
    return Boosted(forests_from_tensors(tensors, n_columns, n_findings))


# --------------------------------------------------------------------------- fitting


def tune(
    train: Examples, validation: Examples, seed: int = 0, progress: Progress = silent
) -> tuple[Boosted, list[Choice]]:
    """Fit with every setting of `GRID`, and keep for each finding the one of least loss.

    Parameters
    ----------
    train, validation
        Of different patients.
    seed
        Of the columns that a split may choose among.
    progress
        Told of every fit.

    Returns
    -------
    The model of the training images and the choices, the number of rounds among them; `DEFAULT`
    where no label of the validation images is known.
    """
    columns, gaps = train.informative(), train.gaps()
    forests, choices = [], []
    total = train.labels.shape[1]
    progress(0, total, "boosted")
    for finding in range(total):
        forest, choice = _NOTHING, dict(DEFAULT)
        if finding not in gaps:
            forest, choice = _best(train, validation, finding, columns, seed)
        forests.append(forest)
        choices.append(choice)
        progress(finding + 1, total, "boosted")
    return Boosted(tuple(forests)), choices


def _best(
    train: Examples, validation: Examples, finding: int, columns: NDArray[np.int64], seed: int
) -> tuple[Forest, Choice]:
    other, label = validation.of(finding)
    if not len(label):
        return _forest(train, finding, columns, DEFAULT, seed), dict(DEFAULT)
    found: list[tuple[float, Forest, Choice]] = []
    for setting in GRID:
        forest = _forest(train, finding, columns, setting, seed)
        rounds, loss = _best_rounds(forest, other, label)
        kept = Forest(forest.baseline, forest.trees[:rounds])
        found.append((loss, kept, {**setting, "rounds": rounds}))
    _, forest, choice = min(found, key=lambda entry: entry[0])
    return forest, choice


def _best_rounds(forest: Forest, values: Numbers, label: Floats) -> tuple[int, float]:
    losses = [
        float(log_loss(odds, label))
        for number, odds in enumerate(forest.stages(values), start=1)
        if number % STEP == 0
    ]
    if not losses:  # fewer trees than a step: there was nothing to split
        return len(forest.trees), float(log_loss(forest.log_odds(values), label))
    best = int(np.argmin(losses))
    return STEP * (best + 1), losses[best]


def fit(
    examples: Examples, choices: Sequence[Choice], seed: int = 0, progress: Progress = silent
) -> Boosted:
    """Fit as was chosen, finding by finding; parameters as in `tune`."""
    columns, gaps = examples.informative(), examples.gaps()
    forests = []
    progress(0, len(choices), "boosted")
    for finding, choice in enumerate(choices):
        learnt = finding not in gaps
        forests.append(_forest(examples, finding, columns, choice, seed) if learnt else _NOTHING)
        progress(finding + 1, len(choices), "boosted")
    return Boosted(tuple(forests))


_NOTHING: Final = Forest(np.nan, ())


def _forest(
    examples: Examples, finding: int, columns: NDArray[np.int64], choice: Choice, seed: int
) -> Forest:
    values, label = examples.of(finding)
    if not len(columns):
        return Forest(float(np.log(label.mean() / (1 - label.mean()))), ())
    model = classifier(choice, len(label), seed)
    with threadpool_limits(limits=_threads()):
        model.fit(values[:, columns], label)
    return forest_of(model, columns)


def classifier(choice: Choice, n_images: int, seed: int) -> "HistGradientBoostingClassifier":
    """Return scikit-learn's model for a choice, not yet fitted."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    fewest, most = _LEAF_BOUNDS
    return HistGradientBoostingClassifier(
        max_iter=choice["rounds"],
        max_leaf_nodes=choice["leaves"],
        learning_rate=choice["learning_rate"],
        min_samples_leaf=min(most, max(fewest, int(_LEAF_SHARE * n_images))),
        l2_regularization=_PENALTY,
        max_features=_COLUMNS,
        early_stopping=False,
        random_state=seed,
    )


def forest_of(model: "HistGradientBoostingClassifier", columns: NDArray[np.int64]) -> Forest:
    """Return a fitted model's trees; its columns are these columns of the values."""
    return Forest(
        float(model._baseline_prediction.item()),
        tuple(_tree(trees[0].nodes, columns) for trees in model._predictors),
    )


def _tree(nodes: NDArray[Any], columns: NDArray[np.int64]) -> Tree:
    leaf = nodes["is_leaf"].astype(np.bool_)
    return Tree(
        feature=np.where(leaf, -1, columns[np.where(leaf, 0, nodes["feature_idx"])]).astype(
            np.int32
        ),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        unknown_left=np.where(leaf, False, nodes["missing_go_to_left"]).astype(np.bool_),
        left=np.where(leaf, -1, nodes["left"]).astype(np.int32),
        right=np.where(leaf, -1, nodes["right"]).astype(np.int32),
        value=np.where(leaf, nodes["value"], 0.0),
    )


def _threads() -> int:
    """Return how many threads trees may grow on: few, and no more than the user allows."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "openmp"]
    return min([THREADS, *(int(pool["num_threads"]) for pool in pools)])
