"""How fast hilum's training loop runs, and how fast the device multiplies: shared by benchmarks."""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hilum.encoders.device import Engine
from hilum.training import Task, TrainSettings, train
from memory import resident_peak


@dataclass(frozen=True)
class Speed:
    """What a training reached: images and operations a second, bytes of the device's memory."""

    images: float
    operations: float
    memory: int

    def as_text(self, rate: float) -> str:
        """Return it in words, beside the rate at which the device multiplies matrices."""
        return (
            f"{self.images:.1f} images/s, {self.operations / 1e12:.2f} TFLOP/s, "
            f"{self.operations / rate:.0%} of the matrix rate, {self.memory / 2**30:.1f} GiB"
        )


def speed(task: Task, settings: TrainSettings, batch: int, steps: int, engine: Engine) -> Speed:
    """Train for some steps; the last three quarters of them are timed."""
    every = max(1, steps // 8)
    settings = replace(
        settings, steps=steps, epochs=0.0, batch=batch,
        precision="bf16" if engine.bf16 else "fp32",
        log_every=every, checkpoint_every=10**9, evaluate_every=0,
    )  # fmt: skip
    gpu = engine.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        train(task, settings, Path(folder) / "run", engine=engine)
        log = (Path(folder) / "run" / "log.jsonl").read_text().splitlines()
    memory = torch.cuda.max_memory_allocated() if gpu else resident_peak()
    seconds = statistics.median(json.loads(line)["seconds"] for line in log[2 * every :])
    return Speed(batch / seconds, operations(task, batch, engine) / seconds, memory)


def operations(task: Task, batch: int, engine: Engine) -> float:
    """Count the operations of one step, a multiplication and an addition being two."""
    drawn = task.batch(np.arange(batch), np.random.default_rng(0), slice(None))
    task.zero_grad()
    with FlopCounterMode(display=False) as counter:
        with engine.autocast():
            loss, _ = task(drawn)
        torch.autograd.backward(loss)
    return float(counter.get_total_flops())


def matrix_rate(engine: Engine, rounds: int = 10) -> float:
    """Return how many operations a second the device reaches in a product of two matrices."""
    gpu = engine.device.type == "cuda"
    side = 8192 if gpu else 2048
    kind = torch.bfloat16 if engine.bf16 else torch.float32
    one, other = (torch.randn(side, side, device=engine.device).to(kind) for _ in range(2))
    took = []
    for _ in range(rounds + 3):
        started = time.perf_counter()
        for _ in range(10 if gpu else 1):
            one @ other
        if gpu:
            torch.cuda.synchronize()
        took.append((time.perf_counter() - started) / (10 if gpu else 1))
    return 2 * side**3 / statistics.median(took[3:])
