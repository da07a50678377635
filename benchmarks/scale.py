"""What an image costs in a collection of a thousand, and in one of a hundred thousand.

Collections of 10^3, 10^4 and 10^5 images are ingested and embedded, and one of 10^6 rows without
pixels is made: each step in a process of its own, with its seconds, its microseconds per image and
its peak memory, and that of its workers. Films are 200 files of smooth noise that the table names
again and again, so that making them costs nothing; the encoder is small and untrained, because
what is measured is everything round it. Flat is what is wanted: time per image within a quarter of
that of the step before, memory growing by no more than the ids and rows of the table.

    python benchmarks/scale.py --images 1000 10000 100000 --rows 1000000
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import polars as pl

import hilum
from hilum.collection import store
from hilum.collection.splits import Fractions
from hilum.decoding import Decoded, pack
from hilum.images import Geometry
from hilum.ingest.rows import as_arrow
from memory import resident_peak

FILMS = 200
SIDE = 64
ENCODER = "random:resnet10t?size=32&channels=1"


def write_source(folder: Path, images: int, *, pixels: bool) -> None:
    (folder / "films").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(FILMS if pixels else 0):
        noise = rng.integers(0, 256, (SIDE // 4, SIDE // 4), dtype=np.uint8)
        film = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "films" / f"f{n}.png"), film)
    columns = {
        "image_id": [f"i{n:07d}" for n in range(images)],
        "patient_id": [f"p{n // 2:07d}" for n in range(images)],
        "Edema": rng.integers(0, 2, images),
        "Pneumonia": rng.integers(-1, 2, images),
    }
    if pixels:
        columns["file"] = [f"films/f{n % FILMS}.png" for n in range(images)]
    pl.DataFrame(columns).write_csv(folder / "table.csv")


def step(name: str, folder: Path, images: int) -> dict[str, float]:
    uri = str(folder / "c.lance")
    before = resident_peak() / 2**20
    workers = Workers()
    started = time.perf_counter()
    if name == "embed":
        hilum.embed(hilum.open(uri), ENCODER, "v")
    else:
        size = SIDE if name == "ingest" else None
        hilum.ingest(
            folder / "source", uri, layout="folder", pixels=name == "ingest", size=size
        )  # fmt: skip
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "each_us": 1e6 * seconds / images,
        "before_mib": before,
        "peak_mib": resident_peak() / 2**20,
        "worker_mib": workers.peak / 2**20,
    }


class Workers(Thread):
    """Looks ten times a second how much memory the processes of this one have held at most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.start()

    def run(self) -> None:
        while True:
            for path in Path("/proc/self/task").glob("*/children"):
                for child in path.read_text().split():
                    with suppress(OSError, StopIteration):  # it has ended
                        self.peak = max(self.peak, resident_peak(child))
            time.sleep(0.1)


def writer() -> float:
    """Return the images of 320 px that one processor packs and commits in a second."""
    rng = np.random.default_rng(0)
    films = []
    for _ in range(327):  # as many as one commit holds
        coarse = rng.normal(128, 40, (40, 40)).astype(np.float32)
        smooth = cv2.resize(coarse, (320, 320), interpolation=cv2.INTER_CUBIC)
        films.append(np.clip(smooth + rng.normal(0, 2, (320, 320)), 0, 255).astype(np.uint8))
    geometry = Geometry(320, 320, 320, 0, 0, 320, 320)
    decoded = [Decoded(pack(film), geometry, "a" * 64, 400_000) for film in films]
    fixed = {"patient_id": "p", "study_id": "s", "visit": 0, "split": "train", "source": "x"}
    settings = store.Settings(("Edema",), 320, "area", 0, Fractions(0.8, 0.1, 0.1))
    rates = []
    with tempfile.TemporaryDirectory() as place:
        dataset = store.create(f"{place}/c.lance", settings)
        for turn in range(6):
            rows = pl.DataFrame([
                {"image_id": f"i{turn}-{n}", **fixed, "Edema": 1} for n in range(len(films))
            ])  # fmt: skip
            started = time.process_time()
            dataset.insert(as_arrow(rows, decoded, settings), mode="append")
            rates.append(len(films) / (time.process_time() - started))
    return float(np.median(rates))


def measure(images: int, *, pixels: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_source(folder / "source", images, pixels=pixels)
        for name in ("ingest", "embed") if pixels else ("rows",):
            words = [sys.executable, __file__, "--step", name, "--folder", place,
                     "--images", str(images)]  # fmt: skip
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            print(f"{name:<8}{images:>10,}{told['seconds']:>10.1f}{told['each_us']:>12.0f}"
                  f"{told['before_mib']:>12.0f}{told['peak_mib']:>10.0f}"
                  f"{told['worker_mib']:>12.0f}", flush=True)  # fmt: skip
        stored = sum(file.stat().st_size for file in (folder / "c.lance").rglob("*.lance"))
        print(f"{'':8}{'':>10}{stored / images:>10.0f} bytes an image on disk", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--images", type=int, nargs="*", default=[1000, 10_000, 100_000])
    options.add_argument("--rows", type=int, default=1_000_000, help="0: none")
    options.add_argument("--step", help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.step:
        print(json.dumps(step(given.step, given.folder, given.images[0])))
        return
    print(f"commit: {writer():,.0f} images of 320 px for each second of processor")
    print(f"{'step':<8}{'images':>10}{'seconds':>10}{'us/image':>12}{'before MiB':>12}"
          f"{'peak MiB':>10}{'worker MiB':>12}")  # fmt: skip
    for images in given.images:
        measure(images, pixels=True)
    if given.rows:
        measure(given.rows, pixels=False)


if __name__ == "__main__":
    main()
