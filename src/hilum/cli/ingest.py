"""`hilum ingest`, `hilum show` and `hilum export`: into a collection, about it, and out of it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import AsJson, Where, all_but, listed, numbers, refuse_options

if TYPE_CHECKING:
    from hilum.ingest import IngestReport

_CHANNELS: Final[dict[str | None, Literal[1, 3] | None]] = {None: None, "1": 1, "3": 3}
_OF_IMPORTS: Final = {"source", "collection", "layout", "name", "prefix", "as_json"}
_OF_MEDSELECT: Final = {"embedding", "policy"}
QUARANTINED = 3
"""Exit status: finished, but some files are in quarantine."""

Uri = Annotated[str, typer.Argument(help="The collection: a folder, or the URI of one.")]

# The options of `ingest`; None leaves the choice to the collection, or to the layout.
Source = Annotated[Path, typer.Argument(help="The folder of radiographs.")]
Layout = Annotated[
    str,
    typer.Option(
        help="nih, chexpert, covidx, mimic, openi, padchest, vindr, rsna, isic, folder, dicom; "
        "chexzero, medselect."
    ),
]
Size = Annotated[int | None, typer.Option(help="Side of the images.", show_default="320")]
How = Annotated[Literal["area", "chexzero"] | None, typer.Option(help="How to resize: area.")]
Channels = Annotated[
    Literal["1", "3"] | None,
    typer.Option(help="1 grey, 3 colour; as the layout has them."),
]
NoPixels = Annotated[bool, typer.Option("--no-pixels", help="Bring in the table alone.")]
Name = Annotated[str | None, typer.Option(help="Of this source; the folder's name.")]
Prefix = Annotated[str, typer.Option(help="Put before this source's ids.")]
Shares = Annotated[
    str | None,
    typer.Option(help="Of train, val, test if SOURCE has no split.", show_default="0.8,0.1,0.1"),
]
Seed = Annotated[int | None, typer.Option(help="Of the draw of splits.", show_default="0")]
Views = Annotated[str | None, typer.Option(help="Keep only these: PA,AP,LATERAL.")]
TableFile = Annotated[
    str | None,
    typer.Option(help="The table in SOURCE (nih, chexpert, padchest, folder; labels of mimic)."),
]
Columns = Annotated[
    list[str] | None, typer.Option(help="OURS=THEIRS: a column's name there (folder, dicom).")
]
Findings = Annotated[
    str | None,
    typer.Option(help="Label columns, separated by commas (folder, dicom); labels (padchest)."),
]
Reports = Annotated[
    Path | None, typer.Option(help="The folder of the reports, if not in SOURCE (mimic).")
]
Method = Annotated[
    str | None, typer.Option(help="Keep labels by: Physician, RNN_model (padchest).")
]
Consensus = Annotated[
    Literal["majority", "any", "unanimous"],
    typer.Option(help="What several readers say together (vindr)."),
]
Coding = Annotated[Literal["isic", "x-mir"], typer.Option(help="How classes are numbered (isic).")]
Mapping = Annotated[
    Path | None,
    typer.Option(help="Which images of ChestX-ray14 they are, if not in SOURCE (rsna)."),
]
Labels = Annotated[Path | None, typer.Option(help="A table of labels to join (dicom).")]
KeepIds = Annotated[bool, typer.Option("--keep-ids", help="Keep identifiers (dicom).")]
Modalities = Annotated[str, typer.Option(help="DICOM modalities to keep (dicom).")]
Key = Annotated[Path | None, typer.Option(help="The key file of the pseudonyms (dicom).")]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        metavar="ENGINE",
        help="local: this machine decodes; ray: those of a Ray cluster, which see the same folder.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes, with ray those that decode; one for each processor."),
]
BatchRows = Annotated[int | None, typer.Option(help="Images in one commit; 32 MiB of them.")]
Timeout = Annotated[float, typer.Option(help="Seconds that one file may take.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(ingest)
    app.command()(show)
    app.command()(export)


def ingest(
    context: typer.Context,
    source: Source,
    collection: Uri,
    layout: Layout,
    size: Size = None,
    resize: How = None,
    channels: Channels = None,
    no_pixels: NoPixels = False,
    name: Name = None,
    prefix: Prefix = "",
    fractions: Shares = None,
    seed: Seed = None,
    views: Views = None,
    table: TableFile = None,
    column: Columns = None,
    findings: Findings = None,
    method: Method = None,
    reports: Reports = None,
    consensus: Consensus = "majority",
    coding: Coding = "isic",
    mapping: Mapping = None,
    labels: Labels = None,
    keep_ids: KeepIds = False,
    key: Key = None,
    modalities: Modalities = "CR,DX,RG",
    workers: Workers = None,
    engine: Engine = "local",
    batch_rows: BatchRows = None,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Bring a folder of radiographs into a collection.

    May be stopped or killed at any moment; the same command continues. Exit status 3: finished,
    but some files could not be read and are in quarantine (hilum show COLLECTION --quarantine).
    """
    from hilum.export import IMPORTS
    from hilum.ingest import ingest as run
    from hilum.sources import SourceOptions
    from hilum.workers import Limits

    if layout in IMPORTS:
        unheeded = all_but(context, _OF_IMPORTS)
        refuse_options(context, unheeded, f"of no effect with --layout {layout}")
        _report(IMPORTS[layout](source, collection, name=name, prefix=prefix), as_json=as_json)
        return
    shares = None if fractions is None else numbers(fractions, "--fractions")
    options = SourceOptions(
        views=listed(views or "") or None, table=table, columns=_renamed(column or []),
        findings=listed(findings or "") or None, method=method, reports=reports,
        consensus=consensus, coding=coding, mapping=mapping, labels=labels, keep_ids=keep_ids,
        key_file=key, modalities=listed(modalities) or SourceOptions.modalities,
        workers=_for_headers(layout, None if engine == "ray" else workers),
    )  # fmt: skip
    with progress_bar("ingest") as progress:
        report = run(
            source, collection, layout=layout, size=size, resize=resize,
            channels=_CHANNELS[channels], pixels=not no_pixels,
            options=replace(options, progress=progress), name=name, prefix=prefix,
            fractions=shares, seed=seed, workers=workers, engine=engine, batch_rows=batch_rows,
            limits=Limits(seconds=timeout), progress=progress,
        )  # fmt: skip
    _report(report, as_json=as_json)


def show(
    context: typer.Context,
    collection: Uri,
    where: Where = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="List the files that could not be read, as CSV.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count what a collection holds: images, patients, visits, labels, boxes, embeddings."""
    from hilum.collection import open_collection
    from hilum.collection.summary import as_text, summarise

    opened = open_collection(collection)
    if quarantine:
        refuse_options(context, {"where"}, "of no effect with --quarantine")
        rows = opened.quarantine()
        emit(rows.to_dicts(), as_json=as_json, text=rows.write_csv().rstrip("\n"))
        return
    summary = summarise(opened.where(where) if where else opened)
    emit(summary, as_json=as_json, text=as_text(summary))


def export(
    context: typer.Context,
    collection: Uri,
    out: Annotated[Path, typer.Argument(help="A .csv file (csv), else a folder.")],
    to: Annotated[str, typer.Option(help="csv, chexzero or medselect.")] = "csv",
    where: Where = None,
    embedding: Annotated[
        str | None, typer.Option(help="The embedding to write (medselect).")
    ] = None,
    policy: Annotated[
        str, typer.Option(help="Uncertain labels: keep, positive, negative, ignore (medselect).")
    ] = "positive",
    as_json: AsJson = False,
) -> None:
    """Write a collection as CSV, as CheXzero's HDF5 + CSV, or as MedSelect's CSV + HDF5."""
    from hilum.collection import open_collection
    from hilum.export import export as run

    if to != "medselect":
        refuse_options(context, _OF_MEDSELECT, f"of no effect with --to {to}")
    opened = open_collection(collection)
    view = opened.where(where) if where else opened
    path = run(view, out, to, embedding=embedding, policy=policy)
    facts = {"out": str(path), "format": to, "images": len(view)}
    emit(facts, as_json=as_json, text=str(path))


def _report(report: "IngestReport", *, as_json: bool) -> None:
    """Print what an ingest did, and exit with 3 where files are in quarantine."""
    for text in report.notes:
        note(f"{report.source}: {text}")
    if report.split_by == "image":
        note(f"{report.source}: names no patients, so its split is by image")
    facts = {
        "collection": report.collection.uri,
        "version": report.collection.version,
        "source": report.source,
        "images": len(report.collection),
        "added": report.added,
        "already": report.already,
        "quarantined": report.quarantined,
        "split_by": report.split_by,
        "notes": list(report.notes),
    }
    bad = sum(report.quarantined.values())
    text = (
        f"{report.collection.uri}: {report.added:,} images added, {report.already:,} there before"
    )
    emit(facts, as_json=as_json, text=text)
    if bad:
        reasons = ", ".join(f"{reason} {count}" for reason, count in report.quarantined.items())
        note(f"{bad:,} files are in quarantine ({reasons}); "
             f"list them with: hilum show {report.collection.uri} --quarantine")  # fmt: skip
        raise typer.Exit(QUARANTINED)


def _for_headers(layout: str, workers: int | None) -> int | None:
    """Return how many processes read headers, here even where a cluster decodes; None is all."""
    return workers if layout in ("dicom", "vindr", "rsna") else 1


def _renamed(pairs: list[str]) -> dict[str, str]:
    from hilum.errors import UsageError

    for pair in pairs:
        if "=" not in pair.strip("="):
            raise UsageError(f"--column takes OURS=THEIRS, such as patient_id=MRN; got {pair!r}")
    return dict(pair.split("=", 1) for pair in pairs)
