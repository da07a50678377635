"""The nearest of many vectors: hilum's index and exact search against faiss, in one run.

A collection without pixels is made with so many images, three of a patient, and vectors that are
drawn to lie as an encoder's do (`Drawn`); uniform ones have no neighbours worth the name. Then,
each in a process of its own so that its peak memory is its own: the index is built;
`hilum.retrieve` finds 10 cases for images of the collection, their patients left out, with the
index and exactly; faiss finds the same in memory, flat and by HNSW. Once among all images, once
among those with view = 'PA' and age < 18. hilum's time is the whole call, from an image's id to
ids and cosines, read from disk through the system's cache; faiss's is its search alone, for a
vector, with the condition already evaluated. Recall is of the true ten, by float64.

    python benchmarks/search.py --images 1000000 --queries 100 [--no-hnsw]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import hilum
from hilum.collection import EmbeddingInfo, build_index
from memory import resident_peak

WHERE = "view = 'PA' and age < 18"
K = 10
Floats = NDArray[np.float32]


class Drawn:
    """Vectors as an encoder's: 2,000 kinds of unequal size round a common direction.

    A kind's centre has variance i^-1.6 along the i-th of `dim` random directions, its images
    0.12 i^-1 round it; kind j is drawn in proportion to j^-0.7, and a vector of length 3 is added
    to all. Compared with MoCo's 512 numbers for 12,060 phantom films: of the variance 8 directions
    hold 67 % (MoCo 86 %), the mean of unit vectors is 0.87 long (0.86), the tenth neighbour is at
    cosine distance 0.075 where the median image is at 0.22 (0.032 and 0.23). So neighbours are
    harder to tell from others than MoCo's are.
    """

    def __init__(self, dim: int, kinds: int = 2000) -> None:
        rng = np.random.default_rng(0)
        at = np.arange(1, dim + 1)
        self.turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
        self.spread = (0.35 * at**-0.5).astype(np.float32)
        self.centres = (rng.standard_normal((kinds, dim)) * at**-0.8).astype(np.float32)
        size = np.arange(1, kinds + 1) ** -0.7
        self.share = size / size.sum()
        mean = rng.standard_normal(dim)
        self.mean = (3 * mean / np.linalg.norm(mean)).astype(np.float32)

    def batches(self, ids: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Floats]]:
        rng = np.random.default_rng(1)
        for start in range(0, len(ids), 10_000):
            some = ids[start : start + 10_000]
            kinds = rng.choice(len(self.centres), len(some), p=self.share)
            noise = rng.standard_normal((len(some), len(self.mean)), dtype=np.float32)
            yield some, (self.centres[kinds] + noise * self.spread) @ self.turn + self.mean


def make(uri: str, images: int, dim: int) -> dict[str, float]:
    rng = np.random.default_rng(2)
    source = Path(uri).parent / "source"
    source.mkdir()
    patients = -(-images // 3)
    pl.DataFrame({
        "image_id": [f"i{n:07d}" for n in range(images)],
        "patient_id": [f"p{n // 3:07d}" for n in range(images)],
        "view": rng.choice(["PA", "AP", "LATERAL"], images, p=[0.6, 0.3, 0.1]),
        "age": np.repeat(rng.integers(0, 95, patients), 3)[:images],
        "Edema": rng.integers(0, 2, images),
    }).write_csv(source / "table.csv")  # fmt: skip
    collection = hilum.ingest(source, uri, layout="folder", pixels=False).collection
    info = EmbeddingInfo(dim, "d" * 64, "drawn")
    drawing = 0.0

    def drawn() -> Iterator[tuple[tuple[str, ...], Floats]]:
        nonlocal drawing
        batches = Drawn(dim).batches(collection.ids())
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            drawing += time.perf_counter() - before
            if batch is None:
                return
            yield batch

    started = time.perf_counter()
    collection.add_embedding("v", drawn(), info)
    return {"kept_s": time.perf_counter() - started - drawing}


def build(uri: str) -> dict[str, float]:
    started = time.perf_counter()
    build_index(uri, "v")
    seconds = time.perf_counter() - started
    disk = sum(file.stat().st_size for file in Path(uri, "_indices").rglob("*") if file.is_file())
    return {"build_s": seconds, "disk_mib": disk / 2**20}


def asking(images: int, queries: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(3).choice(images, queries, replace=False))


def ours(uri: str, how: Any, images: int, queries: int) -> dict[str, Any]:
    collection = hilum.open(uri)
    told: dict[str, Any] = {}
    for name, where in (("all", None), ("where", WHERE)):
        times, found = [], []
        for row in [0, *asking(images, queries).tolist()]:
            started = time.perf_counter()
            cases = hilum.retrieve(
                collection, "v", like=f"i{row:07d}", k=K, where=where, index=how
            )  # fmt: skip
            times.append(time.perf_counter() - started)
            assert cases.method == how, cases.why
            found.append([int(image[1:]) for image in cases.ids])
        told[name] = {"first": times[0], "seconds": times[1:], "found": found[1:]}
    return told


def faiss_search(uri: str, kind: str, images: int, queries: int) -> dict[str, Any]:
    import faiss

    library: Any = faiss

    collection = hilum.open(uri)
    dim = collection.embeddings["v"].dim
    started = time.perf_counter()
    index = (
        library.IndexFlatIP(dim)
        if kind == "flat"
        else library.IndexHNSWFlat(dim, 32, library.METRIC_INNER_PRODUCT)
    )
    wanted, asked = asking(images, queries), []
    at = 0
    for ids, vectors in collection.vector_batches("v"):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        mine = wanted[(wanted >= at) & (wanted < at + len(ids))] - at
        asked.append(unit[mine])
        index.add(unit)
        at += len(ids)
    told: dict[str, Any] = {"build_s": time.perf_counter() - started}
    table = collection.table(["view", "age"])
    keep = np.flatnonzero(((table["view"] == "PA") & (table["age"] < 18)).to_numpy())
    mask = np.packbits(np.isin(np.arange(images), keep), bitorder="little")
    ef = {"efSearch": 128} if kind == "hnsw" else {}
    parameters = library.SearchParametersHNSW if kind == "hnsw" else library.SearchParameters
    for name in ("all", "where"):
        selected = {"sel": library.IDSelectorBitmap(mask)} if name == "where" else {}
        times, found = [], []
        for row, vector in zip(wanted.tolist(), np.concatenate(asked), strict=True):
            started = time.perf_counter()
            near = index.search(vector[None], K + 3, params=parameters(**ef, **selected))[1][0]
            times.append(time.perf_counter() - started)
            found.append([n for n in near.tolist() if n // 3 != row // 3][:K])
        told[name] = {"first": times[0], "seconds": times, "found": found}
    return told


def truth(uri: str, images: int, queries: int) -> dict[str, list[list[int]]]:
    """Return the ten nearest of other patients, by float64, among all and among those in WHERE."""
    collection = hilum.open(uri)
    rows = asking(images, queries)
    named = ", ".join(f"'i{row:07d}'" for row in rows)
    query = collection.where(f"image_id IN ({named})").vectors("v")[1].astype(np.float64)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    right: dict[str, list[list[int]]] = {}
    for name, view in (("all", collection), ("where", collection.where(WHERE))):
        best = np.full((len(rows), 0), -np.inf)
        places = np.zeros((len(rows), 0), np.int64)
        for ids, vectors in view.vector_batches("v"):
            at = np.array([int(image[1:]) for image in ids])
            unit = vectors.astype(np.float64)
            near = query @ (unit / np.linalg.norm(unit, axis=1, keepdims=True)).T
            near[at[None] // 3 == rows[:, None] // 3] = -np.inf
            best = np.hstack([best, near])
            places = np.hstack([places, np.broadcast_to(at, near.shape)])
            order = np.argsort(-best, axis=1)[:, :K]
            best = np.take_along_axis(best, order, 1)
            places = np.take_along_axis(places, order, 1)
        right[name] = places.tolist()
    return right


def part(name: str, uri: str, images: int, dim: int, queries: int) -> dict[str, Any]:
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "make": lambda: make(uri, images, dim),
        "build": lambda: build(uri),
        "ann": lambda: ours(uri, "ann", images, queries),
        "exact": lambda: ours(uri, "exact", images, queries),
        "flat": lambda: faiss_search(uri, "flat", images, queries),
        "hnsw": lambda: faiss_search(uri, "hnsw", images, queries),
        "truth": lambda: truth(uri, images, queries),
    }
    before = resident_peak() / 2**20
    found = parts[name]()
    return {**found, "before_mib": before, "peak_mib": resident_peak() / 2**20}


NAMES = {
    "ann": "hilum retrieve, index",
    "exact": "hilum retrieve, exact",
    "flat": "faiss flat, in memory",
    "hnsw": "faiss HNSW 32, ef 128",
}


def report(told: dict[str, dict[str, Any]], right: dict[str, Any], which: str) -> None:
    peers = {"ann": "hnsw" if "hnsw" in told else "flat", "exact": "flat"}
    titles = f"{'median':>9}{'p95':>9}{'first':>9}{'recall@10':>11}{'peak MiB':>10}"
    print(f"\n{'':24}{titles}{'peer/ours':>11}")
    medians = {name: np.median(told[name][which]["seconds"]) for name in NAMES if name in told}
    for name, middle in medians.items():
        one = told[name][which]
        pairs = zip(one["found"], right[which], strict=True)
        hits = [len(set(found) & set(true)) / K for found, true in pairs]
        times = f"{middle * 1e3:>6.1f} ms{np.percentile(one['seconds'], 95) * 1e3:>6.1f} ms"
        ratio = f"{medians[peers[name]] / middle:.2f}" if name in peers else ""
        print(f"{NAMES[name]:24}{times}{one['first'] * 1e3:>6.0f} ms{np.mean(hits):>11.4f}"
              f"{told[name]['peak_mib']:>10.0f}{ratio:>11}")  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--images", type=int, default=1_000_000)
    options.add_argument("--dim", type=int, default=512)
    options.add_argument("--queries", type=int, default=100)
    options.add_argument("--no-hnsw", action="store_true", help="HNSW takes long to build")
    options.add_argument("--part", help=argparse.SUPPRESS)
    options.add_argument("--uri", help=argparse.SUPPRESS)
    given = options.parse_args()
    numbers = (given.images, given.dim, given.queries)
    if given.part:
        print(json.dumps(part(given.part, given.uri, *numbers)))
        return
    told: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("make", "truth", "build", *NAMES):
            if name == "hnsw" and given.no_hnsw:
                continue
            words = [sys.executable, __file__, "--part", name, "--uri", f"{folder}/c.lance",
                     "--images", str(given.images), "--dim", str(given.dim),
                     "--queries", str(given.queries)]  # fmt: skip
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            told[name] = json.loads(done.stdout.splitlines()[-1])
            print(f"{name} done", file=sys.stderr)
    print(f"{given.images:,} x {given.dim}, {given.queries} queries, k = {K}")
    kept = told["make"]
    rate, peak = given.images / kept["kept_s"], kept["peak_mib"]
    print(f"vectors kept {kept['kept_s']:7.1f} s, {rate:,.0f} images/s, peak {peak:.0f} MiB")
    print(f"hilum index  {told['build']['build_s']:7.1f} s, {told['build']['disk_mib']:.0f} MiB on "
          f"disk, peak {told['build']['peak_mib']:.0f} MiB "
          f"({told['build']['before_mib']:.0f} before it began)")  # fmt: skip
    for name in ("flat", "hnsw"):
        if name in told:
            print(f"{NAMES[name]}  {told[name]['build_s']:7.1f} s to build")
    for which, title in (("all", "among all"), ("where", WHERE)):
        print(f"\n{title}", end="")
        report(told, told["truth"], which)


if __name__ == "__main__":
    main()
