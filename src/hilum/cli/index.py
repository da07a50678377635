"""`hilum index`: a search that need not compare every vector."""

from typing import TYPE_CHECKING, Annotated

import typer

from hilum.cli.console import emit, progress_bar
from hilum.cli.options import AsJson, Embedding, Uri

if TYPE_CHECKING:
    from hilum.collection import IndexState

Partitions = Annotated[
    int | None,
    typer.Option(min=1, help="Groups that vectors are put into; one for every 2,048 if not given."),
]
Seed = Annotated[int, typer.Option(help="Of the sample that the groups' centres are found with.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(index)


def index(
    collection: Uri,
    embedding: Embedding,
    partitions: Partitions = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make or refresh the index by which `hilum retrieve` finds the nearest of many images.

    Nothing is done if it covers every image already. It pays from about 200,000 images; below,
    comparing every vector is quick. Vectors that are written anew by hilum embed take the index
    with them: make it again then.
    """
    from hilum.collection import build_index

    with progress_bar("indexing") as bar:
        made, worked = build_index(
            collection, embedding, partitions=partitions, seed=seed, progress=bar
        )
    emit(_facts(made, worked), as_json=as_json, text=_sentence(made, worked))


def _facts(made: "IndexState", worked: bool) -> dict[str, object]:
    return {
        "embedding": made.embedding, "images": made.rows, "without_vector": made.missing,
        "partitions": made.partitions, "seed": made.seed, "made": worked,
    }  # fmt: skip


def _sentence(made: "IndexState", worked: bool) -> str:
    what = "made" if worked else "nothing to do: it covers every image"
    missing = f", {made.missing:,} of them without a vector" if made.missing else ""
    return (
        f"index of {made.embedding}: {what} ({made.rows:,} images{missing}, "
        f"{made.partitions:,} partitions)"
    )
