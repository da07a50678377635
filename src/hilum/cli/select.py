"""`hilum select`: which images to label."""

from pathlib import Path
from typing import Annotated

import typer

from hilum.cli.console import emit, note
from hilum.cli.options import (
    AsJson,
    Embedding,
    IdColumn,
    Seed,
    Uncertain,
    Uri,
    Where,
    refuse_options,
)

Budget = Annotated[int, typer.Option(help="How many images to choose.")]
Out = Annotated[Path, typer.Option(help="Where the worklist goes (CSV).")]
Named = Annotated[
    str | None,
    typer.Option(
        help="random, k-medoids, k-means, k-center, typiclust, probcover; with labels also "
        "entropy, margin, badge; with a selector, medselect. By default medselect where there "
        "is a selector, else k-means."
    ),
]
Labelled = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Labels so far; not picked again.")
]
PerPatient = Annotated[
    int | None, typer.Option(help="At most so many of one patient, labelled ones included.")
]
Weights = Annotated[
    Path | None, typer.Option(exists=True, help="A trained selector: a run or its weights.")
]
Key = Annotated[Path | None, typer.Option(help="The key file of the pseudonyms.")]
Sheet = Annotated[Path | None, typer.Option(help="Also show the picks on a contact sheet (PNG).")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(select)


def select(
    context: typer.Context,
    collection: Uri,
    embedding: Embedding,
    budget: Budget,
    out: Out,
    strategy: Named = None,
    labelled: Labelled = None,
    id_column: IdColumn = "image_id",
    policy: Uncertain = "ignore",
    per_patient: PerPatient = None,
    where: Where = None,
    selector: Weights = None,
    seed: Seed = 0,
    key: Key = None,
    sheet: Sheet = None,
    as_json: AsJson = False,
) -> None:
    """Choose which images a radiologist should label.

    The worklist has a row per image, best first: its rank, id, patient (a pseudonym), score,
    and the reason. Labelled images are not chosen again.
    """
    from hilum.collection import open_collection
    from hilum.select import select as run
    from hilum.sheet import contact_sheet
    from hilum.tables import read_table

    if labelled is None:
        refuse_options(context, {"id_column", "policy"}, "of no effect without --labelled")
    opened = open_collection(collection)
    worklist = run(
        opened, embedding, budget, strategy,
        labelled=None if labelled is None else read_table(labelled, id_column),
        policy=policy, per_patient=per_patient, where=where, selector=selector, seed=seed,
        key_file=key,
    )  # fmt: skip
    worklist.save(out)
    if worklist.note:
        note(worklist.note)
    sheets = () if sheet is None else contact_sheet(opened, worklist.ids, sheet)
    for page in sheets:
        note(str(page))
    found = {
        "worklist": str(out),
        "strategy": worklist.strategy,
        "images": len(worklist),
        "note": worklist.note,
        "sheets": [str(page) for page in sheets],
        "picks": worklist.table().to_dicts(),
    }
    emit(
        found, as_json=as_json, text=f"{out}: {len(worklist)} images chosen by {worklist.strategy}"
    )
