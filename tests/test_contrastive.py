"""Losses between images and texts, which texts are true of which images, and what is drawn."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError
from hilum.reports.words import words
from hilum.training.contrastive import (
    ContrastSettings,
    found_first,
    sigmoid_loss,
    similarities,
    softmax_loss,
)
from hilum.training.duplicates import Vocabulary, said, same
from hilum.training.texts import Texts, TextSettings
from reference_reports import SENTENCES, said_slowly, sigmoid_slowly, softmax_slowly


def unit(n: int, seed: int, dim: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64))


def some_positives(n: int, seed: int) -> NDArray[np.bool_]:
    return np.eye(n, dtype=np.bool_) | (np.random.default_rng(seed).random((n, n)) < 0.3)


def number(value: float) -> Tensor:
    return torch.tensor(value)


# ------------------------------------------------------------------ losses


@given(n=st.integers(1, 6), seed=st.integers(0, 99), scale=st.floats(0.5, 30.0))
@settings(max_examples=30)
def test_the_losses_are_those_of_two_loops(n: int, seed: int, scale: float) -> None:
    images, texts, positives = unit(n, seed), unit(n, seed + 1), some_positives(n, seed)
    mask = torch.from_numpy(positives)
    ours = softmax_loss(images, texts, number(scale), mask).item()
    assert ours == pytest.approx(softmax_slowly(images, texts, scale, positives), rel=1e-4)
    ours = sigmoid_loss(images, texts, number(scale), number(-3.0), mask).item()
    slow = sigmoid_slowly(images, texts, scale, -3.0, positives)
    assert ours == pytest.approx(slow, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("positives", [torch.eye(8).bool(), torch.ones(8, 8).bool()])
def test_vectors_that_are_all_one_cost_the_logarithm_of_the_batch(positives: Tensor) -> None:
    one = unit(1, 0).expand(8, -1)
    assert softmax_loss(one, one, number(20.0), positives).item() == pytest.approx(math.log(8))


def test_the_loss_reaches_zero_with_one_positive_each_and_log_k_with_k() -> None:
    """Two groups of three images with one text: a perfect model shares out each row by three."""
    axes = torch.eye(2, dtype=torch.float64)[[0, 0, 0, 1, 1, 1]]
    groups = axes @ axes.T > 0.5
    assert softmax_loss(axes, axes, number(100.0), groups).item() == pytest.approx(math.log(3))
    alone = torch.eye(6, dtype=torch.float64)
    loss = softmax_loss(alone, alone, number(100.0), alone.bool()).item()
    assert loss == pytest.approx(0, abs=1e-9)
    split = softmax_loss(axes, axes, number(100.0), alone.bool()).item()
    assert split == pytest.approx(math.log(3))  # CheXzero's: it cannot be had lower either


def test_identical_texts_pull_an_image_towards_each_other_s_text_and_otherwise_push_it() -> None:
    """Worked by hand: two images, one text; the gradient on the other's copy has either sign."""
    images = torch.eye(2, requires_grad=True)
    texts = functional.normalize(torch.tensor([[1.0, 1.0], [1.0, 1.0]]))

    def pull(positives: Tensor) -> float:
        images.grad = None
        texts_ = texts.clone().requires_grad_()
        torch.autograd.backward(softmax_loss(images, texts_, number(1.0), positives))
        assert texts_.grad is not None
        return -float(texts_.grad[1] @ torch.tensor([1.0, 0.0]))  # of text 1, towards image 0

    assert pull(torch.eye(2).bool()) < -0.1
    assert pull(torch.ones(2, 2).bool()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_the_gradients_are_those_of_small_differences(loss: str) -> None:
    images, texts = unit(4, 1).requires_grad_(), unit(4, 2).requires_grad_()
    mask = torch.from_numpy(some_positives(4, 3))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)

    def value(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        if loss == "softmax":
            return softmax_loss(images, texts, scale, mask)
        return sigmoid_loss(images, texts, scale, bias, mask)

    assert torch.autograd.gradcheck(value, (images, texts, scale, bias))


def test_the_order_of_a_batch_changes_nothing() -> None:
    images, texts, mask = unit(5, 1), unit(5, 2), torch.from_numpy(some_positives(5, 0))
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = mask[order][:, order]
    scale, bias = number(7.0), number(-2.0)
    ours = softmax_loss(images[order], texts[order], scale, moved)
    torch.testing.assert_close(ours, softmax_loss(images, texts, scale, mask))
    ours = sigmoid_loss(images[order], texts[order], scale, bias, moved)
    torch.testing.assert_close(ours, sigmoid_loss(images, texts, scale, bias, mask))


def test_cosines_are_taken_in_full_precision() -> None:
    images, texts = unit(3, 0).float(), unit(3, 1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        exact = similarities(images, texts, number(3.0))
    torch.testing.assert_close(exact, 3 * images @ texts.T)


def test_what_is_found_first_may_be_any_positive() -> None:
    logits = torch.tensor([[0.0, 9.0], [5.0, 1.0]])
    assert found_first(logits, torch.tensor([[True, True], [False, True]])).item() == 0.5


# ------------------------------------------------------------------ settings


def towers() -> tuple[Tensor, Tensor]:
    return torch.tensor(2.0), torch.tensor(0.0)


@pytest.mark.parametrize(
    ("given", "scale", "bias"),
    [
        ({}, math.exp(2), 0.0),
        ({"scale": 30.0}, 30.0, 0.0),
        ({"loss": "sigmoid"}, 10.0, -10.0),
        ({"loss": "sigmoid", "scale": 5.0, "bias": -2.0}, 5.0, -2.0),
    ],
)
def test_training_starts_with_the_scale_and_bias_asked_for(
    given: dict[str, Any], scale: float, bias: float
) -> None:
    logit_scale, logit_bias = towers()
    ContrastSettings(**given).start(logit_scale, logit_bias)
    assert logit_scale.exp().item() == pytest.approx(scale)
    assert logit_bias.item() == bias


def test_a_bias_that_was_learnt_is_kept() -> None:
    logit_scale, logit_bias = torch.tensor(2.0), torch.tensor(-7.0)
    ContrastSettings(loss="sigmoid").start(logit_scale, logit_bias)
    assert (logit_scale.item(), logit_bias.item()) == (2.0, -7.0)


def test_the_scale_stays_below_its_limit_or_has_none() -> None:
    scale = torch.tensor(6.0)
    ContrastSettings(most_scale=0).limit(scale)
    assert scale.item() == 6.0
    ContrastSettings().limit(scale)
    assert scale.item() == pytest.approx(math.log(100))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "triplet"}, "loss 'triplet' is not known; choose from softmax, sigmoid"),
        ({"positives": "all"}, "positives 'all' is not known; choose from said, same, own"),
        ({"alike": 0.0}, r"alike is a share of words, above 0 and up to 1; got 0\.0"),
        ({"scale": 0.0}, r"scale must be positive; got 0\.0"),
        ({"chunk": -1}, r"most_scale and chunk cannot be negative .*; got 100\.0 and -1"),
        ({"texts": 0}, r"an image gets at least 1 text in a step; got texts=0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ContrastSettings(**given)


# ------------------------------------------------------------------ which texts are true of what


def coded(vocabulary: Vocabulary, texts: list[list[str]]) -> list[NDArray[np.int64]]:
    return [np.array([vocabulary.code(sentence) for sentence in text], np.int64) for text in texts]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("No acute process.", "NO  ACUTE\n process"),
        ("1. Mild edema", "mild edema."),
        ("(2) Mild edema;", "Mild, edema"),
        ("1. Edema. 2. Mass.\n3) Nodule.", "edema mass nodule"),
    ],
)
def test_case_space_punctuation_and_list_numbers_do_not_count(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3.5 cm nodule", "35 cm nodule"),
        ("no edema", "edema"),
        ("left edema", "right edema"),
        ("Nodule of 12.", "Nodule of 13."),
        ("Nodule of 12. 3 masses.", "Nodule of 13. 3 masses."),
    ],
)
def test_numbers_negations_and_sides_do(one: str, other: str) -> None:
    vocabulary = Vocabulary()
    assert not same(coded(vocabulary, [[one], [other]]), vocabulary, 0.85)[0, 1]


def test_a_sentence_without_a_word_is_none() -> None:
    assert Vocabulary().code(" -- ___ .") is None


def test_which_text_a_report_says_worked_by_hand() -> None:
    """The first report says both texts, the second one; a report always says its own."""
    vocabulary = Vocabulary()
    reports = coded(vocabulary, [["Edema.", "No mass."], ["no MASS", "Large heart."]])
    texts = coded(vocabulary, [["No mass."], ["Edema."]])
    assert said(reports, texts, vocabulary).tolist() == [[True, True], [True, False]]
    assert same(texts, vocabulary).tolist() == [[True, False], [False, True]]
    both = coded(vocabulary, [["Edema.", "No mass."], ["No mass", "edema", "No mass"], ["Edema"]])
    assert same(both, vocabulary).tolist() == [[True, True, False]] * 2 + [[False, False, True]]


def test_one_sentence_said_in_two_ways_does_not_stand_for_two() -> None:
    vocabulary = Vocabulary()
    report = coded(vocabulary, [["The heart is normal in size.", "Heart is normal in size."]])
    text = coded(vocabulary, [["Heart is normal in size.", "Edema."]])
    assert not said(report, text, vocabulary, 0.7).any()


def test_nearly_the_same_sentence_counts_from_the_share_asked_for() -> None:
    """Six words and five pairs against five and four: 9 of 11 in common."""
    vocabulary = Vocabulary()
    texts = coded(vocabulary, [["The heart is normal in size."], ["Heart is normal in size."]])
    assert same(texts, vocabulary, 9 / 11).all()
    assert not same(texts, vocabulary, 0.82)[0, 1]
    texts = coded(vocabulary, [["a b c d"], ["a b c d e f g h i j k l m"]])  # 7 of 25
    assert same(texts, vocabulary, 0.28).all()  # as floats 0.28 × 25 is a little above 7


@given(data=st.data(), least=st.sampled_from([0.3, 0.6, 1.0]))
@settings(max_examples=40)
def test_what_is_said_is_what_two_loops_find(data: st.DataObject, least: float) -> None:
    pool = [*SENTENCES, "Small right effusion.", "Small left pleural effusion.", "edema"]
    draw = st.lists(st.lists(st.sampled_from(pool), min_size=1, max_size=4), min_size=1, max_size=5)
    reports, texts = data.draw(draw), data.draw(draw)
    vocabulary = Vocabulary()
    ours = said(coded(vocabulary, reports), coded(vocabulary, texts), vocabulary, least)
    slow = [[said_slowly(report, text, least) for text in texts] for report in reports]
    assert ours.tolist() == slow


# ------------------------------------------------------------------ what is drawn

REPORT = ("Clear lungs. Large heart. No effusion.", "1. Cardiomegaly. 2. No edema.")


def drawn(settings_: TextSettings, n: int = 200, report: tuple[Any, Any] = REPORT) -> list[str]:
    texts = Texts([report[0]], [report[1]], settings_)
    rng = np.random.default_rng(0)
    return [p.text for p in texts.draw(np.zeros(n, np.int64), rng)]


def test_a_section_is_drawn_as_it_is_written() -> None:
    assert set(drawn(TextSettings(findings=1))) == {REPORT[0]}
    assert set(drawn(TextSettings(impression=1))) == {REPORT[1]}
    assert set(drawn(TextSettings(whole=1))) == {" ".join(REPORT)}


def in_a_row(text: str, sentences: list[str]) -> bool:
    return text in " ".join(sentences)


def test_sentences_are_drawn_in_their_order_one_to_as_many_as_asked() -> None:
    parts = ["Clear lungs.", "Large heart.", "No effusion.", "Cardiomegaly.", "No edema."]
    row = drawn(TextSettings(consecutive=1, most=2))
    assert {text for text in row if in_a_row(text, parts)} == set(row)
    assert set(row) == {*parts, *(f"{a} {b}" for a, b in pairwise(parts))}
    loose = set(drawn(TextSettings(scattered=1, most=2), 400))
    pairs = {f"{a} {b}" for at, a in enumerate(parts) for b in parts[at + 1 :]}
    assert loose == {*parts, *pairs}


def test_parts_are_drawn_as_often_as_their_weights_say() -> None:
    texts = drawn(TextSettings(findings=1, impression=3), 2000)
    assert texts.count(REPORT[1]) / 2000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("missing", [None, "", "  ", "___."])
def test_what_a_report_lacks_is_not_drawn(missing: str | None) -> None:
    both = TextSettings(findings=1, impression=1)
    assert set(drawn(both, report=(REPORT[0], missing))) == {REPORT[0]}
    assert set(drawn(TextSettings(whole=1), report=(missing, REPORT[1]))) == {REPORT[1]}
    texts = Texts([missing, REPORT[0]], [missing, missing], both)
    assert texts.usable.tolist() == [False, True]
    only = Texts([REPORT[0]], [missing], TextSettings(impression=1))
    assert only.usable.tolist() == [False]


def test_the_sentences_of_a_passage_are_numbered_with_its_words() -> None:
    texts = Texts([REPORT[0], "No EDEMA"], [REPORT[1], None], TextSettings(whole=1))
    code = texts.vocabulary.code
    assert texts.whole[0].codes.tolist() == [code(part) for part in texts.whole[0].parts]
    assert texts.whole[1].codes.tolist() == [code("no edema")]
    assert texts.findings[1].take([0]).text == "No EDEMA"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "impression, findings, whole, consecutive, scattered are weights, none negative"),
        ({"whole": -1.0, "findings": 2.0}, r"not all 0; got \(0\.0, 2\.0, -1\.0, 0\.0, 0\.0\)"),
        ({"whole": 1.0, "most": 0}, "most is a number of sentences, at least 1; got 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TextSettings(**given)
