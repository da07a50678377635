"""`hilum compare`: several ways to train under one budget."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hilum.cli.console import emit, note, progress_bar, read_settings

_VARIES = "What varies (every combination is trained)"
_SHARED = "What all share"
_MEASURED = "How they are measured"


def _option(panel: str, text: str, *names: str, shown: str | None = None) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=shown)


Backbones = Annotated[str, _option(_VARIES, "timm architectures, separated by commas.")]
Losses = Annotated[str, _option(_VARIES, "study, bce, positive, focal, asymmetric, adjusted, auc.")]
Poolings = Annotated[str, _option(_VARIES, "avg, max, own (the backbone's).")]
Inputs = Annotated[
    str,
    _option(_VARIES, "Such as image,image+demographics,image+demographics+previous."),
]
Starts = Annotated[str, _option(_VARIES, "random, timm:NAME, runs or weights to start from.")]

Recipe = Annotated[str, _option(_SHARED, "A recipe of hilum train.")]
Epochs = Annotated[float | None, _option(_SHARED, "The budget, in rounds of all images.")]
Steps = Annotated[int | None, _option(_SHARED, "The budget, in batches.")]
Size = Annotated[int | None, _option(_SHARED, "Side of the backbone's input, pixels.")]
Seeds = Annotated[str, _option(_SHARED, "Each way is trained once with each.")]
Findings = Annotated[str, _option(_SHARED, "What to learn, separated by commas; all by default.")]
Where = Annotated[str, _option(_SHARED, "Which images, as SQL; '' takes all.")]
Set = Annotated[
    list[str] | None,
    _option(_SHARED, "Any other field of the recipe, as NAME=VALUE (JSON).", "--set"),
]
Device = Annotated[str, _option(_SHARED, "auto, cpu or cuda.")]

Floor = Annotated[
    Literal["logistic", "boosted", "mean", "none"],
    _option(_MEASURED, "The model without pixels that stands beside.", shown="MODEL"),
]
Uncertain = Annotated[
    Literal["ignore", "positive", "negative"],
    _option(_MEASURED, "What uncertain labels count as there.", shown="POLICY"),
]
Bootstrap = Annotated[int, _option(_MEASURED, "Resamples; 0 for none.")]
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
    vary: dict[str, Any] = {axis: _listed(text) for axis, text in lists.items() if _listed(text)}
    if wanted := _listed(inputs):
        vary["inputs"] = tuple(tuple(entry.split("+")) for entry in wanted)
    given = {"epochs": epochs, "steps": steps, "size": size, "findings": _listed(findings) or None}
    changes = {key: value for key, value in given.items() if value is not None}
    changes |= read_settings(set_ or [])
    shared: dict[str, Any] = {"recipe": recipe, "changes": changes, "seeds": _whole_numbers(seeds)}
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


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(entry) for entry in _listed(text))
    except ValueError:
        message = f"expected whole numbers such as 0,1,2; got {text!r}"
        raise typer.BadParameter(message, param_hint="--seeds") from None
