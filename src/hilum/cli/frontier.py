"""`hilum frontier`: AUROC against the number of labels, for all ways at once."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import Embedding, input_sets, listed, option, read_settings, whole_numbers

_FEW = "Few labels"
_BESIDE = "Beside few labels"
_MEASURED = "How they are measured"


Budgets = Annotated[str, option(_FEW, "Numbers of labelled images; what the images allow.")]
Strategies = Annotated[str, option(_FEW, "Of hilum select; all by default.")]
Selector = Annotated[str | None, option(_FEW, "A trained selector: its run or weights.")]
Readers = Annotated[str, option(_FEW, "cosine, euclidean, knn, probe.")]
Controls = Annotated[str, option(_FEW, "Other embeddings, such as one of random weights.")]
Repeats = Annotated[int, option(_FEW, "Seeds of every strategy.")]
PerPatient = Annotated[int | None, option(_FEW, "At most so many images of one patient.")]
FineTuned = Annotated[
    str, option(_FEW, "Numbers of labels with which the network itself is taught, too.")
]
Pairs = Annotated[
    list[str] | None,
    option(_BESIDE, "A pair of encoders for zero-shot; several are averaged.", "--pair"),
]
Reports = Annotated[bool, option(_BESIDE, "Labels read from reports, where there are any.")]
EncoderRun = Annotated[
    str | None,
    option(_BESIDE, "The encoder of the vectors: full supervision starts from it."),
]
Full = Annotated[
    str, option(_BESIDE, "Inputs of each fully supervised network, such as image+demographics.")
]
Recipe = Annotated[str, option(_BESIDE, "Of hilum train, for networks.")]
Networks = Annotated[int, option(_BESIDE, "Trainings of each network.")]
Set = Annotated[
    list[str] | None,
    option(_BESIDE, "Any field of the recipe, as NAME=VALUE (JSON).", "--set"),
]
Floors = Annotated[str, option(_BESIDE, "Inputs of each model without pixels.")]
FloorKind = Annotated[
    Literal["logistic", "boosted", "mean"],
    option(_BESIDE, "What they are.", "--floor", shown="MODEL"),
]
Findings = Annotated[str, option(_MEASURED, "Which, separated by commas; all by default.")]
Uncertain = Annotated[
    Literal["ignore", "positive", "negative"],
    option(_MEASURED, "What uncertain labels count as.", shown="POLICY"),
]
Share = Annotated[
    float, option(_MEASURED, "Of what full supervision has above one half: labels needed.")
]
Fewest = Annotated[int, option(_MEASURED, "Test images with a finding that it needs.")]
Bootstrap = Annotated[int, option(_MEASURED, "Resamples; 0 for none.")]
Seed = Annotated[int, option(_MEASURED, "Of all that is drawn.")]
Processes = Annotated[int, typer.Option(help="How many select and read at once.", min=1)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda; for networks.")]
Json = Annotated[bool, typer.Option("--json", help="Print frontier.json instead of tables.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(frontier)


def frontier(
    collection: Annotated[str, typer.Argument(help="A collection with labels and vectors.")],
    out: Annotated[Path, typer.Argument(help="A folder; an earlier frontier there goes on.")],
    embedding: Embedding,
    budgets: Budgets = "5,10,20,50,100,200,500,1000",
    strategies: Strategies = "",
    selector: Selector = None,
    readers: Readers = "cosine,probe",
    controls: Controls = "",
    repeats: Repeats = 5,
    per_patient: PerPatient = None,
    fine_tuned: FineTuned = "",
    pairs: Pairs = None,
    reports: Reports = True,
    encoder: EncoderRun = None,
    full: Full = "image,image+demographics,image+demographics+history",
    recipe: Recipe = "modern-small",
    networks: Networks = 1,
    set_: Set = None,
    floors: Floors = "demographics,demographics+history",
    floor: FloorKind = "logistic",
    findings: Findings = "",
    policy: Uncertain = "ignore",
    share: Share = 0.9,
    fewest: Fewest = 5,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    processes: Processes = 1,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure how far few labels go, from none to all, on patients nobody learnt from.

    Every strategy spends labels of training patients; cosine prototypes and a
    probe read the test patients with them. Beside stand zero-shot detection,
    labels from reports, networks with all labels, and models without pixels.
    One JSON, one CSV, one figure and a page go to OUT/frontier.*; more can be
    added to a frontier later, and a killed one goes on.
    """
    from hilum.collection import open_collection
    from hilum.frontier import Design, FewLabels, Measuring, OtherLines, as_text
    from hilum.frontier import as_json as document
    from hilum.frontier import draw_frontier as draw
    from hilum.frontier import save as write

    counts, tuned = whole_numbers(budgets, "--budgets"), whole_numbers(fine_tuned, "--fine-tuned")
    chosen: dict[str, Any] = {"strategies": listed(strategies)} if strategies else {}
    few = FewLabels(
        counts, selector=selector, readers=listed(readers), controls=listed(controls),
        repeats=repeats, per_patient=per_patient, fine_tuned=tuned, **chosen,
    )  # fmt: skip
    beside = OtherLines(
        tuple(pairs or ()), reports, encoder, input_sets(full), recipe, read_settings(set_ or []),
        input_sets(floors), floor, networks,
    )  # fmt: skip
    measuring = Measuring(listed(findings) or None, fewest, policy, share, bootstrap)
    design = Design(embedding, few, beside, measuring, seed)
    with progress_bar("frontier") as bar:
        view = open_collection(collection)
        found = draw(view, out, design, processes=processes, device=device, progress=bar, told=note)
    write(found, out)
    emit(document(found), as_json=as_json, text=f"{as_text(found)}\n\n{out}/frontier.html")
