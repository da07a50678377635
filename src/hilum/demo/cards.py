"""Data card and model cards: what a thing is, what made it, what it is for and what it is not."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilum.report import Block, Cell, Prose, Rows, Section

if TYPE_CHECKING:
    from hilum.collection import Collection

_NOT_FOR = (
    "Any use with patients: it was made from synthetic radiographs of one bent CT, and nothing it "
    "says about a real one has been measured."
)


def data_card(collection: "Collection") -> Block:
    """Return the card of a collection."""
    table = collection.table(["patient_id", "split", "source", "sex", "age", "view"])
    ages = table["age"].drop_nulls().sort()
    sexes = table["sex"].value_counts(sort=True).rows()
    views = table["view"].value_counts(sort=True).rows()
    return _card(
        "Data card: the collection",
        {
            "What": f"{table.height:,} images of {table['patient_id'].n_unique():,} patients, "
            f"from {', '.join(sorted(set(table['source'])))}; "
            f"{collection.settings.size} × {collection.settings.size} pixels",
            "Made by": "hilum phantom: a public chest CT, deformed anew for every patient, with "
            "findings planted in three dimensions and projected by X-ray physics",
            "Labels": "what was planted, so without error; reports were written from it by rules "
            "and leave findings out as people do",
            "People": f"age {int(ages[0])} to {int(ages[-1])}, median {int(ages[len(ages) // 2])}; "
            + ", ".join(f"{name or 'unknown'} {count}" for name, count in (*sexes, *views)),
            "Splits": "by a keyed hash of the patient, so that nobody is on two sides and nobody "
            "moves when the collection grows",
            "Consent and identity": "no person is shown; ids are made up",
            "Not for": "estimating how common anything is, or how any method does in a hospital",
        },
    )


def model_card(title: str, run: Path, use: str, measured: str) -> Block:
    """Return the card of a run.

    Parameters
    ----------
    title
        What it is.
    run
        Its folder, with `settings.json` and `metrics.json`.
    use, measured
        What it is for, and what it reaches, with an interval.
    """
    settings, metrics = (_read(run / name) for name in ("settings.json", "metrics.json"))
    image = settings.get("image", settings)
    size = image.get("size", settings.get("size"))
    train = settings.get("train", {})
    return _card(
        f"Model card: {title}",
        {
            "What": f"{image.get('architecture', settings.get('architecture'))} at {size} pixels",
            "Taught by": f"{settings.get('examples', settings.get('images', 'the'))} images of "
            f"training patients, {metrics.get('steps', train.get('steps'))} steps, seed "
            f"{train.get('seed')}, {metrics.get('engine', '')}",
            "For": use,
            "Reaches": measured,
            "Weights": "safetensors, with the settings and a fingerprint in the header",
            "Not for": _NOT_FOR,
        },
    )


def cards(blocks: list[Block]) -> Section:
    """Return the section of all cards."""
    intro = Prose("For whoever takes the data or the weights elsewhere.")
    return Section("Data and model cards", [intro, *blocks])


def _card(title: str, answers: Mapping[str, str]) -> Block:
    return Rows(["", title], list(_rows(answers)), f"{title}.")


def _rows(answers: Mapping[str, str]) -> Iterator[list[Cell]]:
    for question, answer in answers.items():
        yield [question, answer]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
