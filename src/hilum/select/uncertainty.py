"""Picks by what a probe on the labels so far is unsure of: entropy, margin and BADGE.

The probe is `hilum.predictors.linear_probe`: a logistic regression on the embedding for every
finding that has labels of both classes; other findings take no part.
"""

import numpy as np
from scipy.special import expit

from hilum.errors import UsageError
from hilum.predictors import linear_probe
from hilum.select.pool import Floats, Picks, Pool, Rows, Settings, counted
from hilum.select.quota import Quota
from hilum.select.space import Space

_ROUNDING = 1e-12  # squared distance of gradients, relative to the squared lengths, that is none


def entropy(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick where the probe's answers are most uncertain: the sum of the findings' entropies.

    The sum is the entropy of all answers together, if they are independent.
    """
    quota = Quota(pool, budget, settings)
    odds, names = log_odds(pool, "entropy", rng)
    each = binary_entropy(odds)
    score = each.sum(axis=1)
    rows = _highest(score, quota, budget)
    why = (
        f"entropy {score[row]:.3g} nats over {counted(len(names), 'finding')}, "
        f"most of it for {names[each[row].argmax()]}"
        for row in rows
    )
    return Picks(rows, score[rows], tuple(why))


def margin(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Pick where one finding is a toss-up: by the finding whose probability is nearest to 1/2."""
    quota = Quota(pool, budget, settings)
    odds, names = log_odds(pool, "margin", rng)
    finding = np.abs(odds).argmin(axis=1)
    least = odds[np.arange(len(odds)), finding]
    score = 1 - np.tanh(np.abs(least) / 2)  # the margin is |p - (1 - p)| = tanh(|log odds| / 2)
    rows = _highest(score, quota, budget)
    why = (
        f"{names[finding[row]]} is its least certain finding (probability {expit(least[row]):.3g})"
        for row in rows
    )
    return Picks(rows, score[rows], tuple(why))


def badge(pool: Pool, budget: int, settings: Settings, rng: np.random.Generator) -> Picks:
    """Draw images whose labels would move the probe far, and in different directions.

    The gradient of an image is the slope of the probe's loss in the weights of its last (here
    its only) layer, were each finding's likelier answer true: (p - answer) times the embedding,
    which is centred on the pool's mean; one such part per finding. The first pick has the
    longest gradient; the others are drawn in proportion to the squared distance from the
    gradients picked before (k-means++).
    """
    quota = Quota(pool, budget, settings)
    error = gradient_errors(log_odds(pool, "badge", rng)[0])  # (n, n_usable)
    space = Space(pool.vectors)
    square = space.lengths().astype(np.float64) ** 2
    own = (error**2).sum(axis=1) * square  # squared lengths of the gradients
    gap = np.full(len(pool), np.inf)  # squared distance to the nearest gradient picked
    rows = [int(np.where(quota.open, own, -1).argmax())]
    scores = [float(np.sqrt(own[rows[0]]))]
    quota.take(rows[0])
    while len(rows) < budget:
        last = rows[-1]
        # <a⊗x, b⊗y> = <a, b><x, y>: gradients are never formed, however many findings there are
        product = (square + square[last] - space.distances_from(last).astype(np.float64) ** 2) / 2
        between = own + own[last] - 2 * (error @ error[last]) * product
        between[between < _ROUNDING * (own + own[last])] = 0
        gap = np.minimum(gap, between)
        rows.append(_draw(gap, quota, rng))
        scores.append(float(np.sqrt(gap[rows[-1]])))
        quota.take(rows[-1])
    why = (
        f"gradient of length {score:.3g}, the longest"
        if turn == 0
        else f"drawn for its gradient, {score:.3g} from the nearest one picked"
        for turn, score in enumerate(scores)
    )
    return Picks(np.array(rows), np.array(scores), tuple(why))


# --------------------------------------------------------------------------- what they share


def log_odds(pool: Pool, strategy: str, rng: np.random.Generator) -> tuple[Floats, tuple[str, ...]]:
    """Return the probe's log odds (n, n_usable), and the findings that it can learn.

    Raises
    ------
    UsageError
        If no finding has both a positive and a negative label.
    """
    positive, negative = ((pool.labels == value).sum(axis=0) for value in (1, 0))
    usable = np.flatnonzero((positive > 0) & (negative > 0))
    if not usable.size:
        counts = zip(pool.findings, positive, negative, strict=True)
        got = "; ".join(f"{name}: {p} positive, {n} negative" for name, p, n in counts)
        raise UsageError(
            f"{strategy} learns from labels, and needs a finding with positive and negative ones; "
            f"got {got or 'no labels'}; choose a round by k-means, label it, and come back"
        )
    labelled, labels = pool.vectors[pool.labelled], pool.labels[:, usable]
    found = linear_probe(pool.vectors, labelled, labels, seed=int(rng.integers(2**31)))
    return found.scores, tuple(pool.findings[column] for column in usable)


def binary_entropy(odds: Floats) -> Floats:
    """Return the entropy in nats of answers with these log odds."""
    size = np.abs(odds)
    return np.asarray(np.log1p(np.exp(-size)) + size * expit(-size), dtype=np.float64)


def gradient_errors(odds: Floats) -> Floats:
    """Return p - answer, where the answer is the likelier of 1 and 0: in [-1/2, 1/2]."""
    return np.asarray(np.where(odds >= 0, -expit(-odds), expit(odds)), dtype=np.float64)


def _highest(score: Floats, quota: Quota, budget: int) -> Rows:
    """Take open rows by descending score, equal ones in row order."""
    rows: list[int] = []
    for row in np.argsort(-score, kind="stable").tolist():
        if len(rows) == budget:
            break
        if quota.open[row]:
            quota.take(row)
            rows.append(row)
    return np.array(rows, dtype=np.int64)


def _draw(weight: Floats, quota: Quota, rng: np.random.Generator) -> int:
    """Draw an open row in proportion to its weight, or any where no weight is left."""
    weight = np.where(quota.open, weight, 0.0)
    if not weight.any():
        weight = quota.open.astype(np.float64)
    return int(rng.choice(len(weight), p=weight / weight.sum()))
