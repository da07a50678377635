"""`hilum retrieve`: images by a sentence, and how well reports and films find each other."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hilum.cli.console import emit, note
from hilum.errors import UsageError

Uri = Annotated[str, typer.Argument(help="A collection: a folder or a URI.")]
Embedding = Annotated[str, typer.Option(help="Name of its vectors, made by the same encoder.")]
Encoder = Annotated[
    str, typer.Option(help="A pair of encoders: a run, a weights file, open_clip:NAME:TAG.")
]
Text = Annotated[str | None, typer.Option(help="What to look for, in words.")]
Nearest = Annotated[int, typer.Option("-k", min=1, help="How many images.")]
Where = Annotated[str | None, typer.Option(help="SQL: only among images that fulfil it.")]
Out = Annotated[Path | None, typer.Option(help="Write the list as CSV too.")]
Sheet = Annotated[Path | None, typer.Option(help="Show the images on a contact sheet (PNG).")]
Evaluate = Annotated[
    bool, typer.Option("--evaluate", help="Measure how well reports and images find each other.")
]
Section = Annotated[
    Literal["impression", "findings"],
    typer.Option(metavar="SECTION", help="With --evaluate: impression or findings."),
]
Bootstrap = Annotated[int, typer.Option(help="With --evaluate: resamples of patients.")]
Level = Annotated[float, typer.Option(help="With --evaluate: coverage of the intervals.")]
Seed = Annotated[int, typer.Option(help="With --evaluate: of the resampling.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retrieve)


def retrieve(
    collection: Uri,
    embedding: Embedding,
    encoder: Encoder,
    text: Text = None,
    k: Nearest = 10,
    where: Where = None,
    out: Out = None,
    sheet: Sheet = None,
    evaluate: Evaluate = False,
    section: Section = "impression",
    bootstrap: Bootstrap = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find the images that a sentence describes best, nearest first.

    With --evaluate no sentence is needed: every report looks for its images and
    every image for its report, and an identical report is a right answer.
    """
    if evaluate == (text is not None):
        raise UsageError("give a sentence with --text, or --evaluate, one of the two")
    if evaluate and (out is not None or sheet is not None):
        raise UsageError("--out and --sheet are for what --text finds")
    if text is not None:
        _find(collection, embedding, encoder, text, k, where, out, sheet, device, as_json=as_json)
        return
    from hilum.collection import open_collection
    from hilum.retrieve import evaluate_retrieval

    found = evaluate_retrieval(
        open_collection(collection), embedding, encoder, section=section, where=where,
        bootstrap=bootstrap, level=level, seed=seed, device=device,
    )  # fmt: skip
    emit(found.to_json(), as_json=as_json, text=found.to_text())


def _find(
    collection: str, embedding: str, encoder: str, text: str, k: int, where: str | None,
    out: Path | None, sheet: Path | None, device: str, *, as_json: bool,
) -> None:  # fmt: skip
    from hilum.collection import open_collection
    from hilum.retrieve import retrieve as run
    from hilum.sheet import contact_sheet

    opened = open_collection(collection)
    cases = run(opened, embedding, text=text, encoder=encoder, k=k, where=where, device=device)
    if out is not None:
        cases.save(out)
    sheets = () if sheet is None else contact_sheet(opened, cases.ids, sheet)
    for page in sheets:
        note(str(page))
    rows = cases.table().to_dicts()
    lines = [f"{row['rank']:>4}  {row['score']:.4f}  {row['image_id']}" for row in rows]
    emit({"cases": rows, "sheets": [str(page) for page in sheets]}, as_json=as_json,
         text="\n".join(lines))  # fmt: skip
