"""Options: those that several commands share, how others are written, and which say nothing."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hilum.errors import UsageError

Uri = Annotated[str, typer.Argument(help="A collection: a folder or a URI.")]
Run = Annotated[Path, typer.Argument(help="A folder for the run; an earlier one goes on.")]
Where = Annotated[str | None, typer.Option(help="SQL: only images that fulfil it.")]
EveryImage = Annotated[str, typer.Option(help="Which images, as SQL; '' takes all.")]
Embedding = Annotated[str, typer.Option(help="Name of the vectors.")]
Uncertain = Annotated[
    Literal["ignore", "positive", "negative"],
    typer.Option(
        metavar="POLICY", help="What uncertain labels count as: ignore, positive, negative."
    ),
]
IdColumn = Annotated[str, typer.Option("--id", help="The label table's id column.")]
ScoreTable = Annotated[Path, typer.Option(help="Where the score table goes (.csv or .csv.gz).")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any other field of the recipe, as NAME=VALUE (JSON)."),
]
Steps = Annotated[int | None, typer.Option(help="How long, in batches.")]
Epochs = Annotated[float | None, typer.Option(help="How long, in rounds of all images.")]
PerStep = Annotated[int | None, typer.Option(help="Images per step.")]
Side = Annotated[int | None, typer.Option(help="Side of the encoder's input, pixels.")]
Rate = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Architecture = Annotated[str | None, typer.Option(help="A timm architecture.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
RecipeSeed = Annotated[int | None, typer.Option(help="Of everything random.")]
AtOnce = Annotated[int, typer.Option(help="Images at a time.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def option(panel: str, text: str, *names: str, shown: str | None = None) -> Any:
    """Return an option of a named panel of ``--help``."""
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=shown)


def listed(text: str) -> tuple[str, ...]:
    """Read names that commas separate.

    >>> listed("Edema, Mass,")
    ('Edema', 'Mass')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def input_sets(text: str) -> tuple[tuple[str, ...], ...]:
    """Read sets of a model's inputs.

    >>> input_sets("image,image+history")
    (('image',), ('image', 'history'))
    """
    return tuple(tuple(entry.split("+")) for entry in listed(text))


def whole_numbers(text: str, name: str) -> tuple[int, ...]:
    """Read whole numbers that commas separate; `name` is that of the option."""
    try:
        return tuple(int(entry) for entry in listed(text))
    except ValueError:
        raise UsageError(f"{name}: expected whole numbers such as 0,1,2; got {text!r}") from None


def numbers(text: str, name: str) -> tuple[float, ...]:
    """Read numbers, one or more, that commas separate; `name` is that of the option."""
    try:
        found = tuple(float(entry) for entry in listed(text))
    except ValueError:
        found = ()
    if not found:
        raise UsageError(f"{name}: expected numbers such as 0.5,0.2; got {text!r}")
    return found


def read_settings(pairs: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs, where VALUE is JSON or plain text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--set")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def recipe_changes(options: Mapping[str, Any], pairs: list[str] | None) -> dict[str, Any]:
    """Return the fields of a recipe that were given, by options of their own or by --set.

    Parameters
    ----------
    options
        By field; None is not given. ``"--backbone architecture"`` is a field whose option has
        another name.
    pairs
        As `read_settings` takes them.

    Raises
    ------
    UsageError
        If both ways say something else of one field.

    >>> recipe_changes({"lr": 0.1, "seed": None, "--arch architecture": "resnet18"}, ["batch=8"])
    {'lr': 0.1, 'architecture': 'resnet18', 'batch': 8}
    """
    changes = read_settings(pairs or [])
    own: dict[str, Any] = {}
    for name, value in options.items():
        option, _, field = name.rpartition(" ")
        option = option or f"--{field}"
        if value is None:
            continue
        if field in changes and changes[field] != value:
            raise UsageError(
                f"{option} says {value!r} and --set {field} says {changes[field]!r}: give one"
            )
        own[field] = value
    return own | changes


def all_but(context: typer.Context, heeded: Collection[str]) -> set[str]:
    """Return the parameters of a command but for some."""
    return {option.name for option in context.command.params if option.name} - set(heeded)


def refuse_options(context: typer.Context, names: Collection[str], reason: str) -> None:
    """Raise UsageError if an option was given that does nothing with what was asked for.

    ``--device`` need not be among them: it says where to compute whatever is computed, and one
    that never does so may be told all the same.

    Parameters
    ----------
    context
        Of the command.
    names
        The parameters that do nothing, as the command's function calls them.
    reason
        The end of the sentence, after the options' names.
    """
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name in names
        and (source := context.get_parameter_source(option.name)) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(f"{', '.join(given)}: {reason}")
