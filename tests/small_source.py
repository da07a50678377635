"""A small hospital in the `folder` layout, made in the test: films of noise, labels, boxes."""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FINDINGS = ("Edema", "Pleural Effusion", "No Finding")


@dataclass(frozen=True)
class SmallSource:
    """Where the source is, and what is in it."""

    root: Path
    ids: tuple[str, ...]
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def film(self, image_id: str) -> NDArray[np.uint8]:
        """Return a file's pixels, (height, width) uint8."""
        image = cv2.imread(str(self.root / "films" / f"{image_id}.png"), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        return np.asarray(image, dtype=np.uint8)


def small_source(
    root: Path,
    images: int = 24,
    *,
    prefix: str = "i",
    patient: str = "p",
    width: int = 40,
    height: int = 40,
    split: bool = False,
    seed: int = 0,
) -> SmallSource:
    """Write `images` films of ``images // 2`` patients, two visits each.

    Labels go through 1, 0, -1 and unknown; every sixth image has a box in pixels of its file.
    """
    rng = np.random.default_rng(seed)
    (root / "films").mkdir(parents=True)
    ids = tuple(f"{prefix}{n:04}" for n in range(images))
    patients = tuple(f"{patient}{n // 2}" for n in range(images))
    rows, boxes = [], []
    for n, image_id in enumerate(ids):
        film = rng.integers(1, 255, (height, width), dtype=np.uint8)
        cv2.imwrite(str(root / "films" / f"{image_id}.png"), film)
        edema = ["1", "0", "-1", ""][n % 4]
        effusion = ["1", "1", "0", "", "-1"][n % 5]
        normal = "1" if edema == "0" and effusion == "0" else "0"
        given = ("train", "trainval", "test")[(n // 2) % 3] if split else ""
        rows.append(
            [image_id, patients[n], f"{patients[n]}-{n % 2}", n % 2, ("PA", "AP", "LATERAL")[n % 3],
             20 + n % 60, "MF"[n // 2 % 2], given, f"films/{image_id}.png",
             f"Findings of {image_id}.", "" if n % 3 else f'Impression, "{n}"',
             edema, effusion, normal]
        )  # fmt: skip
        if n % 6 == 0:
            boxes.append([image_id, "Edema", 4, 8, 10, 12])
    header = ["image_id", "patient_id", "study_id", "visit", "view", "age", "sex", "split", "file",
              "report_findings", "report_impression", *FINDINGS]  # fmt: skip
    _write(root / "table.csv", header, rows)
    _write(root / "boxes.csv", ["image_id", "finding", "x", "y", "w", "h"], boxes)
    return SmallSource(root, ids, patients)


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
