"""What earlier visits said: the previous one, all of them, how many, and how long ago.

Nothing here knows the present visit's labels or anything later: a column is made of what
`Visits.before` and `Visits.sum_before` give, which look back only.
"""

import numpy as np

from hilum.features.past import Past
from hilum.features.visits import Floats, Visits


def previous_columns(past: Past) -> dict[str, Floats]:
    """Return, by visit, whether there is a previous one and its labels: a part of the history."""
    visits = past.visits
    columns = {"has history": (visits.rank > 0).astype(np.float64)}
    for finding, label in zip(past.findings, visits.before(visits.labels).T, strict=True):
        columns[f"previous {finding}"] = label
        columns[f"previous {finding} known"] = _known(label)
    return columns


def history_columns(past: Past) -> dict[str, Floats]:
    """Describe the past of every visit, over all images of the patient in the collection.

    Returns
    -------
    ``has history`` (1 if there is an earlier visit), ``earlier visits`` (log(1 + their number)),
    ``years since`` the previous visit (NaN where an age is unknown, or falls) and ``years since
    known``; and of each finding

    - ``previous X``, its label at the previous visit, and ``previous X known``;
    - of the earlier visits that tell, ``ever X``, whether any had it, and ``rate X``, how many did;
      ``earlier X known``, whether any tells.

    A label is unknown where nothing tells it: NaN, never 0.
    """
    visits = past.visits
    since = years_since_previous(visits)
    columns = {
        **previous_columns(past),
        "earlier visits": np.log1p(visits.rank),
        "years since": since,
        "years since known": _known(since),
    }
    told = visits.sum_before((~np.isnan(visits.labels)).astype(np.float64))
    present = visits.sum_before(visits.labels)
    rate = np.divide(present, told, out=np.full(told.shape, np.nan), where=told > 0)
    ever = np.where(told > 0, present > 0, np.nan)
    for at, finding in enumerate(past.findings):
        columns[f"ever {finding}"] = ever[:, at]
        columns[f"rate {finding}"] = rate[:, at]
        columns[f"earlier {finding} known"] = (told[:, at] > 0).astype(np.float64)
    return columns


def years_since_previous(visits: Visits) -> Floats:
    """Return the years since the previous visit; NaN where unknown.

    Ages that fall from one visit to the next tell nothing of the time between them.
    """
    years = visits.ages - visits.before(visits.ages)
    return np.where(years >= 0, years, np.nan)


def _known(column: Floats) -> Floats:
    return (~np.isnan(column)).astype(np.float64)
