"""`hilum train` and `hilum predict`: from all the labels of some patients to scores of others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import (
    AsJson,
    Device,
    EveryImage,
    Run,
    ScoreTable,
    Uri,
    listed,
    recipe_changes,
    refuse_options,
)
from hilum.cli.runs import first_process, read_document, with_interval
from hilum.cli.scores import hand_over

if TYPE_CHECKING:
    from hilum.collection import Collection

Inputs = Annotated[
    str,
    typer.Option(
        help="What the model sees, separated by commas: image, demographics (age, sex, view), "
        "previous (labels of the previous visit), history (of all earlier visits), course (more "
        "of them). By default image where there are pixels, else demographics,history."
    ),
]
Findings = Annotated[str, typer.Option(help="What to learn, separated by commas; all by default.")]
Uncertain = Annotated[
    str | None,
    typer.Option(
        "--uncertain",
        "--policy",
        help="What uncertain labels count as: ignore, positive, negative, or with the image a "
        "number from 0 to 1.",
        show_default="ignore",
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(help="With the image: nih-study, modern or modern-small (the default)."),
]
Backbone = Annotated[str | None, typer.Option(help="With the image: a timm architecture.")]
Init = Annotated[
    str | None,
    typer.Option(
        help="With the image: random, timm:NAME, a run of hilum pretrain or train, or weights."
    ),
]
Pooling = Annotated[
    Literal["own", "avg", "max"] | None,
    typer.Option(help="With the image: how the last feature map becomes a vector."),
]
Loss = Annotated[
    str | None,
    typer.Option(help="With the image: study, bce, positive, focal, asymmetric, adjusted or auc."),
]
Epochs = Annotated[float | None, typer.Option(help="With the image: rounds of all images.")]
Batch = Annotated[int | None, typer.Option(help="With the image: images per step.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="With the image: any field of the recipe, as NAME=VALUE (JSON)."),
]
NetworkDevice = Annotated[str, typer.Option(help="With the image: auto, cpu or cuda.")]
Model = Annotated[
    Literal["logistic", "boosted", "mean"] | None,
    typer.Option(
        help="Without it: logistic regression (the default), boosted trees, or the mean of both."
    ),
]
Refit = Annotated[
    bool,
    typer.Option(
        "--refit", help="Without it: fit again on train and val together, once all is chosen."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Of everything random.", show_default="0")]


# What says nothing of the other kind of model, as the function below calls it.
_OF_IMAGES: Final = ("recipe", "backbone", "init", "pooling", "loss", "epochs", "batch", "set_")
_OF_TABLES: Final = ("model", "refit")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(predict)


def train(
    context: typer.Context,
    collection: Uri,
    run: Run,
    inputs: Inputs = "",
    recipe: Recipe = None,
    backbone: Backbone = None,
    init: Init = None,
    pooling: Pooling = None,
    loss: Loss = None,
    uncertain: Uncertain = None,
    findings: Findings = "",
    where: EveryImage = "",
    epochs: Epochs = None,
    batch: Batch = None,
    set_: Set = None,
    device: NetworkDevice = "auto",
    model: Model = None,
    refit: Refit = False,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Train on the labels of the split train, and choose on the split val.

    With image among the inputs: a network, into RUN/classifier.safetensors. A run that was stopped
    goes on where it was when the same command is given again. Several GPUs: torchrun --no-python
    --nproc-per-node N hilum train ...

    Without: from age, sex, view and the labels of earlier visits, for collections made with
    --no-pixels, too, into RUN/model.safetensors.

    RUN/metrics.json says how either does on validation patients. No image of the split test is
    read.
    """
    from hilum.collection import open_collection

    whole = open_collection(collection)
    view = whole.where(where) if where else whole
    seen = listed(inputs) or (("image",) if view.size else ("demographics", "history"))
    names = tuple(listed(findings)) or None
    if "image" in seen:
        refuse_options(context, _OF_TABLES, "only for a model without the image (see --inputs)")
        fields = {
            "recipe": recipe, "--backbone architecture": backbone, "init": init,
            "pooling": pooling, "loss": loss, "epochs": epochs, "batch": batch, "seed": seed,
            "uncertain": None if uncertain is None else _number_or_name(uncertain),
        }  # fmt: skip
        changes = recipe_changes(fields, set_)
        facts = _train_classifier(view, run, seen, names, device, changes)
    else:
        refuse_options(context, _OF_IMAGES, "only for a model with the image (see --inputs)")
        facts = _train_tabular(
            view, run, seen, names, (model or "logistic", uncertain or "ignore", refit, seed or 0)
        )
    if first_process():
        emit(facts, as_json=as_json, text=f"{run}: {_said(facts)}")


def _train_classifier(
    view: "Collection", run: Path, inputs: tuple[str, ...], findings: tuple[str, ...] | None,
    device: str, changes: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    import hilum

    recipe = changes.pop("recipe", "modern-small")
    with progress_bar("train") as progress:
        made = hilum.train(
            view, run, recipe, inputs=inputs, findings=findings, device=device, progress=progress,
            **changes,
        )  # fmt: skip
    for finding, text in made.notes.items():
        note(f"{finding}: {text}")
    settings, metrics = (read_document(run, name) for name in ("settings.json", "metrics.json"))
    return {
        "run": str(run),
        "images": settings["images"],
        "fingerprint": made.fingerprint,
        **metrics,
    }


def _train_tabular(
    view: "Collection", run: Path, inputs: tuple[str, ...], findings: tuple[str, ...] | None,
    how: tuple[str, Any, bool, int],
) -> dict[str, Any]:  # fmt: skip
    from hilum.errors import UsageError
    from hilum.tabular import Recipe
    from hilum.tabular import train as run_training

    kind, uncertain, refit, seed = how
    if uncertain not in ("ignore", "positive", "negative"):
        raise UsageError(
            f"without the image an uncertain label counts as ignore, positive or negative; got "
            f"{uncertain!r}"
        )
    recipe = Recipe(tuple(inputs), kind, findings, uncertain, refit, seed)
    with progress_bar("train") as progress:
        made = run_training(view, run, recipe, progress)
    for finding, text in made.notes.items():
        note(f"{finding}: {text}")
    metrics = read_document(run)
    return {"run": str(run), "images": made.provenance["images"], **metrics}


def predict(
    collection: Uri,
    model: Annotated[Path, typer.Option(exists=True, help="A run of hilum train, or its weights.")],
    out: ScoreTable,
    where: EveryImage = "split = 'test'",
    without: Annotated[
        str,
        typer.Option(
            help="Inputs to do without, separated by commas, where the model learnt to: of a "
            "patient of whom nothing is known."
        ),
    ] = "",
    looks: Annotated[
        int | None, typer.Option(help="Looks at an image to average: 1, or 5 (into its corners).")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score images with a trained model; hilum evaluate reads the table.

    What is known of earlier visits comes from the whole collection, whatever --where keeps.
    """
    import hilum
    from hilum.collection import open_collection

    view = open_collection(collection)
    view = view.where(where) if where else view
    with progress_bar("predict") as progress:
        scores = hilum.predict(
            view, model, without=listed(without), looks=looks, device=device, progress=progress
        )
    hand_over(scores, out, as_json=as_json)


def _number_or_name(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _said(metrics: dict[str, Any]) -> str:
    if metrics["validation"] is None:
        return "no finding can be measured on validation patients"
    auroc = metrics["validation"]["mean"]["auroc"]
    if auroc["estimate"] is None:
        return "no finding can be measured on validation patients"
    return f"mean AUROC on validation patients {with_interval(auroc)}"
