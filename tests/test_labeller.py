"""Labels from sentences: worked by hand, families, laws, and every finding of the vocabulary."""

import doctest
import random
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.findings import FINDINGS, Finding
from hilum.reports import label_report, phrases, sections
from hilum.reports import sentences as sentences_of
from hilum.reports.claims import OTHER
from hilum.reports.headings import HEADINGS
from hilum.reports.hierarchy import FAMILIES, ancestors, complete
from hilum.reports.phrases import Lexicon, tokens
from hilum.reports.vocabulary import anatomy, findings, lexicon
from report_sentences import NAMES, SENTENCES, WIDER

MARKS = {"+": 1, "-": 0, "?": -1}
WRITTEN = [(group, *row) for group, rows in SENTENCES.items() for row in rows]


def expected(codes: str) -> dict[str, int]:
    return {NAMES[code[:-1]]: MARKS[code[-1]] for code in codes.split()}


@pytest.mark.parametrize(("group", "sentence", "codes"), WRITTEN, ids=[row[1] for row in WRITTEN])
def test_a_sentence_is_read_as_a_radiologist_reads_it(
    group: str, sentence: str, codes: str
) -> None:
    want = expected(codes)
    wider = {NAMES[code] for code in WIDER} - set(want)
    assert {k: v for k, v in label_report(sentence).items() if k not in wider} == want


@pytest.mark.parametrize("finding", FINDINGS.values(), ids=list(FINDINGS))
def test_every_finding_is_known_by_the_sentences_of_the_vocabulary(finding: Finding) -> None:
    assert label_report(finding.present)[finding.name] == 1
    assert label_report(finding.absent)[finding.name] == 0


@pytest.mark.parametrize("finding", sorted(set(FINDINGS) - {"No Finding"}))
def test_every_finding_has_phrases_or_follows_from_others(finding: str) -> None:
    judged = {
        name
        for part in anatomy.PARTS
        for state in anatomy.STATES
        for name in anatomy.judge(part, state).present
    }
    assert finding in {*findings.MENTIONS, *judged, *FAMILIES}


@pytest.mark.parametrize("finding", [*findings.MENTIONS])
def test_each_phrase_of_a_finding_labels_it(finding: str) -> None:
    for phrase in findings.MENTIONS[finding]:
        wording = shortest(phrase)
        assert label_report(wording, [finding]) == {finding: 1}, wording
        assert label_report(f"No {wording}.", [finding]) == {finding: 0}, wording


def shortest(phrase: str) -> str:
    """Write the first wording of a phrase, without what may be left out."""
    words = [word for word in phrase.split() if not word.endswith("?")]
    return " ".join(next(phrases._spellings(word)) for word in words)


def test_a_report_is_the_sum_of_its_sentences_and_the_firmest_word_holds() -> None:
    text = "No effusion. Possible effusion. Edema. No edema. Possible nodule. No pneumothorax."
    assert label_report(text, ["effusion", "edema", "nodule", "pneumothorax"]) == {
        "Pleural Effusion": -1, "Edema": 1, "Nodule": -1, "Pneumothorax": 0,
    }  # fmt: skip


def test_only_what_is_seen_is_read_of_a_whole_report() -> None:
    text = (
        "INDICATION: Pneumonia. COMPARISON: Edema in ___. FINDINGS: No effusion.\n"
        "IMPRESSION: Cardiomegaly. RECOMMENDATION: CT for a nodule."
    )
    assert label_report(text) == {
        "Cardiomegaly": 1, "Enlarged Cardiomediastinum": 1, "No Finding": 0, "Pleural Effusion": 0,
    }  # fmt: skip
    assert label_report("INDICATION: Pneumonia.") == {}


def test_findings_may_be_chosen_in_any_spelling_and_order() -> None:
    text = "Small effusion. No pneumothorax."
    assert list(label_report(text, ["Pneumothorax", "effusion", "Effusion", "Hernia"])) == [
        "Pneumothorax", "Pleural Effusion",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"'Gout' is not a finding that reports are labelled for"):
        label_report(text, ["Edema", "Gout"])
    with pytest.raises(UsageError, match=r"'Melanoma' is not a finding that reports are labelled"):
        label_report(text, ["Melanoma"])  # has a name, and no rule


# ------------------------------------------------------------------------------ families


@pytest.mark.parametrize(
    ("said", "gives"),
    [
        ({"Nodule": 1}, {"Nodule or Mass": 1, "Lung Lesion": 1, "Lung Opacity": 1}),
        ({"Nodule": -1}, {"Nodule or Mass": -1, "Lung Lesion": -1, "Lung Opacity": -1}),
        ({"Nodule": 0, "Mass": 0}, {"Nodule or Mass": 0, "Lung Lesion": 0, "Lung Opacity": None}),
        ({"Mass": 0}, {"Nodule or Mass": None, "Lung Lesion": None}),
        ({"Nodule": 0, "Mass": -1}, {"Nodule or Mass": -1}),
        ({"Lung Opacity": 0, "Edema": 1}, {"Lung Opacity": 1}),
        ({"Lung Opacity": 1, "Edema": -1}, {"Lung Opacity": 1}),
        ({"Edema": 0}, {"Lung Opacity": None}),
        ({"COVID-19": 1}, {"Pneumonia": 1, "Lung Opacity": 1, "Consolidation": None}),
        ({"Cardiomegaly": 1}, {"Enlarged Cardiomediastinum": 1}),
        ({"Cardiomegaly": 0}, {"Enlarged Cardiomediastinum": None}),
        ({"Pleural Thickening": 1}, {"Pleural Other": 1, "Lung Opacity": None}),
        ({"Support Devices": 1}, {"No Finding": None}),
        ({"Support Devices": 1, "Edema": 0}, {"No Finding": 1}),
        ({OTHER: 1, "Edema": 0}, {"No Finding": 0, OTHER: None}),
        ({OTHER: -1, "Edema": 0}, {"No Finding": -1}),
        ({}, {"No Finding": None}),
    ],
)
def test_wider_findings_follow(said: dict[str, int], gives: dict[str, int | None]) -> None:
    found = complete(said)
    assert {name: found.get(name) for name in gives} == gives


def test_families_are_of_the_vocabulary_and_have_no_circle() -> None:
    names = {*FAMILIES, *(name for narrow in FAMILIES.values() for name in narrow)}
    assert names <= set(FINDINGS)
    assert all(name not in ancestors(name) for name in names)
    assert ancestors("Mass") == {"Nodule or Mass", "Lung Lesion", "Lung Opacity"}


labels = st.dictionaries(st.sampled_from([*FINDINGS, OTHER]), st.sampled_from([1, 0, -1]))


@given(labels)
def test_a_wider_finding_is_never_weaker_than_one_that_belongs_to_it(said: dict[str, int]) -> None:
    found = complete(said)
    assert set(found) <= set(FINDINGS)
    for name, label in found.items():
        for wide in ancestors(name):
            assert label != 1 or found[wide] == 1
            assert label != -1 or found[wide] != 0
    assert complete(found) == found or OTHER in said


# ------------------------------------------------------------------------------ phrases


def test_a_phrase_is_found_in_each_of_its_wordings_and_the_longest_counts() -> None:
    tree = Lexicon([("blunting of the? cp|costophrenic angle(s)", 1), ("angle(s)", 2), ("?", 3)])
    for text in ("blunting of cp angle", "blunting of the costophrenic angles"):
        (hit,) = tree.find(tokens(text))
        assert (hit.meaning, hit.start, hit.end) == (1, 0, len(text.split()))
    assert [hit.meaning for hit in tree.find(tokens("blunting of angles?"))] == [2, 3]


@pytest.mark.parametrize("entries", [[("a b?", 1), ("a", 2)], [("a? b?", 1)]])
def test_a_phrase_that_means_two_things_or_nothing_is_refused(
    entries: list[tuple[str, int]],
) -> None:
    with pytest.raises(ValueError, match="is empty or means two things"):
        Lexicon(entries)


def test_words_are_compared_without_case_hyphens_and_apostrophes() -> None:
    assert tokens("Air-space (L) 3.5 cm; patient's X/Y & ___?") == (
        "air", "space", "(", "l", ")", "3.5", "cm", ";", "patients", "x", "/", "y", "and", "___",
        "?",
    )  # fmt: skip


@pytest.mark.parametrize("module", ["chexzero", "labeller", "phrases", "sections", "sentences"])
def test_the_examples_in_the_documentation_hold(module: str) -> None:
    results = doctest.testmod(import_module(f"hilum.reports.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


# ------------------------------------------------------------------------------ laws


def vocabulary() -> list[str]:
    """Every word of every phrase."""
    found, nodes = set(), [lexicon()._root]
    while nodes:
        node = nodes.pop()
        found |= set(node.next)
        nodes += node.next.values()
    return sorted(found)


WORDS = [*vocabulary(), "left", "apex", "xxxx", "___", "3.5", "cm", "."]
HEADING_WORDS = {spelling for spellings in HEADINGS.values() for spelling in spellings}
speech = (  # a word such as "comparison" alone on its line would be a heading
    st.lists(st.sampled_from(WORDS), max_size=25)
    .map(" ".join)
    .filter(lambda text: text not in HEADING_WORDS)
)


@given(st.one_of(st.text(), speech))
def test_any_text_gives_labels_of_the_vocabulary(text: str) -> None:
    found = label_report(text)
    assert set(found) <= set(FINDINGS)
    assert set(found.values()) <= {1, 0, -1}


@given(speech)
def test_case_and_spaces_do_not_matter(text: str) -> None:
    found = label_report(text)
    assert label_report(text.upper()) == found
    assert label_report(text.replace(" ", "  \t")) == found
    if not set(text.split()) & HEADING_WORDS:  # a heading may stand alone on its line
        assert label_report(text.replace(" ", "\n")) == found


@given(speech, speech)
def test_a_second_paragraph_takes_nothing_back(one: str, other: str) -> None:
    """What is there stays there, whatever else is said, and both orders say the same."""
    together = label_report(f"{one}\n\n{other}")
    assert together == label_report(f"{other}\n\n{one}")
    for name, label in label_report(one).items():
        if name != "No Finding":
            assert together[name] == label or (label != 1 and together[name] != 0)


@given(speech)
def test_a_text_said_twice_is_a_text_said_once(text: str) -> None:
    assert label_report(f"{text}\n\n{text}") == label_report(text)


@given(st.permutations(["pneumothorax", "pleural effusion", "hernia", "consolidation", "fracture"]))
def test_a_denied_list_is_denied_in_any_order(items: list[str]) -> None:
    names = ["Pneumothorax", "Pleural Effusion", "Hernia", "Consolidation", "Fracture"]
    listed = f"{', '.join(items[:-1])}, or {items[-1]}"
    denied = dict.fromkeys(names, 0)
    for text in (f"No {listed}.", f"Negative for {listed}.", f"{listed} is not seen."):
        assert label_report(text, names) == denied


@pytest.mark.parametrize(
    "words",
    [
        "no effusion or ", "effusion, or ", "heart, ", "heart normal but enlarged, ",
        "effusion not seen ", "may represent effusion, ", "effusion is resolved and ", "? ",
        "blunting of the ", "no if may ", "normal ",
    ],
)  # fmt: skip
def test_a_very_long_sentence_comes_back(words: str) -> None:
    """A search that looked back from every word would need long for these."""
    label_report(words * 4_000)


def test_labels_do_not_depend_on_what_was_read_before() -> None:
    texts = [row[1] for row in WRITTEN]
    before = [label_report(text) for text in texts]
    order = random.Random(0).sample(range(len(texts)), len(texts))
    assert [label_report(texts[n]) for n in order] == [before[n] for n in order]


def test_a_word_that_no_phrase_knows_changes_nothing_at_the_end() -> None:
    for _, sentence, _ in WRITTEN[:40]:
        assert label_report(f"{sentence} Thank you.") == label_report(sentence)


def test_sentences_keep_to_themselves() -> None:
    assert label_report("No.\n\nEffusion.") == label_report("Effusion.")
    assert sentences_of("No. Effusion.") == ("No.", "Effusion.")
    assert sections("No effusion.")[""] == "No effusion."
