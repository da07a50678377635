"""`hilum card`: what a collection or a model is, for whoever takes it elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from hilum.cli.console import emit
from hilum.cli.options import AsJson

Of = Annotated[str, typer.Argument(help="A collection, a run, or weights.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option(help="A Markdown file to write instead, such as MODEL_CARD.md.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(card)


def card(of: Of, out: Out = None, as_json: AsJson = False) -> None:
    """Say what a collection or a model is, what made it, what it reaches and what it is not for.

    A data card holds counts and no id; a model card what the weights and their run say. Both are
    Markdown, to be added to by people: consent, scanners, licence.
    """
    from hilum.cards import data_card, holds_weights, model_card
    from hilum.collection import open_collection
    from hilum.files import write_text

    made = model_card(of) if holds_weights(of) else data_card(open_collection(of))
    if out is not None:
        write_text(out, made.as_markdown())
    emit(made.as_json(), as_json=as_json, text=str(out) if out else made.as_markdown().rstrip())
