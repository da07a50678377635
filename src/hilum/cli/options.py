"""How options are written: in panels, as lists, as numbers, as settings of a recipe."""

import json
from typing import Any

import typer


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
