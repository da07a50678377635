"""Several questions asked of the same images: p-values that answer for all of them together."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values so that all of them together are wrong as rarely as one is.

    Rejecting where the adjusted value is at most 0.05 rejects any true hypothesis with
    probability at most 0.05, whatever the dependence between the tests (Holm, Scandinavian
    Journal of Statistics 6:65-70, 1979). The smallest of m values is multiplied by m, the next
    by m - 1 and so on; none falls below the one before it or exceeds 1.

    Parameters
    ----------
    p_values : (n,)
        From 0 to 1, or NaN where there was no test; those stay NaN and are not counted in m.

    Returns
    -------
    (n,)
        The adjusted values in the order given.

    Raises
    ------
    ValueError
        If a value lies outside [0, 1], or the values are not one row.

    >>> holm([0.01, 0.04, np.nan, 0.03]).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(p)
    if p.ndim != 1:
        raise ValueError(f"p-values must be one-dimensional; got shape {p.shape}")
    if strange := p[tested & ~((p >= 0) & (p <= 1))].tolist():
        raise ValueError(f"p-values must lie between 0 and 1; got {strange[0]:g}")
    order = np.flatnonzero(tested)[np.argsort(p[tested], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return adjusted
