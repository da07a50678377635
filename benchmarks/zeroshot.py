"""Zero-shot detection: images per second against CheXzero's procedure, and memory.

Both read the same ViT-B/32 of OpenAI's layout (random weights, CheXzero's normalisation and
resize), the same films and CheXzero's 14 labels in its two templates, on the same two cores in
one run, in turn. CheXzero's procedure: a float32 HDF5, batches of one, every image encoded once
per template, texts one at a time, float32. Ours: `hilum.zeroshot` on a collection, texts and the
commit of the vectors included; then once more from the vectors that were kept. Target: 5 times.

Memory: the peak of a process that scores a collection, at two sizes; first by encoding, then from
kept vectors. Where other programs share the processor, times say little; the seconds of
processor that each procedure took are printed beside them.

    python benchmarks/zeroshot.py --images 128 --rounds 3
    python benchmarks/zeroshot.py --memory 256 1024 --vectors 20000 100000
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import cv2
import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

import hilum
from hilum.collection import EmbeddingInfo
from hilum.encoders import PairEncoder, tokenise
from hilum.encoders.clip import ClipPair, build_clip, clip_config, clip_spec
from memory import resident_peak

NAME: Final = "ViT-B-32-quickgelu"
SIDE: Final = 320
MEAN, STD = 101.48761, 83.43944  # CheXzero's, of pixels from 0 to 255
LABELS: Final = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum",
    "Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion",
    "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
Floats = NDArray[np.float64]


def make_pair() -> PairEncoder:
    config = clip_config(NAME)
    spec = clip_spec(NAME, config, mean=(MEAN / 255,) * 3, std=(STD / 255,) * 3, resize="bicubic",
                     source="random weights")  # fmt: skip
    return PairEncoder(spec, build_clip(config))


def make_collection(folder: Path, images: int, side: int = SIDE) -> str:
    rng = np.random.default_rng(0)
    (folder / "films").mkdir(parents=True)
    lines = ["image_id,patient_id,file"]
    for n in range(images):
        noise = rng.integers(0, 256, (side // 8, side // 8), dtype=np.uint8)
        film = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "films" / f"i{n}.png"), film)
        lines.append(f"i{n},p{n},films/i{n}.png")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    uri = str(folder / "c.lance")
    hilum.ingest(folder, uri, layout="folder", size=side)
    return uri


# --------------------------------------------------------------------------- CheXzero's procedure


class Films(Dataset[Tensor]):
    """One film of an HDF5 at a time, as the original's dataset gives it."""

    def __init__(self, path: Path) -> None:
        self.films = h5py.File(path)["cxr"]

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, row: int) -> Tensor:
        film = torch.from_numpy(np.repeat(self.films[row][None], 3, axis=0))
        film = (film - MEAN) / STD
        return functional.interpolate(film[None], (224, 224), mode="bicubic")[0]


def text_weights(clip: Any, template: str) -> Tensor:
    columns = []
    for label in LABELS:
        tokens = torch.from_numpy(tokenise([template.format(label)], 77))
        vectors = clip.encode_text(tokens)
        vectors = vectors / vectors.norm(dim=-1, keepdim=True)
        mean = vectors.mean(dim=0)
        columns.append(mean / mean.norm())
    return torch.stack(columns, dim=1)


def cosines(clip: Any, path: Path, weights: Tensor) -> Floats:
    rows = []
    for film in DataLoader(Films(path), batch_size=1, shuffle=False):
        feature = clip.encode_image(film)
        feature = feature / feature.norm(dim=-1, keepdim=True)
        rows.append((feature @ weights).squeeze(0).numpy())
    return np.array(rows, dtype=np.float64)


def original(clip: nn.Module, path: Path) -> Floats:
    with torch.no_grad():
        there, not_there = (
            cosines(clip, path, text_weights(clip, template)) for template in ("{}", "no {}")
        )
    out: Floats = np.exp(there) / (np.exp(there) + np.exp(not_there))
    return out


# --------------------------------------------------------------------------- speed


def timed(work: Callable[[], Floats]) -> tuple[tuple[float, float], Floats]:
    """Return the seconds and the processor's seconds that some work takes, and what it gives."""
    started, busy = time.perf_counter(), time.process_time()
    scores = work()
    return (time.perf_counter() - started, time.process_time() - busy), scores


def race(images: int, rounds: int) -> None:
    torch.set_num_threads(2)
    pair = make_pair()
    assert isinstance(pair.module, ClipPair)
    clip = deepcopy(pair.module.clip).float()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = make_collection(folder, images)
        with h5py.File(folder / "cxr.h5", "w") as file:
            file["cxr"] = hilum.open(uri).pixels().astype(np.float32)

        def ours() -> Floats:
            return hilum.zeroshot(hilum.open(uri), pair, LABELS, mode="chexzero").values

        seconds: dict[str, list[tuple[float, float]]] = {"theirs": [], "ours": [], "kept": []}
        gap = 0.0
        for round_ in range(rounds + 1):  # the first warms up
            took = {}
            took["theirs"], expected = timed(lambda: original(clip, folder / "cxr.h5"))
            took["ours"], scores = timed(ours)
            took["kept"], _ = timed(ours)
            (kept,) = hilum.open(uri).embeddings
            hilum.open(uri).drop_embedding(kept)
            gap = max(gap, float(np.abs(scores - expected).max()))
            for what, value in took.items():
                seconds[what] += [value] if round_ else []
    print(f"{NAME}, {images} images of {SIDE} px, 14 labels, 2 threads, {pair.engine}")
    middle = {
        what: [statistics.median(column) for column in zip(*values, strict=True)]
        for what, values in seconds.items()
    }
    names = {"theirs": "CheXzero's procedure", "ours": "hilum zeroshot",
             "kept": "  again, from kept vectors"}  # fmt: skip
    for what, (wall, busy) in middle.items():
        print(f"{names[what]:<27} {images / wall:8.2f} images/s, {busy:8.2f} s of one core")
    wall, busy = (
        theirs / ours for theirs, ours in zip(middle["theirs"], middle["ours"], strict=True)
    )
    print(f"ratio                       {wall:8.2f}, of the processor's time {busy:.2f}")
    print(f"largest difference of a probability {gap:.1e}")


# --------------------------------------------------------------------------- memory


def score_once(uri: str) -> None:
    """Score a collection in this process; print what it takes without images, and the peak."""
    torch.set_num_threads(2)
    pair = make_pair()
    collection = hilum.open(uri)
    hilum.zeroshot(collection.where("image_id IN ('i0')"), pair, LABELS, keep=False)
    before = resident_peak()
    hilum.zeroshot(collection, pair, LABELS)
    print(before, resident_peak())


def peaks(uri: str) -> tuple[float, float]:
    words = [sys.executable, __file__, "--score", uri]
    said = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
    before, after = (int(word) / 2**20 for word in said.stdout.split()[-2:])
    return before, after


def memory(sizes: Sequence[int], vectors: Sequence[int]) -> None:
    fingerprint = make_pair().fingerprint
    with tempfile.TemporaryDirectory() as name:
        for images in sizes:
            uri = make_collection(Path(name) / str(images), images, side=64)
            before, after = peaks(uri)
            print(f"encoding {images:>9,} images   {before:7.0f} MiB, peak {after:7.0f} MiB")
        for images in vectors:
            uri = with_vectors(Path(name) / f"v{images}", images, fingerprint)
            before, after = peaks(uri)
            print(f"reading  {images:>9,} vectors  {before:7.0f} MiB, peak {after:7.0f} MiB "
                  f"({images * 2048 / 2**20:.0f} MiB of vectors)")  # fmt: skip


def with_vectors(folder: Path, images: int, fingerprint: str) -> str:
    folder.mkdir()
    lines = [f"i{n},p{n}" for n in range(images)]
    (folder / "table.csv").write_text("\n".join(["image_id,patient_id", *lines]) + "\n")
    uri = str(folder / "c.lance")
    hilum.ingest(folder, uri, layout="folder", pixels=False)
    rng = np.random.default_rng(0)

    def batches() -> Any:
        for start in range(0, images, 4096):
            ids = [f"i{n}" for n in range(start, min(start + 4096, images))]
            drawn = rng.normal(size=(len(ids), 512)).astype(np.float32)
            yield ids, drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    hilum.open(uri).add_embedding("kept", batches(), EmbeddingInfo(512, fingerprint, NAME))
    return uri


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--images", type=int, default=128)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--memory", type=int, nargs="+", default=())
    options.add_argument("--vectors", type=int, nargs="*", default=(20_000, 100_000))
    options.add_argument("--score", help="a collection: what --memory runs in a process of its own")
    given = options.parse_args()
    if given.score:
        score_once(given.score)
    elif given.memory:
        memory(given.memory, given.vectors)
    else:
        race(given.images, given.rounds)


if __name__ == "__main__":
    main()
