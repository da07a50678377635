"""`hilum compare`: several ways to train under one budget."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import input_sets, listed, option, recipe_changes, whole_numbers

_VARIES = "What varies (every combination is trained)"
_SHARED = "What all share"
_MEASURED = "How they are measured"


Backbones = Annotated[str, option(_VARIES, "timm architectures, separated by commas.")]
Losses = Annotated[str, option(_VARIES, "study, bce, positive, focal, asymmetric, adjusted, auc.")]
Poolings = Annotated[str, option(_VARIES, "avg, max, own (the backbone's).")]
Inputs = Annotated[
    str,
    option(_VARIES, "Such as image,image+demographics,image+demographics+previous."),
]
Starts = Annotated[str, option(_VARIES, "random, timm:NAME, runs or weights to start from.")]

Recipe = Annotated[str, option(_SHARED, "A recipe of hilum train.")]
Epochs = Annotated[float | None, option(_SHARED, "The budget, in rounds of all images.")]
Steps = Annotated[int | None, option(_SHARED, "The budget, in batches.")]
Size = Annotated[int | None, option(_SHARED, "Side of the backbone's input, pixels.")]
Seeds = Annotated[str, option(_SHARED, "Each way is trained once with each.")]
Findings = Annotated[str, option(_SHARED, "What to learn, separated by commas; all by default.")]
Where = Annotated[str, option(_SHARED, "Which images, as SQL; '' takes all.")]
Set = Annotated[
    list[str] | None,
    option(_SHARED, "Any other field of the recipe, as NAME=VALUE (JSON).", "--set"),
]
Device = Annotated[str, option(_SHARED, "auto, cpu or cuda.")]

Floor = Annotated[
    Literal["logistic", "boosted", "mean", "none"],
    option(_MEASURED, "The model without pixels that stands beside.", shown="MODEL"),
]
Uncertain = Annotated[
    Literal["ignore", "positive", "negative"],
    option(_MEASURED, "What uncertain labels count as there.", shown="POLICY"),
]
Bootstrap = Annotated[int, option(_MEASURED, "Resamples; 0 for none.")]
Json = Annotated[bool, typer.Option("--json", help="Print comparison.json instead of tables.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    collection: Annotated[str, typer.Argument(help="A collection with pixels and labels.")],
    run: Annotated[Path, typer.Argument(help="A folder; one of an earlier comparison goes on.")],
    backbones: Backbones = "",
    losses: Losses = "",
    poolings: Poolings = "",
    inputs: Inputs = "",
    starts: Starts = "",
    recipe: Recipe = "nih-study",
    epochs: Epochs = None,
    steps: Steps = None,
    size: Size = None,
    seeds: Seeds = "0",
    findings: Findings = "",
    where: Where = "",
    set_: Set = None,
    device: Device = "auto",
    floor: Floor = "logistic",
    policy: Uncertain = "ignore",
    bootstrap: Bootstrap = 1000,
    as_json: Json = False,
) -> None:
    """Train several ways under one budget, and choose one on validation patients.

    The six backbones of the NIH study, if nothing is said to vary. Each way
    is trained in a process of its own. Test images are scored once all is
    chosen: all, first visits and follow-ups, next to a model without pixels.
    Tables, figures and a page go to RUN/comparison.*; more ways can be added
    to a comparison later.
    """
    from hilum.collection import open_collection
    from hilum.comparison import Design, Intervals, as_text, compare_training, save
    from hilum.comparison import as_json as document

    lists = {"backbone": backbones, "loss": losses, "pooling": poolings, "start": starts}
    vary: dict[str, Any] = {axis: listed(text) for axis, text in lists.items() if listed(text)}
    if wanted := input_sets(inputs):
        vary["inputs"] = wanted
    given = {"epochs": epochs, "steps": steps, "size": size, "findings": listed(findings) or None}
    changes = recipe_changes(given, set_)
    shared: dict[str, Any] = {
        "recipe": recipe,
        "changes": changes,
        "seeds": whole_numbers(seeds, "--seeds"),
    }
    view = open_collection(collection)
    with progress_bar("train") as progress:
        found = compare_training(
            view.where(where) if where else view,
            run,
            Design(vary, **shared) if vary else Design(**shared),
            floor=None if floor == "none" else floor,
            policy=policy,
            intervals=Intervals(bootstrap),
            device=device,
            progress=progress,
            told=note,
        )
    save(found, run)
    emit(document(found), as_json=as_json, text=f"{as_text(found)}\n\n{run}/comparison.html")
