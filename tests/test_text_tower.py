import numpy as np
import pytest
import torch
from torch import Tensor

from hilum.encoders.device import own_random_numbers
from hilum.encoders.text import END, START, tokenise
from hilum.encoders.text_tower import TextSpec, TextTower
from hilum.errors import UsageError
from reference_pair import CONTEXT, TEXTS, read_slowly, tiny_text


def tower(spec: TextSpec | None = None, seed: int = 0) -> TextTower:
    with own_random_numbers(seed):
        made = TextTower(spec or tiny_text(), CONTEXT)
    return made.eval()


def read(made: TextTower, *texts: str) -> Tensor:
    with torch.inference_mode():
        out: Tensor = made(torch.from_numpy(tokenise(texts, CONTEXT)))
    return out


def test_vectors_are_those_of_one_text_and_one_head_at_a_time() -> None:
    made = tower()
    with torch.inference_mode():
        slow = read_slowly(made, tokenise(TEXTS, CONTEXT))
    torch.testing.assert_close(read(made, *TEXTS), slow, rtol=0, atol=1e-5)
    assert slow.shape == (len(TEXTS), 32)


def test_a_text_does_not_depend_on_what_is_beside_or_behind_it() -> None:
    made = tower()
    together = read(made, *TEXTS)
    alone = torch.cat([read(made, text) for text in TEXTS])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    tokens = torch.from_numpy(tokenise(TEXTS, CONTEXT))
    behind = torch.where((tokens == END).cumsum(1) - (tokens == END).int() > 0, 320, tokens)
    with torch.inference_mode():
        torch.testing.assert_close(made(behind), together, rtol=0, atol=1e-5)


def test_the_order_of_words_and_every_word_counts() -> None:
    a, b, c = read(tower(), "no edema, effusion", "edema, no effusion", "no edema, no effusion")
    assert min((a - b).abs().max(), (a - c).abs().max(), (b - c).abs().max()) > 1e-4


def test_ids_without_a_row_share_one_that_is_zero() -> None:
    made = tower(TextSpec(width=32, heads=2, vocabulary=3))
    made.ids.copy_(torch.tensor([871, START, END]))
    assert made.embedding.weight.shape == (4, 32)
    assert not made.embedding.weight[-1].any()
    fracture, pneumonia, no = read(made, "fracture", "pneumonia", "no")
    assert torch.equal(fracture, pneumonia)
    assert not torch.equal(fracture, no)
    with torch.inference_mode():
        slow = read_slowly(made, tokenise(["fracture"], CONTEXT))
    torch.testing.assert_close(fracture[None], slow, rtol=0, atol=1e-5)


def test_gradients_reach_every_weight_but_the_rows_that_do_not_occur() -> None:
    made = tower()
    tokens = tokenise(TEXTS, CONTEXT)
    made(torch.from_numpy(tokens)).square().sum().backward()
    without = [name for name, one in made.named_parameters() if one.grad is None]
    assert without == []
    assert made.embedding.weight.grad is not None
    moved = made.embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist()
    used = {one for row in tokens.tolist() for one in row[: row.index(END) + 1]}
    assert set(moved) == used


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 30, "heads": 4}, "width must be a multiple of its heads; got width 30, 4 heads"),
        ({"heads": 0}, "got width 128, 0 heads"),
        ({"layers": -1}, "4 heads, -1 layers"),
        ({"vocabulary": 1}, r"has 2 \(start and end\) to 49408 ids; got 1"),
        ({"vocabulary": 50000}, "got 50000"),
    ],
)
def test_a_size_that_cannot_be_is_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TextSpec(**fields)


def test_a_full_table_has_a_row_for_every_id_in_its_place() -> None:
    made = tower()
    np.testing.assert_array_equal(made.ids.numpy(), np.arange(49408))
