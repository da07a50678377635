"""The course so far, in more detail than `history`: what was lately so, how much, and how seen.

Which columns are here was chosen on the validation patients of ChestX-ray14
(`docs/choices.md`): labels two and three visits back, runs of one label and the time since the last
positive one added nothing to these.
"""

from typing import Final

import numpy as np

from hilum.features.past import Past
from hilum.features.visits import Floats, Rows, Visits

MEMORIES: Final = (0.5, 0.85, 1.0)
"""How much a visit counts beside the one after it; 1 is every visit alike."""

_HEALTHY: Final = "No Finding"


def course_columns(past: Past) -> dict[str, Floats]:
    """Describe the course up to every visit.

    Returns
    -------
    Of each finding and each of `MEMORIES`, ``log odds X M``: log((p + ½) / (a + ½)), where p and a
    add M^k for each earlier visit with the finding and without it, k visits before the previous
    one. It is a rate that knows how many visits it stands on, 0 where none tells (the empirical
    logit of Haldane, Ann. Hum. Genet. 20:309-311, 1956, and Anscombe, Biometrika 43:461-464, 1956).
    Further ``previous findings``, how many the previous visit is known to have had, and ``mean
    findings`` over earlier visits; ``previous AP`` and ``AP rate``, the share of AP views then; NaN
    where unknown, with ``... known`` beside each.
    """
    visits = past.visits
    columns: dict[str, Floats] = {}
    for memory in MEMORIES:
        odds = _log_odds(visits, memory)
        for at, finding in enumerate(past.findings):
            columns[f"log odds {finding} {memory:g}"] = odds[:, at]
    number = _number_of_findings(past)
    summaries = {
        "previous findings": visits.before(number),
        "mean findings": _mean_before(visits, number),
        "previous AP": visits.before(visits.ap),
        "AP rate": _mean_before(visits, visits.ap),
    }
    for name, column in summaries.items():
        columns[name] = column
        columns[f"{name} known"] = (~np.isnan(column)).astype(np.float64)
    return columns


def _log_odds(visits: Visits, memory: float) -> Floats:
    present, absent = (visits.labels == value for value in (1, 0))
    told = np.stack([present, absent], axis=1).astype(np.float64)  # (n_visits, 2, n_findings)

    def fade_and_add(counts: Floats, rows: Rows) -> Floats:
        return memory * counts + told[rows]

    counts = visits.scan(np.zeros(told.shape[1:]), fade_and_add) + 0.5
    return np.asarray(np.log(counts[:, 0] / counts[:, 1]), dtype=np.float64)


def _number_of_findings(past: Past) -> Floats:
    """Return by visit how many findings it is known to have; NaN where nothing is known."""
    real = [at for at, finding in enumerate(past.findings) if finding != _HEALTHY]
    labels = past.visits.labels[:, real]
    return np.where(np.isnan(labels).all(axis=1), np.nan, (labels == 1).sum(axis=1))


def _mean_before(visits: Visits, values: Floats) -> Floats:
    known = visits.sum_before((~np.isnan(values)).astype(np.float64))
    total = visits.sum_before(values)
    mean: Floats = np.divide(total, known, out=np.full(len(visits), np.nan), where=known > 0)
    return mean
