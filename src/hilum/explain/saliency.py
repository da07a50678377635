"""Heat maps of images, by id, with what they rest on; in the original image's frame on demand.

A map is kept on the grid of the layer that it was made from. That is all there is to know of it:
what it looks like in the stored square or in the original image follows from the grid and the
image's `Geometry`, so a thousand maps of 3,000 × 2,500 pixels take a few megabytes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from hilum.explain.cam import Maps, for_it
from hilum.explain.diagnosis import Diagnosis, Kind
from hilum.images import Geometry

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Origin:
    """What made some maps.

    Parameters
    ----------
    method
        A name in `hilum.explain.METHODS`, or of pairs in `hilum.explain.SIMILARITY`.
    layer, grid
        Whose output they are made from, and (height, width) of it.
    model, fingerprint
        The network in words, and sha256 (hex) over it.
    size
        Side of its input in pixels.
    collection, version
        Where the images are.
    offset
        How far the grid's cells look from the middles of their parts of the image, down and to
        the right, in cells (`hilum.explain.placement`).
    explains
        ``"finding"``: why an image has one; ``"pair"``: why it is similar to another.
    """

    method: str
    layer: str
    grid: tuple[int, int]
    model: str
    fingerprint: str
    size: int
    collection: str
    version: int
    offset: float = 0.0
    explains: Literal["finding", "pair"] = "finding"


@dataclass(frozen=True, eq=False)
class Saliency:
    """Maps, one per image and target.

    Parameters
    ----------
    image_ids : (m,)
        Whose map it is.
    targets : (m,)
        What it explains: a finding, or the id of the image that this one is compared with.
    signed : (m, height, width)
        On the layer's grid; what speaks for the target is above zero.
    geometries : (m,)
        Where the image lies in its square.
    logits : (m,)
        What the network says of a finding, before it is made a probability; of a pair, the
        cosine of its vectors.
    diagnoses : (m,)
        Whether it is a map, and if not, why.
    origin
        What made them.
    """

    image_ids: tuple[str, ...]
    targets: tuple[str, ...]
    signed: Maps
    geometries: tuple[Geometry, ...]
    logits: NDArray[np.float32]
    diagnoses: tuple[Diagnosis, ...]
    origin: Origin

    def __len__(self) -> int:
        return len(self.image_ids)

    def __repr__(self) -> str:
        made = self.origin
        return f"<Saliency: {len(self)} maps, {made.method} of {made.model} at {made.layer}>"

    @property
    def scores(self) -> NDArray[np.float64]:
        """The logits as probabilities, or the cosines as they are, (m,)."""
        said = self.logits.astype(np.float64)
        return said if self.origin.explains == "pair" else np.asarray(expit(said))

    def take(self, rows: ArrayLike) -> "Saliency":
        """Return the maps at these positions, or those where a mask is true."""
        at = np.arange(len(self))[np.asarray(rows)]
        return Saliency(
            tuple(self.image_ids[i] for i in at),
            tuple(self.targets[i] for i in at),
            self.signed[at],
            tuple(self.geometries[i] for i in at),
            self.logits[at],
            tuple(self.diagnoses[i] for i in at),
            self.origin,
        )

    def in_original(self, row: int) -> Map:
        """Return a map in the original image's frame, (height, width), 0 or above.

        A blank map (`diagnoses`) is 0 everywhere.
        """
        if self.diagnoses[row].blank:
            frame = self.geometries[row]
            return np.zeros((frame.height, frame.width), np.float32)
        return in_original(for_it(self.signed[row]), self.geometries[row], self.origin.offset)

    def blank(self) -> dict[Kind, int]:
        """Count the kinds of the diagnoses that are no map."""
        return dict(Counter(one.kind for one in self.diagnoses if one.blank))

    def to_json(self) -> dict[str, Any]:
        """Return what made the maps and what is said of each, without the maps."""
        return {
            "origin": asdict(self.origin) | {"grid": list(self.origin.grid)},
            "maps": [
                {
                    "image_id": self.image_ids[row],
                    "target": self.targets[row],
                    **self._said(row),
                    "diagnosis": self.diagnoses[row].to_json(),
                }
                for row in range(len(self))
            ],
        }

    def _said(self, row: int) -> dict[str, float]:
        said = round(float(self.logits[row]), 6)
        if self.origin.explains == "pair":
            return {"cosine": said}
        return {"score": round(float(self.scores[row]), 6), "logit": said}


def in_original(grid: Map, geometry: Geometry, offset: float = 0.0) -> Map:
    """Spread a map on a grid over the original image, (height, width).

    Parameters
    ----------
    grid : (rows, columns)
        Over the stored square.
    geometry
        Where the image lies in it, and how large it was.
    offset
        As in `Origin`.

    Notes
    -----
    Between the centres of the cells it is bilinear, in one step: spread over the square first
    and then again, an image that is larger than its square would be interpolated twice.
    """
    rows, columns = grid.shape
    scale = geometry.size / np.array([columns, rows])  # square pixels per cell, (x, y)
    corners = np.array([[0, 0], [geometry.width, geometry.height]])
    (left, top), (right, bottom) = geometry.points_to_square(corners) / scale
    across = _centres(left, right, geometry.width) - offset
    down = _centres(top, bottom, geometry.height) - offset
    return _bilinear(_bilinear(grid, down, axis=0), across, axis=1)


def _centres(start: float, stop: float, count: int) -> NDArray[np.float64]:
    """Return where the centres of `count` pixels lie between two cell edges, in cell centres."""
    return np.asarray(start + (np.arange(count) + 0.5) * (stop - start) / count - 0.5)


def _bilinear(values: Map, at: NDArray[np.float64], axis: int) -> Map:
    last = values.shape[axis] - 1
    at = np.clip(at, 0, last)  # beyond the outer centres it stays as it is
    low = np.minimum(at.astype(np.int64), max(last - 1, 0))
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share
    first, second = values.take(low, axis), values.take(np.minimum(low + 1, last), axis)
    return np.asarray(first * (1 - share) + second * share, np.float32)


def joined(parts: Sequence[Saliency]) -> Saliency:
    """Put maps of one origin one after another."""
    first = parts[0]
    return Saliency(
        tuple(image for part in parts for image in part.image_ids),
        tuple(target for part in parts for target in part.targets),
        np.concatenate([part.signed for part in parts]),
        tuple(frame for part in parts for frame in part.geometries),
        np.concatenate([part.logits for part in parts]),
        tuple(one for part in parts for one in part.diagnoses),
        first.origin,
    )
