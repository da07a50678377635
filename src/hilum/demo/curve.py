"""How far do few labels go? AUROC on held-out patients against the number of labelled images.

For each number of labels, images of training patients are drawn at random several times, with the
same draws for every encoder and method. Each draw's labels classify the images of the test
patients; a point is the mean over findings and draws, and its interval resamples test patients.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from hilum.classify import classify
from hilum.collection import Collection
from hilum.evaluate import Repeats, compare_repeats, evaluate_repeats
from hilum.progress import Progress, silent
from hilum.tables import Table


@dataclass(frozen=True)
class Plan:
    """What is asked of the labels.

    Parameters
    ----------
    embeddings
        Names of embeddings; the last is the control.
    methods
        Keys of `hilum.predictors.METHODS`.
    budgets
        Numbers of labelled images.
    draws
        How many random choices of each number of labels.
    findings
        What is classified.
    seed
        Of the draws and of the resampling.
    bootstrap
        Resamples of the test patients.
    """

    embeddings: tuple[str, ...]
    methods: tuple[str, ...] = ("cosine", "probe")
    budgets: tuple[int, ...] = (10, 20, 50, 100, 200)
    draws: int = 5
    findings: tuple[str, ...] = ()
    seed: int = 0
    bootstrap: int = 1000


@dataclass(frozen=True)
class Point:
    """One method on one embedding with one number of labels.

    Parameters
    ----------
    embedding, method, labels
        Which point it is; `labels` counts images.
    untaught
        Share of findings, over the draws, that the drawn labels could not teach because all of
        them were positive or all negative. Such a finding gets one score for every image: an
        AUROC of one half, which is what such labels are worth.
    result
        The mean AUROC over findings and draws, with its interval.
    over_control
        The same minus the control's, paired by draw and patient; None for the control.
    """

    embedding: str
    method: str
    labels: int
    untaught: float
    result: Repeats
    over_control: Repeats | None


def draw_labels(train: Table, count: int, draw: int, seed: int) -> Table:
    """Choose `count` images at random; the choice depends on nothing but the arguments."""
    key = hashlib.sha256(f"{seed}/{count}/{draw}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(key[:8], "little"))
    rows = np.sort(rng.choice(len(train), size=count, replace=False))
    return train.take(rows)


def label_curve(collection: Collection, plan: Plan, progress: Progress = silent) -> Iterator[Point]:
    """Yield the points of the curve, for each method and number of labels every embedding."""
    train = collection.labels("train", plan.findings)
    truth = collection.labels("test", plan.findings)
    budgets = sorted({min(count, len(train)) for count in (*plan.budgets, len(train))})
    steps = list(product(plan.methods, budgets))
    for done, (method, count) in enumerate(steps):
        progress(done, len(steps), f"{method}, {count} labels")
        yield from _points(collection, plan, method, train, truth, count)
    progress(len(steps), len(steps))


def _points(
    collection: Collection, plan: Plan, method: str, train: Table, truth: Table, count: int
) -> Iterator[Point]:
    draws = 1 if count == len(train) else plan.draws  # all labels can be chosen in one way
    chosen = [draw_labels(train, count, draw, plan.seed) for draw in range(draws)]
    found = {
        name: [classify(collection, name, labels, method) for labels in chosen]
        for name in plan.embeddings
    }
    untaught = float(np.mean([np.isnan(t.values).all(axis=0) for t in next(iter(found.values()))]))
    scores = {name: [_fill(table) for table in tables] for name, tables in found.items()}
    control: Sequence[Table] = scores[plan.embeddings[-1]]
    drawn, seed = plan.bootstrap, plan.seed
    for name, tables in scores.items():
        result = evaluate_repeats(tables, truth, bootstrap=drawn, seed=seed)
        gap = None
        if tables is not control:
            gap = compare_repeats(tables, control, truth, bootstrap=drawn, seed=seed)
        yield Point(name, method, count, untaught, result, gap)


def _fill(scores: Table) -> Table:
    """Give findings without a score the same score everywhere."""
    empty = np.isnan(scores.values).all(axis=0)
    return replace(scores, values=np.where(empty, 0.0, scores.values))
