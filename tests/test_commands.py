"""What all commands keep to."""

import ast
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import typer

from hilum import cli


def test_a_command_is_in_the_module_of_its_name() -> None:
    command = typer.main.get_command(cli.app)
    places = {
        name: getattr(one.callback, "__module__", "")
        for name, one in getattr(command, "commands", {}).items()
        if find_spec(f"hilum.cli.{name}") is not None and not hasattr(one, "commands")
    }
    assert {"train", "ingest"} <= set(places)
    assert places == {name: f"hilum.cli.{name}" for name in places}


def test_an_option_of_several_commands_is_described_once() -> None:
    """Options of a panel, made by `option`, belong to their command."""
    described = Counter(
        ast.unparse(node)
        for path in Path(cli.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated"
    )
    shared = [text for text in described if "typer." in text]
    assert len(shared) > 100
    assert [text for text in shared if described[text] > 1] == []
