"""Random selection: the strategy that every other has to beat."""

import numpy as np

from hilum.select.pool import Picks, Pool, Settings
from hilum.select.quota import Quota


def at_random(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick at random, without replacement.

    With a limit per patient, images come in a random order and those of full patients are
    passed over.
    """
    quota = Quota(pool, budget, settings)
    picked: list[int] = []
    for row in rng.permutation(np.flatnonzero(quota.open)).tolist():
        if len(picked) == budget:
            break
        if quota.open[row]:
            quota.take(row)
            picked.append(row)
    return Picks(np.array(picked), np.full(budget, np.nan), ("at random",) * budget)
