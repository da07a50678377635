"""How often the reader-study analysis is right about other readers, by simulation.

Ratings follow Roe and Metz's model (Academic Radiology 4:298-303, 1997): normal, with variance
components of readers, cases and their products with two modalities; AUROC is about 0.85 and its
covariance over cases DeLong's. "rejects" is the share of studies without a difference that have
p < 0.05. "covers" is the share of 95 % intervals of model minus readers that hold the true value.
Every cell is `--studies` studies; the standard error at 2,000 is 0.005.

    python benchmarks/reader_study.py
"""

import argparse
import math

import numpy as np
from numpy.typing import NDArray

from hilum.evaluate.delong import delong
from hilum.evaluate.orh import compare_modalities, compare_model

Floats = NDArray[np.float64]
SEPARATION = 1.5  # of the two classes' means


def areas(negatives: Floats, positives: Floats) -> tuple[Floats, Floats]:
    """Return AUROCs (k,) of ratings (k, n_cases), and their covariance over cases."""
    scores = np.concatenate([negatives, positives], axis=1).T
    truth = np.repeat([0, 1], [negatives.shape[1], positives.shape[1]])
    found = delong(scores, truth)
    return found.areas, found.covariance


def two_modalities(rng: np.random.Generator, readers: int, cases: int, spread: float) -> Floats:
    """Return ratings (2 * readers, cases) of one class."""
    parts = (
        (spread, (1, readers, 1)), (spread, (2, readers, 1)), (0.3, (1, 1, cases)),
        (0.3, (2, 1, cases)), (0.2, (1, readers, cases)), (0.2, (2, readers, cases)),
    )  # fmt: skip
    ratings = sum(math.sqrt(variance) * rng.normal(size=shape) for variance, shape in parts)
    return np.asarray(ratings, dtype=np.float64).reshape(2 * readers, cases)


def model_and_readers(rng: np.random.Generator, readers: int, cases: int, spread: float) -> Floats:
    """Return ratings (1 + readers, cases) of one class, the model's first."""
    common = math.sqrt(0.6) * rng.normal(size=(1, cases))
    ratings = common + math.sqrt(0.4) * rng.normal(size=(1 + readers, cases))
    ratings[1:] += math.sqrt(2 * spread) * rng.normal(size=(readers, 1))
    return np.asarray(ratings, dtype=np.float64)


def rejects(readers: int, cases: tuple[int, int], spread: float, studies: int) -> list[float]:
    rng, count = np.random.default_rng(0), np.zeros(2)
    for _ in range(studies):
        negatives, positives = (two_modalities(rng, readers, n, spread) for n in cases)
        theta, covariance = areas(negatives, positives + SEPARATION)
        square = theta.reshape(2, readers)
        for at, found in enumerate(
            (
                compare_modalities(square, covariance),
                compare_modalities(square, covariance, readers="fixed"),
            )
        ):
            p = found.difference.p_value
            count[at] += p is not None and p < 0.05
    return [float(share) for share in count / studies]


def covers(readers: int, cases: tuple[int, int], spread: float, studies: int) -> list[float]:
    """Count against the mean of all studies' differences, which is the true one but for noise."""
    rng = np.random.default_rng(1)
    ends, estimates = [], []
    for _ in range(studies):
        negatives, positives = (model_and_readers(rng, readers, n, spread) for n in cases)
        theta, covariance = areas(negatives, positives + SEPARATION)
        own = compare_model(theta, covariance).difference
        fixed = compare_model(theta, covariance, readers="fixed").difference
        estimates.append(own.estimate)
        ends.append([own.low, own.high, fixed.low, fixed.high])
    truth, bounds = np.mean(estimates), np.array(ends, dtype=np.float64)
    inside = (bounds[:, ::2] < truth) & (truth < bounds[:, 1::2])
    return [float(share) for share in inside.mean(axis=0)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--studies", type=int, default=2000)
    given = options.parse_args()
    print("readers, negative + positive cases, reader variance: random / fixed")
    for spread in (0.0055, 0.03):
        for readers in (3, 5, 10):
            for cases in ((50, 50), (100, 25)):
                wrong = rejects(readers, cases, spread, given.studies)
                held = covers(readers, cases, spread, given.studies)
                print(
                    f"{readers:>2}, {cases[0]:>3} + {cases[1]}, {spread:<6}: rejects "
                    f"{wrong[0]:.3f} / {wrong[1]:.3f}, covers {held[0]:.3f} / {held[1]:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
