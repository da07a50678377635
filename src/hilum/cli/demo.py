"""`hilum demo`: the main job, end to end."""

from pathlib import Path
from typing import Annotated

import typer

from hilum.cli.console import emit, progress_bar


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for everything the demo makes.")] = Path(
        "demo"
    ),
    patients: Annotated[int, typer.Option(help="Size of the synthetic hospital.")] = 600,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Pretraining steps; the recipe's if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """The main job, end to end on synthetic radiographs -> OUT/report.html.

    Makes a synthetic hospital, ingests it, pretrains an encoder without labels and a pair of
    encoders on the reports, and measures on held-out patients how far no label, 5 to 500 and all
    go. Killed and started again, it continues.
    """
    from contextlib import ExitStack

    from hilum.demo import tell
    from hilum.progress import Progress

    with ExitStack() as shown:

        def reporter(label: str) -> Progress:
            shown.pop_all().close()  # the bar of the stage before
            return shown.enter_context(progress_bar(label))

        changes = {} if steps is None else {"steps": steps}
        page = tell(out, patients=patients, seed=seed, changes=changes, reporter=reporter)
    emit({"report": str(page)}, as_json=as_json, text=str(page))
