"""`hilum metric`: an encoder by which images with the same finding are near each other."""

from typing import Annotated, Any

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import (
    Architecture,
    AsJson,
    Device,
    Rate,
    RecipeSeed,
    Run,
    Set,
    Side,
    Steps,
    Uri,
    listed,
    recipe_changes,
)
from hilum.cli.runs import first_process, read_document, with_interval

Recipe = Annotated[str, typer.Option(help="x-mir, metric or metric-small.")]
Findings = Annotated[
    str, typer.Option(help="What makes images alike, separated by commas; all by default.")
]
Anomaly = Annotated[
    str | None,
    typer.Option(help="A finding to leave out; hilum retrieve --evaluate anomaly scores it."),
]
Where = Annotated[str, typer.Option(help="Which images to learn from, as SQL.")]
Validation = Annotated[str, typer.Option(help="Which images choose the weights, as SQL.")]
Init = Annotated[str | None, typer.Option(help="random, timm:NAME, a run, or a weights file.")]
Projection = Annotated[
    int | None,
    typer.Option(help="Length of a linear layer after the pooled features; 0 is none."),
]
Loss = Annotated[
    str | None,
    typer.Option(help="triplet, triplet-hard, multi-similarity, supcon or proxy-anchor."),
]
Kinds = Annotated[int | None, typer.Option(help="Findings in a batch.")]
Each = Annotated[int | None, typer.Option(help="Images of each finding in a batch.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(metric)


def metric(
    collection: Uri,
    run: Run,
    recipe: Recipe = "metric-small",
    findings: Findings = "",
    anomaly: Anomaly = None,
    where: Where = "split = 'train'",
    validation: Validation = "split = 'val'",
    init: Init = None,
    backbone: Architecture = None,
    size: Side = None,
    projection: Projection = None,
    loss: Loss = None,
    kinds: Kinds = None,
    each: Each = None,
    steps: Steps = None,
    lr: Rate = None,
    seed: RecipeSeed = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train an encoder by which images with the same finding are near each other (X-MIR).

    The encoder is written to RUN/encoder.safetensors, and RUN/metrics.json says how validation
    images find each other. A run that was stopped goes on where it was when the same command is
    given again. Several GPUs: torchrun --no-python --nproc-per-node N hilum metric ...

    No image of the split test is read: hilum embed, then hilum retrieve --evaluate, measure there.
    """
    import hilum

    given = {
        "init": init, "--backbone architecture": backbone, "size": size, "projection": projection,
        "loss": loss, "kinds": kinds, "each": each, "steps": steps, "lr": lr, "seed": seed,
    }  # fmt: skip
    changes = recipe_changes(given, set_)
    whole = hilum.open(collection)
    names = listed(findings)
    with progress_bar("metric") as progress:
        encoder = hilum.train_metric(
            whole.where(where) if where else whole, run, recipe,
            validation=whole.where(validation),
            findings=names or None, anomaly=anomaly, device=device, progress=progress, **changes,
        )  # fmt: skip
    if not first_process():
        return
    metrics = read_document(run)
    for name, images in metrics["left_out"].items():
        note(f"{name}: left out of the batches, {images} images are too few")
    facts = {"run": str(run), "fingerprint": encoder.fingerprint, **metrics}
    emit(facts, as_json=as_json, text=f"{run}: {_said(metrics)}")


def _said(metrics: dict[str, Any]) -> str:
    apart = f"mean distance between images {metrics['distance']['taught']:.3f}"
    if metrics["validation"] is None:
        return f"loss {metrics['loss']:.3f}, {apart}; no validation images"
    found = metrics["validation"]["average_precision"]
    if found["estimate"] is None:
        return f"loss {metrics['loss']:.3f}, {apart}; no validation image can find its like"
    return f"mAP on validation patients {with_interval(found)}, {apart}"
