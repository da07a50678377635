"""Choosing 100 of a million images: seconds and memory of every strategy.

The pool is made up: 512-d float32 vectors around a few hundred centres of unequal weight, none of
them negative, as after a ReLU. Each strategy runs in a process of its own. Strategies that learn
from labels get 200. medselect is a selector of the usual size with weights that were drawn, not
trained: time and memory are the same.

"choose": the strategy on vectors in memory; "beside" is the most memory it held beyond these and
their ids; the limit is 2 GB. "command": `hilum select` on a collection of as many rows (no pixels;
made first, not timed), from the start of Python to the written list, and the process's peak. Sums
over clusters are taken in one thread, products of matrices in as many as there are processors.

    python benchmarks/select_scale.py --images 1000000 --command
    python benchmarks/select_scale.py --images 100000 --strategies k-means,typiclust
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hilum.select import STRATEGIES, Pool, Settings
from hilum.select.pool import Strategy
from hilum.select.worklist import MEDSELECT
from memory import resident_peak

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


def find_strategy(name: str, dim: int) -> Strategy:
    """Return a strategy; the trained one with weights from a generator."""
    if name != MEDSELECT:
        return STRATEGIES[name]
    from hilum.select.trained import selector_strategy

    with tempfile.TemporaryDirectory() as folder:
        return selector_strategy(_write_selector(Path(folder) / "selector.safetensors", dim))


def _write_selector(path: Path, dim: int) -> Path:
    import torch

    from hilum.select.selector import SelectorSpec, SetSelector, save_selector

    selector = SetSelector(SelectorSpec(dim=dim))
    torch.nn.init.normal_(selector.judge.weight, generator=torch.Generator().manual_seed(0))
    save_selector(selector, path)
    return path


def measure(name: str, images: int, dim: int, budget: int) -> dict[str, float]:
    """Run one strategy in this process."""
    strategy = find_strategy(name, dim)
    pool = make_pool(images, dim)
    before = _now()
    started = time.perf_counter()
    picks = strategy.pick(pool, budget, Settings(1), np.random.default_rng(0))
    seconds = time.perf_counter() - started
    assert len(set(picks.rows.tolist())) == budget
    return {"seconds": seconds, "beside": (resident_peak() - before) / GIGABYTE}


def make_collection(folder: Path, images: int, dim: int) -> None:
    """Make a collection of the same pool, its labels and a selector."""
    import hilum
    from hilum.collection.vectors import EmbeddingInfo

    pool = make_pool(images, dim)
    source = folder / "source"
    source.mkdir()
    assert pool.patients is not None
    lines = (f"{image},{patient}\n" for image, patient in zip(pool.ids, pool.patients, strict=True))
    with (source / "table.csv").open("w", encoding="ascii") as file:
        file.write("image_id,patient_id\n")
        file.writelines(lines)
    report = hilum.ingest(source, folder / "c.lance", layout="folder", pixels=False)
    info = EmbeddingInfo(dim=dim, fingerprint="0" * 64, encoder="made up")
    parts = [slice(at, at + 10_000) for at in range(0, images, 10_000)]
    report.collection.add_embedding(
        "made", ((list(pool.ids[part]), pool.vectors[part]) for part in parts), info
    )
    names = ("Edema", "Mass", "Nodule")
    ids = tuple(pool.ids[row] for row in pool.labelled)
    hilum.write_table(hilum.Table(ids, names, pool.labels), folder / "labels.csv")
    _write_selector(folder / "selector.safetensors", dim)


def measure_command(name: str, folder: Path, budget: int) -> dict[str, float]:
    """Run `hilum select` as a user does."""
    words = [
        sys.executable, "-m", "hilum", "select", str(folder / "c.lance"), "--embedding", "made",
        "--budget", str(budget), "--strategy", name, "--per-patient", "1",
        "--labelled", str(folder / "labels.csv"), "--out", str(folder / "list.csv"),
    ]  # fmt: skip
    if name == MEDSELECT:
        words += ["--selector", str(folder / "selector.safetensors")]
    started = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"hilum select --strategy {name} ended with {process.returncode}")
    seconds = time.perf_counter() - started
    assert (folder / "list.csv").read_text(encoding="utf-8").count("\n") == budget + 1
    return {"seconds": seconds, "peak": used.ru_maxrss * 1024 / GIGABYTE}


def _now() -> int:
    """Return the memory that this process holds, in bytes (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as numbers:  # noqa: PTH123
        return int(numbers.read().split()[1]) * resource.getpagesize()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--dim", type=int, default=512)
    options.add_argument("--budget", type=int, default=100)
    options.add_argument("--strategies", default=",".join([*STRATEGIES, MEDSELECT]))
    options.add_argument("--command", action="store_true", help="time `hilum select` as well")
    options.add_argument("--only", help=argparse.SUPPRESS)
    options.add_argument("--make", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.only:
        found = measure(given.only, given.images, given.dim, given.budget)
        print(json.dumps(found))
        return
    if given.make:
        make_collection(Path(given.make), given.images, given.dim)
        return
    print(f"{given.budget} of {given.images:,} images, {given.dim}-d, at most one of a patient")
    print(f"the vectors alone: {4 * given.images * given.dim / GIGABYTE:.2f} GB\n")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) if given.command else None
        if given.command:  # by another process: what this one holds counts for those it starts
            _again(given, "--make", folder)
        print(f"{'':12s} {'choose':>8s} {'beside':>8s}" + 2 * f" {'command':>8s}" * bool(made))
        print(f"{'strategy':12s} {'s':>8s} {'GB':>8s}" + f" {'s':>8s} {'peak GB':>8s}" * bool(made))
        for name in given.strategies.split(","):
            _report(name, given, made)


def _again(given: argparse.Namespace, *words: str) -> str:
    """Run this file in another process; return what it printed."""
    sizes = ["--images", str(given.images), "--dim", str(given.dim), "--budget", str(given.budget)]
    command = [sys.executable, __file__, *words, *sizes]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _report(name: str, given: argparse.Namespace, made: Path | None) -> None:
    row = json.loads(_again(given, "--only", name))
    line = f"{name:12s} {row['seconds']:8.1f} {row['beside']:8.2f}"
    if made is not None:
        whole = measure_command(name, made, given.budget)
        line += f" {whole['seconds']:8.1f} {whole['peak']:8.2f}"
    print(line + ("" if row["beside"] < LIMIT else "  above the limit"), flush=True)


if __name__ == "__main__":
    main()
