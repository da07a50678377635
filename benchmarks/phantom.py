"""How many synthetic radiographs a second `hilum phantom` makes, everything included.

Run: python benchmarks/phantom.py [--workers 2]

Counts from the call to the finished folder: starting the processes, cutting the CT, films,
masks, reports and files. The floor the project promises is 10 images a second on 2 cores at
128 pixels.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from hilum.phantom import write_hospital

RUNS = ((128, 300), (320, 60))  # pixels, patients


def rate(size: int, patients: int, workers: int) -> float:
    """Return images per second of one run into a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "phantom"
        start = time.perf_counter()
        write_hospital(out, patients, size, seed=0, workers=workers)
        seconds = time.perf_counter() - start
        images = int(json.loads((out / "phantom.json").read_text(encoding="utf-8"))["images"])
    return images / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    for size, patients in RUNS:
        print(f"{size:4d} px, {workers} workers: {rate(size, patients, workers):6.1f} images/s")


if __name__ == "__main__":
    main()
