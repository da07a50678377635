"""Three maps from scores to probabilities, fitted to one finding of a validation table.

``temperature`` divides the log-odds by one number (Guo et al., ICML 2017, arXiv:1706.04599), which
mends scores that are too extreme or too timid but not those that are too high throughout. ``platt``
fits a line to the log-odds (Platt, in Advances in Large Margin Classifiers, 1999), which mends both
and is the choice where findings are rare. ``isotonic`` fits any rising step function (Zadrozny and
Elkan, KDD 2002), which wants a thousand images or more (Niculescu-Mizil and Caruana, ICML 2005).
The first two keep the order of the images, and so AUROC; the third makes ties.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit

from hilum.errors import UsageError
from hilum.evaluate.calibration import why_not_probabilities
from hilum.evaluate.logistic import LEAST, fit_line, log_odds
from hilum.evaluate.ranking import Floats
from hilum.evaluate.tuning import Known, known

Scale = Literal["probability", "log-odds"]
"""What scores are before calibration; those beyond [0, 1] are taken for log-odds."""

SCALES: Final[tuple[Scale, ...]] = get_args(Scale)

HOTTEST: Final = 1e3
"""The largest temperature, at which log-odds of ±5 are all but even, and one over the smallest."""

_TOO_HOT: Final = "higher scores do not go with the finding, and the temperature is at its bound"
_TOO_COLD: Final = (
    "no temperature is cold enough, because no image is on the wrong side of 0.5 or the scores "
    "hardly differ, and the temperature is at its bound"
)


def scale_of(scores: ArrayLike) -> Scale:
    """Return what all the scores of a model must be; NaN are passed over."""
    return "probability" if why_not_probabilities(scores) is None else "log-odds"


def _odds(scores: ArrayLike, scale: Scale) -> Floats:
    score = np.asarray(scores, dtype=np.float64)
    if scale == "log-odds":
        return score
    if why_not_probabilities(score):
        raise ValueError(
            "the calibration was fitted to scores between 0 and 1, and these go from "
            f"{np.nanmin(score):.4g} to {np.nanmax(score):.4g}; are they of another model?"
        )
    return log_odds(score)


@dataclass(frozen=True)
class Temperature:
    """The probability is the logistic function of log-odds / temperature.

    Parameters
    ----------
    temperature
        Above 1 if the scores are too extreme, below 1 if too timid.
    scale
        What the scores are.
    note
        What went wrong, where the temperature is at its bound.
    """

    temperature: float
    scale: Scale
    note: str | None = None

    def __post_init__(self) -> None:
        _check(0 < self.temperature < np.inf, "temperature", self.temperature, "above 0")
        _check(self.scale in SCALES, "scale", self.scale, " or ".join(SCALES))

    def apply(self, scores: ArrayLike) -> Floats:
        """Return probabilities, any shape; NaN stays NaN.

        Raises
        ------
        ValueError
            If `scale` is probabilities and a score lies outside [0, 1].
        """
        probabilities: Floats = expit(_odds(scores, self.scale) / self.temperature)
        return probabilities


@dataclass(frozen=True)
class Platt:
    """The probability is the logistic function of slope × log-odds + intercept.

    Parameters
    ----------
    slope
        Above 0.
    intercept
        Added after the slope.
    scale
        What the scores are; log-odds may then be any numbers, such as differences of cosines.
    note
        None.
    """

    slope: float
    intercept: float
    scale: Scale
    note: str | None = None

    def __post_init__(self) -> None:
        _check(0 < self.slope < np.inf, "slope", self.slope, "above 0")
        _check(bool(np.isfinite(self.intercept)), "intercept", self.intercept, "finite")
        _check(self.scale in SCALES, "scale", self.scale, " or ".join(SCALES))

    def apply(self, scores: ArrayLike) -> Floats:
        """Return probabilities; as `Temperature.apply`."""
        probabilities: Floats = expit(self.slope * _odds(scores, self.scale) + self.intercept)
        return probabilities


@dataclass(frozen=True)
class Isotonic:
    """The probability is read from a rising curve of straight pieces, level beyond its ends.

    Parameters
    ----------
    scores, probabilities
        Its corners, ascending.
    note
        What went wrong, where the curve is level throughout.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    note: str | None = None

    def __post_init__(self) -> None:
        corners = np.array(self.scores), np.array(self.probabilities)
        rising = corners[0].size == corners[1].size > 0 and np.isfinite(corners).all()
        rising = rising and (np.diff(corners[0]) > 0).all() and (np.diff(corners[1]) >= 0).all()
        if not rising or corners[1][0] < 0 or corners[1][-1] > 1:
            raise ValueError("the corners of an isotonic curve must rise, from 0 at least to 1")

    def apply(self, scores: ArrayLike) -> Floats:
        """Return probabilities, any shape; NaN stays NaN."""
        score = np.asarray(scores, dtype=np.float64)
        return np.interp(score, self.scores, self.probabilities)


def _check(right: bool, what: str, value: object, expected: str) -> None:
    if not right:
        raise ValueError(f"the {what} must be {expected}, got {value}")


Calibrator = Temperature | Platt | Isotonic


def fit(method: str, scores: ArrayLike, truth: ArrayLike, scale: Scale | None = None) -> Calibrator:
    """Fit a calibrator to one finding of a validation table.

    Parameters
    ----------
    method
        A key of `CALIBRATORS`.
    scores, truth : (n_images,)
        Any finite numbers; 1, 0, or NaN where unknown.
    scale
        What the scores are; by default log-odds if any lies outside [0, 1].

    Raises
    ------
    UsageError
        If there is no such method.
    ValueError
        If the arrays cannot be used, only one class is known, or (``platt``) higher scores go
        with absence.

    >>> fit("temperature", [0.9, 0.9, 0.9, 0.1], [1, 1, 0, 0]).temperature > 1
    True
    """
    images = known(np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64))
    return fit_known(method, images, scale or scale_of(images.scores))


def fit_known(method: str, images: Known, scale: Scale) -> Calibrator:
    """Fit as `fit` does, to images that were joined and checked before."""
    if method not in CALIBRATORS:
        raise UsageError(f"{method!r} is not a calibration; choose from {', '.join(CALIBRATORS)}")
    if images.reason is not None:
        raise ValueError(images.reason)
    return CALIBRATORS[method](images, scale)


def _temperature(images: Known, scale: Scale) -> Temperature:
    """Minimise the log loss over 1 / temperature, in which it is convex: find where it turns."""
    margin = (2 * images.labels - 1) * _odds(images.scores, scale)  # above 0 on the right side

    def slope(log_cold: float) -> float:
        return -float(margin @ expit(-np.exp(log_cold) * margin))

    ends = -np.log(HOTTEST), np.log(HOTTEST)
    if slope(ends[0]) >= 0:
        return Temperature(HOTTEST, scale, _TOO_HOT)
    if slope(ends[1]) <= 0:
        return Temperature(1 / HOTTEST, scale, _TOO_COLD)
    return Temperature(float(np.exp(-brentq(slope, *ends, xtol=1e-12))), scale)


def _platt(images: Known, scale: Scale) -> Platt:
    """Fit to targets a little inside 0 and 1, as if each class had one more image half right.

    They keep the slope finite where a threshold separates the classes.
    """
    odds = _odds(images.scores, scale)
    if np.ptp(odds) == 0:
        raise ValueError("all scores are equal")
    positives, negatives = images.positives, images.n - images.positives
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    slope, intercept = fit_line(odds, np.where(images.labels == 1, high, low))
    if slope * np.ptp(odds) < LEAST:  # rounding can make a slope of 0 positive
        raise ValueError(f"higher scores go with absence, or with neither (a slope of {slope:.3g})")
    return Platt(slope, intercept, scale)


def _isotonic(images: Known, _: Scale) -> Isotonic:
    """Pool neighbours that fall; keep the ends of each level piece, straight lines between."""
    score, group, sizes = np.unique(images.scores, return_inverse=True, return_counts=True)
    shares = np.bincount(group, weights=images.labels) / sizes
    fitted = isotonic_regression(shares, weights=sizes.astype(np.float64))
    level, starts = np.clip(fitted.x, 0, 1), fitted.blocks
    corners = np.unique(np.concatenate([starts[:-1], starts[1:] - 1]))
    flat = len(starts) == 2
    return Isotonic(
        tuple(score[corners].tolist()),
        tuple(level[corners].tolist()),
        "higher scores do not go with the finding: all get the prevalence" if flat else None,
    )


CALIBRATORS: Final[Mapping[str, Callable[[Known, Scale], Calibrator]]] = {
    "temperature": _temperature,
    "platt": _platt,
    "isotonic": _isotonic,
}
