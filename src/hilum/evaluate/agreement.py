"""How far readers agree with each other, and what most of them say.

Cohen's kappa (Educ. Psychol. Meas. 20:37-46, 1960) is the agreement beyond what the readers' own
rates of each answer would give by chance. For a panel it is averaged over the pairs (Light,
Psychol. Bull. 76:365-377, 1971) rather than pooled as in Fleiss' kappa: here the same few people
read all images, each with a threshold of their own, so chance has to be reckoned with the rates
of the two who are compared; and a pair needs only the images that both have read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import UsageError

Floats = NDArray[np.float64]
Ties = Literal["unknown", "positive", "negative"]

WHY_UNDEFINED: Final[Mapping[str, str]] = {
    "kappa": "two readers gave all images one and the same answer, or share none",
}

TIES: Final[Mapping[str, float]] = {"unknown": np.nan, "positive": 1.0, "negative": 0.0}


@dataclass(frozen=True)
class Cells:
    """The two-by-two table of two readers, and why their kappa is what it is.

    A kappa may be low because the readers disagree or because the finding is rare. With
    agreement A = 2 * `observed` - 1 (the prevalence- and bias-adjusted kappa),
    kappa = (A - prevalence^2 + bias^2) / (1 - prevalence^2 + bias^2)
    (Byrt, Bishop and Carlin, J. Clin. Epidemiol. 46:423-429, 1993).

    Parameters
    ----------
    both, first_only, second_only, neither
        Images that both, one or neither of the readers called positive.
    """

    both: float
    first_only: float
    second_only: float
    neither: float

    @property
    def n(self) -> float:
        """Images that both have read."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def observed(self) -> float:
        """Share of images with the same answer; NaN without images."""
        return (self.both + self.neither) / self.n if self.n else np.nan

    @property
    def prevalence(self) -> float:
        """Share of images both call positive minus that both call negative, from -1 to 1."""
        return (self.both - self.neither) / self.n if self.n else np.nan

    @property
    def bias(self) -> float:
        """Share of images the first calls positive minus that of the second, from -1 to 1."""
        return (self.first_only - self.second_only) / self.n if self.n else np.nan


@dataclass(frozen=True, eq=False)
class Agreement:
    """One finding's readings by two readers or more, counted per unit for any weighting.

    The statistic is kappa, averaged over the pairs of readers; where that of one pair is
    undefined so is the average, which would otherwise be that of another panel.

    Parameters
    ----------
    counts : (n_pairs, 4, n_units)
        Images of each unit that both readers of a pair, only the first, only the second, and
        neither called positive.
    """

    counts: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """The statistic's name."""
        return ("kappa",)

    @property
    def n_units(self) -> int:
        """How many units there are to weight."""
        return int(self.counts.shape[2])

    @property
    def bytes_per_weighting(self) -> int:
        """What one weighting takes while it is measured."""
        return 8 * 12 * len(self.counts)

    @property
    def cells(self) -> tuple[Cells, ...]:
        """Each pair's table of all images."""
        return tuple(Cells(*row) for row in self.counts.sum(axis=2).tolist())

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Compute kappa for each column of `weights` (n_units, n_weightings)."""
        tables = np.moveaxis(self.counts @ weights, 1, 0)  # (4, n_pairs, n_weightings)
        return {"kappa": _kappa(*tables).mean(axis=0)}

    def influence(self) -> dict[str, Floats]:
        """Return kappa's derivative by each unit's weight (n_units,) at weights of 1."""
        slopes = np.array([_slopes(*table) for table in self.counts.sum(axis=2)])
        return {"kappa": np.einsum("pcu,pc->u", self.counts, slopes) / len(slopes)}


def agree(
    readings: ArrayLike, units: ArrayLike | None = None, n_units: int | None = None
) -> Agreement:
    """Count how a panel's readings of one finding go together.

    Parameters
    ----------
    readings : (n_readers, n_images)
        1, 0, or NaN; an image takes part in a pair where both readers' answers are known.
    units : (n_images,)
        The unit that each image belongs to, 0 ... n_units - 1; by default its own.
    n_units
        How many units there are; by default the largest number plus one.

    Raises
    ------
    ValueError
        If the arrays do not fit, hold anything else, or there are fewer than two readers.
    """
    answers = _answers(readings)
    if len(answers) < 2:
        raise ValueError(f"agreement takes two readers or more, got {len(answers)}")
    unit = np.arange(answers.shape[1]) if units is None else np.asarray(units, dtype=np.int64)
    if unit.shape != answers.shape[1:]:
        raise ValueError(
            f"units must be one number for each of the {answers.shape[1]} images, "
            f"got shape {unit.shape}"
        )
    if n_units is None:
        n_units = int(unit.max(initial=-1)) + 1
    pairs = [_count(*pair, unit, n_units) for pair in combinations(answers, 2)]
    return Agreement(np.array(pairs))


def kappa(first: ArrayLike, second: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return Cohen's kappa between two readers, of two classes or more.

    Parameters
    ----------
    first, second : (n_images,)
        Any numbers as names of classes, NaN where unknown; images take part where both are known.
    weights : (n_images,)
        How much each image counts, not negative; a weight of 2 is the image twice.

    Returns
    -------
    A number up to 1, or NaN where both readers gave all images one and the same class.

    Raises
    ------
    ValueError
        If the arrays differ in length, or a weight is negative or not finite.

    >>> kappa([1, 1, 0, 0], [1, 0, 0, 0])
    0.5
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    weight = np.ones(one.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if one.ndim != 1 or not one.shape == two.shape == weight.shape:
        raise ValueError(
            "two readers' answers and the weights must be one-dimensional and of one length; "
            f"got shapes {one.shape}, {two.shape} and {weight.shape}"
        )
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(f"weights must be {one.size} finite numbers, none below 0")
    known = ~np.isnan(one) & ~np.isnan(two)
    classes, place = np.unique(np.concatenate([one[known], two[known]]), return_inverse=True)
    table = np.zeros((classes.size, classes.size))
    np.add.at(table, tuple(place.reshape(2, -1)), weight[known])
    apart = ~np.eye(classes.size, dtype=bool)
    # disagreement over what chance gives; its sum has no term below 0, so it is 0 only if it is
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))[apart].sum()
    return float(1 - table.sum() * table[apart].sum() / chance) if chance > 0 else np.nan


def majority(votes: ArrayLike, ties: Ties = "unknown") -> Floats:
    """Return what most readers say of each image.

    Parameters
    ----------
    votes : (n_readers, n_images)
        1, 0, or NaN; an unknown vote does not count.
    ties
        What as many votes for as against make: ``"unknown"``, ``"positive"`` or ``"negative"``.

    Returns
    -------
    (n_images,)
        1 or 0; NaN where nobody voted, and for ties unless told otherwise.

    Raises
    ------
    ValueError
        If `votes` is not such a table.
    UsageError
        If `ties` is anything else.

    >>> majority([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    array([1., 0., 0.])
    """
    if ties not in TIES:
        raise UsageError(f"ties must be one of {', '.join(TIES)}, got {ties!r}")
    answers = _answers(votes)
    ahead = (answers == 1).sum(axis=0) - (answers == 0).sum(axis=0)
    out = np.where(ahead > 0, 1.0, 0.0)
    out[ahead == 0] = TIES[ties]
    out[np.isnan(answers).all(axis=0)] = np.nan
    return out


def _answers(readings: ArrayLike) -> Floats:
    answers = np.asarray(readings, dtype=np.float64)
    if answers.ndim != 2:
        raise ValueError(f"readings must be (n_readers, n_images), got shape {answers.shape}")
    if not np.isin(answers[~np.isnan(answers)], (0, 1)).all():
        raise ValueError("readings must be 1, 0 or NaN: decide about uncertain answers first")
    return answers


def _count(first: Floats, second: Floats, unit: NDArray[np.int64], n_units: int) -> Floats:
    """Return the four counts of `Agreement` for one pair (4, n_units)."""
    known = ~np.isnan(first) & ~np.isnan(second)
    cell = (2 * (1 - first[known]) + (1 - second[known])).astype(np.int64)
    counts = np.bincount(cell * n_units + unit[known], minlength=4 * n_units)
    return counts.reshape(4, n_units).astype(np.float64)


def _kappa(both: Floats, first_only: Floats, second_only: Floats, neither: Floats) -> Floats:
    """Return kappa for tables of any one shape, NaN where both readers are constant alike."""
    out: Floats = np.full(np.shape(both), np.nan)
    top = 2 * (both * neither - first_only * second_only)
    bottom = _chance(both, first_only, second_only, neither)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def _chance(both: Floats, first_only: Floats, second_only: Floats, neither: Floats) -> Floats:
    """Return the square of the images times the share of disagreement that chance gives."""
    return (both + first_only) * (first_only + neither) + (both + second_only) * (
        second_only + neither
    )


def _slopes(both: Floats, first_only: Floats, second_only: Floats, neither: Floats) -> Floats:
    """Return the derivatives of kappa by its four counts (4,), NaN where it is undefined."""
    value = _kappa(both, first_only, second_only, neither)
    top = 2 * np.array([neither, -second_only, -first_only, both])
    down = np.array(
        [
            first_only + second_only + 2 * neither,
            both + 2 * first_only + neither,
            both + 2 * second_only + neither,
            2 * both + first_only + second_only,
        ]
    )
    slopes: Floats = (top - value * down) / _chance(both, first_only, second_only, neither)
    return slopes
