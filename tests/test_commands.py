"""What all commands keep to."""

import ast
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from hilum import cli


def options(command: Any, path: str = "hilum") -> Iterator[tuple[str, Any]]:
    """Yield every option and argument below a command, with the command's words."""
    for option in command.params:
        yield path, option
    for name, child in getattr(command, "commands", {}).items():
        yield from options(child, f"{path} {name}")


def test_one_thing_has_one_option_and_one_wording() -> None:
    every = list(options(typer.main.get_command(cli.app)))
    names = {name for _, option in every for name in option.opts}
    assert {"--findings", "--bootstrap"} <= names
    assert not {"--finding", "--resamples"} & names
    lists = [one for one in every if "--findings" in one[1].opts]
    assert len(lists) > 10
    assert not [words for words, option in lists if option.multiple]  # commas separate
    said = {words for words, option in every if "commas between" in (option.help or "")}
    assert said == set()


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
