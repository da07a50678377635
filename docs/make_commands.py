"""Write docs/commands.md from the commands' own --help (`make docs`)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

HEAD = """# Commands

Every command prints data on standard output and talk on standard error. Exit codes: 0 done;
1 an input is bad, and one sentence says which; 2 the command was misused; 3 done, but some files
are in quarantine; 130 interrupted (Ctrl-C). This page is written by `make docs` from the commands'
own help.
"""


def help_page() -> str:
    """Return the page: each command's help, at 80 columns, without colours."""
    from hilum.cli import app

    return HEAD + "".join(
        f"\n## `{' '.join(['hilum', *path])}`\n\n```text\n{_help(app, path)}\n```\n"
        for path in _paths(typer.main.get_command(app))
    )


def _paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from _paths(child, (*path, name))


def _help(app: typer.Typer, path: tuple[str, ...]) -> str:
    plain = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(app, [*path, "--help"], prog_name="hilum", env=plain)
    return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())


if __name__ == "__main__":
    target = Path(__file__).with_name("commands.md")
    target.write_text(help_page(), encoding="utf-8")
    sys.stdout.write(f"{target}\n")
