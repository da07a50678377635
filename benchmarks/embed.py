"""Embedding a collection: images per second end to end, against the encoder alone.

"Bare" is the same encoder over pixels that are already in memory, batch by batch; "embed" reads
the pixels of a collection, encodes, and commits the vectors as a column. The two are measured in
turn, several times, and the medians compared. Target: a share of at least 0.95.

    python benchmarks/embed.py --images 2000 --architecture resnet18 --size 224
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

import hilum
from hilum.encoders import Encoder, random_encoder

BATCH = 64


def make_collection(folder: Path, images: int, size: int) -> hilum.Collection:
    rng = np.random.default_rng(0)
    (folder / "films").mkdir()
    lines = ["image_id,patient_id,file"]
    for n in range(images):
        noise = rng.integers(0, 256, (size // 8, size // 8), dtype=np.uint8)
        film = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "films" / f"i{n}.png"), film)
        lines.append(f"i{n},p{n},films/i{n}.png")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    uri = str(folder / "c.lance")
    hilum.ingest(folder, uri, layout="folder", size=size)
    return hilum.open(uri)


def bare(encoder: Encoder, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    started = time.perf_counter()
    for start in range(0, len(pixels), BATCH):
        encoder.encode_images(pixels[start : start + BATCH])
    return len(pixels) / (time.perf_counter() - started)


def end_to_end(encoder: Encoder, collection: hilum.Collection, name: str) -> float:
    started = time.perf_counter()
    after = hilum.embed(collection, encoder, name, batch_size=BATCH)
    rate = len(collection) / (time.perf_counter() - started)
    after.drop_embedding(name)
    return rate


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--architecture", default="resnet18")
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    encoder = random_encoder(given.architecture, size=given.size)
    with tempfile.TemporaryDirectory() as folder:
        collection = make_collection(Path(folder), given.images, given.size)
        pixels = collection.pixels()
        bare(encoder, pixels[: 2 * BATCH])  # warm up
        alone, whole = [], []
        for _ in range(given.rounds):
            alone.append(bare(encoder, pixels))
            whole.append(end_to_end(encoder, collection, "timed"))
    fast, ours = statistics.median(alone), statistics.median(whole)
    print(f"{given.architecture} at {given.size} px, {given.images} images, {encoder.engine}")
    print(f"bare forward  {fast:8.1f} images/s")
    print(f"hilum embed   {ours:8.1f} images/s")
    print(f"share         {ours / fast:8.3f}  (per round: "
          + ", ".join(f"{b / a:.3f}" for a, b in zip(alone, whole, strict=True)) + ")")  # fmt: skip


if __name__ == "__main__":
    main()
