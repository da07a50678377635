"""What is asked in words, and how the answer is read off: sentences, their vectors, scores."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.findings import FINDINGS
from hilum.prompts import (
    CHEXZERO,
    TEMPLATES,
    PromptPair,
    class_scores,
    pair_scores,
    prompt_pairs,
    prompt_vectors,
)

Vectors = NDArray[np.float32]


def unit(*rows: Sequence[float]) -> Vectors:
    array = np.array(rows, dtype=np.float64)
    out: Vectors = (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32)
    return out


def drawn(seed: int, *shape: int) -> Vectors:
    return unit(*np.random.default_rng(seed).normal(size=shape)).reshape(shape)


# --------------------------------------------------------------------------- sentences


def test_a_finding_fills_every_template_with_its_article_where_it_is_there() -> None:
    effusion, nodule = prompt_pairs(["effusion", "Nodule"])
    assert effusion.finding == "Pleural Effusion"
    assert effusion.present == (
        "pleural effusion", "there is pleural effusion", "there is evidence of pleural effusion",
    )  # fmt: skip
    assert nodule.present == (
        "a nodule", "there is a nodule", "there is evidence of a nodule",
    )  # fmt: skip
    assert nodule.absent == ("no nodule", "there is no nodule", "there is no evidence of nodule")
    assert len(effusion.absent) == len(TEMPLATES)
    (plain,) = prompt_pairs(["Nodule"], templates=CHEXZERO)
    assert (plain.present, plain.absent) == (("nodule",), ("no nodule",))


@pytest.mark.parametrize("name", FINDINGS)
def test_no_finding_is_denied_twice(name: str) -> None:
    (pair,) = prompt_pairs([name])
    assert not any("no no " in text for text in (*pair.present, *pair.absent))
    assert set(pair.present).isdisjoint(pair.absent)


def test_no_finding_has_sentences_of_its_own_and_no_template() -> None:
    (pair,) = prompt_pairs(["No Finding"])
    assert pair.present == ("no acute cardiopulmonary abnormality",)
    assert pair.absent == ("acute abnormality",)


def test_chexzero_fills_any_name_as_it_is_written() -> None:
    pairs = prompt_pairs(["No Finding", "Effusion", "scoliosis"], mode="chexzero")
    assert pairs == (
        PromptPair("No Finding", ("No Finding",), ("no No Finding",)),
        PromptPair("Effusion", ("Effusion",), ("no Effusion",)),
        PromptPair("scoliosis", ("scoliosis",), ("no scoliosis",)),
    )


def test_pairs_of_ones_own_are_used_as_they_are_and_names_may_be_new() -> None:
    own = {
        "Edema": PromptPair("Edema", ("wet lungs",), ("dry lungs",)),
        "Scoliosis": PromptPair("Scoliosis", ("curved spine",), ("straight spine",)),
    }
    pairs = prompt_pairs(["Scoliosis", "oedema", "Mass"], chosen=own, templates=CHEXZERO)
    assert [pair.finding for pair in pairs] == ["Scoliosis", "Edema", "Mass"]
    assert pairs[:2] == (own["Scoliosis"], own["Edema"])
    assert pairs[2].absent == ("no mass",)


def test_a_name_with_braces_is_filled_once() -> None:
    for name in ("a {} b", "a {a} b"):
        (pair,) = prompt_pairs([name], mode="chexzero")
        assert (pair.present, pair.absent) == ((name,), (f"no {name}",))


def test_sentences_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no sentences for 'Scoliosis', .* mode chexzero"):
        prompt_pairs(["Edema", "Scoliosis"])
    with pytest.raises(UsageError, match=r"'Pleural Effusion' is asked for more than once"):
        prompt_pairs(["Effusion", "Pleural Effusion"])
    with pytest.raises(UsageError, match=r"'clip' is not a mode .* hilum, chexzero"):
        prompt_pairs(["Edema"], mode="clip")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"say nothing for absent"):
        PromptPair("Edema", ("edema",), ())
    with pytest.raises(UsageError, match=r"sentence 2 of 2 for 'Edema' present is empty"):
        PromptPair("Edema", ("edema", " "), ("no edema",))


@pytest.mark.parametrize(
    "template", [("{}", "no"), ("{} {}", "no {}"), ("{a} {}", "no {}"), ("{}",)]
)
def test_a_template_names_the_finding_once_on_each_side(template: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"is not a template: it has two sentences"):
        prompt_pairs(["Edema"], templates=[template])  # type: ignore[list-item]
    with pytest.raises(UsageError, match=r"no template was given"):
        prompt_pairs(["Edema"], templates=[])


# --------------------------------------------------------------------------- their vectors


def test_sentences_of_a_side_are_averaged_and_brought_to_length_1() -> None:
    words = {"a": (3.0, 4.0), "b": (1.0, 0.0), "no": (0.0, 1.0)}
    seen: list[Sequence[str]] = []

    def encode(texts: Sequence[str]) -> Vectors:
        seen.append(tuple(texts))
        return unit(*(words[text] for text in texts))

    pairs = (PromptPair("X", ("a", "b"), ("no",)), PromptPair("Y", ("b",), ("no", "no")))
    vectors = prompt_vectors(pairs, encode)
    assert seen == [("a", "b", "no")]  # each once, in one call
    # (0.6, 0.8) and (1, 0): mean (0.8, 0.4), of length sqrt(0.8)
    np.testing.assert_allclose(vectors[0, 0], [2 / math.sqrt(5), 1 / math.sqrt(5)], rtol=1e-6)
    np.testing.assert_array_equal(vectors[:, 1], [[0, 1], [0, 1]])
    np.testing.assert_array_equal(vectors[1, 0], [1, 0])
    assert vectors.dtype == np.float32


def test_sentences_that_cancel_out_have_no_vector() -> None:
    pair = PromptPair("X", ("here", "there"), ("no",))

    def opposite(texts: Sequence[str]) -> Vectors:
        return unit((1, 0), (-1, 0), (0, 1))[: len(texts)]

    with pytest.raises(ValueError, match="'here' and the sentences it is averaged with cancel"):
        prompt_vectors([pair], opposite)
    with pytest.raises(ValueError, match="no pair to encode"):
        prompt_vectors([], opposite)


# --------------------------------------------------------------------------- scores


def test_a_score_is_the_softmax_over_the_two_cosines() -> None:
    images = unit((1, 0), (0, 1), (1, 1))
    prompts = unit((0.6, 0.8), (1, 0)).reshape(1, 2, 2)
    gaps = np.array([0.6 - 1.0, 0.8, (1.4 - 1.0) / math.sqrt(2)])
    expected = np.exp([0.6, 0.8, 1.4 / math.sqrt(2)])
    expected /= expected + np.exp([1.0, 0.0, 1 / math.sqrt(2)])
    np.testing.assert_allclose(pair_scores(images, prompts)[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(
        pair_scores(images, prompts, scale=10)[:, 0], 1 / (1 + np.exp(-10 * gaps)), rtol=1e-5
    )


def test_without_a_scale_scores_lie_between_0_1192_and_0_8808() -> None:
    prompts = unit((1, 0), (-1, 0)).reshape(1, 2, 2)
    scores = pair_scores(unit((1, 0), (-1, 0)), prompts)[:, 0]
    assert scores.round(4).tolist() == [0.8808, 0.1192]


def test_swapping_the_sides_turns_a_score_over() -> None:
    """The published No Finding: 0.07, and 0.93 when its sides are swapped."""
    images, prompts = drawn(0, 9, 5), drawn(1, 3, 2, 5)
    there, swapped = pair_scores(images, prompts), pair_scores(images, prompts[:, ::-1])
    np.testing.assert_allclose(there + swapped, 1)


@settings(max_examples=20)
@given(seed=st.integers(0, 99), scale=st.floats(0.1, 100), n=st.integers(0, 5))
def test_a_scale_never_changes_the_order_of_images(seed: int, scale: float, n: int) -> None:
    images, prompts = drawn(seed, n, 4), drawn(seed + 1, 2, 2, 4)
    plain, scaled = pair_scores(images, prompts), pair_scores(images, prompts, scale=scale)
    assert scaled.shape == (n, 2)
    for column in range(2):
        assert (np.diff(scaled[np.argsort(plain[:, column]), column]) >= 0).all()


def test_many_images_are_scored_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    images, prompts = drawn(2, 25, 6), drawn(3, 4, 2, 6)
    whole = pair_scores(images, prompts)
    monkeypatch.setattr("hilum.prompts.scores._AT_ONCE", 7)
    np.testing.assert_allclose(pair_scores(images, prompts), whole, rtol=1e-12)


def test_classes_are_scored_by_how_far_they_stand_out() -> None:
    image, classes = unit((1, 0)), unit((1, 0), (0, 1), (-1, 0))
    # cosines 1, 0, -1: mean 0, standard deviation sqrt(2/3)
    z = math.sqrt(1.5)
    expected = [1 / (1 + math.exp(-z)), 0.5, 1 / (1 + math.exp(z))]
    np.testing.assert_allclose(class_scores(image, classes)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(
        class_scores(image, classes[:2])[0], [0.7310586, 0.2689414], rtol=1e-6
    )


def test_equal_cosines_have_no_class() -> None:
    image, one = drawn(0, 40, 7), drawn(1, 1, 7)
    classes = np.repeat(one, 7, axis=0)
    spread = (image.astype(np.float64) @ classes.T).std(axis=1)
    assert (spread > 0).any()  # by rounding
    assert np.isnan(class_scores(image, classes)).all()


def test_arrays_that_do_not_fit_are_refused() -> None:
    images = unit((1, 0))
    with pytest.raises(ValueError, match=r"prompts are \(k, 2, dim\); got \(1, 3\)"):
        pair_scores(images, drawn(0, 1, 3))
    with pytest.raises(ValueError, match=r"\(1, 2\) and texts of length 3 are not vectors of one"):
        pair_scores(images, drawn(0, 1, 2, 3))
    with pytest.raises(ValueError, match="a scale is above 0 and finite; got 0"):
        pair_scores(images, drawn(0, 1, 2, 2), scale=0)
    with pytest.raises(ValueError, match=r"two at least; got \(1, 2\)"):
        class_scores(images, images)
