"""The card of a collection: who is in it, what is known of them, and how it was divided."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hilum.cards.card import NOT_FOR, Card, Table

if TYPE_CHECKING:
    from hilum.collection import Collection


def data_card(collection: "Collection") -> Card:
    """Return the card of a collection.

    Only counts are told: no id, and no path of a source.
    """
    from hilum.collection.summary import summarise

    found = summarise(collection)
    settings = collection.settings
    fractions = ", ".join(f"{share:g}" for share in settings.fractions)
    answers = {
        "What": f"{found['images']:,} images of {found['patients']:,} patients in "
        f"{found['studies']:,} studies{_pixels(found)}",
        "Sources": "; ".join(
            f"{entry['layout']}, {entry['rows']:,} images" for entry in found["sources"]
        ),
        "Complete": "yes" if found["complete"] else "no: a source is still coming in",
        "People": f"{_ages(found['age'])}; sex {_counts(found['sex'])}",
        "Views": _counts(found["views"]),
        "Visits": ", ".join(
            f"{band}: {count:,} patients" for band, count in found["visits"]["patients"].items()
        ),
        "Reports": f"of {found['reports']:,} images" if found["reports"] else "",
        "Readers": _counts(found["readers"]),
        "Regions": _counts(found["boxes"]),
        "Splits": "as the sources say, or else drawn by a keyed hash of the patient "
        f"(seed {settings.seed}, shares {fractions}); nobody is on two sides",
        "Left out": f"in quarantine, by reason: {_counts(found['quarantine'])}"
        if found["quarantine"]
        else "no file",
        "Remarks": " ".join(note for entry in found["sources"] for note in entry["notes"]),
        "Not for": NOT_FOR,
        "To be added by people": "how the images were chosen, consent and ethics approval, "
        "scanners and sites, who labelled and how, licence",
    }
    told = {question: answer for question, answer in answers.items() if answer}
    tables = (_splits(found), _labels(found["findings"]))
    return Card("Data card", told, tuple(table for table in tables if table.rows))


def _pixels(found: Mapping[str, Any]) -> str:
    if not found["size"]:
        return ", without pixels"
    colour = "colour" if found["channels"] == 3 else "grey"
    return f", {found['size']} × {found['size']} pixels, {colour}, resized by {found['resize']}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _ages(ages: Mapping[str, Any]) -> str:
    if ages["median"] is None:
        return "age unknown"
    unknown = f", unknown for {ages['unknown']:,} images" if ages["unknown"] else ""
    return f"age {ages['min']:.0f} to {ages['max']:.0f}, median {ages['median']:.0f}{unknown}"


def _splits(found: Mapping[str, Any]) -> Table:
    rows = [(name, f"{one['images']:,}", f"{one['patients']:,}")
            for name, one in found["splits"].items()]  # fmt: skip
    return Table("Splits", ("split", "images", "patients"), tuple(rows))


def _labels(findings: Mapping[str, Any]) -> Table:
    kinds = ("present", "absent", "uncertain", "unknown")
    rows = [
        (name, *(f"{one['all'][kind]:,}" for kind in kinds),
         *(f"{one[split]['present']:,}" for split in one if split != "all"))
        for name, one in findings.items()
    ]  # fmt: skip
    splits = next((tuple(key for key in one if key != "all") for one in findings.values()), ())
    columns = ("finding", *kinds, *(f"present in {split}" for split in splits))
    return Table("Labels", columns, tuple(rows))
