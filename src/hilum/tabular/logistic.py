"""Logistic regression on features: standardised, with a penalty chosen on validation patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hilum.errors import WeightsError
from hilum.features.table import Numbers
from hilum.progress import Progress, silent
from hilum.tabular.examples import Choice, Examples, Floats, log_loss

STRENGTHS: Final = (0.001, 0.01, 0.1, 1.0)
"""Variances of the Gaussian prior over a standardised column's coefficient (1 / L2) to try."""

DEFAULT: Final[Choice] = {"strength": 0.01}

CROSSED: Final = ("age", "age squared", "female", "AP", "lateral", "has history")
"""Columns whose products in pairs are columns, too: age tells other things of a bedside film or
of a first visit than of others, and one line per column cannot say so."""

_BLOCK: Final = 1 << 16


@dataclass(frozen=True, eq=False)
class Logistic:
    """Log odds that are linear in standardised columns and in products of some of them.

    Parameters
    ----------
    columns : (n_used,)
        Which columns of the values are used.
    crossed : (n_products, 2)
        Pairs of columns of the values that are multiplied.
    centre, scale : (n_used + n_products,)
        Of the training images; an unknown value counts as the centre, and the column beside it
        that says so has a coefficient of its own.
    slope : (n_used + n_products, n_findings)
        Per standard deviation.
    offset : (n_findings,)
        NaN for a finding that could not be learnt.
    """

    columns: NDArray[np.int64]
    crossed: NDArray[np.int64]
    centre: Floats
    scale: Floats
    slope: Floats
    offset: Floats

    def log_odds(self, values: Numbers) -> Floats:
        """Return the log odds, (n_images, n_findings)."""
        out = np.empty((len(values), len(self.offset)))
        with threadpool_limits(limits=1):  # sums in one order: the same bits on every machine
            for start in range(0, len(values), _BLOCK):
                rows = slice(start, start + _BLOCK)
                out[rows] = self.standardised(values[rows]) @ self.slope + self.offset
        return out

    def standardised(self, values: Numbers) -> Floats:
        """Return the columns that the slopes are for, (n_images, n_used + n_products)."""
        scaled = (_wide(values, self.columns, self.crossed) - self.centre) / self.scale
        return np.nan_to_num(scaled)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in _TENSORS}


_TENSORS: Final[dict[str, tuple[type[np.generic], int]]] = {
    "columns": (np.int64, 1),
    "crossed": (np.int64, 2),
    "centre": (np.float64, 1),
    "scale": (np.float64, 1),
    "slope": (np.float64, 2),
    "offset": (np.float64, 1),
}


def from_tensors(
    tensors: Mapping[str, NDArray[Any]], n_columns: int, n_findings: int
) -> Logistic:  # fmt: skip
    """Return the model that `Logistic.tensors` wrote.

    Raises
    ------
    WeightsError
        If an array is missing or does not fit the others.
    """
    for name, (kind, axes) in _TENSORS.items():
        if name not in tensors or tensors[name].dtype != kind or tensors[name].ndim != axes:
            raise WeightsError(
                f"the logistic model needs {name!r}, {kind.__name__} with {axes} axes"
            )
    model = Logistic(**{name: tensors[name] for name in _TENSORS})
    wide = len(model.columns) + len(model.crossed)
    used = np.concatenate([model.columns, model.crossed.reshape(-1)])
    fits = (
        model.crossed.shape[1:] == (2,)
        and model.centre.shape == model.scale.shape == (wide,)
        and model.slope.shape == (wide, n_findings)
        and model.offset.shape == (n_findings,)
        and ((used >= 0) & (used < n_columns)).all()
        and (model.scale > 0).all()
    )
    if not fits:
        raise WeightsError(
            f"the logistic model's arrays do not fit each other, {n_columns} columns and "
            f"{n_findings} findings"
        )
    return model


# --------------------------------------------------------------------------- fitting


def tune(
    train: Examples, validation: Examples, seed: int = 0, progress: Progress = silent
) -> tuple[Logistic, list[Choice]]:
    """Fit with every strength, and keep for each finding the one of least validation loss.

    Parameters
    ----------
    train, validation
        Of different patients.
    seed
        Without effect: nothing is drawn.
    progress
        Told of every finding.

    Returns
    -------
    The model of the training images and the choices; `DEFAULT` where no label of the validation
    images is known.
    """
    del seed
    base = _empty(train)
    known = base.standardised(train.values)
    other = base.standardised(validation.values)
    choices: list[Choice] = []
    gaps, total = train.gaps(), train.labels.shape[1]
    progress(0, total, "logistic")
    for finding in range(total):
        choices.append(dict(DEFAULT))
        if finding not in gaps:
            label = validation.labels[:, finding]
            fitted, choices[-1] = _best(known, train.labels[:, finding], other, label)
            base.slope[:, finding], base.offset[finding] = fitted
        progress(finding + 1, total, "logistic")
    return base, choices


def _best(
    known: Floats, label: Floats, other: Floats, other_label: Floats
) -> tuple[tuple[Floats, float], Choice]:
    """Return the line of least loss on the other images, and how it was fitted."""
    seen = ~np.isnan(other_label)
    if not seen.any():
        return _line(known, label, DEFAULT["strength"]), dict(DEFAULT)
    fitted = [_line(known, label, strength) for strength in STRENGTHS]
    losses = [log_loss(other[seen] @ slope + offset, other_label[seen]) for slope, offset in fitted]
    best = int(np.argmin(losses))
    return fitted[best], {"strength": STRENGTHS[best]}


def fit(
    examples: Examples, choices: Sequence[Choice], seed: int = 0, progress: Progress = silent
) -> Logistic:
    """Fit as was chosen, finding by finding; parameters as in `tune`."""
    del seed
    base = _empty(examples)
    known = base.standardised(examples.values)
    gaps = examples.gaps()
    progress(0, len(choices), "logistic")
    for finding, choice in enumerate(choices):
        if finding not in gaps:
            base.slope[:, finding], base.offset[finding] = _line(
                known, examples.labels[:, finding], choice["strength"]
            )
        progress(finding + 1, len(choices), "logistic")
    return base


def _empty(examples: Examples) -> Logistic:
    """Return a model that can standardise and has learnt nothing."""
    columns = examples.informative()
    names = [examples.names[at] for at in columns]
    there = [examples.names.index(name) for name in CROSSED if name in names]
    crossed = np.array(list(combinations(there, 2)), dtype=np.int64).reshape(-1, 2)
    wide = _wide(examples.values, columns, crossed)
    # a product may be unknown, or the same, everywhere, though its factors are not
    varies = np.fmin.reduce(wide, axis=0) < np.fmax.reduce(wide, axis=0)
    columns, crossed = columns[varies[: len(columns)]], crossed[varies[len(columns) :]]
    wide = wide[:, varies]
    n_findings = examples.labels.shape[1]
    return Logistic(
        columns,
        crossed,
        np.nanmean(wide, axis=0),
        np.nanstd(wide, axis=0),
        np.zeros((wide.shape[1], n_findings)),
        np.full(n_findings, np.nan),
    )


def _wide(values: Numbers, columns: NDArray[np.int64], crossed: NDArray[np.int64]) -> Floats:
    products = values[:, crossed[:, 0]].astype(np.float64) * values[:, crossed[:, 1]]
    return np.hstack([values[:, columns].astype(np.float64), products])


def _line(standardised: Floats, label: Floats, strength: float) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression

    known = ~np.isnan(label)
    if not standardised.shape[1]:
        share = label[known].mean()
        return np.zeros(0), float(np.log(share / (1 - share)))
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8, max_iter=100)
    with threadpool_limits(limits=1):  # as in `Logistic.log_odds`
        model.fit(standardised if known.all() else standardised[known], label[known])
    return model.coef_[0], float(model.intercept_[0])
