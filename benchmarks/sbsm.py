"""What a map of a similarity costs: hilum, X-MIR's procedure, and xaitk-saliency, in one run.

DenseNet-121 with random weights, two synthetic films of 224 pixels, windows of 24 every 5 pixels.
Each way runs in a process of its own, on two threads (where other programs use the machine,
threads that wait for each other spend its processor too: ask for one). Printed: seconds, seconds
of processor (what other programs disturb least), the peak of memory above what the process held
with the model loaded and warm, and ratios to X-MIR's procedure; then how far a map in bfloat16 and
one from few windows are from the exact map, and what a further query on a stored image costs.

X-MIR's procedure is written here from its description: all masks are made and multiplied with the
image in float32, the products are kept, embedded 250 at a time, and compared by `torch.cdist`.
xaitk-saliency places its windows otherwise (2025 of them) and fills with pixel value 128; its
descriptors come from the same network, 32 images at a time.

    python benchmarks/sbsm.py [--stride 5] [--forwards 120] [--ways 'hilum;x-mir']
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

import hilum
from hilum.encoders import random_encoder
from hilum.encoders.device import choose_engine
from hilum.explain.compared import Compared
from hilum.explain.masked import Masked, Masking
from hilum.explain.sbsm import sbsm
from hilum.explain.windows import make_windows

SIDE, WINDOW, XMIR_BATCH = 224, 24, 250
Map = NDArray[np.float32]


def network(precision: str = "fp32") -> Compared:
    engine = choose_engine("cpu", precision)
    encoder = random_encoder("densenet121", 0, size=SIDE, channels=3, engine=engine)
    return Compared(encoder, batch_size=16)


def by_hilum(pixels: NDArray[np.uint8], asked: argparse.Namespace, **how: Any) -> Callable[[], Map]:
    fast, forwards = how.pop("fast", False), how.pop("forwards", None)
    compared = network("bf16" if fast else "fp32")
    compared.embed_unit(compared.prepare(pixels), fast=fast)
    masking = Masking(WINDOW, asked.stride, fast=fast, **how)
    return lambda: sbsm(
        compared, pixels[0], pixels[1:], masking=masking, forwards=forwards
    ).retrieved[0]


def by_x_mir(pixels: NDArray[np.uint8], asked: argparse.Namespace) -> Callable[[], Map]:
    compared = network()
    module = compared.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    query, retrieved = compared.prepare(pixels).contiguous()

    def unit(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(module(images), dim=1)

    def run() -> Map:
        windows = make_windows(SIDE, SIDE, window=WINDOW, stride=asked.stride)
        masks = torch.ones(len(windows), 1, SIDE, SIDE, dtype=torch.uint8)
        for mask, (top, bottom, left, right) in zip(masks, windows.boxes, strict=True):
            mask[:, top:bottom, left:right] = 0
        hidden = masks * retrieved  # (n, 3, 224, 224) float32, all of them kept
        asked_for, before = unit(query[None]), unit(retrieved[None])
        parts = [unit(hidden[at : at + XMIR_BATCH]) for at in range(0, len(hidden), XMIR_BATCH)]
        rises = torch.cdist(asked_for, torch.cat(parts))[0] - torch.cdist(asked_for, before)[0]
        inside = (1 - masks[:, 0]).float()
        total = (inside * rises.clamp_min(0)[:, None, None]).sum(0)
        found: Map = (total / inside.sum(0)).numpy()
        return found

    with torch.inference_mode():
        unit(query[None])
    return torch.inference_mode()(run)


def by_xaitk(pixels: NDArray[np.uint8], asked: argparse.Namespace) -> Callable[[], Map]:
    from smqtk_descriptors.interfaces.image_descriptor_generator import ImageDescriptorGenerator
    from xaitk_saliency.impls.gen_image_similarity_blackbox_sal.sbsm import SBSMStack

    compared = network()
    compared.embed_unit(compared.prepare(pixels))

    class Descriptor(ImageDescriptorGenerator):  # type: ignore[misc, unused-ignore]
        def generate_arrays_from_images(self, arrays: Iterable[Any]) -> Iterator[Any]:
            images = np.stack(list(arrays))
            for at in range(0, len(images), 32):
                yield from compared.embed_unit(compared.prepare(images[at : at + 32])).numpy()

        def get_config(self) -> dict[str, Any]:
            return {}

    stack = SBSMStack((WINDOW, WINDOW), (asked.stride, asked.stride), fill=128)
    colour = np.repeat(pixels[..., None], 3, axis=-1)

    def run() -> Map:
        found: Map = stack.generate(colour[1], [colour[0]], Descriptor())[0]
        return found

    return run


WAYS: Final[dict[str, Callable[..., Callable[[], Map]]]] = {
    "hilum": by_hilum,
    "hilum, every layer in full": lambda p, a: by_hilum(p, a, incremental=False),
    "hilum bf16": lambda p, a: by_hilum(p, a, fast=True),
    "hilum, few windows": lambda p, a: by_hilum(p, a, forwards=a.forwards),
    "x-mir": by_x_mir,
    "xaitk": by_xaitk,
}


def peak() -> float:
    """MiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_way(name: str, asked: argparse.Namespace) -> None:
    """Run one way in this process; print its figures and write its map."""
    pixels = np.load(asked.folder / "pixels.npy")
    with redirect_stdout(sys.stderr):
        run = WAYS[name](pixels, asked)
        held, wall, processor = peak(), time.perf_counter(), time.process_time()
        found = run()
    figures = {
        "seconds": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "memory": peak() - held,
    }
    np.save(asked.folder / f"{name}.npy", found)
    print(json.dumps(figures))


def further_queries(asked: argparse.Namespace) -> None:
    """Time queries on an image whose masked vectors are kept; these are of no network."""
    compared = network()
    windows = make_windows(SIDE, SIDE, window=WINDOW, stride=asked.stride)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(len(windows) + 1, compared.spec.dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    image = Masked(rows[0], rows[1:], windows, "")
    taken = []
    for query in rng.normal(size=(20, 1, compared.spec.dim)).astype(np.float32):
        query /= np.linalg.norm(query)
        begin = time.perf_counter()
        image.windows.spread(np.maximum(image.farther(query)[0], 0))
        taken.append(time.perf_counter() - begin)
    taken_ms = 1000 * float(np.median(taken))
    print(f"a further query on {len(windows)} stored vectors: {taken_ms:.1f} ms, without its own")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stride", type=int, default=5)
    parser.add_argument("--forwards", type=int, default=120, help="of the map from few windows")
    parser.add_argument("--threads", type=int, default=2, help="1 where others use the machine")
    parser.add_argument("--ways", default=";".join(WAYS), help="separated by ;")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.one:
        one_way(asked.one, asked)
        return
    with tempfile.TemporaryDirectory() as place:
        asked.folder = Path(place)
        compare(asked)


def compare(asked: argparse.Namespace) -> None:
    folder: Path = asked.folder
    hospital = hilum.write_hospital(folder / "hospital", 2, size=SIDE)
    films = [hilum.read_picture(film, SIDE) for film in sorted(Path(hospital).rglob("*.png"))[:2]]
    np.save(folder / "pixels.npy", np.stack([film.pixels for film in films]))
    found: dict[str, dict[str, float]] = {}
    for name in asked.ways.split(";"):
        command = [sys.executable, __file__, "--one", name, "--folder", str(folder),
                   "--stride", str(asked.stride), "--forwards", str(asked.forwards),
                   "--threads", str(asked.threads)]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = json.loads(done.stdout)
        say(name, found)
    maps = {name: np.load(folder / f"{name}.npy") for name in found}
    for name in set(maps) - {"hilum", "xaitk"}:
        rank = spearmanr(maps[name].ravel(), maps["hilum"].ravel()).statistic
        off = np.abs(maps[name] - maps["hilum"]).max() / maps["hilum"].max()
        print(f"{name} against hilum's exact map: Spearman {rank:.4f}, largest error {off:.2g}")
    further_queries(asked)


def say(name: str, found: dict[str, dict[str, float]]) -> None:
    one = found[name]
    text = (
        f"{name:28} {one['seconds']:8.1f} s {one['processor']:8.1f} s of processor "
        f"{one['memory']:7.0f} MiB above the model"
    )
    base = found.get("x-mir")
    if base:
        text += f"   {base['processor'] / one['processor']:.1f}x less processor than X-MIR's"
    print(text, flush=True)


if __name__ == "__main__":
    main()
