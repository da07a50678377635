"""`hilum zeroshot`: findings read off images by sentences."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import (
    AsJson,
    AtOnce,
    Device,
    ScoreTable,
    Uncertain,
    Uri,
    Where,
    listed,
    refuse_options,
)
from hilum.errors import UsageError

if TYPE_CHECKING:
    from hilum.prompts import Template

Encoders = Annotated[
    list[str],
    typer.Option(
        "--encoder",
        help="A pair of encoders: a run, a weights file, open_clip:NAME:TAG. Of several (repeat "
        "it, or 'RUN/best-*') the scores are averaged.",
    ),
]
Findings = Annotated[
    str,
    typer.Option(
        help="What to look for, separated by commas; by default what --prompts is about, else "
        "the collection's findings."
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="Wordings of your own, perhaps several a finding."
    ),
]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        help="Sentences to fill, such as 'there is {}|there is no {}', for classes 'the sex is "
        "{}'; repeatable, averaged.",
    ),
]
Asked = Annotated[
    Literal["hilum", "chexzero", "classes"],
    typer.Option(
        metavar="MODE",
        help="hilum; chexzero: its templates and plain cosines; classes: names that exclude "
        "each other.",
    ),
]
ChooseOn = Annotated[
    str | None,
    typer.Option(
        help="val, train or a label table: the best of several wordings by its AUROC there."
    ),
]
Scale = Annotated[
    float | None,
    typer.Option(help="Multiplies cosines; by default what was learnt, 1 for chexzero."),
]
Calibrate = Annotated[
    Literal["temperature", "platt", "isotonic"] | None,
    typer.Option(
        help="temperature, platt or isotonic: scores become probabilities, fitted to --choose-on.",
        metavar="METHOD",
    ),
]
Threshold = Annotated[
    str | None,
    typer.Option(
        metavar="RULE", help="Applied to --choose-on: mcc, f1, youden, sensitivity=0.95, ..."
    ),
]
Thresholds = Annotated[Path | None, typer.Option(help="Where the thresholds go (CSV).")]
Keep = Annotated[bool, typer.Option("--keep/--no-keep", help="Keep new vectors in the collection.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(zeroshot)


def zeroshot(
    context: typer.Context,
    collection: Uri,
    encoders: Encoders,
    out: ScoreTable,
    findings: Findings = "",
    prompts: Prompts = None,
    templates: Templates = None,
    mode: Asked = "hilum",
    choose_on: ChooseOn = None,
    where: Where = None,
    scale: Scale = None,
    policy: Uncertain = "ignore",
    calibrate: Calibrate = None,
    threshold: Threshold = None,
    thresholds: Thresholds = None,
    keep: Keep = True,
    batch: AtOnce = 64,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score images for findings in words, without labels.

    An image is compared with sentences that say a finding is there, and that it
    is not. Images are encoded once: the next prompts use the vectors kept.
    """
    from hilum.collection import open_collection
    from hilum.evaluate.thresholds import write_thresholds
    from hilum.tables import write_table
    from hilum.zeroshot import detect

    if (threshold is None) != (thresholds is None):
        raise UsageError("--threshold RULE chooses thresholds and --thresholds FILE keeps them: "
                         "give both or neither")  # fmt: skip
    if choose_on is None:
        refuse_options(context, {"policy"}, "of no effect without --choose-on")
    names = listed(findings)
    with progress_bar("encode") as progress:
        found = detect(
            open_collection(collection), encoders, names or None,
            prompts=prompts, templates=_templates(templates, mode), mode=mode, where=where,
            scale=scale, choose_on=choose_on, policy=policy, calibrate=calibrate,
            threshold=threshold, keep=keep, batch_size=batch, device=device, progress=progress,
        )  # fmt: skip
    write_table(found.scores, out)
    if thresholds is not None and found.thresholds is not None:
        write_thresholds(found.thresholds, thresholds)
    for line in found.remarks():
        note(line)
    said = {"scores": str(out), **found.to_json()}
    emit(
        said,
        as_json=as_json,
        text=f"{out}: {len(found.scores)} images, {', '.join(found.scores.findings)}",
    )


def _templates(given: list[str] | None, mode: str) -> "list[Template] | list[str] | None":
    """Split a template into its two sides, where it has to have two."""
    if not given or mode == "classes":
        return given or None
    sides = [tuple(text.split("|")) for text in given]
    for text, two in zip(given, sides, strict=True):
        if len(two) != 2:
            raise UsageError(
                f"{text!r} is not a template: it has two sides, as in "
                "'there is {}|there is no {}'"
            )
    return [(present, absent) for present, absent in sides]
