"""`hilum classify`: from the labels of a few images to scores of the others."""

from pathlib import Path
from typing import Annotated

import typer

from hilum.cli.options import AsJson, Embedding, IdColumn, ScoreTable, Uncertain, Uri
from hilum.cli.scores import hand_over


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(classify)


def classify(
    collection: Uri,
    embedding: Embedding,
    labels: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The label table.")],
    out: ScoreTable,
    method: Annotated[str, typer.Option(help="cosine, euclidean, knn or probe.")] = "cosine",
    policy: Uncertain = "ignore",
    id_column: IdColumn = "image_id",
    seed: Annotated[int, typer.Option(help="Of the probe's cross-validation.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score every unlabelled image of a collection from the labels of a few."""
    from hilum.classify import classify as run
    from hilum.collection import open_collection
    from hilum.tables import read_table

    table = read_table(labels, id_column)
    opened = open_collection(collection)
    scores = run(opened, embedding, table, method, policy=policy, seed=seed)
    hand_over(scores, out, as_json=as_json, method=method)
