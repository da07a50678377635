"""The command line: thin modules, one per group of commands, and no logic.

Data goes to standard output, talk and progress to standard error. Exit 0: done. Exit 1: one
sentence says which input is bad. Exit 2: the command was misused. Exit 3: done, but some files
are in quarantine.
"""

import sys

import typer

from hilum.cli.card import register as register_card
from hilum.cli.classify import register as register_classify
from hilum.cli.compare import register as register_compare
from hilum.cli.demo import register as register_demo
from hilum.cli.encoders import register as register_encoders
from hilum.cli.evaluate import register as register_evaluate
from hilum.cli.explain import register as register_explain
from hilum.cli.frontier import register as register_frontier
from hilum.cli.index import register as register_index
from hilum.cli.ingest import register as register_ingest
from hilum.cli.labels import register as register_labels
from hilum.cli.metric import register as register_metric
from hilum.cli.phantom import register as register_phantom
from hilum.cli.retrieve import register as register_retrieve
from hilum.cli.select import register as register_select
from hilum.cli.selector import register as register_selector
from hilum.cli.train import register as register_train
from hilum.cli.zeroshot import register as register_zeroshot
from hilum.errors import HilumError, UsageError

app = typer.Typer(
    name="hilum",
    help="Learn from chest X-rays with zero, some or all labels.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

register_demo(app)  # then in the order in which data flows
register_phantom(app)
register_ingest(app)
register_labels(app)
register_encoders(app)
register_selector(app)
register_select(app)
register_classify(app)
register_train(app)
register_compare(app)
register_metric(app)
register_zeroshot(app)
register_index(app)
register_retrieve(app)
register_explain(app)
register_evaluate(app)
register_frontier(app)
register_card(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hilum {version('hilum')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Learn from chest X-rays with zero, some or all labels."""


def main() -> None:
    """Run the command line; a fault in the user's input ends in one sentence, not a traceback."""
    try:
        app()
    except UsageError as error:
        sys.exit(_say(error, 2))
    except HilumError as error:
        sys.exit(_say(error, 1))
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Run the same command again to continue.\n")
        sys.exit(130)


def _say(error: HilumError, code: int) -> int:
    sys.stderr.write(f"Error: {error}\n")
    return code
