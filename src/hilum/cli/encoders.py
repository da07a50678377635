"""`hilum pretrain`, `hilum embed` and `hilum convert`: encoders made, used and brought in."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import (
    Architecture,
    AsJson,
    AtOnce,
    Device,
    Epochs,
    EveryImage,
    PerStep,
    Rate,
    RecipeSeed,
    Run,
    Set,
    Side,
    Steps,
    recipe_changes,
    refuse_options,
)
from hilum.cli.runs import first_process, read_document

pretrain_app = typer.Typer(
    help="Train an encoder without labels.", no_args_is_help=True, rich_markup_mode="rich"
)

Pixels = Annotated[str, typer.Argument(help="A collection with pixels.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(pretrain_app, name="pretrain")
    app.command()(embed)
    app.command()(convert)


@pretrain_app.command()
def moco(
    collection: Pixels,
    run: Run,
    recipe: Annotated[str, typer.Option(help="moco-small or moco-cxr.")] = "moco-small",
    where: EveryImage = "split = 'train'",
    steps: Steps = None,
    epochs: Epochs = None,
    batch: PerStep = None,
    size: Side = None,
    arch: Architecture = None,
    lr: Rate = None,
    queue: Annotated[int | None, typer.Option(help="Length of the queue of keys.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Divides the cosines.")] = None,
    init: Annotated[
        str | None, typer.Option(help="random, timm:NAME, a weights file or a run.")
    ] = None,
    seed: RecipeSeed = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32.")] = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Pretrain an image encoder by momentum contrast (MoCo v2, as MoCo-CXR uses it).

    The encoder is written to RUN/encoder.safetensors. A run that was stopped goes on where it
    was when the same command is given again. Several GPUs: torchrun --no-python
    --nproc-per-node N hilum pretrain moco ...
    """
    import hilum

    given = {
        "steps": steps, "epochs": epochs, "batch": batch, "size": size, "--arch architecture": arch,
        "lr": lr, "queue": queue, "temperature": temperature, "init": init, "seed": seed,
        "precision": precision,
    }  # fmt: skip
    changes = recipe_changes(given, set_)
    chosen = hilum.open(collection)
    if where:
        chosen = chosen.where(where)
    note(f"{len(chosen)} images")
    with progress_bar("pretrain") as progress:
        encoder = hilum.pretrain(chosen, run, recipe, device=device, progress=progress, **changes)
    if not first_process():
        return
    metrics = read_document(run)
    found = {"run": str(run), "images": len(chosen), "fingerprint": encoder.fingerprint,
             "metrics": metrics}  # fmt: skip
    text = f"{run}: loss {metrics['loss']:.3f}, encoder {encoder.fingerprint[:12]}"
    emit(found, as_json=as_json, text=text)


@pretrain_app.command()
def report(
    collection: Annotated[str, typer.Argument(help="A collection with pixels and reports.")],
    run: Run,
    recipe: Annotated[str, typer.Option(help="reports-small or chexzero.")] = "reports-small",
    where: Annotated[
        str, typer.Option(help="Which images to learn from, as SQL; '' takes all.")
    ] = "split = 'train'",
    validate: Annotated[
        str | None,
        typer.Option(
            help="What decides which weights are kept: retrieval, zeroshot (reads the labels of "
            "the validation images) or none."
        ),
    ] = None,
    validation: Annotated[
        str, typer.Option(help="Which images decide it, as SQL.")
    ] = "split = 'val'",
    init: Annotated[
        str | None,
        typer.Option(help="random, a MoCo run, a pair, timm:NAME or open_clip:NAME:TAG."),
    ] = None,
    steps: Steps = None,
    epochs: Epochs = None,
    batch: PerStep = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Pretrain an encoder of images and texts on images and their reports (CLIP, CheXzero).

    The pair is written to RUN/encoder.safetensors. A run that was stopped goes on where it was
    when the same command is given again. Several GPUs: torchrun --no-python --nproc-per-node N
    hilum pretrain report ...
    """
    import hilum

    given = {"validate": validate, "init": init, "steps": steps, "epochs": epochs, "batch": batch}
    changes = recipe_changes(given, set_)
    every = hilum.open(collection)
    chosen = every.where(where) if where else every
    judges = None if changes.get("validate") == "none" else every.where(validation)
    note(f"{len(chosen)} images")
    with progress_bar("pretrain") as progress:
        pair = hilum.pretrain_reports(
            chosen, run, recipe, validation=judges, device=device, progress=progress, **changes
        )
    if not first_process():
        return
    metrics, reports = read_document(run), read_document(run, "settings.json")["reports"]
    if reports["left_out"]:
        note(f"{reports['left_out']} images left out: nothing to learn from in their reports")
    found = {"run": str(run), "fingerprint": pair.fingerprint, "reports": reports,
             "metrics": metrics}  # fmt: skip
    best = "" if metrics["best"] is None else f", best measure {metrics['best']:.3f}"
    text = f"{run}: loss {metrics['loss']:.3f}{best}, pair {pair.fingerprint[:12]}"
    emit(found, as_json=as_json, text=text)


def embed(
    context: typer.Context,
    collection: Pixels,
    encoder: Annotated[
        str,
        typer.Option(
            help="A run folder, a weights file, timm:NAME, open_clip:NAME:TAG, or random:NAME "
            "(untrained)."
        ),
    ],
    name: Annotated[str, typer.Option(help="What to call the embedding.")],
    batch: AtOnce = 64,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another encoder's of this name.")
    ] = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(metavar="ENGINE", help="local: this machine; ray: those of a Ray cluster."),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="With ray: how many encode; one for each GPU, else processor."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Add one vector per image to a collection, under a name.

    A job that was stopped goes on where it was when the same command is given again.
    """
    import hilum
    from hilum.encoders.device import choose_engine

    there = engine == "ray"
    if not there:
        refuse_options(context, ("workers",), "only with --engine ray")
    loaded = hilum.load_encoder(encoder, engine=choose_engine("cpu" if there else device))
    with progress_bar("embed") as progress:
        view = hilum.embed(
            hilum.open(collection), encoder if there else loaded, name, batch_size=batch,
            overwrite=overwrite, engine=engine, workers=workers, device=device, progress=progress,
        )  # fmt: skip
    found = {
        "collection": collection,
        "embedding": name,
        "images": len(view),
        "dim": loaded.spec.dim,
        "fingerprint": loaded.fingerprint,
        "engine": f"ray, {device} on each worker" if there else str(loaded.engine),
    }
    text = f"{collection}: {name}, {len(view)} vectors of {loaded.spec.dim} numbers"
    emit(found, as_json=as_json, text=text)


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A foreign checkpoint (.pth.tar, .pt).")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    layout: Annotated[
        str,
        typer.Option("--from", help="Who wrote it: moco-cxr, chexnet, x-mir, chexzero, open-clip."),
    ],
    arch: Annotated[
        str | None, typer.Option(help="Its model, where the weights do not say: ViT-B-32.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the encoder's input, pixels; 320 for moco-cxr.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a foreign checkpoint to an encoder, and account for everything in it."""
    import hilum

    report = hilum.convert(checkpoint, out, layout, size=size, architecture=arch)
    emit(report.as_dict(), as_json=as_json, text=report.as_text())
