"""Intervals for sensitivity, specificity and predictive values, without resampling.

Wilson's score interval (JASA 22:209-212, 1927) stays inside [0, 1] and keeps its width where
every image was called right. It counts independent images. Several images of one patient are
worth fewer, so for patients their number is divided by the design effect, which is the variance
of the ratio estimator over patients as a multiple of that of independent images (Rao and Scott,
Biometrics 48:577-585, 1992), and by the t quantiles' square where patients are few (Korn and
Graubard, Survey Methodology 24:193-201, 1998). Dean and Pagano (Journal of Survey Statistics and
Methodology 3:484-503, 2015) compare seven intervals on such effective numbers.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from hilum.errors import UsageError
from hilum.evaluate.intervals import Measure

Floats = NDArray[np.float64]


def normal_quantile(level: float) -> float:
    """Return how many standard errors a two-sided interval reaches: 1.96 for a level of 0.95.

    Raises
    ------
    UsageError
        If the level does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, got {level}")
    return float(ndtri((1 + level) / 2))


def wilson(numerators: ArrayLike, denominators: ArrayLike, level: float = 0.95) -> Measure:
    """Put a score interval around the proportion of images that the units give together.

    Parameters
    ----------
    numerators, denominators : (n_units,)
        Counts of each unit's images: for sensitivity, those found and those positive. Units
        with a denominator of 0 take no part.
    level
        Coverage aimed at, such as 0.95.

    Returns
    -------
    The proportion with its interval; nothing where all denominators are 0, and no interval where
    one unit has all the images (see `effective_number`).

    Raises
    ------
    ValueError
        If the counts differ in length, or a numerator is not between 0 and its denominator.
    UsageError
        If the level does not lie between 0 and 1.

    >>> measure = wilson([1, 0, 1, 1], [1, 1, 1, 1])
    >>> round(measure.low, 3), measure.estimate, round(measure.high, 3)
    (0.301, 0.75, 0.954)
    """
    z = normal_quantile(level)
    right, images = _taking_part(numerators, denominators)
    if not images.size:
        return Measure(None, reason="undefined: no image counts")
    share = float(right.sum() / images.sum())
    number = effective_number(right, images, level)
    if np.isnan(number):
        return Measure(share, reason="no interval: all images that count belong to one unit")
    centre = share + z**2 / (2 * number)
    reach = z * np.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    shrink = 1 + z**2 / number
    # for 0 of 10 and 10 of 10 one end is the estimate itself, which rounding could miss
    low = np.clip((centre - reach) / shrink, 0, share)
    high = np.clip((centre + reach) / shrink, share, 1)
    return Measure(share, float(low), float(high))


def effective_number(numerators: ArrayLike, denominators: ArrayLike, level: float = 0.95) -> float:
    """Return how many independent images the units' images are worth.

    Where no unit has more than one image it is their number. Otherwise it is that number

    - divided by the design effect, K/(K-1) Σ(x - pn)² / (N/(N-1) N p(1-p)) for K units with x of
      n images right and N images in all. One below 1 counts as 1: a sample estimate of negative
      correlation within patients is far likelier to be chance than fact;
    - times the square of t(N-1) / t(K-1), the quantiles at the interval's level;
    - or, where all or no images are right and the design effect is 0/0, the number of units K:
      right for patients who are right or wrong as a whole, too small for any others.

    Parameters and errors as in `wilson`.

    Returns
    -------
    At most N; NaN where there is no image, or one unit has them all: nothing then tells how
    much units differ.
    """
    quantile = (1 + level) / 2
    right, images = _taking_part(numerators, denominators)
    units, total = images.size, float(images.sum())
    if units == total and units > 0:
        return total
    if units < 2:
        return float("nan")
    share = float(right.sum()) / total
    if share in (0, 1):
        return float(units)
    residuals = right - share * images
    independent = share * (1 - share) * total**2 / (total - 1)
    design_effect = units / (units - 1) * float(residuals @ residuals) / independent
    few_units = float(stdtrit(total - 1, quantile) / stdtrit(units - 1, quantile)) ** 2
    return total / max(1.0, design_effect) * few_units


def _taking_part(numerators: ArrayLike, denominators: ArrayLike) -> tuple[Floats, Floats]:
    """Check the counts; return those of the units that have an image in the denominator."""
    right = np.asarray(numerators, dtype=np.float64)
    images = np.asarray(denominators, dtype=np.float64)
    if right.ndim != 1 or right.shape != images.shape:
        raise ValueError(
            "numerators and denominators must be one-dimensional and of one length; "
            f"got shapes {right.shape} and {images.shape}"
        )
    if not ((right >= 0) & (right <= images) & np.isfinite(images)).all():
        raise ValueError("every numerator must be a count from 0 to its denominator")
    return right[images > 0], images[images > 0]
