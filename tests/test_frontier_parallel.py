"""Calls in processes keep the order of their items; arrays are found by all that decides them."""

import time
from pathlib import Path

import numpy as np
import pytest

from hilum.frontier.kept import Kept
from hilum.frontier.parallel import in_order


def late(at: int) -> int:
    """Take longer the earlier the item."""
    time.sleep(0.8 if at == 0 else 0.0)
    return at


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    assert list(in_order(late, [(at,) for at in range(4)], processes)) == [0, 1, 2, 3]


def test_an_array_is_found_by_all_that_decides_it_in_any_order(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    path = kept.path("scores", "random", {"seed": 1, "budget": 5})
    assert path == kept.path("scores", "random", {"budget": 5, "seed": 1})
    others = {
        kept.path("picks", "random", {"seed": 1, "budget": 5}),
        kept.path("scores", "typical", {"seed": 1, "budget": 5}),
        kept.path("scores", "random", {"seed": 2, "budget": 5}),
    }
    assert len(others - {path}) == 3
    Kept.save(path, np.arange(3))
    assert Kept.load(path).tolist() == [0, 1, 2]
    assert [file.name for file in kept.folder.iterdir()] == [path.name]
