"""Ingest against the way CheXzero prepares its images, on the same 1024 × 1024 PNG files.

Theirs: one process; OpenCV reads colour, to RGB, PIL resizes by LANCZOS (truncated sizes), pastes
onto a black grey canvas of 320 × 320, float32 into HDF5. Ours: `hilum.ingest` from the folder to
the compacted collection, labels and all, with `--workers` processes. Both are run in turn, several
times; the ratio is that of the medians. Then batches of images are read at random from both, which
keeps one core busy.

    python benchmarks/ingest.py --images 1000 --workers 2
"""

import argparse
import csv
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import hilum

SIDE = 1024
SIZE = 320
READS = 512
Film = NDArray[np.uint8]


def templates(folder: Path | None) -> list[Film]:
    """Return real films of 1024 × 1024, or where there are none, films of noise like theirs."""
    paths = sorted(folder.glob("*.png")) if folder and folder.is_dir() else []
    films = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    real = [np.asarray(film, np.uint8) for film in films if film is not None]
    return real or [synthetic(np.random.default_rng(seed)) for seed in range(8)]


def synthetic(rng: np.random.Generator) -> Film:
    """Return smooth shapes under quantum noise: about as hard to compress as a real film."""
    coarse = rng.normal(size=(12, 12)).astype(np.float32)
    shapes = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    noise = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), 0.8)
    film: Film = np.clip(128 + 50 * shapes + 8 * noise, 0, 255).astype(np.uint8)
    return film


def write_source(root: Path, count: int, films: list[Film]) -> None:
    """Write `count` different films: the templates, mirrored, rolled and with other exposures."""
    root.mkdir(parents=True)
    with (root / "table.csv").open("w", newline="") as table:
        lines = csv.writer(table)
        lines.writerow(["image_id", "patient_id", "file", "Edema"])
        for n in range(count):
            film = np.roll(films[n % len(films)], 13 * (n // len(films)), axis=1)
            film = film[:, ::-1] if n // len(films) % 2 else film
            exposed = cv2.convertScaleAbs(film, alpha=1 - 0.002 * (n % 50))
            cv2.imwrite(str(root / f"{n:05}.png"), exposed)
            lines.writerow([f"{n:05}", f"{n // 2}", f"{n:05}.png", n % 2])


def chexzero_way(root: Path, out: Path) -> None:
    """Prepare images as CheXzero does, written after its description."""
    paths = sorted(root.glob("*.png"))
    with h5py.File(out, "w") as file:
        images = file.create_dataset("cxr", shape=(len(paths), SIZE, SIZE), dtype="float32")
        for row, path in enumerate(paths):
            read = cv2.imread(str(path))
            assert read is not None
            image = Image.fromarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB))
            ratio = float(SIZE) / max(image.size)
            width, height = (int(side * ratio) for side in image.size)
            image = image.resize((width, height), Image.Resampling.LANCZOS)
            canvas = Image.new("L", (SIZE, SIZE))
            canvas.paste(image, ((SIZE - width) // 2, (SIZE - height) // 2))
            images[row] = np.array(canvas)


def our_way(root: Path, out: Path, workers: int) -> None:
    """Prepare images with hilum, end to end."""
    report = hilum.ingest(root, out, layout="folder", size=SIZE, workers=workers)
    assert not report.quarantined


def timed(work: Callable[[], object], path: Path) -> float:
    """Return the seconds that `work` takes to make `path` anew."""
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def reads(read: Callable[[NDArray[np.int64]], object], count: int) -> float:
    """Return images per second for batches of 256 at random, median of seven."""
    rng = np.random.default_rng(0)
    batch = min(256, count)
    rates = []
    for _ in range(7):
        rows = rng.choice(count, batch, replace=False)
        start = time.perf_counter()
        read(rows)
        rates.append(batch / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--films", type=Path, help="folder of real 1024 x 1024 PNG films")
    arguments = parser.parse_args()
    data = Path(os.environ.get("HILUM_DATA", "../shared/data"))
    films = templates(arguments.films or data / "nih-originals")
    with tempfile.TemporaryDirectory() as scratch:
        root, theirs, ours = (Path(scratch) / name for name in ("films", "cxr.h5", "c.lance"))
        write_source(root, arguments.images, films)
        print(f"{arguments.images} PNG films of {SIDE} x {SIDE} from {len(films)} templates, "
              f"{size_of(root) / arguments.images:,.0f} bytes each")  # fmt: skip
        pairs = [
            (timed(lambda: chexzero_way(root, theirs), theirs),
             timed(lambda: our_way(root, ours, arguments.workers), ours))
            for _ in range(arguments.repeats)
        ]  # fmt: skip
        seconds = [statistics.median(column) for column in zip(*pairs, strict=True)]
        rate = [arguments.images / second for second in seconds]
        each = [size_of(path) / arguments.images for path in (theirs, ours)]
        collection = hilum.open(ours)
        with h5py.File(theirs) as file:
            random = [
                reads(lambda rows: file["cxr"][np.sort(rows)], arguments.images),
                reads(collection.pixels, arguments.images),
            ]
    print(f"{'':22}{'CheXzero way':>14}{'hilum':>14}{'ratio':>9}")
    for label, (a, b) in {
        "ingest, images/s": rate, "bytes/image": each, "random reads, images/s": random
    }.items():  # fmt: skip
        print(f"{label:22}{a:>14,.1f}{b:>14,.1f}{b / a:>8.2f}x")


if __name__ == "__main__":
    main()
