"""Choosing 100 of a million images: seconds and memory of every strategy that says it scales.

The pool is made up: 512-d float32 vectors around a few hundred centres of unequal weight, none of
them negative, as after a ReLU. Each strategy runs in a process of its own. "Beside" is the most
memory it held beyond the vectors and their ids; the limit is 2 GB. Strategies that learn from
labels get 200. Sums over clusters are taken in one thread, products of matrices in as many as
there are processors.

    python benchmarks/select_scale.py --images 1000000
    python benchmarks/select_scale.py --images 100000 --strategies k-means,typiclust
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from hilum.select import STRATEGIES, Pool, Settings

LIMIT = 2.0  # GB beside the vectors
GIGABYTE = 1e9


def make_pool(images: int, dim: int) -> Pool:
    """Make the vectors block by block, so that making them takes no more memory than they do."""
    rng = np.random.default_rng(0)
    centres = np.abs(rng.normal(size=(300, dim))).astype(np.float32)
    weight = rng.dirichlet(np.full(300, 0.5))
    vectors = np.empty((images, dim), dtype=np.float32)
    cluster = rng.choice(300, images, p=weight)
    for start in range(0, images, 10_000):
        part = slice(start, start + 10_000)
        vectors[part] = rng.standard_normal(vectors[part].shape, dtype=np.float32)
        vectors[part] *= 0.5
        vectors[part] += centres[cluster[part]]
        np.maximum(vectors[part], 0, out=vectors[part])
    labelled = np.sort(rng.choice(images, min(200, images // 10), replace=False))
    labels = (cluster[labelled, None] % np.array([2, 3, 5]) == 0).astype(float)
    ids = tuple(f"image-{n}" for n in range(images))
    return Pool(vectors, ids, np.arange(images) // 2, labelled, labels)


def measure(name: str, images: int, dim: int, budget: int) -> dict[str, float]:
    """Run one strategy in this process."""
    pool = make_pool(images, dim)
    before = _now()
    started = time.perf_counter()
    picks = STRATEGIES[name].pick(pool, budget, Settings(1), np.random.default_rng(0))
    seconds = time.perf_counter() - started
    assert len(set(picks.rows.tolist())) == budget
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak": peak / GIGABYTE, "beside": (peak - before) / GIGABYTE}


def _now() -> int:
    """Return the memory that this process holds, in bytes (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as numbers:  # noqa: PTH123
        return int(numbers.read().split()[1]) * resource.getpagesize()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--dim", type=int, default=512)
    options.add_argument("--budget", type=int, default=100)
    options.add_argument("--strategies", default=",".join(n for n in STRATEGIES))
    options.add_argument("--only", help=argparse.SUPPRESS)
    given = options.parse_args()
    sizes = ["--images", str(given.images), "--dim", str(given.dim), "--budget", str(given.budget)]
    if given.only:
        found = measure(given.only, given.images, given.dim, given.budget)
        print(json.dumps(found))
        return
    print(f"{given.budget} of {given.images:,} images, {given.dim}-d, at most one of a patient")
    print(f"the vectors alone: {4 * given.images * given.dim / GIGABYTE:.2f} GB\n")
    print(f"{'strategy':12s} {'seconds':>8s} {'peak GB':>8s} {'beside GB':>10s}")
    for name in given.strategies.split(","):
        if not STRATEGIES[name].scales:
            print(f"{name:12s} does not say that it scales")
            continue
        done = subprocess.run(
            [sys.executable, __file__, "--only", name, *sizes],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        row = json.loads(done.stdout)
        verdict = "" if row["beside"] < LIMIT else "  above the limit"
        print(f"{name:12s} {row['seconds']:8.1f} {row['peak']:8.2f} {row['beside']:10.2f}{verdict}")


if __name__ == "__main__":
    main()
