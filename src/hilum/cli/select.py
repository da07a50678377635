"""`hilum select`: which images to label."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hilum.cli.console import emit, note


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(select)


def select(
    collection: Annotated[str, typer.Argument(help="A collection: a folder or a URI.")],
    embedding: Annotated[str, typer.Option(help="Name of the embedding to work on.")],
    budget: Annotated[int, typer.Option(help="How many images to choose.")],
    out: Annotated[Path, typer.Option(help="Where the worklist goes (CSV).")],
    strategy: Annotated[
        str | None,
        typer.Option(
            help="random, k-medoids, k-means, k-center, typiclust, probcover; with labels also "
            "entropy, margin, badge; with a selector, medselect. By default medselect where "
            "there is a selector, else k-means."
        ),
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Labels so far; not picked again."),
    ] = None,
    id_column: Annotated[
        str, typer.Option("--id", help="The label table's id column.")
    ] = "image_id",
    policy: Annotated[
        Literal["ignore", "positive", "negative"],
        typer.Option(help="What uncertain labels count as."),
    ] = "ignore",
    per_patient: Annotated[
        int | None, typer.Option(help="At most so many of one patient, labelled ones included.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="SQL: only among images that fulfil it.")
    ] = None,
    selector: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A trained selector (medselect)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    key: Annotated[Path | None, typer.Option(help="The key file of the pseudonyms.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also show the picks on a contact sheet (PNG).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Choose which images a radiologist should label.

    The worklist has a row per image, best first: its rank, id, patient (a pseudonym), score, and
    why it was chosen. Labelled images are never chosen again.
    """
    from hilum.collection import open_collection
    from hilum.select import select as run
    from hilum.select.sheet import contact_sheet
    from hilum.tables import read_table

    opened = open_collection(collection)
    worklist = run(
        opened, embedding, budget, strategy,
        labelled=None if labelled is None else read_table(labelled, id_column),
        policy=policy, per_patient=per_patient, where=where, selector=selector, seed=seed,
        key_file=key,
    )  # fmt: skip
    worklist.save(out)
    sheets = () if sheet is None else contact_sheet(opened, worklist, sheet)
    for page in sheets:
        note(str(page))
    found = {
        "worklist": str(out),
        "strategy": worklist.strategy,
        "images": len(worklist),
        "sheets": [str(page) for page in sheets],
        "picks": worklist.table().to_dicts(),
    }
    emit(
        found, as_json=as_json, text=f"{out}: {len(worklist)} images chosen by {worklist.strategy}"
    )
