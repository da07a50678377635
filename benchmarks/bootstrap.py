"""Patient-level bootstrap of AUROC and average precision, against loops over scikit-learn.

Ours is `hilum.evaluate` as a user calls it: tables in, joined by id, intervals out. The peers get
arrays that are joined already and draw images, not patients, which is less work:

- "scikit-learn": per resample and finding `roc_auc_score` and `average_precision_score`;
- "CheXzero": per resample and finding an ROC curve with its area, a precision-recall curve, and a
  data frame of the one number, all frames joined at the end (polars frames here, cheaper than the
  original's pandas).

A loop that would take minutes is run for `--peer-resamples` of its resamples and scaled up; the
table says which. All sizes have 14 findings with the prevalences of ChestX-ray14, but for the 13 on
which CheXzero's own procedure is compared, and 3.6 images per patient, of which the CheXpert test
set's 500 have one each. Targets: 22,433 × 14 in 4 s, 500 × 14 in 0.15 s, 100 times CheXzero's rate.

    python benchmarks/bootstrap.py
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from hilum.evaluate import evaluate
from hilum.tables import Table

Floats = NDArray[np.float64]
RESAMPLES = 1000
PREVALENCES = (  # of the 14 findings of ChestX-ray14, in per cent
    10.3, 2.5, 4.2, 2.1, 2.2, 11.9, 1.5, 0.2, 17.7, 5.2, 5.6, 3.0, 1.3, 4.7
)  # fmt: skip


def make_tables(images: int, findings: int, per_patient: float) -> tuple[Table, Table]:
    """Return scores of AUROC about 0.8 and truth, with several images per patient."""
    rng = np.random.default_rng(0)
    share = np.array(PREVALENCES[:findings]) / 100
    if images < 1000:
        share = np.clip(share, 0.02, None)  # the CheXpert test set has few, but has all
    truth = (rng.random((images, findings)) < share).astype(np.float64)
    scores = 1 / (1 + np.exp(-rng.normal(size=truth.shape) - 1.2 * truth))
    ids = tuple(f"i{n}" for n in range(images))
    names = tuple(f"finding {n}" for n in range(findings))
    patients = rng.integers(max(1, round(images / per_patient)), size=images)
    if per_patient == 1:
        patients = np.arange(images)
    return Table(ids, names, scores), Table(
        ids, names, truth, {"patient_id": tuple(f"p{n}" for n in patients)}
    )


def by_scikit_learn(scores: Floats, truth: Floats, resamples: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(resamples):
        rows = rng.integers(len(scores), size=len(scores))
        for at in range(scores.shape[1]):
            roc_auc_score(truth[rows, at], scores[rows, at])
            average_precision_score(truth[rows, at], scores[rows, at])


def by_chexzero(scores: Floats, truth: Floats, resamples: int) -> None:
    frames = []
    for seed in range(resamples):
        rows = np.random.RandomState(seed).randint(0, len(scores), len(scores))
        columns = []
        for at in range(scores.shape[1]):
            false_rate, true_rate, _ = roc_curve(truth[rows, at], scores[rows, at])
            precision_recall_curve(truth[rows, at], scores[rows, at])
            columns.append(pl.DataFrame({f"finding {at}_auc": [auc(false_rate, true_rate)]}))
        frames.append(pl.concat(columns, how="horizontal"))
    every = pl.concat(frames)
    for name in every.columns:
        every[name].sort()


def seconds(call: Callable[[], object], rounds: int = 1) -> float:
    """Return the median time of some calls."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def compare(
    images: int,
    findings: int,
    per_patient: float,
    peers: Mapping[str, Callable[[Floats, Floats, int], None]],
    peer_resamples: int,
) -> None:
    scores, truth = make_tables(images, findings, per_patient)

    def ours() -> None:
        evaluate(scores, truth, bootstrap=RESAMPLES, statistics=("auroc", "average_precision"))

    ours()
    mine = seconds(ours, rounds=5 if images < 30_000 else 1)
    print(f"{images:>7,} × {findings}  hilum         {mine:8.3f} s")
    for name, peer in peers.items():
        arrays = (scores.values, truth.values, peer_resamples)
        theirs = seconds(lambda peer=peer, arrays=arrays: peer(*arrays))  # type: ignore[misc]
        theirs *= RESAMPLES / peer_resamples
        how = "measured" if peer_resamples == RESAMPLES else f"scaled from {peer_resamples}"
        print(f"{'':>14}{name:<13} {theirs:8.1f} s  {theirs / mine:6.0f} x   ({how})")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--peer-resamples", type=int, default=20)
    given = options.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn warns of every resample without positives
    both = {"scikit-learn": by_scikit_learn, "CheXzero": by_chexzero}
    print(f"{RESAMPLES} resamples of AUROC and average precision, images × findings")
    compare(500, 13, 1, {"CheXzero": by_chexzero}, RESAMPLES)
    compare(500, 14, 1, {"scikit-learn": by_scikit_learn}, RESAMPLES)
    compare(22_433, 14, 3.6, both, given.peer_resamples)
    compare(112_120, 14, 3.6, both, max(1, given.peer_resamples // 5))


if __name__ == "__main__":
    main()
