"""Boosted trees as plain arrays, and what they say of many images at once.

A tree's leaves are numbered from left to right, and a byte (or a larger integer) per image marks
those that it cannot reach any more: where a split sends it to the right, all leaves on the left of
that split. The exit is the first leaf without a mark (QuickScorer: Lucchese et al., SIGIR 2015,
doi:10.1145/2766462.2767733). So a split is one comparison of a whole column, without following
pointers image by image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import WeightsError
from hilum.features.table import Numbers

Floats = NDArray[np.float64]
Tensors = Mapping[str, NDArray[Any]]

MOST_LEAVES: Final = 64
_BLOCK: Final = 8192  # images at a time: their columns stay in the processor's cache

_NODE_TYPES: Final[dict[str, type[np.generic]]] = {
    "feature": np.int32,  # column of the values that is compared; -1 in a leaf
    "threshold": np.float64,  # values up to it go left
    "unknown_left": np.bool_,  # whether NaN goes left
    "left": np.int32,  # rows of the children within the tree; -1 in a leaf
    "right": np.int32,
    "value": np.float64,  # what a leaf adds to the log odds
}


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree: its nodes as rows, the root first, children after their parents.

    Parameters
    ----------
    feature, threshold, unknown_left, left, right, value : (n_nodes,)
        As in `_NODE_TYPES`.
    """

    feature: NDArray[np.int32]
    threshold: Floats
    unknown_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats


@dataclass(frozen=True, eq=False)
class Forest:
    """The sum of some trees: log odds of one finding.

    Parameters
    ----------
    baseline
        Where the sum starts; NaN for a finding that could not be learnt.
    trees
        In the order in which they are added.
    """

    baseline: float
    trees: tuple[Tree, ...]

    def log_odds(self, values: Numbers) -> Floats:
        """Return the log odds, (n_images,), for values (n_images, n_columns)."""
        plans = [_plan(tree) for tree in self.trees]
        out = np.full(len(values), self.baseline)
        for start in range(0, len(values), _BLOCK):
            columns = np.ascontiguousarray(values[start : start + _BLOCK].T)
            for plan in plans:
                out[start : start + _BLOCK] += plan.values(columns)
        return out

    def stages(self, values: Numbers) -> Iterator[Floats]:
        """Yield the log odds, (n_images,), after the first tree, the second, and so on."""
        columns = np.ascontiguousarray(values.T)
        out = np.full(len(values), self.baseline)
        for tree in self.trees:
            out = out + _plan(tree).values(columns)
            yield out


# --------------------------------------------------------------------------- prediction


@dataclass(frozen=True, eq=False)
class _Plan:
    """A tree for many images: its splits, each with the leaves that a turn to the right loses."""

    splits: tuple[tuple[int, np.float32, bool, np.unsignedinteger[Any]], ...]
    leaves: Floats  # values, from left to right

    def values(self, columns: Numbers) -> Floats:
        """Return what the tree adds for images, columns (n_columns, n_images)."""
        kind = _marks(len(self.leaves))
        lost = np.zeros(columns.shape[1], dtype=kind)
        for feature, threshold, unknown_left, behind in self.splits:
            column = columns[feature]
            # a comparison with NaN is false: ask what then is right
            right = column > threshold if unknown_left else ~(column <= threshold)
            lost |= right.view(np.uint8) * behind
        first = ~lost & (lost + kind(1))  # the lowest bit that is not set
        return np.asarray(self.leaves[np.bitwise_count(first - kind(1))], dtype=np.float64)


def _plan(tree: Tree) -> _Plan:
    leaves: list[int] = []
    first: dict[int, int] = {}  # split -> the number of its first leaf
    splits = []
    kind = _marks(int((tree.feature < 0).sum()))
    todo = [(0, False)]
    while todo:  # from left to right: the left child, then the split itself, then the right child
        node, left_is_done = todo.pop()
        if tree.feature[node] < 0:
            leaves.append(node)
        elif not left_is_done:
            first[node] = len(leaves)
            todo += [(node, True), (int(tree.left[node]), False)]
        else:
            behind = kind((1 << len(leaves)) - (1 << first[node]))
            threshold = _not_above(float(tree.threshold[node]))
            splits.append(
                (int(tree.feature[node]), threshold, bool(tree.unknown_left[node]), behind)
            )
            todo.append((int(tree.right[node]), False))
    return _Plan(tuple(splits), tree.value[leaves])


def _marks(n_leaves: int) -> type[np.unsignedinteger[Any]]:
    kinds: Sequence[type[np.unsignedinteger[Any]]] = (np.uint8, np.uint16, np.uint32, np.uint64)
    return next(kind for kind in kinds if n_leaves <= 8 * kind().itemsize)


def _not_above(threshold: float) -> np.float32:
    """Return the largest float32 up to a threshold: float32 values compare with it alike."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))


# --------------------------------------------------------------------------- to disk and back


def forests_to_tensors(forests: Sequence[Forest]) -> dict[str, NDArray[Any]]:
    """Return forests as a few arrays: all nodes one after another, and where trees begin."""
    trees = [tree for forest in forests for tree in forest.trees]
    nodes = {
        name: np.concatenate([np.empty(0, kind), *(getattr(tree, name) for tree in trees)])
        for name, kind in _NODE_TYPES.items()
    }
    return {
        **nodes,
        "nodes": np.array([len(tree.feature) for tree in trees], dtype=np.int64),
        "trees": np.array([len(forest.trees) for forest in forests], dtype=np.int64),
        "baseline": np.array([forest.baseline for forest in forests], dtype=np.float64),
    }


def forests_from_tensors(
    tensors: Tensors, n_columns: int, n_findings: int
) -> tuple[Forest, ...]:  # fmt: skip
    """Return what `forests_to_tensors` was given.

    Raises
    ------
    WeightsError
        If an array is missing or of another type or length, or the nodes make no trees on
        `n_columns` columns.
    """
    kinds = {**_NODE_TYPES, "nodes": np.int64, "trees": np.int64, "baseline": np.float64}
    for name, kind in kinds.items():
        if name not in tensors or tensors[name].dtype != kind or tensors[name].ndim != 1:
            raise WeightsError(f"the boosted trees need {name!r}, a list of {kind.__name__}")
    nodes, trees = tensors["nodes"], tensors["trees"]
    fits = (
        all(tensors[name].size == nodes.sum() for name in _NODE_TYPES)
        and trees.size == tensors["baseline"].size == n_findings
        and trees.sum() == nodes.size
        and (nodes > 0).all()
        and (trees >= 0).all()
    )
    if not fits:
        raise WeightsError(
            f"the boosted trees' arrays do not fit each other and {n_findings} findings"
        )
    ends = np.cumsum(nodes)
    every = [
        _checked(Tree(**{name: tensors[name][end - size : end] for name in _NODE_TYPES}), n_columns)
        for end, size in zip(ends, nodes, strict=True)
    ]
    stops = np.cumsum(trees)
    return tuple(
        Forest(float(baseline), tuple(every[stop - number : stop]))
        for baseline, number, stop in zip(tensors["baseline"], trees, stops, strict=True)
    )


def _checked(tree: Tree, n_columns: int) -> Tree:
    split = np.flatnonzero(tree.feature >= 0)
    children = np.concatenate([tree.left[split], tree.right[split]])
    size = len(tree.feature)
    good = (
        # every node but the root is the child of one split that stands before it
        np.array_equal(np.sort(children), np.arange(1, size))
        and (children > np.tile(split, 2)).all()
        and (tree.feature < n_columns).all()
        and (size + 1) // 2 <= MOST_LEAVES
        and np.isfinite(tree.value).all()
        and not np.isnan(tree.threshold[split]).any()
    )
    if not good:
        raise WeightsError(
            f"the boosted trees hold one that is no tree of at most {MOST_LEAVES} leaves on "
            f"{n_columns} columns"
        )
    return tree
