"""Prompts of a user's own: what a file may say, and how it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from hilum.errors import TableError, UsageError
from hilum.prompts import CHEXZERO, PromptPair
from hilum.zeroshot.questions import make_question
from hilum.zeroshot.wordings import names_in, read_wordings, read_words

WET = PromptPair("Edema", ("wet lungs", "water in the lungs"), ("dry lungs",))


def written(folder: Path, content: Any, name: str = "prompts.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_words_fill_the_templates_and_name_the_candidate(tmp_path: Path) -> None:
    path = written(tmp_path, {"Effusion": ["effusion", "pleural fluid"], "Scoliosis": "scoliosis"})
    assert read_wordings(path, [*CHEXZERO, ("{} seen", "{} not seen")]) == {
        "Pleural Effusion": {
            "effusion": PromptPair("Pleural Effusion", ("effusion", "effusion seen"),
                                   ("no effusion", "effusion not seen")),
            "pleural fluid": PromptPair("Pleural Effusion", ("pleural fluid", "pleural fluid seen"),
                                        ("no pleural fluid", "pleural fluid not seen")),
        },
        "Scoliosis": {
            "scoliosis": PromptPair("Scoliosis", ("scoliosis", "scoliosis seen"),
                                    ("no scoliosis", "scoliosis not seen")),
        },
    }  # fmt: skip


def test_an_article_is_told_from_the_words_except_for_chexzero() -> None:
    templates = [("{a}", "no {}"), ("{} seen", "{} not seen")]
    for words, bare in (("a mass", "mass"), ("an opacity", "opacity"), ("amass", "amass")):
        expected = PromptPair("Mass", (words, f"{bare} seen"), (f"no {bare}", f"{bare} not seen"))
        assert read_wordings({"Mass": words}, templates) == {"Mass": {words: expected}}
    whole = PromptPair("Mass", ("a mass",), ("no a mass",))
    asked = make_question("chexzero", ["Mass"], {"Mass": "a mass"})
    assert asked.sentences == ({"present": whole.present, "absent": whole.absent},)
    assert (
        make_question("hilum", ["Mass"], {"Mass": "a mass"}).sentences[0]["absent"][0] == "no mass"
    )
    assert read_wordings({"Mass": "a mass"}, CHEXZERO, articles=False) == {
        "Mass": {"a mass": whole}
    }


@pytest.mark.parametrize(
    "wording",
    [
        {"present": ["wet lungs", "water in the lungs"], "absent": "dry lungs"},
        {"present": ["wet lungs", "water in the lungs"], "absent": ["dry lungs"], "name": ""},
        PromptPair("whatever", WET.present, WET.absent),
    ],
)
def test_sentences_are_used_as_they_are_and_the_first_names_them(wording: Any) -> None:
    assert read_wordings({"oedema": wording}, CHEXZERO) == {"Edema": {"wet lungs": WET}}
    assert read_wordings({"oedema": [wording]}, CHEXZERO) == {"Edema": {"wet lungs": WET}}


def test_rows_of_a_csv_are_averaged_by_finding_and_name(tmp_path: Path) -> None:
    text = """\ufefffinding,present,absent,name
Edema,wet lungs,dry lungs,
Mass,a mass,no mass,plain
Edema,water in the lungs,,
Mass,"tumour, large",normal,odd
Mass,mass,without mass,plain
"""
    assert read_wordings(written(tmp_path, text, "p.csv"), CHEXZERO) == {
        "Edema": {"wet lungs": WET},
        "Mass": {
            "plain": PromptPair("Mass", ("a mass", "mass"), ("no mass", "without mass")),
            "odd": PromptPair("Mass", ("tumour, large",), ("normal",)),
        },
    }
    bare = written(tmp_path, "absent,present,finding\nno mass,mass,Mass\n", "q.csv")
    assert read_wordings(bare, CHEXZERO) == {
        "Mass": {"mass": PromptPair("Mass", ("mass",), ("no mass",))}
    }
    assert names_in(bare) == ["Mass"]


def test_classes_have_words(tmp_path: Path) -> None:
    path = written(tmp_path, {"F": "female", "M": "male"})
    assert read_words(path) == {"F": "female", "M": "male"}
    with pytest.raises(TableError, match=r"'F': a class has words for the templates, got \['f'\]"):
        read_words({"F": ["f"]})


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", r"prompts\.json: prompts cannot be read: Expecting"),
        ([], r"prompts\.json: expected a JSON object, finding to wording"),
        ({}, r"prompts\.json: no finding is in it"),
        ({"Edema": []}, r"'Edema' has no candidate: expected words"),
        ({"Edema": 3}, r"'Edema': expected words for the templates .* got 3"),
        ({"Edema": {"present": "x"}}, r"'Edema': expected words .* got \{\"present\": \"x\"\}"),
        ({"Edema": {"present": "x", "absent": [3]}}, r"'Edema': expected words .* got \[3\]"),
        ({"Edema": {"present": "x", "absent": "y", "weight": 2}}, r"'weight' means nothing"),
        ({"Edema": "wet", "oedema": "dry"}, r"'Edema' is there more than once, .* 'oedema'"),
        ({"Edema": ["wet", "wet"]}, r"'Edema' has two candidates 'wet'; give them names"),
        ('{"Edema": "wet", "Edema": "dry"}', r"'Edema' is there more than once"),
        ('{"Edema": {"present": "a", "present": "b"}}', r"a name is twice in one object"),
    ],
)
def test_a_json_file_that_says_something_else_is_refused(
    tmp_path: Path, content: Any, match: str
) -> None:
    with pytest.raises(TableError, match=match):
        read_wordings(written(tmp_path, content), CHEXZERO)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("finding,present\nEdema,wet\n", r"p\.csv: no column 'absent'; prompts have the columns"),
        ("", r"p\.csv: no column 'finding'"),
        ("finding,present,absent\n", r"p\.csv: no finding is in it"),
        ("finding,present,absent\nEdema,wet\n", r"p\.csv:2: expected 3 cells as in the header"),
        ("finding,present,absent\nEdema,wet,dry,x\n", r"p\.csv:2: expected 3 cells"),
        ("finding,present,absent\n ,wet,dry\n", r"p\.csv:2: the row names no finding"),
    ],
)
def test_a_csv_file_that_says_something_else_is_refused(
    tmp_path: Path, text: str, match: str
) -> None:
    with pytest.raises(TableError, match=match):
        read_wordings(written(tmp_path, text, "p.csv"), CHEXZERO)


def test_empty_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the words for 'Edema' are empty; leave them out"):
        read_wordings({"Edema": " "}, CHEXZERO)
    with pytest.raises(UsageError, match=r"sentence 1 of 1 for 'Edema' absent is empty"):
        read_wordings({"Edema": {"present": "wet", "absent": ""}}, CHEXZERO)
    path = written(tmp_path, "finding,present,absent\nEdema,wet,\n", "p.csv")
    with pytest.raises(UsageError, match=r"prompts for 'Edema' say nothing for absent"):
        read_wordings(path, CHEXZERO)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none\.json: prompts cannot be read"):
        read_wordings(tmp_path / "none.json", CHEXZERO)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(TableError, match=r"bytes\.json: prompts cannot be read"):
        names_in(tmp_path / "bytes.json")
