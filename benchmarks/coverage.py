"""How often a 95 % interval holds the true value, by simulation.

Patients are drawn from a population whose true values are known: scores are normal, higher by a
shift for images with the finding, so that AUROC is Phi(shift / sqrt(2)). In "clustered" scenarios a
patient has one to five images, which mostly share the finding and share a part of the score's
noise: images of a patient resemble each other, as radiographs do. True values of the other
statistics are those of two million images. Every scenario is drawn `--studies` times; the standard
error of a coverage of 0.95 is 0.7 % for 1,000 studies.

"Differences" are between two models of the same images whose noise is correlated: one pair is
equally good (the share of intervals that leave out zero is the rate of false alarms), one is not.

    python benchmarks/coverage.py
"""

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilum.evaluate import (
    Interval,
    Measure,
    auroc,
    average_precision,
    compare,
    confusion_metrics,
    evaluate,
)
from hilum.tables import Table

Floats = NDArray[np.float64]
STATISTICS = ("auroc", "average_precision", "f1", "mcc", "sensitivity", "specificity")
KINDS: tuple[Interval, ...] = ("percentile", "bca", "delong", "chexzero")
THRESHOLD = 1.0
RESEMBLANCE = 0.6  # share of a score's variance that a patient's images have in common


@dataclass(frozen=True)
class Scenario:
    """A population and a study of it."""

    patients: int
    prevalence: float
    area: float
    clustered: bool = False

    @property
    def shift(self) -> float:
        """Distance of the two classes in standard deviations."""
        from scipy.special import ndtri

        return math.sqrt(2) * float(ndtri(self.area))

    def __str__(self) -> str:
        images = "1-5 images" if self.clustered else "1 image"
        return (
            f"{self.patients} patients of {images}, {self.prevalence:.0%} positive, "
            f"AUROC {self.area:.2f}"
        )


@dataclass(frozen=True)
class Drawn:
    """Images of a study: truth, two models' scores (n, 2), patients."""

    truth: Floats
    scores: Floats
    patients: NDArray[np.int64]


def draw(scenario: Scenario, rng: np.random.Generator, second: float | None = None) -> Drawn:
    """Draw a study; `second` is the shift of the second model."""
    n = scenario.patients
    sizes = rng.integers(1, 6, size=n) if scenario.clustered else np.ones(n, dtype=np.int64)
    patients = np.repeat(np.arange(n), sizes)
    ill = (rng.random(n) < scenario.prevalence)[patients]
    flipped = rng.random(patients.size) < (0.1 if scenario.clustered else 0)
    # an image of an ill patient may lack the finding, and as many others have it
    truth = np.where(flipped, rng.random(patients.size) < scenario.prevalence, ill)
    common = math.sqrt(RESEMBLANCE) * rng.normal(size=n)[patients] if scenario.clustered else 0.0
    own = math.sqrt(1 - RESEMBLANCE if scenario.clustered else 1)
    shared = rng.normal(size=patients.size)
    shifts = (scenario.shift, scenario.shift if second is None else second)
    scores = [
        common + own * (math.sqrt(0.7) * shared + math.sqrt(0.3) * rng.normal(size=patients.size))
        + shift * truth
        for shift in shifts
    ]  # fmt: skip
    return Drawn(truth.astype(np.float64), np.stack(scores, axis=1), patients)


def tables(drawn: Drawn) -> tuple[Table, Table, Table]:
    """Return the two models' tables and the truth."""
    ids = tuple(map(str, range(drawn.truth.size)))
    patients = {"patient_id": tuple(map(str, drawn.patients))}
    first, second = (Table(ids, ("Edema",), drawn.scores[:, [at]]) for at in (0, 1))
    return first, second, Table(ids, ("Edema",), drawn.truth[:, None], patients)


def true_values(scenario: Scenario) -> dict[str, float]:
    """Measure two million images or so."""
    large = Scenario(700_000 if scenario.clustered else 2_000_000, scenario.prevalence,
                     scenario.area, scenario.clustered)  # fmt: skip
    drawn = draw(large, np.random.default_rng(12345))
    score, truth = drawn.scores[:, 0], drawn.truth
    readings = confusion_metrics(score >= THRESHOLD, truth)
    ranked = {"auroc": auroc(score, truth), "average_precision": average_precision(score, truth)}
    return ranked | {name: readings[name] for name in STATISTICS[2:]}


def holds(measure: Measure, value: float) -> str:
    if measure.low is None or measure.high is None:
        return "none"
    return "in" if measure.low <= value <= measure.high else "out"


def columns(scenario: Scenario) -> list[tuple[Interval, str]]:
    """Return the kinds of interval to try, and what is resampled for each."""
    if not scenario.clustered:
        return [(kind, "image") for kind in KINDS]
    by_patient: list[tuple[Interval, str]] = [(kind, "patient") for kind in KINDS[:3]]
    return [*by_patient, ("percentile", "image"), ("delong", "image")]


def one_study(task: tuple[Scenario, dict[str, float], int]) -> Counter[tuple[str, str, str, str]]:
    """Return, for every statistic, kind and unit, whether the interval held the truth."""
    scenario, truth, seed = task
    scores, _, labels = tables(draw(scenario, np.random.default_rng(seed)))
    out: Counter[tuple[str, str, str, str]] = Counter()
    for kind, unit in columns(scenario):
        by = "patient_id" if unit == "patient" else None
        found = evaluate(
            scores, labels, by, interval=kind, threshold=THRESHOLD, statistics=STATISTICS
        ).findings["Edema"]
        for name in STATISTICS:
            out[name, kind, unit, holds(found.measures[name], truth[name])] += 1
    return out


def one_difference(task: tuple[Scenario, float, float, int]) -> Counter[tuple[str, str, str, str]]:
    """Return whether the interval of a difference held the truth, and whether p was below 5 %."""
    scenario, second, gap, seed = task
    first, other, labels = tables(draw(scenario, np.random.default_rng(seed), second))
    out: Counter[tuple[str, str, str, str]] = Counter()
    for kind in ("percentile", "bca", "delong"):
        found = compare(first, other, labels, interval=kind, statistics=("auroc",))
        measure = found.difference.findings["Edema"].measures["auroc"]
        out["difference", kind, "", holds(measure, gap)] += 1
        small = measure.p_value is not None and measure.p_value < 0.05
        out["p < 0.05", kind, "", "in" if small else "out"] += 1
    return out


def scenarios() -> Iterator[Scenario]:
    yield Scenario(100, 0.3, 0.80)
    yield Scenario(100, 0.1, 0.80)
    yield Scenario(500, 0.1, 0.80)
    yield Scenario(500, 0.1, 0.95)
    yield Scenario(500, 0.02, 0.90)
    yield Scenario(150, 0.3, 0.80, clustered=True)
    yield Scenario(500, 0.1, 0.90, clustered=True)


DIFFERENCES = (
    (Scenario(300, 0.2, 0.85), 0.85),
    (Scenario(300, 0.2, 0.85), 0.80),
    (Scenario(200, 0.2, 0.85, clustered=True), 0.85),
)


def share(counts: Counter[tuple[str, str, str, str]], name: str, kind: str, unit: str) -> str:
    held, missed = counts[name, kind, unit, "in"], counts[name, kind, unit, "out"]
    if not held + missed:
        return ""
    absent = counts[name, kind, unit, "none"]
    return f"{held / (held + missed):.3f}" + (f" ({absent} without)" if absent else "")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--studies", type=int, default=1000)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    with ProcessPoolExecutor(given.workers) as pool:
        for scenario in scenarios():
            truth = true_values(scenario)
            tasks = [(scenario, truth, seed) for seed in range(given.studies)]
            counts = sum(pool.map(one_study, tasks, chunksize=20), Counter())
            shown = columns(scenario)
            heads = [f"{kind} by {unit}" for kind, unit in shown]
            print_table(str(scenario), heads, {
                name: [share(counts, name, kind, unit) for kind, unit in shown]
                for name in STATISTICS
            })  # fmt: skip
        for scenario, area in DIFFERENCES:
            second = Scenario(1, 0.5, area).shift
            gap = true_difference(scenario, second)
            drawn = [(scenario, second, gap, seed) for seed in range(given.studies)]
            counts = sum(pool.map(one_difference, drawn, chunksize=20), Counter())
            print_table(f"AUROC: {scenario} minus {area:.2f}", list(KINDS[:3]), {
                name: [share(counts, name, kind, "") for kind in KINDS[:3]]
                for name in ("difference", "p < 0.05")
            })  # fmt: skip


def true_difference(scenario: Scenario, second: float) -> float:
    if second == scenario.shift:
        return 0.0
    many = Scenario(500_000, scenario.prevalence, scenario.area, scenario.clustered)
    large = draw(many, np.random.default_rng(54321), second)
    first, other = (auroc(large.scores[:, at], large.truth) for at in (0, 1))
    return first - other


def print_table(title: str, heads: list[str], rows: dict[str, list[str]]) -> None:
    """Print a table in Markdown."""
    print(f"\n| {title} | " + " | ".join(heads) + " |")
    print("|---|" + "---|" * len(heads))
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
