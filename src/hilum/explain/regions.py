"""Where findings are: boxes of a collection, or masks in files, in the original image's frame."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from hilum.errors import SourceError, UsageError
from hilum.findings import canonical
from hilum.images import Geometry

if TYPE_CHECKING:
    from hilum.collection import Collection

Mask = NDArray[np.bool_]
Boxes = NDArray[np.float64]
Key = tuple[str, str]
"""An image and a finding."""

_PHANTOM: Final = "phantom.json"


@dataclass(frozen=True, eq=False)
class Regions:
    """Where findings are marked.

    Parameters
    ----------
    kind
        ``"boxes"`` or ``"masks"``.
    boxes
        By image and finding: (b, 4) x, y, width, height in pixels of the original image.
    masks
        By image and finding: the file, and the bit of its pixels that is set (-1: any).
    """

    kind: Literal["boxes", "masks"]
    boxes: Mapping[Key, Boxes] = field(default_factory=dict)
    masks: Mapping[Key, tuple[Path, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.boxes) + len(self.masks)

    def __iter__(self) -> Iterator[Key]:
        yield from self.boxes
        yield from self.masks

    @property
    def findings(self) -> tuple[str, ...]:
        """What is marked, in the order in which it first is."""
        return tuple(dict.fromkeys(finding for _, finding in self))

    def has(self, image: str, finding: str) -> bool:
        """Whether a finding is marked in an image."""
        return (image, finding) in self.boxes or (image, finding) in self.masks

    def outline(self, image: str, finding: str) -> Boxes:
        """Return the boxes of a finding in an image, (b, 4); none where it has a mask."""
        return self.boxes.get((image, finding), np.empty((0, 4)))

    def mask(self, image: str, finding: str, geometry: Geometry) -> Mask:
        """Return where a finding is, (height, width) of the original image.

        A pixel is in a box if its centre is; the pixel that holds the centre of a box always is.

        Raises
        ------
        KeyError
            If it is not marked.
        SourceError
            If a mask cannot be read or has another size than the image.
        """
        if (image, finding) in self.boxes:
            return _filled(self.boxes[image, finding], geometry.width, geometry.height)
        path, bit = self.masks[image, finding]
        found = _read(path)
        if found.shape != (geometry.height, geometry.width):
            raise SourceError(
                f"{path}: the mask is {found.shape[1]} × {found.shape[0]} pixels, the image "
                f"{geometry.width} × {geometry.height}; a mask has the size of its image"
            )
        return np.asarray(found != 0 if bit < 0 else (found >> bit) & 1, dtype=bool)


def boxes_of(collection: "Collection") -> Regions:
    """Return the boxes of a collection's images.

    Raises
    ------
    UsageError
        If no image of the view has one.
    """
    frame = collection.boxes()
    if not frame.height:
        raise UsageError(
            f"{collection.uri}: no image has a box; give a folder of masks (--masks), or take "
            "images that have boxes"
        )
    by_key: dict[Key, list[list[float]]] = {}
    for row in frame.to_dicts():
        sides = [float(row[name]) for name in "xywh"]
        by_key.setdefault((row["image_id"], row["finding"]), []).append(sides)
    return Regions("boxes", boxes={key: np.array(rows) for key, rows in by_key.items()})


def read_masks(folder: str | Path, images: Iterable[str]) -> Regions:
    """Find the masks of images.

    Parameters
    ----------
    folder
        A phantom hospital (``phantom.json`` names the bits of ``masks/IMAGE_ID.png``), or a
        folder with one folder per finding that holds ``IMAGE_ID.png``: what is not 0 is marked.
    images
        Ids.

    Raises
    ------
    SourceError
        If it is neither, a file cannot be read, or no image has a mask.
    """
    folder = Path(folder)
    found = _of_phantom(folder, images) if (folder / _PHANTOM).is_file() else _of(folder, images)
    if not found:
        raise SourceError(
            f"{folder}: holds no mask of these images; expected a phantom hospital, or "
            "FINDING/IMAGE_ID.png"
        )
    return Regions("masks", masks=found)


def _of_phantom(folder: Path, images: Iterable[str]) -> dict[Key, tuple[Path, int]]:
    about: dict[str, Any] = json.loads((folder / _PHANTOM).read_text(encoding="utf-8"))
    names = [str(name) for name in about.get("findings", [])]
    found: dict[Key, tuple[Path, int]] = {}
    for image in images:
        path = folder / "masks" / f"{image}.png"
        if path.is_file():
            bits = np.bitwise_or.reduce(_read(path), axis=None)
            for bit, name in enumerate(names):
                if (int(bits) >> bit) & 1:
                    found[image, name] = (path, bit)
    return found


def _of(folder: Path, images: Iterable[str]) -> dict[Key, tuple[Path, int]]:
    kinds = sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
    return {
        (image, canonical(kind.name) or kind.name): (path, -1)
        for image in images
        for kind in kinds
        if (path := kind / f"{image}.png").is_file() and _read(path).any()
    }


def _read(path: Path) -> NDArray[np.uint16]:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if found is None or found.ndim != 2:
        raise SourceError(f"{path}: expected a grey PNG with a mask")
    return np.asarray(found, dtype=np.uint16)


def _filled(boxes: Boxes, width: int, height: int) -> Mask:
    mask = np.zeros((height, width), dtype=bool)
    for x, y, w, h in boxes:
        # centres at n + 0.5: the first one not left of x, the first one not left of x + w
        left, right = np.ceil(np.array([x, x + w]) - 0.5).astype(int).clip(0, width)
        top, bottom = np.ceil(np.array([y, y + h]) - 0.5).astype(int).clip(0, height)
        mask[top:bottom, left:right] = True
        middle = int(min(x + w / 2, width - 1)), int(min(y + h / 2, height - 1))
        mask[max(middle[1], 0), max(middle[0], 0)] = True
    return mask
