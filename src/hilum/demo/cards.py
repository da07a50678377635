"""The cards of the demo's collection and models, with what only the demo knows of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hilum.cards import data_card, model_card
from hilum.report import Block, Cell, Prose, Rows, Section

if TYPE_CHECKING:
    from hilum.collection import Collection

_NOT_FOR: Final = (
    "Any use with patients: it was made from synthetic radiographs of one bent CT, and nothing it "
    "says about a real one has been measured."
)
_MADE: Final = {
    "Made by": "hilum phantom: a public chest CT, deformed anew for every patient, with findings "
    "planted in three dimensions and projected by X-ray physics",
    "Labels": "what was planted, so without error; reports were written from it by rules and leave "
    "findings out as people do",
    "Consent and identity": "no person is shown; ids are made up",
    "Not for": "estimating how common anything is, or how any method does in a hospital",
}
_OF_DATA: Final = ("What", "People", "Views", "Visits", "Reports", "Splits", "Left out")
_OF_MODEL: Final = ("What", "Findings", "Taught by", "Recipe", "Started from", "Chosen by")


def collection_card(collection: "Collection") -> Block:
    """Return the card of the hospital's collection."""
    known = data_card(collection).answers
    told = {question: known[question] for question in _OF_DATA if question in known}
    return _card("Data card: the collection", told | _MADE)


def run_card(title: str, run: Path, use: str, measured: str) -> Block:
    """Return the card of a run.

    Parameters
    ----------
    title
        What it is.
    run
        Its folder.
    use, measured
        What it is for, and what it reaches, with an interval.
    """
    known = model_card(run).answers
    told = {question: known[question] for question in _OF_MODEL if question in known}
    told |= {"For": use, "Reaches": measured, "Not for": _NOT_FOR}
    return _card(f"Model card: {title}", told | {"Fingerprint": known["Fingerprint"][:16]})


def cards(blocks: list[Block]) -> Section:
    """Return the section of all cards."""
    intro = Prose("For whoever takes the data or the weights elsewhere; `hilum card` writes them.")
    return Section("Data and model cards", [intro, *blocks])


def _card(title: str, answers: Mapping[str, str]) -> Block:
    return Rows(["", title], list(_rows(answers)), f"{title}.")


def _rows(answers: Mapping[str, str]) -> Iterator[list[Cell]]:
    for question, answer in answers.items():
        yield [question, answer]
