"""`hilum classify` and `hilum evaluate`: from labels to scores, and from scores to metrics."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hilum.cli.console import emit, note

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV table.")]
Uncertain = Annotated[
    Literal["ignore", "positive", "negative"], typer.Option(help="What uncertain labels count as.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(classify)
    app.command()(evaluate)


def classify(
    collection: Annotated[str, typer.Argument(help="A collection: a folder or a URI.")],
    embedding: Annotated[str, typer.Option(help="Name of the embedding to work on.")],
    labels: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The label table.")],
    out: Annotated[Path, typer.Option(help="Where the score table goes (.csv or .csv.gz).")],
    method: Annotated[str, typer.Option(help="cosine, euclidean, knn or probe.")] = "cosine",
    policy: Uncertain = "ignore",
    id_column: Annotated[
        str, typer.Option("--id", help="The label table's id column.")
    ] = "image_id",
    seed: Annotated[int, typer.Option(help="Of the probe's cross-validation.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score every unlabelled image of a collection from the labels of a few."""
    from hilum.classify import classify as run
    from hilum.collection import open_collection
    from hilum.tables import read_table, write_table

    table = read_table(labels, id_column)
    opened = open_collection(collection)
    scores = run(opened, embedding, table, method, policy=policy, seed=seed)
    write_table(scores, out)
    for finding, text in scores.notes.items():
        note(f"{finding}: {text}")
    facts = {
        "scores": str(out),
        "images": len(scores),
        "findings": list(scores.findings),
        "method": method,
        "notes": dict(scores.notes),
    }
    emit(facts, as_json=as_json, text=str(out))


def evaluate(
    scores: File,
    truth: File,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and metrics.csv.")],
    id_column: Annotated[
        str, typer.Option("--id", help="The id column of both tables.")
    ] = "image_id",
    score_id: Annotated[str, typer.Option(help="The scores' id column, where it differs.")] = "",
    prefix: Annotated[
        str, typer.Option(help="What the scores' finding columns start with, such as prob_.")
    ] = "",
    findings: Annotated[str, typer.Option(help="Only these findings, separated by commas.")] = "",
    by: Annotated[
        str, typer.Option(help="Column of TRUTH resampled as a whole, or image.")
    ] = "patient_id",
    bootstrap: Annotated[int, typer.Option(help="Resamples; 0 for no intervals.")] = 1000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    policy: Uncertain = "ignore",
    as_json: AsJson = False,
) -> None:
    """Measure SCORES against TRUTH: AUROC and average precision with intervals."""
    from hilum.evaluate import evaluate as run
    from hilum.evaluate import read_pair

    chosen = [name.strip() for name in findings.split(",") if name.strip()] or None
    unit = None if by == "image" else by
    pair = read_pair(
        scores, truth, score_id or id_column, id_column, findings=chosen, by=unit, prefix=prefix
    )
    metrics = run(*pair, unit, bootstrap=bootstrap, seed=seed, level=level, policy=policy)
    metrics.save(out)
    for line in metrics.remarks():
        note(line)
    emit(metrics.to_json(), as_json=as_json, text=metrics.to_text())
