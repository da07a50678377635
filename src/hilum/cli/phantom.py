"""``hilum phantom``: make a synthetic hospital."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("phantom")(phantom)


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write; made if absent.")],
    patients: Annotated[int, typer.Option(help="How many; about two images each.")],
    size: Annotated[int, typer.Option(help="Side of the images in pixels, 16 to 512.")] = 128,
    seed: Annotated[int, typer.Option(help="Which hospital.")] = 0,
    dicom: Annotated[bool, typer.Option("--dicom", help="Write DICOM instead of PNG.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print phantom.json.")] = False,
) -> None:
    """Make synthetic chest radiographs with known findings, masks, boxes and reports.

    A real chest CT is reshaped for every patient, disease is planted in it, and X-rays are
    followed through. The folder can be read with --layout folder (or, with --dicom, dicom).
    A run that was killed goes on when the command is given again.
    """
    import json

    from hilum.cli.console import emit, progress_bar
    from hilum.phantom import write_hospital

    with progress_bar("phantom") as progress:
        folder = write_hospital(out, patients, size, seed, workers, dicom, progress)
    about = json.loads((folder / "phantom.json").read_text(encoding="utf-8"))
    text = f"{about['images']} images of {about['patients']} patients in {folder}"
    emit(about, as_json=as_json, text=text)
