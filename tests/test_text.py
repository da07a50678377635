import numpy as np
import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.encoders.text import END, START, VOCABULARY, lengths, tokenise
from hilum.errors import UsageError

# Computed from OpenAI's vocabulary: the tokens between start and end.
GOLDEN = {
    "atelectasis": [992, 944, 6538, 533],
    "cardiomegaly": [6211, 3693, 2001, 344],
    "consolidation": [41111],
    "edema": [29632, 1226],
    "enlarged cardiomediastinum": [38136, 3480, 6211, 3693, 570, 1761, 512, 1008],
    "fracture": [28995],
    "lung lesion": [16271, 534, 1015],
    "lung opacity": [16271, 676, 7511],
    "no finding": [871, 6002],
    "pleural effusion": [926, 33948, 1490, 9364],
    "pleural other": [926, 33948, 1010],
    "pneumonia": [42906],
    "pneumothorax": [28714, 617, 4130, 9203],
    "support devices": [1425, 9067],
}
SENTENCE = "1. No acute cardiopulmonary process.  2. Mild edema; 3.5-cm nodule &amp; effusion."
SENTENCE_IDS = [
    272, 269, 871, 19734, 6211, 39858, 749, 856, 4078, 269, 273, 269, 16085, 29632, 1226, 282, 274,
    269, 276, 268, 3741, 578, 691, 579, 261, 1490, 9364, 269,
]  # fmt: skip


def between(text: str, context: int = 77) -> list[int]:
    """Return the tokens between start and end, and check all that is around them."""
    row: list[int] = tokenise([text], context)[0].tolist()
    last = row.index(END)
    assert row[0] == START
    assert set(row[last + 1 :]) <= {0}
    return row[1:last]


# ------------------------------------------------------------------ golden


@pytest.mark.parametrize("name", GOLDEN)
def test_a_finding_has_the_tokens_that_openai_gives_it(name: str) -> None:
    assert between(name) == GOLDEN[name]
    assert between(name.title()) == GOLDEN[name]
    assert between(f"no {name}") == [871, *GOLDEN[name]]


def test_a_sentence_of_a_report_has_the_tokens_that_openai_gives_it() -> None:
    assert between(SENTENCE) == SENTENCE_IDS


@pytest.mark.parametrize("empty", ["", " ", "\n\t "])
def test_an_empty_text_is_start_and_end(empty: str) -> None:
    assert tokenise([empty], 77)[0].tolist() == [START, END] + [0] * 75


@pytest.mark.parametrize(
    ("damaged", "plain"),
    [
        ("&amp;amp; effusion &lt; 1 cm", "& effusion < 1 cm"),
        ("d\u00c3\u00a9but", "d\u00e9but"),  # UTF-8 that was read as Latin-1
        ("PLEURAL\n\n  effusion ", "pleural effusion"),
        ("the patient\u2019s heart", "the patient's heart"),
    ],
)
def test_a_text_is_repaired_before_it_is_split(damaged: str, plain: str) -> None:
    assert between(damaged) == between(plain)


# ------------------------------------------------------------------ long texts


def test_a_cut_text_keeps_its_beginning_and_ends_with_the_end_token() -> None:
    cut = tokenise([SENTENCE], 10, on_long="cut")[0].tolist()
    assert cut == [START, *SENTENCE_IDS[:8], END]
    fits = tokenise(["pneumonia"], 3, on_long="cut")[0].tolist()
    assert fits == [START, 42906, END]
    assert tokenise(["pneumonia"], 2, on_long="cut")[0].tolist() == [START, END]


def test_a_text_that_is_too_long_is_refused_by_place_and_length_and_never_by_its_words() -> None:
    with pytest.raises(
        UsageError,
        match=r"text 2 of 3 has 30 tokens, start and end included; this encoder reads 29: shorten "
        r'it, or use on_long="cut"',
    ) as caught:
        tokenise(["edema", SENTENCE, "edema"], 29)
    assert "nodule" not in str(caught.value)
    assert tokenise([SENTENCE], 30)[0, -1] == END


def test_what_is_no_list_of_texts_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a sequence of texts, got one text; put it in"):
        tokenise("edema", 77)
    with pytest.raises(UsageError, match="at least the start and end token; got 1"):
        tokenise(["edema"], 1)
    with pytest.raises(UsageError, match="'drop' is not an answer to a long text; choose error or"):
        tokenise(["edema"], 77, on_long="drop")  # type: ignore[arg-type]


# ------------------------------------------------------------------ laws


@settings(max_examples=60)
@given(texts=st.lists(st.text(max_size=40), max_size=4), context=st.integers(2, 24))
def test_tokens_are_open_clips_own(texts: list[str], context: int) -> None:
    ours = tokenise(texts, context, on_long="cut")
    assert ours.dtype == np.int64
    assert ours.shape == (len(texts), context)
    if texts:
        theirs = open_clip.tokenize(texts, context_length=context).numpy()
        np.testing.assert_array_equal(ours, theirs)


def test_lengths_count_up_to_the_end_token() -> None:
    tokens = tokenise(["", "!", "pleural effusion", "!!!"], 9)
    assert lengths(tokens).tolist() == [2, 3, 6, 3]
    assert tokens.max() < VOCABULARY
