"""`hilum train` and `hilum predict`: from all the labels of some patients to scores of others."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hilum.cli.console import emit, note, progress_bar

Uri = Annotated[str, typer.Argument(help="A collection: a folder or a URI.")]
Inputs = Annotated[
    str,
    typer.Option(
        help="What the model sees, separated by commas: demographics (age, sex, view), previous "
        "(labels of the previous visit), history (of all earlier visits), course (more of them)."
    ),
]
Findings = Annotated[str, typer.Option(help="What to learn, separated by commas; all by default.")]
Where = Annotated[str, typer.Option(help="Which images, as SQL; '' takes all.")]
Uncertain = Annotated[
    Literal["ignore", "positive", "negative"], typer.Option(help="What uncertain labels count as.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(predict)


def train(
    collection: Uri,
    run: Annotated[Path, typer.Argument(help="A folder for the run.")],
    inputs: Inputs = "demographics,history",
    model: Annotated[
        Literal["logistic", "boosted", "mean"],
        typer.Option(help="logistic regression, boosted trees, or the mean of both."),
    ] = "logistic",
    findings: Findings = "",
    where: Where = "",
    policy: Uncertain = "ignore",
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Fit again on train and val together, once all is chosen."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Train on the labels of the split train, and choose on the split val.

    Without pixels: from age, sex, view and the labels of earlier visits, for collections made
    with --no-pixels, too. RUN/model.safetensors holds the model, RUN/metrics.json how it does on
    validation patients. No image of the split test is scored.
    """
    from hilum.collection import open_collection
    from hilum.tabular import Recipe
    from hilum.tabular import train as run_training

    names = _listed(findings)
    recipe = Recipe(tuple(_listed(inputs)), model, tuple(names) or None, policy, refit, seed)
    view = open_collection(collection)
    with progress_bar("train") as progress:
        made = run_training(view.where(where) if where else view, run, recipe, progress)
    for finding, text in made.notes.items():
        note(f"{finding}: {text}")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    facts = {"run": str(run), "images": made.provenance["images"], **metrics}
    emit(facts, as_json=as_json, text=f"{run}: {_said(metrics)}")


def predict(
    collection: Uri,
    model: Annotated[Path, typer.Option(exists=True, help="A run of hilum train, or its weights.")],
    out: Annotated[Path, typer.Option(help="Where the score table goes (.csv or .csv.gz).")],
    where: Where = "split = 'test'",
    as_json: Json = False,
) -> None:
    """Score images with a trained model; hilum evaluate reads the table.

    What is known of earlier visits comes from the whole collection, whatever --where keeps.
    """
    from hilum.collection import open_collection
    from hilum.tables import write_table
    from hilum.tabular import predict as score

    view = open_collection(collection)
    scores = score(view.where(where) if where else view, model)
    write_table(scores, out)
    for finding, text in scores.notes.items():
        note(f"{finding}: {text}")
    facts = {
        "scores": str(out),
        "images": len(scores),
        "findings": list(scores.findings),
        "notes": dict(scores.notes),
    }
    emit(facts, as_json=as_json, text=f"{out}: {len(scores)} images")


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _said(metrics: dict[str, Any]) -> str:
    if metrics["validation"] is None:
        return "no finding can be measured on validation patients"
    auroc = metrics["validation"]["mean"]["auroc"]
    if auroc["estimate"] is None:
        return "no finding can be measured on validation patients"
    low, high = (f"{auroc[end]:.3f}" for end in ("low", "high"))
    return f"mean AUROC on validation patients {auroc['estimate']:.3f} ({low} to {high})"
