"""What a selector sees beside the embedding: age, sex, view, and that something is not known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hilum.errors import UsageError
from hilum.select.beside import INPUTS, People, columns, refuse_unknown, width_of
from hilum.select.pool import Pool, Settings
from hilum.select.selector import SelectorSpec, SetSelector, load_selector, save_selector
from hilum.select.trained import selector_strategy

nan = np.nan
PEOPLE = People(
    age=np.array([25.0, 75.0, nan, 50.0]), female=np.array([1.0, 0.0, 1.0, nan]),
    frontal=np.array([1.0, 1.0, 0.0, nan]), ap=np.array([1.0, 0.0, nan, nan]),
)  # fmt: skip


def test_numbers_lie_around_zero_and_say_whether_they_are_known() -> None:
    expected = {
        "age": [[-1, 1], [1, 1], [0, 0], [0, 1]],
        "sex": [[1, 1], [-1, 1], [1, 1], [0, 0]],
        "view": [[1, 1, 1, 1], [1, 1, -1, 1], [-1, 1, 0, 0], [0, 0, 0, 0]],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(columns(PEOPLE, [name]), np.array(values, dtype=np.float32))
    both = columns(PEOPLE, ("view", "age"))
    assert both.tolist() == np.hstack([expected["view"], expected["age"]]).tolist()
    assert both.dtype == np.float32


@pytest.mark.parametrize("inputs", [(), *[(name,) for name in INPUTS], tuple(INPUTS)])
def test_widths_are_those_of_the_columns(inputs: tuple[str, ...]) -> None:
    if inputs:
        assert columns(PEOPLE, inputs).shape == (4, width_of(inputs))
    assert SetSelector(SelectorSpec(dim=3, beside=inputs)).spec.beside == inputs


def test_what_cannot_be_seen_is_refused() -> None:
    with pytest.raises(UsageError, match=r"can see age, sex, view beside .*; got 'weight'"):
        refuse_unknown(["weight"])
    with pytest.raises(UsageError, match=r"each once; got 'age', 'age'"):
        SelectorSpec(dim=3, beside=("age", "age"))
    unknown = People(np.full(4, nan), PEOPLE.female, PEOPLE.frontal, PEOPLE.ap)
    with pytest.raises(UsageError, match="the age of no image is known"):
        columns(unknown, ("sex", "age"))


def test_a_selector_that_looks_at_age_must_be_told_it() -> None:
    selector = SetSelector(SelectorSpec(dim=3, beside=("age",)))
    unit = torch.nn.functional.normalize(torch.ones(4, 3))
    with pytest.raises(UsageError, match="this selector looks at age beside the embedding"):
        selector.describe(unit)
    told = selector.describe(unit, torch.from_numpy(columns(PEOPLE, ("age",))))
    assert len({tuple(row) for row in told.tolist()}) == 4  # the embeddings are all the same


def test_the_strategy_takes_age_from_the_pool(tmp_path: Path) -> None:
    selector = SetSelector(SelectorSpec(dim=3, beside=("age",), pool=50))
    with torch.no_grad():
        selector.judge.weight.normal_(generator=torch.Generator().manual_seed(1))
    save_selector(selector, tmp_path / "selector.safetensors")
    assert load_selector(tmp_path / "selector.safetensors").spec.beside == ("age",)
    strategy = selector_strategy(tmp_path / "selector.safetensors")
    vectors = np.ones((30, 3), dtype=np.float32)
    ids = tuple(map(str, range(30)))
    ages = np.linspace(20, 90, 30).astype(np.float32)
    pools = [Pool(vectors, ids, age=one) for one in (ages, ages[::-1].copy())]
    there, back = (
        strategy.pick(one, 5, Settings(), np.random.default_rng(0)).rows for one in pools
    )
    assert there.tolist() == (29 - back).tolist()  # embeddings are alike: age alone decides
    with pytest.raises(UsageError, match="the age of no image is known"):
        strategy.pick(Pool(vectors, ids), 5, Settings(), np.random.default_rng(0))
