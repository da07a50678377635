"""Trees as arrays: worked by hand, scikit-learn to the last bit, files that are no trees."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hilum.errors import WeightsError
from hilum.tabular import boosted, trees
from hilum.tabular.trees import Forest, Tree, forests_from_tensors, forests_to_tensors

NAN = float("nan")
INFINITE = float("inf")


def tree(*nodes: tuple[int, float, bool, int, int, float]) -> Tree:
    feature, threshold, unknown_left, left, right, value = zip(*nodes, strict=True)
    return Tree(
        np.array(feature, dtype=np.int32),
        np.array(threshold),
        np.array(unknown_left),
        np.array(left, dtype=np.int32),
        np.array(right, dtype=np.int32),
        np.array(value, dtype=np.float64),
    )


def leaf(value: float) -> tuple[int, float, bool, int, int, float]:
    return (-1, 0.0, False, -1, -1, value)


#   age <= 50 (unknown left)
#   ├── flag <= 0.5 (unknown right): 1, 2
#   └── 4
BY_HAND = tree((0, 50.0, True, 1, 4, 0.0), (1, 0.5, False, 2, 3, 0.0), leaf(1), leaf(2), leaf(4))


@pytest.mark.parametrize(
    ("age", "flag", "expected"),
    [
        *((40, 0, 1), (40, 1, 2), (40, NAN, 2), (60, 0, 4), (60, NAN, 4)),
        *((NAN, 0, 1), (NAN, 1, 2), (NAN, NAN, 2), (50, 0.5, 1), (50.00001, 0, 4)),
    ],
)
def test_a_tree_worked_by_hand(age: float, flag: float, expected: float) -> None:
    values = np.array([[age, flag]], dtype=np.float32)
    assert Forest(0.25, (BY_HAND,)).log_odds(values) == [0.25 + expected]
    assert Forest(0.25, (BY_HAND, BY_HAND)).log_odds(values) == [0.25 + 2 * expected]


def test_a_tree_that_splits_the_known_from_the_unknown() -> None:
    known = tree((0, INFINITE, False, 1, 2, 0.0), leaf(1), leaf(2))
    values = np.array([[1e30], [NAN]], dtype=np.float32)
    assert Forest(0.0, (known,)).log_odds(values).tolist() == [1, 2]


def test_a_forest_without_trees_or_of_one_leaf_is_a_constant() -> None:
    values = np.zeros((3, 1), dtype=np.float32)
    assert Forest(-1.0, ()).log_odds(values).tolist() == [-1] * 3
    assert Forest(-1.0, (tree(leaf(0.5)),)).log_odds(values).tolist() == [-0.5] * 3


def test_a_threshold_that_no_float32_holds_parts_the_same_values() -> None:
    near = np.float32(0.1)  # a little above 0.1
    values = np.array([[near], [np.nextafter(near, np.float32(0))]])
    split = tree((0, 0.1, False, 1, 2, 0.0), leaf(1), leaf(2))
    assert Forest(0.0, (split,)).log_odds(values).tolist() == [2, 1]


def grown(rng: np.random.Generator, n_leaves: int, n_columns: int) -> Tree:
    """Split random leaves until there are as many as wanted; children come after parents."""
    nodes = [leaf(rng.normal())]
    while sum(node[0] < 0 for node in nodes) < n_leaves:
        at = int(rng.choice([n for n, node in enumerate(nodes) if node[0] < 0]))
        place = (len(nodes), len(nodes) + 1)
        column, unknown_left = int(rng.integers(n_columns)), bool(rng.integers(2))
        nodes[at] = (column, float(rng.normal()), unknown_left, *place, 0.0)
        nodes += [leaf(rng.normal()), leaf(rng.normal())]
    return tree(*nodes)


def walk(tree: Tree, row: NDArray[np.float32]) -> float:
    """Follow the pointers."""
    node = 0
    while tree.feature[node] >= 0:
        value = float(row[tree.feature[node]])
        left = tree.unknown_left[node] if np.isnan(value) else value <= tree.threshold[node]
        node = int(tree.left[node] if left else tree.right[node])
    return float(tree.value[node])


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_a_tree_gives_what_following_its_pointers_gives(seed: int, n_leaves: int) -> None:
    rng = np.random.default_rng(seed)
    made = grown(rng, n_leaves, 3)
    values = rng.normal(size=(20, 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    expected = [walk(made, row) for row in values]
    np.testing.assert_array_equal(Forest(0.0, (made,)).log_odds(values), expected)


def problem(n: int = 3000, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 6)).astype(np.float32)
    values[:, 1] = np.round(values[:, 1])
    values[rng.random(values.shape) < 0.2] = np.nan
    odds = np.nan_to_num(values[:, 0]) + np.where(np.isnan(values[:, 2]), 1, -1)
    return values, (odds + rng.normal(size=n) > 0).astype(np.float64)


@pytest.mark.parametrize("leaves", [2, 8, 9, 16, 40, 64])
def test_trees_give_what_scikit_learn_gives(leaves: int) -> None:
    values, label = problem()
    choice = {"leaves": leaves, "learning_rate": 0.1, "rounds": 12}
    model = boosted.classifier(choice, 400, seed=0)
    with threadpool_limits(limits=1):
        model.fit(values[:, [5, 0, 1, 2]], label)
        expected = model.decision_function(values[:, [5, 0, 1, 2]])
        stages = list(model.staged_decision_function(values[:, [5, 0, 1, 2]]))
    forest = boosted.forest_of(model, np.array([5, 0, 1, 2]))
    assert max(len(made.feature) for made in forest.trees) == 2 * leaves - 1
    np.testing.assert_allclose(forest.log_odds(values), expected, rtol=0, atol=1e-12)
    for ours, theirs in zip(forest.stages(values), stages, strict=True):
        np.testing.assert_allclose(ours, theirs.ravel(), rtol=0, atol=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    forest = Forest(0.1, tuple(grown(rng, 9, 6) for _ in range(5)))
    values = problem(100)[0]
    expected = forest.log_odds(values)
    monkeypatch.setattr(trees, "_BLOCK", 7)
    np.testing.assert_array_equal(forest.log_odds(values), expected)


def test_forests_come_back_from_arrays_as_they_were() -> None:
    rng = np.random.default_rng(2)
    given_ = [Forest(0.5, (grown(rng, 4, 6), grown(rng, 1, 6))), Forest(NAN, ()),
              Forest(-1.0, (grown(rng, 7, 6),))]  # fmt: skip
    arrays = forests_to_tensors(given_)
    again = forests_from_tensors(arrays, 6, 3)
    values = problem(50)[0]
    for before, after in zip(given_, again, strict=True):
        np.testing.assert_array_equal(before.log_odds(values), after.log_odds(values))
    nothing = forests_from_tensors(forests_to_tensors([Forest(NAN, ())]), 6, 1)
    assert np.isnan(nothing[0].log_odds(values)).all()


def changed(name: str, at: int, value: float) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name][at] = value

    return change


NO_TREE = "one that is no tree of at most 64 leaves on 2 columns"
NO_FIT = "arrays do not fit each other and 1 findings"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("left"), "need 'left', a list of int32"),
        (
            lambda a: a.update(value=a["value"].astype(np.float32)),
            "need 'value', a list of float64",
        ),
        (lambda a: a.update(value=a["value"][:-1]), NO_FIT),
        (lambda a: a.update(baseline=np.zeros(2)), NO_FIT),
        (changed("trees", 0, 2), NO_FIT),
        (changed("left", 0, 0), NO_TREE),  # a circle
        (changed("left", 1, 4), NO_TREE),  # two parents
        (changed("right", 1, 9), NO_TREE),
        (changed("feature", 0, 2), NO_TREE),
        (changed("feature", 2, 1), NO_TREE),  # a split without children
        (changed("value", 2, INFINITE), NO_TREE),
        (changed("threshold", 0, NAN), NO_TREE),
    ],
)
def test_arrays_that_make_no_trees_are_refused(
    change: Callable[[dict[str, Any]], None], message: str
) -> None:
    arrays = forests_to_tensors([Forest(0.0, (BY_HAND,))])
    assert forests_from_tensors(arrays, 2, 1)[0].baseline == 0
    change(arrays)
    with pytest.raises(WeightsError, match=message):
        forests_from_tensors(arrays, 2, 1)


def test_a_circle_that_no_way_leads_to_is_refused() -> None:
    apart = (leaf(0), (0, 0.0, False, 2, 3, 0.0), (0, 0.0, False, 1, 4, 0.0), leaf(1), leaf(2))
    with pytest.raises(WeightsError, match=NO_TREE):
        forests_from_tensors(forests_to_tensors([Forest(0.0, (tree(*apart),))]), 2, 1)


def test_a_tree_with_more_leaves_than_marks_is_refused() -> None:
    many = forests_to_tensors([Forest(0.0, (grown(np.random.default_rng(0), 65, 2),))])
    with pytest.raises(WeightsError, match=NO_TREE):
        forests_from_tensors(many, 2, 1)
