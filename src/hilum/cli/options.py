"""How options are written: in panels, as lists, as numbers, as settings of a recipe."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import typer

from hilum.errors import UsageError


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
        message = f"expected whole numbers such as 0,1,2; got {text!r}"
        raise typer.BadParameter(message, param_hint=name) from None


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
