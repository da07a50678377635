"""`hilum explain`: where a model sees a finding, or why an encoder holds images for similar."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.explain_pairs import Asked, similar
from hilum.cli.options import (
    AsJson,
    AtOnce,
    Device,
    Uri,
    Where,
    listed,
    read_settings,
    refuse_options,
)

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.explain import Localisation, Regions, Saliency

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[IMAGE_ID]...",
        help="Of which; all if none is named. With --query: what was retrieved, nearest first.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="A classifier or a pair of encoders, with --query any encoder: a run or a weights "
        "file."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for maps, pictures, scores and the page.")]
Findings = Annotated[
    str, typer.Option(help="What to explain, separated by commas; by default all the model scores.")
]
MethodName = Annotated[
    str | None,
    typer.Option(
        help="Of a finding: grad-cam (unless given), grad-cam++, hires-cam, layer-cam, eigen-cam. "
        "With --query: sbsm (unless given), simcam, simatt, feature-masks, score-cam, rise, "
        "relevance."
    ),
]
Query = Annotated[
    str | None,
    typer.Option(help="Explain why images are similar to this one, an id; not a finding."),
]
Embedding = Annotated[
    str | None,
    typer.Option(help="With --query and no image named: take the nearest by these vectors."),
]
Nearest = Annotated[int, typer.Option("-k", min=1, help="With --embedding: how many.")]
Fidelity = Annotated[
    bool,
    typer.Option(
        "--fidelity",
        help="With --query: measure insertion and deletion, and what the maps point at where "
        "--masks or boxes mark a finding of both.",
    ),
]
StepsOf = Annotated[int, typer.Option(help="With --fidelity: of insertion and deletion.")]
XMirJson = Annotated[
    bool, typer.Option("--x-mir-json", help="With --fidelity: also as X-MIR writes it.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="With --query: a setting of the method, as NAME=VALUE (JSON)."),
]
LayerName = Annotated[
    str | None, typer.Option(help="Of the network; by default the last that has a map.")
]
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
    float, typer.Option(help="When scored: how near still counts, as a share of the image.")
]
Bootstrap = Annotated[int, typer.Option(help="When scored: resamples of patients.")]
Level = Annotated[float, typer.Option(help="When scored: coverage of the intervals.")]
Seed = Annotated[int, typer.Option(help="When scored: of all that is drawn.")]


# What says nothing of other maps, as the function below calls it.
_OF_FINDINGS: Final = {"findings", "prompts", "score"}
_OF_PAIRS: Final = {"embedding", "k", "fidelity", "steps", "x_mir_json", "settings"}
_OF_MEASURES: Final = {"masks", "steps", "x_mir_json", "tolerance", "bootstrap", "level", "seed"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    context: typer.Context,
    collection: Uri,
    model: Model,
    out: Out,
    images: Images = None,
    findings: Findings = "",
    method: MethodName = None,
    layer: LayerName = None,
    query: Query = None,
    embedding: Embedding = None,
    k: Nearest = 5,
    fidelity: Fidelity = False,
    steps: StepsOf = 224,
    x_mir_json: XMirJson = False,
    settings: Settings = None,
    where: Where = None,
    prompts: Prompts = None,
    score: Score = False,
    masks: Masks = None,
    pictures: Pictures = 100,
    tolerance: Tolerance = 0.03,
    bootstrap: Bootstrap = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    batch: AtOnce = 16,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Show what in an image speaks for a finding, as a model sees it.

    With --score only images and findings that are marked are explained, and the
    maps are compared with noise, with the centre, and with another patient's.
    With --query the images named are ones that were retrieved for it, and the maps
    show why an encoder holds them for similar to it.
    """
    from hilum.appraisal.heat_maps import MAP_FILES
    from hilum.appraisal.outputs import check_own
    from hilum.collection import open_collection
    from hilum.explain.files import ABOUT

    _refuse(context, query=query is not None, named=bool(images), measured=score or fidelity)
    opened = open_collection(collection)
    counting = {"tolerance": tolerance, "bootstrap": bootstrap, "level": level, "seed": seed}
    if query is not None:
        asked = Asked(
            query, where, images, k, embedding, method or "sbsm", layer,
            read_settings(settings or []), fidelity, steps, x_mir_json, masks, counting, pictures,
            batch, device,
        )  # fmt: skip
        similar(opened, model, out, asked, as_json=as_json)
        return
    check_own(out, ABOUT, MAP_FILES)
    view = opened if where is None else opened.where(where)
    names = listed(findings)
    maps, marked = _map(
        view, model, images or None, (score, masks), findings=names or None,
        method=method or "grad-cam", layer=layer, prompts=prompts, batch_size=batch, device=device,
    )  # fmt: skip
    found = None if marked is None else _score(maps, marked, view, counting)
    _write(maps, view, marked, found, out, pictures, as_json, named=bool(names))


def _map(
    view: "Collection", model: str, images: list[str] | None, score: tuple[bool, Path | None],
    **asked: Any,
) -> "tuple[Saliency, Regions | None]":  # fmt: skip
    from hilum.explain import boxes_of, explain, read_masks

    wanted, masks = score
    marked = None
    if wanted:
        marked = boxes_of(view) if masks is None else read_masks(masks, images or view.ids())
    with progress_bar("explain") as progress:
        return explain(view, model, images, marked=marked, progress=progress, **asked), marked


def _score(
    maps: "Saliency", marked: "Regions", view: "Collection", counting: dict[str, Any]
) -> "Localisation":
    from hilum.explain import score_maps

    with progress_bar("score") as progress:
        return score_maps(maps, marked, view, progress=progress, **counting)


def _write(
    maps: "Saliency", view: "Collection", marked: "Regions | None", found: "Localisation | None",
    out: Path, pictures: int, as_json: bool, *, named: bool,
) -> None:  # fmt: skip
    from hilum.appraisal.heat_maps import Showing, write_maps

    with progress_bar("draw") as progress:
        showing = Showing(maps, view, marked)
        made = write_maps(showing, out, found, most=pictures, progress=progress)
    _remark(maps, len(made.pictures), () if marked is None or named else marked.findings)
    data = {
        "maps": len(maps), "blank": maps.blank(), "files": [str(one) for one in made.files],
        "pictures": [str(one) for one in made.pictures],
        "scores": None if found is None else found.to_json(),
    }  # fmt: skip
    text = f"{len(maps)} maps in {out}" if found is None else found.to_text()
    emit(data, as_json=as_json, text=text)


def _refuse(context: typer.Context, *, query: bool, named: bool, measured: bool) -> None:
    """Refuse options that do nothing with what is asked for."""
    if query:
        refuse_options(context, _OF_FINDINGS, "of no effect with --query; see --fidelity")
        if named:
            refuse_options(context, {"k"}, "of no effect where images are named")
    else:
        refuse_options(context, _OF_PAIRS, "for pairs of images; give --query, too")
    if not measured:
        needed = "--fidelity" if query else "--score"
        refuse_options(context, _OF_MEASURES, f"of no effect without {needed}")


def _remark(maps: "Saliency", drawn: int, marked: Sequence[str]) -> None:
    """Say what was not drawn, what is blank, and what is marked that the model does not score."""
    from hilum.explain.diagnosis import WORDS

    if lost := [name for name in marked if name not in maps.targets]:
        note(f"the model has no output for {', '.join(lost)}, which is marked too")
    if drawn < len(maps):
        note(f"{drawn} of {len(maps)} maps were drawn; more with --pictures")
    for kind, number in maps.blank().items():
        note(f"{number} of {len(maps)} maps are blank: {WORDS[kind]}")
