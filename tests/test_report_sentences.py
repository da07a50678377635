"""Where a dictated text is divided into sentences, and where it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.reports import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Clear lungs. No effusion.", ["Clear lungs.", "No effusion."]),
        ("A mass of 3.5 cm. No effusion.", ["A mass of 3.5 cm.", "No effusion."]),
        ("1. Small effusion. 2. Atelectasis.", ["Small effusion.", "Atelectasis."]),
        ("1. Small effusion 2. Atelectasis 3. Edema", ["Small effusion", "Atelectasis", "Edema"]),
        ("1) Small effusion\n2) Atelectasis", ["Small effusion", "Atelectasis"]),
        ("(1) Effusion (2) Edema", ["Effusion", "Edema"]),
        ("1.Effusion. 2.Edema.", ["Effusion.", "Edema."]),
        ("- Effusion\n- Edema", ["Effusion", "Edema"]),
        ("Healed fracture of rib 5. No effusion.", ["Healed fracture of rib 5.", "No effusion."]),
        ("Seen by Dr. Smith. Normal.", ["Seen by Dr. Smith.", "Normal."]),
        ("Called to J. Doe. Normal.", ["Called to J. Doe.", "Normal."]),
        ("Atelectasis vs. pneumonia.", ["Atelectasis vs. pneumonia."]),
        ("Called at 3 p.m. by phone.", ["Called at 3 p.m. by phone."]),
        ("E.g. effusion, i.e. fluid.", ["E.g. effusion, i.e. fluid."]),
        ("Left XXXX. XXXX are clear.", ["Left XXXX.", "XXXX are clear."]),
        ("Compared to ___. Clear.", ["Compared to ___.", "Clear."]),
        ("Dr. ___ was told.", ["Dr. ___ was told."]),
        ("Normal heart.No effusion.", ["Normal heart.", "No effusion."]),
        ("Effusion.2. Edema.", ["Effusion.", "Edema."]),
        ("Normal.. Clear", ["Normal..", "Clear"]),
        ("No effusion\nor edema.", ["No effusion or edema."]),
        ("Impression\n\nNormal", ["Impression", "Normal"]),
        ("Pneumonia? Effusion!", ["Pneumonia?", "Effusion!"]),
        ("? pneumonia", ["? pneumonia"]),
        ('He said "normal." Then left.', ['He said "normal."', "Then left."]),
        (" \n\n ", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


words = st.sampled_from(
    ["No", "effusion", "effusion.", "3.5", "cm.", "Dr.", "1.", "2.", "XXXX.", "___", "?", "vs.",
     "\n", "\n\n", "-", "clear.No", "a.m.", "5)", "ok!"]
)  # fmt: skip
texts = st.one_of(st.text(), st.lists(words).map(" ".join))


@given(texts)
def test_the_words_stay_in_order_and_only_list_marks_are_dropped(text: str) -> None:
    kept = "".join("".join(sentences(text)).split())
    rest = iter("".join(text.split()))
    assert all(letter in rest for letter in kept)  # each in turn, further on


@given(texts)
def test_a_sentence_has_single_spaces_and_is_not_empty(text: str) -> None:
    for sentence in sentences(text):
        assert sentence
        assert sentence == " ".join(sentence.split())


@given(texts, texts)
def test_a_blank_line_divides(one: str, other: str) -> None:
    assert sentences(f"{one}\n\n{other}") == (*sentences(one), *sentences(other))


@given(st.lists(words.filter(lambda word: word.strip() and word != "-")).map(" ".join))
def test_the_width_of_spaces_does_not_matter(text: str) -> None:
    assert sentences(text.replace(" ", " \t ")) == sentences(text)
