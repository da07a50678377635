"""Sections of real and of broken reports, the passage that sums one up, CheXzero's own rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.reports import (
    Passage,
    Section,
    chexzero_impression,
    impression,
    narrative,
    sections,
)
from hilum.reports.headings import HEADINGS

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // ?pneumonia

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  ___

 FINDINGS:

 There is no focal consolidation.  As in the prior study: small effusion.

 IMPRESSION:

 Small effusion.
 NOTIFICATION:  Dr. ___ was called at 3:00 p.m.
"""


def test_a_report_of_mimic_cxr_is_divided_at_its_headings() -> None:
    found = sections(MIMIC)
    assert list(found) == [
        "FINAL REPORT", "EXAMINATION", "INDICATION", "TECHNIQUE", "COMPARISON", "FINDINGS",
        "IMPRESSION", "NOTIFICATION",
    ]  # fmt: skip
    assert found["IMPRESSION"] == "Small effusion."
    assert found["NOTIFICATION"] == "Dr. ___ was called at 3:00 p.m."
    assert len(found) == 8
    with pytest.raises(KeyError, match="ADDENDUM"):
        found["ADDENDUM"]


@pytest.mark.parametrize(
    ("text", "name", "body"),
    [
        ("IMPRESSION:No acute process.", "IMPRESSION", "No acute process."),
        ("impression : Normal.", "IMPRESSION", "Normal."),
        ("Findings\nClear lungs.", "FINDINGS", "Clear lungs."),
        ("CONCLUSION: Edema.", "IMPRESSION", "Edema."),
        ("RECOMMENDATION(S): CT.", "RECOMMENDATION", "CT."),
        ("Reason for  exam: cough", "INDICATION", "cough"),
        ("FINDINGS/IMPRESSION: Clear.", "IMPRESSION", "Clear."),
        ("FINDINGS: a RECOMMENDATION: CT.", "RECOMMENDATION", "CT."),
        ("Clear. Impression: Normal.", "IMPRESSION", "Normal."),
    ],
)
def test_a_heading_may_be_written_in_many_ways(text: str, name: str, body: str) -> None:
    assert sections(text)[name] == body


@pytest.mark.parametrize(
    "text",
    [
        "As in the prior study: clear lungs.",  # in a sentence, in small letters
        "The impression is normal.",
        "Re-impression: none.",
        "",
        "  \n ",
    ],
)
def test_words_of_headings_within_a_sentence_are_no_headings(text: str) -> None:
    assert list(sections(text)) == [""]


def test_several_impressions_are_all_kept_and_the_last_holds() -> None:
    text = "IMPRESSION: Edema.\nIMPRESSION:\n\nIMPRESSION: Edema has resolved."
    assert sections(text)["IMPRESSION"] == "Edema.\n\nEdema has resolved."
    assert [part.text for part in sections(text).parts] == ["Edema.", "", "Edema has resolved."]
    assert impression(text) == Passage("Edema has resolved.", "impression")


ADDED = (
    "FINAL ADDENDUM\n IMPRESSION: Called to Dr. ___.\n FINAL REPORT\n"
    " FINDINGS: Clear.\n IMPRESSION: Normal.\n ADDENDUM: A nodule.\n IMPRESSION: Nodule."
)


def test_an_addendum_does_not_stand_in_for_the_report() -> None:
    found = sections(ADDED)
    assert [part.block for part in found.parts] == [
        "addendum", "addendum", "report", "report", "report", "addendum", "addendum",
    ]  # fmt: skip
    assert impression(ADDED) == Passage("Normal.", "impression")
    assert impression(ADDED.replace("IMPRESSION: Normal.", "")) == Passage("Nodule.", "impression")
    assert narrative(ADDED) == ("Called to Dr. ___.", "Clear.", "Normal.", "A nodule.", "Nodule.")


def test_a_preliminary_reading_counts_only_where_there_is_nothing_else() -> None:
    text = "WET READ: Pneumothorax.\n IMPRESSION: Pneumothorax.\n FINAL REPORT\n FINDINGS: Clear."
    assert impression(text) == Passage("Pneumothorax.", "impression")
    assert narrative(text) == ("Clear.",)
    assert narrative("WET READ: Pneumothorax.") == ("Pneumothorax.",)
    assert impression("WET READ: Edema.\nFINAL REPORT\nIMPRESSION: Clear.").text == "Clear."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FINDINGS: Clear. IMPRESSION: Normal.", Passage("Normal.", "impression")),
        ("FINDINGS: Clear. IMPRESSION: ___", Passage("Clear.", "findings")),
        ("FINDINGS: Clear. IMPRESSION: XXXX.", Passage("Clear.", "findings")),
        ("FINDINGS: Old.\nFINDINGS: New.", Passage("New.", "findings")),
        ("Clear lungs.\n\nNormal heart.", Passage("Normal heart.", "last paragraph")),
        ("HISTORY: Cough.\n\n Clear lungs.\n\n Normal heart.\nDICTATED BY: Dr. ___",
         Passage("Normal heart.", "last paragraph")),
        ("HISTORY: Cough.", Passage("", None)),
        ("RECOMMENDATION: Rest.\n\nCT.", Passage("", None)),
        ("___", Passage("", None)),
        ("", Passage("", None)),
    ],
)  # fmt: skip
def test_the_passage_that_sums_up_says_where_it_is_from(text: str, expected: Passage) -> None:
    assert impression(text) == expected


def test_what_was_asked_and_advised_is_not_told() -> None:
    assert narrative(MIMIC) == (
        "There is no focal consolidation.  As in the prior study: small effusion.",
        "Small effusion.",
    )
    assert narrative("COMPARISON: None.\n\nClear lungs.\nRECOMMENDATION: CT for a nodule.") == (
        "Clear lungs.",
    )
    assert narrative("INDICATION: Pneumonia.") == ()


pieces = st.sampled_from(
    [name for names in HEADINGS.values() for name in names]
    + ["IMPRESSION:", "FINAL REPORT\n", "Addendum:", ": ", "\n", "\n\n", ".", " ", "x", "___"]
)
texts = st.one_of(st.text(), st.lists(pieces).map("".join), st.lists(pieces).map(" ".join))


@given(texts)
def test_no_character_of_a_report_is_lost_or_doubled(text: str) -> None:
    parts = sections(text).parts
    assert "".join(part.heading + part.body for part in parts) == text
    assert all(part.name == "" or part.heading.strip() for part in parts)


@given(texts)
def test_the_passage_is_a_part_of_the_report_or_says_that_there_is_none(text: str) -> None:
    found = impression(text)
    assert found.text in text
    assert bool(found.text) == (found.origin is not None)
    assert all(part in text for part in narrative(text))


def test_spaces_before_the_first_heading_are_kept_with_it() -> None:
    (part,) = sections("\n  IMPRESSION: Clear.").parts
    assert (part.heading, part.body) == ("\n  IMPRESSION:", " Clear.")


def named(text: str) -> list[str]:
    return [part.name for part in sections(text).parts if part.name]


@given(texts, texts)
def test_the_sections_of_two_reports_in_one_text_are_those_of_each(one: str, other: str) -> None:
    both = f"{one}\nFINAL REPORT\n{other}"
    assert named(both) == [*named(one), "FINAL REPORT", *named(other)]


@pytest.mark.parametrize("word", ["IMPRESSION: ", "\n ", " ", "final ", "(", "1. ", "FINDINGS"])
def test_a_very_long_report_comes_back(word: str) -> None:
    text = word * 10_000
    assert "".join(part.heading + part.body for part in sections(text).parts) == text
    assert impression(text).text in text


def test_a_section_knows_its_text_without_the_spaces_around_it() -> None:
    assert Section("FINDINGS", "FINDINGS:", "  clear \n").text == "clear"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IMPRESSION:\n No acute\n process. NOTIFICATION: called.", "No acute process."),
        ("IMPRESSION: old. IMPRESSION: new effusion. RECOMMENDATIONS: CT. RECOMMENDATION(S): MR.",
         "new effusion. RECOMMENDATIONS: CT."),
        ("IMPRESSION:No acute process.", "NO IMPRESSION"),
        ("impression: Normal.", "NO IMPRESSION"),
        ("NOTIFICATION: x. IMPRESSION: edema.", "edema."),
        ("FINDINGS: a RECOMMENDATION: CT. IMPRESSION: edema.", ""),
        ("IMPRESSION:", ""),
        ("IMPRESSION: a RECOMMENDATION: b NOTIFICATIONS: c RECOMMENDATION(S): d",
         "a RECOMMENDATION: b"),
        # the first word of the report ends nothing; of two kinds of end the earlier counts
        ("RECOMMENDATION: x IMPRESSION: a NOTIFICATIONS: b", "a"),
        ("IMPRESSION: a NOTIFICATION: b RECOMMENDATION: c", "a"),
        ("IMPRESSION: a NOTIFICATIONS: b NOTIFICATION: c", "a NOTIFICATIONS: b"),
        ("", "NO IMPRESSION"),
    ],
)  # fmt: skip
def test_chexzero_takes_what_its_released_code_takes(text: str, expected: str) -> None:
    assert chexzero_impression(text) == expected


@given(st.text())
def test_chexzero_never_fails(text: str) -> None:
    words = chexzero_impression(text).split()
    assert words == ["NO", "IMPRESSION"] or words == text.split()[-len(words) :] or not words
