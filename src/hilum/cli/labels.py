"""`hilum labels` and `hilum readers`: label tables from reports, and of single readers."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hilum.cli.console import emit, note
from hilum.cli.options import AsJson, Uri, Where, listed

Section = Annotated[
    Literal["findings", "impression", "both"], typer.Option(help="Which text to read.")
]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(labels)
    app.command()(readers)


def labels(
    collection: Uri,
    out: Annotated[Path, typer.Option(help="Where the table goes (.csv or .csv.gz).")],
    findings: Annotated[
        str | None, typer.Option(help="Which to label, separated by commas; all.")
    ] = None,
    section: Section = "both",
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Label images by what their radiology reports say: 1, 0, -1 uncertain, empty not mentioned.

    By rules for reports in English (docs/choices.md says how good they are).
    """
    from dataclasses import asdict

    from hilum.collection import open_collection
    from hilum.reports import count_labels, report_labels
    from hilum.tables import write_table

    opened = open_collection(collection)
    view = opened.where(where) if where else opened
    wanted = listed(findings or "") or None
    table = report_labels(view, wanted, section)
    write_table(table, out)
    left_out = len(view) - len(table)
    if left_out:
        note(f"{left_out} of {len(view)} images have no such text and are left out")
    counts = count_labels(table)
    for name, count in counts.items():
        note(f"{name}: {count.present} present, {count.absent} absent, "
             f"{count.uncertain} uncertain, {count.not_mentioned} not mentioned")  # fmt: skip
    facts = {
        "labels": str(out),
        "images": len(table),
        "without_report": left_out,
        "section": section,
        "findings": {name: asdict(count) for name, count in counts.items()},
    }
    emit(facts, as_json=as_json, text=str(out))


def readers(
    collection: Uri,
    out: Annotated[Path, typer.Argument(help="The folder for the tables.")],
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Write what single readers said, where several read an image (sources such as vindr).

    OUT/readers/NAME.csv: each reader's labels, for hilum evaluate --readers. OUT/share.csv: the
    share of an image's readers that see a finding, labels that keep their doubt.
    """
    from hilum.collection import open_collection, reader_shares, reader_tables
    from hilum.tables import write_table

    opened = open_collection(collection)
    view = opened.where(where) if where else opened
    tables, shares = reader_tables(view), reader_shares(view)
    (out / "readers").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, out / "readers" / f"{name}.csv")
    write_table(shares, out / "share.csv")
    read = {name: int((table.values == table.values).any(axis=1).sum())
            for name, table in tables.items()}  # fmt: skip
    facts = {"out": str(out), "images": len(shares), "readers": read}
    emit(facts, as_json=as_json, text=str(out))
