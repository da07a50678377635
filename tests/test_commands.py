"""What all commands keep to."""

from importlib.util import find_spec

import typer

from hilum.cli import app


def test_a_command_is_in_the_module_of_its_name() -> None:
    command = typer.main.get_command(app)
    places = {
        name: getattr(one.callback, "__module__", "")
        for name, one in getattr(command, "commands", {}).items()
        if find_spec(f"hilum.cli.{name}") is not None and not hasattr(one, "commands")
    }
    assert {"train", "ingest"} <= set(places)
    assert places == {name: f"hilum.cli.{name}" for name in places}
