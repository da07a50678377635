"""`hilum selector`: learn which images to label, and see whether it pays."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from hilum.cli.console import emit, note, progress_bar
from hilum.cli.options import (
    AsJson,
    Device,
    Embedding,
    RecipeSeed,
    Run,
    Seed,
    Set,
    Uncertain,
    listed,
    numbers,
    recipe_changes,
    refuse_options,
    whole_numbers,
)
from hilum.cli.runs import first_process, read_document
from hilum.errors import UsageError

if TYPE_CHECKING:
    from hilum.select.selector_trial import Trial
    from hilum.select.task_plan import TaskPlan

selector_app = typer.Typer(
    help="Learn which images to label, and compare.", no_args_is_help=True, rich_markup_mode="rich"
)

Pool = Annotated[int, typer.Option(help="Images to choose from, in every task.")]
Query = Annotated[int, typer.Option(help="Images a choice is judged on, in every task.")]
Prevalence = Annotated[float, typer.Option(help="Share of a pool with the finding.")]
Negatives = Annotated[
    Literal["no finding", "rest"],
    typer.Option(help="What negatives are: images of nothing, or all that lack the finding."),
]
Steps = Annotated[int | None, typer.Option(help="How long, in batches of tasks.")]
Beside = Annotated[
    str,
    typer.Option(help="What it sees beside the embedding, separated by commas: of age, sex, view."),
]
Taught = Annotated[
    str, typer.Option(help="Findings to train on, separated by commas; '' takes all.")
]
HeldOut = Annotated[str, typer.Option(help="Findings never to train on, separated by commas.")]
Teach = Annotated[str, typer.Option("--train", help="Which images teach: a split, or SQL.")]
Stop = Annotated[
    str, typer.Option("--validate", help="Which images decide when to stop: a split, or SQL.")
]
Read = Annotated[
    Literal["ignore", "positive", "negative"] | None,
    typer.Option(help="What uncertain labels count as; ignore, or positive for medselect."),
]
Layout = Annotated[
    Literal["collection", "medselect"],
    typer.Option(help="medselect: the original's own CSV and HDF5 files."),
]
Labelled = Annotated[str, typer.Argument(help="A collection with labels and embeddings.")]
Selector = Annotated[
    Path, typer.Option(exists=True, help="A trained selector: a run or its weights.")
]
OriginalRun = Annotated[
    Path | None, typer.Option(exists=True, help="A run of the recipe medselect-2021.")
]
PerFinding = Annotated[int, typer.Option(help="Of each finding, at each prevalence.")]
Asked = Annotated[
    str, typer.Option(help="Which, separated by commas; '' takes all but No Finding.")
]
Where = Annotated[str, typer.Option(help="Which images: a split, or SQL.")]
External = Annotated[
    bool, typer.Option("--external", help="The selector has seen no patient of these.")
]

_OF_COLLECTIONS: Final = {"embedding", "train_", "validate"}  # what files say themselves


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(selector_app, name="selector")


@selector_app.command()
def train(
    context: typer.Context,
    collection: Annotated[
        str,
        typer.Argument(
            help="A collection; with --layout medselect a folder of its files, or its four CSVs, "
            "separated by commas (positives, normals, the same for validation)."
        ),
    ],
    run: Run,
    embedding: Annotated[
        str | None, typer.Option(help="Name of the embedding (of a collection).")
    ] = None,
    recipe: Annotated[str, typer.Option(help="policy, relaxed or medselect-2021.")] = "policy",
    layout: Layout = "collection",
    findings: Taught = "",
    held_out: HeldOut = "",
    beside: Beside = "",
    pool: Pool = 1000,
    query: Query = 100,
    prevalence: Prevalence = 0.5,
    negatives: Negatives = "no finding",
    train_: Teach = "train",
    validate: Stop = "val",
    policy: Read = None,
    steps: Steps = None,
    seed: RecipeSeed = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a selector on tasks cut from images whose labels are known.

    It is written to RUN/selector.safetensors, for `hilum select --selector` and `hilum selector
    test`. A run that was stopped goes on where it was when the same command is given again.
    """
    from hilum.select.task_plan import TaskPlan

    if layout == "medselect":
        refuse_options(context, _OF_COLLECTIONS, "of no effect with --layout medselect")
    plan = TaskPlan(
        pool, query, prevalence, negatives, findings=listed(findings), held_out=listed(held_out)
    )
    given = recipe_changes({"steps": steps, "seed": seed, "beside": listed(beside) or None}, set_)
    with progress_bar("selector") as progress:
        given |= {"device": device, "progress": progress}
        if layout == "medselect":
            _teach_from_files(collection, run, recipe, plan, policy, given)
        else:
            given |= {"train": train_, "validation": validate}
            _teach_on(collection, embedding, run, recipe, plan, policy, given)
    if not first_process():
        return
    metrics = read_document(run)
    weights = run / "selector.safetensors"
    emit(
        {"run": str(run), "weights": str(weights), "recipe": recipe, "metrics": metrics},
        as_json=as_json,
        text=f"{weights}: validation AUROC {metrics['best']:.3f} after step {metrics['best_step']}",
    )


@selector_app.command("test")
def try_(
    collection: Labelled,
    embedding: Embedding,
    selector: Selector,
    out: Annotated[
        Path, typer.Option(help="A folder for comparison.json, .csv, .txt and figures.")
    ],
    original: OriginalRun = None,
    strategies: Annotated[
        str, typer.Option(help="Which others, separated by commas; all that need no labels.")
    ] = "",
    budgets: Annotated[str, typer.Option(help="How many to label.")] = "10,20,40,80",
    prevalences: Annotated[str, typer.Option(help="Shares of a pool.")] = "0.5,0.2,0.05",
    tasks: PerFinding = 100,
    pool: Pool = 1000,
    query: Query = 100,
    negatives: Negatives = "no finding",
    findings: Asked = "",
    where: Where = "test",
    external: External = False,
    policy: Uncertain = "ignore",
    bootstrap: Annotated[
        int, typer.Option(help="Resamples of patients, for the intervals.")
    ] = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Compare a selector with every other strategy, on the same tasks of test patients.

    Findings that the selector was trained on and findings that it was not are told apart. No
    patient who taught it may be among the tested.
    """
    from hilum.select import comparison_files
    from hilum.select.selector_trial import try_selector
    from hilum.select.task_plan import TaskPlan

    trial = _trial(
        collection, embedding, selector, strategies, findings,
        original=original, where=where, external=external, policy=policy, seed=seed,
    )  # fmt: skip
    with progress_bar("test") as progress:
        found = try_selector(
            trial, progress=progress, budgets=whole_numbers(budgets, "--budgets"),
            prevalences=numbers(prevalences, "--prevalences"), tasks=tasks,
            plan=TaskPlan(pool, query, negatives=negatives), resamples=bootstrap, seed=seed,
        )  # fmt: skip
    for path in comparison_files.save(found, out):
        note(str(path))
    emit(comparison_files.as_json(found), as_json=as_json, text=comparison_files.as_text(found))


@selector_app.command()
def analyse(
    collection: Labelled,
    embedding: Embedding,
    selector: Selector,
    out: Annotated[Path, typer.Option(help="A folder for analysis.json, .csv, .txt and figures.")],
    original: OriginalRun = None,
    strategies: Annotated[
        str, typer.Option(help="Which others, separated by commas; random is among them.")
    ] = "random,k-medoids",
    budget: Annotated[int, typer.Option(help="How many to label.")] = 20,
    prevalence: Prevalence = 0.5,
    tasks: PerFinding = 100,
    pool: Pool = 1000,
    query: Query = 100,
    negatives: Negatives = "no finding",
    findings: Asked = "",
    where: Where = "test",
    external: External = False,
    policy: Uncertain = "ignore",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Describe what a selector selects, beside what others do.

    How far apart the images are, how that differs from a random selection, and the age, sex, view
    and findings of those selected.
    """
    from hilum.select import analysis_files
    from hilum.select.selector_trial import analyse_selector
    from hilum.select.task_plan import TaskPlan

    trial = _trial(
        collection, embedding, selector, strategies, findings,
        original=original, where=where, external=external, policy=policy, seed=seed,
    )  # fmt: skip
    with progress_bar("analyse") as progress:
        found = analyse_selector(
            trial, progress=progress, budgets=(budget,), prevalences=(prevalence,), tasks=tasks,
            plan=TaskPlan(pool, query, negatives=negatives), seed=seed,
        )  # fmt: skip
    for path in analysis_files.save(found, out):
        note(str(path))
    emit(analysis_files.as_json(found), as_json=as_json, text=analysis_files.as_text(found))


def _teach_from_files(
    files: str, run: Path, recipe: str, plan: "TaskPlan", policy: Any, given: dict[str, Any]
) -> None:
    from hilum.select.selector_trial import teach_from_files

    parts = files.split(",")
    teach_from_files(
        files if len(parts) == 1 else parts, run, recipe, plan, policy or "positive", **given
    )


def _teach_on(
    collection: str, embedding: str | None, run: Path, recipe: str, plan: "TaskPlan", policy: Any,
    given: dict[str, Any],
) -> None:  # fmt: skip
    from hilum.collection import open_collection
    from hilum.select.selector_trial import teach_on

    if embedding is None:
        raise UsageError("a collection needs --embedding NAME")
    opened = open_collection(collection)
    teach_on(opened, embedding, run, recipe, plan, policy=policy or "ignore", **given)


def _trial(
    collection: str, embedding: str, selector: Path, strategies: str, findings: str, **more: Any
) -> "Trial":
    """Prepare what is compared or described."""
    from hilum.collection import open_collection
    from hilum.select.selector_trial import prepare_trial

    return prepare_trial(
        open_collection(collection), embedding, selector,
        strategies=listed(strategies) or None, findings=listed(findings), **more,
    )  # fmt: skip
