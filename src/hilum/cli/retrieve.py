"""`hilum retrieve`: images by a sentence or an image, and how well a space finds the right ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from hilum.cli.console import emit, note
from hilum.cli.options import AsJson, Device, Embedding, Uri, all_but, listed, refuse_options
from hilum.errors import UsageError

if TYPE_CHECKING:
    from hilum.retrieve import AnomalyMetrics, NeighbourMetrics, RetrievalMetrics

Encoder = Annotated[
    str | None,
    typer.Option(
        help="The encoder that made them, for --text (a pair), for a file and for reports: a run, "
        "a weights file, open_clip:NAME:TAG."
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        help="SQL: only images that fulfil it; all by default, and with --evaluate those of the "
        "split test ('' takes all)."
    ),
]
Text = Annotated[str | None, typer.Option(help="What to look for, in words.")]
Image = Annotated[
    str | None,
    typer.Option(help="What to look for the like of: an id of the collection, or a file."),
]
Nearest = Annotated[int, typer.Option("-k", min=1, help="How many images.")]
SamePatient = Annotated[
    bool,
    typer.Option(
        "--same-patient",
        help="With --image or --evaluate findings: images of the query's own patient, too.",
    ),
]
Index = Annotated[
    Literal["auto", "exact", "ann"],
    typer.Option(
        metavar="HOW",
        help="Compare every vector (exact), or ask the index of hilum index (ann); auto asks it "
        "where there is one and images are many.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Write the list as CSV too.")]
Sheet = Annotated[Path | None, typer.Option(help="Show the images on a contact sheet (PNG).")]
Evaluate = Annotated[
    Literal["reports", "findings", "anomaly"] | None,
    typer.Option(
        metavar="WHAT",
        help="Measure how well reports and images find each other (reports), images find "
        "images with the same findings (findings), or a class that was not taught stands out "
        "(anomaly).",
    ),
]
Queries = Annotated[
    str | None,
    typer.Option(
        help="With --evaluate findings, SQL: which images ask; --where if not. With anomaly: "
        "which are scored; the split test by default, and --where then the split train."
    ),
]
Findings = Annotated[
    str,
    typer.Option(
        help="With --evaluate findings or anomaly: which, separated by commas; all by default."
    ),
]
Anomaly = Annotated[
    str | None,
    typer.Option(help="With --evaluate anomaly: the class that hilum metric left out."),
]
Section = Annotated[
    Literal["impression", "findings"],
    typer.Option(metavar="SECTION", help="With --evaluate reports: impression or findings."),
]
Bootstrap = Annotated[int, typer.Option(help="With --evaluate: resamples of patients.")]
Level = Annotated[float, typer.Option(help="With --evaluate: coverage of the intervals.")]
Seed = Annotated[int, typer.Option(help="With --evaluate: of the resampling.")]


# What each of the things to do heeds, as the function below calls it.
_ALWAYS: Final = {"collection", "embedding", "text", "image", "evaluate", "device", "as_json"}
_FOUND: Final = {"encoder", "k", "where", "index", "out", "sheet"}
_COUNTED: Final = {"where", "bootstrap", "level", "seed"}
_HEEDED: Final = {
    "--text": _FOUND,
    "--image": _FOUND | {"same_patient"},
    "--evaluate reports": _COUNTED | {"encoder", "section"},
    "--evaluate findings": _COUNTED | {"findings", "queries", "same_patient"},
    "--evaluate anomaly": _COUNTED | {"findings", "queries", "anomaly", "out"},
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retrieve)


def retrieve(
    context: typer.Context,
    collection: Uri,
    embedding: Embedding,
    encoder: Encoder = None,
    text: Text = None,
    image: Image = None,
    k: Nearest = 10,
    where: Where = None,
    same_patient: SamePatient = False,
    index: Index = "auto",
    out: Out = None,
    sheet: Sheet = None,
    evaluate: Evaluate = None,
    findings: Findings = "",
    queries: Queries = None,
    anomaly: Anomaly = None,
    section: Section = "impression",
    bootstrap: Bootstrap = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find the images nearest to a sentence or to an image, nearest first.

    Images of the query's own patient are left out. With --evaluate every image or report asks,
    and intervals resample the patients who ask.
    """
    if sum(one is not None for one in (text, image, evaluate)) != 1:
        raise UsageError("give a sentence with --text, an image with --image, or --evaluate; one")
    what = f"--evaluate {evaluate}" if evaluate else "--text" if image is None else "--image"
    unheeded = all_but(context, _ALWAYS | _HEEDED[what])
    refuse_options(context, unheeded, f"of no effect with {what}")
    if evaluate == "anomaly" and anomaly is None:
        raise UsageError("--evaluate anomaly needs --anomaly CLASS")
    counting = {"bootstrap": bootstrap, "level": level, "seed": seed}
    if evaluate in ("reports", "findings"):  # a result on images that taught the encoder is none
        where = "split = 'test'" if where is None else where
    where = where or None
    if evaluate == "reports":
        _show(_reports(collection, embedding, encoder, section, where, device, counting), as_json)
    elif evaluate == "anomaly":
        sides = {"known": where, "where": queries}
        given = {name: sql for name, sql in sides.items() if sql is not None}
        _show(_anomaly(collection, embedding, anomaly or "", findings, out, given | counting),
              as_json)  # fmt: skip
    elif evaluate:
        images = {"gallery": where, "queries": queries or where, "same_patient": same_patient}
        _show(_findings(collection, embedding, findings, {**images, **counting}), as_json)
    else:
        _find(collection, embedding, out, sheet, as_json, text=text, like=image, encoder=encoder,
              k=k, where=where, same_patient=same_patient, index=index, device=device)  # fmt: skip


def _reports(
    collection: str, embedding: str, encoder: str | None, section: str, where: str | None,
    device: str, counting: dict[str, Any],
) -> "RetrievalMetrics":  # fmt: skip
    from hilum.collection import open_collection
    from hilum.retrieve import evaluate_retrieval

    if encoder is None:
        raise UsageError("reports need --encoder, the pair of encoders that made the vectors")
    return evaluate_retrieval(
        open_collection(collection), embedding, encoder, section=section, where=where,
        device=device, **counting,
    )  # fmt: skip


def _findings(
    collection: str, embedding: str, findings: str, settings: dict[str, Any]
) -> "NeighbourMetrics":
    from hilum.collection import open_collection
    from hilum.retrieve import evaluate_neighbours

    names = listed(findings)
    if settings["gallery"] == settings["queries"]:
        settings = {**settings, "gallery": None}  # each image leaves itself out, read once
    elif settings["gallery"] is None:
        settings = {**settings, "gallery": "image_id IS NOT NULL"}  # all
    return evaluate_neighbours(
        open_collection(collection), embedding, findings=names or None, **settings
    )


def _anomaly(
    collection: str, embedding: str, anomaly: str, findings: str, out: Path | None,
    settings: dict[str, Any],
) -> "AnomalyMetrics":  # fmt: skip
    from hilum.collection import open_collection
    from hilum.retrieve import evaluate_anomaly
    from hilum.tables import write_table

    found = evaluate_anomaly(
        open_collection(collection), embedding, anomaly, findings=listed(findings) or None,
        **settings,
    )  # fmt: skip
    if out is not None:
        write_table(found.scores, out)
    return found


def _show(found: "RetrievalMetrics | NeighbourMetrics | AnomalyMetrics", as_json: bool) -> None:
    emit(found.to_json(), as_json=as_json, text=found.to_text())


def _find(
    collection: str, embedding: str, out: Path | None, sheet: Path | None, as_json: bool,
    **query: Any,
) -> None:  # fmt: skip
    from hilum.collection import open_collection
    from hilum.retrieve import retrieve as run
    from hilum.sheet import case_sheet

    opened = open_collection(collection)
    cases = run(opened, embedding, **query)
    if out is not None:
        cases.save(out)
    sheets = () if sheet is None else case_sheet(opened, cases, sheet)
    for page in sheets:
        note(str(page))
    if len(cases) < cases.wanted:
        note(f"{len(cases)} images, not {cases.wanted}: there are no more to be found")
    rows = cases.table().to_dicts()
    lines = [f"{row['rank']:>4}  {row['score']:.4f}  {row['image_id']}" for row in rows]
    facts = {
        "cases": rows, "wanted": cases.wanted, "index": {"method": cases.method, "why": cases.why},
        "sheets": [str(page) for page in sheets],
    }  # fmt: skip
    emit(facts, as_json=as_json, text="\n".join(lines))
