"""Score tables handed over: written, with what there is to say of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilum.cli.console import emit, note

if TYPE_CHECKING:
    from hilum.tables import Table


def hand_over(scores: "Table", out: Path, *, as_json: bool, **facts: Any) -> None:
    """Write scores, tell their notes on standard error, and where they are on standard output.

    Parameters
    ----------
    facts
        What the document for JSON says besides.
    """
    from hilum.tables import write_table

    write_table(scores, out)
    for finding, text in scores.notes.items():
        note(f"{finding}: {text}")
    document = {
        "scores": str(out),
        "images": len(scores),
        "findings": list(scores.findings),
        **facts,
        "notes": dict(scores.notes),
    }
    emit(document, as_json=as_json, text=f"{out}: {len(scores)} images")
