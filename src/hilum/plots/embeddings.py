"""Maps of an embedding: its plane of greatest variance, coloured by group or by patient."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from hilum.plots.canvas import INK, MARKERS, PALE, PALETTE, SIZE, blank, name_axes

_MAX_POINTS: Final = 4000


def embedding_map(vectors: ArrayLike, groups: Mapping[str, ArrayLike]) -> Figure:
    """Draw an embedding's two main directions, a panel per group with its members in colour.

    Parameters
    ----------
    vectors : (n_images, dim)
        More than a few thousand are thinned out evenly.
    groups
        By name, a mask (n_images,) of the members; where it is NaN or None, the image is left
        out of that panel.
    """
    thin = _thinned(len(np.asarray(vectors)))
    points, shares = principal_plane(np.asarray(vectors)[thin])
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    figure, panels = blank(0.35 + 2.35 * rows, rows, columns)
    for axes, (name, members) in zip(panels, groups.items(), strict=False):
        mask = np.asarray(members, dtype=np.float64)[thin]
        _panel(axes, name, int(np.nansum(np.asarray(members, dtype=np.float64) == 1)))
        for value, colour, size in ((0, PALE, 7), (1, PALETTE[1], 10)):
            chosen = points[mask == value]
            axes.scatter(chosen[:, 0], chosen[:, 1], s=size, color=colour, linewidths=0)
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    figure.supxlabel(
        f"First principal component ({shares[0]:.0%} of variance)", fontsize=SIZE, color=INK
    )
    figure.supylabel(f"Second ({shares[1]:.0%})", fontsize=SIZE, color=INK)
    return figure


def patient_map(vectors: ArrayLike, patients: Sequence[str], show: int = 6) -> Figure:
    """Draw the same plane with the images of a few patients joined by lines.

    If an embedding has learnt the patient rather than the disease, each line stays in one
    place. The patients with most images are shown, by number and not by name.

    Parameters
    ----------
    vectors : (n_images, dim)
        The embedding.
    patients : (n_images,)
        Patient ids; a patient's images in order of time.
    show
        How many patients, at most six.
    """
    points, shares = principal_plane(vectors)
    thin = _thinned(len(points))
    figure, (axes,) = blank(3.9)
    axes.scatter(points[thin, 0], points[thin, 1], s=7, color=PALE, linewidths=0)
    names, numbers, counts = np.unique(
        np.array(patients), return_inverse=True, return_counts=True
    )  # fmt: skip
    most = np.argsort(-counts, kind="stable")[: min(show, len(PALETTE), len(names))]
    for at, patient in enumerate(most):
        own = points[numbers == patient]
        axes.plot(own[:, 0], own[:, 1], color=PALETTE[at], marker=MARKERS[at], markersize=6,
                  linewidth=1.5, label=f"patient {at + 1} ({len(own)} images)")  # fmt: skip
    axes.set(xticks=[], yticks=[])
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=SIZE - 1)
    name_axes(axes, f"First principal component ({shares[0]:.0%} of variance)",
          f"Second ({shares[1]:.0%})")  # fmt: skip
    return figure


def _thinned(n_rows: int) -> NDArray[np.int64]:
    return np.arange(0, n_rows, max(1, -(-n_rows // _MAX_POINTS)))


def _panel(axes: Axes, name: str, count: int) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{name} ({count})", fontsize=SIZE, color=INK, loc="left")


def principal_plane(
    vectors: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project on the two directions of greatest variance.

    Parameters
    ----------
    vectors : (n_images, dim)
        Two dimensions at least.

    Returns
    -------
    Coordinates (n_images, 2), and each direction's share of the variance (2,). Signs are
    chosen so that each direction's largest component is positive: the same data gives the same
    picture everywhere.
    """
    data = np.asarray(vectors, dtype=np.float64)
    centred = data - data.mean(axis=0)
    variance, directions = np.linalg.eigh(centred.T @ centred)
    plane = directions[:, :-3:-1]  # eigenvalues ascend: the last two, the largest first
    plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])
    total = max(float(variance.sum()), np.finfo(np.float64).tiny)
    return centred @ plane, variance[:-3:-1] / total
