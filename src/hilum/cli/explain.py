"""`hilum explain`: where a model sees a finding, and whether it is there."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.errors import UsageError

if TYPE_CHECKING:
    from hilum.explain import Saliency

Uri = Annotated[str, typer.Argument(help="A collection: a folder or a URI.")]
Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE_ID]...", help="Of which; all if none is named."),
]
Model = Annotated[
    str, typer.Option(help="A classifier or a pair of encoders: a run or a weights file.")
]
Out = Annotated[Path, typer.Option(help="Folder for maps, pictures, scores and the page.")]
Finding = Annotated[
    list[str] | None,
    typer.Option("--finding", help="What to explain; repeatable. By default all the model scores."),
]
MethodName = Annotated[
    str, typer.Option(help="grad-cam, grad-cam++, hires-cam, layer-cam or eigen-cam.")
]
LayerName = Annotated[
    str | None, typer.Option(help="Of the network; by default the last that has a map.")
]
Where = Annotated[str | None, typer.Option(help="SQL: only images that fulfil it.")]
Prompts = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="For a pair: wordings of your own.")
]
Score = Annotated[
    bool, typer.Option("--score", help="Score the maps against the collection's boxes, or --masks.")
]
Masks = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="A phantom hospital, or FINDING/IMAGE_ID.png."),
]
Pictures = Annotated[int, typer.Option(min=0, help="How many maps to draw, the first ones.")]
Tolerance = Annotated[
    float, typer.Option(help="With --score: how near still counts, as a share of the image.")
]
Bootstrap = Annotated[int, typer.Option(help="With --score: resamples of patients.")]
Level = Annotated[float, typer.Option(help="With --score: coverage of the intervals.")]
Seed = Annotated[int, typer.Option(help="With --score: of all that is drawn.")]
Batch = Annotated[int, typer.Option(help="Images at a time.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    collection: Uri,
    model: Model,
    out: Out,
    images: Images = None,
    findings: Finding = None,
    method: MethodName = "grad-cam",
    layer: LayerName = None,
    where: Where = None,
    prompts: Prompts = None,
    score: Score = False,
    masks: Masks = None,
    pictures: Pictures = 100,
    tolerance: Tolerance = 0.03,
    bootstrap: Bootstrap = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Show what in an image speaks for a finding, as a model sees it.

    With --score only images and findings that are marked are explained, and the
    maps are compared with noise, with the centre, and with another patient's.
    """
    from hilum.appraisal.heat_maps import Showing, write_maps
    from hilum.collection import open_collection
    from hilum.explain import boxes_of, read_masks, score_maps
    from hilum.explain import explain as run

    if masks is not None and not score:
        raise UsageError("--masks is what --score scores against: give both")
    opened = open_collection(collection)
    view = opened if where is None else opened.where(where)
    marked = found = None
    if score:
        marked = boxes_of(view) if masks is None else read_masks(masks, images or view.ids())
    with progress_bar("explain") as progress:
        maps = run(
            view, model, images or None, findings=findings or None, method=method, layer=layer,
            marked=marked, prompts=prompts, batch_size=batch, device=device, progress=progress,
        )  # fmt: skip
    if marked is not None:
        with progress_bar("score") as progress:
            found = score_maps(
                maps, marked, view, tolerance=tolerance, bootstrap=bootstrap, level=level,
                seed=seed, progress=progress,
            )  # fmt: skip
    with progress_bar("draw") as progress:
        showing = Showing(maps, view, marked)
        made = write_maps(showing, out, found, most=pictures, progress=progress)
    _remark(maps, len(made.pictures), () if marked is None or findings else marked.findings)
    data = {
        "maps": len(maps), "blank": maps.blank(), "files": [str(one) for one in made.files],
        "pictures": [str(one) for one in made.pictures],
        "scores": None if found is None else found.to_json(),
    }  # fmt: skip
    text = f"{len(maps)} maps in {out}" if found is None else found.to_text()
    emit(data, as_json=as_json, text=text)


def _remark(maps: "Saliency", drawn: int, marked: Sequence[str]) -> None:
    """Say what was not drawn, what is blank, and what is marked that the model does not score."""
    from hilum.explain.diagnosis import WORDS

    if lost := [name for name in marked if name not in maps.targets]:
        note(f"the model has no output for {', '.join(lost)}, which is marked too")
    if drawn < len(maps):
        note(f"{drawn} of {len(maps)} maps were drawn; more with --pictures")
    for kind, number in maps.blank().items():
        note(f"{number} of {len(maps)} maps are blank: {WORDS[kind]}")
